"""What of all that was retrieved is kept, and what of it counts; pure.

The rows of one key are ordered by when they were retrieved, then by when and in which file they were
stored, then as they stand in the file. Rows that follow each other with the same value and unit say
the same: together they are one vintage, which the first of them stands for.

    retrieved   1    2    3    4    5
    value       10   10   12   12   10        three vintages: 1, 3 and 5; the latest is 5
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gridtide.entries.entry import Available
from gridtide.observations import arrays
from gridtide.observations.arrays import from_numpy, not_null, to_numpy
from gridtide.observations.availability import available_at
from gridtide.observations.table import LABEL, RETRIEVALS, SCHEMA, TIME, retrievals
from gridtide.observations.times import UNPUBLISHED, to_microseconds
from gridtide.periods import microseconds

STORED = pa.schema(
    [
        *SCHEMA,
        pa.field("stored_at", TIME, nullable=False),
        pa.field("file", LABEL, nullable=False),
        RETRIEVALS,
    ]
)
"""Observations with the file they are from (its path in the lake), when that was stored, and for how many
retrieved ones each stands: what is left out of a key is counted in what is kept of it."""

VINTAGES = pa.schema([*STORED][:-1]).append(pa.field("available_at", TIME, nullable=False))
"""Observations with file and moment of storing, and with when each value could be known."""

Flags = npt.NDArray[np.bool_]


class _Rows(NamedTuple):
    """Rows (N,) in order; which of them begin a key, and which begin a vintage."""

    table: pa.Table
    new_key: Flags
    new_vintage: Flags


def compact_rows(table: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The rows of `table` (`STORED`) from which, whatever was stored by some moment, its vintages can be told: of each
    key the latest, and all others; labels may be left of rows that are gone.

    These are the first of each vintage, and of the others those stored before all that precede them in
    it. Rows that were retrieved later than all of `table` may be added to the result as to `table`.
    """
    return _divide_rows(_keep_changes(_sort_rows(table)))


def _keep_changes(rows: _Rows) -> _Rows:
    if not rows.table.num_rows:
        return rows
    _, stored = np.unique(to_microseconds(rows.table["stored_at"]), return_inverse=True)
    fall = stored - np.cumsum(rows.new_vintage) * (stored.max() + 1)  # the minimum so far begins anew with each vintage
    first = np.ones(len(fall), bool)
    first[1:] = fall[1:] < np.minimum.accumulate(fall)[:-1]
    counts = np.add.reduceat(retrievals(rows.table), np.flatnonzero(first))
    first_rows = rows.table if first.all() else rows.table.filter(pa.array(first))
    return _Rows(_set_counts(first_rows, counts), rows.new_key[first], rows.new_vintage[first])


def select_vintages(table: pa.Table) -> pa.Table:
    """Every vintage in `table` (`STORED`), sorted by key and retrieval."""
    rows = _sort_rows(table)
    return relabel(rows.table.filter(pa.array(rows.new_vintage)))


def select_latest(table: pa.Table) -> pa.Table:
    """The latest vintage of each key in `table` (`STORED`), sorted by key."""
    return divide_latest(table)[0]


