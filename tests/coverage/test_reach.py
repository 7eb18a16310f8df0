"""What a file covers that was stored while no other clock confirmed that of this machine."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from gridtide import curated
from gridtide.collect.collection import collect
from gridtide.collect.raw_bodies import list_collections
from gridtide.collect.replay import list_files_by_stamp, plan_pieces, replay_piece
from gridtide.config.loading import parse
from gridtide.coverage.picture import measure_coverage
from gridtide.coverage.plan import plan_chunks
from gridtide.entries.entry import Entry
from gridtide.http.client import Http
from gridtide.lake import Lake, soundness
from gridtide.periods import DAY, HOUR, Period, floor
from tests.support.upstreams.http_servers import serving

STAMP = floor(datetime.now(UTC), HOUR)
"""The time of the run by its clock, which may be ahead."""


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """An upstream at `/<hours it has before STAMP>/<how it sends a Date>`; the last of its hours is a null."""

    async def answer(request: web.Request) -> web.Response:
        _, hours, dated = request.path.split("/")
        start, end = (datetime.fromisoformat(request.query[name]) for name in ("start", "end"))
        moments = [start + n * HOUR for n in range((end - start) // HOUR)]
        last = STAMP - float(hours) * HOUR
        rows = [
            {"time": moment.isoformat(), "load": 5 if moment < last else None} for moment in moments if moment <= last
        ]
        # without a Date, the server would add its own
        return web.json_response(rows, headers={} if dated == "dated" else {"Date": "soon"})

    async with serving(answer) as address:
        yield address


def entry_at(url: str, hours: int, dated: str, file_format: str = "parquet") -> Entry:
    """Returns the entry that requests the upstream which ends so many hours before the run."""
    api = {"name": "grid", "url": f"{url}{hours}/{dated}?start={{start}}&end={{end}}", "output_folder": "grid"}
    api |= {"time": "time", "value": "load", "unit": "MW", "interval": "PT1H", "rate_limit": None, "chunk": "P400D"}
    return parse({"apis": [api | {"format": file_format}]}).apis[0]


async def list_open_hours(lake: Lake, entry: Entry, period: Period) -> Sequence[tuple[int, int]]:
    """Returns the first hour and the end of what is requested a day after the run, in hours before it; `status` shows
    the same."""
    later = STAMP + DAY
    chunks = (await plan_chunks(entry, period, later, lake)).chunks
    coverage = await measure_coverage(lake, entry, period, later)
    assert coverage is not None
    assert list(coverage.missing) == [chunk for _, chunk in chunks]
    return [((STAMP - chunk.start) // HOUR, (STAMP - chunk.end) // HOUR) for _, chunk in chunks]


@pytest.mark.parametrize(
    ("hours", "dated", "days", "requested"),
    [
        (480, "dated", 30, []),
        (480, "undated", 30, [(480, 0)]),
        (5, "undated", 30, [(5, 0)]),
        (-1, "undated", 30, []),
        (2000, "undated", 30, [(720, 0)]),
        (2000, "undated", 90, [(1440, 0)]),
        (2000, "dated", 90, []),
    ],
)
@pytest.mark.parametrize("then", ["", "csv", "replayed", "pruned", "indexed"])
async def test_hours_that_may_not_have_come_are_requested_when_they_have(
    url: str, tmp_path: Path, hours: int, dated: str, days: int, requested: list[tuple[int, int]], then: str
) -> None:
    """Without a Date, a file covers what its values reach and what lies sixty days before; the rest is requested once
    the future of a clock that was ahead has come, whatever became of the file."""
    lake, entry = Lake.open(str(tmp_path)), entry_at(url, hours, dated, "csv" if then == "csv" else "parquet")
    period = Period(STAMP - days * DAY, STAMP)
    async with Http({}) as http:
        await collect(entry, lake=lake, http=http, stamp=STAMP, period=period)
    if then == "replayed":
        (path,) = (file.path for file in await lake.list_files("grid", "grid"))
        await lake.store.remove([path])
        collections = await list_collections(lake, entry)
        (piece,) = plan_pieces(collections, collections, await list_files_by_stamp(lake, entry))
        assert (await replay_piece(lake, entry, piece)).status == "rewritten"
    elif then == "pruned":
        await curated.compact(lake, entry)
        await curated.prune(lake, entry, STAMP + 365 * DAY)
    elif then == "indexed":
        files = await lake.list_files("grid", "grid")
        contents = [await soundness.read_metadata(lake, files * soundness.FEWEST_INDEXED) for _ in range(2)]
        assert contents[0] == contents[1]
    assert await list_open_hours(lake, entry, period) == requested


async def test_any_clock_that_agrees_confirms_the_run(url: str, tmp_path: Path) -> None:
    """What an upstream without a Date answers counts in full once another host or the store has agreed."""
    lake, entry = Lake.open(str(tmp_path)), entry_at(url, 480, "undated")
    period = Period(STAMP - 30 * DAY, STAMP)
    async with Http({}) as http:
        http.add_clock("store.example", timedelta(seconds=2))
        await collect(entry, lake=lake, http=http, stamp=STAMP, period=period)
    assert await list_open_hours(lake, entry, period) == []
