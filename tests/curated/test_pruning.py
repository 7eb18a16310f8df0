"""Pruning: after files are removed, every reader of the lake gets the same results, wherever a pruning is killed."""

import asyncio
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from operator import itemgetter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gridtide import curated
from gridtide.coverage.answered import join_answered
from gridtide.curated.months import name_month_path
from gridtide.entries.entry import Entry
from gridtide.errors import StorageError
from gridtide.lake import Lake, Metadata, soundness
from gridtide.periods import Period
from tests.support.lakes import HOUR, START, complete_table, entry, put, row

ROOT = Path(__file__).parents[2]
WHOLE = Period(START, START + 100 * HOUR)
LATER = datetime.now(UTC) + timedelta(days=31)
"""When files of today may be removed."""


@pytest.fixture(params=["folder", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """An empty lake, in a folder and on S3."""
    if request.param == "folder":
        return Lake.open(str(tmp_path / "lake"))
    return Lake.open(f"s3://{request.getfixturevalue('bucket')}/lake")


async def fill(lake: Lake, of: Entry) -> None:
    """Write and compact three files over two months, the last of which revises a value of the first."""
    for asked, hours in ((1000, range(10)), (1001, range(10, 20)), (1002, range(5))):
        period = Period(START + hours[0] * HOUR, START + (hours[-1] + 1) * HOUR)
        await put(lake, of, asked, [row(hour, float(asked + hour)) for hour in hours], period)
    await curated.compact(lake, of)


async def everything(lake: Lake, of: Entry) -> list[Any]:
    """The results of all readers: values, vintages, values as of a time, inputs, coverage, metadata."""
    end = WHOLE.end
    values = await curated.read(lake, [of], START, end)
    vintages = await curated.read(lake, [of], START, end, all_vintages=True)
    as_of = await curated.read(lake, [of], START, end, datetime.now(UTC))
    inputs = await curated.list_inputs(lake, [of], WHOLE)
    await curated.verify(lake, inputs)
    tables = [table async for _, table in curated.read_tables(lake, [of], inputs, WHOLE)]
    files = await lake.list_files(of.output_folder, of.file_prefix)
    metadata = [entry for entry in await soundness.read_metadata(lake, files) if isinstance(entry, Metadata)]
    contents = [replace(entry, size=None) for entry in metadata]  # which sidecars alone say
    checked = await soundness.check_files(lake, files, WHOLE)
    pinned = sorted((table["value"].to_pylist() for table in tables), key=repr)
    tabular = [table.to_pylist() for table in (values, vintages, as_of)]
    answered = join_answered(of, files, datetime.now(UTC))
    return [*tabular, inputs, pinned, *answered, contents, checked.damaged_files, checked.problems]


async def present(lake: Lake, of: Entry) -> list[str]:
    """The files in the folder of the entry."""
    return [stored.path for stored in await lake.store.list_objects(of.output_folder)]


@pytest.mark.parametrize("form", ["parquet", "csv"])
async def test_every_reader_sees_the_same_after_pruning(lake: Lake, form: str) -> None:
    """All readers get the same results after a pruning, also without the record, and a compaction writes nothing."""
    of = entry(form=form)
    await fill(lake, of)
    before = await everything(lake, of)
    pruning = await curated.prune(lake, of, LATER)
    assert (pruning.files, pruning.problems) == (3, [])
    assert await present(lake, of) == []
    assert await everything(lake, of) == before
    await lake.store.remove(["processed/demand/demand/inputs.json"])
    assert await everything(lake, of) == before
    assert (await curated.compact(lake, of)).months == []
    assert await everything(lake, of) == before
    assert (await curated.prune(lake, of, LATER)).files == 0


async def test_files_removed_by_hand_are_read_from_months(lake: Lake) -> None:
    """If any file is deleted by hand, values and inputs stay the same."""
    of = entry()
    await fill(lake, of)
    before = (await everything(lake, of))[:5]
    for path in await present(lake, of):
        await lake.store.remove([path])
        assert (await everything(lake, of))[:5] == before


async def test_young_files_are_left(lake: Lake) -> None:
    """Files are kept for 30 days after the last file of a month, and for a day after the month was written."""
    of = entry()
    await fill(lake, of)
    for now in (None, datetime.now(UTC) + timedelta(days=29)):
        assert (await curated.prune(lake, of, now)).files == 0
    assert len(await present(lake, of)) == 3


async def test_later_files_join_months_whose_files_are_gone(lake: Lake) -> None:
    """A later revision is read and compacted together with a month whose files were removed."""
    of = entry()
    await fill(lake, of)
    await curated.prune(lake, of, LATER)
    await put(lake, of, 2000, [row(3, -1.0)], Period(START + 3 * HOUR, START + 4 * HOUR))
    expected = [*(1002.0 + hour for hour in range(3)), -1.0, 1006.0, *(1000.0 + hour for hour in range(5, 10))]
    for _ in range(2):
        table = await curated.read(lake, [of], START, START + 10 * HOUR)
        assert table["value"].to_pylist() == expected
        await curated.compact(lake, of)


async def read_all(lake: Lake, of: Entry) -> list[Any]:
    """The latest values, all vintages, and what a training set reads of the inputs, without names of files."""
    latest = await curated.read(lake, [of], START, WHOLE.end)
    vintages = await curated.read(lake, [of], START, WHOLE.end, all_vintages=True)
    inputs = await curated.list_inputs(lake, [of], WHOLE)
    pinned = [table async for _, table in curated.read_tables(lake, [of], inputs, WHOLE)]
    newest: dict[Any, Any] = {}
    items = chain.from_iterable(complete_table(table).to_pylist() for table in pinned)
    for item in sorted(items, key=itemgetter("retrieved_at")):
        newest[item["interval_start"]] = item["value"]
    return [latest.to_pylist(), vintages.drop_columns(["file", "stored_at"]).to_pylist(), sorted(newest.items())]


async def test_values_retrieved_earlier_join_months_whose_files_are_gone(lake: Lake) -> None:
    """A file of a clock that was behind, or from a backup, is read and compacted beside the months as an earlier
    vintage."""
    of = entry()
    await fill(lake, of)
    await curated.prune(lake, of, LATER)
    await put(lake, of, 900, [row(hour, 7.0) for hour in (0, 3, 15)], Period(START, START + 20 * HOUR))
    await put(lake, of, 1001.5, [row(15, 8.0), row(30, 9.0)], Period(START, START + 40 * HOUR))
    expected = [*(1002.0 + hour for hour in range(5)), *(1000.0 + hour for hour in range(5, 10))]
    expected += [8.0 if hour == 15 else 1001.0 + hour for hour in range(10, 20)] + [9.0]
    before = await read_all(lake, of)
    assert [item["value"] for item in before[0]] == expected
    assert [item["value"] for item in before[1] if item["interval_start"] == START] == [7.0, 1000.0, 1002.0]
    assert [value for _, value in before[2]] == expected
    await curated.compact(lake, of)
    assert await read_all(lake, of) == before


async def test_where_it_is_not_known_which_value_was_the_last_that_is_an_error(lake: Lake) -> None:
    """A value between two equal ones, of which a month keeps only the first, has no place among them: the error names
    the late file, not the months that are the only copy."""
    of = entry()
    for asked in (1000, 1002):
        await put(lake, of, asked, [row(0, 5.0), row(1, 6.0)], Period(START, START + 2 * HOUR))
    await curated.compact(lake, of)
    await curated.prune(lake, of, LATER)
    before = await read_all(lake, of)
    late = await put(lake, of, 1001, [row(0, 5.0), row(1, 7.0)], Period(START, START + 2 * HOUR))
    with pytest.raises(StorageError, match=r"cannot replace it\. Run gridtide compact"):
        await read_all(lake, of)
    with pytest.raises(StorageError, match=f"^{late.path}: has values that .*Move {late.path} out of the lake"):
        await curated.compact(lake, of)
    await lake.store.remove([late.path])
    assert await read_all(lake, of) == before


@pytest.mark.parametrize("seed", range(12))
async def test_any_order_of_files_compactions_and_removals_gives_the_same_values(tmp_path: Path, seed: int) -> None:
    """A lake whose files are compacted, pruned and removed by hand in between reads as one in which nothing is ever
    compacted, or refuses a value whose place is not known."""
    random, of = Random(seed), entry()  # noqa: S311  # of steps
    lake, plain = Lake.open(str(tmp_path / "lake")), Lake.open(str(tmp_path / "plain"))
    for number in range(8):
        step = random.choice(["put", "put", "put", "prune", "remove"])
        if step == "put":
            first, length = random.randrange(30), random.randint(1, 12)
            period = Period(START + first * HOUR, START + (first + length) * HOUR)
            rows = [
                row(hour, float(random.randrange(2))) for hour in range(first, first + length) if random.random() < 0.8
            ]
            asked = 1000 + random.randrange(6) + number / 10  # no two at once
            for store in (lake, plain):
                await put(store, of, asked, rows, period)
        else:
            await curated.compact(lake, of)
            if step == "prune":
                await curated.prune(lake, of, LATER)
            else:
                paths = await present(lake, of)
                await lake.store.remove(random.sample(paths, len(paths) // 2))
        try:
            assert await read_all(lake, of) == await read_all(plain, of)
        except StorageError as error:
            assert "cannot replace it" in str(error)  # noqa: PT017  # and the months stay as they are
            return


async def test_a_damaged_month_keeps_its_files(tmp_path: Path) -> None:
    """Files of a damaged month are kept, because months are read completely first."""
    lake, of = Lake.open(str(tmp_path)), entry()
    await fill(lake, of)
    path = tmp_path / name_month_path("processed/demand/demand", "2024-01")
    body = bytearray(path.read_bytes())
    body[100] ^= 1
    path.write_bytes(body)
    pruning = await curated.prune(lake, of, LATER)
    assert (pruning.files, len(pruning.problems)) == (1, 1)  # the file that lies in the other month alone
    assert len(await present(lake, of)) == 2


async def test_pinned_files_that_months_cannot_stand_for_are_refused(lake: Lake) -> None:
    """Pinned files that were removed are refused with the reason if their month contains later revisions."""
    of = entry()
    await fill(lake, of)
    pinned = await curated.list_inputs(lake, [of], WHOLE)
    await curated.prune(lake, of, LATER)
    await put(lake, of, 2000, [row(3, -1.0)], Period(START + 3 * HOUR, START + 4 * HOUR))
    await curated.compact(lake, of)
    with pytest.raises(StorageError, match="is missing, and the months it was compacted into cannot replace it"):
        assert [table async for _, table in curated.read_tables(lake, [of], pinned, WHOLE)]
    other = [curated.Input(file.entry, file.path, "0" * 64) for file in pinned]
    with pytest.raises(StorageError, match="is not the file that was pinned"):
        await curated.verify(lake, other)


@pytest.mark.slow
def test_a_killed_pruning_is_gone_on_with(tmp_path: Path) -> None:
    """If a pruning is killed at any write or removal, readers get the same results, and the next one completes it."""
    lake, of = Lake.open(str(tmp_path / "whole")), entry(form="csv")
    asyncio.run(fill(lake, of))
    before = asyncio.run(everything(lake, of))
    strikes = [f"{number}-{moment}" for number in range(1, 7) for moment in ("after", "before")]
    for strike in strikes:  # three to test the store, three of the pruning
        shutil.copytree(tmp_path / "whole", tmp_path / "killed" / strike)
    command = [sys.executable, "-m", "tests.support.processes.killed", "prune", str(tmp_path / "killed")]
    process = subprocess.run([*command, LATER.isoformat()], check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout.splitlines() == [f"{strike} {-signal.SIGKILL}" for strike in strikes]
    for strike in strikes:
        lake = Lake.open(str(tmp_path / "killed" / strike))
        assert asyncio.run(everything(lake, of)) == before, strike
        asyncio.run(curated.prune(lake, of, LATER))
        assert [path for path in asyncio.run(present(lake, of)) if path.endswith(".csv")] == [], strike
        assert asyncio.run(everything(lake, of)) == before, strike
