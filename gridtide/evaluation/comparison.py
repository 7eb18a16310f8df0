"""Compares forecasters on the windows of a training set.

set ─► folds ─► each forecaster: points, and quantiles from its errors before the fold ─► cells ─► scores
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gridtide.errors import GridtideError, TrainingError, one_line
from gridtide.evaluation.evaluation_set import EvaluationSet
from gridtide.evaluation.folds import Fold, Scheme, make_folds, take_latest
from gridtide.evaluation.forecasters.naive import OWN_FORECAST
from gridtide.evaluation.forecasters.registry import DEFAULT, ENSEMBLE, LEARNED, Forecaster, find_forecasters
from gridtide.evaluation.scores import QUANTILE_LEVELS, PredictedCells, group_cells, score_cells, seasonal_scale
from gridtide.observations.array_types import Floats
from gridtide.periods import DAY, describe_duration

CALIBRATED = 0.15
"""The share of the windows to learn from whose errors give the quantiles."""

Watch = Callable[[str, int, int], object]
"""Called with the name of a forecaster, the number of folds that it has predicted, and that of all folds."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predictions:
    """What a forecaster predicts of the N test windows of all folds: `points` (N, H), `quantiles` (N, H, Q) at
    `QUANTILE_LEVELS`, with Q = 0 without them, and the `seconds` that it took."""

    points: Floats
    quantiles: Floats
    seconds: float


@dataclass(frozen=True)
class ForecasterComparison:
    """The compared forecasters on one set: its `folds`, the `predictions` of each, by name, of the windows of all folds
    one after another, and the errors `scale` (N,) of the day before in the hours to learn from. `failures`: by name,
    why a forecaster has no predictions."""

    evaluation: EvaluationSet
    scheme: Scheme
    folds: Sequence[Fold]
    predictions: Mapping[str, Predictions]
    scale: Floats
    failures: Mapping[str, str] = field(default_factory=dict)


def compare_forecasters(
    evaluation: EvaluationSet,
    names: Sequence[str] = (),
    scheme: Scheme = "split",
    folds: int = 5,
    *,
    quantiles: bool = True,
    watch: Watch = lambda name, finished, folds: None,
) -> ForecasterComparison:
    """Lets the forecasters `names` predict the folds of `scheme`; by default those of `DEFAULT`, and the operator's own
    forecast if the set has it. `watch` is called after each fold of a forecaster.

    Quantiles are the points and the quantiles of the forecaster's own errors, by position in the window, on the last
    windows to learn from, which it predicts after learning from those before them. A forecaster that fails does not
    stop the others. Raises `TrainingError` as `make_folds` and `find_forecasters` do, and if every forecaster fails.
    """
    chosen = list(names) or [*DEFAULT, *(["operator"] if has_operator(evaluation) else [])]
    forecasters = find_forecasters(chosen)
    divided = make_folds(evaluation, scheme, folds)
    for name in forecasters:
        watch(name, 0, len(divided))
    predictions: dict[str, Predictions] = {}
    failures: dict[str, str] = {}
    for name, forecaster in forecasters.items():
        try:
            predictions[name] = _predict_folds(evaluation, name, forecaster, divided, quantiles=quantiles, watch=watch)
        except Exception as error:  # a forecaster of another module may raise anything
            failures[name] = one_line(error)
            if not isinstance(error, GridtideError):
                logger.warning("the forecaster %s failed", name, exc_info=True)
    if ENSEMBLE in chosen:
        if missing := [name for name in LEARNED if name in failures]:
            failures[ENSEMBLE] = f"needs {', '.join(missing)}, which failed"
        else:
            predictions[ENSEMBLE] = _average([predictions[name] for name in LEARNED])
    compared = {name: predictions[name] for name in dict.fromkeys(chosen) if name in predictions}
    if not compared:
        listed = "; ".join(f"{name}: {failure}" for name, failure in failures.items())
        raise TrainingError(evaluation.manifest["spec"]["name"], f"every forecaster failed ({listed})")
    return ForecasterComparison(
        evaluation,
        scheme,
        divided,
        compared,
        np.concatenate([_scale_fold(evaluation, fold) for fold in divided]),
        {name: failures[name] for name in dict.fromkeys(chosen) if name in failures},
    )


