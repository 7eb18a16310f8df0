"""Constant columns: recorded once in the footer, and restored unchanged."""

import zlib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtide.errors import StorageError
from gridtide.lake import Lake
from gridtide.lake.files import encoding
from gridtide.lake.files.encoding import ParquetSink
from gridtide.observations.constant_columns import ConstantColumns, join_tables
from gridtide.observations.table import SCHEMA, TIME, Row, empty, from_rows
from gridtide.observations.times import read_times, to_microseconds
from tests.support.lakes import HOUR, START, complete_table, entry, put, row

RETRIEVED = START + timedelta(days=3)


def table(*rows: Row, source: str = "eia") -> pa.Table:
    """`rows`, all retrieved at once."""
    return from_rows(source, rows, RETRIEVED)


def two(**changes: object) -> pa.Table:
    """Two hours of a series, the second one changed."""
    return table(row(0, 1.0), row(1, 2.0)._replace(**changes))


def micros(moment: object) -> int:
    """`moment` in µs since 1970."""
    return int(pa.scalar(moment, TIME).value)


def find_values(table: pa.Table) -> Mapping[str, object]:
    """The values of the constant columns of `table`."""
    return ConstantColumns.find(table).values


def footer_pairs(constants: ConstantColumns) -> dict[bytes, bytes]:
    """`constants` in the form in which Arrow returns a footer."""
    return {key.encode(): text.encode() for key, text in constants.encode().items()}


def body(tmp_path: Path, *tables: pa.Table) -> bytes:
    """A Parquet file with one row group per table."""
    with (tmp_path / "some.parquet").open("wb") as file:
        sink = ParquetSink(file)
        for one in tables:
            sink.write(one)
        sink.close({})
    return (tmp_path / "some.parquet").read_bytes()


def test_what_is_constant_is_found() -> None:
    """Labels, times and lengths that all rows share are found, and nothing else."""
    one = row(0, 1.0)
    assert find_values(two()) == {
        "source": "eia",
        "location": one.location,
        "variable": one.variable,
        "unit": one.unit,
        "published_at": None,
        "retrieved_at": micros(RETRIEVED),
        "interval": 3_600_000_000,
    }
    assert "location" not in find_values(two(location="other"))
    assert "interval" not in find_values(two(interval_end=START + 3 * HOUR))
    assert "published_at" not in find_values(two(published_at=START))
    assert find_values(empty()) == {}


def test_what_two_row_groups_share_is_constant(tmp_path: Path) -> None:
    """A column is constant if it is the same in all row groups of the file."""
    file = encoding.open_sound(body(tmp_path, two(), table(row(2, 1.0)._replace(unit="MW"))))
    pairs = file.metadata.metadata or {}
    assert find_values(two()).keys() - ConstantColumns.read(pairs).values.keys() == {"unit"}
    assert ConstantColumns({"unit": "MWh", "published_at": None}) & ConstantColumns({"unit": "MW"}) == ConstantColumns()
    assert ConstantColumns.read({}) == ConstantColumns()


published = st.none() | st.sampled_from([START, START + HOUR])
rows = st.builds(
    lambda hour, hours, location, value, moment: Row(
        START + hour * HOUR, START + (hour + hours) * HOUR, location, "demand", "MWh", value, moment
    ),
    st.integers(0, 3),
    st.integers(0, 1),
    st.sampled_from(["ISNE", "CISO"]),
    st.none() | st.floats(allow_nan=False),
    published,
)


@given(st.lists(rows, min_size=1, max_size=5), st.lists(rows, max_size=5))
def test_columns_left_out_come_back(
    tmp_path_factory: pytest.TempPathFactory, first: list[Row], more: list[Row]
) -> None:
    """A table without its constant columns, restored from the footer, equals the whole table, also column by column."""
    groups = [table(*some) for some in (first, more) if some]
    file = encoding.open_sound(body(tmp_path_factory.mktemp("file"), *groups))
    whole, bare = encoding.decode_rows(file), encoding.decode_rows(file, only_varying=True)
    assert set(bare.column_names) < set(whole.column_names)
    assert complete_table(bare).cast(whole.schema).to_pylist() == whole.to_pylist()
    for name in ("interval_start", "interval_end", "published_at", "retrieved_at"):
        assert read_times(bare, name).tolist() == to_microseconds(whole[name]).tolist()


