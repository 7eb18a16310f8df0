"""Processes that are killed, and who hears of it."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.worker import worker_status
from flows.local_server import server_status
from tests.deployments.machine import gridtide, until
from tests.deployments.receiving import Inbox, webhook


def runs_of(worker: int) -> list[psutil.Process]:
    """The processes in which a worker runs flows."""
    return psutil.Process(worker).children(recursive=True)


def until_it_beats(client: SyncPrefectClient, run: FlowRun) -> None:
    """Wait until the server knows of a heartbeat of `run`."""
    name, resource = EventNameFilter(name=["prefect.flow-run.heartbeat"]), [f"prefect.flow-run.{run.id}"]
    # made anew each time: a filter ends at the moment it was made
    while not client.read_events(EventFilter(event=name, resource=EventResourceFilter(id=resource)), limit=1).events:
        time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_whoever_is_killed_is_told_of(machine: Path) -> None:
    """The run alone, and run and worker together: both are told as crashed; a run that no worker takes, as late."""
    inbox = Inbox()
    with webhook(inbox) as hook:
        output, _ = gridtide(machine, "up", GRIDTIDE_NOTIFY=hook).communicate()
        server, worker = server_status(), worker_status()
        assert server is not None, output
        assert worker is not None, output
        with temporary_settings({PREFECT_API_URL: server.url}), get_client(sync_client=True) as client:
            daily = client.read_deployment_by_name("ingest/daily")
            until(client, client.create_flow_run_from_deployment(daily.id), "Running")
            for process in runs_of(worker.pid):
                process.kill()
            killed = time.monotonic()
            assert inbox.until(1, 60)[0][0] == "ingest/daily crashed"
            print(f"the run killed: told after {inbox.arrived[0] - killed:.1f} s")

            zombie = until(client, client.create_flow_run_from_deployment(daily.id), "Running")
            until_it_beats(client, zombie)
            both = [*runs_of(worker.pid), psutil.Process(worker.pid)]
            for process in both:
                process.send_signal(signal.SIGKILL)
            killed = time.monotonic()
            waiting = client.create_flow_run_from_deployment(client.read_deployment_by_name("ingest/hourly").id)
            inbox.until(3, 180)
            told = dict(zip(inbox.subjects, inbox.arrived, strict=True))
            print({subject: round(when - killed, 1) for subject, when in told.items()})
            assert sorted(inbox.subjects) == ["ingest/daily crashed", "ingest/daily crashed", "ingest/hourly is late"]
            assert client.read_flow_run(zombie.id).state_name == "Crashed"
            assert client.read_flow_run(waiting.id).state_name == "Late"
