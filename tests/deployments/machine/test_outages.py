"""Outages of a receiver, or of one of several workers, during the work."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.notify import notify
from flows.run.local_server import find_server
from gridtide import curated
from gridtide.config.loading import load
from gridtide.lake import Lake
from gridtide.periods import EPOCH
from tests.support.processes.machine import another_worker, gridtide, start, started, until, until_events
from tests.support.receiving import Inbox, webhook
from tests.support.upstreams.holding import upstream


@pytest.mark.slow
@pytest.mark.timeout(600)  # server, worker and runs import Prefect one after the other: long on a loaded machine
def test_a_receiver_that_was_away_hears_everything_once(
    machine: Path, silent: str, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two runs that were killed while the receiver could not be reached, each is reported once after its return."""
    inbox, keys = Inbox(), ("name", "output_folder", "schedule")
    apis = [{**dict.fromkeys(keys, schedule), "url": silent, "timeout": 300} for schedule in ("daily", "hourly")]
    with started(machine, *apis, GRIDTIDE_NOTIFY=f"http://127.0.0.1:{unused_tcp_port}/hook") as (client, _):
        runs = [start(client, f"ingest/{api['schedule']}") for api in apis]
        killed = []
        for run in [until(client, run, "Running") for run in runs]:  # a slow start would make two bursts of them
            psutil.Process(int(run.infrastructure_pid or 0)).kill()
            killed.append(until(client, run, "Crashed"))
        until_events(client, "prefect.task-run.AwaitingRetry", 2)
        with webhook(inbox, unused_tcp_port):
            back = time.monotonic()
            inbox.until(1)
            print(f"the receiver back: told after {inbox.arrived[0] - back:.1f} s")
            run_pending(client)
            # for a minute and a half, `notify` would leave what came in a burst to the automations
            monkeypatch.setattr("tasks.notify.history.GRACE", timedelta(0))
            while len(inbox.messages) < 2:
                asyncio.run(notify())
            run_pending(client)
    assert inbox.subjects == ["ingest/daily crashed", "ingest/hourly crashed"]
    assert [run.name in body for run, (_, body) in zip(killed, inbox.messages, strict=True)] == [True, True]


def run_pending(client: SyncPrefectClient) -> None:
    """Run the deployment of `notify`; it is cancelled while the run that a failed delivery started is not over yet."""
    while until(client, start(client, "notify/pending"), "Completed", "Cancelled").state_name == "Cancelled":
        pass


@pytest.mark.slow
@pytest.mark.timeout(600)  # server, worker and runs import Prefect one after the other: long on a loaded machine
def test_workers_of_a_pool_share_a_backfill_and_one_is_killed(machine: Path) -> None:
    """Two workers share the pieces of a backfill; after one is killed, starting its piece again completes it, and
    every hour is stored once."""
    first = datetime(2024, 1, 1, tzinfo=UTC)
    pieces = [(first + timedelta(days=8 * n), first + timedelta(days=8 * n + 8)) for n in range(2)]
    with upstream() as held:
        (machine / "api_config.json").write_text(json.dumps({"apis": [held.entry("hours")]}))
        output, _ = gridtide(machine, "deploy").communicate()
        server = find_server()
        assert server is not None, output
        with (
            temporary_settings({PREFECT_API_URL: server.url}),
            get_client(sync_client=True) as client,
            another_worker(machine, server.url, limit=1) as one,
            another_worker(machine, server.url, limit=1) as other,
        ):
            runs = [start(client, "backfill/by-hand", start=a.isoformat(), end=b.isoformat()) for a, b in pieces]
            runs = [until(client, run, "Running") for run in runs]
            for _ in runs:
                held.asked.acquire()
            shares = [{str(process.pid) for process in each.children(recursive=True)} for each in (one, other)]
            lost, kept = ([run for run in runs if run.infrastructure_pid in share] for share in shares)
            assert (len(lost), len(kept)) == (1, 1)
            for process in [*one.children(recursive=True), one]:
                process.kill()
            held.willing.set()
            for run in kept:
                until(client, run, "Completed")
            for run in [start(client, "backfill/by-hand", **run.parameters) for run in lost]:
                until(client, run, "Completed")
    loaded = load(machine / "api_config.json")
    table = asyncio.run(curated.read(Lake.open(str(machine / "lake")), loaded.apis, pieces[0][0], pieces[-1][1]))
    hours = [first + timedelta(hours=n) for n in range(2 * 8 * 24)]
    found = zip(table["interval_start"].to_pylist(), table["value"].to_pylist(), strict=True)
    assert sorted(found) == [(hour, (hour - EPOCH) / timedelta(hours=1)) for hour in hours]
