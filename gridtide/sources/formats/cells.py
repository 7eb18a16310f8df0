"""A table of cells: columns of texts, whatever the format of the response.

A cell is a text. A null is a cell that its record does not have, an empty text is a cell without content. Numbers of
JSON are written in the entry's number style, so that all texts are read the same way.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from gridtide.entries.table_layout import NumberStyle
from gridtide.observations.arrays import to_numpy
from gridtide.sources.contract import Skipped

CellColumn: TypeAlias = pa.Array
"""Cells of a column, shape (rows,): texts, as such or as codes that stand for them, or numbers where all of them are
numbers or nulls."""

CellColumns = Mapping[str, CellColumn]

CELLS_IN_ONE = 4_000_000
"""The most cells of a table that is read in one piece; larger tables are read in pieces to limit memory."""


@dataclass(frozen=True)
class CellTable:
    """The `rows` records of a response.

    `read` returns whole columns by name, each of shape (rows,); `pieces` yields columns piece by piece.
    `inherited_columns` belong to the elements that contain the records, and are never values. `place` returns
    the position of the record with a number (`row 7`). `skipped` are records that could not be read. `first` returns
    columns of the first records alone, where that is less work than `read`. `complete` means that no record lacks a
    cell.
    """

    names: Sequence[str]
    rows: int
    read: Callable[[Sequence[str]], CellColumns]
    pieces: Callable[[Sequence[str], NumberStyle], Iterator[CellColumns]]
    place: Callable[[int], str]
    inherited_columns: frozenset[str] = frozenset()
    skipped: list[Skipped] = field(default_factory=list)
    hint: str = ""
    """Where else the records may be, as a fix."""
    first: Callable[[Sequence[str]], CellColumns] | None = None
    complete: bool = False
    delimiter: str = ""
    """The delimiter of a CSV; a semicolon is usual where decimals have a comma."""

    def read_first(self, names: Sequence[str]) -> CellColumns:
        """Returns the `names` columns of the first records, at least one if there are any."""
        return (self.first or self.read)(names)

    @property
    def own(self) -> list[str]:
        """The columns of the records themselves."""
        return [name for name in self.names if name not in self.inherited_columns]


def build_table(
    columns: CellColumns,
    place: Callable[[int], str],
    inherited: frozenset[str] = frozenset(),
    skipped: Sequence[Skipped] = (),
) -> CellTable:
    """Returns a table whose `columns`, each of shape (rows,), are in memory."""
    rows = len(next(iter(columns.values()))) if columns else 0

    def read(names: Sequence[str]) -> CellColumns:
        return {name: columns[name] for name in names}

    def pieces(names: Sequence[str], written: NumberStyle) -> Iterator[CellColumns]:
        piece_rows = max(CELLS_IN_ONE // max(len(names), 1), 1)
        for start in range(0, rows, piece_rows):
            yield {name: columns[name].slice(start, piece_rows) for name in names}

    return CellTable(list(columns), rows, read, pieces, place, inherited, list(skipped))


def attach_constants(table: CellTable, constants: Mapping[str, str]) -> CellTable:
    """Returns `table` with columns that hold one text in every record and are not values; its own columns take
    precedence."""
    added = {name: text for name, text in constants.items() if name not in table.names}
    if not added:
        return table

    def read(names: Sequence[str]) -> CellColumns:
        columns = table.read([name for name in names if name not in added])
        return {name: columns[name] if name in columns else _repeat_text(added[name], table.rows) for name in names}

    def pieces(names: Sequence[str], written: NumberStyle) -> Iterator[CellColumns]:
        own = [name for name in names if name not in added] or list(table.names[:1])
        for piece in table.pieces(own, written):
            length = len(piece[own[0]])
            yield {name: piece[name] if name in piece else _repeat_text(added[name], length) for name in names}

    def first(names: Sequence[str]) -> CellColumns:
        columns = table.read_first([name for name in names if name not in added])
        length = len(next(iter(columns.values()))) if columns else min(table.rows, 1)
        return {name: columns[name] if name in columns else _repeat_text(added[name], length) for name in names}

    names = [*table.names, *added]
    inherited = table.inherited_columns | frozenset(added)
    return replace(table, names=names, read=read, pieces=pieces, inherited_columns=inherited, first=first)


def _repeat_text(text: str, rows: int) -> pa.StringArray:
    return pa.repeat(pa.scalar(text, pa.string()), rows)


def tabulate_records(
    records: Sequence[Mapping[str, str]], place: Callable[[int], str], inherited: frozenset[str] = frozenset()
) -> CellTable:
    """Returns a table of `records`, each by column; a column that a record lacks is an absent cell."""
    column_names = list(dict.fromkeys(name for record in records for name in record))
    columns = {name: build_strings([record.get(name) for record in records]) for name in column_names}
    table = build_table(columns, place, inherited & set(column_names))
    return table if column_names else CellTable([], len(records), table.read, table.pieces, place)


def number_positions(noun: str, first: int = 1) -> Callable[[int], str]:
    """Returns positions with a number, counted from `first`: `record 3`."""
    return lambda row: f"{noun} {row + first}"


def factorize(column: pa.StringArray) -> tuple[np.ndarray, list[str | None]]:
    """Returns the codes (rows,) of the cells of `column` (rows,), and its distinct cells; an absent cell is None."""
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode(null_encoding="encode")
    return to_numpy(encoded.indices, "i4"), encoded.dictionary.to_pylist()


def decode_texts(column: CellColumn) -> CellColumn:
    """Returns a column of texts as such, also one of codes that stand for texts."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


