"""`gridtide up` and `down`: starting and stopping schedules on this machine."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_API_PORT, temporary_settings

from deployments.machine.worker import Worker, find_worker, stop_worker
from flows.run.local_server import STOP_TIMEOUT, ensure_server, find_server
from flows.run.metrics.exporting import ADDRESS
from gridtide import curated
from gridtide.config.loading import load
from gridtide.lake import Lake
from gridtide.periods import HOUR
from tests.support.processes.machine import furnished, gridtide, start, started, until
from tests.support.processes.prometheus import answers, scrape
from tests.support.processes.s3_servers import free_port
from tests.support.processes.served import synthetic

GONE = {
    "name": "gone", "url": "http://127.0.0.1:9/", "output_folder": "gone", "schedule": "weekly", "retries": 1,
    "records": "rows", "time": "time", "value": "mw",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_machine_runs_the_schedules_until_it_is_told_to_stop(machine: Path) -> None:
    """Two concurrent `up` share one server and one worker, whose runs are scraped, and whose log has their failures,
    although the commands that started it are quiet; `down` ends all, and the server records it. A worker also ends
    itself if it was started with SIGINT ignored, as a shell does in the background."""
    settings = json.loads((machine / "api_config.json").read_text())
    failing = {"task_retries": {"count": 0}, "apis": [*settings["apis"], GONE]}
    (machine / "api_config.json").write_text(json.dumps(settings | failing))
    port = free_port()
    both = [gridtide(machine, "up", **{ADDRESS: str(port)}) for _ in range(2)]
    for each in both:
        output, _ = each.communicate()
        assert each.returncode == 0, output
        assert "Server and worker are running" in output
    server, worker = find_server(), find_worker()
    assert server is not None
    assert worker == Worker(worker.pid if worker else 0, server.url, "gridtide")

    with temporary_settings({PREFECT_API_URL: server.url}), get_client(sync_client=True) as client:
        run, failing_run, hanging = (start(client, f"ingest/{name}") for name in ("hourly", "weekly", "daily"))
        assert until(client, run, "Completed", "Failed", "Crashed").state_name == "Completed"
        until(client, failing_run, "Failed")
        until(client, hanging, "Running")
    assert "gone" in (machine / "home" / "gridtide" / "worker.log").read_text()
    assert [path.parent.name for path in (machine / "lake").rglob("*.parquet")] == ["grid"]
    assert 'gridtide_entry_failed{entry="grid",flow="ingest"} 0.0' in scrape(port)

    output, _ = gridtide(machine, "down").communicate()
    assert not answers(f"http://127.0.0.1:{port}/metrics")
    assert f"Stopped the worker of the pool gridtide and the Prefect server at {server.ui}" in output
    assert (find_server(), find_worker()) == (None, None)

    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    in_background = gridtide(machine, "up")
    signal.signal(signal.SIGINT, handler)
    output, _ = in_background.communicate()
    assert "unchanged" in output
    assert "created" not in output
    again = find_server()
    assert again is not None
    with temporary_settings({PREFECT_API_URL: again.url}), get_client(sync_client=True) as client:
        ended = client.read_flow_run(hanging.id)
        assert ended.state_name == "Crashed"
    begun = time.monotonic()
    assert stop_worker() is not None
    assert time.monotonic() - begun < STOP_TIMEOUT


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_three_backfills_at_once_on_a_cold_machine(machine: Path) -> None:
    """Without a server before, they share the one that the first starts; all succeed, and every hour is read once."""
    period = ("--start", "2024-03-01", "--end", "2024-03-31", "--select", "grid")
    commands = [gridtide(machine, "backfill", *period) for _ in range(3)]
    outputs = [command.communicate()[0] for command in commands]
    assert [command.returncode for command in commands] == [0, 0, 0], outputs
    assert all("success" in output for output in outputs)
    (url,) = {match for output in outputs for match in re.findall(r"Prefect UI: (\S+)", output)}
    assert (server := find_server()) is not None
    assert server.url.startswith(url)
    loaded = load(machine / "api_config.json")
    start, end = datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 3, 31, tzinfo=UTC)
    table = asyncio.run(curated.read(Lake.open(str(machine / "lake")), loaded.select(["grid"]), start, end))
    assert sorted(table["interval_start"].to_pylist()) == [start + n * HOUR for n in range(30 * 24)]


@pytest.fixture(scope="module")
def scheduled(tmp_path_factory: pytest.TempPathFactory, migrated: Path, silent: str) -> Iterator[Path]:
    """A machine whose server creates the runs of the schedules, and whose worker runs them."""
    new_york = {"cron": "35 7 * * *", "timezone": "America/New_York"}
    schedules = {"minutely": {"cron": "* * * * *"}, "daily": new_york, "yearly": {"cron": "0 0 1 1 *"}}
    slow = {"name": "slow", "url": silent, "output_folder": "slow", "schedule": "yearly", "timeout": 300}
    apis = [synthetic("grid", "minutely"), synthetic("later", "daily"), slow]
    with furnished(tmp_path_factory.mktemp("machine"), migrated) as folder:
        (folder / "api_config.json").write_text(json.dumps({"schedules": schedules, "apis": apis}))
        with started(folder, PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED="true"):
            yield folder


@contextmanager
def connected() -> Iterator[SyncPrefectClient]:
    """A client of the local server, which is started unless it runs."""
    with temporary_settings({PREFECT_SERVER_API_PORT: 0}, restore_defaults={PREFECT_API_URL}):
        url = ensure_server()
    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
        yield client


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_is_due_is_run_without_being_asked_for(scheduled: Path) -> None:
    """The scheduler of the server creates the runs of each schedule, and the run of the next minute completes."""
    with connected() as client:
        daily, minutely = (client.read_deployment_by_name(f"ingest/{name}").id for name in ("daily", "minutely"))
        while not (runs := of(client, daily)):
            time.sleep(1)
        due = [run.expected_start_time.astimezone(ZoneInfo("America/New_York")) for run in runs]
        assert {(moment.hour, moment.minute) for moment in due} == {(7, 35)}
        while "Completed" not in {run.state_name for run in of(client, minutely)}:
            time.sleep(1)
        assert all(run.auto_scheduled for run in of(client, minutely))
    assert {path.parent.name for path in (scheduled / "lake").rglob("*.parquet")} == {"grid"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_down_ends_what_a_killed_worker_left(scheduled: Path) -> None:
    """`down` ends a run whose worker was killed, and the server records it."""
    worker = find_worker()
    assert worker is not None
    with connected() as client:
        orphan = until(client, start(client, "ingest/yearly"), "Running")
        psutil.Process(worker.pid).kill()
        process = psutil.Process(int(orphan.infrastructure_pid or 0))
        output, _ = gridtide(scheduled, "down").communicate()
    assert "Stopped the Prefect server" in output
    assert not process.is_running()
    with connected() as client:
        assert client.read_flow_run(orphan.id).state_name == "Crashed"


def of(client: SyncPrefectClient, deployment: UUID) -> list[FlowRun]:
    """The runs of a deployment."""
    return client.read_flow_runs(deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])))
