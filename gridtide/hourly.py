"""Observations over any interval → one value per hour, and the hour by whose end each could be known.

Hours are rows: row `r` of a period is the hour `[start + r, start + r + 1)`. How a variable becomes
hourly is its rule in `variables`: MWh are summed, MW and prices averaged, weather taken at the start
of the hour, daily values repeated. An hour of shorter intervals counts as observed when at least
75 % of it is.

Two rows belong to a value: the hour it speaks of, and `known`, the row by whose end it was available
(`published_at`, else the entry's `available` rule). `Hourly.as_known` puts both together:

    published            x
    known      |----|----x----|                row r sees the value of hour r + shift
    speaks of                      |----|      only if the value's `known` row is r or before
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gridtide import observations
from gridtide.config import Available
from gridtide.constant import told
from gridtide.errors import TrainingError
from gridtide.periods import EPOCH, Period, local_midnight
from gridtide.variables import hourly

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

HOUR = 3_600_000_000
"""Microseconds of an hour."""

OBSERVED = 0.75
"""The share of an hour that shorter intervals must cover for the hour to count as observed."""

KEPT = 1 << 24
"""Bytes that are taken and freed once: glibc then keeps what is freed up to so much, where it gave each
array of a table's rows back to the kernel, and took it again page by page, for half the time of `Grid.add`."""

_UNASKED = -2
"""Stands for the number of a series that `Numbers` has not asked for yet."""

UNPUBLISHED = int(np.iinfo(np.int64).min)
"""Stands for a missing `published_at`; sorts before every other."""

NEVER = np.iinfo(np.int32).max
"""The `known` row of a value that is not there."""


class Vintages(NamedTuple):
    """All published versions of one series, by the order in which they became known.

    `row` (N,) the hour each speaks of, `known` (N,) the row by whose end it was available, `value` (N,).
    """

    row: Integers
    known: Integers
    value: Floats


@dataclass(frozen=True)
class Hourly:
    """C series over the T hours of `period`.

    `values` (C, T): the latest version of each value, NaN where not observed. `known` (C, T): the row
    by whose end it was available. `vintages`: by series number, where the upstream says when it published.
    `repeats` (C,): how many observations had the key of another, the latest of which counts.
    """

    period: Period
    names: tuple[str, ...]
    units: tuple[str, ...]
    values: Floats
    known: npt.NDArray[np.int32]
    vintages: dict[int, Vintages]
    repeats: Integers

    def delay(self, series: int) -> int | None:
        """After how many rows 99 % of the values of `series` are known, negative if before their hour.

        0 means: by the end of the hour itself. None where nothing is observed.
        """
        if series in self.vintages:
            row, known, _ = self.vintages[series]
            first = np.full(self.values.shape[1], NEVER, np.int64)
            np.minimum.at(first, row, known)
        else:
            first = np.where(np.isnan(self.values[series]), NEVER, self.known[series]).astype(np.int64)
        there = np.flatnonzero(first != NEVER)
        if not there.size:
            return None
        return int(np.quantile(first[there] - there, 0.99, method="higher"))

    def as_known(self, series: int, shift: int) -> Floats:
        """What was known by the end of each row about the hour `shift` rows later, shape (T,).

        NaN where nothing was known by then, or the hour lies outside the period.
        """
        steps = self.values.shape[1]
        seen = np.full(steps, np.nan)
        if series in self.vintages:
            versions = self.vintages[series]
            at = versions.row - shift
            visible = (at >= 0) & (at < steps) & (versions.known <= at)
            seen[at[visible]] = versions.value[visible]  # in the order they became known: the last one stays
            return seen
        first, last = max(0, -shift), min(steps, steps - shift)
        if first < last:
            known = self.known[series, first + shift : last + shift]
            value = self.values[series, first + shift : last + shift]
            seen[first:last] = np.where(known <= np.arange(first, last), value, np.nan)
        return seen


def available_at(rule: Available, start: Integers, end: Integers) -> Integers:
    """When values over `[start, end)` could be known by `rule`; all in µs since 1970, shape (N,)."""
    if rule.lag is not None:
        return end + rule.lag // timedelta(microseconds=1)
    zone = ZoneInfo(rule.timezone)
    days = local_times(start, rule.timezone).astype("datetime64[D]")
    unique, where = np.unique(days, return_inverse=True)
    hours, minutes = (int(part) for part in (rule.day_before or "").split(":"))
    moments = []
    for day in unique.tolist():
        before = local_midnight(day - timedelta(days=1), zone).astimezone(zone)
        moments.append(microseconds(before.replace(hour=hours, minute=minutes)))
    return np.array(moments, np.int64)[where]


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


