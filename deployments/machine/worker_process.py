"""The local worker's own process, `python worker_process.py FOLDER POOL`.

It holds the lock in FOLDER until it ends, so that there is one worker per FOLDER; the lock file holds its JSON
description (pid, api, pool).
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
from pathlib import Path

LOCK = "worker.lock"


NAME = f"gridtide-{socket.gethostname()}"
"""The name of the worker on the server; runs carry it, which tells them from runs of other machines."""


def main(folder: Path, pool: str) -> None:
    """Become a worker of `pool`; return at once if another process is this folder's."""
    with (folder / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        os.ftruncate(sys.stderr.fileno(), 0)  # the log of the worker before this one
        os.ftruncate(lock.fileno(), 0)
        json.dump({"pid": os.getpid(), "api": os.environ["PREFECT_API_URL"], "pool": pool}, lock)
        lock.flush()
        os.set_inheritable(
            lock.fileno(), True
        )  # by the program below, so that the lock outlives this exec; the runs do not inherit it
        command = ["-m", "prefect", "worker", "start", "--type", "process", "--pool", pool, "--name", NAME]
        os.execv(sys.executable, [sys.executable, *command])  # noqa: S606  # no shell is wanted


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
