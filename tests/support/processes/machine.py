"""A separate machine: a folder with a configuration and a PREFECT_HOME, in which commands are run."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from deployments.machine.local import stop_machine
from deployments.machine.worker import find_worker
from deployments.registry.deploy import POOL
from deployments.registry.run_settings import RUN_SETTINGS
from flows.run.local_server import find_server
from tests.support.processes.prefect_servers import LATER_START, furnish

ROOT = Path(__file__).resolve().parents[3]

SCHEDULES = {"hourly": "12 * * * *", "daily": "35 7 * * *", "weekly": "40 7 * * 1", "monthly": "45 7 1 * *"}


def gridtide(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start the command in `folder`."""
    command = [sys.executable, "-m", "deployments.cli", *arguments]
    environment = _environment(folder) | variables
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@contextmanager
def another_worker(folder: Path, api: str, limit: int) -> Iterator[psutil.Process]:
    """Start another worker of our pool, as on another machine, with at most `limit` runs at a time."""
    command = ["prefect", "worker", "start", "--type", "process", "--pool", POOL, "--limit", str(limit)]
    environment = {**RUN_SETTINGS, **_environment(folder), "PREFECT_API_URL": api}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-m", *command], cwd=folder, env=environment, **quiet) as process:
        try:
            yield psutil.Process(process.pid)
        finally:
            process.kill()


def _environment(folder: Path) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        "PREFECT_HOME": str(folder / "home"),
        "PREFECT_SERVER_API_PORT": "0",
        **LATER_START,
        # no run comes between those that a test asks for, whatever the time of day
        "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
        # a run that waits for the one before it asks again after this time, by default after 30 s
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "3",
        "PYTHONPATH": str(ROOT),
    }


def until(client: SyncPrefectClient, run: FlowRun, *states: str) -> FlowRun:
    """`run`, once it is in one of `states`."""
    while run.state is None or run.state.name not in states:
        time.sleep(0.5)  # each request takes CPU time from the run that is waited for
        run = client.read_flow_run(run.id)
    return run


def until_events(client: SyncPrefectClient, name: str, times: int, resource: str | None = None) -> None:
    """Wait until the server has so many events named `name`, of `resource` if it is given."""
    of = EventResourceFilter(id=[resource]) if resource else EventResourceFilter()
    # a new filter each time: it ends at the moment at which it was made
    while (
        len(client.read_events(EventFilter(event=EventNameFilter(name=[name]), resource=of), limit=times).events)
        < times
    ):
        time.sleep(1)


@contextmanager
def furnished(folder: Path, database: Path, *apis: dict[str, Any]) -> Iterator[Path]:
    """Make `folder` a machine: with a configuration of `apis`, and a PREFECT_HOME of its own with a copy of `database`.
    At the end, what runs on it is stopped."""
    configure(folder, *apis)
    home = furnish(folder / "home", database)
    with temporary_settings({PREFECT_HOME: home}, restore_defaults={PREFECT_API_URL}):
        yield folder
        asyncio.run(stop_machine())


def configure(folder: Path, *apis: dict[str, Any]) -> None:
    """Write the configuration of a machine with `apis`, for which there are the `SCHEDULES`."""
    schedules = {name: {"cron": cron} for name, cron in SCHEDULES.items()}
    (folder / "api_config.json").write_text(json.dumps({"schedules": schedules, "apis": apis}))


@contextmanager
def started(machine: Path, *apis: dict[str, Any], **variables: str) -> Iterator[tuple[SyncPrefectClient, int]]:
    """Start the machine with `apis`, or its own configuration; gives a client of its server and the pid of its
    worker."""
    if apis:
        configure(machine, *apis)
    output, _ = gridtide(machine, "up", **variables).communicate()
    server, worker = find_server(), find_worker()
    assert server is not None, output
    assert worker is not None, output
    with temporary_settings({PREFECT_API_URL: server.url}), get_client(sync_client=True) as client:
        yield client, worker.pid


def start(client: SyncPrefectClient, deployment: str, **parameters: Any) -> FlowRun:
    """Create a run of `deployment`."""
    found = client.read_deployment_by_name(deployment)
    return client.create_flow_run_from_deployment(found.id, parameters=parameters)