def local_times(moments: Integers, timezone: str) -> npt.NDArray[np.datetime64]:
    """What clocks in `timezone` show at `moments` (N,) in µs since 1970."""
    local = pc.local_timestamp(observations.from_numpy(moments, pa.timestamp("us", timezone)))
    return observations.to_numpy(local, "datetime64[us]")


@dataclass
class Grid:
    """Gathers tables of observations into hourly rows of `period`; of each key the latest retrieval wins.

    `wanted` says of a series name (`source/location/variable`) whether it is gathered; `seen` holds
    every name that came by. Tables may come in any order.
    """

    period: Period
    wanted: Callable[[str], bool]
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._first = microseconds(self.period.start)
        self._steps = self.period.duration // timedelta(hours=1)
        self._names: dict[str, int] = {}
        self._units: list[str] = []
        self._rules: list[str] = []
        self._values = np.empty((0, self._steps))
        self._retrieved = np.empty((0, self._steps), np.int64)
        self._taken: dict[tuple[Available, bool], Integers] = {}
        self._latest = UNPUBLISHED
        self._rest: list[_Rows] = []
        self._numbers = Numbers(self._number)
        np.empty(KEPT, np.uint8)

    def add(self, table: pa.Table, available: Available) -> None:
        """Take in `table` (observations, which may lack what `constant.told` tells), whose values become available by
        the rule `available`.

        Raises `TrainingError` when a series comes in two units.
        """
        if not table.num_rows:
            return
        rows = self._rows(table)
        end = self._first + self._steps * HOUR
        if rows.series.min() < 0 or rows.start.min() < self._first or rows.start.max() >= end:
            rows = rows.where((rows.series >= 0) & (rows.end >= self._first) & (rows.start < end))
        since = rows.start - self._first
        hour = since // HOUR
        whole = (hour * HOUR == since) & (hour >= 0)
        if len(hour) and _range(rows.length) != (HOUR, HOUR):
            at_start = np.array([rule == "start" for rule in self._rules], bool)
            whole &= (rows.length == HOUR) | ((rows.length == 0) & at_start[rows.series])
        if len(hour) and _range(rows.published)[1] > UNPUBLISHED:
            whole &= rows.published == UNPUBLISHED
        if whole.all():
            self._scatter(rows, hour, available)
        else:
            self._scatter(rows.where(whole), hour[whole], available)
            rest = rows.where(~whole)
            by_rule = available_at(available, rest.start, rest.end)
            known = np.where(rest.published == UNPUBLISHED, by_rule, rest.published)
            self._rest.append(rest._replace(available=known))

    def expect(self, series: str, unit: str) -> None:
        """Count `series` (`source/location/variable`) in, missing throughout unless something of it comes.

        Raises `TrainingError` when it came in another unit.
        """
        source, rest = series.split("/", 1)
        location, variable = rest.rsplit("/", 1)
        self._number(source, location, variable, unit)
        self._grow()

    def finish(self) -> Hourly:
        """All that was taken in, hourly."""
        count = len(self._names)
        known = np.full((count, self._steps), NEVER, np.int32)
        repeats = -np.count_nonzero(self._retrieved[:count] != UNPUBLISHED, axis=1)
        hours = self._first + np.arange(self._steps) * HOUR
        for (rule, instant), taken in self._taken.items():
            row = self._row_of(available_at(rule, hours, hours if instant else hours + HOUR))
            for number in np.flatnonzero(taken):
                there = known[number, 0] != NEVER
                known[number] = np.maximum(known[number], row) if there else row
            repeats[: len(taken)] += taken.astype(np.int64)
        made = Hourly(self.period, tuple(self._names), tuple(self._units), self._values[:count], known, {}, repeats)
        if self._rest:
            every = _Rows(*map(np.concatenate, zip(*self._rest, strict=True)))
            rest = _newest(every)
            retrieved = np.bincount(every.series, every.retrievals, count).astype(np.int64)
            repeats += retrieved - np.bincount(rest.series, minlength=count)
            at_start = np.array([rule == "start" for rule in self._rules])[rest.series]
            short = (rest.length < HOUR) & ~at_start
            self._add_short(made, rest.where(short))
            self._add_long(made, rest.where(~short))
        return made

    def _rows(self, table: pa.Table) -> _Rows:
        start = times(table, "interval_start")
        return _Rows(
            self._numbers.of(table),
            start,
            _lengths(table, start),
            times(table, "published_at"),
            times(table, "retrieved_at"),
            start,
            floats(table["value"]),
            observations.retrievals(table),
        )

    def _number(self, source: str, location: str, variable: str, unit: str) -> int:
        name = f"{source}/{location}/{variable}"
        self.seen.add(name)
        if not self.wanted(name):
            return -1
        number = self._names.setdefault(name, len(self._names))
        if number == len(self._units):
            self._units.append(unit)
            self._rules.append(hourly(source, variable, unit))
        elif self._units[number] != unit:
            raise TrainingError(
                name,
                f"comes in two units, {self._units[number]} and {unit}",
                "Give one of the two entries another location, or leave one out",
            )
        return number

    def _scatter(self, rows: _Rows, hour: Integers, available: Available) -> None:
        """Put whole hours, the `hour`-th of the period each, into their cells, unless what is there was retrieved
        later."""
        self._grow()
        if not len(hour):
            return
        if (instant := rows.length == 0).any():
            self._count(rows.where(~instant), (available, False))
            self._count(rows.where(instant), (available, True))
        else:
            self._count(rows, (available, False))
        cell = rows.series * self._steps + hour
        oldest, newest = _range(rows.retrieved)
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

    def _count(self, rows: _Rows, rule: tuple[Available, bool]) -> None:
        """Count the retrieved observations of each series that become known by `rule`."""
        if not len(rows.start):
            return
        once = _range(rows.retrievals) == (1, 1)
        taken = np.bincount(rows.series, None if once else rows.retrievals, len(self._names))
        before = self._taken.get(rule, taken[:0])
        taken[: len(before)] += before.astype(taken.dtype)
        self._taken[rule] = taken

    def _grow(self) -> None:
        """Make room for series that came since, by doubling."""
        have = len(self._values)
        if have < len(self._names):
            room = max(len(self._names), 2 * have)
            self._values = _longer(self._values, room, np.nan)
            self._retrieved = _longer(self._retrieved, room, UNPUBLISHED)

    def _row_of(self, moment: Integers) -> Integers:
        """The row by whose end `moment` has come."""
        row = -((self._first - moment) // HOUR) - 1
        return np.minimum(row, NEVER - 1)

    def _add_short(self, made: Hourly, rows: _Rows) -> None:
        """Sum or average what is shorter than an hour into its hour; of several vintages the latest counts."""
        rows = rows.where(_last_of(rows.series, rows.start, rows.length))
        rows = rows.where(~np.isnan(rows.value) & (rows.start >= self._first))
        cell, where = np.unique(rows.series * self._steps + (rows.start - self._first) // HOUR, return_inverse=True)
        length = np.where(rows.length == 0, HOUR, rows.length)  # one reading is enough for its hour
        covered = np.bincount(where, length) / HOUR
        average = np.bincount(where, length * rows.value) / HOUR / covered
        total = np.bincount(where, rows.value) / covered  # what the hour would have, were all of it observed
        summed = np.array([rule == "sum" for rule in self._rules])[cell // self._steps]
        latest = np.full(len(cell), UNPUBLISHED)
        np.maximum.at(latest, where, rows.available)
        enough = covered >= OBSERVED
        made.values.reshape(-1)[cell[enough]] = np.where(summed, total, average)[enough]
        made.known.reshape(-1)[cell[enough]] = self._row_of(latest[enough])

    def _add_long(self, made: Hourly, rows: _Rows) -> None:
        """Repeat each value over the hours that start in its interval; published ones become vintages."""
        first = np.maximum(-((self._first - rows.start) // HOUR), 0)
        last = np.minimum(-((self._first - np.maximum(rows.end, rows.start + 1)) // HOUR), self._steps)
        times = np.maximum(last - first, 0)
        row = np.arange(times.sum()) + np.repeat(first - np.cumsum(times) + times, times)
        rows = rows.where(np.repeat(np.arange(len(times)), times))
        known = self._row_of(rows.available)
        dated = np.isin(rows.series, rows.series[rows.published != UNPUBLISHED])
        for number in np.unique(rows.series[dated]):
            mine = rows.series == number
            made.vintages[int(number)] = self._vintages(made, int(number), row[mine], known[mine], rows.where(mine))
        absent = ~dated & np.isnan(made.values[rows.series, row])
        made.values[rows.series[absent], row[absent]] = rows.value[absent]
        made.known[rows.series[absent], row[absent]] = known[absent]

    def _vintages(self, made: Hourly, number: int, row: Integers, known: Integers, rows: _Rows) -> Vintages:
        """All versions of series `number`, those without a publication time before the others."""
        plain = np.flatnonzero(~np.isnan(made.values[number]))
        row = np.concatenate([plain, row])
        known = np.concatenate([made.known[number, plain], known])
        value = np.concatenate([made.values[number, plain], rows.value])
        published = np.concatenate([np.full(len(plain), UNPUBLISHED), rows.published])
        order = np.lexsort((published, known))
        made.values[number, row[order]] = value[order]
        made.known[number, row[order]] = known[order]
        return Vintages(row[order], known[order], value[order])


class Numbers:
    """Numbers the series of observations: `number(source, location, variable, unit)` is asked once for each that
    occurs, however many rows there are, and again where tables come with other labels."""

    def __init__(self, number: Callable[[str, str, str, str], int]) -> None:
        self._number = number
        self._labels: list[list[str]] = []
        self._found: Integers = np.empty(0, np.int64)

    def of(self, table: pa.Table) -> Integers:
        """The number of the series of each row, shape (rows,)."""
        if not table.num_rows:
            return np.empty(0, np.int64)
        same = told(table)
        labels: list[list[str]] = []
        mixed = np.zeros(1, np.int64)
        for name in ("source", "location", "variable", "unit"):
            if name in same:
                labels.append([str(same[name])])
                continue
            column = observations.whole(table[name].unify_dictionaries())
            labels.append(column.dictionary.to_pylist())
            if len(column.dictionary) > 1:
                mixed = mixed * len(column.dictionary) + observations.to_numpy(column.indices, "i4")
        if labels != self._labels:
            self._labels, self._found = labels, np.full(math.prod(map(len, labels)), _UNASKED)
        found = self._found[mixed]
        if found.min() == _UNASKED:
            for asked in np.unique(mixed[found == _UNASKED]):
                codes = np.unravel_index(asked, [len(texts) for texts in labels])
                self._found[asked] = self._number(*(texts[code] for texts, code in zip(labels, codes, strict=True)))
            found = self._found[mixed]
        return found if len(mixed) == table.num_rows else observations.repeated(found[0], table.num_rows)


def _longer(array: npt.NDArray[Any], length: int, fill: float) -> npt.NDArray[Any]:
    """`array` with `fill` in as many items more as make it `length` long."""
    longer = np.empty((length, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    longer[len(array) :] = fill
    return longer


def _range(column: npt.NDArray[np.signedinteger[Any]]) -> tuple[int, int]:
    """The least and the greatest of `column`, which is not empty; of what is the same in every row at once."""
    seen = column if column.strides[0] else column[:1]
    return int(seen.min()), int(seen.max())


def _newest(rows: _Rows) -> _Rows:
    """The latest retrieval of each key, sorted by series, start, end and publication."""
    rows = rows.where(np.lexsort((rows.retrieved, rows.published, rows.length, rows.start, rows.series)))
    return rows.where(_last_of(rows.series, rows.start, rows.length, rows.published))


def _last_of(*keys: Integers) -> npt.NDArray[np.bool_]:
    """Which of the sorted rows is the last with its keys; shape (N,)."""
    last = np.ones(len(keys[0]), bool)
    last[:-1] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    return last


def _lengths(table: pa.Table, start: Integers) -> Integers:
    """How long the intervals of `table`, which begin at `start`, last; shape (rows,)."""
    if "interval_end" in table.column_names:
        return integers(table["interval_end"]) - start
    return observations.repeated(told(table)["interval"], table.num_rows)


def times(table: pa.Table, name: str) -> Integers:
    """The times `name` of `table`, which may lack the column, as `integers` has them."""
    if name in table.column_names:
        return integers(table[name])
    same = told(table)
    if name == "interval_end":
        return times(table, "interval_start") + np.int64(same["interval"])
    return observations.repeated(UNPUBLISHED if same[name] is None else same[name], table.num_rows)


def integers(times: pa.ChunkedArray) -> Integers:
    """`times` as µs since 1970, `UNPUBLISHED` for a null; shape (rows,)."""
    chunk = observations.whole(times)
    if not chunk.null_count:
        return observations.to_numpy(chunk, "i8")
    if chunk.null_count == len(chunk):
        return observations.repeated(UNPUBLISHED, len(chunk))
    return np.where(observations.known(chunk), observations.to_numpy(chunk, "i8"), UNPUBLISHED)


def floats(values: pa.ChunkedArray) -> Floats:
    """`values` as float64, NaN for a null; shape (rows,)."""
    chunk = observations.whole(values)
    if not chunk.null_count:
        return observations.to_numpy(chunk, "f8")
    return np.where(observations.known(chunk), observations.to_numpy(chunk, "f8"), np.nan)


def microseconds(moment: datetime) -> int:
    """`moment` in µs since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)
