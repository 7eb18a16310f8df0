"""Bodies under `raw/`: from which of them a collection resumes, and which pages are requested again."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from gridtide.collect import raw_bodies, resume
from gridtide.collect.collected import Collected
from gridtide.collect.collection import collect
from gridtide.entries.entry import Entry
from gridtide.errors import IncompleteError, StorageError, UpstreamError
from gridtide.http.client import Http
from gridtide.lake import ByteStore, Lake, Object
from gridtide.periods import Period
from gridtide.sources.contract import Request, Response
from tests.support.lakes import HOUR, entry
from tests.support.upstreams.eia_upstream import HOURS, JANUARY, EiaUpstream, StartUpstream

STAMP = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DAY = timedelta(days=1)
WHOLE = Period(JANUARY, JANUARY + timedelta(hours=HOURS))


async def run(entry: Entry, folder: Path, stamp: datetime = STAMP, **options: Any) -> Collected:
    """Collect all hours of `entry` into the lake at `folder`."""
    async with Http({"EIA_API_KEY": "s3cret-key"}) as http:
        lake = Lake.open(str(folder))
        return await collect(entry, lake=lake, http=http, stamp=stamp, period=WHOLE, **options)


async def values(folder: Path, done: Collected) -> list[float]:
    """The values of the written file."""
    assert done.file is not None
    column: list[float] = (await Lake.open(str(folder)).read_table(done.file))["value"].to_pylist()
    return column


async def interrupted(eia_upstream: StartUpstream, folder: Path, after: int) -> tuple[EiaUpstream, Entry]:
    """An upstream that fails permanently after `after` answers, and recovers afterwards."""
    upstream, entry = await eia_upstream(HOURS, concurrency=1, retries=1)
    upstream.fault = lambda ordinal, request: web.Response(status=503) if ordinal > after else None
    with pytest.raises(UpstreamError):
        await run(entry, folder)
    upstream.fault = lambda ordinal, request: None
    upstream.asked = 0
    return upstream, entry


async def test_a_retry_asks_only_for_the_pages_that_are_not_kept(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """After three of four pages were stored, the next attempt requests one page."""
    upstream, entry = await interrupted(eia_upstream, tmp_path, after=3)
    done = await run(entry, tmp_path)
    assert await values(tmp_path, done) == list(range(HOURS))
    assert (upstream.asked, done.requests, done.reused, done.retries) == (1, 1, 3, 0)


async def test_another_run_goes_on_only_when_told(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """A later run reuses the pages only with `resume`, and only within a day."""
    upstream, entry = await interrupted(eia_upstream, tmp_path, after=3)
    resumed = await run(entry, tmp_path, STAMP + timedelta(hours=1), resume=True)
    assert (await values(tmp_path, resumed), resumed.reused, upstream.asked) == (list(range(HOURS)), 3, 1)
    anew = await run(entry, tmp_path, STAMP + timedelta(hours=2))
    assert (await values(tmp_path, anew), anew.reused, anew.requests) == (list(range(HOURS)), 0, 4)
    late = await run(entry, tmp_path, STAMP + timedelta(days=2), resume=True)
    assert (late.reused, late.requests) == (0, 4)


async def test_pages_of_two_moments_that_do_not_fit_are_asked_anew(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """If the upstream's count has changed since, all pages are requested again."""
    upstream, entry = await interrupted(eia_upstream, tmp_path, after=3)
    upstream.total = HOURS - 1
    upstream.rows.pop()
    done = await run(entry, tmp_path)
    assert await values(tmp_path, done) == list(range(HOURS - 1))
    assert (done.reused, done.requests, upstream.asked) == (0, 4, 5)
    again = await run(entry, tmp_path)
    assert (again.reused, again.is_new, upstream.asked) == (4, False, 5)


