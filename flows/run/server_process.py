"""The process of the local Prefect server, `python server_process.py FOLDER`.

It imports nothing of Gridtide. While it runs, it holds a lock in FOLDER, so that FOLDER has one server. It binds its
socket before it writes its address to FOLDER/server.json.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import secrets
import signal
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction

HOST = "127.0.0.1"


USUAL_PORT = 4200


IDENTITY = "gridtide-server"
"""The response header with the identity of the server, the same as in its state file."""


def main(folder: Path) -> None:
    """Serve until the process is ended; return at once if another process serves this folder."""
    with (folder / "server.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        os.ftruncate(sys.stderr.fileno(), 0)  # remove the log of the previous server
        state_file = folder / "server.json"
        state_file.unlink(missing_ok=True)
        with _bind_port(int(os.environ.get("PREFECT_SERVER_API_PORT", USUAL_PORT))) as listening:
            port = listening.getsockname()[1]
            identity = secrets.token_hex(8)
            draft = state_file.with_suffix(".draft")
            draft.write_text(json.dumps({"port": port, "pid": os.getpid(), "identity": identity}))
            draft.replace(state_file)
            try:
                _serve_api(listening, port, identity)
            finally:
                state_file.unlink(missing_ok=True)


def _bind_port(port: int) -> socket.socket:
    """A socket that is bound to `port`, or to a free port if `port` is in use."""
    for candidate in (port, 0):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, candidate))
            return listener
        except OSError:
            listener.close()
    raise OSError(f"no port of {HOST} is free")


def _serve_api(listening: socket.socket, port: int, identity: str) -> None:
    # Prefect gives the UI the address of the API from these settings, which it reads when it is imported.
    os.environ["PREFECT_SERVER_API_HOST"], os.environ["PREFECT_SERVER_API_PORT"] = HOST, str(port)
    os.environ.setdefault("PREFECT_UI_URL", f"http://{HOST}:{port}")  # for the links in notifications
    gc.disable()  # nothing that is imported is garbage; the passes over it take a sixth of the time of the start
    import uvicorn
    from prefect.server.api.server import create_app

    _let_writers_wait()
    app = create_app(final=True)
    gc.freeze()
    gc.enable()
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        headers=[(IDENTITY, identity)],
        timeout_graceful_shutdown=5,
    )
    # uvicorn raises the signal that ended it again; the default handler would then skip the clean-up
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    uvicorn.Server(config).run(sockets=[listening])


def _let_writers_wait() -> None:
    """Begin each transaction on SQLite that may write with the lock for writing.

    Prefect takes this lock at the first write. SQLite refuses it at once if another transaction has written since the
    first read of this one, and while two wait for each other only after a minute: three clients that wrote states of
    runs got 38 answers 503, which clients of Prefect repeat after seconds, and one after 60 s. With the lock from the
    beginning, writers wait milliseconds for each other.
    """
    from prefect.server.database.configurations import AioSqliteConfiguration
    from prefect.server.database.dependencies import MODELS_DEPENDENCIES
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL

    class WriteFirst(AioSqliteConfiguration):
        @asynccontextmanager
        async def begin_transaction(
            self, session: AsyncSession, with_for_update: bool = False
        ) -> AsyncGenerator[AsyncSessionTransaction, None]:
            async with super().begin_transaction(session, with_for_update=True) as transaction:
                yield transaction

    url = PREFECT_API_DATABASE_CONNECTION_URL.value()
    if url.startswith("sqlite"):
        MODELS_DEPENDENCIES["database_config"] = WriteFirst(connection_url=url)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
