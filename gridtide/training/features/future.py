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
from gridtide.periods import Period
from gridtide.quality.checks import find_impossible
from gridtide.quality.natures import Nature, find_nature
from gridtide.training.features.columns import ABSENT, Feature
from gridtide.training.series.cleaning import fit_limits
from gridtide.training.series.hourly import Hourly
from gridtide.training.series.matching import SeriesKind, format_kind
from gridtide.training.spec import Cleaning
from gridtide.training.windows.windows import Windows


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
    first_row, count = (rows.start - hourly.period.start) // hourly.step, rows.duration // hourly.step
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
        formula = f"latest value of {name} for the step that was available by t0"
        forecasts[kind] = Forecast(
            Feature(name, unit, formula, 0, name, format_kind(kind)),
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


def describe_age(feature: Feature) -> Feature:
    """Returns the column of the age of the forecast `feature`."""
    formula = "days from when the value was available to t0"
    return replace(feature, name=f"{feature.name} age", key=f"{feature.key} age", unit="d", formula=formula)


FUTURE_ARRAYS = ("begin", "known_row", "value", "calendar")
"""The arrays of a `FutureBase`, in the order of its fields; in files, each with the prefix `future_`."""


@dataclass(frozen=True)
class FutureBase:
    """What was known of the T steps of R locations, for any windows over them: V forecasts in M versions, and C
    calendar columns.

    `begin` (R, V, T + 1): the number of the first version of each step; `known_row` (M,): the step by whose end each
    version was available, ascending within a step; `value` (M,) float32; `calendar` (R, T, C) float32, NaN in columns
    that a location lacks. Ages are in days of `rows_per_day`.
    """

    begin: npt.NDArray[np.int32]
    known_row: npt.NDArray[np.int32]
    value: npt.NDArray[np.float32]
    calendar: npt.NDArray[np.float32]
    rows_per_day: int = 24

    def gather(self, location: Integers, t0: Integers, windows: Windows, horizon: int) -> npt.NDArray[np.float32]:
        """Returns the covariates of `windows` of the locations `location` (N,), as they were known at the start of the
        steps `t0` (N,): (N, horizon, 2 V + C), each forecast with its age in days, then the calendar.

        NaN where nothing was known by then, and in steps after the last of a window.
        """
        steps = windows.first_target[:, None] + np.arange(horizon)
        is_target = steps < windows.target_end[:, None]
        rows = np.minimum(steps, self.begin.shape[2] - 2)
        place = location[:, None]
        gathered = np.full((*steps.shape, 2 * self.begin.shape[1] + self.calendar.shape[2]), np.nan, np.float32)
        for number in range(self.begin.shape[1]):
            first, end = (self.begin[place, number, rows + shift].astype(np.int64) for shift in (0, 1))
            latest = self._find_latest(first, end, t0[:, None] - 1)
            is_known = latest >= first
            version = latest[is_known]
            gathered[is_known, 2 * number] = self.value[version]
            age = np.broadcast_to(t0[:, None] - 1, steps.shape)[is_known] - self.known_row[version]
            gathered[is_known, 2 * number + 1] = age / self.rows_per_day
        gathered[..., 2 * self.begin.shape[1] :] = self.calendar[place, rows]
        gathered[~is_target] = np.nan
        return gathered

    def take_steps(self, steps: slice) -> FutureBase:
        """Returns what was known of the consecutive `steps`; times still count from the first step of all."""
        begin = self.begin[:, :, steps.start : steps.stop + 1]
        numbers = [np.arange(row[0], row[-1]) for row in begin.reshape(-1, begin.shape[2])]
        ends = np.cumsum([0, *map(len, numbers)])[:-1].reshape(begin.shape[:2])
        chosen = np.concatenate([np.empty(0, np.int64), *numbers])
        return replace(
            self,
            begin=(begin - begin[:, :, :1] + ends[:, :, None]).astype(np.int32),
            known_row=self.known_row[chosen],
            value=self.value[chosen],
            calendar=self.calendar[:, steps],
        )

    def append(self, later: FutureBase) -> FutureBase:
        """Returns what was known of these steps and of those of `later`, which follow them and count times from the
        first of these."""
        counts = np.diff(self.begin[:, :, [0, -1]], axis=2) + np.diff(later.begin[:, :, [0, -1]], axis=2)
        firsts = (np.cumsum(counts.reshape(-1)) - counts.reshape(-1)).reshape(counts.shape)
        own = self.begin - self.begin[:, :, :1] + firsts
        begin = np.concatenate([own, (later.begin - later.begin[:, :, :1])[:, :, 1:] + own[:, :, -1:]], axis=2)
        parts: dict[str, list[npt.NDArray[np.generic]]] = {"known_row": [], "value": []}
        for place, number in np.ndindex(*self.begin.shape[:2]):
            for base in (self, later):
                versions = slice(base.begin[place, number, 0], base.begin[place, number, -1])
                for name, arrays in parts.items():
                    arrays.append(getattr(base, name)[versions])
        return FutureBase(
            begin.astype(np.int32),
            np.concatenate([np.empty(0, np.int32), *parts["known_row"]]),
            np.concatenate([np.empty(0, np.float32), *parts["value"]]),
            np.concatenate([self.calendar, later.calendar], axis=1),
            self.rows_per_day,
        )

    def _find_latest(self, first: Integers, end: Integers, row: Integers) -> Integers:
        """Returns the last of the versions `first` to `end` (N, H) that was known by the end of `row` (N, 1), or the
        number before `first`; by bisection."""
        low, high = first - 1, end - 1
        while (open_cells := low < high).any():
            middle = np.where(open_cells, (low + high + 1) // 2, 0)
            is_known = open_cells & (self.known_row[middle] <= row)
            low = np.where(is_known, middle, low)
            high = np.where(open_cells & ~is_known, middle - 1, high)
        return low


def stack_forecasts(
    forecasts_by_location: Sequence[Sequence[Forecast]], calendar: npt.NDArray[np.float32], rows_per_day: int
) -> FutureBase:
    """Returns the `forecasts_by_location`, V each, with the `calendar` (R, T, C) as one base; versions that only became
    known in the step that they describe, or later, are left out, because no window can show them."""
    steps = calendar.shape[1]
    begin = np.zeros((len(forecasts_by_location), len(forecasts_by_location[0]), steps + 1), np.int32)
    known_rows, values = [np.empty(0, np.int32)], [np.empty(0, np.float32)]
    count = 0
    for place, forecasts in enumerate(forecasts_by_location):
        for number, forecast in enumerate(forecasts):
            is_early = forecast.known_row < forecast.row
            rows = forecast.row[is_early]
            begin[place, number] = count + np.searchsorted(rows, np.arange(steps + 1))
            known_rows.append(forecast.known_row[is_early].astype(np.int32))
            values.append(forecast.value[is_early].astype(np.float32))
            count += len(rows)
    return FutureBase(begin, np.concatenate(known_rows), np.concatenate(values), calendar, rows_per_day)
