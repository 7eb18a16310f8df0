"""Months that several processes write are equal to those of one process."""

from pathlib import Path

import pytest

from gridtide import curated
from gridtide.curated import Compaction
from gridtide.curated.months import CompactionRecord
from gridtide.entries.entry import Entry
from gridtide.lake import Lake
from gridtide.periods import Period
from tests.support.lakes import HOUR, START, entry, put, row

FEBRUARY, MARCH, APRIL = (START + hours * HOUR for hours in (4, 4 + 29 * 24, 4 + 60 * 24))


async def fill(lake: Lake, of: Entry) -> None:
    """Chunks of ten days from the end of January to the middle of March, asked for in any order, some again;
    a snapshot of two months; a row beyond the period of its file."""
    for asked, first in enumerate((480, 0, 720, 240, 240), start=1000):
        rows = [row(hour, float(asked + hour % 7)) for hour in range(first, first + 240)]
        period = Period(START + first * HOUR, START + (first + 240) * HOUR)
        await put(lake, of, asked, [*rows, row(first + 300, 1.5)], period)
    await put(lake, of, 2000, [row(hour, -1.0) for hour in (3, 4, 500)])


async def shared(lake: Lake, of: Entry, size: int = 1) -> Compaction:
    """Compact share by share, the last first."""
    planned = await curated.plan_shares(lake, of, share_bytes=size)
    parts = [await curated.compact_share(lake, of, share) for share in reversed(planned)]
    return await curated.join_shares(lake, of, planned, parts) + await curated.compact(lake, of)


async def bodies(lake: Lake) -> dict[str, bytes]:
    """All compacted files except the record."""
    return {
        one.path: await lake.store.read(one.path)
        for one in await lake.store.list_objects("processed")
        if "/20" in one.path
    }


async def record(lake: Lake) -> CompactionRecord:
    """The record of compacted files."""
    return CompactionRecord.decode(await lake.store.read("processed/demand/demand/inputs.json"))


@pytest.mark.parametrize("size", [1, 1 << 30], ids=["a month each", "all together"])
async def test_shares_make_the_months_of_one_compaction(tmp_path: Path, size: int) -> None:
    """Shares give the same bytes and the same record as one compaction, and leave nothing to do."""
    of, alone, together = entry(), Lake.open(str(tmp_path / "alone")), Lake.open(str(tmp_path / "together"))
    await fill(alone, of)
    for file in (tmp_path / "alone" / "demand").iterdir():
        await together.store.put(f"demand/{file.name}", file.read_bytes())
    whole = await curated.compact(alone, of)
    done = await shared(together, of, size)
    assert await bodies(together) == await bodies(alone)
    assert (await record(together)).files == (await record(alone)).files
    assert (done.files, done.rows, done.problems) == (whole.files, whole.rows, []) == (6, 1208, [])
    assert await curated.plan_shares(together, of) == []
    assert (await curated.compact(together, of)).months == []


async def test_a_share_is_whole_months_with_their_files(tmp_path: Path) -> None:
    """A file belongs to the shares of all months within eight days of its period; snapshots belong to none."""
    of, lake = entry(), Lake.open(str(tmp_path))
    late = await put(lake, of, 2000, [row(700, 1.0)], Period(START + 696 * HOUR, START + 720 * HOUR))
    early = await put(lake, of, 2001, [row(300, 1.0)], Period(START + 300 * HOUR, START + 301 * HOUR))
    await put(lake, of, 2002, [row(300, 1.0)])
    planned = await curated.plan_shares(lake, of, share_bytes=1)
    assert [(share.months, share.paths) for share in planned] == [
        (Period(FEBRUARY, MARCH), (late.path, early.path)),
        (Period(MARCH, APRIL), (late.path,)),
    ]


async def test_what_a_lost_share_held_is_left_to_the_next(tmp_path: Path) -> None:
    """A file of which one share wrote its part and another did not is compacted again."""
    of, lake = entry(), Lake.open(str(tmp_path))
    both = await put(lake, of, 2000, [row(0, 1.0), row(10, 2.0)], Period(START, START + 20 * HOUR))
    one = await put(lake, of, 2000, [row(400, 3.0)], Period(START + 400 * HOUR, START + 401 * HOUR))
    planned = await curated.plan_shares(lake, of, share_bytes=1)
    parts = [await curated.compact_share(lake, of, share) for share in planned[1:]]
    done = await curated.join_shares(lake, of, planned, parts)
    assert (done.files, list((await record(lake)).files)) == (1, [one.path])
    assert (await curated.compact(lake, of)).months == ["2024-01"]
    assert (await record(lake)).files[both.path].months == ("2024-01", "2024-02")


async def test_damaged_files_are_told_once(tmp_path: Path) -> None:
    """Damaged files are reported once, by the compaction of the other files."""
    of, lake = entry(), Lake.open(str(tmp_path))
    bad = await put(lake, of, 2000, [row(0, 1.0)], Period(START, START + HOUR))
    await put(lake, of, 2000, [row(1, 1.0)], Period(START + HOUR, START + 2 * HOUR))
    (tmp_path / bad.path).write_bytes(b"")
    done = await shared(lake, of)
    assert (done.files, len(done.problems)) == (1, 1)
    assert bad.path in done.problems[0]
