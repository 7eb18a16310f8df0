"""SQL over lakes in an object store, with names of any kind, and while the lake is written."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest

from gridtide import curated
from gridtide.curated.months import name_month_path
from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError, StorageError
from gridtide.lake import Lake
from gridtide.periods import DAY
from tests.support.lakes import START, entry, put, row

pytest.importorskip("duckdb", reason="gridtide[sql] is not installed")

DEMAND, FORECAST = entry("demand"), entry("forecast")


async def fill(lake: Lake) -> None:
    """Two entries: months, a later revision beside them, and one without months."""
    await put(lake, DEMAND, 1, [row(0, 1.0), row(1, 2.0), row(5, None)])
    await put(lake, DEMAND, 1.5, [row(0, 1.5)])
    await curated.compact(lake, DEMAND)
    await put(lake, DEMAND, 2, [row(5, 6.0), row(6, 7.0)])
    await put(lake, FORECAST, 3, [row(1, 2.5), row(1, 9.0, location="CISO")])


def list_rows(table: pa.Table) -> list[tuple[object, ...]]:
    """The place, start, value and retrieval of each row, in their order."""
    columns = (table[name].to_pylist() for name in ("location", "interval_start", "value", "retrieved_at"))
    return sorted(zip(*columns, strict=True), key=repr)


def read_rows(lake: Lake, entries: list[Entry], **options: object) -> list[tuple[object, ...]]:
    """What `curated.read` returns of three days."""
    return list_rows(asyncio.run(curated.read(lake, entries, START, START + 3 * DAY, **options)))  # type: ignore[arg-type]


def test_a_lake_on_s3_is_asked_as_a_folder(bucket: str) -> None:
    """Months and newer files in a bucket have the rows of `curated.read`, in every view."""
    from gridtide.sql import connect

    lake = Lake.open(f"s3://{bucket}/a grid")
    asyncio.run(fill(lake))
    now = datetime.now(UTC)
    with connect(lake, entries=[DEMAND, FORECAST]) as connection:
        for query, expected in (
            ("demand", read_rows(lake, [DEMAND])),
            ("observations", read_rows(lake, [DEMAND, FORECAST])),
            (f"as_of('{now.isoformat()}')", read_rows(lake, [DEMAND, FORECAST], as_of=now)),
            ("vintages", read_rows(lake, [DEMAND, FORECAST], all_vintages=True)),
        ):
            assert list_rows(connection.sql(f"select * from {query}").to_arrow_table()) == expected, query


def test_a_file_that_is_replaced_while_it_is_read_is_an_error(bucket: str) -> None:
    """Ranges of two versions of a file are not put together."""
    from gridtide.lake.files.filesystem import READ_BYTES, LakeFileSystem

    lake = Lake.open(f"s3://{bucket}/grid")
    asyncio.run(lake.store.put("month.parquet", bytes(READ_BYTES + 5)))
    with LakeFileSystem(lake.store).open("gridtide://month.parquet") as file:
        file.seek(-3, 2)
        assert (file.read(), file.tell()) == (bytes(3), READ_BYTES + 5)
        asyncio.run(lake.store.put("month.parquet", bytes(READ_BYTES + 6), replace=True))
        file.seek(0)
        with pytest.raises(StorageError, match="was replaced while it was read"):
            file.read(10)


@pytest.mark.parametrize("name", ['it\'s "a" load; drop view observations; --', "Größe/1", "select"])
def test_a_name_is_only_a_name(tmp_path: Path, name: str) -> None:
    """The name of an entry with quotes, statements or slashes names its view, and the column `entry`; the folder of
    the lake and that of the entry may have any characters of patterns."""
    from gridtide.sql import connect
    from gridtide.sql.views import quote_name

    of = msgspec.structs.replace(DEMAND, name=name, output_folder="a[b]'c")
    lake = Lake.open(str(tmp_path / "it's [a*] lake?"))

    async def fill_named() -> None:
        await put(lake, of, 1, [row(0, 1.0)])
        await curated.compact(lake, of)
        await put(lake, of, 2, [row(30, 2.0)])

    asyncio.run(fill_named())
    with connect(lake, entries=[of]) as connection:
        values = connection.execute(f"select value from {quote_name(name)} order by all").fetchall()
        assert values == [(1.0,), (2.0,)]
        assert connection.execute("select distinct entry from observations").fetchall() == [(name,)]
        assert connection.execute("select count(*) from vintages").fetchall() == [(2,)]


@pytest.mark.parametrize(
    ("names", "culprit"), [(["Demand", "demand"], "demand"), (["As_Of"], "As_Of"), (["a loose"], "a loose")]
)
def test_names_that_sql_cannot_tell_apart_are_refused(tmp_path: Path, names: list[str], culprit: str) -> None:
    """Two entries that differ in case, and an entry that is called as a view of all, are named."""
    from gridtide.sql import connect

    entries = [msgspec.structs.replace(DEMAND, name=name) for name in names]
    with pytest.raises(ConfigurationError, match=f"^{culprit}: .*--select"):
        connect(Lake.open(str(tmp_path)), entries=entries)


def test_a_connection_stays_whole_while_the_lake_is_compacted(tmp_path: Path) -> None:
    """Rows that were beside the months when it was opened are not there twice once they are compacted, and months
    that were replaced can be read on."""
    from gridtide.sql import connect

    lake = Lake.open(str(tmp_path))
    asyncio.run(fill(lake))
    before = read_rows(lake, [DEMAND])
    vintages = read_rows(lake, [DEMAND], all_vintages=True)
    with connect(lake, entries=[DEMAND]) as connection:
        asyncio.run(curated.compact(lake, DEMAND))
        assert list_rows(connection.sql("select * from demand").to_arrow_table()) == before
        assert list_rows(connection.sql("select * from vintages").to_arrow_table()) == vintages
        assert (tmp_path / name_month_path("processed/demand/demand", "2024-02")).exists()
