"""Collections: the order of pages, counts, keys, raw bodies, and no partial files."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gridtide import curated
from gridtide.collect.checks import PageChecks, settle_page
from gridtide.collect.collected import Collected
from gridtide.collect.collection import collect, find_scheduled_period
from gridtide.config.loading import parse
from gridtide.coverage.answered import join_answered
from gridtide.entries.entry import Entry
from gridtide.errors import FormatError, GridtideError, IncompleteError, UpstreamError
from gridtide.http.client import Http
from gridtide.lake import Lake
from gridtide.periods import Period, missing
from gridtide.sources.contract import Request, Response
from gridtide.sources.registry import get_source
from tests.support.upstreams.eia_upstream import JANUARY, StartUpstream

STAMP = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


RECORDS = {
    "name": "x",
    "url": "https://grid.example/{start:%Y}/{end:%Y}",
    "output_folder": "x",
    "time": "t",
    "location": "place",
    "value": "mw",
    "interval": "PT1H",
}


async def run(entry: Entry, folder: Path, period: Period | None = None) -> Collected:
    """Collect `entry` into the lake at `folder`."""
    async with Http({"EIA_API_KEY": "s3cret-key"}) as http:
        return await collect(entry, lake=Lake.open(str(folder)), http=http, stamp=STAMP, period=period)


def files(folder: Path) -> list[str]:
    """The relative paths of all files below `folder`."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def values(folder: Path, path: str | None) -> list[float]:
    """The values of a file of the lake."""
    assert path is not None
    column: list[float] = (await Lake.open(str(folder)).read_table(path))["value"].to_pylist()
    return column


