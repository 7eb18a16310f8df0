"""Observations as an entry's aliases and shifts correct them, and a record of what they corrected.

stored rows ─► names by aliases ─► starts by shifts ─┬─► within their stretch ─────────────────────┐
                                                     └─► beyond its edge, unless a row is there ───┴─► read
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from gridtide.curated.renaming import rename_series
from gridtide.entries.entry import Entry
from gridtide.observations.array_types import Integers, Mask
from gridtide.observations.arrays import from_numpy
from gridtide.observations.constant_columns import add_constants
from gridtide.observations.series import SeriesNumbers
from gridtide.observations.table import REPORTED_START
from gridtide.observations.times import read_times
from gridtide.periods import Period, count_microseconds, microseconds
from gridtide.variables import SeriesName

Place = tuple[str, int]
"""The name of a series, and the start of an interval in µs since 1970."""


@dataclass
class Corrections:
    """What reading corrected, by entry and by the number of its shift or alias.

    `shifted_series` and `renamed_series`: the series, as they are read, of which rows in the period were corrected.
    `displaced_places`: the places of shifted rows that are left out, because the upstream reports another row there.
    """

    shifted_series: dict[tuple[str, int], set[str]] = field(default_factory=lambda: defaultdict(set))
    renamed_series: dict[tuple[str, int], set[str]] = field(default_factory=lambda: defaultdict(set))
    displaced_places: dict[tuple[str, int], set[Place]] = field(default_factory=lambda: defaultdict(set))

    def describe(self, entries: Mapping[str, Entry]) -> dict[str, list[dict[str, Any]]]:
        """Returns a record, JSON-able, of each corrected series, by kind of correction.

        `shifts`: `entry`, `series` as it is read, `by`, `from`, `until`, and the number of places `displaced`.
        `aliases`: `entry`, `series` as it is read, and `from`, `to`, `since` and `before` of the alias.
        """
        return {"shifts": self._list_shifts(entries), "aliases": self._list_aliases(entries)}

    def _list_shifts(self, entries: Mapping[str, Entry]) -> list[dict[str, Any]]:
        records = []
        for (name, number), series_names in self.shifted_series.items():
            shift = entries[name].shifts[number]
            bounds = {"by": shift.text, "from": shift.since, "until": shift.until}
            for series in series_names:
                displaced_count = sum(place[0] == series for place in self.displaced_places.get((name, number), ()))
                records.append({"entry": name, "series": series, **bounds, "displaced": displaced_count})
        return records

    def _list_aliases(self, entries: Mapping[str, Entry]) -> list[dict[str, Any]]:
        return [
            {"entry": name, "series": series, **msgspec.to_builtins(entries[name].aliases[number])}
            for (name, number), series_names in self.renamed_series.items()
            for series in series_names
        ]


class EntryCorrector:
    """Corrects tables of observations of `entry`, and records in `corrections` what changed in `period`.

    A row that a shift moves beyond the edge of its stretch is returned last, by `release_edges`, and only if no table
    has a row of the same series at that place.
    """

    def __init__(self, entry: Entry, period: Period, corrections: Corrections) -> None:
        self._entry, self._corrections = entry, corrections
        self._start, self._end = microseconds(period.start), microseconds(period.end)
        self._bounds = [tuple(map(microseconds, shift.bounds)) for shift in entry.shifts]
        self._lengths = np.array([count_microseconds(shift.by) for shift in entry.shifts], np.int64)
        self._stored_names = _SeriesNames()
        self._read_names = _SeriesNames()
        self._reported: set[Place] = set()
        self._edges: list[tuple[pa.Table, Integers]] = []

    def correct(self, table: pa.Table) -> pa.Table:
        """Returns `table` (observations, maybe without their constant columns) with its series renamed and its starts
        shifted, without rows that are moved beyond an edge."""
        if not table.num_rows or not (self._entry.aliases or self._entry.shifts):
            return table
        start = read_times(table, "interval_start")
        shift_numbers = self._choose_shifts(table, start)
        renamed_rows: dict[int, Mask] = {}
        table = rename_series(table, self._entry.aliases, renamed_rows)
        for number, chosen_rows in renamed_rows.items():
            renamed = self._corrections.renamed_series[self._entry.name, number]
            renamed |= self._name_series(table, chosen_rows & self._lies_inside(start))
        if not self._entry.shifts:
            return table
        is_shifted = shift_numbers >= 0
        if not is_shifted.any():
            self._note_reported(table, start)
            return table
        table, moved_start = self._move_rows(table, start, shift_numbers)
        self._note_shifted(table, moved_start, shift_numbers)
        since, until = (np.array(bounds, np.int64)[shift_numbers] for bounds in zip(*self._bounds, strict=True))
        is_beyond = is_shifted & ((moved_start < since) | (moved_start >= until))
        if is_beyond.any():
            self._edges.append((table.filter(pa.array(is_beyond)), shift_numbers[is_beyond]))
            table, moved_start = table.filter(pa.array(~is_beyond)), moved_start[~is_beyond]
        self._note_reported(table, moved_start)
        return table

    def release_edges(self) -> Iterator[pa.Table]:
        """Yields the rows that were moved beyond an edge and meet no other row, after all tables were corrected."""
        for table, shift_numbers in self._edges:
            places = self._list_places(table, read_times(table, "interval_start"))
            has_place = np.array([place not in self._reported for place in places], bool)
            for number, place, is_free in zip(shift_numbers.tolist(), places, has_place.tolist(), strict=True):
                if not is_free and self._start <= place[1] < self._end:
                    self._corrections.displaced_places[self._entry.name, number].add(place)
            if has_place.any():
                yield table.filter(pa.array(has_place))

    def _choose_shifts(self, table: pa.Table, start: Integers) -> Integers:
        """Returns the number of the shift of each row, shape (rows,); −1 for rows that stay where they are."""
        shift_numbers = np.full(table.num_rows, -1)
        series_numbers = self._stored_names.number_rows(table) if self._entry.shifts else shift_numbers
        for number, shift in enumerate(self._entry.shifts):
            concerned = np.array([shift.concerns(name) for name in self._stored_names.names], bool)[series_numbers]
            since, until = self._bounds[number]
            shift_numbers[concerned & (start >= since) & (start < until) & (shift_numbers < 0)] = number
        return shift_numbers

    def _move_rows(self, table: pa.Table, start: Integers, shift_numbers: Integers) -> tuple[pa.Table, Integers]:
        """Returns `table` with its intervals moved, and their starts; with `reported_start`, if some become earlier."""
        table = add_constants(table)
        moves = np.where(shift_numbers >= 0, self._lengths[shift_numbers], 0)
        for name in ("interval_start", "interval_end"):
            index = table.schema.get_field_index(name)
            column_field = table.schema.field(index)
            table = table.set_column(
                index, column_field, from_numpy(read_times(table, name) + moves, column_field.type)
            )
        if (moves < 0).any():
            table = table.append_column(REPORTED_START, from_numpy(np.array(start), REPORTED_START.type))
        return table, start + moves

    def _note_shifted(self, table: pa.Table, moved_start: Integers, shift_numbers: Integers) -> None:
        is_inside = self._lies_inside(moved_start)
        for number in np.unique(shift_numbers[shift_numbers >= 0]).tolist():
            shifted = self._corrections.shifted_series[self._entry.name, number]
            shifted |= self._name_series(table, is_inside & (shift_numbers == number))

    def _note_reported(self, table: pa.Table, start: Integers) -> None:
        """Remembers the rows of `table` at places to which rows may be moved beyond an edge."""
        is_near = np.zeros(table.num_rows, bool)
        for (since, until), length in zip(self._bounds, self._lengths.tolist(), strict=True):
            edge = (until, until + length) if length > 0 else (since + length, since)
            is_near |= (start >= edge[0]) & (start < edge[1])
        if is_near.any():
            self._reported |= set(self._list_places(table.filter(pa.array(is_near)), start[is_near]))

    def _list_places(self, table: pa.Table, start: Integers) -> list[Place]:
        numbers = self._read_names.number_rows(table)
        return [
            (self._read_names.names[number], at) for number, at in zip(numbers.tolist(), start.tolist(), strict=True)
        ]

    def _name_series(self, table: pa.Table, chosen_rows: Mask) -> set[str]:
        numbers = self._read_names.number_rows(table)
        return {self._read_names.names[number] for number in np.unique(numbers[chosen_rows]).tolist()}

    def _lies_inside(self, start: Integers) -> Mask:
        return (start >= self._start) & (start < self._end)


class _SeriesNames:
    """Numbers series by name, whatever their unit; `names` in the order of their numbers."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._numbers_by_name: dict[str, int] = {}
        self._numbers = SeriesNumbers(self._number)

    def number_rows(self, table: pa.Table) -> Integers:
        """Returns the number of the series of each row, shape (rows,)."""
        return self._numbers.of(table)

    def _number(self, source: str, location: str, variable: str, _unit: str) -> int:
        name = str(SeriesName(source, location, variable))
        number = self._numbers_by_name.setdefault(name, len(self.names))
        if number == len(self.names):
            self.names.append(name)
        return number
