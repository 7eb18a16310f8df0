"""Which series tables hold, and on which days each of them begins and ends."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import product

import numpy as np
import pyarrow as pa

from gridtide.observations import times
from gridtide.observations.array_types import Integers
from gridtide.observations.series import SeriesNumbers
from gridtide.periods import EPOCH, Period

_DAY = timedelta(days=1)

_MOST_CELLS = 1 << 22
"""Series times days that are counted in one array; a table of more is looked at by sorting."""

SERIES_SHOWN = 5
"""How many series a message names."""

SeriesLabel = tuple[str, str]
"""A location and a variable, of which one source and unit are the same in all files of an entry."""


class SeriesDays:
    """The series of tables that are taken in one after the other, with the first and the last day (UTC) of each."""

    def __init__(self) -> None:
        self.names: list[SeriesLabel] = []
        self._first_days: Integers = np.empty(0, np.int64)
        self._last_days: Integers = np.empty(0, np.int64)
        self._codes: dict[SeriesLabel, int] = {}
        self._numbers = SeriesNumbers(self._number)

    def add(self, table: pa.Table) -> None:
        """Take in the observations `table`."""
        if not table.num_rows:
            return
        series = self._numbers.of(table)
        days = times.to_microseconds(table["interval_start"]) // (_DAY // timedelta(microseconds=1))
        origin, width = int(days.min()), int(days.max() - days.min()) + 1
        cells = series * width + (days - origin)
        few = len(self.names) * width <= _MOST_CELLS
        present, offsets = np.divmod(np.flatnonzero(np.bincount(cells)) if few else np.unique(cells), width)
        numbers, places = np.unique(present, return_index=True)
        self._make_room()
        first_days, last_days = offsets[places] + origin, offsets[np.append(places[1:], len(present)) - 1] + origin
        self._first_days[numbers] = np.minimum(self._first_days[numbers], first_days)
        self._last_days[numbers] = np.maximum(self._last_days[numbers], last_days)

    def _make_room(self) -> None:
        limits, added = np.iinfo(np.int64), len(self.names) - len(self._first_days)
        self._first_days = np.append(self._first_days, np.full(added, limits.max))
        self._last_days = np.append(self._last_days, np.full(added, limits.min))

    def begin_or_end(self, period: Period) -> tuple[dict[SeriesLabel, datetime], dict[SeriesLabel, datetime]]:
        """The series that begin within the whole days (UTC) of `period`, with the day of their first interval, and
        those that end within them, with the day of their last.

        Days at its bounds on which no series has an interval say nothing; nor does a series that begins and ends
        within `period`, as a fuel does that is burnt now and then.
        """
        first, last = _list_whole_days(period)
        within = (self._first_days <= last) & (self._last_days >= first)
        if not within.any():
            return {}, {}
        first = max(first, int(self._first_days[within].min()))
        last = min(last, int(self._last_days[within].max()))
        begins = (self._first_days > first) & (self._first_days <= last) & (self._last_days >= last)
        ends = (self._last_days < last) & (self._last_days >= first) & (self._first_days <= first)
        return self._dates(begins, self._first_days), self._dates(ends, self._last_days)

    def _dates(self, chosen: np.ndarray, days: Integers) -> dict[SeriesLabel, datetime]:
        return {self.names[number]: EPOCH + int(days[number]) * _DAY for number in np.flatnonzero(chosen)}

    def _number(self, _source: str, location: str, variable: str, _unit: str) -> int:
        name = location, variable
        if name not in self._codes:
            self._codes[name] = len(self.names)
            self.names.append(name)
        return self._codes[name]


def _list_whole_days(period: Period) -> tuple[int, int]:
    """The number since 1970 of the first and the last day (UTC) that lie wholly within `period`."""
    return -((EPOCH - period.start) // _DAY), (period.end - EPOCH) // _DAY - 1


def encode_series(names: Collection[SeriesLabel]) -> str:
    """`names` as text for a footer, independent of their order: locations with the same variables share a line of them.

    >>> encode_series([("ISNE", "demand"), ("CISO", "demand")])
    '[[["demand"], ["CISO", "ISNE"]]]'
    """
    variables: dict[str, set[str]] = {}
    for location, variable in names:
        variables.setdefault(location, set()).add(variable)
    groups: dict[tuple[str, ...], list[str]] = {}
    for location in sorted(variables):
        groups.setdefault(tuple(sorted(variables[location])), []).append(location)
    return json.dumps([[list(shared), locations] for shared, locations in sorted(groups.items())])


def decode_series(text: str) -> set[SeriesLabel]:
    """The inverse of `encode_series`; nothing for an empty text. Raises `ValueError` where it is none of these."""
    try:
        groups = json.loads(text) if text else []
        return {name for variables, locations in groups for name in product(locations, variables)}
    except TypeError as error:
        raise ValueError(f"{text[:60]!r} lists no series") from error


def describe_series(names: Collection[SeriesLabel]) -> str:
    """The first of `names` in order, as `location/variable`."""
    return _list_first(["/".join(name) for name in sorted(names)])


def describe_days(days: Mapping[SeriesLabel, datetime]) -> str:
    """The same with the day of each."""
    return _list_first([f"{'/'.join(name)} on {days[name]:%Y-%m-%d}" for name in sorted(days)])


def _list_first(texts: Sequence[str]) -> str:
    listed = ", ".join(texts[:SERIES_SHOWN])
    return f"{listed} and {len(texts) - SERIES_SHOWN} more" if len(texts) > SERIES_SHOWN else listed
