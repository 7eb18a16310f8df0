"""Compares hourly series that should agree: one quantity from two sources, a forecast with what came, parts with
their sum; pure.

Hours are rows of UTC; NaN is missing. Only hours that both series have are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from gridtide.observations.array_types import Floats, Integers, Mask

FEWEST_HOURS = 48
"""The fewest hours with both values for which two series are compared."""


LONGEST_LAG = 6
"""In hours, the largest shift that is tried."""


@dataclass(frozen=True)
class Comparison:
    """What differs between a series and its reference in M months.

    `months` (M,): datetime64[M]. `hours` (M,): compared hours. `bias` (M,): the mean of the series less that of the
    reference. `relative_bias` (M,): as a share of the mean size of the reference. `correlation` (M,). `lag` (M,): the
    hours by which the series is late, those of the best fit; negative if it is early. `drift` (M,): the relative bias
    less that of the month before. NaN, and a lag of 0, where a month has fewer than `FEWEST_HOURS` hours or a series
    does not vary.
    """

    months: npt.NDArray[np.datetime64]
    hours: Integers
    bias: Floats
    relative_bias: Floats
    correlation: Floats
    lag: Integers
    drift: Floats


def compare_months(series: Floats, reference: Floats, start: datetime, longest_lag: int = LONGEST_LAG) -> Comparison:
    """Compares `series` with `reference`, both (T,), month by month; the first hour begins at `start`, in UTC.

    A shift of the clock of one of them shows as a lag, another share of the same demand as a bias, a meter that wears
    as drift. Raises `ValueError` if they have different lengths.
    """
    if series.shape != reference.shape:
        raise ValueError(f"series of {len(series)} and {len(reference)} hours cannot be compared")
    hours = np.datetime64(start.replace(tzinfo=None), "h") + np.arange(len(series))
    month_of_hour = hours.astype("datetime64[M]")
    months = np.unique(month_of_hour)
    month_rows = [_compare_hours(series, reference, month_of_hour == month, longest_lag) for month in months]
    columns = np.array(month_rows, np.float64).reshape(-1, 5).T
    counts, bias, relative_bias, correlation, lag = columns
    drift = np.full(len(months), np.nan)
    drift[1:] = np.diff(relative_bias)
    return Comparison(months, counts.astype(np.int64), bias, relative_bias, correlation, lag.astype(np.int64), drift)


def _compare_hours(
    series: Floats, reference: Floats, inside: Mask, longest_lag: int
) -> tuple[int, float, float, float, int]:
    """Returns the number of hours `inside` (T,) with both values, bias, relative bias, correlation and lag."""
    is_shared = inside & ~np.isnan(series) & ~np.isnan(reference)
    count = int(is_shared.sum())
    if count < FEWEST_HOURS:
        return count, np.nan, np.nan, np.nan, 0
    bias = float(series[is_shared].mean() - reference[is_shared].mean())
    size = float(np.abs(reference[is_shared]).mean())
    fits = {lag: _correlate(series, reference, inside, lag) for lag in range(-longest_lag, longest_lag + 1)}
    best = max(fits, key=lambda lag: (np.nan_to_num(fits[lag], nan=-2.0), -abs(lag)))
    return count, bias, bias / size if size else np.nan, fits[0], 0 if np.isnan(fits[0]) else best


def _correlate(series: Floats, reference: Floats, inside: Mask, lag: int) -> float:
    """Returns the correlation of `series` at the rows `inside` with `reference` `lag` rows earlier; NaN if one of them
    does not vary."""
    rows = np.flatnonzero(inside)
    rows = rows[(rows - lag >= 0) & (rows - lag < len(series))]
    first, second = series[rows], reference[rows - lag]
    is_shared = ~np.isnan(first) & ~np.isnan(second)
    first, second = first[is_shared], second[is_shared]
    if len(first) < FEWEST_HOURS or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def sum_residuals(parts: Floats, signs: Floats, total: Floats) -> Floats:
    """Returns, for each hour, the sum of `parts` (C, T) times `signs` (C,) less `total` (T,), NaN unless all are known.

    Fuels = net generation; net generation − interchange = demand; A → B = −(B → A).
    """
    residuals: Floats = signs @ parts - total
    return residuals
