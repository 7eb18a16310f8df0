"""An hourly grid that observations are added to, the latest vintage of each hour winning."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gridtide.entries.entry import Available
from gridtide.errors import TrainingError
from gridtide.observations import table as table_module
from gridtide.observations.array_types import Floats, Integers
from gridtide.observations.availability import NEVER_KNOWN, available_at
from gridtide.observations.series import SeriesNumbers
from gridtide.observations.times import (
    MICROSECONDS_PER_HOUR,
    UNPUBLISHED,
    interval_lengths,
    read_times,
    to_floats,
)
from gridtide.periods import Period, microseconds
from gridtide.training.series.hourly import Hourly, Vintages
from gridtide.training.series.listings import Listing, find_listing, find_midnights, find_unlisted
from gridtide.variables import SeriesName, hourly_rule

OBSERVED = 0.75
"""The share of an hour that shorter intervals must cover for the hour to count as observed."""


FREED_ONCE = 1 << 24
"""Bytes that are taken and freed once: glibc then keeps what is freed up to so much, where it gave each
array of a table's rows back to the kernel, and took it again page by page, for half the time of `HourlyGrid.add`."""

NOT_GATHERED = -1
FIRST_LISTING = -3
"""The numbers of series that are not gathered: those of the first listing, of the next listing -4, and so on. Their
values are dropped, but their readings say what the gathered series of the same listing do not report."""


class _Rows(NamedTuple):
    """Observations as columns (N,): number of the series, times in µs, value."""

    series: Integers
    start: Integers
    length: Integers
    published: Integers
    retrieved: Integers
    available: Integers
    value: Floats
    retrievals: npt.NDArray[np.int32]

    @property
    def end(self) -> Integers:
        return self.start + self.length

    def where(self, chosen: npt.NDArray[Any]) -> _Rows:
        return _Rows(*(column[chosen] for column in self))


