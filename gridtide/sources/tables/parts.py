"""Adds up records that hold a part of a value each, such as the conforming and the other load of a zone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from gridtide.observations.arrays import from_numpy
from gridtide.sources.contract import Skipped
from gridtide.sources.formats.cells import CellColumn, CellTable, build_table, factorize
from gridtide.sources.formats.numbers import read_numbers

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry

NO_PART = "parts of a sum that hold no number"
"""Why a sum is null although its records have texts."""

FEWER_PARTS = "sums that lack a part of their series"
"""Why a sum is null although all of its records hold numbers."""


def add_parts(entry: Entry, table: CellTable, labels: Sequence[str], skipped: list[Skipped]) -> CellTable:
    """Returns `table` with one record for those that differ only in the column `summed` among their `labels`.

    A sum is null if one of its parts is, or if it lacks one that its series has at another time; parts that hold no
    number and sums that lack a part are added to `skipped`. Records that stand twice for one part are not added up, so
    that they are found to contradict or to repeat each other.
    """
    column = entry.summed
    if not isinstance(column, str) or column not in table.names or not table.rows:
        return table
    names = [name for name in labels if name in table.names and name != column]
    cells = table.read([*names, column])
    groups = _group([cells[name] for name in names], table.rows)
    parts = _group([cells[name] for name in (*names, column)], table.rows)
    is_twice = np.isin(groups, groups[np.bincount(parts)[parts] > 1])
    groups = np.where(is_twice, table.rows + np.arange(table.rows), groups)
    _, first_rows, places = np.unique(groups, return_index=True, return_inverse=True)
    series_names = [name for name in names if name not in (*entry.time, entry.timezone_from)]
    series = _group([cells[name] for name in series_names], table.rows)
    series_parts = _group([cells[name] for name in (*series_names, column)], table.rows)
    expected = np.bincount(series[np.unique(series_parts, return_index=True)[1]])
    is_short = (np.bincount(places) < expected[series[first_rows]]) & ~is_twice[first_rows]
    if is_short.any():
        example = table.place(int(first_rows[np.flatnonzero(is_short)[0]]))
        skipped.append(Skipped(FEWER_PARTS, int(is_short.sum()), example))
    values = [name for name in entry.value if name in table.names]
    other_names = [name for name in table.names if name != column and name not in values]
    rows = from_numpy(first_rows, pa.int64())
    columns: dict[str, CellColumn] = {name: texts.take(rows) for name, texts in table.read(other_names).items()}
    for name in values:
        sums = np.where(is_short, np.nan, _sum_cells(entry, table, name, places, skipped))
        columns[name] = from_numpy(sums, pa.float64())
    summed = build_table(columns, lambda row: table.place(int(first_rows[row])), table.inherited, table.skipped)
    return replace(summed, hint=table.hint)


def _group(columns: Sequence[CellColumn], row_count: int) -> np.ndarray:
    """Returns the number of the group (rows,), from 0, of the records with equal cells in `columns`."""
    groups = np.zeros(row_count, np.int64)
    for column in columns:
        codes, texts = factorize(column)
        _, groups = np.unique(groups * len(texts) + codes, return_inverse=True)
    return groups


def _sum_cells(entry: Entry, table: CellTable, name: str, places: np.ndarray, skipped: list[Skipped]) -> np.ndarray:
    """Returns the sums (places,) of the cells of column `name`, of which each row belongs to one of `places`
    (rows,)."""
    readings = [read_numbers(piece[name], entry.numbers) for piece in table.pieces([name], entry.numbers)]
    unread = np.concatenate([reading.unread for reading in readings])
    if unread.any():
        example = table.place(int(np.flatnonzero(unread)[0]))
        skipped.append(Skipped(NO_PART, int(unread.sum()), f"{example}, {name}"))
    return np.bincount(places, np.concatenate([reading.values for reading in readings]))
