"""The local Prefect server's own process, `python server_process.py FOLDER`.

It imports nothing of Gridtide. A lock that it holds for life makes it the only one in FOLDER, its
socket is bound before anybody is told of it, and FOLDER/server.json says where it answers.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import socket
import sys
from pathlib import Path

HOST = "127.0.0.1"


USUAL_PORT = 4200


IDENTITY = "gridtide-server"
"""The response header by which a server shows that it is the one a state file speaks of."""


def main(folder: Path) -> None:
    """Serve until ended; return at once if another process serves this folder."""
    with (folder / "server.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        os.ftruncate(sys.stderr.fileno(), 0)  # the log of the server before this one
        state = folder / "server.json"
        state.unlink(missing_ok=True)
        with _bind_port(int(os.environ.get("PREFECT_SERVER_API_PORT", USUAL_PORT))) as listening:
            port = listening.getsockname()[1]
            identity = secrets.token_hex(8)
            draft = state.with_suffix(".draft")
            draft.write_text(json.dumps({"port": port, "pid": os.getpid(), "identity": identity}))
            draft.replace(state)
            try:
                _serve_api(listening, port, identity)
            finally:
                state.unlink(missing_ok=True)


def _bind_port(port: int) -> socket.socket:
    """A socket bound to `port`, to a free port if it is another's."""
    for candidate in (port, 0):
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((HOST, candidate))
            return bound
        except OSError:
            bound.close()
    raise OSError(f"no port of {HOST} is free")


def _serve_api(listening: socket.socket, port: int, identity: str) -> None:
    # Prefect tells the UI where the API is by these settings, which it reads when it is imported.
    os.environ["PREFECT_SERVER_API_HOST"], os.environ["PREFECT_SERVER_API_PORT"] = HOST, str(port)
    os.environ.setdefault("PREFECT_UI_URL", f"http://{HOST}:{port}")  # for the links in notifications
    import uvicorn
    from prefect.server.api.server import create_app

    config = uvicorn.Config(
        create_app(final=True),
        log_level="warning",
        access_log=False,
        headers=[(IDENTITY, identity)],
        timeout_graceful_shutdown=5,
    )
    # uvicorn raises the signal that ended it once more; the default handler would skip the clean-up
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
