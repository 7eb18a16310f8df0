"""Observations under the names that an entry's aliases give them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa

from gridtide.entries.aliases import EVERY, Alias
from gridtide.observations.array_types import Mask
from gridtide.observations.arrays import dictionary_array, one_chunk, to_numpy
from gridtide.observations.constant_columns import add_constants
from gridtide.observations.times import read_times
from gridtide.periods import microseconds


def rename_series(table: pa.Table, aliases: Sequence[Alias], renamed_rows: dict[int, Mask] | None = None) -> pa.Table:
    """Returns `table` (observations, maybe without their constant columns) with its series renamed by each of `aliases`
    in turn. The rows that an alias renames are added to `renamed_rows`, by its number, shape (rows,)."""
    if not aliases or not table.num_rows:
        return table
    table = add_constants(table)
    for number, alias in enumerate(aliases):
        chosen_rows = _choose_rows(table, alias)
        if chosen_rows.any():
            table = _rename_rows(table, alias, chosen_rows)
            if renamed_rows is not None:
                renamed_rows[number] = chosen_rows
    return table


def list_stored_locations(locations: Collection[str] | None, aliases: Sequence[Alias]) -> Collection[str] | None:
    """Returns the locations under which values may be stored that are read under `locations`; None for any location."""
    if locations is None:
        return None
    known_locations = set(locations)
    for alias in reversed(aliases):
        stored_series, read_series = alias.series
        known_locations |= {stored_series.location} if read_series.location in known_locations else set()
    return known_locations


def _choose_rows(table: pa.Table, alias: Alias) -> Mask:
    """Returns the rows of `table` that `alias` renames, shape (rows,)."""
    stored_series, _ = alias.series
    chosen_rows = _equals(table, "source", stored_series.source) & _equals(table, "variable", stored_series.variable)
    if stored_series.location != EVERY:
        chosen_rows &= _equals(table, "location", stored_series.location)
    start_times = read_times(table, "interval_start")
    since, before = alias.bounds
    if since:
        chosen_rows &= start_times >= microseconds(since)
    if before:
        chosen_rows &= start_times < microseconds(before)
    return chosen_rows


def _rename_rows(table: pa.Table, alias: Alias, chosen_rows: Mask) -> pa.Table:
    _, read_series = alias.series
    table = _relabel(table, "variable", chosen_rows, read_series.variable)
    return table if read_series.location == EVERY else _relabel(table, "location", chosen_rows, read_series.location)


def _equals(table: pa.Table, column: str, label: str) -> Mask:
    """Returns the rows of `table` that have `label` in `column`, shape (rows,)."""
    column_labels = one_chunk(table[column].unify_dictionaries())
    label_codes = [code for code, text in enumerate(column_labels.dictionary.to_pylist()) if text == label]
    return np.isin(to_numpy(column_labels.indices, "i4"), label_codes)


def _relabel(table: pa.Table, column: str, chosen_rows: Mask, label: str) -> pa.Table:
    """Returns `table` with `label` in `column` of `chosen_rows`."""
    column_labels = one_chunk(table[column].unify_dictionaries())
    label_texts = [*column_labels.dictionary.to_pylist(), label]
    label_codes = np.where(chosen_rows, len(label_texts) - 1, to_numpy(column_labels.indices, "i4"))
    column_index = table.schema.get_field_index(column)
    return table.set_column(column_index, table.schema.field(column_index), dictionary_array(label_codes, label_texts))
