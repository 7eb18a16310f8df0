"""Columns that hold the same in every row, told once: in the footer of a file, so that a reader need not decode them.

    gridtide.constant    <CRC-32> {"interval": 3600000000, "published_at": null, "source": "eia", "unit": "MWh", …}

A label is its text, a time µs since 1970 or null, and `interval` how many µs each interval lasts, which tells
`interval_end`. The columns are in the file all the same, for readers that know nothing of this.
"""

from __future__ import annotations

import functools
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa

from gridtide.observations.arrays import dictionary_array, from_numpy, one_chunk, to_numpy
from gridtide.observations.table import LABEL, RETRIEVALS, SCHEMA

Constants = Mapping[str, Any]


CONSTANTS_KEY = "gridtide.constant"


Micros = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]


class _FooterValues(msgspec.Struct, forbid_unknown_fields=True):
    """What a footer may say."""

    source: str | msgspec.UnsetType = msgspec.UNSET
    location: str | msgspec.UnsetType = msgspec.UNSET
    variable: str | msgspec.UnsetType = msgspec.UNSET
    unit: str | msgspec.UnsetType = msgspec.UNSET
    published_at: Micros | msgspec.UnsetType | None = msgspec.UNSET
    retrieved_at: Micros | msgspec.UnsetType = msgspec.UNSET
    interval: Micros | msgspec.UnsetType = msgspec.UNSET


def find_constants(table: pa.Table) -> Constants:
    """What is the same in every row of `table` (observations)."""
    if not table.num_rows:
        return {}
    constants: dict[str, Any] = {}
    for name in (field.name for field in SCHEMA if field.type == LABEL):
        labels = one_chunk(table[name].unify_dictionaries()).dictionary
        if len(labels) == 1:
            constants[name] = labels[0].as_py()
    times = {
        name: one_chunk(table[name]) for name in ("interval_start", "interval_end", "published_at", "retrieved_at")
    }
    moments = {name: to_numpy(chunk, "i8") for name, chunk in times.items()}
    for name in ("published_at", "retrieved_at"):
        if times[name].null_count == table.num_rows:
            constants[name] = None
        elif not times[name].null_count and (moments[name] == moments[name][0]).all():
            constants[name] = int(moments[name][0])
    lengths = moments["interval_end"] - moments["interval_start"]
    if (lengths == lengths[0]).all():
        constants["interval"] = int(lengths[0])
    return constants


def common_constants(first: Constants, second: Constants) -> Constants:
    """What is the same in both."""
    return {name: value for name, value in first.items() if name in second and second[name] == value}


def encode_constants(constants: Constants) -> str:
    """As a footer has it; a checksum goes before, as footers have none of their own."""
    text = json.dumps(constants, sort_keys=True)
    return f"{zlib.crc32(text.encode()):08x} {text}"


def decode_constants(pairs: Mapping[bytes, bytes]) -> Constants:
    """What a footer says, nothing where it says nothing; raises `ValueError` if it is damaged, or says what
    `find_constants` does not."""
    footer_value = pairs.get(CONSTANTS_KEY.encode())
    return {} if footer_value is None else _decode_value(footer_value)


@functools.lru_cache
def _decode_value(footer_value: bytes) -> Constants:
    checksum, _, text = footer_value.partition(b" ")
    if int(checksum, 16) != zlib.crc32(text):
        raise ValueError("what its footer says of constant columns is damaged")
    constants: Constants = msgspec.to_builtins(msgspec.json.decode(text, type=_FooterValues))
    return constants


def varying_schema(schema: pa.Schema, constants: Constants) -> pa.Schema:
    """The columns of `schema` that `same` does not tell."""
    names = {"interval_end" if name == "interval" else name for name in constants}
    return pa.schema([field for field in schema if field.name not in names]) if names else schema


def attach_constants(table: pa.Table, pairs: Mapping[bytes, bytes]) -> pa.Table:
    """`table`, which has the columns of `varying_schema`, with what the footer `pairs` tells of the others."""
    footer_value = pairs.get(CONSTANTS_KEY.encode())
    return table.replace_schema_metadata({CONSTANTS_KEY: footer_value} if footer_value else None)


def read_constants(table: pa.Table) -> Constants:
    """What is to be known of the columns that `table` lacks."""
    return decode_constants(table.schema.metadata or {})


def join_tables(tables: Sequence[pa.Table]) -> pa.Table:
    """`tables` one after the other; it lacks the columns that all lack, and that are the same in all."""
    if len(tables) == 1:
        return tables[0]
    constants_by_table = [read_constants(table) for table in tables]
    shared = functools.reduce(common_constants, constants_by_table)
    everywhere = {
        name
        for name in constants_by_table[0]
        if all(constants.get(name) is not None for constants in constants_by_table)
    }
    pieces = [
        _add_columns(table, [constants], [table.num_rows], constants.keys() - shared.keys() - everywhere)
        for table, constants in zip(tables, constants_by_table, strict=True)
    ]
    rows = [table.num_rows for table in tables]
    table = _add_columns(pa.concat_tables(pieces), constants_by_table, rows, everywhere - shared.keys())
    return table.replace_schema_metadata({CONSTANTS_KEY: encode_constants(shared)} if shared else None)


def _add_columns(
    table: pa.Table, constants_by_table: Sequence[Constants], rows: Sequence[int], names: Iterable[str]
) -> pa.Table:
    """`table` with the columns that `names` are told of in `each` of its parts, which have so many `rows`."""
    columns = {name: table[name] for name in table.column_names}
    for name in names:
        values = [constants[name] for constants in constants_by_table]
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
