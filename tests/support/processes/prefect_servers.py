"""Prefect servers for tests."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

FIRST_START = """
import asyncio
from prefect.plugins import load_prefect_collections
from prefect.server.database import provide_database_interface
from prefect.server.models.block_registration import run_block_auto_registration

async def main():
    database = provide_database_interface()
    await database.create_db()
    load_prefect_collections()
    async with await database.session() as session:
        await run_block_auto_registration(session=session)
    await (await database.engine()).dispose()

asyncio.run(main())
"""
"""What a server does with its database when it starts for the first time: the migrations, and the types of blocks."""


LATER_START = {
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
    "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
}
"""The settings of a server whose database has all that. It need not import what is installed beside Prefect to find
types of blocks in it, such as Dask and the clients of AWS, which takes a quarter of a server's start."""


def prefect_database(folder: Path) -> Path:
    """A database of Prefect in `folder` as `FIRST_START` leaves it, made by the first process that asks for it.

    That is more than half of the CPU time of a first start; a server that finds a copy of this database in its home
    does not repeat it.
    """
    database = folder / "prefect.db"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not database.exists():
            with TemporaryDirectory(dir=folder) as home:  # a new one, as a killed process leaves half a database
                environment = {**os.environ, "PREFECT_HOME": home}
                subprocess.run([sys.executable, "-c", FIRST_START], env=environment, check=True)
                Path(home, "prefect.db").rename(database)
    return database


def furnish(home: Path, database: Path) -> Path:
    """Make `home` a PREFECT_HOME with a copy of `database`."""
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(database, home / "prefect.db")
    return home


@contextmanager
def serving(home: Path) -> Iterator[str]:
    """The URL of a Prefect server, which the flows of this process use until it ends; all of it is in `home`."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_HOME,
        PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW,
        PREFECT_SERVER_ANALYTICS_ENABLED,
        PREFECT_SERVER_API_PORT,
        PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION,
        PREFECT_SERVER_REGISTER_BLOCKS_ON_START,
        PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED,
        temporary_settings,
    )

    from flows.run.local_server import ensure_server, stop_server

    own = {
        PREFECT_HOME: home,
        PREFECT_SERVER_API_PORT: 0,
        PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW: "ignore",  # as some tests run tasks by themselves
        PREFECT_SERVER_ANALYTICS_ENABLED: False,
        PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION: False,
        PREFECT_SERVER_REGISTER_BLOCKS_ON_START: False,
        # no run comes between those that a test asks for, whatever the time of day
        PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED: False,
    }

    def drain() -> None:
        """Send what is still to be sent to the server there is; what comes later goes to the next. A worker that ends
        just now is waited for in vain."""
        APILogWorker.drain_all(timeout=60)
        EventsWorker.drain_all(timeout=60)

    with temporary_settings(own, restore_defaults={PREFECT_API_URL}):
        url = ensure_server()
        with temporary_settings({PREFECT_API_URL: url}):
            drain()
            yield url
        drain()
        stop_server()
