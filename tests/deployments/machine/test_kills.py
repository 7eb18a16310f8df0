"""Killed processes, and the notifications about them, on one machine: each test runs a deployment of its own."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun

from deployments.machine.worker import find_worker
from deployments.registry.notifications import AUTOMATIONS, apply_notifications
from deployments.registry.run_settings import RUN_SETTINGS
from tests.support.processes.machine import furnished, gridtide, start, started, until, until_events
from tests.support.processes.served import synthetic
from tests.support.receiving import Inbox, webhook
from tests.support.upstreams.holding import WaitingUpstream, upstream

LIFELESS = "zombie.yaml"
"""The automation that makes a run Crashed which shows no life."""


class Machine(NamedTuple):
    """A machine with the schedules: its worker, a client of its server, and what its receiver was sent."""

    folder: Path
    worker: int
    client: SyncPrefectClient
    inbox: Inbox
    hook: str

    def subjects(self, deployment: str) -> list[str]:
        """The subjects of the messages about `deployment`."""
        return [subject for subject in self.inbox.subjects if subject.startswith(f"{deployment} ")]

    def until_message(self, deployment: str) -> str:
        """The subject of the first message about `deployment`, once it is there."""
        number = 1
        while not (subjects := self.subjects(deployment)):
            number = len(self.inbox.until(number)) + 1
        return subjects[0]


@pytest.fixture(scope="module")
def held() -> Iterator[WaitingUpstream]:
    """An upstream that answers when a test lets it."""
    with upstream() as server:
        yield server


@pytest.fixture(scope="module")
def machine(
    tmp_path_factory: pytest.TempPathFactory, migrated: Path, silent: str, held: WaitingUpstream
) -> Iterator[Machine]:
    """A machine for the tests of this module."""
    slow = [
        {"name": name, "url": silent, "output_folder": name, "schedule": schedule, "timeout": 300}
        for name, schedule in (("killed", "daily"), ("zombie", "weekly"))
    ]
    apis = [synthetic("grid", "hourly"), *slow, held.entry("held", "monthly")]
    inbox = Inbox()
    with (
        webhook(inbox) as hook,
        furnished(tmp_path_factory.mktemp("machine"), migrated, *apis) as folder,
        started(folder, GRIDTIDE_NOTIFY=hook) as (client, worker),
    ):
        yield Machine(folder, worker, client, inbox, hook)


class Abandoned(NamedTuple):
    """The runs of a worker that was killed at `killed`, in monotonic seconds: one was killed with it, one goes on, and
    one was started later."""

    killed: float
    zombie: FlowRun
    orphan: FlowRun
    waiting: FlowRun


@pytest.fixture(scope="module")
def abandoned(machine: Machine, held: WaitingUpstream) -> Abandoned:
    """The worker is killed, and one of its two runs with it."""
    client = machine.client
    wait_less_for_life(machine.folder / "automations")
    runs = [start(client, f"ingest/{name}") for name in ("weekly", "monthly")]
    zombie, orphan = (until(client, run, "Running") for run in runs)
    held.asked.acquire()
    for run in (zombie, orphan):
        until_it_beats(client, run)
    process = psutil.Process(int(zombie.infrastructure_pid or 0))
    for killed in [*process.children(recursive=True), process, psutil.Process(machine.worker)]:
        killed.kill()
    return Abandoned(time.monotonic(), zombie, orphan, start(client, "ingest/hourly"))


def until_it_beats(client: SyncPrefectClient, run: FlowRun, times: int = 1) -> None:
    """Wait until the server has this number of heartbeats of `run`."""
    until_events(client, "prefect.flow-run.heartbeat", times, f"prefect.flow-run.{run.id}")


def wait_less_for_life(folder: Path) -> None:
    """Let the server consider a run dead after 50 s: on a loaded machine a heartbeat, due every 30 s, is late."""
    shutil.copytree(AUTOMATIONS, folder)
    lifeless = folder / LIFELESS
    lifeless.write_text(lifeless.read_text().replace("within: 90", "within: 50"))

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
def test_a_killed_run_is_told_as_crashed(machine: Machine) -> None:
    """If only the run is killed, its worker reports it as crashed."""
    client = machine.client
    run = until(client, start(client, "ingest/daily"), "Running")
    for process in psutil.Process(machine.worker).children(recursive=True):
        process.kill()
    killed = time.monotonic()
    assert machine.until_message("ingest/daily") == "ingest/daily crashed"
    print(f"the run killed: told after {time.monotonic() - killed:.1f} s")
    assert client.read_flow_run(run.id).state_name == "Crashed"


@pytest.mark.slow
@pytest.mark.timeout(600)  # server, worker and runs import Prefect one after the other: long on a loaded machine
def test_a_run_killed_with_its_worker_is_told_as_crashed(machine: Machine, abandoned: Abandoned) -> None:
    """If run and worker are killed, the server reports the run as crashed because heartbeats are missing."""
    assert machine.until_message("ingest/weekly") == "ingest/weekly crashed"
    print(f"run and worker killed: told after {time.monotonic() - abandoned.killed:.1f} s")
    assert machine.client.read_flow_run(abandoned.zombie.id).state_name == "Crashed"


@pytest.mark.slow
@pytest.mark.timeout(600)  # the third heartbeat is a minute after the first; Prefect allows none under 30 s
def test_a_run_outlives_its_worker(machine: Machine, abandoned: Abandoned, held: WaitingUpstream) -> None:
    """If only the worker is killed, its run continues, ends and is recorded, and is not reported as crashed."""
    client, orphan = machine.client, abandoned.orphan
    until_it_beats(client, orphan, 3)  # longer than a run without life may last
    assert client.read_flow_run(orphan.id).state_name == "Running"
    held.willing.set()
    until(client, orphan, "Completed")
    assert machine.subjects("ingest/monthly") == []
    assert list((machine.folder / "lake" / "held").rglob("*.parquet"))


@pytest.mark.slow
@pytest.mark.timeout(600)  # server, worker and runs import Prefect one after the other: long on a loaded machine
def test_a_run_that_no_worker_takes_is_told_as_late(machine: Machine, abandoned: Abandoned) -> None:
    """A run without a worker is reported as late, and runs after `gridtide up` started a worker."""
    client, waiting = machine.client, abandoned.waiting
    assert machine.until_message("ingest/hourly") == "ingest/hourly is late"
    assert client.read_flow_run(waiting.id).state_name == "Late"
    output, _ = gridtide(machine.folder, "up", GRIDTIDE_NOTIFY=machine.hook).communicate()
    assert "Server and worker are running" in output
    until(client, waiting, "Completed")
    again = find_worker()
    assert again is not None
    assert again.pid != machine.worker
    assert machine.subjects("ingest/hourly") == ["ingest/hourly is late"]
    assert list((machine.folder / "lake" / "grid").rglob("*.parquet"))
    assert sorted(machine.inbox.subjects) == sorted(
        {subject for name in ("daily", "weekly", "hourly") for subject in machine.subjects(f"ingest/{name}")}
    ), "each run is told of once"