async def test_a_body_that_cannot_be_read_is_asked_again(
    eia_upstream: StartUpstream, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A damaged stored body is named in a warning and requested again."""
    _, entry = await interrupted(eia_upstream, tmp_path, after=2)
    first, _ = sorted((tmp_path / "raw").rglob("*.zst"))
    first.write_bytes(b"no zstd")
    done = await run(entry, tmp_path)
    assert (await values(tmp_path, done), done.reused) == (list(range(HOURS)), 1)
    assert first.name in caplog.text
    assert len(list((tmp_path / "raw").rglob("*-2.zst"))) == 1


async def test_nothing_is_gone_on_from_where_bodies_are_not_kept(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """With `"raw": false`, nothing is stored and everything is requested again."""
    upstream, entry = await eia_upstream(HOURS, raw=False)
    await run(entry, tmp_path)
    await run(entry, tmp_path)
    assert upstream.asked == 8
    assert not (tmp_path / "raw").exists()


async def test_a_collection_is_replayed_without_the_upstream(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """A replay of stored bodies gives the same rows, including `retrieved_at`, without requests."""
    upstream, entry = await eia_upstream(HOURS)
    done = await run(entry, tmp_path)
    lake = Lake.open(str(tmp_path))
    [collection] = await raw_bodies.list_collections(lake, entry)
    assert (collection.stamp, collection.period) == (STAMP, WHOLE)
    replayed = resume.Replayed(lake, await raw_bodies.list_answers(lake, [collection]))
    other = Lake.open(str(tmp_path / "other"))
    again = await collect(entry, lake=other, http=replayed, stamp=STAMP, period=WHOLE)
    assert (again.file, again.requests) == (done.file, 0)
    assert done.file is not None
    assert (await other.read_table(done.file)).equals(await lake.read_table(done.file))
    assert upstream.asked == 4


async def test_a_replay_without_all_pages_says_which_is_missing(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """A replay with a missing page names the page, sends no request and writes no file."""
    _, entry = await interrupted(eia_upstream, tmp_path, after=1)
    lake = Lake.open(str(tmp_path))
    replayed = resume.Replayed(
        lake, await raw_bodies.list_answers(lake, await raw_bodies.list_collections(lake, entry))
    )
    with pytest.raises(StorageError, match=r"demand: the body of .* is no longer kept"):
        await collect(entry, lake=lake, http=replayed, stamp=STAMP, period=WHOLE)
    assert await lake.list_files("eia_demand", "demand") == []


async def test_two_attempts_at_once_keep_both_bodies(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """Concurrent attempts with one stamp lose no body and write one file."""
    _, entry = await eia_upstream(HOURS)
    first, second = await asyncio.gather(run(entry, tmp_path), run(entry, tmp_path))
    assert first.file == second.file
    assert len(list((tmp_path / "raw").rglob("*.zst"))) == 8


async def test_incomplete_answers_are_not_repaired_by_repetition(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """If the count stays wrong, every attempt fails, and each requests all pages again."""
    upstream, entry = await eia_upstream(HOURS)
    upstream.total = HOURS + 1
    for attempt in (1, 2):
        with pytest.raises(IncompleteError):
            await run(entry, tmp_path)
        assert upstream.asked == 5 * attempt


@pytest.mark.parametrize("place", ["folder", "s3"])
async def test_what_is_gone_on_from_is_found_among_many(
    place: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collection lists only the bodies of its own period, however many others are stored."""
    lake = Lake.open(str(tmp_path) if place == "folder" else f"s3://{request.getfixturevalue('bucket')}/lake")
    one, other = (entry(name) for name in ("one", "other"))
    other = msgspec.structs.replace(other, output_folder=one.output_folder)
    days = [Period(JANUARY + n * DAY, JANUARY + (n + 1) * DAY) for n in range(30)]
    for of, stamp, day in [(one, STAMP, day) for day in days] + [(other, STAMP, days[3]), (one, STAMP - DAY, days[3])]:
        await raw_bodies.keep_body(lake, of, stamp, day, Request("/", {}), Response(b"body", stamp, "text/plain", 1))
    listed: list[str] = []
    listing = ByteStore.list_folder

    async def counted(self: ByteStore, folder: str) -> tuple[list[str], list[Object]]:
        found = await listing(self, folder)
        listed.extend([*found[0], *(file.path for file in found[1])])
        return found

    monkeypatch.setattr(ByteStore, "list_folder", counted)
    async with Http({}) as http:
        await resume.open_resumed(http, lake, one, STAMP + HOUR, days[3], earlier=True)
    assert [path.removeprefix("raw/one/20240104T0000_20240105T0000/") for path in listed] == [
        "one_20260101_030405_20240104T0000_20240105T0000",
        "one_20260102_030405_20240104T0000_20240105T0000",
        "other_20260102_030405_20240104T0000_20240105T0000",
        "one_20260102_030405_20240104T0000_20240105T0000/7dd5011e93e75c83.zst",
    ]
