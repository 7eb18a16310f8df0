"""Predictors of one step of a window, as a table: what was known at t0, and nothing else.

Rows are the steps of windows, (N · H); columns are

- the target's values at the same time of day on the latest days that were known at t0, and its last known values
- the same of the other inputs, and their last values
- the covariates of the step (`x_future`), with those of the steps beside it and of the window as a whole
- the calendar of the step in local time, and how far it is ahead
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gridtide.evaluation.evaluation_set import EvaluationSet, shift_earlier
from gridtide.observations.array_types import Floats, Integers
from gridtide.training.features.calendar import derive_calendar

OWN_DAYS = 8
"""The latest known days whose value at the same time of day is a predictor."""

OWN_WEEKS = 4
"""The latest known weeks whose value at the same time of day and weekday is a predictor."""

INPUT_DAYS = 2
"""The latest known days of each other input."""


@dataclass(frozen=True)
class PredictorTable:
    """`values` (N · H, P) of the predictors `names` (P,); NaN where not known. `reference` (N · H,): the target at the
    same hour of the week, or of the latest days, from which errors are small already."""

    names: tuple[str, ...]
    values: npt.NDArray[np.float32]
    reference: Floats


def tabulate(evaluation: EvaluationSet, location: int, windows: Integers) -> PredictorTable:
    """Returns the predictors of every step of the `windows` of `location`, a row each, window by window."""
    steps, t0 = evaluation.steps[windows], evaluation.t0[windows]
    history = evaluation.own_history(location)
    columns: dict[str, Floats] = {}
    day, week = evaluation.day, evaluation.week
    days = [same_hour(history.values, history.delay, steps, t0, day, number) for number in range(OWN_DAYS)]
    weeks = [same_hour(history.values, history.delay, steps, t0, week, number) for number in range(OWN_WEEKS)]
    columns |= {f"own, {number} days back": values for number, values in enumerate(days)}
    columns |= {f"own, {number} weeks back": values for number, values in enumerate(weeks)}
    columns |= _describe_recent("own", history.values, t0 - 1 - history.delay, steps, day)
    columns |= _describe_inputs(evaluation, location, steps, t0)
    columns |= _describe_future(evaluation, location, windows)
    columns |= describe_calendar(evaluation, location, steps)
    columns["steps ahead"] = (steps - t0[:, None]).astype(np.float64)
    reference = _mean_known(np.stack([*days[:3], weeks[0]]))
    table = np.stack([values.astype(np.float32).reshape(-1) for values in columns.values()], axis=1)
    return PredictorTable(tuple(columns), table, reference.reshape(-1))


def same_hour(values: Floats, delay: int, steps: Integers, t0: Integers, cycle: int, back: int) -> Floats:
    """Returns the value at the same place of the `back`-th latest `cycle` of steps, such as a day, whose value was
    known at `t0` (N,), for each of `steps` (N, H); NaN where not observed.

    The value of step `u` is known from `u + delay + 1` on: `values` (T,) is only read where `u + delay < t0`.
    """
    cycles = (steps - (t0[:, None] - 1 - delay) + cycle - 1) // cycle
    hours = steps - (np.maximum(cycles, 1) + back) * cycle
    return read_hours(values, hours)


def read_hours(values: Floats, hours: Integers) -> Floats:
    """Returns `values` (T,) at `hours` (N, H); NaN for hours before the first."""
    return np.where(hours >= 0, values[np.clip(hours, 0, len(values) - 1)], np.nan)


def _mean_known(values: Floats) -> Floats:
    """Returns the mean over the first axis of what is known; NaN where nothing is."""
    counts = (~np.isnan(values)).sum(axis=0)
    return np.where(counts > 0, np.nansum(values, axis=0) / np.maximum(counts, 1), np.nan)


def _describe_recent(
    name: str, values: Floats, last_step: Integers, steps: Integers, day_length: int
) -> dict[str, Floats]:
    """Returns the last known values of a series, up to the steps `last_step` (N,), and statistics of the last day and
    week, the same for all steps."""
    day, week = (read_hours(values, last_step[:, None] - np.arange(days * day_length)) for days in (1, 7))
    columns = {
        f"{name}, last": week[:, :1],
        f"{name}, step before": week[:, 1:2],
        f"{name}, mean of a day": _mean_known(day.T)[:, None],
        f"{name}, mean of a week": _mean_known(week.T)[:, None],
        f"{name}, least of a day": np.nanmin(np.where(np.isnan(day), np.inf, day), axis=1, keepdims=True),
        f"{name}, most of a day": np.nanmax(np.where(np.isnan(day), -np.inf, day), axis=1, keepdims=True),
    }
    return {
        column: np.broadcast_to(np.where(np.isfinite(recent), recent, np.nan), steps.shape)
        for column, recent in columns.items()
    }


def _describe_inputs(evaluation: EvaluationSet, location: int, steps: Integers, t0: Integers) -> dict[str, Floats]:
    """Returns, of each input but the target, the value at the same hour on the latest known days, and the last one."""
    columns: dict[str, Floats] = {}
    description = evaluation.locations[location]
    for number, column in enumerate(description["columns"][: evaluation.arrays["quality"].shape[2]]):
        if column["series"] in (None, description["targets"][evaluation.target]) or not evaluation.is_visible(
            column["series"]
        ):
            continue
        visible, delay = evaluation.column(location, number), int(column["lookback"])
        values = shift_earlier(visible, delay)
        for back in range(INPUT_DAYS):
            columns[f"{column['name']}, {back} days back"] = same_hour(values, delay, steps, t0, evaluation.day, back)
        columns[f"{column['name']}, last"] = np.broadcast_to(read_hours(visible, t0[:, None] - 1), steps.shape)
    return columns


def _describe_future(evaluation: EvaluationSet, location: int, windows: Integers) -> dict[str, Floats]:
    """Returns the covariates of each step but the calendar; of forecasts also the steps beside it, and the mean, least
    and most of the window and of the part up to the step."""
    names, values = evaluation.future(location, windows)
    columns: dict[str, Floats] = {}
    for number, name in enumerate(names):
        if name.startswith("calendar/") or name == "absent" or not evaluation.is_visible(name.removesuffix(" age")):
            continue
        of_step = values[:, :, number]
        columns[name] = of_step
        if name.endswith(" age"):
            continue
        for shift in (-2, -1, 1, 2):
            beside = np.full_like(of_step, np.nan)
            if shift < 0:
                beside[:, -shift:] = of_step[:, :shift]
            else:
                beside[:, :-shift] = of_step[:, shift:]
            columns[f"{name} {shift:+d}"] = beside
        columns[f"{name}, mean so far"] = _mean_so_far(of_step)
        for statistic, empty, function in (("least", np.inf, np.min), ("most", -np.inf, np.max)):
            extreme = function(np.where(np.isnan(of_step), empty, of_step), axis=1)
            finite = np.where(np.isfinite(extreme), extreme, np.nan)
            columns[f"{name}, {statistic}"] = np.broadcast_to(finite[:, None], of_step.shape)
        columns[f"{name}, mean"] = np.broadcast_to(_mean_known(of_step.T)[:, None], of_step.shape)
    return columns


def _mean_so_far(values: Floats) -> Floats:
    """Returns the mean of `values` (N, H) up to each step; NaN before the first that is known."""
    counts = np.cumsum(~np.isnan(values), axis=1)
    return np.where(counts > 0, np.cumsum(np.nan_to_num(values), axis=1) / np.maximum(counts, 1), np.nan)


def describe_calendar(evaluation: EvaluationSet, location: int, steps: Integers) -> dict[str, Floats]:
    """Returns the calendar of each step in local time, with hour, weekday and day as numbers."""
    place = evaluation.manifest["spec"]["locations"][location]
    calendar = derive_calendar(evaluation.period, place["timezone"], place["holidays"], evaluation.step)
    steps = np.minimum(steps, calendar.values.shape[1] - 1)
    columns = {
        feature.name: np.asarray(values, np.float64)[steps]
        for feature, values in zip(calendar.features, calendar.values, strict=True)
    }
    days = evaluation.local_times(location).astype("datetime64[D]").astype(np.int64)
    columns["hour"] = evaluation.minutes_of_day(location)[steps] / 60
    columns["weekday"] = ((days + 3) % 7)[steps].astype(np.float64)  # 1970 began on a Thursday
    columns["day"] = (days - days[0])[steps].astype(np.float64)
    return columns
