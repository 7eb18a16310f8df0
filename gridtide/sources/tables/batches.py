"""Arrow batches of a database as tables of cells: each column as times, numbers or texts, as it is used.

Numbers and UUIDs in columns of labels, such as the id of a meter, become texts; decimals become floating-point numbers;
a NULL in a column of values is a reported null, as in JSON.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from gridtide.errors import FormatError
from gridtide.sources.formats.cells import CellColumn, CellTable, build_table, factorize
from gridtide.sources.tables.reading import label_columns

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry

_ISO_OF_SQL = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?")
"""Texts that are in order with `2024-03-10 00:00:00`, as which a database without a type of times compares bounds."""

_FIRST_YEAR, _LAST_YEAR = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The first and the last microsecond of the years 1 to 9999."""

MESSAGE_TEXTS = 200
"""How many different texts of a column are compared with a format."""


def tabulate_batch(entry: Entry, batch: pa.RecordBatch, first_row: int) -> CellTable:
    """Returns the rows of `batch` as cells; its first row is number `first_row` of the answer.

    Raises `FormatError` for a time outside the years 1 to 9999, for two columns of a name that the entry uses, and for
    labels and values of types that cannot be read as these.
    """
    labels = set(label_columns(entry))
    _check_names(entry, batch.schema.names, labels)
    _check_types(entry, batch.schema, labels)
    moments = {entry.interval_from, entry.published, *(entry.time if len(entry.time) == 1 else ())}
    may_be_time = moments if entry.time else {*batch.schema.names} - labels | moments
    columns: dict[str, CellColumn] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        plain = _strip_type(column)
        if pa.types.is_timestamp(plain.type):
            columns[name] = _convert_times(entry, name, plain) if name in may_be_time else _write_texts(plain)
        else:
            columns[name] = _write_labels(entry, name, plain) if name in labels else _convert_values(plain)
    return build_table(columns, lambda row: f"row {first_row + row + 1}")


def _check_names(entry: Entry, names: Sequence[str], labels: Collection[str]) -> None:
    """Raises `FormatError` if several columns have one name, unless the entry names its columns and not this one."""
    used_names = {*labels, *entry.value}
    for name, count in Counter(names).items():
        if count > 1 and (not entry.value or name in used_names):
            happened = f"the answer has {count} columns called {name}"
            raise FormatError(entry.name, happened, f"Give each its own name in the query: a.{name} as a_{name}")


def _check_types(entry: Entry, schema: pa.Schema, labels: Collection[str]) -> None:
    """Raises `FormatError` for labels that have no text, as all of them would be one series; and for amounts of money,
    which PostgreSQL sends as whole numbers of a unit that its locale tells."""
    for field in schema:
        database_type = (field.metadata or {}).get(b"POSTGRESQL:type", b"").decode()
        if field.name in labels and not _has_text(field.type):
            raise _refuse_label(entry, field.name, database_type or str(field.type))
        if database_type == "money" and (field.name in entry.value or not entry.value):
            happened = f"{field.name} is a column of the type money, whose decimals only the server knows"
            fix = f'Give a "query" with cast({field.name} as numeric) as {field.name}'
            raise FormatError(entry.name, happened, fix)


def _refuse_label(entry: Entry, name: str, type_name: str) -> FormatError:
    happened = f"{name} is a column of the type {type_name}, which cannot be read as text"
    return FormatError(entry.name, happened, f'Give a "query" with cast({name} as text) as {name}')


def _has_text(kind: pa.DataType) -> bool:
    """Whether values of the type can be written as texts; not those in a database's own binary format, and no lists."""
    if isinstance(kind, pa.BaseExtensionType):
        return _is_uuid(kind) or pa.types.is_string(kind.storage_type) or pa.types.is_large_string(kind.storage_type)
    is_binary = pa.types.is_fixed_size_binary(kind) and not pa.types.is_decimal(kind)
    return not (is_binary or pa.types.is_nested(kind) or pa.types.is_interval(kind))


def _is_uuid(kind: pa.DataType) -> bool:
    return bool(getattr(kind, "extension_name", "") == "arrow.uuid")


