"""Which retrieved rows are kept, and which of them count; pure.

The rows of one key are ordered by retrieval, then by time and file of storing, then by their order in the file.
Adjacent rows with the same value and unit are one vintage, and the first of them stands for it.

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
"""Observations with the path of their file in the lake, the time when it was stored, and the number of retrieved
observations that each stands for: a kept row counts the rows of its key that are left out."""

VINTAGES = pa.schema([*STORED][:-1]).append(pa.field("available_at", TIME, nullable=False))
"""Observations with the file, the time when it was stored, and the time when each value was available."""

Flags = npt.NDArray[np.bool_]


class _Rows(NamedTuple):
    """Rows (N,) in order; which of them begin a key, and which begin a vintage."""

    table: pa.Table
    new_key: Flags
    new_vintage: Flags


def compact_rows(table: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Returns the rows of `table` (`STORED`) from which its vintages as of any time can be derived: of each key the
    latest row, and all other rows. Dictionaries may contain labels that no row uses.

    These are the first row of each vintage, and each row that was stored before all rows that precede it in its
    vintage. Rows retrieved later than all of `table` may be appended to the result as to `table`.
    """
    return _divide_rows(_keep_changes(_sort_rows(table)))


def _keep_changes(rows: _Rows) -> _Rows:
    if not rows.table.num_rows:
        return rows
    _, moment_numbers = np.unique(to_microseconds(rows.table["stored_at"]), return_inverse=True)
    # Each vintage ranks below the one before it, so that the running minimum restarts with each vintage.
    stored_rank = moment_numbers - np.cumsum(rows.new_vintage) * (moment_numbers.max() + 1)
    is_kept = np.ones(len(stored_rank), bool)
    is_kept[1:] = stored_rank[1:] < np.minimum.accumulate(stored_rank)[:-1]
    kept_counts = np.add.reduceat(retrievals(rows.table), np.flatnonzero(is_kept))
    first_rows = rows.table if is_kept.all() else rows.table.filter(pa.array(is_kept))
    return _Rows(_set_counts(first_rows, kept_counts), rows.new_key[is_kept], rows.new_vintage[is_kept])


def select_vintages(table: pa.Table) -> pa.Table:
    """Returns every vintage in `table` (`STORED`), sorted by key and retrieval."""
    rows = _sort_rows(table)
    return relabel(rows.table.filter(pa.array(rows.new_vintage)))


def select_latest(table: pa.Table) -> pa.Table:
    """Returns the latest vintage of each key in `table` (`STORED`), sorted by key."""
    return divide_latest(table)[0]


