"""Weather features: degree hours, wind power, temperature at the local hour."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from gridtide.observations.array_types import Floats, Mask
from gridtide.periods import DAY, Period
from gridtide.training.features.calendar import local_hours
from gridtide.training.features.columns import ColumnBuilder, Columns, Feature
from gridtide.training.features.rolling import compute_rolling
from gridtide.training.series.steps import format_span
from gridtide.variables import SeriesName

COMFORT = {"°C": 18.0, "°F": 65.0}
"""The temperature at which neither heating nor cooling is needed."""


METRES_A_SECOND = {"m/s": 1.0, "km/h": 1 / 3.6, "mp/h": 0.44704, "kn": 0.514444}


def derive_weather(inputs: Columns, period: Period, timezone: str) -> Columns:
    """Returns, for temperatures, degrees of heating and cooling by hour and by day, means over one and three days, and
    products with the hour of the day; for wind speeds, the cube, which is proportional to the power in the wind."""
    builder, step = ColumnBuilder(inputs.values.shape[1]), inputs.step
    for feature, values, observed in zip(inputs.features, inputs.values, inputs.observed, strict=True):
        if feature.series is None:
            continue
        variable = SeriesName.parse(feature.series).variable
        if variable.startswith("wind_speed") and feature.unit in METRES_A_SECOND:
            cubed_speed = (values * METRES_A_SECOND[feature.unit]) ** 3
            builder.add(feature.then(" cubed", f"({feature.name} in m/s)³", unit="m³/s³"), cubed_speed, observed)
        if variable.startswith("temperature_") and feature.unit in COMFORT:
            _add_temperature(
                builder, feature, values, observed, _find_local_hour(period, timezone, -feature.lookback, step), step
            )
    return builder.build()


def _add_temperature(
    builder: ColumnBuilder, feature: Feature, values: Floats, observed: Mask, hour: Floats, step: timedelta
) -> None:
    comfort, unit, rows_per_day = COMFORT[feature.unit], feature.unit, DAY // step
    degrees = {
        "heating": (f"max({comfort:g} {unit} − {feature.name}, 0)", np.maximum(comfort - values, 0)),
        "cooling": (f"max({feature.name} − {comfort:g} {unit}, 0)", np.maximum(values - comfort, 0)),
    }
    observed_values = np.where(observed, values, np.nan)
    for name, (formula, degrees_off) in degrees.items():
        builder.add(feature.then(f" {name}", formula), degrees_off, observed)
        if step == DAY:
            continue  # the degrees of a day are degree days
        daily_mean = compute_rolling(np.where(observed, degrees_off, np.nan)[None], (rows_per_day,), ("mean",))[0, 0, 0]
        formula = f"mean of {formula} over the last {rows_per_day} rows: degree days"
        builder.add(feature.then(f" {name} 24h", formula, more=rows_per_day - 1), daily_mean, ~np.isnan(daily_mean))
    windows = [rows for rows in (rows_per_day, 3 * rows_per_day) if rows > 1]
    for rows, (mean_values,) in zip(windows, compute_rolling(observed_values[None], windows, ("mean",)), strict=True):
        formula, span = f"mean of what is observed of {feature.name} over the last {rows} rows", format_span(rows, step)
        builder.add(feature.then(f" past {span}", formula, more=rows - 1), mean_values[0], ~np.isnan(mean_values[0]))
    for function in (np.sin, np.cos) if step < DAY else ():
        formula = f"{feature.name} · {function.__name__}(2π · local hour / 24), of the hour that it describes"
        by_hour = values * function(2 * np.pi * hour / 24)
        builder.add(feature.then(f" × hour_{function.__name__}", formula), by_hour, observed)


def _find_local_hour(period: Period, timezone: str, shift: int, step: timedelta) -> Floats:
    local_time = local_hours(period, timezone, shift, step)
    hours: Floats = (local_time - local_time.astype("datetime64[D]")) / np.timedelta64(1, "h")
    return hours
