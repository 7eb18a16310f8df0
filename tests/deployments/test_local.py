"""`gridtide up` and `down`: a machine that runs the schedules, and then does not."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from deployments.worker import Worker, worker_status
from flows.local_server import server_status
from tests.deployments.served import synthetic

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of an upstream that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"


@pytest.fixture
def machine(tmp_path: Path, silent: str) -> Iterator[Path]:
    """A folder with a configuration, and a PREFECT_HOME of its own."""
    slow = {"name": "slow", "url": silent, "output_folder": "slow", "schedule": "daily", "timeout": 300}
    schedules = {"hourly": {"cron": "12 * * * *"}, "daily": {"cron": "35 7 * * *"}}
    apis = [synthetic("grid", "hourly"), slow]
    (tmp_path / "api_config.json").write_text(json.dumps({"schedules": schedules, "apis": apis}))
    with temporary_settings({PREFECT_HOME: tmp_path / "home"}, restore_defaults={PREFECT_API_URL}):
        yield tmp_path
        gridtide(tmp_path, "down").communicate()


def gridtide(folder: Path, command: str) -> subprocess.Popen[str]:
    """The command, started in `folder`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"PREFECT_HOME": str(folder / "home"), "PREFECT_SERVER_API_PORT": "0", "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-m", "deployments.cli", command]
    return subprocess.Popen(
        arguments, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def until(client: SyncPrefectClient, run: FlowRun, *states: str) -> FlowRun:
    """`run`, once it is in one of `states`."""
    while run.state is None or run.state.name not in states:
        time.sleep(0.2)
        run = client.read_flow_run(run.id)
    return run


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_machine_runs_the_schedules_until_it_is_told_to_stop(machine: Path) -> None:
    """Two `up` at the same moment share one server and one worker, which runs what is asked for; `down` ends both
    and what runs, and the server knows that."""
    both = [gridtide(machine, "up") for _ in range(2)]
    for each in both:
        output, _ = each.communicate()
        assert each.returncode == 0, output
        assert "All is up" in output
    server, worker = server_status(), worker_status()
    assert server is not None
    assert worker == Worker(worker.pid if worker else 0, server.url, "gridtide")

    with temporary_settings({PREFECT_API_URL: server.url}), get_client(sync_client=True) as client:
        hourly, daily = (client.read_deployment_by_name(f"ingest/{name}") for name in ("hourly", "daily"))
        run = client.create_flow_run_from_deployment(hourly.id)
        assert until(client, run, "Completed", "Failed", "Crashed").state_name == "Completed"
        hanging = until(client, client.create_flow_run_from_deployment(daily.id), "Running")
    assert [path.parent.name for path in (machine / "lake").rglob("*.parquet")] == ["grid"]

    output, _ = gridtide(machine, "down").communicate()
    assert f"Stopped the worker of the pool gridtide and the Prefect server at {server.ui}" in output
    assert (server_status(), worker_status()) == (None, None)

    output, _ = gridtide(machine, "up").communicate()
    assert output.count("unchanged") == 4, output
    again = server_status()
    assert again is not None
    with temporary_settings({PREFECT_API_URL: again.url}), get_client(sync_client=True) as client:
        ended = client.read_flow_run(hanging.id)
        assert ended.state_name == "Crashed"
