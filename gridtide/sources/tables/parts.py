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


def add_parts(entry: Entry, table: CellTable, labels: Sequence[str], skipped: list[Skipped]) -> CellTable:
    """Returns `table` with one record for those that differ only in the column `summed` among their `labels`.

    A sum is null if one of its parts is; parts that hold no number are added to `skipped`. Records that stand twice for
    one part are not added up, so that they are found to contradict or to repeat each other.
    """
    column = entry.summed
    if not isinstance(column, str) or column not in table.names or not table.rows:
        return table
    names = [name for name in labels if name in table.names and name != column]
    cells = table.read([*names, column])
    groups = _group([cells[name] for name in names], table.rows)
    parts = _group([cells[name] for name in (*names, column)], table.rows)
    is_twice = np.zeros(table.rows, bool)
    is_twice[groups[np.bincount(parts)[parts] > 1]] = True
    groups = np.where(is_twice[groups], table.rows + np.arange(table.rows), groups)
    _, first_rows, places = np.unique(groups, return_index=True, return_inverse=True)
    if len(first_rows) == table.rows:
        return table
    rows = from_numpy(first_rows, pa.int64())
    values = [name for name in entry.value if name in table.names]
    other_names = [name for name in table.names if name != column and name not in values]
    columns: dict[str, CellColumn] = {name: texts.take(rows) for name, texts in table.read(other_names).items()}
    columns |= {name: _sum_cells(entry, table, name, places, skipped) for name in values}
    summed = build_table(columns, lambda row: table.place(int(first_rows[row])), table.inherited, table.skipped)
    return replace(summed, hint=table.hint)


def _group(columns: Sequence[CellColumn], row_count: int) -> np.ndarray:
    """Returns the number of the group (rows,), from 0, of the records with equal cells in `columns`."""
    groups = np.zeros(row_count, np.int64)
    for column in columns:
        codes, texts = factorize(column)
        _, groups = np.unique(groups * len(texts) + codes, return_inverse=True)
    return groups


def _sum_cells(entry: Entry, table: CellTable, name: str, places: np.ndarray, skipped: list[Skipped]) -> pa.DoubleArray:
    """Returns the sums of the cells of column `name` at each of `places` (rows,)."""
    readings = [read_numbers(piece[name], entry.numbers) for piece in table.pieces([name], entry.numbers)]
    unread = np.concatenate([reading.unread for reading in readings])
    if unread.any():
        example = table.place(int(np.flatnonzero(unread)[0]))
        skipped.append(Skipped(NO_PART, int(unread.sum()), f"{example}, {name}"))
    return from_numpy(np.bincount(places, np.concatenate([reading.values for reading in readings])), pa.float64())
