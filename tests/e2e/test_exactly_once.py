"""Real commands against a real upstream: if they are killed or run concurrently, readers still get every value once."""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gridtide import curated
from gridtide.config.loading import load
from gridtide.lake import Lake
from gridtide.periods import EPOCH, Period, floor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # commands import Prefect: long on a loaded machine

ROOT = Path(__file__).parents[2]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PLACES = [f"BA{number:02d}" for number in range(40)]
"""Of 40 series 125 hours fit a page: a year of them is 71 pages."""

YEAR = Period(datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC))
CONCURRENCY = 5
HELD = 2 * CONCURRENCY
"""How many pages one collection has asked for and not put away yet, at most."""


class CountingUpstream:
    """An upstream with EIA's region-data for all times. It counts the requests of each page, and sets an event after
    `alarm` requests."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: Counter[str] = Counter()
        self.alarm = 0
        self.alarmed = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        """Answer with every hour of every location from `start` to `end`."""
        start, end = (datetime.fromisoformat(f"{request.query[key]}:00+00:00") for key in ("start", "end"))
        self.asked[request.query["start"]] += 1
        if self.asked.total() == self.alarm:
            self.alarmed.set()
        hours = [start + n * HOUR for n in range((end - start) // HOUR + 1)]
        rows = [
            {"period": period, "respondent": place, "type": "D", "value": str(number)}
            for hour in hours
            for period in [f"{hour:%Y-%m-%dT%H}"]
            for place, number in zip(PLACES, values(hour - HOUR), strict=True)
        ]
        return web.json_response({"response": {"total": str(len(rows)), "data": rows}})

    def configured(self, folder: Path, chunk: str) -> Path:
        """A configuration of one entry for this upstream, with a lake in `folder`."""
        entry = {
            "name": "demand",
            "source": "eia",
            "url": f"{self.url}v2/electricity/rto/region-data/data/",
            "params": {"facets[respondent][]": PLACES, "facets[type][]": ["D"]},
            "output_folder": "demand",
            "rate_limit": None,
            "concurrency": CONCURRENCY,
            "chunk": chunk,
        }
        folder.mkdir()
        path = folder / "api_config.json"
        path.write_text(json.dumps({"lake": str(folder / "lake"), "apis": [entry]}))
        return path


def values(start: datetime) -> list[int]:
    """The demand of each place in the hour that begins at `start`."""
    first = (start - EPOCH) // HOUR * 100
    return [first + number for number in range(len(PLACES))]


@pytest.fixture
async def upstream() -> AsyncIterator[CountingUpstream]:
    """An upstream on a free port."""
    made = CountingUpstream()
    app = web.Application()
    app.router.add_get("/{path:.*}", made.answer)
    server = TestServer(app)
    await server.start_server()
    made.url = str(server.make_url("/"))
    yield made
    await server.close()


async def gridtide(command: str, path: Path, server: str, period: Period | None = None) -> asyncio.subprocess.Process:
    """Start the command in a process of its own."""
    bounds = ["--start", period.start.isoformat(), "--end", period.end.isoformat()] if period else []
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deployments.cli", command, "--config", str(path), *bounds),
        cwd=ROOT,
        env={**os.environ, "PREFECT_API_URL": server, "EIA_API_KEY": "a-key"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def done(*commands: asyncio.subprocess.Process) -> None:
    """Wait for the end of `commands`, which must succeed."""
    for (said, _), command in zip(
        await asyncio.gather(*(one.communicate() for one in commands)), commands, strict=True
    ):
        assert command.returncode == 0, said.decode()


async def read(path: Path, period: Period) -> list[tuple[Any, ...]]:
    """Hour, location and value of all rows of `period` in the lake, as often as they occur."""
    loaded = load(path)
    table = await curated.read(Lake.open(loaded.lake), loaded.apis, period.start, period.end)
    columns = (table[name].to_pylist() for name in ("interval_start", "location", "value"))
    return sorted(zip(*columns, strict=True))


def everything(period: Period) -> list[tuple[Any, ...]]:
    """The expected values of `period`."""
    hours = [period.start + n * HOUR for n in range(period.duration // HOUR)]
    return [(hour, place, float(value)) for hour in hours for place, value in zip(PLACES, values(hour), strict=True)]


async def kill_at_half(upstream: CountingUpstream, path: Path, server: str) -> None:
    """Kill a backfill of a chunk of 71 pages when it requests the 36th; the lake has no file of it yet."""
    upstream.alarm = 36
    command = await gridtide("backfill", path, server, YEAR)
    await upstream.alarmed.wait()
    command.kill()
    await command.communicate()
    assert await Lake.open(load(path).lake).list_files("demand", "demand") == []


async def test_a_killed_backfill_goes_on_from_its_pages(
    upstream: CountingUpstream, tmp_path: Path, prefect_server: str
) -> None:
    """After a kill, only pages in flight are requested again, all values are stored once, and a third backfill
    requests nothing."""
    path = upstream.configured(tmp_path / "killed", "P400D")
    await kill_at_half(upstream, path, prefect_server)
    before = upstream.asked.total()

    await done(await gridtide("backfill", path, prefect_server, YEAR))
    assert len(upstream.asked) == 71
    assert upstream.asked.total() <= 71 + HELD
    assert max(upstream.asked.values()) <= 2
    assert before >= 36
    assert await read(path, YEAR) == everything(YEAR)
    lake = Lake.open(load(path).lake)
    (file,) = await lake.list_files("demand", "demand")
    assert (await lake.read_metadata(file.path)).rows == 350_400

    asked = upstream.asked.total()
    await done(await gridtide("backfill", path, prefect_server, YEAR))
    assert upstream.asked.total() == asked


async def test_a_killed_backfill_ends_with_the_rows_of_an_undisturbed_one(
    upstream: CountingUpstream, tmp_path: Path, prefect_server: str
) -> None:
    """Except for retrieval times, the rows equal those of a backfill without a kill, in order and types."""
    paths = [upstream.configured(tmp_path / name, "P400D") for name in ("killed", "whole")]
    await kill_at_half(upstream, paths[0], prefect_server)
    await done(*[await gridtide("backfill", path, prefect_server, YEAR) for path in paths])
    tables = []
    for path in paths:
        lake = Lake.open(load(path).lake)
        (file,) = await lake.list_files("demand", "demand")
        tables.append((await lake.read_table(file.path)).drop_columns("retrieved_at"))
    killed, whole = tables
    assert killed.num_rows == 350_400
    assert killed.equals(whole)


async def test_commands_at_the_same_time_read_as_one(
    upstream: CountingUpstream, tmp_path: Path, prefect_server: str
) -> None:
    """Two concurrent backfills and a scheduled collection store every hour of every location once."""
    path = upstream.configured(tmp_path / "many", "P1D")
    now = floor(datetime.now(UTC), DAY)
    period = Period(now - 6 * DAY, now - DAY)
    commands = [
        await gridtide("backfill", path, prefect_server, period),
        await gridtide("backfill", path, prefect_server, period),
        await gridtide("ingest", path, prefect_server),
    ]
    await done(*commands)
    assert await read(path, period) == everything(period)
    files = await Lake.open(load(path).lake).list_files("demand", "demand")
    periods = [file.period for file in files if file.period is not None]
    since = min(stored.start for stored in periods if stored.end > period.end)  # where the collection begins
    days = [Period(period.start + number * DAY, period.start + (number + 1) * DAY) for number in range(5)]
    assert [day for day in days if day.end <= since and day not in periods] == []
