"""Killed processes, and the notifications about them."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

import psutil
import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun

from deployments.machine.worker import find_worker
from deployments.registry.notifications import AUTOMATIONS, apply_notifications
from deployments.registry.run_settings import RUN_SETTINGS
from tests.support.processes.machine import gridtide, start, started, until, until_events
from tests.support.receiving import Inbox, webhook
from tests.support.upstreams.holding import upstream

LIFELESS = "zombie.yaml"
"""The automation that makes a run Crashed which shows no life."""


def runs_of(worker: int) -> list[psutil.Process]:
    """The processes in which a worker runs flows."""
    return psutil.Process(worker).children(recursive=True)


def until_it_beats(client: SyncPrefectClient, run: FlowRun, times: int = 1) -> None:
    """Wait until the server has this number of heartbeats of `run`."""
    until_events(client, "prefect.flow-run.heartbeat", times, f"prefect.flow-run.{run.id}")


def wait_less_for_life(folder: Path) -> None:
    """Let the server consider a run dead after 40 s, more than the 30 s between two heartbeats."""
    shutil.copytree(AUTOMATIONS, folder)
    lifeless = folder / LIFELESS
    lifeless.write_text(lifeless.read_text().replace("within: 90", "within: 40"))

    async def apply() -> None:
        async with get_client() as client:
            changes = await apply_notifications(client, {}, folder)
        assert [change.name for change in changes if change.action == "changed"] == ["gridtide: zombie"]

    asyncio.run(apply())


def test_a_run_is_lifeless_after_three_heartbeats() -> None:
    """The automation waits three times the interval of the heartbeats."""
    trigger = yaml.safe_load((AUTOMATIONS / LIFELESS).read_text())["trigger"]
    assert trigger["within"] == 3 * int(RUN_SETTINGS["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"])


@pytest.mark.slow
@pytest.mark.timeout(600)  # server, worker and runs import Prefect one after the other: long on a loaded machine
def test_a_killed_run_is_told_as_crashed(machine: Path) -> None:
    """If only the run is killed, its worker reports it as crashed."""
    inbox = Inbox()
    with webhook(inbox) as hook, started(machine, GRIDTIDE_NOTIFY=hook) as (client, worker):
        run = until(client, start(client, "ingest/daily"), "Running")
        for process in runs_of(worker):
            process.kill()
        killed = time.monotonic()
        assert inbox.until(1)[0][0] == "ingest/daily crashed"
        print(f"the run killed: told after {inbox.arrived[0] - killed:.1f} s")
        assert client.read_flow_run(run.id).state_name == "Crashed"
    assert inbox.subjects == ["ingest/daily crashed"]


@pytest.mark.slow
@pytest.mark.timeout(600)  # server, worker and runs import Prefect one after the other: long on a loaded machine
def test_a_run_killed_with_its_worker_is_told_as_crashed(machine: Path) -> None:
    """If run and worker are killed, the server reports the run as crashed because heartbeats are missing."""
    inbox = Inbox()
    with webhook(inbox) as hook, started(machine, GRIDTIDE_NOTIFY=hook) as (client, worker):
        wait_less_for_life(machine / "automations")
        zombie = until(client, start(client, "ingest/daily"), "Running")
        until_it_beats(client, zombie)
        for process in [*runs_of(worker), psutil.Process(worker)]:
            process.kill()
        killed = time.monotonic()
        inbox.until(1)
        print(f"run and worker killed: told after {inbox.arrived[0] - killed:.1f} s")
        assert client.read_flow_run(zombie.id).state_name == "Crashed"
    assert inbox.subjects == ["ingest/daily crashed"]


@pytest.mark.slow
@pytest.mark.timeout(600)  # server, worker and runs import Prefect one after the other: long on a loaded machine
def test_a_run_that_no_worker_takes_is_told_as_late(machine: Path) -> None:
    """A run without a worker is reported as late, and runs after `gridtide up` started a worker."""
    inbox = Inbox()
    with webhook(inbox) as hook, started(machine, GRIDTIDE_NOTIFY=hook) as (client, worker):
        psutil.Process(worker).kill()
        waiting = start(client, "ingest/hourly")
        assert inbox.until(1)[0][0] == "ingest/hourly is late"
        assert client.read_flow_run(waiting.id).state_name == "Late"
        output, _ = gridtide(machine, "up", GRIDTIDE_NOTIFY=hook).communicate()
        assert "Server and worker are running" in output
        until(client, waiting, "Completed")
        again = find_worker()
        assert again is not None
        assert again.pid != worker
    assert inbox.subjects == ["ingest/hourly is late"]
    assert {path.parent.name for path in (machine / "lake").rglob("*.parquet")} == {"grid"}


@pytest.mark.slow
@pytest.mark.timeout(600)  # the third heartbeat is a minute after the first; Prefect allows none under 30 s
def test_a_run_outlives_its_worker(machine: Path) -> None:
    """If only the worker is killed, its run continues, ends and is recorded, and is not reported as crashed."""
    inbox = Inbox()
    with (
        webhook(inbox) as hook,
        upstream() as held,
        started(machine, held.entry("held", "daily"), GRIDTIDE_NOTIFY=hook) as (client, worker),
    ):
        wait_less_for_life(machine / "automations")
        orphan = until(client, start(client, "ingest/daily"), "Running")
        held.asked.acquire()
        psutil.Process(worker).kill()
        until_it_beats(client, orphan, 3)  # longer than a run without life may last
        assert client.read_flow_run(orphan.id).state_name == "Running"
        held.willing.set()
        until(client, orphan, "Completed")
    assert inbox.subjects == []
    assert {path.parent.name for path in (machine / "lake").rglob("*.parquet")} == {"held"}
