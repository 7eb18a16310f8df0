"""Rolling statistics over the rows up to each row, from sums that stay exact."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gridtide.observations.array_types import FloatArray, Floats, Mask
from gridtide.threads import compute_columns
from gridtide.training.features.columns import N

ROLLING_STATISTICS = ("mean", "std", "min", "max")


ROLLED_ROWS = 8192
"""The number of rows that are processed at a time, so that they stay in the cache; twice as many do not, and take 1.8
times as long."""


CANCELLED = 1e-9
"""A variance below this share of the squared mean has lost its digits as a difference of squares."""


def compute_rolling(
    values: Floats,
    windows: Sequence[int],
    statistics: Sequence[str] = ROLLING_STATISTICS,
    out: FloatArray | None = None,
    known_share: float = 0.0,
) -> FloatArray:
    """Computes `statistics` of the known values in the last rows up to each row, for each of `windows` (in rows).

    `values` (C, T) become (windows, statistics, C, T), in float32 or in `out` if given. The standard deviation is that
    of the population. NaN where less than `known_share` of a window's rows, or none, is known.
    """
    rolled = np.empty((len(windows), len(statistics), *values.shape), np.float32) if out is None else out
    earlier = max(windows) - 1

    def roll(column: int) -> None:
        for first_row in range(0, values.shape[1], ROLLED_ROWS):
            block_begin = max(first_row - earlier, 0)
            block = values[column, block_begin : first_row + ROLLED_ROWS]
            block_rolled = np.empty((len(windows), len(statistics), len(block)), rolled.dtype)
            _roll_column(block, windows, statistics, block_rolled, known_share)
            rolled[:, :, column, first_row : first_row + ROLLED_ROWS] = block_rolled[:, :, first_row - block_begin :]

    compute_columns(roll, *values.shape)
    return rolled


def _roll_column(
    values: Floats, windows: Sequence[int], statistics: Sequence[str], rolled: FloatArray, known_share: float
) -> None:
    """Writes the statistics of one column `values` (T,) to `rolled` (windows, statistics, T).

    Sums are combined from runs of 2ᵏ rows that lie within the window, so that an absurd value before the window costs
    no precision.
    """
    observed, longest, requested = ~np.isnan(values), max(windows), set(statistics)
    zero_filled = np.where(observed, values, 0.0)
    totals = _double_runs(zero_filled, longest, np.add) if requested & {"mean", "std"} else []
    squares = _double_runs(zero_filled * zero_filled, longest, np.add) if "std" in requested else []
    minima = _double_runs(np.where(observed, values, np.inf), longest, np.minimum) if requested & {"min", "std"} else []
    maxima = (
        _double_runs(np.where(observed, values, -np.inf), longest, np.maximum) if requested & {"max", "std"} else []
    )
    for window, window_rolled in zip(windows, rolled, strict=True):
        observed_count = _count_observed(observed, window, known_share)
        mean = _sum_window(totals, window) / observed_count if totals else observed_count
        for statistic, out in zip(statistics, window_rolled, strict=True):
            if statistic == "mean":
                out[:] = mean
            elif statistic == "std":
                variance = _sum_window(squares, window)
                variance /= observed_count
                variance -= mean**2
                inexact_rows = np.flatnonzero(variance < CANCELLED * mean**2)
                inexact_rows = inexact_rows[observed_count[inexact_rows] > 1]
                _mend_variance(variance, inexact_rows, values, window, minima, maxima)
                np.sqrt(variance, out=out)
            else:
                extreme, run_extremes = (np.minimum, minima) if statistic == "min" else (np.maximum, maxima)
                _find_extremes(run_extremes, window, extreme, out)
                out[np.isnan(observed_count)] = np.nan


def _mend_variance(
    variance: Floats,
    inexact_rows: npt.NDArray[np.int64],
    values: Floats,
    window: int,
    run_minima: Sequence[Floats],
    run_maxima: Sequence[Floats],
) -> None:
    """Recomputes `variance` (T,) at the rows `inexact_rows`, from the distances of the last `window` of `values` (T,)
    from their mean; 0 if all are equal."""
    if not inexact_rows.size:
        return
    minima, maxima = (
        _find_extremes(run_extremes, window, extreme, np.empty_like(values))
        for run_extremes, extreme in ((run_minima, np.minimum), (run_maxima, np.maximum))
    )
    variance[inexact_rows] = 0.0
    rows = inexact_rows[minima[inexact_rows] < maxima[inexact_rows]]
    padded = np.concatenate([np.full(window - 1, np.nan), values])
    variance[rows] = np.nanvar(np.lib.stride_tricks.sliding_window_view(padded, window)[rows], axis=1)


def _count_observed(observed: Mask, window: int, known_share: float) -> Floats:
    """Returns the number of `observed` (T,) among the last `window` rows, NaN where none or less than `known_share` of
    them is."""
    counts: Floats = np.cumsum(observed, dtype=np.float64)
    counts[window:] -= counts[: max(len(counts) - window, 0)].copy()
    counts[counts < max(1, known_share * window)] = np.nan
    return counts


def _sum_window(run_values: Sequence[Floats], window: int) -> Floats:
    """Returns the sums over the last `window` rows, combined from adjacent runs of 2ᵏ rows."""
    powers = [power for power in range(window.bit_length()) if window >> power & 1]
    totals, length = run_values[powers[0]].copy(), 2 ** powers[0]
    for power in powers[1:]:
        totals[length:] += run_values[power][: max(len(totals) - length, 0)]
        length += 2**power
    return totals


def _double_runs(values: Floats, longest: int, extreme: np.ufunc) -> list[Floats]:
    """Returns the extremes, or sums, over the last 1, 2, 4, … rows, up to `longest`."""
    extremes = [values]
    while (length := 2 ** len(extremes)) <= longest:
        extremes.append(_join_earlier(extremes[-1], length // 2, extreme, np.empty_like(values)))
    return extremes


def _find_extremes(run_extremes: Sequence[Floats], window: int, extreme: np.ufunc, out: N) -> N:
    """Writes the extremes over the last `window` rows to `out`, combined from two overlapping runs of 2ᵏ rows."""
    power = window.bit_length() - 1
    return _join_earlier(run_extremes[power], window - 2**power, extreme, out)


def _join_earlier(values: Floats, rows: int, extreme: np.ufunc, out: N) -> N:
    """Writes to `out` the `extreme` of each of `values` (T,) and the value `rows` before it, if there is one."""
    out[:rows] = values[:rows]
    if rows < len(values):
        extreme(values[rows:], values[: len(values) - rows], out=out[rows:])
    return out
