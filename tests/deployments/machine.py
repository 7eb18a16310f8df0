"""A machine of its own: a folder with a configuration and a PREFECT_HOME, in which commands are run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun

from deployments.deploy import POOL
from deployments.worker import SETTINGS

ROOT = Path(__file__).resolve().parents[2]


def gridtide(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """The command, started in `folder`."""
    command = [sys.executable, "-m", "deployments.cli", *arguments]
    environment = _environment(folder) | variables
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@contextmanager
def another_worker(folder: Path, api: str, limit: int) -> Iterator[psutil.Process]:
    """A further worker of our pool, as another machine would have one, with at most `limit` runs at a time."""
    command = ["prefect", "worker", "start", "--type", "process", "--pool", POOL, "--limit", str(limit)]
    environment = {**SETTINGS, **_environment(folder), "PREFECT_API_URL": api}
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
        # no run comes between those that a test asks for, whatever the time of day
        "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
        "PYTHONPATH": str(ROOT),
    }


def until(client: SyncPrefectClient, run: FlowRun, *states: str) -> FlowRun:
    """`run`, once it is in one of `states`."""
    while run.state is None or run.state.name not in states:
        time.sleep(0.2)
        run = client.read_flow_run(run.id)
    return run
