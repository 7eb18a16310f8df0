"""A table of cells as an answer holds it: columns of texts, whatever it is written in.

A cell is a text; null is a cell that its record does not have, the empty text a cell that holds nothing. NumberStyle of
JSON are written as the entry says that numbers are, so that all texts are read alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from gridtide.entries.table_layout import NumberStyle
from gridtide.observations.arrays import to_numpy
from gridtide.sources.contract import Skipped

CellColumn: TypeAlias = pa.Array
"""Cells of a column, shape (rows,): texts, or numbers where all of them are numbers or nulls."""

CellColumns = Mapping[str, CellColumn]

CELLS_IN_ONE = 4_000_000
"""Cells of a table that is read in one piece; larger ones are read in pieces to bound memory."""


@dataclass(frozen=True)
class CellTable:
    """The `rows` records of an answer.

    `read` gives whole columns of texts by name, each of shape (rows,); `pieces` gives some of them piece by piece, as
    numbers written in a style where a piece of one holds nothing else. `inherited`
    columns belong to what the records stand in and are never values by themselves. `place` says where the record of a
    number is (`row 7`). `skipped` are records that could not be read.
    """

    names: Sequence[str]
    rows: int
    read: Callable[[Sequence[str]], CellColumns]
    pieces: Callable[[Sequence[str], NumberStyle], Iterator[CellColumns]]
    place: Callable[[int], str]
    inherited: frozenset[str] = frozenset()
    skipped: list[Skipped] = field(default_factory=list)
    hint: str = ""
    """Where else the records may be, as a fix says it."""

    @property
    def own(self) -> list[str]:
        """The columns of the records themselves."""
        return [name for name in self.names if name not in self.inherited]


def table_of_columns(
    columns: CellColumns,
    place: Callable[[int], str],
    inherited: frozenset[str] = frozenset(),
    skipped: Sequence[Skipped] = (),
) -> CellTable:
    """A table whose `columns`, each of shape (rows,), are in memory."""
    rows = len(next(iter(columns.values()))) if columns else 0

    def read(names: Sequence[str]) -> CellColumns:
        return {name: columns[name] for name in names}

    def pieces(names: Sequence[str], written: NumberStyle) -> Iterator[CellColumns]:
        step = max(CELLS_IN_ONE // max(len(names), 1), 1)
        for start in range(0, rows, step):
            yield {name: columns[name].slice(start, step) for name in names}

    return CellTable(list(columns), rows, read, pieces, place, inherited, list(skipped))


def table_of_records(
    records: Sequence[Mapping[str, str]], place: Callable[[int], str], inherited: frozenset[str] = frozenset()
) -> CellTable:
    """A table of `records`, each by column; a column that a record does not have is an absent cell."""
    names = list(dict.fromkeys(name for record in records for name in record))
    columns = {name: string_array([record.get(name) for record in records]) for name in names}
    table = table_of_columns(columns, place, inherited & set(names))
    return table if names else CellTable([], len(records), table.read, table.pieces, place)


def numbered(noun: str, first: int = 1) -> Callable[[int], str]:
    """Places called by a number from `first` on: `record 3`."""
    return lambda row: f"{noun} {row + first}"


def factorised(column: pa.StringArray) -> tuple[np.ndarray, list[str | None]]:
    """`column` (rows,) as codes (rows,) of its distinct cells, an absent one being None."""
    encoded = column.dictionary_encode(null_encoding="encode")
    return to_numpy(encoded.indices, "i4"), encoded.dictionary.to_pylist()


def string_array(texts: Sequence[str | None]) -> pa.StringArray:
    """`texts` as an array, without the import of pandas that `pa.array` takes."""
    builder = pa.lib.StringBuilder()
    builder.append_values(texts)
    return builder.finish()