def _scale_fold(evaluation: EvaluationSet, fold: Fold) -> Floats:
    """Returns the error of the day before at the location of each test window of `fold`, (N,), over the steps before
    the first t0 of the fold."""
    end = int(evaluation.t0[fold.test].min())
    of_location = {
        number: seasonal_scale(evaluation.series[number], end, evaluation.day)
        for number in np.unique(evaluation.location[fold.test]).tolist()
    }
    return np.array([of_location[number] for number in evaluation.location[fold.test].tolist()])


def has_operator(evaluation: EvaluationSet) -> bool:
    """Whether every location has a forecast of the operator among its covariates of the future."""
    return all(
        any(OWN_FORECAST.fullmatch(column["name"].rpartition("/")[2]) for column in location.get("future", []))
        for location in evaluation.locations
    )


def _predict_folds(
    evaluation: EvaluationSet,
    name: str,
    forecaster: Forecaster,
    folds: Sequence[Fold],
    *,
    quantiles: bool,
    watch: Watch,
) -> Predictions:
    begin = time.perf_counter()
    points, levels = [], []
    for number, fold in enumerate(folds):
        fold_points = _predict_windows(evaluation, name, forecaster, fold)
        points.append(fold_points)
        levels.append(
            _spread_quantiles(evaluation, name, forecaster, fold, fold_points)
            if quantiles
            else np.empty((*fold_points.shape, 0))
        )
        watch(name, number + 1, len(folds))
    return Predictions(np.concatenate(points), np.concatenate(levels), time.perf_counter() - begin)


def _predict_windows(evaluation: EvaluationSet, name: str, forecaster: Forecaster, fold: Fold) -> Floats:
    """Returns the predictions (N, H) of the test windows of `fold`; raises `TrainingError` if they have another shape,
    or are infinite."""
    values = np.asarray(forecaster(evaluation, fold.train, fold.test), np.float64)
    if values.shape != (len(fold.test), evaluation.horizon):
        happened = f"returns values of shape {values.shape} for {len(fold.test)} windows of {evaluation.horizon} steps"
        raise TrainingError(name, happened, "Return one value for each step of each window, NaN where there is none")
    if np.isinf(values).any():
        raise TrainingError(name, f"returns {int(np.isinf(values).sum())} infinite values", "Return NaN instead")
    return values


def _spread_quantiles(
    evaluation: EvaluationSet, name: str, forecaster: Forecaster, fold: Fold, points: Floats
) -> Floats:
    """Returns the quantiles (N, H, Q) of the test windows of `fold` around its `points` (N, H); NaN where there were no
    errors to take them from."""
    earlier = take_latest(evaluation, fold.train, CALIBRATED)
    errors = evaluation.truth[earlier.test] - _predict_windows(evaluation, name, forecaster, earlier)
    quantiles = np.full((*points.shape, len(QUANTILE_LEVELS)), np.nan)
    locations, test_locations = evaluation.location[earlier.test], evaluation.location[fold.test]
    for location in np.unique(test_locations).tolist():
        of_location = errors[locations == location]
        for position in range(points.shape[1]):
            known_errors = of_location[:, position][~np.isnan(of_location[:, position])]
            if known_errors.size:
                spread = np.quantile(known_errors, QUANTILE_LEVELS)
                rows = test_locations == location
                quantiles[rows, position] = points[rows, position, None] + spread
    return quantiles


def _average(parts: Sequence[Predictions]) -> Predictions:
    """Returns the mean of several predictions, of their points and of each of their quantiles."""
    return Predictions(
        np.mean([part.points for part in parts], axis=0),
        np.mean([part.quantiles for part in parts], axis=0),
        sum(part.seconds for part in parts),
    )


