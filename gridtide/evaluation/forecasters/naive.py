"""Forecasts without learning: the latest known values of the target, and the operator's own forecast."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from gridtide.errors import TrainingError
from gridtide.evaluation.evaluation_set import EvaluationSet
from gridtide.evaluation.predictors import read_hours, same_hour
from gridtide.observations.array_types import Floats, Integers

LocationForecast = Callable[[int, Integers], Floats]
"""Predicts windows (N,) of a location: (N, H)."""

OWN_FORECAST = re.compile(r"(net_)?(demand|load)_forecast.*")
"""The variables by which operators forecast demand."""


def repeat_last(evaluation: EvaluationSet, _: Integers, test: Integers) -> Floats:
    """Persistence: every step has the last value that was known at t0."""

    def predict(location: int, windows: Integers) -> Floats:
        history = evaluation.own_history(location)
        last = read_hours(history.values, evaluation.t0[windows][:, None] - 1 - history.delay)
        return np.broadcast_to(last, (len(windows), evaluation.horizon))

    return by_location(evaluation, test, predict)


def repeat_day(evaluation: EvaluationSet, _: Integers, test: Integers) -> Floats:
    """Seasonal naive: the value at the same time of the latest day on which it was known at t0."""
    return _repeat_cycle(evaluation, test, evaluation.day)


def repeat_week(evaluation: EvaluationSet, _: Integers, test: Integers) -> Floats:
    """Seasonal naive: the value at the same time of the latest week in which it was known at t0."""
    return _repeat_cycle(evaluation, test, evaluation.week)


def _repeat_cycle(evaluation: EvaluationSet, test: Integers, cycle: int) -> Floats:
    def predict(location: int, windows: Integers) -> Floats:
        history = evaluation.own_history(location)
        return same_hour(history.values, history.delay, evaluation.steps[windows], evaluation.t0[windows], cycle, 0)

    return by_location(evaluation, test, predict)


def use_operator(evaluation: EvaluationSet, _: Integers, test: Integers) -> Floats:
    """The operator's own forecast of each step, as it had been issued by t0; NaN where there was none.

    It is the first covariate of the future whose variable is a forecast of demand or load. Raises `TrainingError` if a
    location has none.
    """

    def predict(location: int, windows: Integers) -> Floats:
        names, values = evaluation.future(location, windows)
        for number, name in enumerate(names):
            if OWN_FORECAST.fullmatch(name.rpartition("/")[2]):
                return values[:, :, number]
        raise TrainingError(
            evaluation.manifest["spec"]["name"],
            f"{evaluation.locations[location]['name']} has no forecast of the operator among its future covariates",
            'Add it to "future", such as eia/ISNE/demand_forecast_day_ahead, or leave out the model operator',
        )

    return by_location(evaluation, test, predict)


def by_location(evaluation: EvaluationSet, test: Integers, predict: LocationForecast) -> Floats:
    """Returns the predictions (N, H) of the windows `test`, which `predict` makes location by location."""
    predictions = np.full((len(test), evaluation.horizon), np.nan)
    for location in np.unique(evaluation.location[test]).tolist():
        chosen = evaluation.location[test] == location
        predictions[chosen] = predict(location, test[chosen])
    return predictions
