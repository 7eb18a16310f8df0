"""Rolling statistics over the hours before a step, by sums that stay exact."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gridtide.observations.array_types import FloatArray, Floats, Mask
from gridtide.training.features.columns import N

ROLLING_STATISTICS = ("mean", "std", "min", "max")


ROLLED_ROWS = 8192
"""Rows that are rolled over at a time: they stay in the cache; twice as many do not, and take 1.8 times as long."""


CANCELLED = 1e-9
"""The share of its mean's square below which a variance has lost its digits as a difference of squares."""


def rolling_statistics(
    values: Floats,
    windows: Sequence[int],
    statistics: Sequence[str] = ROLLING_STATISTICS,
    out: FloatArray | None = None,
    known_share: float = 0.0,
) -> FloatArray:
    """`statistics` over the last rows up to each, of what is known there, for each of `windows` (in rows).

    `values` (C, T) give (windows, statistics, C, T) in float32, or in `out` if that is given. The deviation
    is that of the population. NaN where less than `known_share` of a window's rows, or none, is known.
    """
    rolled = np.empty((len(windows), len(statistics), *values.shape), np.float32) if out is None else out
    earlier = max(windows) - 1
    for column in range(len(values)):
        for first in range(0, values.shape[1], ROLLED_ROWS):
            begin = max(first - earlier, 0)
            piece = values[column, begin : first + ROLLED_ROWS]
            piece_rolled = np.empty((len(windows), len(statistics), len(piece)), rolled.dtype)
            _roll_column(piece, windows, statistics, piece_rolled, known_share)
            rolled[:, :, column, first : first + ROLLED_ROWS] = piece_rolled[:, :, first - begin :]
    return rolled


def _roll_column(
    values: Floats, windows: Sequence[int], statistics: Sequence[str], rolled: FloatArray, known_share: float
) -> None:
    """Write the statistics of one column `values` (T,) to `rolled` (windows, statistics, T).

    Sums are put together of runs of 2ᵏ rows, all in the window: an absurd value before it takes no digit from them.
    """
    observed, longest, requested = ~np.isnan(values), max(windows), set(statistics)
    plain = np.where(observed, values, 0.0)
    totals = _double_runs(plain, longest, np.add) if requested & {"mean", "std"} else []
    squares = _double_runs(plain * plain, longest, np.add) if "std" in requested else []
    lows = _double_runs(np.where(observed, values, np.inf), longest, np.minimum) if requested & {"min", "std"} else []
    highs = _double_runs(np.where(observed, values, -np.inf), longest, np.maximum) if requested & {"max", "std"} else []
    for window, into in zip(windows, rolled, strict=True):
        number = _count_observed(observed, window, known_share)
        mean = _sum_window(totals, window) / number if totals else number
        for statistic, out in zip(statistics, into, strict=True):
            if statistic == "mean":
                out[:] = mean
            elif statistic == "std":
                variance = _sum_window(squares, window)
                variance /= number
                variance -= mean**2
                close = np.flatnonzero(variance < CANCELLED * mean**2)
                _mend_variance(variance, close[number[close] > 1], values, window, lows, highs)
                np.sqrt(variance, out=out)
            else:
                extreme, steps = (np.minimum, lows) if statistic == "min" else (np.maximum, highs)
                _window_extreme(steps, window, extreme, out)
                out[np.isnan(number)] = np.nan


def _mend_variance(
    variance: Floats,
    close: npt.NDArray[np.int64],
    values: Floats,
    window: int,
    lows: Sequence[Floats],
    highs: Sequence[Floats],
) -> None:
    """Write to `variance` (T,) at the rows `close` that of the last `window` of `values` (T,) by their distances from
    their mean; 0 where all are equal."""
    if not close.size:
        return
    least, most = (
        _window_extreme(steps, window, extreme, np.empty_like(values))
        for steps, extreme in ((lows, np.minimum), (highs, np.maximum))
    )
    variance[close] = 0.0
    rows = close[least[close] < most[close]]
    before = np.concatenate([np.full(window - 1, np.nan), values])
    variance[rows] = np.nanvar(np.lib.stride_tricks.sliding_window_view(before, window)[rows], axis=1)


def _count_observed(observed: Mask, window: int, known_share: float) -> Floats:
    """How many of the last `window` rows are `observed` (T,), NaN where none or less than `known_share` of them is."""
    counts: Floats = np.cumsum(observed, dtype=np.float64)
    counts[window:] -= counts[: max(len(counts) - window, 0)].copy()
    counts[counts < max(1, known_share * window)] = np.nan
    return counts


def _sum_window(steps: Sequence[Floats], window: int) -> Floats:
    """The sums over the last `window` rows: those of runs of 2ᵏ rows, one after the other."""
    powers = [power for power in range(window.bit_length()) if window >> power & 1]
    totals, length = steps[powers[0]].copy(), 2 ** powers[0]
    for power in powers[1:]:
        totals[length:] += steps[power][: max(len(totals) - length, 0)]
        length += 2**power
    return totals


def _double_runs(values: Floats, longest: int, extreme: np.ufunc) -> list[Floats]:
    """The extremes, or sums, over the last 1, 2, 4, … rows, up to `longest`."""
    extremes = [values]
    while (length := 2 ** len(extremes)) <= longest:
        extremes.append(_with_earlier(extremes[-1], length // 2, extreme, np.empty_like(values)))
    return extremes


def _window_extreme(steps: Sequence[Floats], window: int, extreme: np.ufunc, out: N) -> N:
    """The extremes over the last `window` rows, in `out`: those of two runs of 2ᵏ rows that overlap."""
    power = window.bit_length() - 1
    return _with_earlier(steps[power], window - 2**power, extreme, out)


def _with_earlier(values: Floats, rows: int, extreme: np.ufunc, out: N) -> N:
    """`extreme` of each of `values` (T,) and the one `rows` before it, where there is one, in `out`."""
    out[:rows] = values[:rows]
    if rows < len(values):
        extreme(values[rows:], values[: len(values) - rows], out=out[rows:])
    return out
