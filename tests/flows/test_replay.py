"""Observations made anew from what is kept, without the upstream."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows.ingest import ingest
from flows.replay import replay
from flows.report import RunError
from gridtide import curated
from gridtide.config import parse
from gridtide.errors import ConfigurationError
from gridtide.lake import Lake, encoding
from tests import upstream

pytestmark = pytest.mark.usefixtures("prefect_server")


async def collected(folder: Path) -> tuple[dict[str, Any], Path, Path]:
    """A configuration, the file of its one collection, and the body it came from; the upstream is gone."""
    async with upstream.running() as up:
        config = up.config(folder, up.api("grid"))
        await ingest(config=config)
    [file] = (folder / "grid").glob("*.parquet")
    [body] = (folder / "raw").rglob("*.zst")
    return config, file, body


def rewritten(body: Path, old: str, new: str) -> None:
    """As if a mended parser read `new` where the bytes of `body` say `old`."""
    said = encoding.decompress(body.read_bytes()).decode()
    assert old in said
    body.write_bytes(encoding.compress(said.replace(old, new).encode()))


async def test_what_reads_the_same_is_left(tmp_path: Path) -> None:
    """A replay without a change of the parser writes nothing, and asks nobody."""
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
    """The old file stays, a reader gets the new values, as of before the replay the old ones; twice is once."""
    config, file, body = await collected(tmp_path)
    rewritten(body, "2.5", "7.5")
    lake, entries = Lake.open(str(tmp_path)), parse(config).apis
    stored_at = (await lake.metadata(f"grid/{file.name}")).stored_at
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


async def test_values_that_vanish_are_pointed_out(tmp_path: Path) -> None:
    """A key that the bodies do not say any more stays in the old file: the report names that file."""
    config, file, body = await collected(tmp_path)
    rewritten(body, "2024-01-01T01:00Z", "2024-01-01T02:00Z")
    report = await replay(config=config)
    assert report["results"][0]["warnings"] == [
        f"grid/{file.name} holds 1 values that its bodies do not say any more: move it out of the lake"
    ]


async def test_a_body_that_cannot_be_read_fails_its_collection_alone(tmp_path: Path) -> None:
    """The others are replayed; the run ends failed and names the folder."""
    async with upstream.running() as up:
        config = up.config(tmp_path, up.api("good"), up.api("bad"))
        await ingest(config=config)
    rewritten(next((tmp_path / "raw" / "bad").rglob("*.zst")), '"mw"', '"kw"')
    with pytest.raises(RunError, match="1 of 2 entries failed: bad") as caught:
        await replay(config=config)
    good, bad = caught.value.report["results"]
    assert (good["unchanged"], bad["failed"]) == (1, 1)
    assert bad["errors"][0].startswith("raw/bad/bad_")


async def test_what_was_interrupted_is_passed_over(tmp_path: Path) -> None:
    """A collection that did not live to keep its bodies, nor to leave a file, fails no replay; one with a file does."""
    config, _, body = await collected(tmp_path)
    (body.parent.parent / "grid_20240101_000000").mkdir()  # what a full disk leaves
    report = await replay(config=config)
    assert (report["pipeline_status"], report["summary"]["interrupted"], report["summary"]["unchanged"]) == (
        "success",
        1,
        1,
    )
    body.unlink()
    with pytest.raises(RunError, match="is not kept"):
        await replay(config=config)


async def test_a_dry_run_and_a_selection_read_nothing_else(tmp_path: Path) -> None:
    """What is kept is counted; collections outside of start and end are not."""
    config, _, body = await collected(tmp_path)
    body.write_bytes(b"damaged")
    assert (await replay(config=config, dry_run=True))["summary"]["collections"] == 1
    assert (await replay(config=config, end=datetime(2020, 1, 1)))["summary"]["collections"] == 0
    with pytest.raises(ConfigurationError, match="is not after the start"):
        await replay(config=config, start=datetime(2024, 1, 1), end=datetime(2023, 1, 1))
