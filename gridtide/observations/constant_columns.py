"""Columns with the same value in every row, written once into the footer of a file.

    gridtide.constant    <CRC-32> {"interval": 3600000000, "published_at": null, "source": "eia", "unit": "MWh", …}

A label is its text, a time is µs since 1970 or null, and `interval` is the length of every interval in µs, from which
`interval_end` follows. The file contains these columns all the same, for readers that do not know the footer; readers
that know it do not decode them.

A table without its constant columns has their values in the metadata of its schema. `times.read_times`,
`times.interval_lengths` and `series.SeriesNumbers` read such a table like a complete one.
"""

from __future__ import annotations

import functools
import json
import operator
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from gridtide.observations.arrays import dictionary_array, from_numpy, one_chunk, to_numpy
from gridtide.observations.table import LABEL, RETRIEVALS, SCHEMA, Micros

_KEY = "gridtide.constant"


class _FooterValues(msgspec.Struct, forbid_unknown_fields=True):
    """The values that a footer may contain."""

    source: str | msgspec.UnsetType = msgspec.UNSET
    location: str | msgspec.UnsetType = msgspec.UNSET
    variable: str | msgspec.UnsetType = msgspec.UNSET
    unit: str | msgspec.UnsetType = msgspec.UNSET
    published_at: Micros | msgspec.UnsetType | None = msgspec.UNSET
    retrieved_at: Micros | msgspec.UnsetType = msgspec.UNSET
    interval: Micros | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True)
class ConstantColumns:
    """The constant columns of a table or a file, with their `values` as in a footer."""

    values: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def find(cls, table: pa.Table) -> ConstantColumns:
        """Finds the constant columns of `table` (observations, all columns); none if it has no rows."""
        return cls(_find_values(table) if table.num_rows else {})

    @classmethod
    def read(cls, pairs: Mapping[bytes, bytes]) -> ConstantColumns:
        """Reads the constant columns from the footer `pairs`; none if the footer does not name any.

        Raises `ValueError` if that part of the footer is damaged, or has keys that `find` never writes.
        """
        footer_value = pairs.get(_KEY.encode())
        return cls() if footer_value is None else _decode_value(footer_value)

    @classmethod
    def of_table(cls, table: pa.Table) -> ConstantColumns:
        """Returns the constant columns that were left out of `table`."""
        return cls.read(table.schema.metadata or {})

    def __and__(self, second: ConstantColumns) -> ConstantColumns:
        """Returns the columns that have the same value in both."""
        shared = self.values.items() & second.values.items()
        return ConstantColumns(dict(shared))

    def encode(self) -> dict[str, str]:
        """Returns the key-value pair for a footer, the inverse of `read`.

        The value begins with a checksum, because Parquet has none for footers.
        """
        return {_KEY: self._text}

    @cached_property
    def _text(self) -> str:
        text = json.dumps(self.values, sort_keys=True)
        return f"{zlib.crc32(text.encode()):08x} {text}"

    def drop_from(self, schema: pa.Schema) -> pa.Schema:
        """Returns `schema` (of observations, with `retrievals` or without) without the constant columns."""
        names = {"interval_end" if name == "interval" else name for name in self.values}
        return _select_fields(frozenset(schema.names) - names) if names else schema

    def attach(self, table: pa.Table) -> pa.Table:
        """Returns `table`, which has the columns that `drop_from` leaves, with the constant values in its metadata."""
        return table.replace_schema_metadata(self.encode() if self.values else None)


class ConstantsFinder:
    """Finds the columns that are constant over all tables of a file that is being written."""

    def __init__(self) -> None:
        self._common: ConstantColumns | None = None

    def add(self, table: pa.Table) -> None:
        """Adds `table`, the next one of the file."""
        constants = ConstantColumns.find(table)
        self._common = constants if self._common is None else self._common & constants

    def as_footer(self) -> dict[str, str]:
        """Returns the key-value pair for the footer of the file."""
        return (self._common or ConstantColumns()).encode()


