"""Judges the days of hourly series, each by itself; pure. What several series say together is judged in `relations`.

    completeness  the share of its hours with a value, beside the median of the days judged or of those before them
    accuracy      the share of its values that the screening flags; and by check the number of flagged hours
    timeliness    the hours by which the newest value of the series is behind what is due, on the last day
    clock         the hours between the middle of the solar day and noon, on the first day of each window

The rows of one call depend on its arguments only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from gridtide.observations.array_types import Floats, Integers, Mask
from gridtide.periods import DAY, EPOCH
from gridtide.quality.afterwards import screen_afterwards
from gridtide.quality.flags import Flag, Screened
from gridtide.quality.natures import find_nature
from gridtide.quality.solar_clock import MOST_SHIFTED, WINDOW_DAYS, check_clocks
from gridtide.sources.registry import find_longitude, find_quantity
from gridtide.variables import SeriesName, find_hourly_conversion


class DayVerdict(NamedTuple):
    """What one `check` says of one `day` (UTC) of a series: its `flag`, what was measured, and the threshold."""

    series: str
    day: date
    check: str
    flag: Flag
    value: float
    threshold: float


@dataclass(frozen=True)
class HourlySeries:
    """C series `names` in `units` over T hours from `start`, 00:00 UTC of a day: `values` (C, T), NaN where missing."""

    names: tuple[str, ...]
    units: tuple[str, ...]
    values: Floats
    start: datetime


def join_hours(parts: Sequence[HourlySeries]) -> HourlySeries:
    """Returns the series of `parts`, at least one, over the hours of all of them; of series with the same name the
    first counts."""
    start = min(part.start for part in parts)
    end = max(part.start + timedelta(hours=part.values.shape[1]) for part in parts)
    rows = [(part, number) for part in parts for number in range(len(part.names))]
    first_rows = {part.names[number]: (part, number) for part, number in reversed(rows)}
    values = np.full((len(first_rows), (end - start) // timedelta(hours=1)), np.nan)
    for place, (part, number) in enumerate(first_rows.values()):
        offset = (part.start - start) // timedelta(hours=1)
        values[place, offset : offset + part.values.shape[1]] = part.values[number]
    units = tuple(part.units[number] for part, number in first_rows.values())
    return HourlySeries(tuple(first_rows), units, values, start)


@dataclass(frozen=True)
class DailyLimits:
    """The thresholds of days."""

    complete: float = 0.9
    """A day is suspect below this share of the usual completeness of its series."""
    flagged: float = 0.1
    """A day fails above this share of flagged values."""
    residual: float = 0.02
    """A day is suspect above this share that a sum lacks, if it is also twice the usual share."""
    behind: float = 24.0
    """A series is suspect if its newest value is more hours behind what is due."""


DAILY_LIMITS = DailyLimits()


ClockHistory = Mapping[str, Mapping[date, float]]
"""The offsets of the clock of each solar series, by its name and the first day of each window."""

NO_CLOCKS: ClockHistory = MappingProxyType({})

CLOCK_MEMORY = 366 * DAY
"""How far back windows say what is usual of a clock: one that stays shifted for half of it becomes the usual one."""


def judge_days(
    hourly: HourlySeries,
    first_day: int,
    limits: DailyLimits = DAILY_LIMITS,
    clocks: ClockHistory = NO_CLOCKS,
) -> list[DayVerdict]:
    """Judges the days of `hourly` from the `first_day`-th on, sorted by series, day and check; the days before it, and
    `clocks` of earlier windows, only show what is usual. The hours end with the last whole day that is due."""
    screened = screen_afterwards(
        hourly.values,
        [
            find_nature(SeriesName.parse(name).variable, unit)
            for name, unit in zip(hourly.names, hourly.units, strict=True)
        ],
    )
    verdicts: list[DayVerdict] = []
    for number, name in enumerate(hourly.names):
        verdicts += _judge_completeness(hourly, number, name, first_day, limits)
        verdicts += _judge_accuracy(hourly, screened, number, name, first_day, limits)
        verdicts += _judge_timeliness(hourly, number, name, limits)
    verdicts += _judge_clocks(hourly, first_day, clocks)
    return sorted(verdicts, key=lambda verdict: verdict[:3])


def _day_of(hourly: HourlySeries, number: int) -> date:
    return (hourly.start + timedelta(days=int(number))).date()


def _by_days(cells: Mask) -> Integers:
    """Returns the number of true `cells` (T,) of each day."""
    counts: Integers = cells.reshape(-1, 24).sum(axis=1)
    return counts


def _judge_completeness(
    hourly: HourlySeries, number: int, name: str, first_day: int, limits: DailyLimits
) -> Iterator[DayVerdict]:
    shares = _by_days(~np.isnan(hourly.values[number])) / 24
    usual = max(float(np.median(days)) for days in (shares[:first_day], shares[first_day:]) if len(days))
    threshold = limits.complete * usual
    for day in range(first_day, len(shares)):
        share = float(shares[day])
        if not usual:
            flag = Flag.NOT_EVALUATED if not share else Flag.GOOD
        else:
            flag = Flag.MISSING if not share else Flag.SUSPECT if share < threshold else Flag.GOOD
        yield DayVerdict(name, _day_of(hourly, day), "completeness", flag, share, threshold)


def _judge_accuracy(
    hourly: HourlySeries, screened: Screened, number: int, name: str, first_day: int, limits: DailyLimits
) -> Iterator[DayVerdict]:
    present_hours, flagged_hours = _by_days(~np.isnan(hourly.values[number])), _by_days(screened.flagged[number])
    impossible_hours = _by_days(screened.flags[number] == Flag.FAIL)
    evaluated_hours = _by_days(np.isin(screened.flags[number], (Flag.GOOD, Flag.SUSPECT, Flag.FAIL)))
    for day in range(first_day, len(present_hours)):
        share = float(flagged_hours[day] / present_hours[day]) if present_hours[day] else float("nan")
        if not present_hours[day]:
            flag = Flag.MISSING
        elif impossible_hours[day] or share > limits.flagged:
            flag = Flag.FAIL
        else:
            flag = Flag.SUSPECT if flagged_hours[day] else Flag.GOOD if evaluated_hours[day] else Flag.NOT_EVALUATED
        yield DayVerdict(name, _day_of(hourly, day), "accuracy", flag, share, limits.flagged)
    for check, cells in screened.checks.items():
        counts = _by_days(cells[number])
        for day in (first_day + np.flatnonzero(counts[first_day:])).tolist():
            hours = slice(day * 24, day * 24 + 24)
            worst_flag = screened.flags[number, hours][cells[number, hours]].max()
            yield DayVerdict(name, _day_of(hourly, day), f"accuracy.{check}", Flag(worst_flag), float(counts[day]), 0.0)


def _judge_timeliness(hourly: HourlySeries, number: int, name: str, limits: DailyLimits) -> Iterator[DayVerdict]:
    with_value = np.flatnonzero(~np.isnan(hourly.values[number]))
    hours = hourly.values.shape[1]
    behind = float(hours - 1 - with_value[-1]) if with_value.size else float(hours)
    flag = Flag.MISSING if not with_value.size else Flag.SUSPECT if behind > limits.behind else Flag.GOOD
    yield DayVerdict(name, _day_of(hourly, hours // 24 - 1), "timeliness", flag, behind, limits.behind)


def _judge_clocks(hourly: HourlySeries, first_day: int, clocks: ClockHistory) -> Iterator[DayVerdict]:
    places = [SeriesName.parse(name) for name in hourly.names]
    quantities = [find_quantity(place.source, place.variable) for place in places]
    solar = [number for number, quantity in enumerate(quantities) if quantity and quantity == ("generation", "solar")]
    if not solar:
        return
    longitudes = [find_longitude(places[number].source, places[number].location) for number in solar]
    skipped_days = -((hourly.start - EPOCH) // DAY) % WINDOW_DAYS  # windows begin on the same days in every run
    conversions = [find_hourly_conversion(hourly.units[number], "MW") for number in solar]
    megawatts = np.array([conversion.factor if conversion else 1.0 for conversion in conversions])
    values = hourly.values[solar, skipped_days * 24 :] * megawatts[:, None]
    start = hourly.start + skipped_days * DAY
    check = check_clocks(
        values, start, longitudes, earlier=[_recall_clock(hourly.names[row], start, clocks) for row in solar]
    )
    for row, number in enumerate(solar):
        for window, start in enumerate(check.starts):
            offset = float(check.offsets[row, window])
            if not np.isnan(offset) and (start - hourly.start).days >= first_day:
                flag = Flag.SUSPECT if check.shifted[row, window] else Flag.GOOD
                yield DayVerdict(hourly.names[number], start.date(), "clock", flag, offset, MOST_SHIFTED)


def _recall_clock(name: str, start: datetime, clocks: ClockHistory) -> list[float]:
    """Returns the offsets of the windows of the series `name` in the year before `start`."""
    first, end = (start - CLOCK_MEMORY).date(), start.date()
    return [offset for day, offset in clocks.get(name, {}).items() if first <= day < end and offset == offset]


DECISIVE = ("accuracy", "consistency", "clock")
"""The checks that make a series bad; so does a lag behind another source of the same quantity."""

LAG_CHECK = "agreement.lag."


def find_bad_series(verdicts: Sequence[DayVerdict]) -> dict[str, list[DayVerdict]]:
    """Returns, by name, the series that are bad, with the verdicts that say so: their accuracy failed or their sum was
    suspect on the last day that was judged, their clock was shifted in the last window, or they were hours early or
    late beside another source in the last month."""
    last: dict[tuple[str, str], DayVerdict] = {}
    for verdict in verdicts:
        is_decisive = verdict.check in DECISIVE or verdict.check.startswith(LAG_CHECK)
        if is_decisive and verdict.flag != Flag.MISSING:
            key = verdict.series, verdict.check
            last[key] = max(last.get(key, verdict), verdict, key=lambda candidate: candidate.day)
    bad: dict[str, list[DayVerdict]] = defaultdict(list)
    for (series, check), verdict in sorted(last.items()):
        if verdict.flag == Flag.FAIL or (verdict.flag == Flag.SUSPECT and check != "accuracy"):
            bad[series].append(verdict)
    return dict(bad)
