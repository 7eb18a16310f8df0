"""A machine of its own: a folder with a configuration and a PREFECT_HOME, in which commands are run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun

ROOT = Path(__file__).resolve().parents[2]


def gridtide(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """The command, started in `folder`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {
        "PREFECT_HOME": str(folder / "home"),
        "PREFECT_SERVER_API_PORT": "0",
        # no run comes between those that a test asks for, whatever the time of day
        "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "deployments.cli", *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=environment | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def until(client: SyncPrefectClient, run: FlowRun, *states: str) -> FlowRun:
    """`run`, once it is in one of `states`."""
    while run.state is None or run.state.name not in states:
        time.sleep(0.2)
        run = client.read_flow_run(run.id)
    return run
