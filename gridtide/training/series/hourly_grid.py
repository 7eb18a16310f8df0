"""An hourly grid that tables of observations are added to; the latest vintage of each hour counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gridtide.entries.entry import Available
from gridtide.observations import table as table_module
from gridtide.observations.array_types import Floats, Integers, Mask
from gridtide.observations.availability import NEVER_KNOWN, available_at
from gridtide.observations.series import SeriesNumbers
from gridtide.observations.table import REPORTED_START
from gridtide.observations.times import (
    MICROSECONDS_PER_HOUR,
    UNPUBLISHED,
    measure_intervals,
    read_times,
    to_floats,
)
from gridtide.periods import EPOCH, HOUR, Period, microseconds
from gridtide.sources.registry import find_hourly_rule
from gridtide.training.series.hourly import Hourly, Vintages
from gridtide.training.series.listings import Listing, find_listing, find_midnights, find_unlisted
from gridtide.training.series.units import NameUnit, UnitJoin, plan_join
from gridtide.variables import SeriesName

OBSERVED = 0.75
"""Shorter intervals must cover at least this share of an hour for it to count as observed."""


FREED_ONCE = 1 << 24
"""Bytes that are allocated and freed once. glibc then keeps freed memory up to this size. Without it, glibc returned
each array of a table's rows to the kernel and took it back page by page, which took half the time of
`HourlyGrid.add`."""

NEVER = (1 << 63) - 1
"""The start of a series without observations, in µs since 1970."""

NOT_GATHERED = -1
FIRST_LISTING = -3
"""The numbers of series that are not gathered: this one for the first listing, -4 for the next, and so on. Their values
are dropped, but their readings tell at which times the gathered series of the same listing were not reported."""


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
    reported: Integers
    """The start as the upstream labels it, later than `start` if a shift makes it earlier."""

    @property
    def end(self) -> Integers:
        return self.start + self.length

    def where(self, mask: npt.NDArray[Any]) -> _Rows:
        return _Rows(*(column[mask] for column in self))


@dataclass
class HourlyGrid:
    """Gathers tables of observations into hourly rows of `period`; of each key the latest retrieval counts.

    `selects` tells whether a series (`source/location/variable`) is gathered; `names_read` contains the names of all
    series in the tables. Tables may be added in any order.

    Rows are as long as `resolution` if it divides an hour; energy over a longer interval is then divided among its
    rows, and a reading counts for the rows of an hour, until the next one. For a `resolution` of days, rows are hours
    that `coarsen_hours` joins, with energy divided so too.
    """

    period: Period
    selects: Callable[[str], bool]
    names_read: set[str] = field(default_factory=set)
    resolution: timedelta = HOUR

    def __post_init__(self) -> None:
        self._first = microseconds(self.period.start)
        self._step = min(self.resolution, HOUR)
        self._length = microseconds(EPOCH + self._step)
        self._steps = self.period.duration // self._step
        self._series: dict[NameUnit, int] = {}
        self._expected: dict[str, str] = {}
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
        """Adds `table` (observations, with or without their constant columns), whose values become available by the
        rule `available`.
        """
        if not table.num_rows:
            return
        rows = self._rows(table)
        period_end = self._first + self._steps * self._length
        if rows.series.min() < 0 or rows.start.min() < self._first or rows.start.max() >= period_end:
            is_inside = (rows.end >= self._first) & (rows.start < period_end)
            is_listed = is_inside & (rows.series <= FIRST_LISTING)
            if is_listed.any():
                self._other_readings.append(_distinct_readings(_date_rows(rows.where(is_listed), available)))
            rows = rows.where(is_inside & (rows.series >= 0))
        time_since_start = rows.start - self._first
        hour_indices = time_since_start // self._length
        is_whole_hour = (hour_indices * self._length == time_since_start) & (hour_indices >= 0)
        if len(hour_indices) and _least_greatest(rows.length) != (self._length, self._length):
            at_start = np.array([rule == "start" for rule in self._rules], bool)
            is_whole_hour &= (rows.length == self._length) | ((rows.length == 0) & at_start[rows.series])
        if self._step < HOUR:
            is_whole_hour &= rows.length > 0  # a reading counts for more than one row
        if REPORTED_START.name in table.column_names:
            is_whole_hour &= rows.reported <= rows.start  # others are available later than by the rule of their hour
        if len(hour_indices) and _least_greatest(rows.published)[1] > UNPUBLISHED:
            is_whole_hour &= rows.published == UNPUBLISHED
        if is_whole_hour.all():
            self._scatter_hours(rows, hour_indices, available)
        else:
            self._scatter_hours(rows.where(is_whole_hour), hour_indices[is_whole_hour], available)
            self._irregular.append(_date_rows(rows.where(~is_whole_hour), available))

    def expect(self, series: str, unit: str) -> None:
        """Includes `series` (`source/location/variable`) in `unit`; it is missing where no values are added."""
        self._expected[series] = unit
        if not any(name == series for name, _ in self._series):
            self._series_number(*SeriesName.parse(series), unit)
        self._make_room()

    def finish(self) -> Hourly:
        """Returns the hourly values of everything that was added, each series in one unit."""
        join = plan_join(self._series, self._earliest_starts(), self._expected)
        refused = self._join_units(join) if join.changes else {}
        series_count = len(join.names)
        known_rows = np.full((series_count, self._steps), NEVER_KNOWN, np.int32)
        repeats = -np.count_nonzero(self._retrieved[:series_count] != UNPUBLISHED, axis=1)
        hours = self._first + np.arange(self._steps) * self._length
        for (rule, instant), counts in self._retrieval_counts.items():
            known_row = self._row_of(available_at(rule, hours, hours if instant else hours + self._length))
            for number in np.flatnonzero(counts):
                already_set = known_rows[number, 0] != NEVER_KNOWN
                known_rows[number] = np.maximum(known_rows[number], known_row) if already_set else known_row
            repeats[: len(counts)] += counts.astype(np.int64)
        hourly = Hourly(
            self.period, join.names, join.units, self._values[:series_count], known_rows, {}, repeats, step=self._step
        )
        if self._irregular:
            all_rows = _join_rows(self._irregular)
            irregular = _newest_retrievals(all_rows)
            retrieved = np.bincount(all_rows.series, all_rows.retrievals, series_count).astype(np.int64)
            repeats += retrieved - np.bincount(irregular.series, minlength=series_count)
            irregular = self._add_unlisted(irregular)
            at_start = np.array([rule == "start" for rule in self._rules])[irregular.series]
            is_short = (irregular.length < self._length) & ~at_start
            self._add_short(hourly, irregular.where(is_short))
            self._add_long(hourly, irregular.where(~is_short))
        missing = {number: mask & np.isnan(hourly.values[number]) for number, mask in refused.items()}
        hourly.refused.update({number: mask for number, mask in missing.items() if mask.any()})
        return hourly

    def _rows(self, table: pa.Table) -> _Rows:
        start = read_times(table, "interval_start")
        return _Rows(
            self._numbers.of(table),
            start,
            measure_intervals(table, start),
            read_times(table, "published_at"),
            read_times(table, "retrieved_at"),
            start,
            to_floats(table["value"]),
            table_module.retrievals(table),
            read_times(table, REPORTED_START.name) if REPORTED_START.name in table.column_names else start,
        )

    def _add_unlisted(self, rows: _Rows) -> _Rows:
        """Returns `rows`, the newest of each key, with a 0 for each series of a listing at each reading that does not
        list it, on days that list it."""
        listing_of, row_sets = np.array(self._listing_of)[rows.series], [rows]
        for listing_key, number in self._listings.items():
            listing = FIRST_LISTING - number
            members = rows.where((listing_of == listing) & (rows.length == 0))
            other_readings = (readings.where(readings.series == listing) for readings in self._other_readings)
            joined = _join_rows([members, *other_readings])
            readings = _distinct_readings(joined._replace(series=np.full_like(joined.series, listing)))
            midnights = find_midnights(listing_key, self.period)
            for series in np.unique(members.series):
                unlisted = find_unlisted(members.start[members.series == series], readings.start, midnights)
                row_sets.append(_make_zeros(readings.where(unlisted), int(series)))
        return rows if len(row_sets) == 1 else _newest_retrievals(_join_rows(row_sets))

    def _series_number(self, source: str, location: str, variable: str, unit: str) -> int:
        name = str(SeriesName(source, location, variable))
        self.names_read.add(name)
        listing_key = find_listing(source, location, variable)
        listing = (
            NOT_GATHERED
            if listing_key is None
            else FIRST_LISTING - self._listings.setdefault(listing_key, len(self._listings))
        )
        if not self.selects(name):
            return listing
        number = self._series.setdefault(NameUnit(name, unit), len(self._series))
        if number == len(self._rules):
            self._listing_of.append(listing)
            self._rules.append(find_hourly_rule(source, variable, unit))
        return number

    def _earliest_starts(self) -> Integers:
        """Returns when the first observation of each series by name and unit begins, shape (N,), in µs; 0 for all if
        each series has one unit."""
        count = len(self._series)
        if len({name for name, _ in self._series}) == count:
            return np.zeros(count, np.int64)
        observed = self._retrieved[:count] != UNPUBLISHED
        first_starts = self._first + np.argmax(observed, axis=1) * self._length
        earliest = np.where(observed.any(axis=1), first_starts, NEVER)
        for rows in self._irregular:
            reaches = np.maximum(rows.end, rows.start + 1) > self._first  # an interval may end where the period starts
            np.minimum.at(earliest, rows.series[reaches], rows.start[reaches])
        return earliest

    def _join_units(self, join: UnitJoin) -> dict[int, Mask]:
        """Joins the series by name and unit to series by name, as `join` states. Returns, by series number, the hours
        (T,) with an observation that is left out, because its unit has another dimension."""
        count = len(join.names)
        values, retrieved = self._values[join.first], self._retrieved[join.first]
        refused: dict[int, Mask] = defaultdict(lambda: np.zeros(self._steps, bool))
        for number, (joined_number, factor, offset) in enumerate(
            zip(join.number, join.factor, join.offset, strict=True)
        ):
            is_newer = self._retrieved[number] > retrieved[joined_number]
            is_newer |= (self._retrieved[number] == retrieved[joined_number]) & (number == join.first[joined_number])
            values[joined_number, is_newer] = self._values[number, is_newer] * factor + offset
            retrieved[joined_number, is_newer] = self._retrieved[number, is_newer]
            if join.conversions[number] is None:
                refused[int(joined_number)] |= is_newer & (self._retrieved[number] != UNPUBLISHED)
        for rows in self._irregular:
            hours = (rows.start - self._first) // self._length
            left_out = np.isnan(join.factor[rows.series]) & (hours >= 0)
            for joined_number, hour in zip(join.number[rows.series[left_out]], hours[left_out], strict=True):
                refused[int(joined_number)][hour] = True
        self._values, self._retrieved = values, retrieved
        self._irregular = [
            rows._replace(
                series=join.number[rows.series], value=rows.value * join.factor[rows.series] + join.offset[rows.series]
            )
            for rows in self._irregular
        ]
        self._retrieval_counts = {
            rule: np.bincount(join.number[: len(counts)], counts, count).astype(np.int64)
            for rule, counts in self._retrieval_counts.items()
        }
        self._rules = [self._rules[number] for number in join.first]
        self._listing_of = [self._listing_of[number] for number in join.first]
        return refused

    def _scatter_hours(self, rows: _Rows, hour: Integers, available: Available) -> None:
        """Writes whole hours into their cells (the `hour`-th of the period each), unless the cell was retrieved
        later."""
        self._make_room()
        if not len(hour):
            return
        if (is_instant := rows.length == 0).any():
            self._count_retrievals(rows.where(~is_instant), (available, False))
            self._count_retrievals(rows.where(is_instant), (available, True))
        else:
            self._count_retrievals(rows, (available, False))
        cells = rows.series * self._steps + hour
        oldest, newest = _least_greatest(rows.retrieved)
        if oldest < newest and (rows.retrieved[1:] < rows.retrieved[:-1]).any() and (cells[1:] <= cells[:-1]).any():
            # If a cell occurs twice, the newest value is written last.
            retrieval_order = np.argsort(rows.retrieved, kind="stable")
            rows, cells = rows.where(retrieval_order), cells[retrieval_order]
        values, retrieved = self._values.reshape(-1), self._retrieved.reshape(-1)
        if oldest < self._latest:  # else no cell was retrieved later
            is_newer = rows.retrieved >= retrieved[cells]
            if not is_newer.all():
                rows, cells = rows.where(is_newer), cells[is_newer]
        values[cells] = rows.value
        retrieved[cells] = np.ascontiguousarray(rows.retrieved)  # a broadcast array is written more slowly
        self._latest = max(self._latest, newest)

    def _count_retrievals(self, rows: _Rows, rule: tuple[Available, bool]) -> None:
        """Counts the retrieved observations of each series that become known by `rule`."""
        if not len(rows.start):
            return
        retrieved_once = _least_greatest(rows.retrievals) == (1, 1)
        counts = np.bincount(rows.series, None if retrieved_once else rows.retrievals, len(self._series))
        earlier_counts = self._retrieval_counts.get(rule, counts[:0])
        counts[: len(earlier_counts)] += earlier_counts.astype(counts.dtype)
        self._retrieval_counts[rule] = counts

    def _make_room(self) -> None:
        """Doubles the arrays until they have room for all series."""
        row_count = len(self._values)
        if row_count < len(self._series):
            new_row_count = max(len(self._series), 2 * row_count)
            self._values = _extend_rows(self._values, new_row_count, np.nan)
            self._retrieved = _extend_rows(self._retrieved, new_row_count, UNPUBLISHED)

    def _row_of(self, moment: Integers) -> Integers:
        """Returns the row by whose end `moment` has passed."""
        row = -((self._first - moment) // self._length) - 1
        return np.minimum(row, NEVER_KNOWN - 1)

    def _add_short(self, hourly: Hourly, rows: _Rows) -> None:
        """Sums or averages intervals shorter than an hour into their hour; of several vintages the latest counts."""
        rows = rows.where(_last_of(rows.series, rows.start, rows.length))
        rows = rows.where(~np.isnan(rows.value) & (rows.start >= self._first))
        cells, cell_index = np.unique(
            rows.series * self._steps + (rows.start - self._first) // self._length, return_inverse=True
        )
        length = np.where(rows.length == 0, self._length, rows.length)  # a single reading covers its hour
        covered = np.bincount(cell_index, length) / self._length
        averages = np.bincount(cell_index, length * rows.value) / self._length / covered
        totals = np.bincount(cell_index, rows.value) / covered  # extrapolated to the whole hour
        is_summed = np.array([rule == "sum" for rule in self._rules])[cells // self._steps]
        latest_available = np.full(len(cells), UNPUBLISHED)
        np.maximum.at(latest_available, cell_index, rows.available)
        is_observed = covered >= OBSERVED
        hourly.values.reshape(-1)[cells[is_observed]] = np.where(is_summed, totals, averages)[is_observed]
        hourly.known_row.reshape(-1)[cells[is_observed]] = self._row_of(latest_available[is_observed])

    def _add_long(self, hourly: Hourly, rows: _Rows) -> None:
        """Repeats each value over the hours that start in its interval; values with a publication time become
        vintages."""
        first_rows = np.maximum(-((self._first - rows.start) // self._length), 0)
        shortest = MICROSECONDS_PER_HOUR if self._step < HOUR else 1  # for how long a reading counts
        ends = np.where(rows.length == 0, rows.start + shortest, rows.end)
        end_rows = np.minimum(-((self._first - ends) // self._length), self._steps)
        repetitions = np.maximum(end_rows - first_rows, 0)
        row = np.arange(repetitions.sum()) + np.repeat(first_rows - np.cumsum(repetitions) + repetitions, repetitions)
        rows = self._divide_energy(rows).where(np.repeat(np.arange(len(repetitions)), repetitions))
        known_rows = self._row_of(rows.available)
        has_publication = np.isin(rows.series, rows.series[rows.published != UNPUBLISHED])
        for number in np.unique(rows.series[has_publication]):
            is_of_series = rows.series == number
            hourly.vintages[int(number)] = self._collect_vintages(
                hourly, int(number), row[is_of_series], known_rows[is_of_series], rows.where(is_of_series)
            )
        is_absent = ~has_publication & np.isnan(hourly.values[rows.series, row])
        hourly.values[rows.series[is_absent], row[is_absent]] = rows.value[is_absent]
        hourly.known_row[rows.series[is_absent], row[is_absent]] = known_rows[is_absent]

    def _divide_energy(self, rows: _Rows) -> _Rows:
        """Returns `rows`, whose values are repeated, with energy divided by the number of rows of its interval; in
        hourly sets, energy over longer intervals is repeated."""
        if self.resolution == HOUR:
            return rows
        is_summed = np.array([rule == "sum" for rule in self._rules], bool)[rows.series]
        return rows._replace(value=rows.value / np.where(is_summed, np.maximum(rows.length / self._length, 1), 1))

    def _collect_vintages(
        self, hourly: Hourly, number: int, row: Integers, known_rows: Integers, rows: _Rows
    ) -> Vintages:
        """Returns all versions of series `number`; those without a publication time come first."""
        unpublished_rows = np.flatnonzero(~np.isnan(hourly.values[number]))
        row = np.concatenate([unpublished_rows, row])
        known_rows = np.concatenate([hourly.known_row[number, unpublished_rows], known_rows])
        value = np.concatenate([hourly.values[number, unpublished_rows], rows.value])
        published = np.concatenate([np.full(len(unpublished_rows), UNPUBLISHED), rows.published])
        vintage_order = np.lexsort((published, known_rows))
        hourly.values[number, row[vintage_order]] = value[vintage_order]
        hourly.known_row[number, row[vintage_order]] = known_rows[vintage_order]
        return Vintages(row[vintage_order], known_rows[vintage_order], value[vintage_order])


def _extend_rows(array: npt.NDArray[Any], length: int, fill: float) -> npt.NDArray[Any]:
    """Extends `array` to `length` items with `fill`."""
    longer = np.empty((length, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    longer[len(array) :] = fill
    return longer


def _least_greatest(column: npt.NDArray[np.signedinteger[Any]]) -> tuple[int, int]:
    """Returns the least and the greatest item of `column`, which is not empty; a broadcast column is read only once."""
    distinct = column if column.strides[0] else column[:1]
    return int(distinct.min()), int(distinct.max())


def _join_rows(parts: Iterable[_Rows]) -> _Rows:
    """Concatenates the rows of `parts`."""
    return _Rows(*map(np.concatenate, zip(*parts, strict=True)))


def _date_rows(rows: _Rows, available: Available) -> _Rows:
    """Returns `rows` with the time at which each is available: its publication, or else by the rule `available` for the
    interval that is read or that was reported, whichever is later."""
    reported = np.maximum(rows.reported, rows.start)
    by_rule = available_at(available, reported, reported + rows.length)
    return rows._replace(available=np.where(rows.published == UNPUBLISHED, by_rule, rows.published))


def _distinct_readings(rows: _Rows) -> _Rows:
    """Returns the readings (instants) among `rows`; of several with one series number and start, the first to be
    available."""
    rows = rows.where(rows.length == 0)
    rows = rows.where(np.lexsort((-rows.available, rows.start, rows.series)))
    return rows.where(_last_of(rows.series, rows.start))


def _make_zeros(readings: _Rows, series: int) -> _Rows:
    """Returns a 0 of `series` at each of `readings`."""
    return readings._replace(series=np.full_like(readings.series, series), value=np.zeros_like(readings.value))


def _newest_retrievals(rows: _Rows) -> _Rows:
    """Returns the latest retrieval of each key, sorted by series, start, end and publication."""
    rows = rows.where(np.lexsort((rows.retrieved, rows.published, rows.length, rows.start, rows.series)))
    return rows.where(_last_of(rows.series, rows.start, rows.length, rows.published))


def _last_of(*keys: Integers) -> npt.NDArray[np.bool_]:
    """Returns which of the sorted rows is the last with its keys; shape (N,)."""
    is_last = np.ones(len(keys[0]), bool)
    is_last[:-1] = np.any([sort_key[1:] != sort_key[:-1] for sort_key in keys], axis=0)
    return is_last
