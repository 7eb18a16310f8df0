"""What is made of the columns as they were known: calendar, lags, rolling statistics; pure and causal.

Every function takes and gives (columns, T) or (T,) arrays with NaN where nothing is known, and row
`t` of what it gives depends on rows up to `t` alone, to the bit: nothing is centred or scaled by what
comes later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from gridtide.hourly import HOUR, local_times, microseconds
from gridtide.periods import Period

Floats = npt.NDArray[np.float64]

STATISTICS = ("mean", "std", "min", "max")


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of a base: its name, unit, formula, and how many hours before its row it looks back.

    `series` is what it is made of, None for the calendar or where a location has no such series.
    A `lookback` below 0 is a value that was known ahead, about an hour after the row.
    """

    name: str
    unit: str
    formula: str
    lookback: int
    series: str | None


@dataclass(frozen=True)
class Columns:
    """C columns over T rows: `features` (C), `values` (C, T), and `observed` (C, T), False where filled or missing."""

    features: tuple[Feature, ...]
    values: Floats
    observed: npt.NDArray[np.bool_]

    def take(self, chosen: npt.NDArray[np.bool_]) -> Columns:
        """Those where `chosen` (C,)."""
        kept = tuple(feature for feature, keep in zip(self.features, chosen, strict=True) if keep)
        return Columns(kept, self.values[chosen], self.observed[chosen])


def joined(parts: Sequence[Columns]) -> Columns:
    """The columns of all `parts`, in their order."""
    return Columns(
        tuple(feature for part in parts for feature in part.features),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.observed for part in parts]),
    )


def derive(
    inputs: Columns, period: Period, *, timezone: str, calendar: bool, lags: Sequence[int], windows: Sequence[int]
) -> Columns:
    """`inputs` over the rows of `period`, and what is made of them.

    Lags and rolling statistics (over `windows` hours) are made of inputs that are not known ahead.
    """
    past = inputs.take(np.array([feature.lookback >= -1 for feature in inputs.features], bool))
    parts = [inputs, *(_lag(past, hours) for hours in lags), *(_statistics(past, hours) for hours in windows)]
    return joined([*parts, of_calendar(period, timezone)] if calendar else parts)


def _lag(past: Columns, hours: int) -> Columns:
    features = tuple(
        replace(
            f, name=f"{f.name} lag {hours}h", formula=f"{f.name} of {hours} rows before", lookback=f.lookback + hours
        )
        for f in past.features
    )
    observed = np.zeros_like(past.observed)
    observed[:, hours:] = past.observed[:, : max(past.observed.shape[1] - hours, 0)]
    return Columns(features, lagged(past.values, hours), observed)


def _statistics(past: Columns, hours: int) -> Columns:
    known = np.where(past.observed, past.values, np.nan)
    found = rolling(known, hours)
    features = tuple(
        replace(
            f,
            name=f"{f.name} {statistic} {hours}h",
            formula=f"{statistic} of what is observed of {f.name} over the last {hours} rows",
            lookback=f.lookback + hours - 1,
        )
        for statistic in STATISTICS
        for f in past.features
    )
    values = np.concatenate([found[statistic] for statistic in STATISTICS])
    return Columns(features, values, ~np.isnan(values))


def of_calendar(period: Period, timezone: str) -> Columns:
    """Place of each row's hour in the day, week and year of local time: 13 columns."""
    steps = period.duration // timedelta(hours=1)
    local = local_times(microseconds(period.start) + np.arange(steps) * HOUR, timezone)
    day = local.astype("datetime64[D]")
    hour = (local - day) / np.timedelta64(1, "h")
    weekday = (day.astype(np.int64) + 3) % 7  # 1970 began on a Thursday
    first, following = (day.astype("datetime64[Y]") + n for n in (0, 1))
    year = (following.astype("datetime64[D]") - first.astype("datetime64[D]")).astype(np.int64)
    place = (local - first) / np.timedelta64(1, "D")
    columns: dict[str, tuple[str, npt.NDArray[np.generic]]] = {}
    for name, value, round_, text in (
        ("hour", hour, 24, "hour / 24"),
        ("weekday", weekday + hour / 24, 7, "(weekday + hour / 24) / 7"),
        ("year", place, year, "day of year / days of the year"),
    ):
        for function in (np.sin, np.cos):
            columns[f"{name}_{function.__name__}"] = (
                f"{function.__name__}(2π · {text})",
                function(2 * np.pi * value / round_),
            )
    workday = weekday < 5
    columns["weekend"] = ("1 on Saturday and Sunday", ~workday)
    columns["business_hour"] = ("1 from 8 to 18 on Monday to Friday", workday & (hour >= 8) & (hour < 18))
    columns["peak_hour"] = ("1 from 7 to 23 on Monday to Friday (NERC on-peak)", workday & (hour >= 7) & (hour < 23))
    month = local.astype("datetime64[M]").astype(np.int64) % 12 + 1
    for season, months in (
        ("winter", (12, 1, 2)),
        ("spring", (3, 4, 5)),
        ("summer", (6, 7, 8)),
        ("autumn", (9, 10, 11)),
    ):
        columns[season] = (f"1 in the months {', '.join(map(str, months))}", np.isin(month, months))
    features = [Feature(f"calendar/{name}", "1", text, 0, None) for name, (text, _) in columns.items()]
    found = np.stack([values.astype(np.float64) for _, values in columns.values()])
    return Columns(tuple(features), found, np.ones_like(found, bool))


def lagged(values: Floats, hours: int) -> Floats:
    """`values` (…, T) of `hours` rows before."""
    found = np.full_like(values, np.nan)
    found[..., hours:] = values[..., : max(values.shape[-1] - hours, 0)]
    return found


def rolling(values: Floats, hours: int) -> dict[str, Floats]:
    """Mean, std, min and max over the last `hours` rows up to each, of what is known there; (…, T) each."""
    known = ~np.isnan(values)
    first = np.take_along_axis(values, np.argmax(known, axis=-1, keepdims=True), axis=-1)
    centred = np.where(known, values - first, 0.0)  # on a value of the past, which keeps the sums small
    count = _sums(known.astype(np.float64), hours)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = _sums(centred, hours) / count
        variance = np.maximum(_sums(centred**2, hours) / count - mean**2, 0.0)
    return {
        "mean": mean + first,
        "std": np.sqrt(variance),
        "min": _extremes(values, hours, np.fmin),
        "max": _extremes(values, hours, np.fmax),
    }


def _sums(values: Floats, hours: int) -> Floats:
    """Sums over the last `hours` rows."""
    sums = np.cumsum(values, axis=-1)
    found = sums.copy()
    found[..., hours:] -= sums[..., : max(values.shape[-1] - hours, 0)]
    return found


def _extremes(values: Floats, hours: int, extreme: np.ufunc) -> Floats:
    """`extreme` over the last `hours` rows, by windows that double in length."""
    found, length = values.copy(), 1
    while length < hours:
        step = min(length, hours - length)
        found[..., step:] = extreme(found[..., step:], found[..., :-step].copy())
        length += step
    return found
