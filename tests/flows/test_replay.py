"""Replays: observations are parsed again from stored bodies, without the upstream."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from flows.backfill import backfill
from flows.ingest import ingest
from flows.replay import replay
from flows.run.report import RunError
from gridtide import curated
from gridtide.collect import raw_bodies
from gridtide.collect.collection import collect
from gridtide.config.loading import parse
from gridtide.errors import ConfigurationError
from gridtide.http.client import Http
from gridtide.lake import Draft, Lake, Provenance
from gridtide.lake.files import encoding
from gridtide.observations.table import Row, from_rows
from gridtide.periods import Period
from tests.support.upstreams.daily_files import DailyFiles, load
from tests.support.upstreams.eia_upstream import HOURS, JANUARY, StartUpstream
from tests.support.upstreams.upstream import running

pytestmark = pytest.mark.usefixtures("prefect_server")


async def collected(folder: Path) -> tuple[dict[str, Any], Path, Path]:
    """A configuration, the file of its one collection, and the body of that file; the upstream no longer answers."""
    async with running() as up:
        config = up.config(folder, up.api("grid"))
        await ingest(config=config)
    [file] = (folder / "grid").glob("*.parquet")
    [body] = (folder / "raw").rglob("*.zst")
    return config, file, body


def rewritten(body: Path, old: str, new: str) -> None:
    """Let the parser read `new` where the bytes of `body` have `old`, like a fixed parser."""
    said = encoding.decompress_body(body.read_bytes()).decode()
    assert old in said
    body.write_bytes(encoding.compress_body(said.replace(old, new).encode()))


async def test_what_reads_the_same_is_left(tmp_path: Path) -> None:
    """Without a change of the parser, a replay writes nothing and sends no request."""
    config, file, _ = await collected(tmp_path)
    before = file.read_bytes()
    report = await replay(config=config)
    assert report["pipeline_status"] == "success"
    assert report["summary"] | {"seconds": 0} == {
        "collections": 1,
        "unchanged": 1,
        "rewritten": 0,
        "interrupted": 0,
        "failed": 0,
        "rows": 0,
        "seconds": 0,
    }
    assert list((tmp_path / "grid").glob("*.parquet")) == [file]
    assert file.read_bytes() == before


async def test_what_reads_otherwise_is_a_new_file_that_counts(tmp_path: Path) -> None:
    """The old file stays; readers get the new values, and the old ones with an earlier `as_of`; a second replay
    writes nothing."""
    config, file, body = await collected(tmp_path)
    rewritten(body, "2.5", "7.5")
    lake, entries = Lake.open(str(tmp_path)), parse(config).apis
    stored_at = (await lake.read_metadata(f"grid/{file.name}")).stored_at
    first, again = await replay(config=config), await replay(config=config)
    assert (first["summary"]["rewritten"], again["summary"]["rewritten"], again["summary"]["unchanged"]) == (1, 0, 1)
    assert len(list((tmp_path / "grid").glob("*.parquet"))) == 2
    day = (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC))
    assert (await curated.read(lake, entries, *day))["value"].to_pylist() == [1.5, 7.5]
    assert (await curated.read(lake, entries, *day, stored_at))["value"].to_pylist() == [1.5, 2.5]
    for entry in entries:
        await curated.compact(lake, entry)
    assert (await curated.read(lake, entries, *day))["value"].to_pylist() == [1.5, 7.5]
    assert (await curated.read(lake, entries, *day, stored_at))["value"].to_pylist() == [1.5, 2.5]


COLUMNS = ("interval_start", "value")


async def read(config: dict[str, Any], as_of: datetime | None = None) -> list[tuple[int, float]]:
    """The hours of the day in the lake, with their values."""
    lake, entries = Lake.open(config["lake"]), parse(config).apis
    table = await curated.read(lake, entries, datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC), as_of)
    return [(at.hour, value) for at, value in zip(*(table[n].to_pylist() for n in COLUMNS), strict=True)]


async def test_values_that_vanish_are_not_read_any_more(tmp_path: Path) -> None:
    """A key that the parser no longer finds is read only with an `as_of` before the replay, compacted or not."""
    config, file, body = await collected(tmp_path)
    lake, [entry] = Lake.open(str(tmp_path)), parse(config).apis
    stored_at = (await lake.read_metadata(f"grid/{file.name}")).stored_at
    await curated.compact(lake, entry)
    rewritten(body, "2024-01-01T01:00Z", "2024-01-01T02:00Z")
    report = await replay(config=config)
    [row] = report["results"]
    assert [one.path for one in await lake.list_files("grid", "grid")] == row["files"]
    assert (row["rewritten"], row["superseded"]) == (1, [f"grid/{file.name}"])
    for _ in range(2):
        assert await read(config) == [(0, 1.5), (2, 2.5)]
        assert await read(config, stored_at) == [(0, 1.5), (1, 2.5)]
        await curated.compact(lake, entry)
    assert (await replay(config=config))["summary"]["unchanged"] == 1
    rewritten(body, "2024-01-01T02:00Z", "2024-01-01T03:00Z")
    assert (await replay(config=config))["results"][0]["superseded"] == row["files"]
    assert await read(config) == [(0, 1.5), (3, 2.5)]


async def test_what_says_nothing_any_more_leaves_nothing(tmp_path: Path) -> None:
    """If the fixed parser finds no row, readers get none."""
    config, file, body = await collected(tmp_path)
    said = encoding.decompress_body(body.read_bytes()).decode().partition("\n")[2]
    rewritten(body, said, "[]")
    report = await replay(config=config)
    assert report["results"][0]["superseded"] == [f"grid/{file.name}"]
    assert await read(config) == []


async def test_a_replay_that_was_killed_is_made_good(tmp_path: Path) -> None:
    """If a replay is killed between writing the new file and marking the old one, the next replay marks it."""
    config, file, body = await collected(tmp_path)
    rewritten(body, "2024-01-01T01:00Z", "2024-01-01T02:00Z")
    await replay(config=config)
    [mark] = (tmp_path / "grid").glob("*.superseded_*")
    mark.unlink()
    assert await read(config) == [(0, 1.5), (1, 2.5), (2, 2.5)]
    assert (await replay(config=config))["results"][0]["superseded"] == [f"grid/{file.name}"]
    assert await read(config) == [(0, 1.5), (2, 2.5)]


@pytest.mark.slow
async def test_a_parser_that_is_put_back_counts_from_then_on(tmp_path: Path) -> None:
    """If a parser is changed back, its result is stored again and counts from then on; reading with an earlier
    `as_of` does not change."""
    config, file, body = await collected(tmp_path)
    lake, [entry] = Lake.open(str(tmp_path)), parse(config).apis
    at = {1: (await lake.read_metadata(f"grid/{file.name}")).stored_at}
    hours = [1, 2, 1, 2, 1]
    for before, after in pairwise(hours):
        rewritten(body, f"2024-01-01T0{before}:00Z", f"2024-01-01T0{after}:00Z")
        [row] = (await replay(config=config))["results"]
        [path] = row["files"]
        at[len(at) + 1] = max(
            one.superseded_at or one.stamp for one in await lake.list_files("grid", "grid", superseded=True)
        )
        assert (row["rewritten"], row["errors"]) == (1, [])
        assert [one.path for one in await lake.list_files("grid", "grid")] == [path]
        assert (await replay(config=config))["summary"]["unchanged"] == 1
        await curated.compact(lake, entry)
    assert len(list((tmp_path / "grid").glob("*.parquet"))) == len(hours)
    assert await read(config) == [(0, 1.5), (1, 2.5)]
    for turn, hour in enumerate(hours, start=1):
        assert await read(config, at[turn]) == [(0, 1.5), (hour, 2.5)]


async def test_another_answer_of_the_next_second_still_counts(tmp_path: Path) -> None:
    """A file whose stamp is a second later because two runs started at once is not marked as superseded."""
    config, file, body = await collected(tmp_path)
    lake, [entry] = Lake.open(str(tmp_path)), parse(config).apis
    at = datetime(2024, 1, 1, 5, tzinfo=UTC)
    other = Row(at, at, "grid", "mw", "MW", 9.0)
    with Draft("parquet", Provenance("grid", None, entry.fingerprint)) as draft:
        draft.append(from_rows("generic", [other], datetime.now(UTC)))
        [of] = await lake.list_files("grid", "grid")
        await lake.put_draft(draft, "grid", "grid", of.stamp)
    rewritten(body, "2024-01-01T01:00Z", "2024-01-01T02:00Z")
    assert (await replay(config=config))["results"][0]["superseded"] == [f"grid/{file.name}"]
    assert await read(config) == [(0, 1.5), (2, 2.5), (5, 9.0)]


async def test_a_body_that_cannot_be_read_fails_its_collection_alone(tmp_path: Path) -> None:
    """The other collections are replayed; the run ends as Failed and names the folder."""
    async with running() as up:
        config = up.config(tmp_path, up.api("good"), up.api("bad"))
        await ingest(config=config)
    rewritten(next((tmp_path / "raw" / "bad").rglob("*.zst")), '"mw"', '"kw"')
    with pytest.raises(RunError, match="1 of 2 entries failed: bad") as caught:
        await replay(config=config)
    good, bad = caught.value.report["results"]
    assert (good["unchanged"], bad["failed"]) == (1, 1)
    assert bad["errors"][0].startswith("raw/bad/bad_")


async def test_a_damaged_body_is_named(tmp_path: Path) -> None:
    """The error of a truncated or foreign body names its file."""
    config, _, body = await collected(tmp_path)
    for damage in (body.read_bytes()[:-5], encoding.compress_body(b"no envelope")):
        body.write_bytes(damage)
        with pytest.raises(RunError, match=rf"raw/grid/{body.parent.name}/{body.name} is "):
            await replay(config=config)


async def test_what_was_asked_otherwise_is_told(tmp_path: Path) -> None:
    """Bodies of another host, of a sandbox or of other params fail the replay, and do not count as missing."""
    config, _, _ = await collected(tmp_path)
    [api] = config["apis"]
    host = api["url"].rpartition("/")[0]
    elsewhere = {**config, "apis": [{**api, "url": "https://grid.example/loads"}]}
    with pytest.raises(RunError, match=f"is asked of https://grid.example now, and what is kept was asked of {host}"):
        await replay(config=elsewhere)
    otherwise = {**config, "apis": [{**api, "params": {"zone": "A"}}]}
    with pytest.raises(RunError, match="or was requested with another URL or other params"):
        await replay(config=otherwise)


async def test_an_entry_that_asks_for_more_now_is_replayed_as_it_was_asked(tmp_path: Path) -> None:
    """A region was collected, then another one alone: the bodies of each are replayed, for the entry that asks for
    both."""
    day, following = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)
    async with running() as up:
        for regions in (["A"], ["A", "B"]):
            api = up.api("grid", url=f"{up.url}grid?day={{start:%Y-%m-%d}}", params={"region": regions})
            config = up.config(tmp_path, api)
            await backfill(day, following, config=config)
            # until the next second: two collections of one period in one second share the folder of their bodies
            await asyncio.sleep(1.01 - datetime.now(UTC).microsecond / 1e6)
        assert up.asked["grid"] == 2
    bodies = sorted((tmp_path / "raw").rglob("*.zst"))
    assert (await replay(config=config))["summary"]["unchanged"] == 2
    rewritten(bodies[1], "2.5", "7.5")
    report = await replay(config=config)
    assert (report["summary"]["rewritten"], report["summary"]["unchanged"]) == (1, 1)
    assert await read(config) == [(0, 1.5), (1, 7.5)]


async def test_collections_of_two_seconds_in_a_row_are_replayed_each_for_itself(tmp_path: Path) -> None:
    """The file of the later one is no reading of the earlier one, whose bodies do not hold what it asked for."""
    day, stamp = Period(JANUARY, JANUARY + timedelta(days=1)), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    async with running() as up, Http({}) as http:
        for second, regions in enumerate((["A"], ["B"], ["A", "B"])):
            api = up.api("grid", url=f"{up.url}grid?day={{start:%Y-%m-%d}}", params={"region": regions})
            config = up.config(tmp_path, api)
            if len(regions) == 1:
                lake, at = Lake.open(str(tmp_path)), stamp + timedelta(seconds=second)
                await collect(parse(config).apis[0], lake=lake, http=http, stamp=at, period=day)
    assert (await replay(config=config))["summary"]["unchanged"] == 2


async def test_what_was_interrupted_is_passed_over(tmp_path: Path) -> None:
    """A collection that was interrupted before it had a file does not fail the replay; one that has a file does."""
    config, _, body = await collected(tmp_path)
    lake = Lake.open(str(tmp_path))
    await lake.put_raw(
        "raw/grid/grid_20240101_000000/0123456789abcdef.zst", encoding.decompress_body(body.read_bytes())
    )
    report = await replay(config=config)
    assert (report["pipeline_status"], report["summary"]["interrupted"], report["summary"]["unchanged"]) == (
        "success",
        1,
        1,
    )
    body.rename(body.with_name("0123456789abcdef.zst"))
    with pytest.raises(RunError, match="is no longer kept"):
        await replay(config=config)


async def test_what_lost_some_of_its_bodies_is_told_once(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """A collection that lost bodies is reported with its folder and the fix, its file stays and the others are
    replayed; a later `start` skips it."""
    upstream, entry = await eia_upstream(HOURS)
    lake, whole = Lake.open(str(tmp_path)), Period(JANUARY, JANUARY + timedelta(hours=HOURS))
    api = {"name": entry.name, "source": "eia", "url": entry.url, "output_folder": entry.output_folder}
    config = {"lake": str(tmp_path), "apis": [api | {"rate_limit": None}]}
    stamps = [datetime(2026, 5, day, tzinfo=UTC) for day in (1, 3, 5)]
    for number, stamp in enumerate(stamps):
        upstream.rows[0]["value"] = str(number)
        async with Http({"EIA_API_KEY": "s3cret-key"}) as http:
            await collect(entry, lake=lake, http=http, stamp=stamp, period=whole)
    lost, *_ = (one.folder for one in await raw_bodies.list_collections(lake, entry))
    for body in sorted((tmp_path / lost).iterdir())[:2]:
        body.unlink()
    files = await lake.list_files("eia_demand", "demand")
    with pytest.raises(RunError, match="1 of 1 entries failed") as caught:
        await replay(config=config)
    [row] = caught.value.report["results"]
    assert (row["collections"], row["unchanged"], row["failed"]) == (3, 2, 1)
    [error] = row["errors"]
    assert error.startswith(f"{lost}: demand: the body of ")
    assert "is no longer kept" in error
    assert "what has expired keeps its file: --start after it" in error
    assert await lake.list_files("eia_demand", "demand") == files
    assert (await replay(config=config, start=stamps[1]))["summary"]["unchanged"] == 2


async def test_what_expired_is_no_collection(tmp_path: Path) -> None:
    """A collection whose bodies were all removed by retention is not counted and does not fail."""
    config, file, body = await collected(tmp_path)
    body.unlink()
    assert body.parent.is_dir()
    for dry_run in (True, False):
        report = await replay(config=config, dry_run=dry_run)
        assert report["pipeline_status"] == "success"
        assert {key: n for key, n in report["summary"].items() if n and key != "seconds"} == {}
    assert file.exists()


async def test_a_dry_run_and_a_selection_read_nothing_else(tmp_path: Path) -> None:
    """A dry run counts the stored collections; those outside `start` and `end` do not count."""
    config, _, body = await collected(tmp_path)
    body.write_bytes(b"damaged")
    assert (await replay(config=config, dry_run=True))["summary"]["collections"] == 1
    assert (await replay(config=config, end=datetime(2020, 1, 1)))["summary"]["collections"] == 0
    with pytest.raises(ConfigurationError, match="is not after the start"):
        await replay(config=config, start=datetime(2024, 1, 1), end=datetime(2023, 1, 1))


@pytest.mark.slow
async def test_a_body_that_can_be_read_by_now_replaces_the_files_of_the_parts(tmp_path: Path) -> None:
    """A collection with a malformed day stored the days around it in two files. Once the parser reads that day, the
    replay stores the whole period in one file that supersedes both, and no file of another collection."""
    days = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=number) for number in range(4)]
    upstream = DailyFiles()
    upstream.faults = {days[1].date(): "malformed"}
    app = web.Application()
    app.router.add_get("/{day}", upstream.answer)
    async with TestServer(app) as server:
        layout = {"time": "time", "value": "load", "interval": "PT1H", "retries": 1}
        api = {"name": "load", "url": f"{server.make_url('/')}{{start:%Y-%m-%d}}", "output_folder": "load", **layout}
        config = {"lake": str(tmp_path), "task_retries": {"count": 0}, "apis": [api]}
        with pytest.raises(RunError):
            await backfill(days[0], days[3], config=config)
        await backfill(days[3], days[3] + timedelta(days=1), config=config)
    parts = sorted(path.name for path in (tmp_path / "load").glob("*_2024010[12-4]T0000_2024010[2-4]T0000.parquet"))
    assert len(parts) == 2
    (body,) = (
        path
        for path in (tmp_path / "raw").rglob("*.zst")
        if b"yesterday" in encoding.decompress_body(path.read_bytes())
    )
    rewritten(body, "yesterday,7", f"2024-01-02T05:00Z,{load(days[1].date(), 5)}")
    result = (await replay(config=config))["results"][0]
    assert sorted(Path(path).name for path in result["superseded"]) == parts
    end = days[3] + timedelta(days=1)
    table = await curated.read(Lake.open(str(tmp_path)), parse(config).apis, days[0], end)
    hours = [(day.date(), hour) for day in days for hour in range(24)]
    assert table["value"].to_pylist() == [load(day, hour) for day, hour in hours]
    assert (await replay(config=config))["results"][0]["superseded"] == []
