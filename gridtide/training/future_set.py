"""The covariates of the steps to predict, of all windows of a set, scaled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from gridtide.errors import TrainingError
from gridtide.periods import DAY, HOUR, Period, local_day
from gridtide.training.features.bases import Base
from gridtide.training.features.columns import ABSENT, UNSCALED, Feature
from gridtide.training.features.future import (
    Forecast,
    FutureCovariates,
    align_forecasts,
    build_future,
    collect_forecasts,
    without_versions,
)
from gridtide.training.series.hourly import Hourly
from gridtide.training.series.matching import SeriesKind
from gridtide.training.spec import Location, TrainingSpec
from gridtide.training.windows.scaling import Scale, fit_scale, identity_scale
from gridtide.training.windows.windows import Windows


@dataclass(frozen=True)
class FutureSet:
    """G covariates of the N windows of each split over H steps: `values` (N, H, G) float32, scaled, 0 where missing;
    `mask` (N, H, G): where known; `columns` and `scales`: one each per location; `unscaled`: per location, the columns
    left out because nothing scales them. G is 0 if the spec asks for none.
    """

    values: Mapping[str, npt.NDArray[np.float32]]
    mask: Mapping[str, npt.NDArray[np.bool_]]
    columns: tuple[tuple[Feature, ...], ...]
    scales: tuple[Scale, ...]
    unscaled: tuple[tuple[str, ...], ...]


def assemble_future(
    spec: TrainingSpec,
    period: Period,
    train: slice,
    bases: Sequence[Base],
    placed: Mapping[str, npt.NDArray[np.int64]],
) -> FutureSet:
    """Returns the covariates of the windows `placed` of each split: location, start, and the half-open range of the
    steps to predict, (N, 4).

    Forecasts are scaled by their versions for the steps `train`. A forecast without a scale there is left out at the
    location; `TrainingError` is raised if the spec refuses such inputs.
    """
    forecasts = align_forecasts([base.forecasts for base in bases])
    scales = [_fit_forecasts(spec, row, train) for row in forecasts]
    unscaled = [
        tuple(
            f"future {forecast.feature.name}"
            for forecast, cell in zip(row, scale.spread == 0, strict=True)
            if cell and forecast.feature.series
        )
        for row, scale in zip(forecasts, scales, strict=True)
    ]
    if spec.unscaled_inputs == "refuse" and any(unscaled):
        names = ", ".join(name for names in unscaled for name in names)
        raise TrainingError(
            spec.name,
            f"forecasts are never observed, or constant, for the train hours, so that nothing scales them ({names})",
            "Choose another period, train_end or series, or unscaled_inputs drop",
        )
    scaled = [_scale_forecasts(row, scale) for row, scale in zip(forecasts, scales, strict=True)]
    covariates = {
        split: [
            _build_location(spec, period, number, scaled[number], rows[rows[:, 0] == number])
            for number in range(len(bases))
        ]
        for split, rows in placed.items()
    }
    columns = _align_columns([part.columns for part in next(iter(covariates.values()))])
    values = {split: _join_locations(parts, placed[split], columns[0]) for split, parts in covariates.items()}
    return FutureSet(
        {split: np.nan_to_num(array, nan=0.0) for split, array in values.items()},
        {split: ~np.isnan(array) for split, array in values.items()},
        tuple(columns),
        tuple(_spread_scale(scale, len(columns[0])) for scale in scales),
        tuple(unscaled),
    )


def _fit_forecasts(spec: TrainingSpec, forecasts: Sequence[Forecast], train: slice) -> Scale:
    """Returns the scale of each of `forecasts`, fitted on its versions for the steps `train`."""
    if spec.scaling != "standard" or not forecasts:
        return identity_scale(len(forecasts))
    fitted = []
    for forecast in forecasts:
        values = forecast.value[(forecast.row >= train.start) & (forecast.row < train.stop)][:, None]
        fitted.append(fit_scale(values, np.ones(values.shape, bool)))
    mean, deviation, spread = (
        np.concatenate([getattr(scale, name) for scale in fitted]) for name in ("mean", "deviation", "spread")
    )
    return Scale(mean, deviation, spread > 0)


def _scale_forecasts(forecasts: Sequence[Forecast], scale: Scale) -> list[Forecast]:
    """Returns `forecasts` scaled; one that nothing scales has no version."""
    scaled = []
    for number, forecast in enumerate(forecasts):
        if scale.spread[number]:
            scaled.append(replace(forecast, value=(forecast.value - scale.mean[number]) / scale.deviation[number]))
        else:
            feature = forecast.feature
            if feature.series:
                feature = replace(feature, name="absent", unit="", formula=UNSCALED, series=None)
            scaled.append(without_versions(feature))
    return scaled


def _build_location(
    spec: TrainingSpec, period: Period, number: int, forecasts: Sequence[Forecast], rows: npt.NDArray[np.int64]
) -> FutureCovariates:
    """Returns the covariates of the windows `rows` (N, 4) of the location `number`."""
    windows = Windows(rows[:, 1], rows[:, 2], rows[:, 3])
    calendar = (spec.locations[number], period) if spec.future_calendar else None
    return build_future(forecasts, windows, windows.start + spec.seq_len, spec.horizon, calendar)


def _align_columns(columns_by_location: Sequence[Sequence[Feature]]) -> list[tuple[Feature, ...]]:
    """Returns the columns of each location in one order; a column that a location lacks is called absent."""
    all_columns = {column.key: column for columns in columns_by_location for column in columns}
    aligned = []
    for columns in columns_by_location:
        by_key = {column.key: column for column in columns}
        aligned.append(
            tuple(
                by_key.get(key) or replace(column, name="absent", unit="", formula=ABSENT, series=None)
                for key, column in all_columns.items()
            )
        )
    return aligned


def _join_locations(
    parts: Sequence[FutureCovariates], rows: npt.NDArray[np.int64], columns: Sequence[Feature]
) -> npt.NDArray[np.float32]:
    """Returns the values of all locations for the windows `rows` (N, 4) in the order of `columns`; NaN in those that a
    location lacks."""
    numbers_by_key = {column.key: number for number, column in enumerate(columns)}
    joined = np.full((len(rows), parts[0].values.shape[1], len(columns)), np.nan, np.float32)
    for location, part in enumerate(parts):
        of_location = np.full((len(part.values), *joined.shape[1:]), np.nan, np.float32)
        of_location[:, :, [numbers_by_key[column.key] for column in part.columns]] = part.values
        joined[rows[:, 0] == location] = of_location
    return joined


def _spread_scale(scale: Scale, column_count: int) -> Scale:
    """Returns the `scale` of forecasts, which alternate with their ages, as that of all columns."""
    spread_out = identity_scale(column_count)
    forecast_columns = slice(0, 2 * len(scale.mean), 2)
    spread_out.mean[forecast_columns], spread_out.deviation[forecast_columns] = scale.mean, scale.deviation
    return spread_out


def find_next_steps(spec: TrainingSpec, location: Location, t0: datetime) -> tuple[int, int]:
    """Returns the half-open range of hours after `t0` that are predicted then: after the gap, or, with a gate, those of
    the next local day."""
    if spec.gate is None:
        return spec.gap, spec.gap + spec.horizon
    zone = ZoneInfo(location.timezone)
    next_day = local_day(t0.astimezone(zone).date() + DAY, zone)
    return (next_day.start - t0) // HOUR, (next_day.end - t0) // HOUR


def build_next_future(
    spec: TrainingSpec,
    location: Location,
    columns: Sequence[Mapping[str, Any]],
    scale: Scale,
    limits: Mapping[str, Sequence[float]],
    hourly: Hourly,
    t0: datetime,
) -> npt.NDArray[np.float32]:
    """Returns the covariates of the hours that are predicted at `t0` at `location`, (H, G), scaled by `scale`, in the
    order of the `columns` of a manifest; NaN where not known, and where a value lies outside the `limits` of the
    manifest."""
    first, end = find_next_steps(spec, location, t0)
    period = Period(t0, t0 + end * HOUR)
    numbers = {name: number for number, name in enumerate(hourly.names)}
    kinds = {
        _parse_forecast_key(column["key"]): numbers[column["series"]]
        for column in columns
        if column["series"] in numbers and not column["name"].endswith(" age")
    }
    positions = {column["key"]: position for position, column in enumerate(columns)}
    forecast_limits = {
        name.removeprefix("future "): bounds for name, bounds in limits.items() if name.startswith("future ")
    }
    forecasts = [
        replace(
            forecast,
            value=(forecast.value - scale.mean[positions[forecast.feature.key]])
            / scale.deviation[positions[forecast.feature.key]],
        )
        for forecast in collect_forecasts(hourly, period, kinds, spec.cleaning, forecast_limits)[0].values()
    ]
    window = Windows(np.array([-spec.seq_len]), np.array([first]), np.array([end]))
    calendar = (location, period) if spec.future_calendar else None
    built = build_future(forecasts, window, np.array([0]), spec.horizon, calendar)
    values = np.full((spec.horizon, len(columns)), np.nan, np.float32)
    for number, column in enumerate(built.columns):
        if column.key in positions and columns[positions[column.key]]["name"] != "absent":
            values[:, positions[column.key]] = built.values[0, :, number]
    return values


def _parse_forecast_key(key: str) -> SeriesKind:
    """Returns the kind of a forecast with the `key` of its column."""
    source, number, variable = key.split("/", 2)
    return SeriesKind(source, variable, "", int(number))
