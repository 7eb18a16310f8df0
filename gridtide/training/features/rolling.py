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
) -> FloatArray:
    """`statistics` over the last rows up to each, of what is known there, for each of `windows` (in rows).

    `values` (C, T) give (windows, statistics, C, T) in float32, or in `out` if that is given. The deviation
    is that of the population.
    """
    found = np.empty((len(windows), len(statistics), *values.shape), np.float32) if out is None else out
    earlier = max(windows) - 1
    for column in range(len(values)):
        for first in range(0, values.shape[1], ROLLED_ROWS):
            begin = max(first - earlier, 0)
            piece = values[column, begin : first + ROLLED_ROWS]
            made = np.empty((len(windows), len(statistics), len(piece)), found.dtype)
            _rolling_of(piece, windows, statistics, made)
            found[:, :, column, first : first + ROLLED_ROWS] = made[:, :, first - begin :]
    return found


def _rolling_of(values: Floats, windows: Sequence[int], statistics: Sequence[str], found: FloatArray) -> None:
    """Write the statistics of one column `values` (T,) to `found` (windows, statistics, T).

    Sums are put together of runs of 2ᵏ rows, all in the window: an absurd value before it takes no digit from them.
    """
    known, longest, asked = ~np.isnan(values), max(windows), set(statistics)
    plain = np.where(known, values, 0.0)
    totals = _doubling(plain, longest, np.add) if asked & {"mean", "std"} else []
    squares = _doubling(plain * plain, longest, np.add) if "std" in asked else []
    lows = _doubling(np.where(known, values, np.inf), longest, np.minimum) if asked & {"min", "std"} else []
    highs = _doubling(np.where(known, values, -np.inf), longest, np.maximum) if asked & {"max", "std"} else []
    for window, into in zip(windows, found, strict=True):
        number = _count(known, window)
        mean = _total(totals, window) / number if totals else number
        for statistic, out in zip(statistics, into, strict=True):
            if statistic == "mean":
                out[:] = mean
            elif statistic == "std":
                variance = _total(squares, window)
                variance /= number
                variance -= mean**2
                close = np.flatnonzero(variance < CANCELLED * mean**2)
                _mend(variance, close[number[close] > 1], values, window, lows, highs)
                np.sqrt(variance, out=out)
            else:
                extreme, steps = (np.minimum, lows) if statistic == "min" else (np.maximum, highs)
                _extreme(steps, window, extreme, out)
                out[np.isnan(number)] = np.nan


def _mend(
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
        _extreme(steps, window, extreme, np.empty_like(values))
        for steps, extreme in ((lows, np.minimum), (highs, np.maximum))
    )
    variance[close] = 0.0
    rows = close[least[close] < most[close]]
    before = np.concatenate([np.full(window - 1, np.nan), values])
    variance[rows] = np.nanvar(np.lib.stride_tricks.sliding_window_view(before, window)[rows], axis=1)


def _count(known: Mask, window: int) -> Floats:
    """How many of the last `window` rows are `known` (T,), NaN where none is."""
    counts: Floats = np.cumsum(known, dtype=np.float64)
    counts[window:] -= counts[: max(len(counts) - window, 0)].copy()
    counts[counts == 0] = np.nan
    return counts


def _total(steps: Sequence[Floats], window: int) -> Floats:
    """The sums over the last `window` rows: those of runs of 2ᵏ rows, one after the other."""
    powers = [power for power in range(window.bit_length()) if window >> power & 1]
    found, length = steps[powers[0]].copy(), 2 ** powers[0]
    for power in powers[1:]:
        found[length:] += steps[power][: max(len(found) - length, 0)]
        length += 2**power
    return found


def _doubling(values: Floats, longest: int, extreme: np.ufunc) -> list[Floats]:
    """The extremes, or sums, over the last 1, 2, 4, … rows, up to `longest`."""
    found = [values]
    while (length := 2 ** len(found)) <= longest:
        found.append(_with_earlier(found[-1], length // 2, extreme, np.empty_like(values)))
    return found


def _extreme(steps: Sequence[Floats], window: int, extreme: np.ufunc, out: N) -> N:
    """The extremes over the last `window` rows, in `out`: those of two runs of 2ᵏ rows that overlap."""
    power = window.bit_length() - 1
    return _with_earlier(steps[power], window - 2**power, extreme, out)


def _with_earlier(values: Floats, rows: int, extreme: np.ufunc, out: N) -> N:
    """`extreme` of each of `values` (T,) and the one `rows` before it, where there is one, in `out`."""
    out[:rows] = values[:rows]
    if rows < len(values):
        extreme(values[rows:], values[: len(values) - rows], out=out[rows:])
    return out
