"""The one table every source yields: long, one row per value of a series over an interval.

| column                         | type                     | meaning                                          |
|--------------------------------|--------------------------|--------------------------------------------------|
| interval_start, interval_end   | timestamp[us, UTC]       | half-open; equal for an instantaneous reading    |
| source, location, variable, unit | dictionary<int32, string> | `eia`, `ISNE`, `demand`, `MWh`                 |
| value                          | float64, nullable        | a null is a reported null                        |
| published_at                   | timestamp[us, UTC], nullable | the upstream's own creation time             |
| retrieved_at                   | timestamp[us, UTC]       | time of our request                              |

Code that every collection runs uses NumPy, because the first use of Arrow's compute functions takes a cold process
30 ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from gridtide.errors import FormatError
from gridtide.observations.arrays import dictionary_array, from_numpy, has_blanks, one_chunk, repeat_number, to_numpy
from gridtide.observations.identity import to_integers
from gridtide.periods import microseconds

TIME = pa.timestamp("us", "UTC")


LABEL = pa.dictionary(pa.int32(), pa.string())


SCHEMA = pa.schema(
    [
        pa.field("interval_start", TIME, nullable=False),
        pa.field("interval_end", TIME, nullable=False),
        pa.field("source", LABEL, nullable=False),
        pa.field("location", LABEL, nullable=False),
        pa.field("variable", LABEL, nullable=False),
        pa.field("unit", LABEL, nullable=False),
        pa.field("value", pa.float64()),
        pa.field("published_at", TIME),
        pa.field("retrieved_at", TIME, nullable=False),
    ]
)


CENTURIES = [microseconds(datetime(year, 1, 1, tzinfo=UTC)) for year in (1900, 2200)]
"""Intervals must lie between these moments, in µs since 1970; a time outside them was misread."""


Micros = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
"""A moment in µs since 1970, or a length in µs, as in JSON: a 64-bit integer."""


RETRIEVALS = pa.field("retrievals", pa.int32(), nullable=False)
"""An additional column of tables that are read back: the number of retrieved observations of its key that a row stands
for."""


REPORTED_START = pa.field("reported_start", TIME, nullable=False)
"""An additional column of tables with rows that an entry's `shift` makes earlier: the start as the upstream labels it.
A value is available no earlier than by its reported interval."""


RANK = pa.field("rank", pa.int64(), nullable=False)
"""An additional column of tables of parsed answers: of several versions of a value, that of the highest rank counts. It
is not stored."""


class Row(NamedTuple):
    """One observation, for sources with few rows; times are aware datetimes."""

    interval_start: datetime
    interval_end: datetime
    location: str
    variable: str
    unit: str
    value: float | None
    published_at: datetime | None = None


def from_rows(source: str, rows: Iterable[Row], retrieved_at: datetime) -> pa.Table:
    """Returns `rows` as observations of `source`, in the given order."""
    columns: dict[str, Any] = {name: [] for name in Row._fields}
    columns.update(zip(Row._fields, zip(*rows, strict=True), strict=False))
    return from_columns(source, retrieved_at, **columns)


def from_columns(
    source: str,
    retrieved_at: datetime,
    *,
    interval_start: Any,
    interval_end: Any,
    location: Any,
    variable: Any,
    unit: Any,
    value: Any,
    published_at: Any = None,
) -> pa.Table:
    """Builds observations from equally long columns: sequences, Arrow arrays, or NumPy arrays (times in microseconds
    since 1970, a NaN for a null).

    A plain string stands for a column with that text in every row. Raises `FormatError` if a column cannot be converted
    to its type or has a null where none is allowed, a location is blank, or an interval is invalid.
    """
    columns = {
        "interval_start": interval_start,
        "interval_end": interval_end,
        "source": source,
        "location": location,
        "variable": variable,
        "unit": unit,
        "value": value,
        "published_at": published_at,
        "retrieved_at": retrieved_at,
    }
    length = len(value)
    try:
        arrays = [_build_column(columns[field.name], field, length) for field in SCHEMA]
        table = pa.Table.from_arrays(arrays, schema=SCHEMA)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise FormatError(source, f"a column cannot be read as its type: {error}") from error
    for field in SCHEMA:
        if not field.nullable and table[field.name].null_count:
            raise FormatError(source, f"{table[field.name].null_count} rows have no {field.name}")
    if has_blanks(table["location"]):
        raise FormatError(source, "a row has no location")
    starts, ends = (to_integers(table[name]).view(np.int64) for name in ("interval_start", "interval_end"))
    if length and (starts.min() < CENTURIES[0] or ends.max() >= CENTURIES[1] or (ends < starts).any()):
        raise FormatError(source, "an interval lies before 1900 or after 2199, or ends before it starts")
    return table


def _build_column(column_values: Any, field: pa.Field, length: int) -> pa.Array | pa.ChunkedArray:
    match column_values:
        case None:
            return pa.nulls(length, field.type)
        case str():
            return dictionary_array(np.zeros(length, np.int32), [column_values])
        case datetime():
            return from_numpy(np.full(length, microseconds(column_values)), field.type)
        case np.ndarray():
            return from_numpy(column_values, field.type)
    if not isinstance(column_values, pa.Array | pa.ChunkedArray):
        column_values = pa.array(column_values, pa.string() if field.type == LABEL else field.type)
    if field.type == LABEL and not pa.types.is_dictionary(column_values.type):
        column_values = column_values.dictionary_encode()
    return column_values if column_values.type == field.type else column_values.cast(field.type)


def retrievals(table: pa.Table) -> np.ndarray:
    """Returns the number of retrieved observations that each row of `table` stands for, (rows,); 1 without that
    column."""
    if RETRIEVALS.name not in table.column_names:
        return repeat_number(1, table.num_rows, "i4")
    return to_numpy(one_chunk(table[RETRIEVALS.name]), "i4")


def split_ranks(table: pa.Table) -> tuple[pa.Table, np.ndarray]:
    """Returns `table` without the column of ranks, and the ranks of its rows, (rows,); 0 without that column."""
    if RANK.name not in table.column_names:
        return table, repeat_number(0, table.num_rows, "i8")
    return table.drop_columns([RANK.name]), to_numpy(one_chunk(table[RANK.name]), "i8")


def empty() -> pa.Table:
    """Returns a table without observations."""
    return SCHEMA.empty_table()


def concat(tables: Sequence[pa.Table]) -> pa.Table:
    """Concatenates `tables`, with one dictionary per column."""
    return pa.concat_tables(tables).unify_dictionaries() if tables else empty()
