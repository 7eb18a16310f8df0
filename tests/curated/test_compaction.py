"""Compaction: which months are written, with concurrent runs, kills, S3 and damaged or foreign files."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from gridtide import curated
from gridtide.curated.months import CompactionRecord, Month
from gridtide.curated.vintages import as_stored
from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError, StorageError
from gridtide.lake import Lake
from gridtide.observations.table import SCHEMA, from_rows
from gridtide.periods import Period
from gridtide.training import preparation
from tests.support.grids import configuration, every_kind, fill
from tests.support.lakes import HOUR, START, complete_table, entry, put, row

WHOLE = Period(START, START + 2000 * HOUR)
MONTHS = [f"processed/demand/demand/2024/2024-0{month}.parquet" for month in (1, 2, 3)]


@pytest.fixture(params=["folder", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """An empty lake, in a folder and on S3."""
    if request.param == "folder":
        return Lake.open(str(tmp_path / "lake"))
    return Lake.open(f"s3://{request.getfixturevalue('bucket')}/lake")


async def values(lake: Lake, of: Entry) -> list[tuple[int, float | None]]:
    """Hour and value of all rows that are read."""
    table = await curated.read(lake, [of], WHOLE.start, WHOLE.end)
    return [((r["interval_start"] - START) // HOUR, r["value"]) for r in table.to_pylist()]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings of Gridtide."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("gridtide")]


async def tags(lake: Lake) -> dict[str, str | None]:
    """The entity tags of all compacted files in the store."""
    return {one.path: one.e_tag for one in await lake.store.list_objects("processed")}


async def test_only_months_that_new_files_touch_are_written(lake: Lake) -> None:
    """The first run writes three months and the record, the next only the changed month, and the third nothing."""
    of = entry()
    await put(lake, of, 1, [row(hour, 1.0) for hour in (0, 10, 1000)])
    done = await curated.compact(lake, of)
    assert (done.files, done.rows, done.months) == (1, 3, ["2024-01", "2024-02", "2024-03"])
    first = await tags(lake)
    assert list(first) == [*MONTHS, "processed/demand/demand/inputs.json"]
    await put(lake, of, 2, [row(10, 2.0)])
    assert (await curated.compact(lake, of)).months == ["2024-02"]
    second = await tags(lake)
    assert [path for path in first if first[path] != second[path]] == [MONTHS[1], "processed/demand/demand/inputs.json"]
    assert (await curated.compact(lake, of)).months == []
    assert await tags(lake) == second
    assert await values(lake, of) == [(0, 1.0), (10, 2.0), (1000, 1.0)]


async def test_a_month_says_what_it_was_made_of(lake: Lake) -> None:
    """A month lists the names and hashes of its input files; values that were retrieved again unchanged add no
    vintage."""
    of = entry()
    stored = [await put(lake, of, asked, [row(0, value)]) for asked, value in enumerate((1.0, 1.0, 2.0, 1.0))]
    await curated.compact(lake, of)
    body = await lake.store.read(MONTHS[0])
    month = Month.decode(body, WHOLE)
    inputs = {one.path: one.content_hash for one in stored}
    assert month.inputs == inputs
    assert sorted(month.table["file"].to_pylist()) == [stored[n].path for n in (0, 2, 3)]
    record = CompactionRecord.decode(await lake.store.read("processed/demand/demand/inputs.json"))
    assert {path: held.content_hash for path, held in record.files.items()} == inputs
    assert [record.files[one.path].stored_at for one in stored] == [one.stored_at for one in stored]


async def test_the_latest_of_a_month_are_read_without_what_is_constant(lake: Lake) -> None:
    """Labels, lengths and times that all rows share are in the footer, and are read from there."""
    of = entry()
    for asked, value in enumerate((1.0, 2.0)):
        await put(lake, of, asked, [row(hour, value) for hour in (0, 2)])
    await curated.compact(lake, of)
    body = await lake.store.read(MONTHS[0])
    latest = Month.decode(body, WHOLE, only_latest=True).table
    assert latest.column_names == ["interval_start", "value", "retrieved_at", "retrievals"]
    assert complete_table(latest).drop_columns(["retrievals"]).to_pylist() == [
        {name: one[name] for name in SCHEMA.names}
        for one in Month.decode(body, WHOLE).table.to_pylist()
        if one["value"] == 2.0
    ]


async def test_readers_pass_over_row_groups_by_their_statistics(tmp_path: Path) -> None:
    """The statistics of a row group give its locations and hours, so readers skip groups outside a period."""
    lake, of = Lake.open(str(tmp_path)), entry()
    rows = [row(4 + hour, 1.0, location=f"N{node:03}") for node in range(150) for hour in range(600)]
    await put(lake, of, 1000, rows)
    await curated.compact(lake, of)
    path = tmp_path / MONTHS[1]
    about = pq.read_metadata(path)
    columns = [about.row_group(n).column(about.schema.names.index("location")) for n in range(about.num_row_groups)]
    assert [(c.statistics.min, c.statistics.max) for c in columns] == [("N000", "N109"), ("N109", "N149")]
    (fragment,) = ds.dataset(path).get_fragments()
    assert not fragment.subset(ds.field("interval_start") >= START + 700 * HOUR).row_groups
    beyond = Period(START + 700 * HOUR, START + 701 * HOUR)
    assert Month.decode(path.read_bytes(), beyond).table.num_rows == 0


def test_a_month_is_the_same_in_pieces() -> None:
    """A month that is sorted by a few locations at a time has the same bytes."""
    tables = []
    for asked in (1000, 1001, 1002):
        stamp = START + asked * HOUR
        rows = [row(4 + hour, asked % (2 + hour), location=f"N{node}") for hour in range(5) for node in (3, 1, 2)]
        tables.append(as_stored(from_rows("eia", rows, stamp), stamp, f"file {asked}"))
    bodies = set()
    for piece in (1, 40, 1 << 20):
        bodies.add(Month({}, 0, pa.concat_tables(tables)).encode(row_group_rows=7, sorted_rows=piece))
    (body,) = bodies
    latest = Month.decode(body, WHOLE, only_latest=True).table
    assert latest["location"].to_pylist() == [f"N{node}" for node in (1, 2, 3) for _ in range(5)]
    assert latest["value"].to_pylist() == [1002 % (2 + hour) for hour in range(5)] * 3
    assert latest["retrievals"].to_pylist() == [3] * 15


async def test_what_lies_elsewhere_is_not_decoded(tmp_path: Path) -> None:
    """Reading some locations of a month decodes only the row groups that may contain them."""
    lake, of = Lake.open(str(tmp_path)), entry()
    names = ["A", "A/B", "A0", "B", "C"]
    await put(lake, of, 1000, [row(4 + hour, 1.0, location=name) for name in names for hour in range(10)])
    await curated.compact(lake, of, row_group_rows=10)
    pinned = await curated.list_inputs(lake, [of], WHOLE)
    found = {}
    for asked in (None, {"A"}, {"B"}, {"B", "C"}, {"D"}):
        tables = [table async for _, table in curated.read_tables(lake, [of], pinned, WHOLE, asked)]
        found[str(asked and sorted(asked))] = sorted({n for table in tables for n in table["location"].to_pylist()})
    assert found == {
        "None": names,
        "['A']": ["A", "A/B"],
        "['B']": ["B"],
        "['B', 'C']": ["B", "C"],
        "['D']": [],
    }


@pytest.mark.slow
async def test_two_at_once_lose_nothing(lake: Lake) -> None:
    """With concurrent compactions and new files, every read gives the right values."""
    of = entry()
    expected: dict[int, float] = {}
    for turn in range(6):
        for n in range(3):
            hours = {10 * turn + n: 1.0, 3: float(10 * turn + n)}
            await put(lake, of, 3 * turn + n + 1, [row(hour, value) for hour, value in sorted(hours.items())])
            expected |= hours
            await asyncio.gather(
                *(curated.compact(lake, of) for _ in range(2)), put(lake, entry("other"), turn, [row(0, 1)])
            )
        assert await values(lake, of) == sorted(expected.items())
    await curated.compact(lake, of)
    assert (await curated.compact(lake, of)).months == []
    table = Month.decode(await lake.store.read(MONTHS[0]), WHOLE)
    assert len(table.inputs) == 18
    assert await values(lake, of) == sorted(expected.items())


async def test_what_another_compaction_took_away_is_put_back(lake: Lake) -> None:
    """If a slow compaction replaces a month by an older state, readers get the right values, and the next compaction
    writes it again."""
    of = entry()
    await put(lake, of, 1, [row(0, 1.0)])
    await curated.compact(lake, of)
    old = await lake.store.read(MONTHS[0])
    await put(lake, of, 2, [row(0, 2.0), row(1, 2.0)])
    await curated.compact(lake, of)
    await lake.store.put(MONTHS[0], old, replace=True)
    assert await values(lake, of) == [(0, 2.0), (1, 2.0)]
    assert (await curated.compact(lake, of)).months == ["2024-01"]
    assert Month.decode(await lake.store.read(MONTHS[0]), WHOLE).table.num_rows == 3
    assert await values(lake, of) == [(0, 2.0), (1, 2.0)]


@pytest.mark.parametrize("damage", [None, b"", b"PAR1 and no more", "half"])
async def test_a_damaged_month_is_made_anew(
    lake: Lake, damage: bytes | str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A missing, empty, foreign or truncated month is named in a warning, read from its files, and written again."""
    of = entry()
    for asked, value in ((1, 1.0), (2, 2.0)):
        await put(lake, of, asked, [row(0, value), row(10, value)])
    await curated.compact(lake, of)
    whole = await lake.store.read(MONTHS[0])
    if damage is None:
        await lake.store.remove([MONTHS[0]])
    else:
        await lake.store.put(MONTHS[0], whole[: len(whole) // 2] if isinstance(damage, str) else damage, replace=True)
    assert await values(lake, of) == [(0, 2.0), (10, 2.0)]
    assert any(MONTHS[0] in warning for warning in warnings(caplog)) == (damage is not None)
    assert (await curated.compact(lake, of)).months == ["2024-01"]
    assert await lake.store.read(MONTHS[0]) == whole


def saying(table: pa.Table, text: bytes) -> pa.Table:
    """`table` with a footer whose constant columns are `text`."""
    said = b"%08x %s" % (zlib.crc32(text), text)
    return table.replace_schema_metadata({**table.schema.metadata, b"gridtide.constant": said})


REWRITTEN: dict[str, Callable[[pa.Table], tuple[pa.Table, int]]] = {
    "smaller row groups": lambda table: (table, 10),
    "one row group": lambda table: (table, 1000),
    "fewer rows": lambda table: (table.slice(0, table.num_rows - 1), 20),
    "another order of columns": lambda table: (table.select(table.column_names[::-1]), 20),
    "a column less": lambda table: (table.drop_columns(["retrievals"]), 20),
    "a column more": lambda table: (table.append_column("note", table["unit"]), 20),
    "another type": lambda table: (table.set_column(0, "interval_start", table["interval_start"].cast("int64")), 20),
    "other constants": lambda table: (saying(table, b'{"value": 3}'), 20),
}


@pytest.mark.parametrize("rewritten", REWRITTEN)
async def test_a_month_that_was_rewritten_is_not_believed(
    tmp_path: Path, rewritten: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A month that another tool wrote, with the old footer, counts as damaged."""
    lake, of = Lake.open(str(tmp_path)), entry()
    for asked, value in ((1000, 1.0), (1001, 2.0)):
        await put(lake, of, asked, [row(4 + hour, value) for hour in range(40)])
    await curated.compact(lake, of, row_group_rows=20)
    path = tmp_path / MONTHS[1]
    whole = path.read_bytes()
    assert pq.read_metadata(path).num_row_groups == 4
    table, size = REWRITTEN[rewritten](pq.ParquetFile(path).read())
    pq.write_table(table, path, row_group_size=size)
    assert {pq.read_metadata(one).metadata[b"gridtide.latest"] for one in (path, pa.BufferReader(whole))} == {b"2"}
    expected = [(4 + hour, 2.0) for hour in range(40)]
    assert await values(lake, of) == expected
    pinned = await curated.list_inputs(lake, [of], WHOLE)
    tables = [complete_table(table) async for _, table in curated.read_tables(lake, [of], pinned, WHOLE)]
    assert sum(table.num_rows for table in tables) == 80
    assert any(MONTHS[1] in warning for warning in warnings(caplog))
    assert (await curated.compact(lake, of, row_group_rows=20)).months == ["2024-02"]
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("key", "said"),
    [("inputs", "[]"), ("inputs", "3"), ("inputs", '{"a": 1}'), ("newest", "1e400"), ("rows", "2"), ("latest", "[1]")],
)
async def test_a_month_whose_footer_says_something_else_is_not_believed(
    tmp_path: Path, key: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A month with another kind of JSON in its footer counts as damaged."""
    lake, of = Lake.open(str(tmp_path)), entry()
    await put(lake, of, 1000, [row(10, 1.0)])
    await curated.compact(lake, of)
    path = tmp_path / MONTHS[1]
    whole = path.read_bytes()
    table = pq.ParquetFile(path).read()
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, f"gridtide.{key}".encode(): said}), path)
    assert await values(lake, of) == [(10, 1.0)]
    assert f"{MONTHS[1]}: ignored" in caplog.text
    assert (await curated.compact(lake, of)).months == ["2024-02"]
    assert path.read_bytes() == whole


