"""Derives features from the columns as they were known: calendar, lags, rolling statistics, power, prices, weather.

Pure and causal. Every function takes and returns (columns, T) or (T,) arrays with NaN where nothing is known, and row
`t` of a result depends only on rows up to `t`, to the bit: nothing is centred or scaled by later values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gridtide.observations.array_types import FloatArray, Mask
from gridtide.periods import Period
from gridtide.threads import compute_columns
from gridtide.training.features.calendar import derive_calendar
from gridtide.training.features.columns import Columns, Feature
from gridtide.training.features.power import derive_power
from gridtide.training.features.prices import derive_prices
from gridtide.training.features.rolling import compute_rolling
from gridtide.training.features.weather import derive_weather
from gridtide.training.series.steps import format_span
from gridtide.training.spec import Features, Location


def derive_columns(inputs: Columns, period: Period, location: Location, groups: Features) -> Columns:
    """Returns `inputs` over the rows of `period` and the features that `groups` selects, group by group.

    Lags and rolling statistics are derived from inputs that look ahead by one step at most.
    """
    present = inputs.take([feature.series is not None for feature in inputs.features])
    history = present.take(
        [feature.lookback >= -1 and groups.concerns(feature.series or "") for feature in present.features]
    )
    parts = [_copy_part(inputs)]
    if groups.power:
        parts.append(_copy_part(derive_power(present)))
    if groups.prices:
        parts.append(_copy_part(derive_prices(present)))
    if groups.weather:
        parts.append(_copy_part(derive_weather(present, period, location.timezone)))
    parts += [_lag_part(history, hours) for hours in groups.lags]
    if groups.rolling:
        parts.append(_statistics_part(history, groups))
    if groups.calendar:
        parts.append(_copy_part(derive_calendar(period, location.timezone, location.holidays, inputs.step)))
    return _write_parts(parts, inputs)


_Part = tuple[tuple[Feature, ...], Callable[[FloatArray, Mask], None]]
"""Features, and a function that writes their values and mask (C, T) in place: copies would take gigabytes."""


def _write_parts(parts: Sequence[_Part], inputs: Columns) -> Columns:
    features = tuple(feature for part_features, _ in parts for feature in part_features)
    ends = np.cumsum([len(part_features) for part_features, _ in parts])
    array_shape = len(features), inputs.values.shape[1]
    values, observed = np.empty(array_shape, np.float32), np.empty(array_shape, bool)
    for (part_features, write), end in zip(parts, ends, strict=True):
        rows = slice(end - len(part_features), end)
        write(values[rows], observed[rows])
    return Columns(features, values, observed, inputs.step)


def _copy_part(columns: Columns) -> _Part:
    def write(values: FloatArray, observed: Mask) -> None:
        def copy(column: int) -> None:
            values[column], observed[column] = columns.values[column], columns.observed[column]

        compute_columns(copy, *values.shape)

    return columns.features, write


def _lag_part(past: Columns, hours: int) -> _Part:
    span = format_span(hours, past.step)
    features = tuple(
        feature.then(f" lag {span}", f"{feature.name} of {hours} rows before", more=hours) for feature in past.features
    )

    def write(values: FloatArray, observed: Mask) -> None:
        def copy(column: int) -> None:
            values[column, :hours], observed[column, :hours] = np.nan, False
            values[column, hours:], observed[column, hours:] = (
                past.values[column, :-hours],
                past.observed[column, :-hours],
            )

        compute_columns(copy, *values.shape)

    return features, write


def _statistics_part(past: Columns, groups: Features) -> _Part:
    windows, statistics = groups.rolling, groups.statistics
    features = tuple(
        feature.then(
            f" {statistic} {format_span(hours, past.step)}",
            f"{statistic} of what is observed of {feature.name} over the last {hours} rows",
            more=hours - 1,
        )
        for hours in windows
        for statistic in statistics
        for feature in past.features
    )

    def write(values: FloatArray, observed: Mask) -> None:
        observed_values = np.where(past.observed, past.values, np.nan)
        rolled = values.reshape(len(windows), len(statistics), *observed_values.shape)
        compute_rolling(observed_values, windows, statistics, rolled, groups.known_share)
        np.logical_not(np.isnan(values, out=observed), out=observed)

    return features, write