def test_a_damaged_footer_is_refused() -> None:
    """A footer with one changed byte is refused."""
    pairs = footer_pairs(ConstantColumns({"unit": "MWh"}))
    assert pairs == {b"gridtide.constant": b'955a3cf5 {"unit": "MWh"}'}
    assert ConstantColumns.read(pairs) == ConstantColumns({"unit": "MWh"})
    with pytest.raises(ValueError, match="damaged"):
        ConstantColumns.read({key: text.replace(b"MWh", b"kWh") for key, text in pairs.items()})


@pytest.mark.parametrize(
    "text",
    [
        b'{"value": 3}',
        b'{"interval": "x"}',
        b'{"interval": null}',
        b'{"interval": 1.5}',
        b'{"interval": 9223372036854775808}',
        b'{"interval_start": 5}',
        b'{"source": 5}',
        b'{"unit": null}',
        b'{"published_at": "2024"}',
        b'{"retrieved_at": null}',
        b'{"retrieved_at": true}',
        b"[1]",
        b"null",
        b"{",
        b'{"source": "\xff"}',
    ],
)
def test_what_no_footer_of_ours_says_is_refused(text: bytes) -> None:
    """A footer with other names or types is refused, even with a matching checksum."""
    with pytest.raises(ValueError, match=r"."):
        ConstantColumns.read({b"gridtide.constant": b"%08x %s" % (zlib.crc32(text), text)})


def test_all_that_a_footer_may_say_comes_back() -> None:
    """Nulls of a footer are restored, and columns that it does not list are not constant."""
    for values in (find_values(two()), find_values(two(published_at=START)), {"published_at": 1, "interval": 0}, {}):
        constants = ConstantColumns(values)
        assert ConstantColumns.read(footer_pairs(constants)) == constants


async def test_a_file_whose_footer_is_damaged_is_named(tmp_path: Path) -> None:
    """The error about a damaged footer names the file."""
    lake, of = Lake.open(str(tmp_path)), entry()
    stored = await put(lake, of, 1, [row(0, 1.0)])
    path = tmp_path / stored.path
    path.write_bytes(path.read_bytes().replace(b'"unit": "MWh"', b'"unit": "kWh"'))
    with pytest.raises(StorageError, match=stored.path):
        await lake.read_observations([stored.path], only_varying=True)


def test_other_readers_see_all_columns(tmp_path: Path) -> None:
    """The file contains constant columns too, for other readers."""
    body(tmp_path, two())
    assert pq.read_table(tmp_path / "some.parquet").select(SCHEMA.names).num_rows == 2
    assert ConstantColumns.of_table(two()) == ConstantColumns()


@given(st.lists(st.lists(rows, min_size=1, max_size=3), min_size=1, max_size=4), st.data())
def test_tables_are_joined_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, some: list[list[Row]], data: st.DataObject
) -> None:
    """Tables with different constant columns are joined to the same rows as complete tables."""
    folder = tmp_path_factory.mktemp("file")
    wholes, bares = [], []
    for one in some:
        retrieved = RETRIEVED + data.draw(st.integers(0, 1)) * HOUR
        source = data.draw(st.sampled_from(["eia", "caiso"]))
        file = encoding.open_sound(body(folder, from_rows(source, one, retrieved)))
        wholes.append(encoding.decode_rows(file))
        bares.append(encoding.decode_rows(file, only_varying=data.draw(st.booleans())))
    expected = [row for whole in wholes for row in whole.to_pylist()]
    assert complete_table(join_tables(bares)).to_pylist() == expected
