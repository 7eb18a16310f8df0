"""Processes that are killed, and who hears of it."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter

from deployments.machine.worker import worker_status
from tests.support.holding import upstream
from tests.support.machine import gridtide, start, started, until
from tests.support.receiving import Inbox, webhook
from tests.support.served import synthetic


def runs_of(worker: int) -> list[psutil.Process]:
    """The processes in which a worker runs flows."""
    return psutil.Process(worker).children(recursive=True)


def until_it_beats(client: SyncPrefectClient, run: FlowRun, times: int = 1) -> None:
    """Wait until the server knows of so many heartbeats of `run`."""
    name, resource = EventNameFilter(name=["prefect.flow-run.heartbeat"]), [f"prefect.flow-run.{run.id}"]
    # made anew each time: a filter ends at the moment it was made
    while (
        len(client.read_events(EventFilter(event=name, resource=EventResourceFilter(id=resource)), limit=times).events)
        < times
    ):
        time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_whoever_is_killed_is_told_of(machine: Path) -> None:
    """The run alone, and run and worker together: both are told as crashed; a run that no worker takes, as late."""
    inbox = Inbox()
    with webhook(inbox) as hook, started(machine, GRIDTIDE_NOTIFY=hook) as (client, worker):
        until(client, start(client, "ingest/daily"), "Running")
        for process in runs_of(worker):
            process.kill()
        killed = time.monotonic()
        assert inbox.until(1, 60)[0][0] == "ingest/daily crashed"
        print(f"the run killed: told after {inbox.arrived[0] - killed:.1f} s")

        zombie = until(client, start(client, "ingest/daily"), "Running")
        until_it_beats(client, zombie)
        for process in [*runs_of(worker), psutil.Process(worker)]:
            process.kill()
        killed = time.monotonic()
        waiting = start(client, "ingest/hourly")
        inbox.until(3, 180)
        told = dict(zip(inbox.subjects, inbox.arrived, strict=True))
        print({subject: round(when - killed, 1) for subject, when in told.items()})
        assert sorted(inbox.subjects) == ["ingest/daily crashed", "ingest/daily crashed", "ingest/hourly is late"]
        assert client.read_flow_run(zombie.id).state_name == "Crashed"
        assert client.read_flow_run(waiting.id).state_name == "Late"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_outlives_its_worker(machine: Path) -> None:
    """The worker alone is killed: its run goes on, shows that it lives, ends and is recorded, and is not told as
    crashed; what comes next is told as late, and is run as soon as `gridtide up` brought a worker back."""
    inbox = Inbox()
    with webhook(inbox) as hook, upstream() as held:
        apis = held.entry("held", "daily"), synthetic("grid", "hourly")
        with started(machine, *apis, GRIDTIDE_NOTIFY=hook) as (client, worker):
            orphan = until(client, start(client, "ingest/daily"), "Running")
            assert held.asked.acquire(timeout=60)
            psutil.Process(worker).kill()
            waiting = start(client, "ingest/hourly")
            assert inbox.until(1, 60)[0][0] == "ingest/hourly is late"
            until_it_beats(client, orphan, 5)  # longer than a run without life may last
            assert client.read_flow_run(orphan.id).state_name == "Running"
            held.willing.set()
            until(client, orphan, "Completed")
            assert client.read_flow_run(waiting.id).state_name == "Late"
            output, _ = gridtide(machine, "up", GRIDTIDE_NOTIFY=hook).communicate()
            assert "Server and worker are running" in output
            until(client, waiting, "Completed")
            again = worker_status()
            assert again is not None
            assert again.pid != worker
    assert inbox.subjects == ["ingest/hourly is late"]
    assert {path.parent.name for path in (machine / "lake").rglob("*.parquet")} == {"held", "grid"}
