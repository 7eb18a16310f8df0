"""Screens hourly series after the fact, with the values on both sides of each hour: for people and reports.

Metered demand and load are judged by the method of Ruggles, Farnham, Tong and Caldeira, Developing reliable hourly
electricity demand data through screening and imputation, Scientific Data 7, 155 (2020), section Methods, in its order:

    negative_or_zero  0 or less
    identical_run     the third and later of equal hours in a row
    global            at least 10 times the median of the whole series, and the hours beside it
    local             outside the template of the hour by 3.5 (above) or 2.5 (below) quartile ranges of deviations
    double_step       two steps of more than 2 quartile ranges of steps, there and back
    single_step       a step of 5 quartile ranges, also unlike the template: the side that is further from it
    region            good hours amid others, where 15 % of the hours of a day before and after are flagged
    repeat            hours of a day that is sent again, which the published method does not look for

Medians and quartile ranges are those of windows with the hour in the middle. Other series are judged as
`screen_causally` judges them, with the whole of each run and of each repeated day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gridtide.observations.array_types import Floats, Integers, Mask
from gridtide.quality.checks import ROWS_PER_DAY, extend_repeats, extend_runs, find_repeats
from gridtide.quality.flags import Flag, Screened
from gridtide.quality.natures import UNBOUNDED, Nature
from gridtide.quality.screening import CAUSAL_LIMITS, find_suspects

if TYPE_CHECKING:
    import pandas as pd

AFTERWARDS_CHECKS = (
    *("negative_or_zero", "identical_run", "global", "local", "double_step", "single_step", "region"),
    *("repeat", "range", "zero", "run", "spike"),
)
"""The names of the checks: those of metered aggregates, the one of all aggregates, and those of other series."""


@dataclass(frozen=True)
class TwoSidedLimits:
    """The thresholds of the published method."""

    run: int = 3
    """Equal hours in a row, from which on they are suspect."""
    largest: float = 10.0
    """Multiples of the median of the series."""
    above: float = 3.5
    """Quartile ranges of deviations above the template."""
    below: float = 2.5
    """The same below it."""
    double_step: float = 2.0
    """Quartile ranges of steps, on both sides of the hour."""
    single_step: float = 5.0
    """The same on one side, if the share of the template also changes by"""
    single_change: float = 15.0
    """quartile ranges of its changes."""
    region_share: float = 0.85
    """The share of good hours in two days, up to which the hours between flagged ones are suspect too."""
    repeat: int = 20
    """Hours in a row that equal the day before, from which on all of them are suspect."""


TWO_SIDED_LIMITS = TwoSidedLimits()

MOVING_HOURS, SPREAD_HOURS, LONG_HOURS, TEMPLATE_DAYS_BESIDE = 48, 240, 480, 10
"""Hours of the moving median, of the quartile ranges and of the long median; days on each side in a template."""


def screen_afterwards(values: Floats, natures: Sequence[Nature], limits: TwoSidedLimits = TWO_SIDED_LIMITS) -> Screened:
    """Judges the hours `values` (C, T) of C series of `natures` (C,), NaN where missing, from all of their values.

    Impossible values fail, other flagged ones are suspect. A value that no check flags is good; not evaluated if its
    variable is not known.
    """
    checks = {check: np.zeros(values.shape, bool) for check in AFTERWARDS_CHECKS}
    flags = np.full(values.shape, Flag.GOOD, np.uint8)
    for number, (column, nature) in enumerate(zip(values, natures, strict=True)):
        if nature == UNBOUNDED:
            flags[number] = Flag.NOT_EVALUATED
        flags[number, np.isnan(column)] = Flag.MISSING
        suspects = _screen_metered(column, limits) if nature.metered else _screen_others(column, nature)
        for check, cells in suspects:
            checks[check][number] = cells
            flags[number, cells] = Flag.FAIL if check in {"range", "negative_or_zero"} else Flag.SUSPECT
    return Screened(flags, checks)


def _screen_others(values: Floats, nature: Nature) -> Iterator[tuple[str, Mask]]:
    """Yields the causal checks with the cells of `values` (T,) that each flags, whole runs and repeated days."""
    believed_values = values.copy()
    for check, cells in find_suspects(values, nature):
        if check == "run":
            cells = extend_runs(cells, values, CAUSAL_LIMITS.run)
        elif check == "repeat":
            cells = _find_repeated_days(values, CAUSAL_LIMITS.repeat)
        cells = cells & ~np.isnan(believed_values)
        believed_values[cells] = np.nan
        yield check, cells


def _screen_metered(values: Floats, limits: TwoSidedLimits) -> Iterator[tuple[str, Mask]]:
    """Yields the checks of the published method with the cells of `values` (T,) that each flags."""
    believed_values = values.copy()
    is_flagged = np.zeros(len(values), bool)

    def judge(check: str, cells: Mask) -> tuple[str, Mask]:
        believed_values[cells] = np.nan
        is_flagged[cells] = True
        return check, cells

    yield judge("negative_or_zero", believed_values <= 0)
    yield judge("identical_run", _end_equal_runs(believed_values, limits.run))
    yield judge("global", _find_global(believed_values, limits.largest))
    if np.isnan(believed_values).all():
        return
    usual = _measure_usual(believed_values)
    yield judge("local", _find_local(believed_values, usual, limits))
    yield judge("double_step", _find_double_steps(believed_values, usual, limits.double_step))
    single = _find_single_steps(believed_values, usual, limits, forward=True)
    believed_values[single] = np.nan
    single |= _find_single_steps(believed_values, usual, limits, forward=False)
    yield judge("single_step", single)
    yield judge("region", _find_regions(is_flagged, limits.region_share) & ~np.isnan(believed_values))
    yield judge("repeat", _find_repeated_days(values, limits.repeat) & ~np.isnan(believed_values))


def _find_repeated_days(values: Floats, run_length: int) -> Mask:
    """Returns the cells of `values` (T,) in runs of at least `run_length` that equal those some days before."""
    repeated: Mask = extend_repeats(find_repeats(values, run_length)[None], run_length)[0]
    return repeated


def _end_equal_runs(values: Floats, run_length: int) -> Mask:
    """Returns the cells of `values` (T,) that are at least the `run_length`-th of equal values in a row."""
    is_equal = ~np.isnan(values)
    for rows_back in range(1, run_length):
        is_equal[:rows_back] = False
        is_equal[rows_back:] &= values[rows_back:] == values[:-rows_back]
    return is_equal


def _find_global(values: Floats, times: float) -> Mask:
    """Returns the cells of `values` (T,) of at least `times` their median, and the known cells beside them."""
    is_known = ~np.isnan(values)
    if not is_known.any():
        return np.zeros(len(values), bool)
    is_global = values >= times * np.median(values[is_known])
    beside = np.zeros(len(values), bool)
    beside[1:] |= is_global[:-1]
    beside[:-1] |= is_global[1:]
    is_flagged: Mask = is_global | (beside & is_known)
    return is_flagged


@dataclass(frozen=True)
class _Usual:
    """What is usual around each hour (T,): `expected`: the template at the level of two days; `spread`: the quartile
    range of deviations; `step_before`, `step_after`: the value less that of the hour before and after, as they were
    before any local check; `step_spread`: the quartile range of steps; `share`, `long_share`: the value as a share of
    the template at the level of 2 and of 20 days; `share_spread`: the quartile range of changes of `share`."""

    expected: Floats
    spread: Floats
    step_before: Floats
    step_after: Floats
    step_spread: Floats
    share: Floats
    long_share: Floats
    share_spread: float


def _measure_usual(values: Floats) -> _Usual:
    median = _centered(values, MOVING_HOURS).median().to_numpy()
    long_median = _centered(values, LONG_HOURS).median().to_numpy()
    deviation = values - median
    template = 1 + _same_hour_median_beside(deviation) / long_median
    step = np.concatenate([[np.nan], np.diff(values)])
    expected = median * template
    share = values / expected
    changes = np.diff(share)
    known_changes = changes[~np.isnan(changes)]
    low, high = np.quantile(known_changes, [0.25, 0.75]) if known_changes.size else (np.nan, np.nan)
    return _Usual(
        expected,
        _quartile_range(deviation),
        step,
        np.concatenate([-step[1:], [np.nan]]),
        _quartile_range(step),
        share,
        values / (long_median * template),
        float(high - low),
    )


def _centered(values: Floats, hours: int) -> pd.api.typing.Rolling[Any]:
    """Returns the windows of `hours` around each of `values` (T,), the earlier hours one more than the later ones."""
    import pandas as pd

    return pd.Series(values).rolling(hours, min_periods=1, center=True)


def _quartile_range(values: Floats) -> Floats:
    windows = _centered(values, SPREAD_HOURS)
    quartile_range: Floats = windows.quantile(0.75).to_numpy() - windows.quantile(0.25).to_numpy()
    return quartile_range


def _same_hour_median_beside(values: Floats) -> Floats:
    """Returns the median of the same hour of `values` (T,) from ten days before to ten days after."""
    days = -(-len(values) // ROWS_PER_DAY)
    padded_values = np.full(days * ROWS_PER_DAY, np.nan)
    padded_values[: len(values)] = values
    by_hour = padded_values.reshape(days, ROWS_PER_DAY)
    gap = np.full((TEMPLATE_DAYS_BESIDE, ROWS_PER_DAY), np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.concatenate([gap, by_hour, gap]), 2 * TEMPLATE_DAYS_BESIDE + 1, axis=0
    )
    sorted_windows = np.sort(windows, axis=2)  # NaN comes last
    count = (~np.isnan(sorted_windows)).sum(axis=2, keepdims=True)
    lower = np.take_along_axis(sorted_windows, np.maximum(count - 1, 0) // 2, axis=2)
    upper = np.take_along_axis(sorted_windows, np.minimum(count // 2, sorted_windows.shape[2] - 1), axis=2)
    medians = np.where(count > 0, (lower + upper) / 2, np.nan)
    same_hour: Floats = medians.reshape(-1)[: len(values)]
    return same_hour


def _find_local(values: Floats, usual: _Usual, limits: TwoSidedLimits) -> Mask:
    is_local: Mask = (values >= usual.expected + limits.above * usual.spread) | (
        values <= usual.expected - limits.below * usual.spread
    )
    return is_local


def _find_double_steps(values: Floats, usual: _Usual, times: float) -> Mask:
    """Returns the cells of `values` (T,) that stand out from the hour before and the hour after to the same side."""
    limit = times * usual.step_spread
    is_peak = (usual.step_before > limit) & (usual.step_after > limit)
    is_dip = (usual.step_before < -limit) & (usual.step_after < -limit)
    is_flagged: Mask = (is_peak | is_dip) & ~np.isnan(values)
    return is_flagged


def _find_single_steps(values: Floats, usual: _Usual, limits: TwoSidedLimits, *, forward: bool) -> Mask:
    """Returns the cells of `values` (T,) that are a large step away from the last good cell, in one direction.

    Going forward, the cell with the larger distance from its template is the wrong one: if that is the last good
    cell, going back finds it.
    """
    rows = np.flatnonzero(~np.isnan(values))
    rows = rows if forward else rows[::-1]
    is_flagged = np.zeros(len(values), bool)
    distance = np.maximum(np.abs(1 - usual.share), np.abs(1 - usual.long_share))

    def jumps(good: Integers, cells: Integers) -> Mask:
        far: Mask = (np.abs(values[good] - values[cells]) > limits.single_step * usual.step_spread[cells]) & (
            np.abs(usual.share[good] - usual.share[cells]) > limits.single_change * usual.share_spread
        )
        return far

    position = 0
    for start in np.flatnonzero(jumps(rows[:-1], rows[1:])) + 1:  # between these, each cell is near the one before
        if start <= position:
            continue
        good, position = rows[start - 1], int(start)
        while position < len(rows) and jumps(good[None], rows[position, None])[0]:
            if forward and distance[rows[position]] < distance[good]:
                good = rows[position]
            else:
                is_flagged[rows[position]] = True
            position += 1
    return is_flagged


def _find_regions(is_flagged: Mask, good_share: float) -> Mask:
    """Returns the cells (T,) that are good, not `is_flagged`, within a day of an hour around which at most `good_share`
    of two days is good, unless a whole day before or after them is good, or they are in a good run of more than a day.

    At both ends, windows hold the hours that exist; the published method flags more there, because it counts hours
    that do not exist as bad.
    """
    day, steps = ROWS_PER_DAY, len(is_flagged)
    good, rows = ~is_flagged, np.arange(len(is_flagged))
    share_around = _count_between(good, rows - day, rows + day + 1) / (
        np.minimum(rows + day + 1, steps) - np.maximum(rows - day, 0)
    )
    is_near = _count_between(share_around <= good_share, rows - day + 1, rows + day + 1) > 0
    bad_before = _count_between(is_flagged, rows - day, rows + 1) > 0
    bad_after = _count_between(is_flagged, rows, rows + day + 1) > 0
    is_region: Mask = good & is_near & bad_before & bad_after & ~_in_long_run(good, day)
    return is_region


def _count_between(cells: Mask, begins: Integers, ends: Integers) -> Integers:
    """Returns the number of true `cells` (T,) in each range of rows from `begins` to before `ends` (N,), as far as they
    exist."""
    counts = np.concatenate([[0], np.cumsum(cells)])
    window_counts: Integers = counts[np.clip(ends, 0, len(cells))] - counts[np.clip(begins, 0, len(cells))]
    return window_counts


def _in_long_run(cells: Mask, longest: int) -> Mask:
    """Returns the cells of `cells` (T,) that are in a run of more than `longest` true cells."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], cells, [False]]).astype(np.int8)))
    in_run = np.zeros(len(cells), bool)
    for begin, end in edges.reshape(-1, 2):
        in_run[begin:end] = end - begin > longest
    return in_run