@pytest.mark.parametrize("statistics", [False, ["value"]])
async def test_a_month_without_statistics_loses_no_rows(tmp_path: Path, statistics: bool | list[str]) -> None:
    """Without statistics, every row group is read."""
    lake, of = Lake.open(str(tmp_path)), entry()
    for asked in (1000, 1001):
        await put(lake, of, asked, [row(10 + hour, float(asked)) for hour in range(5)])
    await curated.compact(lake, of)
    path = tmp_path / MONTHS[1]
    table = pq.ParquetFile(path).read()
    said = {key: text for key, text in table.schema.metadata.items() if key != b"gridtide.checksums"}
    pq.write_table(table.replace_schema_metadata(said), path, row_group_size=5, write_statistics=statistics)
    assert await values(lake, of) == [(10 + hour, 1001.0) for hour in range(5)]
    pinned = await curated.list_inputs(lake, [of], WHOLE)
    tables = [complete_table(table) async for _, table in curated.read_tables(lake, [of], pinned, WHOLE, {"ISNE"})]
    assert {value for table in tables for value in table["value"].to_pylist()} >= {1001.0}
    await put(lake, of, 1002, [row(10, 0.0)])
    await curated.compact(lake, of)
    assert await values(lake, of) == [(10, 0.0), *((10 + hour, 1001.0) for hour in range(1, 5))]


