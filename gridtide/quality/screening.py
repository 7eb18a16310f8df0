"""Screens hourly series causally: each value is judged by what was known by then; pure.

    range   outside what variable and unit can have: a sign, a size                        every series
    zero    0 where many consumers are metered together                                     demand, load
    run     at least the n-th equal hour in a row                                           what changes by the hour
    level   many times the usual level, and the hour after it                               metered demand and load
    repeat  equal to one to seven days before for most of a day: days are sent again        demand, load
    step    a step unlike that of the hour on the days before, away from their template     metered demand and load
    spike   a jump of many usual steps                                                      other smooth series
    template  far from the same hour of the days before, and not at yesterday's level       metered demand and load
    region    amid many separate stretches that others flagged: the source is out of order  metered demand and load

`range` means fail, every other check suspect. The template of an hour is the median of the same hour on the last ten
days. Deviations from it are scaled by the level and by the spread of these days: the quartiles of a usual day, and
those of its steps, as in Ruggles, Farnham, Tong and Caldeira, Developing reliable hourly electricity demand data
through screening and imputation, Scientific Data 7, 155 (2020). Their method uses both sides of an hour; see
`afterwards`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gridtide.observations.array_types import Floats, Integers, Mask
from gridtide.quality.checks import ROWS_PER_DAY, find_impossible, find_repeats, find_spikes, find_stale
from gridtide.quality.flags import Flag, Screened
from gridtide.quality.natures import UNBOUNDED, Nature
from gridtide.quality.shifting import shift_later

CHECKS = ("range", "zero", "run", "level", "repeat", "step", "spike", "template", "region")
"""The names of the checks, in the order in which they judge; a value that one rejects is missing for the next."""


LOOKBACK = 40 * ROWS_PER_DAY
"""No flag depends on values more than this many rows before it: 10 days of usual deviations, each from a template of
10 days, each without the days that repeat, which take 15 days to know; two days that are not whole; and two days of
flags amid which hours are suspect."""


@dataclass(frozen=True)
class CausalLimits:
    """The thresholds of the causal checks; 0 turns `metered_run`, `run`, `repeat`, `spike`, `level` or `region`
    off.

    They were tuned on hourly demand of 54 balancing authorities, see `docs/quality.md`.
    """

    metered_run: int = 3
    """Equal hours in a row of a metered aggregate, from which on they are suspect."""
    run: int = 24
    """The same of any other variable that changes by the hour."""
    repeat: int = 20
    """Hours in a row that equal those of one to seven days before, from which on they are suspect."""
    spike: float = 5.0
    """Largest steps of a usual day, of smooth variables without a template."""
    level: float = 10.0
    """Multiples of the median of the last 10 days."""
    step: float = 4.4
    """Quartile ranges of steps by which a step differs from that of the template; then also"""
    step_deviation: float = 0.7
    """quartile ranges of values, and"""
    step_surprise: float = 3.5
    """median deviations of the last ten days, by which the value differs from its template at yesterday's level."""
    fresh_deviation: float = 3.3
    """Quartile ranges from the template at yesterday's level, for values that also differ by"""
    fresh_change: float = 2.0
    """quartile ranges from it at the level of the last three hours, and by"""
    fresh_share: float = 0.26
    """this share of the template."""
    far_deviation: float = 4.25
    """Quartile ranges from the template at yesterday's level, for values that also differ by"""
    far_share: float = 0.66
    """this share of the template, however long it lasts."""
    region: int = 6
    """Separate stretches of flagged hours within the last two days, amid which hours are suspect, if also"""
    region_hours: int = 3
    """so many of the last 24 hours are flagged."""


CAUSAL_LIMITS = CausalLimits()