@dataclass
class HourlyGrid:
    """Gathers tables of observations into hourly rows of `period`; of each key the latest retrieval wins.

    `selects` says of a series name (`source/location/variable`) whether it is gathered; `names_read` holds
    every name that came by. Tables may come in any order.
    """

    period: Period
    selects: Callable[[str], bool]
    names_read: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._first = microseconds(self.period.start)
        self._steps = self.period.duration // timedelta(hours=1)
        self._names: dict[str, int] = {}
        self._units: list[str] = []
        self._rules: list[str] = []
        self._values = np.empty((0, self._steps))
        self._retrieved = np.empty((0, self._steps), np.int64)
        self._retrieval_counts: dict[tuple[Available, bool], Integers] = {}
        self._latest = UNPUBLISHED
        self._irregular: list[_Rows] = []
        self._listings: dict[Listing, int] = {}
        self._listing_of: list[int] = []
        self._other_readings: list[_Rows] = []
        self._numbers = SeriesNumbers(self._series_number)
        np.empty(FREED_ONCE, np.uint8)

    def add(self, table: pa.Table, available: Available) -> None:
        """Take in `table` (observations, maybe without their constant columns), whose values become available by
        the rule `available`.

        Raises `TrainingError` when a series comes in two units.
        """
        if not table.num_rows:
            return
        rows = self._rows(table)
        end = self._first + self._steps * MICROSECONDS_PER_HOUR
        if rows.series.min() < 0 or rows.start.min() < self._first or rows.start.max() >= end:
            inside = (rows.end >= self._first) & (rows.start < end)
            listed = inside & (rows.series <= FIRST_LISTING)
            if listed.any():
                self._other_readings.append(_distinct_readings(_date_rows(rows.where(listed), available)))
            rows = rows.where(inside & (rows.series >= 0))
        since = rows.start - self._first
        hour = since // MICROSECONDS_PER_HOUR
        whole = (hour * MICROSECONDS_PER_HOUR == since) & (hour >= 0)
        if len(hour) and _least_greatest(rows.length) != (MICROSECONDS_PER_HOUR, MICROSECONDS_PER_HOUR):
            at_start = np.array([rule == "start" for rule in self._rules], bool)
            whole &= (rows.length == MICROSECONDS_PER_HOUR) | ((rows.length == 0) & at_start[rows.series])
        if len(hour) and _least_greatest(rows.published)[1] > UNPUBLISHED:
            whole &= rows.published == UNPUBLISHED
        if whole.all():
            self._scatter_hours(rows, hour, available)
        else:
            self._scatter_hours(rows.where(whole), hour[whole], available)
            self._irregular.append(_date_rows(rows.where(~whole), available))

    def expect(self, series: str, unit: str) -> None:
        """Count `series` (`source/location/variable`) in, missing throughout unless something of it comes.

        Raises `TrainingError` when it came in another unit.
        """
        self._series_number(*SeriesName.parse(series), unit)
        self._make_room()

    def finish(self) -> Hourly:
        """All that was taken in, hourly."""
        count = len(self._names)
        known_rows = np.full((count, self._steps), NEVER_KNOWN, np.int32)
        repeats = -np.count_nonzero(self._retrieved[:count] != UNPUBLISHED, axis=1)
        hours = self._first + np.arange(self._steps) * MICROSECONDS_PER_HOUR
        for (rule, instant), counts in self._retrieval_counts.items():
            row = self._row_of(available_at(rule, hours, hours if instant else hours + MICROSECONDS_PER_HOUR))
            for number in np.flatnonzero(counts):
                already_set = known_rows[number, 0] != NEVER_KNOWN
                known_rows[number] = np.maximum(known_rows[number], row) if already_set else row
            repeats[: len(counts)] += counts.astype(np.int64)
        hourly = Hourly(
            self.period, tuple(self._names), tuple(self._units), self._values[:count], known_rows, {}, repeats
        )
        if self._irregular:
            every = _join_rows(self._irregular)
            irregular = _newest_retrievals(every)
            retrieved = np.bincount(every.series, every.retrievals, count).astype(np.int64)
            repeats += retrieved - np.bincount(irregular.series, minlength=count)
            irregular = self._add_unlisted(irregular)
            at_start = np.array([rule == "start" for rule in self._rules])[irregular.series]
            short = (irregular.length < MICROSECONDS_PER_HOUR) & ~at_start
            self._add_short(hourly, irregular.where(short))
            self._add_long(hourly, irregular.where(~short))
        return hourly

    def _rows(self, table: pa.Table) -> _Rows:
        start = read_times(table, "interval_start")
        return _Rows(
            self._numbers.of(table),
            start,
            interval_lengths(table, start),
            read_times(table, "published_at"),
            read_times(table, "retrieved_at"),
            start,
            to_floats(table["value"]),
            table_module.retrievals(table),
        )

    def _add_unlisted(self, rows: _Rows) -> _Rows:
        """`rows`, the newest of each key, and a 0 for each series of a listing at each reading that does not list it,
        on the days that know it."""
        listing_of, parts = np.array(self._listing_of)[rows.series], [rows]
        for key, number in self._listings.items():
            listing = FIRST_LISTING - number
            members = rows.where((listing_of == listing) & (rows.length == 0))
            other_readings = (readings.where(readings.series == listing) for readings in self._other_readings)
            joined = _join_rows([members, *other_readings])
            readings = _distinct_readings(joined._replace(series=np.full_like(joined.series, listing)))
            midnights = find_midnights(key, self.period)
            for series in np.unique(members.series):
                unlisted = find_unlisted(members.start[members.series == series], readings.start, midnights)
                parts.append(_make_zeros(readings.where(unlisted), int(series)))
        return rows if len(parts) == 1 else _newest_retrievals(_join_rows(parts))

    def _series_number(self, source: str, location: str, variable: str, unit: str) -> int:
        name = str(SeriesName(source, location, variable))
        self.names_read.add(name)
        key = find_listing(source, location, variable)
        listing = NOT_GATHERED if key is None else FIRST_LISTING - self._listings.setdefault(key, len(self._listings))
        if not self.selects(name):
            return listing
        number = self._names.setdefault(name, len(self._names))
        if number == len(self._units):
            self._units.append(unit)
            self._listing_of.append(listing)
            self._rules.append(hourly_rule(source, variable, unit))
        elif self._units[number] != unit:
            raise TrainingError(
                name,
                f"comes in two units, {self._units[number]} and {unit}",
                "Give one of the two entries another location, or leave one out",
            )
        return number

    def _scatter_hours(self, rows: _Rows, hour: Integers, available: Available) -> None:
        """Put whole hours, the `hour`-th of the period each, into their cells, unless what is there was retrieved
        later."""
        self._make_room()
        if not len(hour):
            return
        if (instant := rows.length == 0).any():
            self._count_retrievals(rows.where(~instant), (available, False))
            self._count_retrievals(rows.where(instant), (available, True))
        else:
            self._count_retrievals(rows, (available, False))
        cell = rows.series * self._steps + hour
        oldest, newest = _least_greatest(rows.retrieved)
        if oldest < newest and (rows.retrieved[1:] < rows.retrieved[:-1]).any() and (cell[1:] <= cell[:-1]).any():
            order = np.argsort(rows.retrieved, kind="stable")  # of a cell that comes again the newest is put last
            rows, cell = rows.where(order), cell[order]
        values, retrieved = self._values.reshape(-1), self._retrieved.reshape(-1)
        if oldest < self._latest:  # else nothing that is there was retrieved later
            newer = rows.retrieved >= retrieved[cell]
            if not newer.all():
                rows, cell = rows.where(newer), cell[newer]
        values[cell] = rows.value
        retrieved[cell] = np.ascontiguousarray(rows.retrieved)  # what repeats without memory is put in more slowly
        self._latest = max(self._latest, newest)

    def _count_retrievals(self, rows: _Rows, rule: tuple[Available, bool]) -> None:
        """Count the retrieved observations of each series that become known by `rule`."""
        if not len(rows.start):
            return
        once = _least_greatest(rows.retrievals) == (1, 1)
        counts = np.bincount(rows.series, None if once else rows.retrievals, len(self._names))
        before = self._retrieval_counts.get(rule, counts[:0])
        counts[: len(before)] += before.astype(counts.dtype)
        self._retrieval_counts[rule] = counts

    def _make_room(self) -> None:
        """Make room for series that came since, by doubling."""
        have = len(self._values)
        if have < len(self._names):
            room = max(len(self._names), 2 * have)
            self._values = _extend_rows(self._values, room, np.nan)
            self._retrieved = _extend_rows(self._retrieved, room, UNPUBLISHED)

    def _row_of(self, moment: Integers) -> Integers:
        """The row by whose end `moment` has come."""
        row = -((self._first - moment) // MICROSECONDS_PER_HOUR) - 1
        return np.minimum(row, NEVER_KNOWN - 1)

    def _add_short(self, hourly: Hourly, rows: _Rows) -> None:
        """Sum or average what is shorter than an hour into its hour; of several vintages the latest counts."""
        rows = rows.where(_last_of(rows.series, rows.start, rows.length))
        rows = rows.where(~np.isnan(rows.value) & (rows.start >= self._first))
        cell, where = np.unique(
            rows.series * self._steps + (rows.start - self._first) // MICROSECONDS_PER_HOUR, return_inverse=True
        )
        length = np.where(rows.length == 0, MICROSECONDS_PER_HOUR, rows.length)  # one reading is enough for its hour
        covered = np.bincount(where, length) / MICROSECONDS_PER_HOUR
        average = np.bincount(where, length * rows.value) / MICROSECONDS_PER_HOUR / covered
        total = np.bincount(where, rows.value) / covered  # what the hour would have, were all of it observed
        summed = np.array([rule == "sum" for rule in self._rules])[cell // self._steps]
        latest = np.full(len(cell), UNPUBLISHED)
        np.maximum.at(latest, where, rows.available)
        enough = covered >= OBSERVED
        hourly.values.reshape(-1)[cell[enough]] = np.where(summed, total, average)[enough]
        hourly.known_row.reshape(-1)[cell[enough]] = self._row_of(latest[enough])

    def _add_long(self, hourly: Hourly, rows: _Rows) -> None:
        """Repeat each value over the hours that start in its interval; published ones become vintages."""
        first = np.maximum(-((self._first - rows.start) // MICROSECONDS_PER_HOUR), 0)
        last = np.minimum(-((self._first - np.maximum(rows.end, rows.start + 1)) // MICROSECONDS_PER_HOUR), self._steps)
        times = np.maximum(last - first, 0)
        row = np.arange(times.sum()) + np.repeat(first - np.cumsum(times) + times, times)
        rows = rows.where(np.repeat(np.arange(len(times)), times))
        known_rows = self._row_of(rows.available)
        dated = np.isin(rows.series, rows.series[rows.published != UNPUBLISHED])
        for number in np.unique(rows.series[dated]):
            mine = rows.series == number
            hourly.vintages[int(number)] = self._collect_vintages(
                hourly, int(number), row[mine], known_rows[mine], rows.where(mine)
            )
        absent = ~dated & np.isnan(hourly.values[rows.series, row])
        hourly.values[rows.series[absent], row[absent]] = rows.value[absent]
        hourly.known_row[rows.series[absent], row[absent]] = known_rows[absent]

    def _collect_vintages(
        self, hourly: Hourly, number: int, row: Integers, known_rows: Integers, rows: _Rows
    ) -> Vintages:
        """All versions of series `number`, those without a publication time before the others."""
        plain = np.flatnonzero(~np.isnan(hourly.values[number]))
        row = np.concatenate([plain, row])
        known_rows = np.concatenate([hourly.known_row[number, plain], known_rows])
        value = np.concatenate([hourly.values[number, plain], rows.value])
        published = np.concatenate([np.full(len(plain), UNPUBLISHED), rows.published])
        order = np.lexsort((published, known_rows))
        hourly.values[number, row[order]] = value[order]
        hourly.known_row[number, row[order]] = known_rows[order]
        return Vintages(row[order], known_rows[order], value[order])


def _extend_rows(array: npt.NDArray[Any], length: int, fill: float) -> npt.NDArray[Any]:
    """`array` with `fill` in as many items more as make it `length` long."""
    longer = np.empty((length, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    longer[len(array) :] = fill
    return longer


def _least_greatest(column: npt.NDArray[np.signedinteger[Any]]) -> tuple[int, int]:
    """The least and the greatest of `column`, which is not empty; of what is the same in every row at once."""
    distinct = column if column.strides[0] else column[:1]
    return int(distinct.min()), int(distinct.max())


def _join_rows(parts: Iterable[_Rows]) -> _Rows:
    """The rows of `parts`, one after the other."""
    return _Rows(*map(np.concatenate, zip(*parts, strict=True)))


def _date_rows(rows: _Rows, available: Available) -> _Rows:
    """`rows` with the time at which each is available: when it was published, else by the rule `available`."""
    by_rule = available_at(available, rows.start, rows.end)
    return rows._replace(available=np.where(rows.published == UNPUBLISHED, by_rule, rows.published))


def _distinct_readings(rows: _Rows) -> _Rows:
    """The readings (instants) among `rows`: of several with one number and start the first to be available."""
    rows = rows.where(rows.length == 0)
    rows = rows.where(np.lexsort((-rows.available, rows.start, rows.series)))
    return rows.where(_last_of(rows.series, rows.start))


def _make_zeros(readings: _Rows, series: int) -> _Rows:
    """A 0 of `series` at each of `readings`."""
    return readings._replace(series=np.full_like(readings.series, series), value=np.zeros_like(readings.value))


def _newest_retrievals(rows: _Rows) -> _Rows:
    """The latest retrieval of each key, sorted by series, start, end and publication."""
    rows = rows.where(np.lexsort((rows.retrieved, rows.published, rows.length, rows.start, rows.series)))
    return rows.where(_last_of(rows.series, rows.start, rows.length, rows.published))


def _last_of(*keys: Integers) -> npt.NDArray[np.bool_]:
    """Which of the sorted rows is the last with its keys; shape (N,)."""
    last = np.ones(len(keys[0]), bool)
    last[:-1] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    return last