def divide_latest(table: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The latest vintage of each key in `table` (`STORED`), and all other rows, each sorted by key and retrieval.

    The latest stands for all retrieved of its key.
    """
    newest, older = _divide_rows(_sort_rows(table))
    return relabel(newest), relabel(older)


def _divide_rows(rows: _Rows) -> tuple[pa.Table, pa.Table]:
    if not rows.table.num_rows:
        return rows.table, rows.table
    begins = np.flatnonzero(rows.new_vintage)
    is_latest = np.zeros(rows.table.num_rows, bool)
    is_latest[begins[np.append(rows.new_key[begins[1:]], True)[: len(begins)]]] = True
    newest = rows.table if is_latest.all() else rows.table.filter(pa.array(is_latest))
    older = rows.table.filter(pa.array(~is_latest))
    counts = np.add.reduceat(retrievals(rows.table), np.flatnonzero(rows.new_key))
    return _set_counts(newest, counts), _set_counts(older, np.zeros(older.num_rows))


def arrange_rows(table: pa.Table) -> pa.Table:
    """All rows of `table` (`STORED` or `VINTAGES`), sorted by key and retrieval."""
    return relabel(_sort_rows(table).table)


def with_available(table: pa.Table, rule: Available) -> pa.Table:
    """`table` (`STORED`) as `VINTAGES`: available when published, else by `rule`."""
    published = to_microseconds(table["published_at"])
    by_rule = available_at(rule, to_microseconds(table["interval_start"]), to_microseconds(table["interval_end"]))
    moments = from_numpy(np.where(published == UNPUBLISHED, by_rule, published), TIME)
    return table.drop_columns([RETRIEVALS.name]).append_column(VINTAGES.field("available_at"), moments)


def as_stored(table: pa.Table, stored_at: datetime, path: str) -> pa.Table:
    """Observations as rows of the file at `path`, stored at `stored_at`."""
    rows = table.num_rows
    moment = from_numpy(np.full(rows, microseconds(stored_at)), TIME)
    table = table.append_column(STORED.field("stored_at"), moment)
    table = table.append_column(STORED.field("file"), arrays.dictionary_array(np.zeros(rows, np.int32), [path]))
    return table.append_column(RETRIEVALS, from_numpy(np.ones(rows, np.int32), RETRIEVALS.type))


def _set_counts(table: pa.Table, counts: npt.NDArray[np.generic]) -> pa.Table:
    """`table` with `counts` (rows,) as what each row stands for."""
    column = from_numpy(counts.astype(np.int32), RETRIEVALS.type)
    return table.set_column(table.schema.get_field_index(RETRIEVALS.name), RETRIEVALS, column)


def stored_by(as_of: datetime | None, table: pa.Table) -> pa.Table:
    """The rows of `table` (`STORED`) that were stored by `as_of`; all where that is None."""
    return table if as_of is None else table.filter(pc.less_equal(table["stored_at"], pa.scalar(as_of, TIME)))


def concat_stored(tables: list[pa.Table], schema: pa.Schema = STORED) -> pa.Table:
    """`tables` one after the other, with one dictionary per column."""
    return pa.concat_tables(tables).unify_dictionaries() if tables else schema.empty_table()


def split_by_location(table: pa.Table, rows: int) -> Iterator[pa.Table]:
    """`table` piece by piece in the order of keys: all rows of some locations each, about `rows` of them."""
    if table.num_rows <= rows:
        yield table.unify_dictionaries()
        return
    source, location = (_rank_labels(table[name]).astype(np.int32) for name in ("source", "location"))
    place = source * (location.max() + 1) + location
    number = (np.cumsum(np.bincount(place)) // rows).astype(np.int32)[place]
    for piece in np.unique(number):
        yield table.filter(pa.array(number == piece)).unify_dictionaries()


def _sort_rows(table: pa.Table) -> _Rows:
    table = table.combine_chunks()
    if not table.num_rows:
        return _Rows(table, np.empty(0, bool), np.empty(0, bool))
    key_columns = [_rank_labels(table[name]) for name in ("source", "location", "variable")]
    key_columns += [to_microseconds(table[name]) for name in ("interval_start", "interval_end", "published_at")]
    order_columns = [
        to_microseconds(table["retrieved_at"]),
        to_microseconds(table["stored_at"]),
        _rank_labels(table["file"]),
    ]
    differing = [column for column in (*key_columns, *order_columns) if (column != column[0]).any()]
    order = np.lexsort([np.arange(table.num_rows), *reversed(differing)])
    new_key = _find_changes([column[order] for column in key_columns])
    value = table["value"].combine_chunks()
    is_reported = not_null(value)
    statement = [is_reported, np.where(is_reported, to_numpy(value, "i8"), 0), _rank_labels(table["unit"])]
    return _Rows(table.take(pa.array(order)), new_key, new_key | _find_changes([column[order] for column in statement]))


def _find_changes(columns: list[npt.NDArray[np.generic]]) -> Flags:
    """Whether each row differs from the one before it in any of `columns`; the first does."""
    differs = np.ones(len(columns[0]), bool)
    differs[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return differs


def _rank_labels(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Where the label of each row stands among the labels in order, shape (rows,)."""
    labels = column.unify_dictionaries().combine_chunks()
    _, ranks = np.unique(np.array(labels.dictionary.to_pylist(), np.str_), return_inverse=True)
    ranked: npt.NDArray[np.int64] = ranks[to_numpy(labels.indices, "i4")]
    return ranked


def relabel(table: pa.Table) -> pa.Table:
    """`table` with dictionaries of the labels it has, in the order they occur: equal rows, equal tables."""
    columns = [
        _renew_labels(column) if field.type == LABEL else column.combine_chunks()
        for field, column in zip(table.schema, table.columns, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _renew_labels(column: pa.ChunkedArray) -> pa.DictionaryArray:
    labels = column.unify_dictionaries().combine_chunks()
    numbers: dict[str, int] = {}
    merged = np.array([numbers.setdefault(text, len(numbers)) for text in labels.dictionary.to_pylist()], np.int32)
    codes = merged[to_numpy(labels.indices, "i4")]
    first = np.full(len(numbers), len(codes))
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # of several the last written, which occurs first
    order = np.argsort(first)[: np.count_nonzero(first < len(codes))]
    place = np.empty(len(numbers), np.int32)
    place[order] = np.arange(len(order))
    texts = list(numbers)
    return arrays.dictionary_array(place[codes], [texts[number] for number in order])
