"""The monitor on a real Prefect server: missing data is found, requested once, and reported."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prefect.client.orchestration import get_client
from prefect.events import Event
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter

from deployments.cli.status import read_status
from flows.backfill import backfill
from flows.monitor import monitor
from flows.run.report import RunError
from gridtide import curated
from gridtide.collect.collection import collect
from gridtide.config.loading import parse
from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError
from gridtide.http.client import Http
from gridtide.lake import Lake
from gridtide.periods import EPOCH, Period, floor, union
from tests.support.upstreams.http_servers import serving

pytestmark = pytest.mark.usefixtures("prefect_server")

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = datetime.now(UTC)
TODAY = floor(NOW, DAY)


class GappyUpstream:
    """An upstream with hourly values for all times except `silent` hours. It refuses the days in `refused`, and may
    answer with `shifted` hours."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Period] = []
        self.silent: set[datetime] = set()
        self.refused: set[datetime] = set()
        self.revision = 0.0
        self.shifted = timedelta()

    async def answer(self, request: web.Request) -> web.Response:
        """Answer with the hours from `start` to `end`."""
        if "start" not in request.query:
            return web.json_response([{"time": TODAY.isoformat(), "mw": 1.0}])
        period = Period(*(datetime.fromisoformat(request.query[key]) for key in ("start", "end")))
        self.asked.append(period)
        if self.refused & {floor(period.start, DAY)}:
            return web.json_response({"error": "no such day"}, status=404)
        hours = [period.start + n * HOUR for n in range(period.duration // HOUR)]
        said = [hour + self.shifted for hour in hours if hour not in self.silent]
        rows = [{"time": hour.isoformat(), "mw": self.value(hour)} for hour in said]
        return web.json_response(rows)

    def value(self, hour: datetime) -> float:
        """The current value of `hour`."""
        return (hour - EPOCH) / HOUR + self.revision

    def config(self, lake: Path, **keys: Any) -> dict[str, Any]:
        """A configuration of one entry that is requested by day, with a lake of its own."""
        entry = {
            "name": "grid",
            "url": f"{self.url}hours?start={{start}}&end={{end}}",
            "output_folder": "grid",
            "time": "time",
            "value": "mw",
            "interval": "PT1H",
            "chunk": "P1D",
            "reread": "P3D",
            "retries": 1,
            **keys,
        }
        return {"lake": str(lake / "lake"), "task_retries": {"count": 0}, "apis": [entry]}


@pytest.fixture
async def upstream() -> AsyncIterator[GappyUpstream]:
    """An upstream on a free port."""
    made = GappyUpstream()
    app = web.Application()
    app.router.add_get("/{path:.*}", made.answer)
    server = TestServer(app)
    await server.start_server()
    made.url = str(server.make_url("/"))
    yield made
    await server.close()


def entry_of(settings: dict[str, Any]) -> Entry:
    """The only entry of the upstream."""
    return parse(settings).apis[0]


async def read(settings: dict[str, Any], period: Period) -> list[float]:
    """The values of `period` in the lake."""
    table = await curated.read(Lake.open(settings["lake"]), [entry_of(settings)], period.start, period.end)
    values: list[float] = table["value"].to_pylist()
    return values


async def test_a_gap_is_found_and_only_it_is_asked_for(upstream: GappyUpstream, tmp_path: Path) -> None:
    """A dry run reports two missing days and today, a run collects only them, and the next run requests nothing."""
    settings = upstream.config(tmp_path)
    await backfill(TODAY - 10 * DAY, TODAY - 6 * DAY, config=settings)
    await backfill(TODAY - 4 * DAY, TODAY, config=settings)
    upstream.asked.clear()
    dry = await monitor(config=settings, days=10, dry_run=True)
    assert dry["results"][0]["gaps"][0] == str(Period(TODAY - 6 * DAY, TODAY - 4 * DAY))
    assert upstream.asked == []

    report = await monitor(config=settings, days=10)
    assert report["pipeline_status"] == "success"
    assert report["results"][0]["missing"] == []
    asked = sorted(upstream.asked, key=lambda period: period.start)
    assert asked[:2] == [Period(TODAY - (6 - n) * DAY, TODAY - (5 - n) * DAY) for n in range(2)]
    assert all(period.start >= TODAY for period in asked[2:])

    upstream.asked.clear()
    again = await monitor(config=settings, days=10)
    assert again["statistics"]["revisions"] == 0
    assert all(period.start >= TODAY for period in upstream.asked)
    whole = Period(TODAY - 10 * DAY, TODAY)
    assert await read(settings, whole) == [upstream.value(whole.start + n * HOUR) for n in range(240)]


async def test_what_is_due_before_its_time_is_asked_for_up_to_the_last_full_hour(
    upstream: GappyUpstream, tmp_path: Path
) -> None:
    """Values published a day ahead are requested up to the last full hour, as file names have whole minutes."""
    settings = upstream.config(tmp_path, available={"day_before": "00:00", "timezone": "UTC"})
    report = await monitor(config=settings, days=1)
    end = datetime.fromisoformat(report["period"].partition("/")[2]).replace(tzinfo=UTC)
    assert (end.minute, max(period.end for period in upstream.asked)) == (0, end)
    assert report["results"][0]["missing"] == []


async def test_nothing_is_asked_for_again_until_it_settled(upstream: GappyUpstream, tmp_path: Path) -> None:
    """A day without data is requested once more after it has settled, whatever the answer is."""
    settings = upstream.config(tmp_path)
    filled, empty = (Period(TODAY - n * DAY, TODAY - (n - 1) * DAY) for n in (8, 7))
    hours = {day.start + n * HOUR for day in (filled, empty) for n in range(24)}
    upstream.silent = set(hours)
    async with Http({}) as http:
        for day in (filled, empty):
            lake, stamp = Lake.open(settings["lake"]), day.end + HOUR
            done = await collect(entry_of(settings), lake=lake, http=http, stamp=stamp, period=day)
            assert (done.rows, done.period) == (0, day)
    await backfill(TODAY - 10 * DAY, TODAY, config=settings)
    upstream.silent = {hour for hour in hours if hour >= empty.start}
    upstream.asked.clear()

    report = await monitor(config=settings, days=10)
    assert report["results"][0]["revisions"] == [str(Period(filled.start, empty.end))]
    assert sorted(one.start for one in upstream.asked if one.start < TODAY) == [filled.start, empty.start]
    assert await read(settings, filled) == [upstream.value(filled.start + n * HOUR) for n in range(24)]

    upstream.asked.clear()
    again = await monitor(config=settings, days=10)
    assert [one for one in upstream.asked if one.start < TODAY] == []
    assert [one["period"] for one in again["results"][0]["unpublished"]] == [str(empty)]


async def test_an_answer_about_something_else_leaves_a_gap_that_waits(upstream: GappyUpstream, tmp_path: Path) -> None:
    """A day that is answered with rows of another day stays missing, and is requested again after a wait, not by
    each run."""
    settings = upstream.config(tmp_path)
    await backfill(TODAY - 3 * DAY, TODAY, config=settings)
    upstream.shifted = -30 * DAY
    report = await backfill(TODAY - 4 * DAY, TODAY - 3 * DAY, config=settings)
    gap = str(Period(TODAY - 4 * DAY, TODAY - 3 * DAY))
    assert report["results"][0]["missing"] == [gap]
    assert " lie outside it" in report["results"][0]["warnings"][0]
    upstream.asked.clear()
    with pytest.raises(RunError, match="data is missing: grid") as caught:
        await monitor(config=settings, days=4)
    [waiting] = caught.value.report["results"][0]["waiting"]
    assert "the period stays open" in waiting["error"]
    assert [one for one in upstream.asked if one.start < TODAY] == []


async def test_what_was_asked_for_before_it_settled_is_asked_again_once(
    upstream: GappyUpstream, tmp_path: Path
) -> None:
    """A day that is revised after it was collected is requested again once, and readers get the revision."""
    settings = upstream.config(tmp_path)
    day = Period(TODAY - 8 * DAY, TODAY - 7 * DAY)
    await backfill(TODAY - 10 * DAY, day.start, config=settings)
    async with Http({}) as http:
        lake, stamp = Lake.open(settings["lake"]), day.end + HOUR
        await collect(entry_of(settings), lake=lake, http=http, stamp=stamp, period=day)
    await backfill(day.end, TODAY, config=settings)
    upstream.revision = 0.5
    upstream.asked.clear()

    report = await monitor(config=settings, days=10)
    assert report["results"][0]["revisions"] == [str(day)]
    assert [period for period in upstream.asked if period.start < TODAY] == [day]
    assert await read(settings, day) == [upstream.value(day.start + n * HOUR) for n in range(24)]
    again = await monitor(config=settings, days=10)
    assert again["results"][0]["revisions"] == []


async def test_what_an_upstream_never_published_is_told_and_not_asked_for(
    upstream: GappyUpstream, tmp_path: Path
) -> None:
    """Hours that the upstream never published are reported with the file as evidence, and are not requested again."""
    settings = upstream.config(tmp_path)
    hole = Period(TODAY - 6 * DAY + 3 * HOUR, TODAY - 6 * DAY + 8 * HOUR)
    upstream.silent = {hole.start + n * HOUR for n in range(5)}
    await backfill(TODAY - 10 * DAY, TODAY, config=settings)
    upstream.asked.clear()
    row = (await monitor(config=settings, days=10))["results"][0]
    assert all(period.start >= TODAY for period in upstream.asked)
    (told,) = row["unpublished"]
    assert (told["period"], told["series"]) == (str(hole), "grid mw")
    assert f"{TODAY - 6 * DAY:%Y%m%dT%H%M}" in told["file"]
    assert (row["unpublished_periods"], row["missing"], row["failed"]) == (1, [], 0)


@pytest.mark.slow
async def test_what_fails_is_named_and_asked_for_less_and_less(upstream: GappyUpstream, tmp_path: Path) -> None:
    """A refused day is reported by each run, requested at growing intervals, and closed once it is answered."""
    settings = upstream.config(tmp_path)
    day = TODAY - 5 * DAY
    upstream.refused = {day}
    said = f"data is missing: grid {Period(day, day + DAY)}"
    with pytest.raises(RunError, match=said) as first:
        await monitor(config=settings, days=7)
    assert first.value.report["pipeline_status"] == "failed"
    asked = upstream.asked.count(Period(day, day + DAY))

    with pytest.raises(RunError, match=said) as second:
        await monitor(config=settings, days=7)
    (waiting,) = second.value.report["results"][0]["waiting"]
    assert (waiting["attempts"], "no such day" in waiting["error"]) == (1, True)
    assert upstream.asked.count(Period(day, day + DAY)) == asked == 1

    path = tmp_path / "lake" / "failed" / "grid" / "grid.json"
    remembered = json.loads(path.read_text())
    remembered[0]["last"] = (datetime.now(UTC) - 2 * HOUR).isoformat()
    path.write_text(json.dumps(remembered))
    with pytest.raises(RunError, match=said):
        await monitor(config=settings, days=7)
    (failed,) = json.loads(path.read_text())
    assert failed["attempts"] == 2
    assert upstream.asked.count(Period(day, day + DAY)) == 2

    upstream.refused = set()
    await backfill(day, day + DAY, config=settings)
    assert json.loads(path.read_text()) == []
    assert (await monitor(config=settings, days=7))["pipeline_status"] == "success"


async def told(entry: str, number: int, kinds: Sequence[str] = ("gaps", "silent")) -> list[Event]:
    """The events of these kinds about `entry`, oldest first, once there are `number` of them."""
    names = EventNameFilter(name=[f"gridtide.entry.{kind}{over}" for kind in kinds for over in ("", ".over")])
    about = EventResourceFilter(id=[f"gridtide.entry.{entry}"])
    async with get_client() as client:
        for _ in range(100):  # with a filter made anew: it ends at the moment it was made
            page = await client.read_events(EventFilter(event=names, resource=about), limit=50)
            if len(page.events) >= number:
                break
            await asyncio.sleep(0.2)
    return page.events[::-1]


@pytest.mark.slow
async def test_a_gap_that_cannot_be_closed_is_told_once(upstream: GappyUpstream, tmp_path: Path) -> None:
    """A gap emits one event with its period, start and fix, another event when another gap appears, and one when
    none is left."""
    settings = upstream.config(tmp_path, name="holed", raw=False)
    day, later = TODAY - 5 * DAY, TODAY - 3 * DAY
    await backfill(TODAY - 7 * DAY, day, config=settings)
    await backfill(day + DAY, TODAY, config=settings)
    upstream.refused = {day}
    for number in (1, 1):
        with pytest.raises(RunError, match="monitor: data is missing: holed"):
            await monitor(config=settings, days=7)
        (event,) = await told("holed", number)
    start, end = str(Period(day, day + DAY)).split("/")
    assert event.payload == {
        "what": f"still missing: {start}/{end}",
        "since": start,
        "fix": f"gridtide backfill --start {start} --end {end} --select holed",
        "mark": start,
        "days": 7,
    }

    for path in (tmp_path / "lake").rglob(f"*_{later:%Y%m%dT%H%M}_*.parquet"):
        path.unlink()
    upstream.refused = {day, later}
    with pytest.raises(RunError):
        await monitor(config=settings, days=7)
    assert [event.payload["mark"] for event in await told("holed", 2)] == [start, f"{start} {later:%Y-%m-%dT%H:%M}"]

    upstream.refused = set()
    await backfill(day, later + DAY, config=settings)
    for _ in range(2):
        await monitor(config=settings, days=7)
        assert [event.event.rpartition(".")[2] for event in await told("holed", 3)] == ["gaps", "gaps", "over"]


async def test_a_late_snapshot_is_collected(upstream: GappyUpstream, tmp_path: Path) -> None:
    """A snapshot whose scheduled run wrote no file is reported as late since then and collected; afterwards it is
    not late."""
    settings = upstream.config(tmp_path, url=f"{upstream.url}now", schedule="hourly")
    settings["schedules"] = {"hourly": {"cron": "0 * * * *"}}
    row = (await monitor(config=settings))["results"][0]
    late = datetime.fromisoformat(row["late"])
    assert timedelta(minutes=30) <= datetime.now(UTC) - late <= timedelta(minutes=92)
    assert (row["collected"], row["skipped"]) == (1, "has no history: its URL asks for current data only")
    again = (await monitor(config=settings))["results"][0]
    assert (again["late"], again["chunks"]) == (None, 0)


async def test_a_damaged_file_is_named(upstream: GappyUpstream, tmp_path: Path) -> None:
    """A damaged file makes the run fail with the name of the file, and its period is requested once."""
    settings = upstream.config(tmp_path, raw=False)
    await backfill(TODAY - 10 * DAY, TODAY, config=settings)
    damaged = sorted((tmp_path / "lake" / "grid").iterdir())[2:4]
    for file in damaged:
        file.write_bytes(file.read_bytes()[:100])
    lost = [Period(TODAY - n * DAY, TODAY - (n - 1) * DAY) for n in (8, 7)]
    upstream.asked.clear()
    with pytest.raises(RunError, match=f"{damaged[0].name}.*{damaged[1].name}"):
        await monitor(config=settings, days=10)
    assert sorted(period for period in upstream.asked if period.end <= TODAY) == lost

    upstream.asked.clear()
    with pytest.raises(RunError, match=f"{damaged[0].name}.*{damaged[1].name}"):
        await monitor(config=settings, days=10)
    assert not [period for period in upstream.asked if period.end <= TODAY]
    for file in damaged:
        file.unlink()
    assert (await monitor(config=settings, days=10))["pipeline_status"] == "success"
    assert len(await read(settings, Period(TODAY - 10 * DAY, TODAY))) == 240


async def test_an_empty_lake_is_filled(upstream: GappyUpstream, tmp_path: Path) -> None:
    """With an empty lake, everything due in the checked days is a gap, and is collected."""
    settings = upstream.config(tmp_path)
    await monitor(config=settings, days=3)
    (found,) = union(f.period for f in await Lake.open(settings["lake"]).list_files("grid", "grid") if f.period)
    assert found.start == TODAY - 3 * DAY
    assert found.end >= TODAY


async def test_what_the_schedule_has_yet_to_ask_for_is_no_gap(upstream: GappyUpstream, tmp_path: Path) -> None:
    """Data that became due since the last scheduled run is left to the next scheduled run."""
    settings = upstream.config(tmp_path, schedule="daily")
    settings["schedules"] = {"daily": {"cron": f"{(NOW - 3 * HOUR):%M %H} * * *"}}
    last = floor(NOW - 3 * HOUR, HOUR)
    await backfill(TODAY - 5 * DAY, last, config=settings)
    upstream.asked.clear()
    row = (await monitor(config=settings, days=4))["results"][0]
    assert (row["gaps"], row["missing"], upstream.asked) == ([], [], [])


@pytest.mark.parametrize("days", [0, -1, 100_000])
async def test_days_that_cannot_be_are_refused(upstream: GappyUpstream, tmp_path: Path, days: int) -> None:
    """An impossible number of days is refused before any request."""
    with pytest.raises(ConfigurationError, match="not a possible number of days"):
        await monitor(config=upstream.config(tmp_path), days=days)


class PairUpstream(GappyUpstream):
    """The same upstream with two columns; in the hours of `silent`, the second is null. From `third_from` on there is a
    third."""

    third_from = NOW + DAY

    async def answer(self, request: web.Request) -> web.Response:
        """The hours from start to end."""
        period = Period(*(datetime.fromisoformat(request.query[key]) for key in ("start", "end")))
        hours = [period.start + n * HOUR for n in range(period.duration // HOUR)]
        rows: list[dict[str, Any]] = [
            {"time": hour.isoformat(), "mw": self.value(hour), "price": self.value(hour)} for hour in hours
        ]
        for hour, row in zip(hours, rows, strict=True):
            if hour in self.silent:
                row["price"] = None
            if hour >= self.third_from:
                row["wind"] = self.value(hour)
        return web.json_response(rows)


@pytest.mark.slow
async def test_a_series_that_falls_silent_is_told_once_and_once_when_it_is_back(tmp_path: Path) -> None:
    """The run succeeds, its report and `status` name the silent series, and one event reports it and one its return."""
    pair = PairUpstream()
    pair.silent = {TODAY - 2 * DAY + n * HOUR for n in range(100)}
    async with serving(pair.answer) as pair.url:
        keys = {"value": {"mw": {"unit": "MW"}, "price": {"unit": "USD/MWh"}}, "raw": False, "reread": "P1D"}
        settings = pair.config(tmp_path, name="pair", **keys)
        await backfill(TODAY - 9 * DAY, TODAY, config=settings)
        since = (TODAY - 2 * DAY - HOUR).isoformat()
        for _ in range(2):
            (row,) = (await monitor(config=settings, days=9))["results"]
            assert [(series["variable"], series["since"]) for series in row["silent"]] == [("price", since)]
            (event,) = await told("pair", 1)
            assert (event.event, event.payload["since"]) == ("gridtide.entry.silent", since)
        lake = Lake.open(settings["lake"])
        (status,) = await read_status([entry_of(settings)], lake, NOW, all_series=True)
        assert [(series.variable, series.reported) for series in status.series] == [("mw", False), ("price", True)]

        pair.silent = set()
        async with Http({}) as http:
            period = Period(TODAY - DAY, floor(NOW, HOUR))
            await collect(entry_of(settings), lake=lake, http=http, stamp=datetime.now(UTC), period=period)
        for _ in range(2):
            (row,) = (await monitor(config=settings, days=9))["results"]
            assert row["silent"] == []
            assert [event.event for event in await told("pair", 2)][1:] == ["gridtide.entry.silent.over"]
    assert row["back"] == []


@pytest.mark.slow
async def test_a_new_series_is_told_once(tmp_path: Path) -> None:
    """By one event that names it, and by none at the looks before and after."""
    pair = PairUpstream()
    async with serving(pair.answer) as pair.url:
        settings = pair.config(tmp_path, name="growing", melt="*", unit="MW", raw=False, reread="P1D")
        del settings["apis"][0]["value"]
        await backfill(TODAY - 9 * DAY, TODAY - DAY, config=settings)
        (row,) = (await monitor(config=settings, days=9))["results"]
        assert row["new_series"] == []
        pair.third_from = TODAY - DAY
        await backfill(TODAY - DAY, TODAY, config=settings, refresh=True)
        for names in (["growing/wind"], []):
            (row,) = (await monitor(config=settings, days=2))["results"]
            assert row["new_series"] == names
        (event,) = await told("growing", 1, ["new_series"])
    assert event.payload["what"] == "new series: growing/wind"
    assert "aliases" in event.payload["fix"]


async def test_the_files_of_a_renamed_entry_are_named_while_it_is_young(tmp_path: Path) -> None:
    """Also after its own first files, in the monitor's warnings, with the keys to go on with them."""
    async with serving(PairUpstream().answer) as url:
        upstream = PairUpstream()
        upstream.url = url
        await backfill(TODAY - 3 * DAY, TODAY, config=upstream.config(tmp_path, name="old", raw=False))
        settings = upstream.config(tmp_path, name="new", raw=False, output_folder="new")
        for own in ("no files are in new/new_…", "new/new_… holds only newer files"):
            (row,) = (await monitor(config=settings, days=2))["results"]
            (warning,) = [text for text in row["warnings"] if "go on with them" in text]
            assert warning.startswith(f"{own}, but ")
            assert '"file_prefix": "old"' in warning
            (status,) = await read_status([entry_of(settings)], Lake.open(settings["lake"]), datetime.now(UTC))
            assert len(status.moved_files) == 1