async def test_a_period_becomes_one_file_in_order(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """Three pages that are requested concurrently are one file with the rows in the order of the requests."""
    _, entry = await eia_upstream(12_000, raw=False)
    period = Period(JANUARY, JANUARY + timedelta(hours=12_000))
    done = await run(entry, tmp_path, period)
    assert done.file == "eia_demand/demand_20260102_030405_20240101T0000_20250515T0000.parquet"
    assert (done.rows, done.requests, done.retries, done.is_new) == (12_000, 3, 0, True)
    assert await values(tmp_path, done.file) == list(range(12_000))
    assert files(tmp_path) == [done.file]
    assert set(done.stages) == {"fetch", "parse", "write"}
    assert json.loads(json.dumps(done.as_dict()))["rows"] == 12_000


async def test_only_the_period_is_asked(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """The interval starts [10 h, 20 h) are exactly ten rows."""
    _, entry = await eia_upstream(100)
    done = await run(entry, tmp_path, Period(JANUARY + timedelta(hours=10), JANUARY + timedelta(hours=20)))
    assert await values(tmp_path, done.file) == list(range(10, 20))


async def test_slices_cost_no_row(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """A period that is requested in slices has every row once, and as many requests as slices."""
    upstream, entry = await eia_upstream(12_000, params={"facets[respondent][]": "ISNE", "facets[type][]": "D"})
    done = await run(entry, tmp_path, Period(JANUARY, JANUARY + timedelta(hours=12_000)))
    assert await values(tmp_path, done.file) == list(range(12_000))
    assert upstream.asked == 3


@pytest.mark.parametrize(("refused", "holes"), [(2, 1), (3, 1)])
async def test_a_slice_that_fails_leaves_a_hole_of_its_own_period(
    eia_upstream: StartUpstream, tmp_path: Path, refused: int, holes: int
) -> None:
    """Covered periods and holes are the whole period without overlap, and every covered hour is stored once."""
    upstream, entry = await eia_upstream(
        12_000, raw=False, params={"facets[respondent][]": "ISNE", "facets[type][]": "D"}, concurrency=1
    )
    upstream.fault = lambda ordinal, request: web.Response(status=404, text="no") if ordinal == refused else None
    whole = Period(JANUARY, JANUARY + timedelta(hours=12_000))
    done = await run(entry, tmp_path, whole)
    assert len(done.holes) == holes
    assert missing(whole, done.answered) == sorted(hole.period for hole in done.holes)
    stored = [value for path in done.files for value in await values(tmp_path, path)]
    hours = [
        float((part.start - JANUARY) // timedelta(hours=1) + hour)
        for part in done.answered
        for hour in range(part.duration // timedelta(hours=1))
    ]
    assert sorted(stored) == sorted(hours)


async def test_where_the_first_of_many_slices_fails_nothing_is_covered(
    eia_upstream: StartUpstream, tmp_path: Path
) -> None:
    """If the answer that leads to the other requests fails, the collection fails and covers nothing."""
    params = {"facets[respondent][]": "ISNE", "facets[type][]": "D"}
    upstream, entry = await eia_upstream(12_000, raw=False, params=params)
    upstream.fault = lambda ordinal, request: web.Response(status=404, text="no") if ordinal == 1 else None
    with pytest.raises(GridtideError):
        await run(entry, tmp_path, Period(JANUARY, JANUARY + timedelta(hours=12_000)))
    assert files(tmp_path) == []


@pytest.mark.parametrize("status", [503, 429])
async def test_faults_cost_their_own_requests_only(eia_upstream: StartUpstream, tmp_path: Path, status: int) -> None:
    """If every second request is refused, the rows are exact and the number of requests is pages plus faults."""
    upstream, entry = await eia_upstream(30_000, concurrency=2)
    faults = 0

    def fault(ordinal: int, request: web.Request) -> web.StreamResponse | None:
        nonlocal faults
        if ordinal % 2:
            return None
        faults += 1
        return web.Response(status=status, headers={"Retry-After": "0"})

    upstream.fault = fault
    done = await run(entry, tmp_path)
    assert await values(tmp_path, done.file) == list(range(30_000))
    assert upstream.asked == 6 + faults == done.requests
    assert done.retries == faults


async def test_a_wrong_total_fails_loudly(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """Fewer rows than the upstream reports are an error, and no file is written."""
    upstream, entry = await eia_upstream(100, raw=False)
    upstream.total = 101
    with pytest.raises(IncompleteError, match=r"demand: snapshot: 100 rows received, the upstream says there are 101"):
        await run(entry, tmp_path)
    assert files(tmp_path) == []


def test_totals_are_those_of_each_first_request() -> None:
    """Two requests for one period, each of a location, declare their own rows; a short one opens a hole."""
    entry = parse({"apis": [RECORDS]}).apis[0]
    period = Period(JANUARY, JANUARY + timedelta(hours=2))
    request = Request(entry.url, period=period)
    for second_total, hole_count in ((2, 0), (3, 1)):
        with PageChecks(entry, period) as checks:
            for root, location, total in ((0, "A", 2), (1, "B", second_total)):
                hours = [JANUARY + timedelta(hours=number) for number in (0, 1)]
                body = "t,place,mw\n" + "".join(f"{hour:%Y-%m-%dT%H:%MZ},{location},5\n" for hour in hours)
                page = get_source("generic").parse_response(entry, request, Response(body.encode(), JANUARY))
                page = replace(page, total=total)
                checks.add(root, request, settle_page(page, entry, request, period))
            checks.complete()
            assert len(checks.holes) == hole_count


async def test_a_total_that_changes_while_paging_fails(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """A total that changes between pages is an error, because rows may be lost."""
    upstream, entry = await eia_upstream(12_000, raw=False, concurrency=1)

    def grow(ordinal: int, request: web.Request) -> None:
        if ordinal == 2:
            upstream.total = 12_001

    upstream.fault = grow
    with pytest.raises(IncompleteError, match="count changed while it was paged, from 12000 to 12001"):
        await run(entry, tmp_path)
    assert files(tmp_path) == []


async def test_a_repeated_row_does_not_make_up_for_a_missing_one(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """Rows count towards the upstream's total once, however often pages repeat them; fewer are an error and no file."""
    upstream, entry = await eia_upstream(7_000, raw=False)
    upstream.rows[6_000] = upstream.rows[3]
    with pytest.raises(IncompleteError, match="6999 different rows received, the upstream says there are 7000"):
        await run(entry, tmp_path)
    assert files(tmp_path) == []


async def test_of_a_conflict_across_pages_neither_value_is_stored(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """The same key with two values on two pages is not stored, and counted with both in the report and the file."""
    upstream, entry = await eia_upstream(7_000, raw=False)
    upstream.rows.append({**upstream.rows[3], "value": "-1"})
    done = await run(entry, tmp_path)
    assert await values(tmp_path, done.file) == [number for number in range(7_000) if number != 3]
    [skipped] = done.skipped
    assert (skipped.count, "-1.0 and 3.0" in skipped.example) == (2, True)


@pytest.mark.parametrize(("rule", "value"), [("first", 3), ("last", -1)])
async def test_an_entry_chooses_between_conflicting_values(
    eia_upstream: StartUpstream, tmp_path: Path, rule: str, value: int
) -> None:
    """With `conflict`, the first or the last of several values of one key is stored, and the other is counted."""
    upstream, entry = await eia_upstream(7_000, raw=False)
    upstream.rows.append({**upstream.rows[3], "value": "-1"})
    done = await run(msgspec.structs.replace(entry, conflict=rule), tmp_path)
    assert sorted(await values(tmp_path, done.file)) == sorted([*range(3), value, *range(4, 7_000)])
    assert [skipped.count for skipped in done.skipped] == [1]


async def test_raw_bodies_are_kept_without_the_key(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """`raw/` contains the request and the body, and no file of the lake contains the key."""
    _, entry = await eia_upstream(10)
    done = await run(entry, tmp_path)
    [raw] = [name for name in files(tmp_path) if name.startswith("raw/")]
    body = await Lake.open(str(tmp_path)).read_raw(raw)
    asked, _, answer = body.partition(b"\n")
    assert json.loads(asked)["url"] == entry.url
    assert json.loads(answer)["response"]["total"] == "10"
    assert b"REDACTED" in answer
    assert b"s3cret-key" not in body
    assert done.file in files(tmp_path)


async def test_a_broken_promise_is_kept_in_raw(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """The error of a malformed body names the path of that body under `raw/`, also with `"raw": false`."""
    upstream, entry = await eia_upstream(10, raw=False)
    upstream.fault = lambda ordinal, request: web.json_response({"rows": []})
    with pytest.raises(FormatError, match=r"demand: .*the body is kept in (raw/\S+)") as caught:
        await run(entry, tmp_path)
    assert [caught.value.happened.rpartition("kept in ")[2]] == files(tmp_path)
    assert '"format": "raw"' in caught.value.fix
    assert upstream.asked == 1


async def test_html_under_200_is_asked_again(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """A maintenance page with HTTP 200 is requested again."""
    upstream, entry = await eia_upstream(10)
    upstream.fault = lambda ordinal, request: web.Response(text="<html>soon</html>") if ordinal == 1 else None
    done = await run(entry, tmp_path)
    assert (done.rows, done.retries) == (10, 1)


async def test_the_same_run_again_writes_nothing_new(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """With the same stamp, the same content is the same file, and other content gets the next second."""
    upstream, entry = await eia_upstream(10, raw=False)
    first = await run(entry, tmp_path)
    again = await run(entry, tmp_path)
    assert (first.is_new, again.is_new, again.file) == (True, False, first.file)
    upstream.rows[0]["value"] = "-1"
    revised = await run(entry, tmp_path)
    assert revised.file == "eia_demand/demand_20260102_030406.parquet"
    assert files(tmp_path) == [first.file, revised.file]


async def test_an_empty_period_is_a_file_that_says_so(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """A period without data becomes a file without rows that covers it; an empty snapshot becomes no file."""
    _, entry = await eia_upstream(1, raw=False)
    later = Period(JANUARY + timedelta(days=9), JANUARY + timedelta(days=10))
    done = await run(entry, tmp_path, later)
    assert done.rows == 0
    assert files(tmp_path) == [done.file]
    _, empty = await eia_upstream(0, raw=False)
    nothing = await run(empty, tmp_path / "other")
    assert nothing.file is None
    assert nothing.warnings == ("the snapshot holds no rows, no file is written",)


async def test_an_answer_about_another_period_covers_nothing(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """Rows that are all outside the period are stored as a snapshot with a warning; the period stays missing."""
    upstream, entry = await eia_upstream(5)
    upstream.fault = lambda ordinal, request: web.json_response(
        {"response": {"total": 5, "data": upstream.rows}, "request": {}}
    )
    done = await run(entry, tmp_path, Period(JANUARY + timedelta(days=9), JANUARY + timedelta(days=10)))
    assert done.rows == 5
    assert done.period is None
    assert done.warnings == (
        "all rows of the answer for 2024-01-10T00:00/2024-01-11T00:00 lie outside it: "
        "they are stored, and the period stays open",
    )
    lake = Lake.open(str(tmp_path))
    [file] = await lake.list_files("eia_demand", "demand")
    assert (file.path, file.period, (await lake.read_metadata(file.path)).period) == (done.file, None, None)
    table = await curated.read(lake, [entry], JANUARY, JANUARY + timedelta(days=1))
    assert table["value"].to_pylist() == [0.0, 1.0, 2.0, 3.0, 4.0]


async def test_days_that_are_answered_with_another_stay_open(tmp_path: Path) -> None:
    """If the answer of one day comes for three days, the other two days stay missing."""
    load = {"BeginDate": "2024-01-02T00:00:00.000-05:00", "Location": {"@LocId": "32"}, "Load": 10}

    async def always(request: web.Request) -> web.Response:
        return web.json_response({"HourlySystemLoads": {"HourlySystemLoad": [load]}})

    app = web.Application()
    app.router.add_get("/{path:.*}", always)
    async with TestServer(app) as server:
        url = str(server.make_url("/api/v1.1/hourlysysload/current"))
        api = {"name": "load", "source": "iso_ne", "url": url, "output_folder": "load", "auth": {"kind": "none"}}
        entry = parse({"apis": [api]}).apis[0]
        days = Period(JANUARY + timedelta(hours=5), JANUARY + timedelta(hours=77))
        done = await run(entry, tmp_path, days)
        one_day = await run(entry, tmp_path, Period(JANUARY + timedelta(hours=29), JANUARY + timedelta(hours=53)))
    assert (done.rows, done.period, one_day.rows) == (1, None, 1)
    assert "answer for 2024-01-01T05:00/2024-01-02T05:00 lie outside it" in done.warnings[-2]
    assert "answer for 2024-01-03T05:00/2024-01-04T05:00 lie outside it" in done.warnings[-1]
    assert [str(part) for part in done.answered] == ["2024-01-02T05:00/2024-01-03T05:00"]
    assert str(one_day.period) == "2024-01-02T05:00/2024-01-03T05:00"


async def test_rows_beyond_the_period_cover_no_more_than_was_asked(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """Rows outside the period are stored, and the file covers only the requested hours."""
    upstream, entry = await eia_upstream(48)
    upstream.fault = lambda ordinal, request: web.json_response(
        {"response": {"total": 48, "data": upstream.rows}, "request": {}}
    )
    asked = Period(JANUARY + timedelta(hours=10), JANUARY + timedelta(hours=12))
    done = await run(entry, tmp_path, asked)
    assert (done.rows, done.period) == (48, asked)
    lake = Lake.open(str(tmp_path))
    assert join_answered(entry, await lake.list_files("eia_demand", "demand"), STAMP) == [asked]
    assert (await curated.read(lake, [entry], JANUARY, JANUARY + timedelta(days=2))).num_rows == 48


@pytest.mark.parametrize(
    ("expect", "error", "message"),
    [
        ({"minimum_rows": 11}, IncompleteError, "10 rows, at least 11 are expected"),
        ({"required": ["net_generation"]}, FormatError, "no values of net_generation"),
        ({"ranges": {"demand": [0, 5]}}, FormatError, "4 values of demand are outside 0 to 5, the first is 6"),
    ],
)
async def test_expectations_are_held(
    eia_upstream: StartUpstream, tmp_path: Path, expect: dict[str, Any], error: type[Exception], message: str
) -> None:
    """An answer that does not meet the expectations of the entry fails before anything is written."""
    _, entry = await eia_upstream(10, raw=False, expect=expect)
    with pytest.raises(error, match=f"demand: .*{message}"):
        await run(entry, tmp_path)
    assert [name for name in files(tmp_path) if not name.startswith("raw/")] == []


async def test_a_deadline_ends_an_entry(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """An entry that exceeds its deadline fails and writes nothing."""
    _, entry = await eia_upstream(10, raw=False, deadline="PT1M", rate_limit={"name": "slow", "rates": ["1/600second"]})
    short = msgspec.structs.replace(entry, deadline=timedelta(seconds=0.2))  # the second waits for its turn
    async with Http({"EIA_API_KEY": "s3cret-key"}) as http:
        lake = Lake.open(str(tmp_path))
        await collect(entry, lake=lake, http=http, stamp=STAMP)
        with pytest.raises(UpstreamError, match=r"demand: did not finish within 0:00:00\.2"):
            await collect(short, lake=lake, http=http, stamp=STAMP + timedelta(hours=1))
    assert len(files(tmp_path)) == 1


async def test_a_raw_entry_keeps_the_bytes(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """`raw` and `json` entries store each body unchanged except for the key."""
    for extension in ("raw", "json"):
        _, entry = await eia_upstream(3, format=extension)
        done = await run(entry, tmp_path)
        assert done.file == f"eia_demand/demand_20260102_030405.{extension}"
        body = (tmp_path / done.file).read_bytes()
        assert json.loads(body)["response"]["total"] == "3"
        assert b"s3cret-key" not in body


async def test_a_cancelled_collection_leaves_nothing(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """A cancelled collection ends its requests and writes no file."""
    upstream, entry = await eia_upstream(12_000, raw=False)
    second = asyncio.Event()

    def fault(ordinal: int, request: web.Request) -> None:
        if ordinal == 2:
            second.set()

    upstream.fault = fault
    task = asyncio.create_task(run(entry, tmp_path))
    await second.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files(tmp_path) == []


def test_a_scheduled_run_rereads_what_is_due() -> None:
    """A run at 10:12 with a lag of 1 h and a reread of a day requests the 24 hours up to 09:00."""
    api = {
        "name": "demand",
        "url": "https://api.eia.gov/v2/electricity/rto/region-data/data/",
        "output_folder": "demand",
        "available": {"lag": "PT1H"},
        "reread": "P1D",
    }
    entry = parse({"apis": [api]}).apis[0]
    end = datetime(2026, 3, 1, 9, tzinfo=UTC)
    assert find_scheduled_period(entry, datetime(2026, 3, 1, 10, 12, tzinfo=UTC)) == Period(
        end - timedelta(days=1), end
    )


async def test_duplicates_are_counted_with_an_example(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """A row that comes twice is stored once, and counted with its key in the report and in the metadata of the file."""
    upstream, entry = await eia_upstream(10, raw=False)
    row = {"period": "2024-01-01T05", "respondent": "ISNE", "type": "D", "value": "5", "value-units": "megawatthours"}
    answer = {"response": {"total": "1", "data": [row, row]}}
    upstream.fault = lambda ordinal, request: web.json_response(answer)
    done = await run(entry, tmp_path)
    [skipped] = done.skipped
    assert (done.rows, skipped.count, skipped.example) == (1, 1, "ISNE/demand at 2024-01-01T04:00Z")
    assert done.file
    [record] = (await Lake.open(str(tmp_path)).read_metadata(done.file)).skipped
    assert record == skipped.as_dict()