LONGEST_ARRAY = 1 << 30
"""The most bytes in an array of texts, whose offsets are of 32 bits."""


def _build_ascii_array(texts: Sequence[str | None]) -> pa.StringArray | None:
    """Returns `texts` as an array if they are nothing but ASCII, whose lengths are those of its bytes; else None."""
    try:
        joined = "".join(texts)  # type: ignore[arg-type]  # a None raises the error that is caught
    except TypeError:
        return None
    if not joined.isascii() or len(joined) > LONGEST_ARRAY:
        return None
    offsets = np.zeros(len(texts) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, texts), np.int32, len(texts)), out=offsets[1:])  # type: ignore[arg-type]
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(offsets), pa.py_buffer(joined.encode()))


def build_strings(texts: Sequence[str | None]) -> pa.StringArray:
    """Returns `texts` as an array, without the import of pandas that `pa.array` needs."""
    ascii_array = _build_ascii_array(texts)
    if ascii_array is not None:
        return ascii_array
    builder = pa.lib.StringBuilder()
    builder.append_values(texts)
    return builder.finish()


def split_alternatives(names: Iterable[str]) -> list[str]:
    """Returns `names` of columns, followed each by the alternatives in it.

    >>> split_alternatives(["Time", "Gen MW | Gen MWh"])
    ['Time', 'Gen MW | Gen MWh', 'Gen MW', 'Gen MWh']
    """
    alternatives: list[str] = []
    for name in names:
        alternatives += [name, *(part.strip() for part in name.split("|") if "|" in name and part.strip())]
    return alternatives


def find_spelling(name: str, names: Iterable[str]) -> str | None:
    """Returns the only one of `names` that is `name` but for cases, blanks and marks; None if there is not just one.

    >>> find_spelling("GMTIntervalEnd", ["Interval", "GMT Interval End"]), find_spelling("a b", ["A_B", "a-b"])
    ('GMT Interval End', None)
    """
    spelled = _spell_plainly(name)
    alike = [candidate for candidate in names if _spell_plainly(candidate) == spelled] if spelled else []
    return alike[0] if len(alike) == 1 else None


def _spell_plainly(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


RECORDS_BESIDE = "records in lists beside those that the entry reads: {}"
"""Why the records of a list are not stored that `records` does not name."""

PATHS_PROPOSED = 3
"""How many paths to records a message names."""


def propose_paths(records: Counter[str]) -> str:
    """Returns the fix that names the paths to the most `records`, by path, the best one first; empty if there are
    none."""
    best = [
        f'"records": {json.dumps(path, ensure_ascii=False)} ({number})' if path else f'leave "records" out ({number})'
        for path, number in records.most_common(PATHS_PROPOSED)
    ]
    return f"By the number of records in the answer it may be {', or '.join(best)}" if best else ""