def _strip_type(column: pa.Array) -> pa.Array:
    """Returns `column` with the type that it is stored as, such as that of a NUMERIC, which Arrow does not know; UUIDs
    as texts."""
    if _is_uuid(column.type):
        encoded = column.storage.dictionary_encode()
        texts = [str(UUID(bytes=identifier)) for identifier in encoded.dictionary.to_pylist()]
        return pa.array(texts, pa.string()).take(encoded.indices)
    if isinstance(column.type, pa.BaseExtensionType):
        storage = column.storage
        is_number = getattr(column.type, "type_name", "") == "numeric"
        return storage.cast(pa.float64()) if is_number else storage
    if pa.types.is_dictionary(column.type):
        return column.dictionary_decode()
    return column.cast(pa.float64()) if pa.types.is_decimal(column.type) else column


def _convert_times(entry: Entry, name: str, column: pa.TimestampArray) -> pa.TimestampArray:
    """Returns the times in microseconds; those without a time zone are on the clock of the entry."""
    has_zone = column.type.tz is not None
    times = column.cast(pa.timestamp("us", "UTC" if has_zone else None), safe=False)
    counts = pc.min_max(times.cast(pa.int64())).as_py()
    if counts["min"] is not None and (counts["min"] < _FIRST_YEAR or counts["max"] > _LAST_YEAR):
        happened = f"{name} holds a time that is infinite, or outside the years 1 to 9999"
        raise FormatError(entry.name, happened, f'Leave such rows out: give a "query" with isfinite({name})')
    return times


def _convert_values(column: pa.Array) -> CellColumn:
    """Returns numbers as floating-point numbers, with null for what is not finite; all else as texts."""
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), pa.float64())
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        numbers = column.cast(pa.float64(), safe=False)
        is_finite = pc.is_finite(numbers)
        return numbers if pc.all(is_finite).as_py() else pc.if_else(is_finite, numbers, None)
    try:
        return _write_texts(column).fill_null("")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # bytes, lists, ranges: not a value
        return pa.nulls(len(column), pa.string()).fill_null(f"({column.type})")


def _write_labels(entry: Entry, name: str, column: pa.Array) -> pa.StringArray:
    try:
        return _write_texts(column)
    except pa.ArrowInvalid:  # bytes that are no UTF-8
        raise _refuse_label(entry, name, str(column.type)) from None


def _write_texts(column: pa.Array) -> pa.StringArray:
    if pa.types.is_date(column.type):
        return pc.strftime(column.cast(pa.timestamp("s")), "%Y-%m-%d")
    if pa.types.is_floating(column.type):  # 3.0 and 3 are one id
        whole = column.cast(pa.int64(), safe=False)
        is_whole = pc.fill_null(pc.equal(whole.cast(pa.float64()), column), False)
        return pc.if_else(is_whole, whole.cast(pa.string()), column.cast(pa.string()))
    return column.cast(pa.string())


def check_compared(entry: Entry, batch: pa.RecordBatch, bound_format: str | None) -> None:
    """Raises `FormatError` if the times of a table are texts in another format than the bounds that the database
    compared them with: rows of the period may then be missing in the answer."""
    name = entry.time[0] if entry.time else ""
    if name not in batch.schema.names or bound_format in ("unix", "unix_ms") or entry.query is not None:
        return
    column = batch.column(name)
    if not pa.types.is_string(column.type) or len(entry.time) > 1:
        return
    _, texts = factorize(column)
    foreign_text = next((text for text in texts[:MESSAGE_TEXTS] if text and not _is_written(text, bound_format)), None)
    if foreign_text is None:
        return
    bounds = bound_format or "2024-03-10 00:00:00"
    happened = f"time: {name} holds {foreign_text!r:.80}, which the database cannot compare with times like {bounds}"
    fix = f'Give the format of {name} with "time_format", such as "%Y-%m-%dT%H:%M:%S"'
    raise FormatError(entry.name, happened, fix)


def _is_written(text: str, bound_format: str | None) -> bool:
    if bound_format is None:
        return bool(_ISO_OF_SQL.fullmatch(text))
    try:
        return datetime.strptime(text, bound_format).strftime(bound_format) == text  # compared as text
    except ValueError:
        return False