def score_comparison(comparison: ForecasterComparison) -> dict[str, Any]:
    """Returns the scores of all forecasters, JSON-able.

    All are compared on the same cells: those that were observed, and for which every forecaster has a value; `models`
    tells which share of the observed cells each has, `failed` why a forecaster has none. `scores` has a row for each
    model, location (`all` first), and group of cells (`all`, `horizon`, `season` or `hour`, with its `key`). Raises
    `TrainingError` if no cell can be compared.
    """
    evaluation = comparison.evaluation
    windows = np.concatenate([fold.test for fold in comparison.folds])
    truth = evaluation.truth[windows]
    is_observed = ~np.isnan(truth)
    is_compared = is_observed.copy()
    for predictions in comparison.predictions.values():
        is_compared &= ~np.isnan(predictions.points) & ~np.isnan(predictions.quantiles).any(axis=2)
    if not is_compared.any():
        shares = {
            name: float((~np.isnan(predictions.points))[is_observed].mean())
            for name, predictions in comparison.predictions.items()
        }
        shares_text = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        raise TrainingError(
            evaluation.manifest["spec"]["name"],
            f"no step is predicted by every forecaster ({shares_text} of {is_observed.sum()} observed steps)",
            "Leave out the one that predicts none",
        )
    rows = []
    for name, predictions in comparison.predictions.items():
        for location in _list_groups(evaluation, windows):
            cells, ahead, hour, month = _select_cells(comparison, windows, is_compared, predictions, location)
            label = "all" if location is None else evaluation.locations[location]["name"]
            for group, key, mask in group_cells(ahead, hour if evaluation.step < DAY else None, month):
                rows.append(
                    {"model": name, "location": label, "group": group, "key": key, **score_cells(cells.where(mask))}
                )
    return {
        "set": evaluation.manifest["spec"]["name"],
        "fingerprint": evaluation.manifest["fingerprint"],
        "target": evaluation.target_name,
        "unit": _find_unit(evaluation),
        "step": describe_duration(evaluation.step),
        "hidden": list(evaluation.hidden),
        "scheme": comparison.scheme,
        "folds": [_describe_fold(evaluation, fold) for fold in comparison.folds],
        "cells": {"observed": int(is_observed.sum()), "compared": int(is_compared.sum())},
        "models": {
            name: {
                "share": round(float((~np.isnan(predictions.points))[is_observed].mean()), 4),
                "seconds": round(predictions.seconds, 1),
            }
            for name, predictions in comparison.predictions.items()
        },
        "failed": dict(comparison.failures),
        "scores": rows,
    }


def _list_groups(evaluation: EvaluationSet, windows: Any) -> list[int | None]:
    """Returns None for all locations together, and the number of each if there are several."""
    numbers = np.unique(evaluation.location[windows]).tolist()
    return [None, *(numbers if len(numbers) > 1 else [])]


def _select_cells(
    comparison: ForecasterComparison, windows: Any, is_compared: Any, predictions: Predictions, location: int | None
) -> tuple[PredictedCells, Any, Any, Any]:
    """Returns the compared cells of `location`, and of each the steps ahead, the local hour and the month."""
    evaluation = comparison.evaluation
    chosen = is_compared if location is None else is_compared & (evaluation.location[windows] == location)[:, None]
    steps = np.minimum(evaluation.steps[windows], len(evaluation.months()) - 1)
    hours = np.stack([evaluation.minutes_of_day(number) // 60 for number in range(len(evaluation.locations))])
    cells = PredictedCells(
        evaluation.truth[windows][chosen],
        predictions.points[chosen],
        np.broadcast_to(comparison.scale[:, None], chosen.shape)[chosen],
        predictions.quantiles[chosen],
    )
    ahead = (evaluation.steps - evaluation.t0[:, None] + 1)[windows][chosen]
    return cells, ahead, hours[evaluation.location[windows][:, None], steps][chosen], evaluation.months()[steps][chosen]


def _describe_fold(evaluation: EvaluationSet, fold: Fold) -> dict[str, Any]:
    first, last = evaluation.first_target[fold.test].min(), evaluation.target_end[fold.test].max()
    return {
        "train": len(fold.train),
        "test": len(fold.test),
        "from": evaluation.moment(int(first)).isoformat(),
        "to": evaluation.moment(int(last)).isoformat(),
    }


def _find_unit(evaluation: EvaluationSet) -> str:
    """Returns the unit of the target, which its input has."""
    location = evaluation.locations[0]
    name = location["targets"][evaluation.target]
    return next((str(column["unit"]) for column in location["columns"] if column["series"] == name), "")
