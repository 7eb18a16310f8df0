"""The covariates of the steps to predict, of all locations of a set, scaled; stored once, whatever the windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from gridtide.errors import TrainingError
from gridtide.observations.array_types import Floats
from gridtide.periods import DAY, Period, local_day
from gridtide.training.features.bases import Base
from gridtide.training.features.calendar import derive_calendar
from gridtide.training.features.columns import UNSCALED, Columns, Feature, align_columns
from gridtide.training.features.future import (
    Forecast,
    FutureBase,
    align_forecasts,
    collect_forecasts,
    describe_age,
    stack_forecasts,
    without_versions,
)
from gridtide.training.series.hourly import Hourly
from gridtide.training.series.matching import parse_kind
from gridtide.training.spec import Location, TrainingSpec
from gridtide.training.windows.scaling import Scale, fit_scale, identity_scale, join_scales
from gridtide.training.windows.windows import Windows

CALENDAR = "calendar/"
"""The prefix of the keys of calendar columns."""


@dataclass(frozen=True)
class FutureSet:
    """G covariates of the steps of a set: `base`, scaled; `columns` and `scales`: one each per location; `unscaled`:
    per location, the columns left out because nothing scales them. G is 0 if the spec asks for none.
    """

    base: FutureBase
    columns: tuple[tuple[Feature, ...], ...]
    scales: tuple[Scale, ...]
    unscaled: tuple[tuple[str, ...], ...]


def assemble_future(spec: TrainingSpec, period: Period, train: slice, bases: Sequence[Base]) -> FutureSet:
    """Returns the covariates of the steps of `period`, of the locations of `bases`.

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
    calendars = [_derive_future_calendar(spec, location, period) for location in spec.locations]
    aligned = align_columns([Columns(part.features, part.values, part.observed) for part in calendars])
    calendar = np.stack([part.values.T for part in aligned]).astype(np.float32)
    columns = [(*_list_columns(row), *part.features) for row, part in zip(scaled, aligned, strict=True)]
    return FutureSet(
        stack_forecasts(scaled, calendar, DAY // spec.resolution),
        tuple(columns),
        tuple(_spread_scale(scale, len(columns[0])) for scale in scales),
        tuple(unscaled),
    )


def _derive_future_calendar(spec: TrainingSpec, location: Location, period: Period) -> Columns:
    """Returns the calendar columns of the steps of `period` at `location`; none if the spec asks for none."""
    if spec.future_calendar:
        return derive_calendar(period, location.timezone, location.holidays, spec.resolution)
    steps = period.duration // spec.resolution
    return Columns((), np.empty((0, steps)), np.empty((0, steps), bool))


def _list_columns(forecasts: Sequence[Forecast]) -> list[Feature]:
    """Returns the columns of `forecasts`: each with that of its age."""
    return [column for forecast in forecasts for column in (forecast.feature, describe_age(forecast.feature))]


def _fit_forecasts(spec: TrainingSpec, forecasts: Sequence[Forecast], train: slice) -> Scale:
    """Returns the scale of each of `forecasts`, fitted on its versions for the steps `train`."""
    if spec.scaling == "none" or not forecasts:
        return identity_scale(len(forecasts))
    fitted = []
    for forecast in forecasts:
        values = forecast.value[(forecast.row >= train.start) & (forecast.row < train.stop)][:, None]
        fitted.append(fit_scale(values, np.ones(values.shape, bool), spec.scaling))
    return join_scales(fitted)


def _scale_forecasts(forecasts: Sequence[Forecast], scale: Scale) -> list[Forecast]:
    """Returns `forecasts` scaled; one that nothing scales has no version."""
    scaled = []
    for number, forecast in enumerate(forecasts):
        if scale.spread[number]:
            scaled.append(replace(forecast, value=_scale_column(scale, number, forecast.value)))
        else:
            feature = forecast.feature
            if feature.series:
                feature = replace(feature, name="absent", unit="", formula=UNSCALED, series=None)
            scaled.append(without_versions(feature))
    return scaled


def _scale_column(scale: Scale, number: int, values: Floats) -> Floats:
    """Returns `values` (N,) of the column `number` of `scale`, scaled."""
    return scale.take(np.arange(len(scale.mean)) == number).apply(values[:, None])[:, 0]


def _spread_scale(scale: Scale, column_count: int) -> Scale:
    """Returns the `scale` of forecasts, which alternate with their ages, as that of all columns."""
    spread_out = identity_scale(column_count)
    forecast_columns = slice(0, 2 * len(scale.mean), 2)
    spread_out.mean[forecast_columns], spread_out.deviation[forecast_columns] = scale.mean, scale.deviation
    if scale.knots is None:
        return spread_out
    knots = np.full((column_count, scale.knots.shape[1]), np.nan)
    knots[forecast_columns] = scale.knots
    return replace(spread_out, knots=knots)


def find_next_steps(spec: TrainingSpec, location: Location, t0: datetime) -> tuple[int, int]:
    """Returns the half-open range of steps after `t0` that are predicted then: after the gap, or, with a gate, those of
    the next local day."""
    if spec.gate is None:
        return spec.gap, spec.gap + spec.horizon
    zone = ZoneInfo(location.timezone)
    next_day = local_day(t0.astimezone(zone).date() + DAY, zone)
    return (next_day.start - t0) // spec.resolution, (next_day.end - t0) // spec.resolution


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
    period = Period(t0, t0 + end * spec.resolution)
    numbers = {name: number for number, name in enumerate(hourly.names)}
    kinds = {
        parse_kind(column["key"]): numbers[column["series"]]
        for column in columns
        if column["series"] in numbers and not column["name"].endswith(" age")
    }
    forecast_limits = {
        name.removeprefix("future "): bounds for name, bounds in limits.items() if name.startswith("future ")
    }
    versions, _ = collect_forecasts(hourly, period, kinds, spec.cleaning, forecast_limits)
    issued = {forecast.feature.key: forecast for forecast in versions.values()}
    calendar = _derive_future_calendar(spec, location, period)
    calendar_rows = {feature.key: row for feature, row in zip(calendar.features, calendar.values, strict=True)}
    calendar_columns = []
    for column in columns:
        if column["key"].startswith(CALENDAR):
            is_present = column["key"] in calendar_rows and column["name"] != "absent"
            calendar_columns.append(calendar_rows[column["key"]] if is_present else np.full(end, np.nan))
    forecasts = _scale_issued(columns, scale, issued)
    stacked = np.array(calendar_columns, np.float32).reshape(-1, end).T[None]
    window = Windows(np.array([-spec.seq_len]), np.array([first]), np.array([end]))
    gathered = stack_forecasts([forecasts], stacked, DAY // spec.resolution).gather(
        np.array([0]), np.array([0]), window, spec.horizon
    )
    values: npt.NDArray[np.float32] = gathered[0]
    return values


def _scale_issued(columns: Sequence[Mapping[str, Any]], scale: Scale, issued: Mapping[str, Forecast]) -> list[Forecast]:
    """Returns the forecasts of the `columns` of a manifest from those `issued`, by key, scaled by the `scale` of all
    columns; those that the location lacks have no version."""
    forecasts = []
    for position, column in enumerate(columns):
        if not column["key"].startswith(CALENDAR) and not column["key"].endswith(" age"):
            forecast = issued.get(column["key"]) if column["name"] != "absent" else None
            forecast = forecast or without_versions(Feature(**column))
            forecasts.append(replace(forecast, value=_scale_column(scale, position, forecast.value)))
    return forecasts


def derive_later_future(
    spec: TrainingSpec,
    columns: Sequence[Sequence[Mapping[str, Any]]],
    scales: Sequence[Scale],
    bases: Sequence[Base],
    period: Period,
) -> FutureBase:
    """Returns what was known of the steps of `period`, the rows of `bases`, in the `columns` and by the `scales` of an
    earlier set, each by location; times count from the first of these steps."""
    calendars = [_derive_future_calendar(spec, location, period) for location in spec.locations]
    aligned = align_columns([Columns(part.features, part.values, part.observed) for part in calendars])
    forecasts = [
        _scale_issued(place, scale, {forecast.feature.key: forecast for forecast in base.forecasts.values()})
        for place, scale, base in zip(columns, scales, bases, strict=True)
    ]
    calendar = np.stack([part.values.T for part in aligned]).astype(np.float32)
    return stack_forecasts(forecasts, calendar, DAY // spec.resolution)