def with_other_values(path: Path) -> None:
    """Write the Parquet file at `path` again with all values raised by 10 % and the same footer."""
    table, rows = pq.ParquetFile(path).read(), pq.read_metadata(path).row_group(0).num_rows
    values = pa.array([1.1 * value for value in table["value"].to_pylist()])
    pq.write_table(table.set_column(table.column_names.index("value"), "value", values), path, row_group_size=rows)


async def test_values_that_were_changed_on_purpose_are_not_believed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A month with changed values is read from its files and written again; a changed file is refused, also for
    training sets."""
    lake, of = Lake.open(str(tmp_path)), entry()
    for asked in (1000, 1001):
        await put(lake, of, asked, [row(10 + hour, float(asked)) for hour in range(5)])
    await curated.compact(lake, of)
    month = tmp_path / MONTHS[1]
    whole = month.read_bytes()
    with_other_values(month)
    pinned = await curated.list_inputs(lake, [of], WHOLE)
    assert await values(lake, of) == [(10 + hour, 1001.0) for hour in range(5)]
    tables = [complete_table(table) async for _, table in curated.read_tables(lake, [of], pinned, WHOLE)]
    assert {value for table in tables for value in table["value"].to_pylist()} == {1000.0, 1001.0}
    assert "its row groups are not those it was written with" in caplog.text
    month.unlink()
    assert (await curated.compact(lake, of)).months == ["2024-02"]
    assert month.read_bytes() == whole
    month.unlink()
    with_other_values(tmp_path / pinned[1].path)
    with pytest.raises(StorageError, match=f"{pinned[1].path}: is damaged: its row groups are not those"):
        [table async for _, table in curated.read_tables(lake, [of], pinned, WHOLE)]


@pytest.mark.parametrize("name", ["2024/2024-13", "2024/2024-00", "2024/2024-1", "0000/0000-01", "9999/9999-12"])
async def test_what_is_named_like_no_month_is_passed_over(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A foreign file among the months is named in a warning, when reading and when compacting."""
    lake, of = Lake.open(str(tmp_path)), entry()
    await put(lake, of, 1, [row(0, 1.0), row(10, 1.0)])
    await curated.compact(lake, of)
    foreign = f"processed/demand/demand/{name}.parquet"
    await lake.store.put(foreign, b"")
    assert await values(lake, of) == [(0, 1.0), (10, 1.0)]
    assert (await curated.compact(lake, of)).months == []
    assert warnings(caplog) == [f"{foreign}: ignored, not the name of a month"] * 2