def _find_values(table: pa.Table) -> dict[str, Any]:
    """Returns the values of the columns that are constant in `table`, which has rows."""
    values: dict[str, Any] = {}
    for name in (column.name for column in SCHEMA if column.type == LABEL):
        labels = one_chunk(table[name].unify_dictionaries()).dictionary
        if len(labels) == 1:
            values[name] = labels[0].as_py()
    times = {
        name: one_chunk(table[name]) for name in ("interval_start", "interval_end", "published_at", "retrieved_at")
    }
    moments = {name: to_numpy(chunk, "i8") for name, chunk in times.items()}
    for name in ("published_at", "retrieved_at"):
        if times[name].null_count == table.num_rows:
            values[name] = None
        elif not times[name].null_count and (moments[name] == moments[name][0]).all():
            values[name] = int(moments[name][0])
    lengths = moments["interval_end"] - moments["interval_start"]
    if (lengths == lengths[0]).all():
        values["interval"] = int(lengths[0])
    return values


@functools.lru_cache
def _decode_value(footer_value: bytes) -> ConstantColumns:
    checksum, _, text = footer_value.partition(b" ")
    if int(checksum, 16) != zlib.crc32(text):
        raise ValueError("the constant columns in its footer are damaged")
    return ConstantColumns(msgspec.to_builtins(msgspec.json.decode(text, type=_FooterValues)))


def add_constants(table: pa.Table) -> pa.Table:
    """Returns `table`, which may lack its constant columns, with all of them."""
    values = ConstantColumns.of_table(table).values
    return _add_columns(table, [values], [table.num_rows], values) if values else table


def join_tables(tables: Sequence[pa.Table]) -> pa.Table:
    """Concatenates `tables`. Columns that all of them lack, with the same value, are left out of the result too."""
    if len(tables) == 1:
        return tables[0]
    values_by_table = [ConstantColumns.of_table(table).values for table in tables]
    common_constants = functools.reduce(operator.and_, map(ConstantColumns.of_table, tables))
    # Columns that every table lacks are added once to the joined table; those with nulls, or absent from only some
    # tables, are added table by table.
    absent_everywhere = {
        name for name in values_by_table[0] if all(values.get(name) is not None for values in values_by_table)
    }
    completed_tables = [
        _add_columns(
            table, [values], [table.num_rows], values.keys() - common_constants.values.keys() - absent_everywhere
        )
        for table, values in zip(tables, values_by_table, strict=True)
    ]
    row_counts = [table.num_rows for table in tables]
    table = _add_columns(
        pa.concat_tables(completed_tables),
        values_by_table,
        row_counts,
        absent_everywhere - common_constants.values.keys(),
    )
    return common_constants.attach(table)


def _add_columns(
    table: pa.Table, values_by_table: Sequence[Mapping[str, Any]], rows: Sequence[int], names: Iterable[str]
) -> pa.Table:
    """Returns `table` with the columns `names`. It consists of parts with these numbers of `rows`, each with its own
    constant values."""
    columns = {name: table[name] for name in table.column_names}
    for name in names:
        values = [table_values[name] for table_values in values_by_table]
        if name == "interval":
            starts = to_numpy(one_chunk(table["interval_start"]), "i8")
            columns["interval_end"] = from_numpy(starts + np.repeat(values, rows), SCHEMA.field("interval_end").type)
        elif isinstance(values[0], str):
            columns[name] = dictionary_array(np.repeat(np.arange(len(values)), rows), values)
        elif values[0] is None:
            columns[name] = pa.nulls(table.num_rows, SCHEMA.field(name).type)
        else:
            columns[name] = from_numpy(np.repeat(values, rows), SCHEMA.field(name).type)
    if len(columns) == table.num_columns:
        return table
    schema = _select_fields(frozenset(columns))
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


@functools.lru_cache
def _select_fields(names: frozenset[str]) -> pa.Schema:
    return pa.schema([field for field in (*SCHEMA, RETRIEVALS) if field.name in names])
