"""Checks of one hourly series, each a pure function from values (T,) to the cells that it rejects; NaN is missing.

Every check decides on row `t` from rows up to `t` only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gridtide.observations.array_types import Floats, Mask
from gridtide.quality.natures import Nature
from gridtide.quality.shifting import shift_later

ROWS_PER_DAY, ROWS_PER_WEEK = 24, 168
"""Rows are hours."""


VARIED = 13 * ROWS_PER_DAY
"""The most rows in which a value must differ from the one so many days before, for days that repeat to be rejected."""

COMPARED = 15 * ROWS_PER_DAY
"""Rows on which the verdict on a repeated day depends; they are not more than the history that is read."""

LONGEST_STRETCH = 7
"""Days of the longest stretch that is looked for: a week that is sent again."""


def find_impossible(values: Floats, nature: Nature) -> Mask:
    """Returns the cells of `values` (T,) that lie outside the range of their `nature`."""
    is_impossible: Mask = (values < nature.low) | (values > nature.high)
    return is_impossible


def find_stale(values: Floats, run_length: int) -> Mask:
    """Returns the cells of `values` (T,) that are at least the `run_length`-th of equal values in a row, except zeros
    and gaps."""
    is_stale: Mask = (values != 0) & ~np.isnan(values)
    if run_length == 1:
        return is_stale
    equal = np.zeros(len(values), bool)
    np.equal(values[1:], values[:-1], out=equal[1:])
    is_stale &= _end_runs(equal, run_length - 1)
    return is_stale


def find_repeats(values: Floats, run_length: int) -> Mask:
    """Returns the cells of `values` (T,) that are at least the `run_length`-th in a row to equal the value of one, two,
    up to `LONGEST_STRETCH` days before, except zeros: a day, or a stretch of days, is sent again.

    A cell counts only if some value of the last rows, up to `VARIED`, differs from the one so many days before: series
    whose days or weeks are all equal have no other values.
    """
    is_repeated: Mask = np.zeros(len(values), bool)
    for lag in range(ROWS_PER_DAY, LONGEST_STRETCH * ROWS_PER_DAY + 1, ROWS_PER_DAY):
        earlier = shift_later(values, lag)
        is_equal = _end_runs((values == earlier) & (values != 0), run_length)
        if is_equal.any():
            is_repeated |= is_equal & _have_changed(values, earlier, min(VARIED, COMPARED - lag))
    return is_repeated


def _have_changed(values: Floats, earlier: Floats, row_count: int) -> Mask:
    """Whether any of the last `row_count` of `values` (T,), up to each row, differs from its `earlier` value."""
    changes = np.cumsum(~np.isnan(values) & ~np.isnan(earlier) & (values != earlier))
    recent_changes = changes.copy()
    recent_changes[row_count:] -= changes[:-row_count]
    have_changed: Mask = recent_changes > 0
    return have_changed


def extend_repeats(is_repeated: Mask, run_length: int) -> Mask:
    """Adds to the cells `is_repeated` (C, T) of `find_repeats` the first `run_length` - 1 rows of each run.

    This uses later rows, so it is for the true values of targets only.
    """
    is_in_run = is_repeated.copy()
    for back in range(1, run_length):
        is_in_run[:, :-back] |= is_repeated[:, back:]
    return is_in_run


def _end_runs(cells: Mask, run_length: int) -> Mask:
    """Returns the cells of `cells` (T,) that are at least the `run_length`-th of true cells in a row."""
    run_ends = cells.copy()
    length = 1
    while length < run_length:  # runs of `length`, doubled
        step = min(length, run_length - length)
        run_ends[step:] &= run_ends[:-step].copy()
        run_ends[:step] = False
        length += step
    return run_ends


def find_spikes(values: Floats, times: float) -> Mask:
    """Returns the cells of `values` (T,) that jump by more than `times` the largest step of a usual day.

    The jump is measured from the median of the values 1, 2, 3, 24 and 168 rows before, which one or two spikes among
    them do not move. A cell is judged only if the first three are known; the value before replaces either of the others
    if it is missing. The largest step of a usual day is the median over the last seven whole days (of 24 rows, counted
    from the first row), of which at least three must be known.
    """
    largest_jumps = times * _usual_step(values)
    is_spike = np.zeros(len(values), bool)
    rows = _jump_rows(values, largest_jumps / 3)
    before = {
        rows_back: values[np.maximum(rows - rows_back, 0)] for rows_back in (1, 2, 3, ROWS_PER_DAY, ROWS_PER_WEEK)
    }
    reference_values = np.stack([np.where(rows >= rows_back, earlier, np.nan) for rows_back, earlier in before.items()])
    is_judged = ~np.isnan(reference_values[:3]).any(axis=0)
    expected_values = np.sort(np.where(np.isnan(reference_values), reference_values[0], reference_values), axis=0)[2]
    is_spike[rows] = is_judged & (np.abs(values[rows] - expected_values) > largest_jumps[rows // ROWS_PER_DAY])
    return is_spike


def _jump_rows(values: Floats, limit: Floats) -> npt.NDArray[np.int64]:
    """Returns the rows of `values` (T,) with a step above their day's `limit` in the last three rows.

    No other row can be a spike: a value far from the median of the five is far from one of the last three values.
    """
    step_sizes = np.zeros(len(limit) * ROWS_PER_DAY)
    np.abs(values[1:] - values[:-1], out=step_sizes[1 : len(values)])
    largest = step_sizes.copy()
    for rows_back in (1, 2):
        np.fmax(largest[rows_back:], step_sizes[:-rows_back], out=largest[rows_back:])
    rows = np.flatnonzero(largest.reshape(-1, ROWS_PER_DAY) > limit[:, None])
    return rows[rows < len(values)]


def _usual_step(values: Floats) -> Floats:
    """Returns, for each day, the median of the largest steps of the seven days before, (days,); NaN where unknown or
    0."""
    day_count = -(-len(values) // ROWS_PER_DAY)
    step_sizes = np.full(day_count * ROWS_PER_DAY, -1.0)
    step_sizes[1 : len(values)] = np.abs(values[1:] - values[:-1])
    largest = np.fmax.reduce(step_sizes.reshape(day_count, ROWS_PER_DAY), axis=1)
    largest[largest < 0] = np.nan
    recent = np.sort(np.stack([shift_later(largest, day) for day in range(1, 8)]), axis=0)  # NaN comes last
    known_count = (~np.isnan(recent)).sum(axis=0)
    day_numbers = np.arange(day_count)
    usual = (
        recent[np.maximum(known_count - 1, 0) // 2, day_numbers] + recent[np.minimum(known_count // 2, 6), day_numbers]
    ) / 2
    return np.where((known_count >= 3) & (usual > 0), usual, np.nan)


def extend_runs(is_stale: Mask, values: Floats, run_length: int) -> Mask:
    """Adds to the cells `is_stale` (T,) of `find_stale` the first `run_length` - 1 rows of each run of equal `values`;
    this uses later rows."""
    is_in_run = is_stale.copy()
    for _ in range(run_length - 1):
        is_in_run[:-1] |= is_in_run[1:] & (values[:-1] == values[1:])
    return is_in_run