async def test_a_lost_record_costs_nothing_but_time(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    """With a damaged or missing record, the same values are read, and the next compaction writes only the record."""
    of = entry()
    await put(lake, of, 1, [row(0, 1.0), row(10, 1.0)])
    await curated.compact(lake, of)
    record = await lake.store.read("processed/demand/demand/inputs.json")
    await lake.store.put("processed/demand/demand/inputs.json", b"{", replace=True)
    assert await values(lake, of) == [(0, 1.0), (10, 1.0)]
    assert "processed/demand/demand/inputs.json" in caplog.text
    assert (await curated.compact(lake, of)).months == []
    assert await lake.store.read("processed/demand/demand/inputs.json") == record


@pytest.mark.parametrize("form", ["parquet", "csv"])
@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "swapped", "foreign", "sidecar"])
async def test_files_that_are_not_sound_are_named(tmp_path: Path, form: str, damage: str) -> None:
    """Readers refuse damaged files by name; a compaction leaves them out and compacts the others."""
    lake, of = Lake.open(str(tmp_path)), entry(form=form)
    periods = [Period(START + n * HOUR, START + (n + 1) * HOUR) for n in range(3)]
    stored = [await put(lake, of, 1 + n, [row(n, float(n))], period) for n, period in enumerate(periods)]
    bad, other = tmp_path / stored[0].path, tmp_path / stored[1].path
    body = bad.read_bytes()
    sidecars = [path.with_name(f"{path.name}.meta.json") for path in (bad, other)]
    match damage:
        case "empty":
            bad.write_bytes(b"")
        case "cut":
            bad.write_bytes(body[: len(body) // 2])
        case "flipped":
            place = body.index(b"\x00" * 8) if form == "parquet" else len(body) - 3
            bad.write_bytes(body[:4] + bytes([body[4] ^ 1]) + body[5:] if form == "parquet" else body[:place] + b"9\n")
        case "swapped":
            bad.write_bytes(other.read_bytes())
            if form == "csv":
                sidecars[0].write_bytes(sidecars[1].read_bytes())
        case "foreign":
            bad.write_bytes(b"a,b\n1,2\n")
        case "sidecar" if form == "csv":
            sidecars[0].unlink()
        case "sidecar":
            pq.write_table(pq.read_table(bad).replace_schema_metadata(None), bad)
    with pytest.raises(StorageError, match=stored[0].path):
        await curated.read(lake, [of], WHOLE.start, WHOLE.end)
    done = await curated.compact(lake, of)
    assert (done.files, len(done.problems)) == (2, 1)
    assert stored[0].path in done.problems[0]
    assert (await curated.compact(lake, of)).problems == done.problems
    bad.unlink()
    assert await values(lake, of) == [(1, 1.0), (2, 2.0)]


async def test_other_things_in_the_folder_are_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Foreign names are reported; folders and hidden files are ignored."""
    lake, of = Lake.open(str(tmp_path)), entry()
    await put(lake, of, 1, [row(0, 1.0)])
    for name in ("notes.txt", "demand_today.parquet", ".DS_Store", "old/demand_20240101_000000.parquet"):
        (tmp_path / "demand" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "demand" / name).write_bytes(b"no data")
    assert (await curated.compact(lake, of)).files == 1
    assert await values(lake, of) == [(0, 1.0)]
    assert "demand_today.parquet, notes.txt" in caplog.text


async def test_a_file_that_changed_after_it_was_compacted_does_not_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """If a file is changed or deleted after its compaction, the compacted rows count, with a warning."""
    lake, of = Lake.open(str(tmp_path)), entry()
    stored = await put(lake, of, 1, [row(0, 1.0)])
    await curated.compact(lake, of)
    other = await put(lake, entry("other"), 1, [row(0, 9.0), row(1, 9.0)])
    (tmp_path / stored.path).write_bytes((tmp_path / other.path).read_bytes())
    assert await values(lake, of) == [(0, 1.0)]
    assert f"{stored.path}: is not the file that was compacted" in caplog.text
    (tmp_path / stored.path).unlink()
    assert await values(lake, of) == [(0, 1.0)]
    await put(lake, of, 0.5, [row(0, 0.5)])  # retrieved before what was compacted, whose file is gone
    assert await values(lake, of) == [(0, 1.0)]


async def test_rows_far_from_the_period_of_the_name_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows far from the period of the name are left out before and after a compaction, with a warning."""
    lake, of = Lake.open(str(tmp_path)), entry()
    stored = await put(lake, of, 1, [row(0, 1.0), row(400, 1.0)], Period(START, START + HOUR))
    for _ in range(2):
        assert await values(lake, of) == [(0, 1.0)]
        await curated.compact(lake, of)
    assert f"{stored.path}: 1 rows lie far from its period" in caplog.text


async def test_as_of_and_pins_open_no_file_that_is_compacted(tmp_path: Path) -> None:
    """Reading compacted rows, with `as_of` or pinned inputs, opens no compacted file."""
    lake, of = Lake.open(str(tmp_path)), entry()
    stored = [await put(lake, of, asked, [row(0, float(asked))]) for asked in range(5)]
    await curated.compact(lake, of)
    for one in stored:
        size = (tmp_path / one.path).stat().st_size
        (tmp_path / one.path).write_bytes(bytes(size))
    for n, one in enumerate(stored):
        table = await curated.read(lake, [of], WHOLE.start, WHOLE.end, one.stored_at)
        assert table["value"].to_pylist() == [float(n)]
        assert len(await curated.list_inputs(lake, [of], WHOLE, one.stored_at)) == n + 1


async def test_moments_that_are_no_period_are_refused(tmp_path: Path) -> None:
    """An end that is not after the start, and times without a zone, are refused."""
    lake = Lake.open(str(tmp_path))
    for start, end, as_of in (
        (START, START, None),
        (START + HOUR, START, None),
        (START.replace(tzinfo=None), START, None),
        (START, START + HOUR, START.replace(tzinfo=None)),
    ):
        with pytest.raises(ConfigurationError, match="reading"):
            await curated.read(lake, [entry()], start, end, as_of)


KILLED = """
import asyncio, os, sys
from gridtide import curated
from gridtide.lake import ByteStore, Lake
from gridtide.observations import SCHEMA
from tests.support.lakes import entry

put, left = ByteStore.put, int(sys.argv[2])

async def dying(self, path, body, **options):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), 9)
    return await put(self, path, body, **options)

ByteStore.put = dying
asyncio.run(curated.compact(Lake.open(sys.argv[1]), entry()))
"""


@pytest.mark.slow
@pytest.mark.parametrize("puts", [0, 1, 2, 3])
def test_a_killed_compaction_is_gone_on_with(tmp_path: Path, puts: int) -> None:
    """If a compaction is killed before any of its writes, readers get the right values, and the next one completes
    it."""
    lake, of = Lake.open(str(tmp_path)), entry()
    asyncio.run(put(lake, of, 1, [row(hour, 1.0) for hour in (0, 10, 1000)]))
    asyncio.run(curated.compact(lake, of))
    asyncio.run(put(lake, of, 2, [row(hour, 2.0) for hour in (0, 10, 1000)]))
    program = [sys.executable, "-c", KILLED, str(tmp_path), str(puts)]
    died = subprocess.run(program, check=False, cwd=Path(__file__).parents[2], env=os.environ | {"PYTHONPATH": "."})
    assert died.returncode == -signal.SIGKILL
    assert asyncio.run(values(lake, of)) == [(0, 2.0), (10, 2.0), (1000, 2.0)]
    assert len(asyncio.run(curated.compact(lake, of)).months) == 3 - puts
    assert asyncio.run(values(lake, of)) == [(0, 2.0), (10, 2.0), (1000, 2.0)]
    assert asyncio.run(curated.compact(lake, of)).months == []
    assert [Month.decode((tmp_path / path).read_bytes(), WHOLE).table.num_rows for path in MONTHS] == [2, 2, 2]


@pytest.mark.slow
async def test_a_training_set_is_the_same_before_and_after(tmp_path: Path) -> None:
    """A training set from pinned inputs has the same bytes before and after a compaction."""
    kinds = every_kind(40)
    settings = configuration(kinds)
    lake = Lake.open(str(tmp_path))
    await fill(lake, kinds)
    source, rule, rows = kinds["demand"]
    await fill(lake, {"demand": (source, rule, [r._replace(value=(r.value or 0) + 1) for r in rows[:99]])}, 1, 401)
    place = {
        "name": "ISNE",
        "targets": ["eia/ISNE/demand"],
        "inputs": ["eia/ISNE/*", "iso_ne/ISNE/*", "open_meteo/*/*"],
    }
    wanted = {"name": "set", "locations": [place], "seq_len": 24, "horizon": 6}
    await preparation.prepare(wanted, settings, lake)
    before = {one.path: await lake.store.read(one.path) for one in await lake.store.list_objects("features")}
    for of in settings.apis:
        assert (await curated.compact(lake, of)).months
    await preparation.prepare(wanted, settings, lake)
    assert {one.path: await lake.store.read(one.path) for one in await lake.store.list_objects("features")} == before
    pinned = [curated.Input(**one) for one in json.loads(before["features/set/manifest.json"])["inputs"]]
    assert len(pinned) == 22
    await preparation.prepare(wanted, settings, lake, inputs=pinned)
    assert {one.path: await lake.store.read(one.path) for one in await lake.store.list_objects("features")} == before
