"""The process of the local worker, `python worker_process.py FOLDER POOL`.

It holds a lock in FOLDER until it ends, so that FOLDER has one worker. The lock file has pid, api and pool as JSON.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import sys
from pathlib import Path

LOCK = "worker.lock"


NAME = f"gridtide-{socket.gethostname()}"
"""The name of the worker on the server. Its runs have it as a label, unlike the runs of other machines."""


def main(folder: Path, pool: str) -> None:
    """Become a worker of `pool`; return at once if another process is the worker of this folder."""
    with (folder / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        os.ftruncate(sys.stderr.fileno(), 0)  # remove the log of the previous worker
        os.ftruncate(lock.fileno(), 0)
        json.dump({"pid": os.getpid(), "api": os.environ["PREFECT_API_URL"], "pool": pool}, lock)
        lock.flush()
        os.set_inheritable(lock.fileno(), True)  # the lock must survive the exec below; runs do not inherit it
        # SIGINT, which Prefect's worker sends to itself to end, is ignored where a shell runs `up` in the background
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if "GRIDTIDE_METRICS_ADDRESS" in os.environ:
            from deployments.machine.metrics_endpoint import start_endpoint

            start_endpoint(folder / "metrics")
        command = ["-m", "prefect", "worker", "start", "--type", "process", "--pool", pool, "--name", NAME]
        os.execv(sys.executable, [sys.executable, *command])  # noqa: S606  # no shell is needed


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
