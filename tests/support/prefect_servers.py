"""Prefect servers of the tests' own."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def prefect_database(folder: Path) -> Path:
    """A database of Prefect in `folder` with all its migrations, made by the first process that asks for it.

    The migrations are half of the CPU time that a server needs to start; a server that finds this one's copy in its
    home has none to make.
    """
    database = folder / "prefect.db"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not database.exists():
            environment = {**os.environ, "PREFECT_HOME": str(folder / "home")}
            command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
            (folder / "home" / "prefect.db").rename(database)
    return database


def furnish(home: Path, database: Path) -> Path:
    """`home` as a PREFECT_HOME with a copy of `database`."""
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
        PREFECT_SERVER_ANALYTICS_ENABLED,
        PREFECT_SERVER_API_PORT,
        PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED,
        temporary_settings,
    )

    from flows.run.local_server import ensure_server, stop_server

    own = {
        PREFECT_HOME: home,
        PREFECT_SERVER_API_PORT: 0,
        PREFECT_SERVER_ANALYTICS_ENABLED: False,
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