def screen_causally(values: Floats, natures: Sequence[Nature], limits: CausalLimits = CAUSAL_LIMITS) -> Screened:
    """Judges the hours `values` (C, T) of C series of `natures` (C,), NaN where missing.

    The flags up to a row do not depend on later rows, not by a bit, nor on rows more than `LOOKBACK` before; days of 24
    rows are counted from the first row. A value that no check flags is good; not evaluated if its variable is not
    known, or if a metered aggregate has fewer than three days before it.
    """
    checks = {check: np.zeros(values.shape, bool) for check in CHECKS}
    flags = np.full(values.shape, Flag.GOOD, np.uint8)
    for number, (column, nature) in enumerate(zip(values, natures, strict=True)):
        flags[number, find_unjudged(column, nature)] = Flag.NOT_EVALUATED
        flags[number, np.isnan(column)] = Flag.MISSING
        for check, cells in find_suspects(column, nature, limits):
            checks[check][number] = cells
            flags[number, cells] = flag_of_check(check)
    return Screened(flags, checks)


def flag_of_check(check: str) -> Flag:
    """Returns the flag that the causal `check` sets."""
    return Flag.FAIL if check == "range" else Flag.SUSPECT


def find_unjudged(values: Floats, nature: Nature) -> Mask:
    """Returns the rows of `values` (T,) that cannot be called good: the `nature` of the variable is not known, or a
    metered aggregate has no template yet."""
    if nature == UNBOUNDED:
        return np.ones(len(values), bool)
    return ~_has_template(values) if nature.metered else np.zeros(len(values), bool)


def find_suspects(values: Floats, nature: Nature, limits: CausalLimits = CAUSAL_LIMITS) -> Iterator[tuple[str, Mask]]:
    """Yields, by name, the checks that concern a series of `nature`, with the cells of its `values` (T,) that each
    flags; the cells that one flags are missing for those after it."""
    believed_values = values.copy()

    def judge(check: str, cells: Mask) -> tuple[str, Mask]:
        believed_values[cells] = np.nan
        return check, cells

    yield judge("range", find_impossible(believed_values, nature))
    if nature.aggregate:
        yield judge("zero", believed_values == 0)
    run_length = limits.metered_run if nature.metered else limits.run
    if nature.changes and run_length:
        yield judge("run", find_stale(believed_values, run_length))
    repeats = find_repeats(believed_values, limits.repeat) if nature.aggregate and limits.repeat else None
    if nature.metered and limits.level:
        yield judge("level", find_level_breaks(believed_values, limits.level))
    if repeats is not None:  # found before levels are judged, so that it needs no history of theirs
        yield judge("repeat", repeats & ~np.isnan(believed_values))
    if nature.metered:
        steps, deviations = find_deviations(believed_values, limits)
        yield judge("step", steps)
        yield judge("template", deviations)
        if limits.region:
            regions = find_regions(~np.isnan(values) & np.isnan(believed_values), limits)
            yield judge("region", regions & ~np.isnan(believed_values))
    elif nature.smooth and limits.spike:
        yield judge("spike", find_spikes(believed_values, limits.spike))


def find_regions(is_flagged: Mask, limits: CausalLimits) -> Mask:
    """Returns the rows (T,) after at least `limits.region` stretches of rows that are flagged, `is_flagged` (T,), and
    began in the last two days, with at least `limits.region_hours` flagged rows in the last one."""
    begins = is_flagged.copy()
    begins[1:] &= ~is_flagged[:-1]
    is_region: Mask = (_count_before(begins, 2 * ROWS_PER_DAY) >= limits.region) & (
        _count_before(is_flagged, ROWS_PER_DAY) >= limits.region_hours
    )
    return is_region


def _count_before(cells: Mask, rows: int) -> Integers:
    """Returns how many of the `rows` before each of `cells` (T,) are true."""
    counts = np.concatenate([[0], np.cumsum(cells)])
    row_counts: Integers = counts[:-1] - counts[np.maximum(np.arange(len(cells)) - rows, 0)]
    return row_counts


TEMPLATE_DAYS, ENOUGH_DAYS = 10, 3
"""Days of a template, and the fewest of them that must be known."""


FEWEST = 6
"""The fewest values of the last 24 hours that give yesterday's level."""


SMALLEST_SPREAD = 1e-3
"""Spreads are at least this share of the level, so that a series that never moves is not judged by its rounding."""


