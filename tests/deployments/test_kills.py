"""Processes that are killed, and who hears of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.worker import worker_status
from flows.local_server import server_status
from gridtide import config, curated
from gridtide.lake import Lake
from gridtide.periods import EPOCH
from tests.deployments.holding import upstream
from tests.deployments.machine import another_worker, gridtide, until
from tests.deployments.receiving import Inbox, webhook
from tests.deployments.served import synthetic


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


@contextmanager
def started(machine: Path, *apis: dict[str, Any], **variables: str) -> Iterator[tuple[SyncPrefectClient, int]]:
    """A client of the machine's server, and the pid of its worker, once it is up with `apis`, or what it has."""
    if apis:
        schedules = {"hourly": {"cron": "12 * * * *"}, "daily": {"cron": "35 7 * * *"}}
        (machine / "api_config.json").write_text(json.dumps({"schedules": schedules, "apis": apis}))
    output, _ = gridtide(machine, "up", **variables).communicate()
    server, worker = server_status(), worker_status()
    assert server is not None, output
    assert worker is not None, output
    with temporary_settings({PREFECT_API_URL: server.url}), get_client(sync_client=True) as client:
        yield client, worker.pid


def start(client: SyncPrefectClient, deployment: str, **parameters: Any) -> FlowRun:
    """A new run of `deployment`."""
    found = client.read_deployment_by_name(deployment)
    return client.create_flow_run_from_deployment(found.id, parameters=parameters)


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
            assert "All is up" in output
            until(client, waiting, "Completed")
            again = worker_status()
            assert again is not None
            assert again.pid != worker
    assert inbox.subjects == ["ingest/hourly is late"]
    assert {path.parent.name for path in (machine / "lake").rglob("*.parquet")} == {"held", "grid"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_receiver_that_was_away_for_a_minute_hears_everything_once(machine: Path, unused_tcp_port: int) -> None:
    """Two runs are killed while nobody listens. The flow `notify`, which the failed delivery starts, tells of the first
    as soon as the receiver is back; its next run of the second, which no automation told as it came in a burst."""
    inbox = Inbox()
    with started(machine, GRIDTIDE_NOTIFY=f"http://127.0.0.1:{unused_tcp_port}/hook") as (client, _):
        away = time.monotonic()
        killed = []
        for _ in range(2):
            run = until(client, start(client, "ingest/daily"), "Running")
            psutil.Process(int(run.infrastructure_pid or 0)).kill()
            killed.append(until(client, run, "Crashed"))
        time.sleep(away + 60 - time.monotonic())
        with webhook(inbox, unused_tcp_port):
            back = time.monotonic()
            inbox.until(1, 90)
            print(f"the receiver back: told after {inbox.arrived[0] - back:.1f} s")
            while len(inbox.messages) < 2:
                until(client, start(client, "notify/untold"), "Completed", "Cancelled")
            until(client, start(client, "notify/untold"), "Completed")
    assert inbox.subjects == ["ingest/daily crashed"] * 2
    assert [run.name in body for run, (_, body) in zip(killed, inbox.messages, strict=True)] == [True, True]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_workers_of_a_pool_share_a_backfill_and_one_is_killed(machine: Path) -> None:
    """Its runs, of four days each, are two workers' at the same time; what died with one of them is filled by running
    it again, and every hour is read once."""
    first = datetime(2024, 1, 1, tzinfo=UTC)
    pieces = [(first + timedelta(days=4 * n), first + timedelta(days=4 * n + 4)) for n in range(4)]
    with upstream() as held:
        (machine / "api_config.json").write_text(json.dumps({"apis": [held.entry("hours")]}))
        output, _ = gridtide(machine, "deploy").communicate()
        server = server_status()
        assert server is not None, output
        with (
            temporary_settings({PREFECT_API_URL: server.url}),
            get_client(sync_client=True) as client,
            another_worker(machine, server.url, limit=2) as one,
            another_worker(machine, server.url, limit=2) as other,
        ):
            runs = [start(client, "backfill/by-hand", start=a.isoformat(), end=b.isoformat()) for a, b in pieces]
            runs = [until(client, run, "Running") for run in runs]
            for _ in runs:
                assert held.asked.acquire(timeout=60)
            shares = [{str(process.pid) for process in each.children(recursive=True)} for each in (one, other)]
            lost, kept = ([run for run in runs if run.infrastructure_pid in share] for share in shares)
            assert (len(lost), len(kept)) == (2, 2)
            for process in [*one.children(recursive=True), one]:
                process.kill()
            held.willing.set()
            for run in kept:
                until(client, run, "Completed")
            for run in lost:
                until(client, start(client, "backfill/by-hand", **run.parameters), "Completed")
    loaded = config.load(machine / "api_config.json")
    table = asyncio.run(curated.read(Lake.open(str(machine / "lake")), loaded.apis, pieces[0][0], pieces[-1][1]))
    hours = [first + timedelta(hours=n) for n in range(4 * 4 * 24)]
    found = zip(table["interval_start"].to_pylist(), table["value"].to_pylist(), strict=True)
    assert sorted(found) == [(hour, (hour - EPOCH) / timedelta(hours=1)) for hour in hours]
