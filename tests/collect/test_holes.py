"""A failed day does not lose its chunk: the other days are stored, and the failed one is a named hole."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gridtide import curated
from gridtide.collect import Collected, collect
from gridtide.config.loading import parse
from gridtide.coverage.answered import join_answered
from gridtide.entries.entry import Entry
from gridtide.http.client import Http
from gridtide.lake import Lake
from gridtide.periods import Period, union
from gridtide.sources.formats import csv_rows
from gridtide.sources.tables import answers, series
from tests.support.upstreams.daily_files import FAULTS, DailyFiles, load

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
STAMP = datetime(2026, 2, 1, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
async def daily() -> AsyncIterator[tuple[DailyFiles, Entry]]:
    """Daily files on a server, and the entry that collects ten of them in one chunk."""
    files = DailyFiles()
    app = web.Application()
    app.router.add_get("/{day}.csv", files.answer)
    async with TestServer(app) as server:
        url = str(server.make_url("/")) + "{start:%Y-%m-%d}.csv"
        api = {"name": "load", "url": url, "output_folder": "load", "time": "time", "chunk": "P10D", "retries": 1}
        yield files, parse({"apis": [api]}).apis[0]


async def run(entry: Entry, lake: Lake, period: Period, stamp: datetime = STAMP) -> Collected:
    """Collect `period` as one chunk."""
    async with Http({}) as http:
        return await collect(entry, lake=lake, http=http, stamp=stamp, period=period)


def days_period(first: int, end: int) -> Period:
    """A period of days after the start."""
    return Period(START + first * DAY, START + end * DAY)


@pytest.mark.parametrize("seed", range(6))
async def test_good_days_are_stored_once_and_bad_days_are_named(
    daily: tuple[DailyFiles, Entry], tmp_path: Path, seed: int
) -> None:
    """The rows of all good days are stored once, the holes are the failed days, and collecting them again closes
    them once they are good."""
    files, entry = daily
    dice = random.Random(seed)  # noqa: S311
    whole, lake = days_period(0, 10), Lake.open(str(tmp_path))
    bad = sorted(dice.sample(range(1, 10), dice.randint(1, 6)))  # the first is good: a refusal of it is of all
    files.faults = {(START + day * DAY).date(): dice.choice(FAULTS) for day in bad}
    done = await run(entry, lake, whole)
    assert sorted(hole.period for hole in done.holes) == [days_period(day, day + 1) for day in bad]
    assert all(hole.error and "load: " in str(hole.error) for hole in done.holes)
    covered = join_answered(entry, await lake.list_files("load", "load"), STAMP + DAY)
    assert covered == union(days_period(day, day + 1) for day in range(10) if day not in bad) == list(done.answered)
    assert await stored(lake, entry, whole) == expected_rows(files)
    files.faults.clear()
    for hole in done.holes:
        await run(entry, lake, hole.period, STAMP + DAY)
    assert await stored(lake, entry, whole) == expected_rows(files)
    assert join_answered(entry, await lake.list_files("load", "load"), STAMP + DAY) == [whole]


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("keeps_bodies", [False, True])
@pytest.mark.parametrize("seed", range(3))
async def test_bodies_that_are_read_piece_by_piece_fail_by_day(
    daily: tuple[DailyFiles, Entry],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    keeps_bodies: bool,
    in_file: bool,
) -> None:
    """Of large bodies, too, a late cell that cannot be read is the failure of its day alone: the error names the day
    and the line, the body is kept once, and the other days are stored. So it is of bodies in files, read in blocks."""
    if in_file:
        monkeypatch.setattr("gridtide.http.client.RECEIVED_IN_MEMORY", 100)
        monkeypatch.setattr("gridtide.sources.tables.large.cutting.LARGE_BYTES", 100)
        monkeypatch.setattr("gridtide.sources.tables.large.blocks.CUT_BYTES", 64)
    monkeypatch.setattr(answers, "CELLS_IN_ONE", 0)
    monkeypatch.setattr(series, "CELLS_IN_ONE", 0)
    monkeypatch.setattr(csv_rows, "CELLS_IN_PIECE", 4)
    monkeypatch.setattr(csv_rows, "BLOCK_BYTES", 64)
    files, plain = daily
    keys = {"name": "load", "url": plain.url, "output_folder": "load", "chunk": "P10D", "retries": 1}
    # of a column that is not named, all cells are judged before the first piece
    entry = parse({"apis": [keys | {"time": "time", "value": "load", "raw": keeps_bodies}]}).apis[0]
    whole, lake = days_period(0, 10), Lake.open(str(tmp_path))
    bad = sorted(random.Random(seed).sample(range(10), 3))  # noqa: S311
    files.faults = {(START + day * DAY).date(): "ambiguous" for day in bad}
    done = await run(entry, lake, whole)
    assert sorted(hole.period for hole in done.holes) == [days_period(day, day + 1) for day in bad]
    for hole in done.holes:
        assert f"{hole.period.start:%Y-%m-%d}" in str(hole.error)
        assert ", in line 22; the body is kept in raw/load/" in str(hole.error)
    kept = await lake.store.list_objects("raw/load")
    assert len(kept) == (10 if keeps_bodies else len(bad))
    lengths = {len((await lake.read_raw(body.path)).partition(b"\n")[2].splitlines()) for body in kept}
    assert lengths == {25}  # a header and 24 hours
    assert await stored(lake, entry, whole) == expected_rows(files)
    files.faults.clear()
    for hole in done.holes:
        await run(entry, lake, hole.period, STAMP + DAY)
    assert await stored(lake, entry, whole) == expected_rows(files)


def expected_rows(files: DailyFiles) -> list[tuple[datetime, float]]:
    """The expected rows: every hour of a good day, and the hours without conflict of a conflicting day."""
    rows = []
    for number in range(10):
        start = START + number * DAY
        fault = files.faults.get(start.date())
        hours = [hour for hour in range(24) if fault is None or (fault == "conflicting" and hour != 5)]
        rows += [(start + hour * timedelta(hours=1), float(load(start.date(), hour))) for hour in hours]
    return rows


async def stored(lake: Lake, entry: Entry, period: Period) -> list[tuple[datetime, float]]:
    """The rows of the lake."""
    table = await curated.read(lake, [entry], period.start, period.end)
    return sorted(zip(table["interval_start"].to_pylist(), table["value"].to_pylist(), strict=True))


async def test_a_conflict_says_how_to_choose_and_choosing_stores_the_day(
    daily: tuple[DailyFiles, Entry], tmp_path: Path
) -> None:
    """The message of a conflicting day names key and values and proposes `conflict`, and this fix stores the day."""
    files, entry = daily
    files.faults = {START.date() + DAY: "conflicting"}
    lake = Lake.open(str(tmp_path))
    done = await run(entry, lake, days_period(0, 3))
    [hole], [skipped] = done.holes, done.skipped
    assert "at 2026-01-02T05:00Z comes with -1.0 and" in str(hole.error)
    assert 'Choose with "conflict": "first" or "last"' in str(hole.error)
    assert skipped.count == 2
    metadata = await lake.read_metadata(str(done.file))
    assert [item["count"] for item in metadata.skipped] == [2]
    chosen = parse(
        {"apis": [{"name": "load", "url": entry.url, "output_folder": "load", "time": "time", "conflict": "last"}]}
    ).apis[0]
    done = await run(chosen, lake, days_period(0, 3), STAMP + DAY)
    assert (done.holes, [item.count for item in done.skipped]) == ((), [1])


async def test_every_day_bad_is_the_error_of_the_first(daily: tuple[DailyFiles, Entry], tmp_path: Path) -> None:
    """If no day can be stored, the collection fails with the error of the first, and no file is written."""
    files, entry = daily
    files.faults = {(START + day * DAY).date(): "malformed" for day in range(3)}
    lake = Lake.open(str(tmp_path))
    with pytest.raises(Exception, match=r"the body is kept in raw/load/"):
        await run(entry, lake, days_period(0, 3))
    assert await lake.list_files("load", "load") == []


async def test_values_out_of_range_are_rejected_and_counted(daily: tuple[DailyFiles, Entry], tmp_path: Path) -> None:
    """With `"otherwise": "reject"`, values outside the range are counted and not stored."""
    _, entry = daily
    first = load(START.date(), 0)
    api = {"name": "load", "url": entry.url, "output_folder": "load", "time": "time"}
    expect = {"ranges": {"load": [first, first + 20]}, "otherwise": "reject"}
    rejecting = parse({"apis": [{**api, "expect": expect}]}).apis[0]
    lake = Lake.open(str(tmp_path))
    done = await run(rejecting, lake, days_period(0, 1))
    assert (done.rows, [skipped.count for skipped in done.skipped]) == (21, [3])
    assert done.period == days_period(0, 1)


async def test_a_file_that_holds_many_days_is_asked_for_once(tmp_path: Path) -> None:
    """The same request for all days of a month is sent once, and its rows are stored once."""
    asked = []

    async def month(request: web.Request) -> web.Response:
        asked.append(request.path)
        lines = [f"2026-01-{day:02}T{hour:02}:00Z,{day}" for day in range(1, 32) for hour in range(24)]
        return web.Response(text="\n".join(["time,load", *lines]) + "\n", content_type="text/csv")

    app = web.Application()
    app.router.add_get("/{month}.csv", month)
    async with TestServer(app) as server:
        url = str(server.make_url("/")) + "{start:%Y-%m}.csv"
        entry = parse({"apis": [{"name": "load", "url": url, "output_folder": "load", "time": "time"}]}).apis[0]
        done = await run(entry, Lake.open(str(tmp_path)), days_period(0, 7))
    assert (asked, done.period) == (["/2026-01.csv"], days_period(0, 7))
    assert not any("duplicates" in warning for warning in done.warnings)


async def test_a_column_that_is_renamed_within_a_chunk_is_named(tmp_path: Path) -> None:
    """The series that ends and the one that begins are named with their days, and all of both is stored."""

    async def renamed(request: web.Request) -> web.Response:
        day = date.fromisoformat(request.match_info["day"])
        column = "load" if day.day < 4 else "system_load"
        return web.Response(text=f"time,{column}\n{day}T00:00Z,7\n", content_type="text/csv")

    app = web.Application()
    app.router.add_get("/{day}.csv", renamed)
    async with TestServer(app) as server:
        url = str(server.make_url("/")) + "{start:%Y-%m-%d}.csv"
        api = {"name": "load", "url": url, "output_folder": "load", "time": "time", "interval": "P1D"}
        collected = await run(parse({"apis": [api]}).apis[0], Lake.open(str(tmp_path)), days_period(0, 6))
    assert (collected.rows, collected.warnings) == (
        6,
        (
            "1 series ends within the period: load/load on 2026-01-03",
            "1 series begins within the period: load/system_load on 2026-01-04",
        ),
    )