def find_level_breaks(values: Floats, times: float) -> Mask:
    """Returns the cells of `values` (T,) above `times` the median of the daily medians of the last ten days, and the
    known cells directly after them."""
    medians = _middle(np.sort(_by_day(values), axis=1), 0.5)
    level = _expand(_usual(medians), len(values))
    is_break: Mask = values > times * level
    is_break[1:] |= is_break[:-1] & ~np.isnan(values[1:])
    return is_break


def find_deviations(values: Floats, limits: CausalLimits) -> tuple[Mask, Mask]:
    """Returns the cells of `values` (T,) with an unusual step, and the other cells that are far from their template.

    Both compare the value with its template at a level: the median deviation of the last 24 hours, or of the last
    three. Only rows that stand out by their step or by their share of the template are looked at closely.
    """
    template = _same_hour_median(values)
    deviation, step = values - template, values - shift_later(values, 1)
    unusual_step = np.abs(step - (template - shift_later(template, 1)))
    spread, step_spread, usual_deviation = _usual_spreads(values, deviation, step)
    step_limit = _expand(limits.step * step_spread, len(values))
    stands_out = (unusual_step > step_limit) | (
        np.abs(deviation) > min(limits.fresh_share, limits.far_share) * np.abs(template)
    )
    rows = np.flatnonzero(stands_out)
    days = rows // ROWS_PER_DAY
    yesterday, last_hours = _recent_levels(deviation, rows)
    from_yesterday = np.abs(deviation[rows] - yesterday)
    quartile_ranges = from_yesterday / spread[days]
    change = np.abs(deviation[rows] - last_hours) / spread[days]
    share = np.abs(deviation[rows]) / template[rows]
    is_step = (
        (unusual_step[rows] > step_limit[rows])
        & (quartile_ranges > limits.step_deviation)
        & (from_yesterday > limits.step_surprise * usual_deviation[days])
    )
    is_fresh = (
        (quartile_ranges > limits.fresh_deviation) & (change > limits.fresh_change) & (share > limits.fresh_share)
    )
    is_far = (quartile_ranges > limits.far_deviation) & (share > limits.far_share)
    steps, deviations = np.zeros(len(values), bool), np.zeros(len(values), bool)
    steps[rows], deviations[rows] = is_step, (is_fresh | is_far) & ~is_step
    return steps, deviations


def _usual_spreads(values: Floats, deviation: Floats, step: Floats) -> tuple[Floats, Floats, Floats]:
    """Returns, for each day, what was usual on the ten days before (days,): the quartile range of a day's values, that
    of its steps, and its median deviation from the template; NaN where fewer than three days are known."""
    by_day, steps_by_day = np.sort(_by_day(values), axis=1), np.sort(_by_day(step), axis=1)
    smallest = SMALLEST_SPREAD * np.abs(_usual(_middle(by_day, 0.5)))
    measures = (
        _middle(by_day, 0.75) - _middle(by_day, 0.25),
        _middle(steps_by_day, 0.75) - _middle(steps_by_day, 0.25),
        _middle(np.sort(_by_day(np.abs(deviation)), axis=1), 0.5),
    )
    spread, step_spread, usual_deviation = (np.maximum(_usual(measure), smallest) for measure in measures)
    return spread, step_spread, usual_deviation


def _recent_levels(deviation: Floats, rows: Integers) -> tuple[Floats, Floats]:
    """Returns, for each of `rows` (N,), the median of the `deviation` (T,) of the last 24 hours, NaN where fewer than
    six are known, and that of the last three hours."""
    padded_values = np.concatenate([np.full(ROWS_PER_DAY, np.nan), deviation])
    recent = np.lib.stride_tricks.sliding_window_view(padded_values, ROWS_PER_DAY)[rows]
    last_hours = np.sort(recent[:, -3:], axis=1)
    last_day = np.sort(recent, axis=1)
    is_known = ~np.isnan(last_day[:, FEWEST - 1])
    return np.where(is_known, _middle(last_day, 0.5), np.nan), _middle(last_hours, 0.5)


