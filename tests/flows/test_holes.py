"""A failed day on a real Prefect server: it is named in every report, and the monitor collects it later."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deployments.cli.status import _describe_absent, read_status
from flows.backfill import backfill
from flows.monitor import monitor
from flows.replay import replay
from flows.run.report import RunError
from gridtide import curated
from gridtide.config.loading import parse
from gridtide.coverage import failed_periods
from gridtide.entries.entry import TaskRetries
from gridtide.lake import Lake
from gridtide.periods import Period, floor
from tasks.remote import Destination, PrefectAccess, RemoteCall, RemoteUnit, run_call
from tests.support.upstreams.daily_files import DailyFiles

pytestmark = pytest.mark.usefixtures("prefect_server")

DAY = timedelta(days=1)
TODAY = floor(datetime.now(UTC), DAY)
WEEK = Period(TODAY - 7 * DAY, TODAY)
BAD = Period(TODAY - 4 * DAY, TODAY - 3 * DAY)


@pytest.fixture
async def daily(tmp_path: Path) -> AsyncIterator[tuple[DailyFiles, dict[str, Any]]]:
    """Daily files on a server, and the configuration that collects them."""
    files = DailyFiles()
    app = web.Application()
    app.router.add_get("/{day}.csv", files.answer)
    async with TestServer(app) as server:
        url = str(server.make_url("/")) + "{start:%Y-%m-%d}.csv"
        api = {"name": "load", "url": url, "output_folder": "load", "time": "time", "chunk": "P7D", "retries": 1}
        yield files, {"lake": str(tmp_path), "task_retries": {"count": 0}, "apis": [api]}


@pytest.mark.parametrize("fault", ["absent", "malformed", "conflicting"])
async def test_a_bad_day_is_named_left_to_the_monitor_and_healed(
    daily: tuple[DailyFiles, dict[str, Any]], tmp_path: Path, fault: str
) -> None:
    """The good days are stored, and backfill and status name the failed day with the reason. A second backfill
    leaves it out with a warning; the monitor requests it after its wait, and then nothing is missing."""
    files, config = daily
    files.faults = {BAD.start.date(): fault}
    with pytest.raises(RunError, match="the monitor requests them again") as caught:
        await backfill(WEEK.start, WEEK.end, config=config)
    [row] = caught.value.report["results"]
    [error] = row["errors"]
    assert error.startswith(f"{BAD}: load: ")
    assert row["missing"] == [str(BAD)]

    asked_before = len(files.requests)
    again = (await backfill(WEEK.start, WEEK.end, config=config))["results"][0]
    assert len(files.requests) == asked_before
    assert (again["missing"], str(BAD) in again["warnings"][0]) == ([str(BAD)], True)

    lake, [entry] = Lake.open(str(tmp_path)), parse(config).apis
    [status] = await read_status([entry], lake, datetime.now(UTC))
    [failure] = status.failures
    assert (failure.period, failure.is_lasting) == (BAD, True)
    await failed_periods.remember_failures(lake, entry, [replace(failure, last=failure.last - 2 * timedelta(hours=1))])
    files.faults.clear()
    healed = (await monitor(config=config, days=7))["results"][0]
    assert (healed["missing"], healed["errors"]) == ([], [])
    assert await failed_periods.recall_failures(lake, entry) == []
    table = await curated.read(lake, [entry], WEEK.start, WEEK.end)
    assert table.num_rows == len(set(table["interval_start"].to_pylist())) == 7 * 24


async def test_an_outage_of_one_day_is_asked_for_again_by_the_next_run(
    daily: tuple[DailyFiles, dict[str, Any]], tmp_path: Path
) -> None:
    """After an outage, the next backfill requests that day and no other."""
    files, config = daily
    files.faults = {BAD.start.date(): "outage"}
    with pytest.raises(RunError, match="Run it again: only what is missing is requested"):
        await backfill(WEEK.start, WEEK.end, config=config)
    files.faults.clear()
    files.requests.clear()
    again = (await backfill(WEEK.start, WEEK.end, config=config))["results"][0]
    assert (again["missing"], files.requests) == ([], [BAD.start.date()])


async def test_a_worker_of_a_cluster_asks_again_for_the_open_days_alone(tmp_path: Path) -> None:
    """A day whose request fails once is requested again within the run, the others are not, and all days are stored."""
    files = DailyFiles()
    files.faults = {BAD.start.date(): "outage"}

    async def answer(request: web.Request) -> web.Response:
        response = await files.answer(request)
        files.faults.pop(date.fromisoformat(request.match_info["day"]), None)
        return response

    app = web.Application()
    app.router.add_get("/{day}.csv", answer)
    async with TestServer(app) as server:
        url = str(server.make_url("/")) + "{start:%Y-%m-%d}.csv"
        api = {"name": "load", "url": url, "output_folder": "load", "time": "time", "chunk": "P7D", "retries": 1}
        [entry] = parse({"apis": [api]}).apis
        retries = TaskRetries(count=1, delay=timedelta(milliseconds=10))
        destination = Destination(str(tmp_path), datetime.now(UTC), {})
        call = RemoteCall("load", RemoteUnit([(entry, WEEK)], destination, retries).collect)
        [collected] = await asyncio.to_thread(run_call, call, retries, PrefectAccess.of_settings())
    assert isinstance(collected, dict)
    assert collected["holes"] == []
    assert Counter(files.requests) == Counter({(WEEK.start + n * DAY).date(): 1 + (n == 3) for n in range(7)})
    table = await curated.read(Lake.open(str(tmp_path)), [entry], WEEK.start, WEEK.end)
    assert table.num_rows == len(set(table["interval_start"].to_pylist())) == 7 * 24


async def test_a_day_without_data_is_covered_and_named_and_a_replay_repeats_the_run(tmp_path: Path) -> None:
    """A status that means nothing covers its day, which report and status name; with a failed day beside it, a replay
    finds what the run stored, and changes nothing."""
    files = DailyFiles()
    absent = Period(TODAY - 6 * DAY, TODAY - 5 * DAY)
    files.faults = {absent.start.date(): "absent", BAD.start.date(): "outage"}
    app = web.Application()
    app.router.add_get("/{day}.csv", files.answer)
    async with TestServer(app) as server:
        url = str(server.make_url("/")) + "{start:%Y-%m-%d}.csv"
        api = {"name": "load", "url": url, "output_folder": "load", "time": "time", "chunk": "P7D", "retries": 1}
        config = {"lake": str(tmp_path), "task_retries": {"count": 0}, "apis": [{**api, "absent": [404]}]}
        with pytest.raises(RunError) as raised:
            await backfill(WEEK.start, WEEK.end, config=config)
    [result] = raised.value.report["results"]
    assert (result["absent"], result["missing"]) == ([str(absent)], [str(BAD)])
    lake, [entry] = Lake.open(str(tmp_path)), parse(config).apis
    [status] = await read_status([entry], lake, datetime.now(UTC))
    assert (status.absent, [failure.period for failure in status.failures]) == ((absent,), [BAD])
    assert f"the upstream has nothing for 1 day: {absent}" in _describe_absent(status)

    before = {file.path: file.stamp for file in await lake.list_files("load", "load")}
    report = await replay(config=config)
    summary = report["summary"]
    assert (summary["unchanged"], summary["failed"], summary["interrupted"]) == (1, 0, 0)
    assert {file.path: file.stamp for file in await lake.list_files("load", "load")} == before
