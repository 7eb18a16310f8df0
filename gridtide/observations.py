"""The one table every source yields: long, one row per value of a series over an interval.

| column                         | type                     | meaning                                          |
|--------------------------------|--------------------------|--------------------------------------------------|
| interval_start, interval_end   | timestamp[us, UTC]       | half-open; equal for an instantaneous reading    |
| source, location, variable, unit | dictionary<int32, string> | `eia`, `ISNE`, `demand`, `MWh`                 |
| value                          | float64, nullable        | a null is a reported null                        |
| published_at                   | timestamp[us, UTC], nullable | the upstream's own creation time             |
| retrieved_at                   | timestamp[us, UTC]       | when we asked                                    |

What every collection needs is made with NumPy: the first use of Arrow's compute functions takes a cold process
30 ms.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from gridtide.errors import FormatError
from gridtide.periods import EPOCH, Period

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

KEY = ("source", "location", "variable", "interval_start", "interval_end", "published_at")
"""What identifies a value; a later retrieval of the same key is a revision."""


CENTURIES = [(datetime(year, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1) for year in (1900, 2200)]
"""Between these moments, in µs since 1970, an interval can lie; what is beyond is a misread time."""


RETRIEVALS = pa.field("retrievals", pa.int32(), nullable=False)
"""A column that tables read back may have besides: how many retrieved observations of its key a row stands for."""


class Row(NamedTuple):
    """One observation as a source with few rows builds it; times are aware datetimes."""

    interval_start: datetime
    interval_end: datetime
    location: str
    variable: str
    unit: str
    value: float | None
    published_at: datetime | None = None


def from_rows(source: str, rows: Iterable[Row], retrieved_at: datetime) -> pa.Table:
    """`rows` as observations of `source`, in the order given."""
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
    """Observations from equally long columns: sequences, Arrow arrays, or NumPy arrays (times in
    microseconds since 1970, a NaN for a null).

    A plain string stands for a column that holds it in every row. Raises `FormatError` when a
    column cannot be read as its type or holds a null where none may be, a location says nothing, or an interval
    is none.
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
        arrays = [_column(columns[field.name], field, length) for field in SCHEMA]
        table = pa.Table.from_arrays(arrays, schema=SCHEMA)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise FormatError(source, f"a column cannot be read as its type: {error}") from error
    for field in SCHEMA:
        if not field.nullable and table[field.name].null_count:
            raise FormatError(source, f"{table[field.name].null_count} rows have no {field.name}")
    if has_blanks(table["location"]):
        raise FormatError(source, "a row has no location")
    starts, ends = (_integers(table[name]).view(np.int64) for name in ("interval_start", "interval_end"))
    if length and (starts.min() < CENTURIES[0] or ends.max() >= CENTURIES[1] or (ends < starts).any()):
        raise FormatError(source, "an interval lies before 1900 or after 2199, or ends before it starts")
    return table


