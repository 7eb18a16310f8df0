"""The flow retention on a real Prefect server, over local folders and S3."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from flows.retention import retention
from flows.run.report import RunError
from gridtide.collect.retention import find_expired, list_body_folders
from gridtide.errors import ConfigurationError
from gridtide.lake import Lake
from tests.support.lakes import START, entry

pytestmark = pytest.mark.usefixtures("prefect_server")

DAY = 86_400
NEWEST = "raw/eia/deep/three_20240301_000000/0123.zst"
"""A body of another entry, by which the clock can be trusted."""
PERIOD = "20240101T0000_20240102T0000"


def config(lake: Path | str) -> dict[str, Any]:
    """A configuration with two entries that write to one folder, and one that writes to a folder inside it."""
    url = "https://api.eia.gov/v2/x/"
    places = {"one": "eia", "two": "eia", "three": "eia/deep"}
    return {"lake": str(lake), "apis": [{"name": n, "url": url, "output_folder": f} for n, f in places.items()]}


async def keep(lake: Lake, path: str, days: float, size: int = 10) -> Path:
    """Store a body at `path` that is `days` old."""
    await lake.put_raw(path, os.urandom(size))
    file = Path(lake.uri) / path
    then = time.time() - days * DAY
    os.utime(file, (then, then))
    return file


async def test_bodies_that_are_old_are_told_then_removed(tmp_path: Path) -> None:
    """By default nothing is removed; with `dry_run` off, collections of the selected entries are removed if all
    their bodies are old."""
    lake = Lake.open(str(tmp_path))
    old = [
        await keep(lake, "raw/eia/one_20240101_000000/0123.zst", 40),
        await keep(lake, "raw/eia/one_20240102_000000_20240101T0000_20240102T0000/0123-2.zst", 31),
        await keep(lake, f"raw/eia/{PERIOD}/one_20240102_000000_{PERIOD}/0123.zst", 31),
    ]
    kept = [
        await keep(lake, NEWEST, 0),
        await keep(lake, "raw/eia/one_20240301_000000/0123.zst", 29),
        await keep(lake, "raw/eia/two_20240101_000000/0123.zst", 40),
        await keep(lake, "raw/eia/deep/one_20240101_000000/0123.zst", 40),
        await keep(lake, "raw/eia/notes/one.zst", 40),
        await keep(lake, f"raw/eia/20240101T0000_20240103T0000/one_20240102_000000_{PERIOD}/1.zst", 40),
        await keep(lake, "raw/eia/one_20240201_000000/0123.zst", 40),
        await keep(lake, "raw/eia/one_20240201_000000/4567.zst", 29),
    ]
    size = sum(path.stat().st_size for path in old)
    report = await retention(config(tmp_path), ["one"])
    (result,) = report["results"]
    assert (result["bodies"], result["bytes"], result["removed"], report["dry_run"]) == (3, size, 0, True)
    assert all(path.exists() for path in (*old, *kept))
    report = await retention(config(tmp_path), ["one"], dry_run=False)
    (result,) = report["results"]
    assert (result["bodies"], result["bytes"], result["removed"]) == (3, size, 3)
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in kept)
    (result,) = (await retention(config(tmp_path), ["one"], dry_run=False))["results"]
    assert (result["bodies"], result["oldest"], result["error"]) == (0, None, None)


async def test_ages_count_from_the_newest_body_of_a_local_lake(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """If this machine's clock is 45 days ahead, the bodies of the last month stay, and a warning says so."""
    lake = Lake.open(str(tmp_path))
    for days in (0, 20, 29, 31):
        await keep(lake, f"raw/eia/one_202401{days:02}_000000/0123.zst" if days else NEWEST, 45 + days)
    [result, *_] = (await retention(config(tmp_path), dry_run=False))["results"]
    assert (result["bodies"], result["removed"]) == (1, 1)
    assert "the clock of this machine is ahead" in caplog.text


async def test_folders_that_became_empty_are_removed(tmp_path: Path) -> None:
    """Empty folders of collections and periods under `raw/` are removed; folders with other files and the lake stay."""
    (tmp_path / "lake").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "lake")
    lake = Lake.open(str(tmp_path / "link"))
    newest = await keep(lake, NEWEST, 0)
    for stamp in ("20240102_000000", "20240103_000000"):
        await keep(lake, f"raw/eia/{PERIOD}/one_{stamp}_{PERIOD}/0123.zst", 40)
    await keep(lake, "raw/eia/one_20240101_000000/0123.zst", 40)
    foreign = tmp_path / "lake" / "raw" / "eia" / "one_20240104_000000" / "notes.txt"
    await keep(lake, "raw/eia/one_20240104_000000/0123.zst", 40)
    foreign.write_text("mine")
    (tmp_path / "lake" / "eia").mkdir()
    await retention(config(tmp_path / "link"), ["one"], dry_run=False)
    newest.unlink()
    newest.parent.rmdir()
    newest.parent.parent.rmdir()
    left = sorted(str(path.relative_to(tmp_path / "lake")) for path in (tmp_path / "lake").rglob("*"))
    assert left == ["eia", "raw", "raw/eia", "raw/eia/one_20240104_000000", "raw/eia/one_20240104_000000/notes.txt"]


@pytest.mark.slow
async def test_a_collection_that_is_writing_is_not_disturbed(tmp_path: Path) -> None:
    """Bodies can be written all the time while older bodies of the same period and their folders are removed."""
    lake, of = Lake.open(str(tmp_path)), entry()
    put: asyncio.Queue[str] = asyncio.Queue()

    async def write() -> None:
        for number in range(1000):
            path = f"raw/demand/{PERIOD}/demand_20240102_{number:06}_{PERIOD}/0123.zst"
            assert await lake.put_raw(path, b"body")
            put.put_nowait(path)

    async def remove() -> None:
        for _ in range(1000):
            path = await put.get()
            [body] = await lake.store.list_objects(path.rpartition("/")[0])
            await lake.store.remove([path])
            await lake.store.prune(list_body_folders(of, [body]))

    await asyncio.gather(write(), remove())
    assert [str(path) for path in (tmp_path / "raw").rglob("*")] == [str(tmp_path / "raw" / "demand")]


@pytest.mark.slow
async def test_bodies_on_s3_are_removed(bucket: str) -> None:
    """Bodies on S3 are removed in several requests, by the age that the bucket reports."""
    lake = Lake.open(f"s3://{bucket}/lake")
    for number in range(1001):
        await lake.put_raw(f"raw/demand/demand_20240101_000000/{number:04}.zst", b"body")
    (first, *_) = bodies = await find_expired(lake, entry(), START.replace(year=2100))
    assert len(bodies) == 1001
    assert await find_expired(lake, entry(), first.last_modified) == []
    await lake.store.remove([body.path for body in bodies])
    assert await lake.store.list_objects("raw") == []


async def test_a_time_that_is_none_is_refused(tmp_path: Path) -> None:
    """Less than a day is refused, because collections resume from the bodies of the last day."""
    with pytest.raises(ConfigurationError, match="cannot be kept for 0 days"):
        await retention(config(tmp_path), days=0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may remove anything")
async def test_what_cannot_be_removed_fails_its_entry(tmp_path: Path) -> None:
    """If bodies cannot be removed, the run ends as Failed, with the removed ones in the report."""
    body = await keep(Lake.open(str(tmp_path)), "raw/eia/one_20240101_000000/0123.zst", 40)
    body.parent.chmod(0o500)
    with pytest.raises(RunError, match="failed: one"):
        await retention(config(tmp_path), dry_run=False)
    body.parent.chmod(0o700)