def divide_latest(table: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Returns the latest vintage of each key in `table` (`STORED`), and all other rows, each sorted by key and
    retrieval.

    The latest row stands for all retrieved rows of its key.
    """
    newest, older = _divide_rows(_sort_rows(table))
    return relabel(newest), relabel(older)


def may_join(compacted: pa.Table, rows: pa.Table) -> bool:
    """Whether `rows` (`STORED`) of other files may be appended to `compacted`, a result of `compact_rows`, although
    some were retrieved before rows in it.

    They may not if one of them begins a vintage behind a row of `compacted` with its key, of which rows were left out:
    some of these may have been retrieved later, and end that vintage.
    """
    together = _sort_rows(pa.concat_tables([compacted, rows]))
    if not together.table.num_rows:
        return True
    files = together.table["file"].cast(pa.string())
    is_added = pc.is_in(files, rows["file"].cast(pa.string()).unique()).combine_chunks().to_numpy(zero_copy_only=False)
    key_starts, key_numbers = np.flatnonzero(together.new_key), np.cumsum(together.new_key) - 1
    left_out = np.add.reduceat(np.where(is_added, 0, retrievals(together.table) - 1), key_starts) > 0
    rows_before = np.cumsum(~is_added) - ~is_added
    is_behind = rows_before > rows_before[key_starts][key_numbers]
    return not (is_added & together.new_vintage & is_behind & left_out[key_numbers]).any()


def _divide_rows(rows: _Rows) -> tuple[pa.Table, pa.Table]:
    if not rows.table.num_rows:
        return rows.table, rows.table
    vintage_starts = np.flatnonzero(rows.new_vintage)
    is_latest = np.zeros(rows.table.num_rows, bool)
    is_latest[vintage_starts[np.append(rows.new_key[vintage_starts[1:]], True)[: len(vintage_starts)]]] = True
    newest = rows.table if is_latest.all() else rows.table.filter(pa.array(is_latest))
    older = rows.table.filter(pa.array(~is_latest))
    retrieval_counts = np.add.reduceat(retrievals(rows.table), np.flatnonzero(rows.new_key))
    return _set_counts(newest, retrieval_counts), _set_counts(older, np.zeros(older.num_rows))


def arrange_rows(table: pa.Table) -> pa.Table:
    """Returns all rows of `table` (`STORED` or `VINTAGES`), sorted by key and retrieval."""
    return relabel(_sort_rows(table).table)


def add_available(table: pa.Table, rule: Available) -> pa.Table:
    """Converts `table` (`STORED`) to `VINTAGES`: available at publication, or else by `rule`."""
    published = to_microseconds(table["published_at"])
    by_rule = available_at(rule, to_microseconds(table["interval_start"]), to_microseconds(table["interval_end"]))
    moments = from_numpy(np.where(published == UNPUBLISHED, by_rule, published), TIME)
    return table.drop_columns([RETRIEVALS.name]).append_column(VINTAGES.field("available_at"), moments)


def as_stored(table: pa.Table, stored_at: datetime, path: str) -> pa.Table:
    """Returns observations as rows of the file at `path`, stored at `stored_at`."""
    row_count = table.num_rows
    stored_column = from_numpy(np.full(row_count, microseconds(stored_at)), TIME)
    table = table.append_column(STORED.field("stored_at"), stored_column)
    table = table.append_column(STORED.field("file"), arrays.dictionary_array(np.zeros(row_count, np.int32), [path]))
    return table.append_column(RETRIEVALS, from_numpy(np.ones(row_count, np.int32), RETRIEVALS.type))


def _set_counts(table: pa.Table, counts: npt.NDArray[np.generic]) -> pa.Table:
    """Returns `table` with `counts` (rows,) as the number of rows that each row stands for."""
    column = from_numpy(counts.astype(np.int32), RETRIEVALS.type)
    return table.set_column(table.schema.get_field_index(RETRIEVALS.name), RETRIEVALS, column)


def select_stored_by(as_of: datetime | None, table: pa.Table) -> pa.Table:
    """Returns the rows of `table` (`STORED`) that were stored by `as_of`; all rows if that is None."""
    return table if as_of is None else table.filter(pc.less_equal(table["stored_at"], pa.scalar(as_of, TIME)))


def concat_stored(tables: list[pa.Table], schema: pa.Schema = STORED) -> pa.Table:
    """Concatenates `tables`, with one dictionary per column."""
    return pa.concat_tables(tables).unify_dictionaries() if tables else schema.empty_table()


def split_by_location(table: pa.Table, rows: int) -> Iterator[pa.Table]:
    """Yields parts of `table` in the order of keys; each has all rows of some locations, about `rows` rows."""
    if table.num_rows <= rows:
        yield table.unify_dictionaries()
        return
    source, location = (_rank_labels(table[name]).astype(np.int32) for name in ("source", "location"))
    location_rank = source * (location.max() + 1) + location
    part_number = (np.cumsum(np.bincount(location_rank)) // rows).astype(np.int32)[location_rank]
    for part in np.unique(part_number):
        yield table.filter(pa.array(part_number == part)).unify_dictionaries()


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
    # Constant columns do not change the order, and each column costs lexsort one more pass; most files have several.
    differing = [column for column in (*key_columns, *order_columns) if (column != column[0]).any()]
    # The last key of lexsort counts first; the row numbers decide between rows that are equal in all columns.
    row_order = np.lexsort([np.arange(table.num_rows), *reversed(differing)])
    new_key = _find_changes([column[row_order] for column in key_columns])
    value_chunk = table["value"].combine_chunks()
    is_reported = not_null(value_chunk)
    # Values are compared by their bits, as NaN differs from itself, and a NaN that is repeated is no revision.
    statement = [is_reported, np.where(is_reported, to_numpy(value_chunk, "i8"), 0), _rank_labels(table["unit"])]
    return _Rows(
        table.take(pa.array(row_order)), new_key, new_key | _find_changes([column[row_order] for column in statement])
    )


def _find_changes(columns: list[npt.NDArray[np.generic]]) -> Flags:
    """Returns whether each row differs from the one before it in any of `columns`; the first row does."""
    differs = np.ones(len(columns[0]), bool)
    differs[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return differs


def _rank_labels(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Returns the rank of each row's label among the sorted labels, shape (rows,)."""
    labels = column.unify_dictionaries().combine_chunks()
    _, ranks = np.unique(np.array(labels.dictionary.to_pylist(), np.str_), return_inverse=True)
    ranked: npt.NDArray[np.int64] = ranks[to_numpy(labels.indices, "i4")]
    return ranked


def relabel(table: pa.Table) -> pa.Table:
    """Returns `table` with dictionaries of only the labels it uses, in the order of their first use: equal rows give
    equal tables."""
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
    first_row = np.full(len(numbers), len(codes))
    first_row[codes[::-1]] = np.arange(len(codes))[
        ::-1
    ]  # of repeated codes the last assignment counts, which is the first occurrence
    first_order = np.argsort(first_row)[: np.count_nonzero(first_row < len(codes))]
    new_codes = np.empty(len(numbers), np.int32)
    new_codes[first_order] = np.arange(len(first_order))
    distinct_labels = list(numbers)
    return arrays.dictionary_array(new_codes[codes], [distinct_labels[number] for number in first_order])
