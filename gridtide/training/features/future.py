"""Covariates of the steps to predict, as they were known at t0.

    version 1      |---------- known ---------------------------…
    version 2                     |---------- known ------------…
    t0                       x                                       the step at `row` is shown as version 1 has it
    describes                                 |row|

A forecast that was issued in several versions is shown in the last one that was available by t0, with its age. What was
not available by then is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gridtide.observations.array_types import Floats, Integers, Mask
from gridtide.observations.availability import NEVER_KNOWN
from gridtide.periods import HOUR, Period
from gridtide.quality.checks import find_impossible
from gridtide.quality.natures import Nature, find_nature
from gridtide.training.features.calendar import derive_calendar
from gridtide.training.features.columns import ABSENT, Feature
from gridtide.training.series.cleaning import fit_limits
from gridtide.training.series.hourly import Hourly
from gridtide.training.series.matching import SeriesKind
from gridtide.training.spec import Cleaning, Location
from gridtide.training.windows.windows import Windows

ROWS_PER_DAY = 24
"""Ages are in days; rows are hours."""


@dataclass(frozen=True)
class Forecast:
    """All versions of a forecast of one location: its `feature`, and by version the `row` (N,) that it describes, the
    `known_row` (N,) by whose end it was available, and the `value` (N,).

    Versions are sorted by row, and by when they became known.
    """

    feature: Feature
    row: Integers
    known_row: Integers
    value: Floats

    def as_of(self, rows: Integers, t0: Integers) -> tuple[Floats, Floats]:
        """Returns the value of each step `rows` (N, H) that was available by the start of the steps `t0` (N,), and its
        age in days; NaN where there was none."""
        if not len(self.row):
            return np.full(rows.shape, np.nan), np.full(rows.shape, np.nan)
        versions = self.row * SPAN + self.known_row
        latest = np.searchsorted(versions, rows * SPAN + (t0[:, None] - 1), side="right") - 1
        is_known = (latest >= 0) & (self.row[latest] == rows)
        age = (t0[:, None] - 1 - self.known_row[latest]) / ROWS_PER_DAY
        return np.where(is_known, self.value[latest], np.nan), np.where(is_known, age, np.nan)


SPAN = 1 << 33
"""The distance between two rows in the numbers by which versions are sorted: more than two `known_row` can differ."""


def collect_forecasts(
    hourly: Hourly,
    rows: Period,
    numbers: Mapping[SeriesKind, int],
    cleaning: Cleaning,
    limits: Mapping[str, Sequence[float]],
) -> tuple[dict[SeriesKind, Forecast], dict[str, dict[str, int]]]:
    """Returns the versions of each series `numbers` of `hourly`, by kind, and by name and rule the number of versions
    that are rejected; rows count from the start of `rows`.

    `impossible` are values that variable and unit cannot have; `zero`, with `cleaning.screening`, zeros of demand and
    load, which stand for a forecast that was not made; `absurd` those outside the `limits` of the name.
    """
    first_row, count = (rows.start - hourly.period.start) // HOUR, rows.duration // HOUR
    forecasts, rejected = {}, {}
    for kind, number in numbers.items():
        name, unit = hourly.names[number], hourly.units[number]
        versions = hourly.versions(number)
        inside = (versions.row >= first_row) & (versions.row < first_row + count)
        inside &= (versions.known_row != NEVER_KNOWN) & ~np.isnan(versions.value)
        believed, rules = inside.copy(), {}
        for rule, cells in _judge_versions(
            versions.value, find_nature(kind.variable, unit), cleaning, limits.get(name)
        ):
            rules[rule] = int((believed & cells).sum())
            believed &= ~cells
        rejected[f"future {name}"] = rules
        order = np.lexsort((versions.known_row, versions.row))
        order = order[believed[order]]
        key = f"{kind.source}/{kind.number}/{kind.variable}"
        formula = f"latest value of {name} for the step that was available by t0"
        forecasts[kind] = Forecast(
            Feature(name, unit, formula, 0, name, key),
            versions.row[order] - first_row,
            versions.known_row[order].astype(np.int64) - first_row,
            versions.value[order],
        )
    return forecasts, rejected


def _judge_versions(
    values: Floats, nature: Nature, cleaning: Cleaning, limits: Sequence[float] | None
) -> Iterator[tuple[str, Mask]]:
    """Yields the versions `values` (N,) that each rule rejects, by its name."""
    yield "impossible", find_impossible(values, nature)
    if nature.aggregate and cleaning.is_screened:
        yield "zero", values == 0
    if limits is not None:
        yield "absurd", (values < limits[0]) | (values > limits[1])


def fit_forecast_limits(
    hourly: Hourly, train: slice, numbers: Mapping[SeriesKind, int], widths: float
) -> dict[str, tuple[float, float]]:
    """Returns, by name, the lowest and highest accepted value of the series `numbers`, fitted on their versions for the
    rows `train` of `hourly` as `fit_limits` does; none where it fits none."""
    limits = {}
    for kind, number in numbers.items():
        name, versions = hourly.names[number], hourly.versions(number)
        in_train = (versions.row >= train.start) & (versions.row < train.stop)
        in_train &= ~find_impossible(versions.value, find_nature(kind.variable, hourly.units[number]))
        ((lowest, highest),) = fit_limits(versions.value[None, in_train], widths).tolist()
        if np.isfinite(lowest):
            limits[name] = (lowest, highest)
    return limits


@dataclass(frozen=True)
class FutureCovariates:
    """G covariates of N windows of at most H steps: `columns` (G,), `values` (N, H, G), NaN where not known."""

    columns: tuple[Feature, ...]
    values: npt.NDArray[np.float32]


def without_versions(feature: Feature) -> Forecast:
    """Returns a forecast that was never issued."""
    return Forecast(feature, np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


def align_forecasts(forecasts_by_location: Sequence[Mapping[SeriesKind, Forecast]]) -> list[list[Forecast]]:
    """Returns the forecasts of each location in one order of kinds; a kind that a location lacks is empty."""
    kinds = {kind: forecast for forecasts in forecasts_by_location for kind, forecast in forecasts.items()}
    aligned = []
    for forecasts in forecasts_by_location:
        row: list[Forecast] = []
        for kind in sorted(kinds):
            absent = replace(kinds[kind].feature, name="absent", unit="", formula=ABSENT, series=None)
            row.append(forecasts.get(kind) or without_versions(absent))
        aligned.append(row)
    return aligned


def build_future(
    forecasts: Sequence[Forecast],
    windows: Windows,
    t0: Integers,
    horizon: int,
    calendar: tuple[Location, Period] | None,
) -> FutureCovariates:
    """Returns the covariates of `windows`, predicted at the steps `t0` (N,), in `horizon` steps each.

    They are every forecast, each with its age, and, with `calendar`, the calendar columns of the location over the
    set's period. Steps after the last of a window are NaN throughout.
    """
    steps = windows.first_target[:, None] + np.arange(horizon)
    is_target = steps < windows.target_end[:, None]
    columns: list[Feature] = []
    values: list[Floats] = []
    for forecast in forecasts:
        feature = forecast.feature
        formula = "days from when the value was available to t0"
        age = replace(feature, name=f"{feature.name} age", key=f"{feature.key} age", unit="d", formula=formula)
        columns += [feature, age]
        values += forecast.as_of(steps, t0)
    if calendar is not None:
        location, period = calendar
        of_period = derive_calendar(period, location.timezone, location.holidays)
        columns += of_period.features
        values += list(of_period.values[:, np.minimum(steps, of_period.values.shape[1] - 1)])
    stacked = np.stack(values, axis=-1) if values else np.empty((*steps.shape, 0))
    stacked[~is_target] = np.nan
    return FutureCovariates(tuple(columns), stacked.astype(np.float32))