def _has_template(values: Floats) -> Mask:
    """Returns the rows of `values` (T,) whose hour has a value on at least three of the last ten days."""
    is_known = ~np.isnan(values)
    count = np.zeros(len(values), np.uint8)
    for day in range(1, TEMPLATE_DAYS + 1):
        count[day * ROWS_PER_DAY :] += is_known[: max(len(values) - day * ROWS_PER_DAY, 0)]
    has_template: Mask = count >= ENOUGH_DAYS
    return has_template


def _same_hour_median(values: Floats) -> Floats:
    """Returns the median of the same hour of `values` (T,) on the last ten days, NaN where fewer than three are
    known."""
    return _median_before(values, ROWS_PER_DAY)


def _usual(by_day: Floats) -> Floats:
    """Returns, for each day, the median of `by_day` (days,) on the ten days before, NaN where fewer than three are
    known."""
    return _median_before(by_day, 1)


BLOCK = 4096
"""Rows whose earlier values are sorted at a time, so that they stay in the cache."""


def _median_before(values: Floats, distance: int) -> Floats:
    """Returns, for each row, the median of the ten values (T,) that lie 1, 2, … 10 times `distance` rows before it, NaN
    where fewer than three are known."""
    padded_values = np.concatenate([np.full(TEMPLATE_DAYS * distance, np.nan), values])
    median = np.full(len(values), np.nan)
    for begin in range(0, len(values), BLOCK):
        end = min(begin + BLOCK, len(values))
        ordered = np.stack(
            [padded_values[begin + number * distance : end + number * distance] for number in range(TEMPLATE_DAYS)]
        )
        is_missing = np.isnan(ordered)
        np.copyto(ordered, np.inf, where=is_missing)
        _sort_rows(ordered)
        known_count = TEMPLATE_DAYS - is_missing.sum(axis=0, dtype=np.int8)
        columns = np.flatnonzero(known_count >= ENOUGH_DAYS)
        known_count = known_count[columns]
        lower, upper = ordered[(known_count - 1) // 2, columns], ordered[known_count // 2, columns]
        median[begin + columns] = (lower + upper) / 2
    return median


def _sort_rows(rows: Floats) -> None:
    """Sorts `rows` (N, T) along the first axis, in place.

    A sorting network (Batcher's odd-even merge, Knuth, The Art of Computer Programming 3, 5.2.2 M) compares whole rows:
    for ten rows five times faster than `np.sort`.
    """
    for first, second in _comparators(len(rows)):
        lower = np.minimum(rows[first], rows[second])
        np.maximum(rows[first], rows[second], out=rows[second])
        rows[first] = lower


def _comparators(count: int) -> Iterator[tuple[int, int]]:
    """Yields the pairs of rows that a network for `count` rows compares, in order."""
    largest = 1 << max(count - 1, 0).bit_length() - 1 if count > 1 else 0
    width = largest
    while width > 0:
        reach, offset, distance = largest, 0, width
        while True:
            yield from ((first, first + distance) for first in range(count - distance) if first & width == offset)
            if reach == width:
                break
            distance, reach, offset = reach - width, reach >> 1, width
        width >>= 1


def _middle(ordered: Floats, quantile: float) -> Floats:
    """Returns the `quantile` of the known values of each row of `ordered` (N, M), which are sorted with NaN last; NaN
    where none is known."""
    positions = np.maximum((~np.isnan(ordered)).sum(axis=1) - 1, 0) * quantile
    lower = positions.astype(np.int64)
    upper = np.ceil(positions).astype(np.int64)
    rows = np.arange(len(ordered))
    low = ordered[rows, lower]
    interpolated: Floats = low + (ordered[rows, upper] - low) * (positions - lower)
    return interpolated


def _by_day(values: Floats) -> Floats:
    """Returns `values` (T,) as (days, 24); the rest of the last day is missing."""
    padded_values = np.full(-(-len(values) // ROWS_PER_DAY) * ROWS_PER_DAY, np.nan)
    padded_values[: len(values)] = values
    return padded_values.reshape(-1, ROWS_PER_DAY)


def _expand(by_day: Floats, rows: int) -> Floats:
    """Returns the value of each row's day, (rows,)."""
    return np.repeat(by_day, ROWS_PER_DAY)[:rows]