def _column(data: Any, field: pa.Field, length: int) -> pa.Array | pa.ChunkedArray:
    match data:
        case None:
            return pa.nulls(length, field.type)
        case str():
            return labelled(np.zeros(length, np.int32), [data])
        case datetime():
            return from_numpy(np.full(length, (data - EPOCH) // timedelta(microseconds=1)), field.type)
        case np.ndarray():
            return from_numpy(data, field.type)
    if not isinstance(data, pa.Array | pa.ChunkedArray):
        data = pa.array(data, pa.string() if field.type == LABEL else field.type)
    if field.type == LABEL and not pa.types.is_dictionary(data.type):
        data = data.dictionary_encode()
    return data if data.type == field.type else data.cast(field.type)


def has_blanks(labels: pa.ChunkedArray) -> bool:
    """Whether any of the dictionaries of `labels` holds a text that says nothing."""
    return any(not word.strip() for chunk in labels.chunks for word in chunk.dictionary.to_pylist())


def labelled(codes: np.ndarray, labels: Sequence[str]) -> pa.DictionaryArray:
    """Rows of `labels` by their `codes` (rows,); equal labels become one entry of the dictionary."""
    numbers: dict[str, int] = {}
    merged = np.array([numbers.setdefault(label, len(numbers)) for label in labels], np.int32)
    dictionary = pa.lib.StringBuilder()
    dictionary.append_values(list(numbers))
    return pa.DictionaryArray.from_arrays(from_numpy(merged[codes], pa.int32()), dictionary.finish())


def from_numpy(data: np.ndarray, kind: pa.DataType) -> pa.Array:
    """`data` (rows,) as Arrow numbers or as times counted in microseconds since 1970; a NaN is a null.

    Made from buffers: `pa.array` and `to_numpy` import pandas, which costs a cold process a quarter
    of its time and 40 MB.
    """
    validity = None
    if data.dtype.kind == "f":
        known = ~np.isnan(data)
        validity = None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little"))
    dense = np.ascontiguousarray(data, np.dtype(f"{data.dtype.kind}{kind.bit_width // 8}"))
    return pa.Array.from_buffers(kind, len(data), [validity, pa.py_buffer(dense)])


def whole(column: pa.ChunkedArray) -> pa.Array:
    """`column` in one chunk, copied only where it comes in several."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def to_numpy(chunk: pa.Array, dtype: str) -> np.ndarray:
    """The numbers of `chunk` (rows,) as `dtype`, of the same width; what stands at a null is undefined."""
    whole = np.frombuffer(chunk.buffers()[1] or b"", dtype)
    return whole[chunk.offset : chunk.offset + len(chunk)]


def known(chunk: pa.Array) -> np.ndarray:
    """Which rows of `chunk` are not null, shape (rows,), bool."""
    validity = chunk.buffers()[0]
    if validity is None:
        return np.ones(len(chunk), bool)
    bits = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little")
    return bits[chunk.offset : chunk.offset + len(chunk)].astype(bool)


def retrievals(table: pa.Table) -> np.ndarray:
    """How many retrieved observations each row of `table` stands for, (rows,): one, unless it says otherwise."""
    if RETRIEVALS.name not in table.column_names:
        return repeated(1, table.num_rows, "i4")
    return to_numpy(whole(table[RETRIEVALS.name]), "i4")


def repeated(number: int, rows: int, dtype: str = "i8") -> np.ndarray:
    """`number` in each of `rows`, shape (rows,), which takes no more room than once."""
    return np.ndarray((rows,), dtype, np.array(number, dtype), strides=(0,))


def empty() -> pa.Table:
    """No observations."""
    return SCHEMA.empty_table()


def concat(tables: Sequence[pa.Table]) -> pa.Table:
    """`tables` one after the other, with one dictionary per column."""
    return pa.concat_tables(tables).unify_dictionaries() if tables else empty()


def fingerprints(table: pa.Table) -> np.ndarray:
    """A 64-bit hash of each row's key, shape (rows,), uint64: equal keys have equal fingerprints.

    Different keys may share one (about n²/2⁶⁵ of them do), so equality is confirmed exactly.
    """
    marks = np.zeros(table.num_rows, np.uint64)
    for name in KEY:
        marks = _mixed(marks, _integers(table[name]))
    return marks


def content_hash(
    table: pa.Table, digest: hashlib._Hash | None = None, marks: np.ndarray | None = None
) -> hashlib._Hash:
    """SHA-256 of keys, units and values in row order; `retrieved_at` does not count.

    Given the `digest` of the rows before, goes on with it, so that a stream of tables hashes as
    their concatenation does. `marks` (rows,) are the `fingerprints` of `table`, where they are known.
    """
    digest = hashlib.sha256() if digest is None else digest
    rows = np.empty((table.num_rows, 3), np.uint64)
    rows[:, 0] = fingerprints(table) if marks is None else marks
    rows[:, 1] = _integers(table["unit"])
    rows[:, 2] = _integers(table["value"])
    digest.update(rows.data)
    return digest


def distinct(table: pa.Table, entry: str) -> pa.Table:
    """`table` with each key once, the first of exact duplicates kept, in the order given.

    Worth its time where `has_repeats` of the fingerprints says so. Raises `FormatError` naming the
    first key that comes with two different values.
    """
    import pyarrow.compute as pc

    keys = table.select([*KEY, "value"]).append_column("row", pa.array(np.arange(table.num_rows)))
    for name in ("source", "location", "variable"):
        column = keys[name].cast(pa.string())
        keys = keys.set_column(keys.schema.get_field_index(name), name, column)
    wanted = [("row", "min"), ("row", "count"), ("value", "min"), ("value", "max"), ("value", "count")]
    found = keys.group_by(list(KEY), use_threads=False).aggregate(wanted)
    same = pc.fill_null(pc.equal(found["value_min"], found["value_max"]), True)
    nulls_agree = pc.or_(pc.equal(found["value_count"], 0), pc.equal(found["value_count"], found["row_count"]))
    conflicts = found.filter(pc.invert(pc.and_(same, nulls_agree)))
    if conflicts.num_rows:
        row = conflicts.slice(0, 1).to_pylist()[0]
        raise FormatError(
            entry,
            f"{conflicts.num_rows} keys come with different values in one answer, the first is "
            f"{row['source']}/{row['location']}/{row['variable']} at {row['interval_start']:%Y-%m-%dT%H:%MZ} "
            f"with {row['value_min']} and {row['value_max']}",
        )
    return table.take(pa.array(np.sort(found["row_min"].to_numpy())))


def overlaps(table: pa.Table, period: Period) -> bool:
    """Whether any interval starts, or was published, in `period`."""
    first, end = ((moment - EPOCH) // timedelta(microseconds=1) for moment in (period.start, period.end))
    for chunk in (*table["interval_start"].chunks, *table["published_at"].chunks):
        if chunk.null_count < len(chunk):
            moments = to_numpy(chunk, "i8")
            if ((first <= moments) & (moments < end) & known(chunk)).any():
                return True
    return False


def unexpected(table: pa.Table, required: Sequence[str], ranges: Mapping[str, tuple[float, float]]) -> str | None:
    """What in `table` is not as expected: a required variable that is absent, or a value of a
    variable outside its range; None where all is as expected."""
    import pyarrow.compute as pc

    variables = table["variable"].cast(pa.string())
    absent = sorted(set(required) - set(pc.unique(variables).to_pylist()))
    if absent:
        return f"no values of {', '.join(absent)}"
    for variable, (low, high) in ranges.items():
        values = table["value"].filter(pc.equal(variables, variable))
        outside = values.filter(pc.or_(pc.less(values, low), pc.greater(values, high)))
        if len(outside):
            first = outside[0].as_py()
            return f"{len(outside)} values of {variable} are outside {low:g} to {high:g}, the first is {first:g}"
    return None


def has_repeats(marks: Sequence[np.ndarray]) -> bool:
    """Whether any fingerprint occurs twice in all of `marks`, each of shape (rows,), together."""
    ordered = np.concatenate([np.empty(0, np.uint64), *marks])
    ordered.sort()
    return bool((ordered[1:] == ordered[:-1]).any())


def _mixed(marks: np.ndarray, column: np.ndarray) -> np.ndarray:
    """One multiply-xorshift round (the finaliser of SplitMix64) over `marks` plus `column`."""
    marks = (marks + column) * np.uint64(0x9E3779B97F4A7C15)
    marks ^= marks >> np.uint64(32)
    marks *= np.uint64(0xBF58476D1CE4E5B9)
    marks ^= marks >> np.uint64(29)
    return marks


_NULL = np.uint64(0x6E756C6C)


def _integers(column: pa.ChunkedArray) -> np.ndarray:
    """`column` as uint64: microseconds of a time, a hash of a label's text."""
    parts = [_chunk_integers(chunk) for chunk in column.chunks]
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.uint64), *parts])


def _chunk_integers(chunk: pa.Array) -> np.ndarray:
    if pa.types.is_dictionary(chunk.type):
        labels = np.array([_label_hash(label) for label in chunk.dictionary.to_pylist()], np.uint64)
        coded: np.ndarray = labels[to_numpy(chunk.indices, "i4")]
        return coded
    if chunk.null_count == len(chunk):
        return np.full(len(chunk), _NULL)
    numbers = to_numpy(chunk, "u8")
    return np.where(known(chunk), numbers, _NULL) if chunk.null_count else numbers


@functools.lru_cache(maxsize=1 << 16)
def _label_hash(label: str) -> int:
    return int.from_bytes(hashlib.blake2b(label.encode(), digest_size=8).digest(), "little")
