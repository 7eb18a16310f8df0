"""The series in tables, and the days on which each of them begins and ends."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from itertools import product

import numpy as np
import pyarrow as pa

from gridtide.errors import list_first
from gridtide.observations import times
from gridtide.observations.array_types import Integers
from gridtide.observations.series import SeriesNumbers
from gridtide.periods import EPOCH, Period, count_microseconds

_DAY = timedelta(days=1)

_MOST_CELLS = 1 << 22
"""The most cells (series times days) that are counted in one array; larger tables are sorted instead."""

SERIES_SHOWN = 5
"""The most series that a message names."""

SeriesLabel = tuple[str, str]
"""A location and a variable; source and unit are the same in all files of an entry."""


class SeriesDays:
    """The series of tables that are added one after the other, with the first and the last day (UTC) of each."""

    def __init__(self) -> None:
        self.names: list[SeriesLabel] = []
        self._first_days: Integers = np.empty(0, np.int64)
        self._last_days: Integers = np.empty(0, np.int64)
        self._codes: dict[SeriesLabel, int] = {}
        self._numbers = SeriesNumbers(self._number)

    def add(self, table: pa.Table) -> None:
        """Adds the observations `table`."""
        if not table.num_rows:
            return
        series = self._numbers.of(table)
        days = times.to_microseconds(table["interval_start"]) // count_microseconds(_DAY)
        origin, width = int(days.min()), int(days.max() - days.min()) + 1
        cell_numbers = series * width + (days - origin)
        is_countable = len(self.names) * width <= _MOST_CELLS
        series_numbers, offsets = np.divmod(
            np.flatnonzero(np.bincount(cell_numbers)) if is_countable else np.unique(cell_numbers), width
        )
        series_starts = np.flatnonzero(np.diff(series_numbers, prepend=-1))  # they are sorted
        numbers = series_numbers[series_starts]
        self._make_room()
        first_days, last_days = (
            offsets[series_starts] + origin,
            offsets[np.append(series_starts[1:], len(series_numbers)) - 1] + origin,
        )
        self._first_days[numbers] = np.minimum(self._first_days[numbers], first_days)
        self._last_days[numbers] = np.maximum(self._last_days[numbers], last_days)

    def _make_room(self) -> None:
        limits, added = np.iinfo(np.int64), len(self.names) - len(self._first_days)
        self._first_days = np.append(self._first_days, np.full(added, limits.max))
        self._last_days = np.append(self._last_days, np.full(added, limits.min))

    def begin_or_end(self, period: Period) -> tuple[dict[SeriesLabel, datetime], dict[SeriesLabel, datetime]]:
        """Returns the series that begin within the whole days (UTC) of `period`, with the day of their first interval,
        and the series that end within them, with the day of their last interval.

        Days at its bounds on which no series has an interval are ignored; so is a series that begins and ends within
        `period`, such as that of a fuel that is burnt only occasionally.
        """
        first_day, last_day = _list_whole_days(period)
        is_within = (self._first_days <= last_day) & (self._last_days >= first_day)
        if not is_within.any():
            return {}, {}
        first_day = max(first_day, int(self._first_days[is_within].min()))
        last_day = min(last_day, int(self._last_days[is_within].max()))
        begins = (self._first_days > first_day) & (self._first_days <= last_day) & (self._last_days >= last_day)
        ends = (self._last_days < last_day) & (self._last_days >= first_day) & (self._first_days <= first_day)
        return self._dates(begins, self._first_days), self._dates(ends, self._last_days)

    def _dates(self, is_listed: np.ndarray, days: Integers) -> dict[SeriesLabel, datetime]:
        return {self.names[number]: EPOCH + int(days[number]) * _DAY for number in np.flatnonzero(is_listed)}

    def _number(self, _source: str, location: str, variable: str, _unit: str) -> int:
        name = location, variable
        if name not in self._codes:
            self._codes[name] = len(self.names)
            self.names.append(name)
        return self._codes[name]


def _list_whole_days(period: Period) -> tuple[int, int]:
    """Returns the number since 1970 of the first and the last day (UTC) that lie completely within `period`."""
    return -((EPOCH - period.start) // _DAY), (period.end - EPOCH) // _DAY - 1


def encode_series(names: Collection[SeriesLabel]) -> str:
    """Encodes `names` as text for a footer, independent of their order; locations with the same variables share a list
    of them.

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
    """Decodes the output of `encode_series`; an empty text gives no series. Raises `ValueError` for any other text."""
    try:
        groups = json.loads(text) if text else []
        return {name for variables, locations in groups for name in product(locations, variables)}
    except TypeError as error:
        raise ValueError(f"{text[:60]!r} lists no series") from error


def describe_series(names: Collection[SeriesLabel]) -> str:
    """Lists the first of `names` in order, as `location/variable`."""
    return list_first(map("/".join, sorted(names)), SERIES_SHOWN)


def describe_days(days: Mapping[SeriesLabel, datetime]) -> str:
    """Lists the first series in order, as `location/variable`, each with its day."""
    return list_first([f"{'/'.join(name)} on {days[name]:%Y-%m-%d}" for name in sorted(days)], SERIES_SHOWN)
