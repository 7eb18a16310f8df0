"""Forecasters compared on one set: they beat naive ones, a leak shows, and all are judged on the same steps."""

import asyncio
import json
import re
import sys
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from gridtide.errors import ConfigurationError, TrainingError
from gridtide.evaluation.comparison import compare_forecasters, score_comparison
from gridtide.evaluation.evaluation_set import EvaluationSet, open_evaluation
from gridtide.evaluation.forecasters import learned
from gridtide.evaluation.scoring import evaluate_set
from tests.support.sets import write_demand_set, write_training_set

pytestmark = pytest.mark.skipif(find_spec("sklearn") is None, reason="scikit-learn is an extra")

OPERATOR, FORECAST, WEATHER = (
    "eia/ISNE/demand_forecast_day_ahead",
    "open_meteo/boston/temperature_2m_forecast",
    "open_meteo/boston/temperature_2m",
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer trees and networks, so that a test takes a second."""
    monkeypatch.setattr(learned, "BOOSTING", {**learned.BOOSTING, "max_iter": 60})
    monkeypatch.setattr(learned, "NETWORKS", 1)


def errors(scores: dict[str, Any], measure: str = "mae") -> dict[str, float]:
    """The measure of each model over all steps."""
    return {row["model"]: row[measure] for row in scores["scores"] if (row["group"], row["location"]) == ("all", "all")}


def compared(folder: Path, *names: str, **keys: Any) -> dict[str, Any]:
    """The scores of the forecasters `names` on a set with `keys`."""
    evaluation = open_evaluation(write_demand_set(folder, **keys))
    return score_comparison(compare_forecasters(evaluation, names, quantiles=False))


@pytest.mark.slow
def test_what_learns_beats_what_does_not_and_a_leak_improves_it(tmp_path: Path) -> None:
    """Every forecaster that learns beats the naive ones; with the actual weather of the steps planted as if it had been
    forecast, it gets better than with the weather as it was issued, which is better than none. This is what a leak
    looks like in the scores; `test_predictors` and `test_future` show that none happens by itself."""
    names = ("persistence", "day", "week", "ridge", "boosting", "neural", "ensemble")
    bare = errors(compared(tmp_path / "bare", *names))
    issued = errors(compared(tmp_path / "issued", *names, future=[FORECAST]))
    planted = errors(compared(tmp_path / "planted", *names, future=[WEATHER]))
    for name in ("ridge", "boosting", "neural", "ensemble"):
        assert issued[name] < min(issued["persistence"], issued["day"], issued["week"])
        assert planted[name] < 0.95 * issued[name]
    assert planted["ensemble"] < issued["ensemble"] < bare["ensemble"]


def test_quantiles_cover_their_share_of_the_truth(tmp_path: Path) -> None:
    """About four fifths of the truth lie between the quantiles of 10 and 90 %, and the CRPS is below the mean absolute
    error of the points."""
    evaluation = open_evaluation(write_demand_set(tmp_path, days=200))
    comparison = compare_forecasters(evaluation, ["ridge"])
    truth = evaluation.truth[comparison.folds[0].test]
    quantiles = comparison.predictions["ridge"].quantiles
    inside = (truth >= quantiles[:, :, 1]) & (truth <= quantiles[:, :, 17])
    assert 0.65 < inside.mean() < 0.9
    (row,) = [row for row in score_comparison(comparison)["scores"] if row["group"] == "all"]
    assert row["crps"] < row["mae"]


def test_all_are_compared_on_the_steps_that_each_predicts(tmp_path: Path) -> None:
    """Steps that one forecaster does not predict count for none, and its share is told."""
    evaluation = open_evaluation(write_demand_set(tmp_path, days=60, future=[OPERATOR]))
    comparison = compare_forecasters(evaluation, ["day", "operator"], quantiles=False)
    comparison.predictions["day"].points[:, :6] = np.nan
    scores = score_comparison(comparison)
    windows = len(comparison.folds[0].test)
    assert scores["cells"] == {"observed": 24 * windows, "compared": 18 * windows}
    assert scores["models"]["day"]["share"] == 0.75
    assert scores["models"]["operator"]["share"] == 1.0
    for row in scores["scores"]:
        assert row["cells"] == {"all": 18 * windows, "horizon": windows}.get(row["group"], row["cells"])
    truth, points = evaluation.truth[comparison.folds[0].test], comparison.predictions["operator"].points
    assert errors(scores)["operator"] == pytest.approx(float(np.abs(truth - points)[:, 6:].mean()))


def constant(evaluation: EvaluationSet, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """A forecaster of this module: always 1000."""
    return np.full((len(test), evaluation.horizon), 1000.0)


def test_a_forecaster_of_another_module_is_compared_and_a_wrong_name_refused(tmp_path: Path) -> None:
    """`module:function` is compared like the others; unknown names are refused with those that exist."""
    evaluation = open_evaluation(write_demand_set(tmp_path, days=60))
    name = f"{__name__}:constant"
    scores = score_comparison(compare_forecasters(evaluation, [name, "day"]))
    truth = evaluation.truth[evaluation.split == 2]
    assert errors(scores)[name] == pytest.approx(float(np.abs(truth - 1000).mean()))
    with pytest.raises(TrainingError, match=r"prophet is not a forecaster.*persistence, day, week"):
        compare_forecasters(evaluation, ["prophet"])
    with pytest.raises(TrainingError, match="cannot be imported"):
        compare_forecasters(evaluation, ["nowhere:function"])
    with pytest.raises(TrainingError, match=r"no forecast of the operator.*future"):
        compare_forecasters(evaluation, ["operator"])


def broken(evaluation: EvaluationSet, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """A forecaster that raises an error of its own."""
    raise ZeroDivisionError("no weights")


def short(evaluation: EvaluationSet, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """A forecaster that returns one value for each window."""
    return np.zeros((len(test), 1))


def infinite(evaluation: EvaluationSet, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """A forecaster that diverges."""
    return np.full((len(test), evaluation.horizon), np.inf)


def test_a_forecaster_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    """Of forecasters that raise, or return what is no prediction, the reason is told, and the others are scored as
    without them; if all fail, nothing is scored."""
    evaluation = open_evaluation(write_demand_set(tmp_path, days=60))
    wrong = [f"{__name__}:{name}" for name in ("broken", "short", "infinite")]
    scores = score_comparison(compare_forecasters(evaluation, [*wrong, "operator", "day"]))
    assert scores["scores"] == score_comparison(compare_forecasters(evaluation, ["day"]))["scores"]
    assert list(scores["failed"]) == [*wrong, "operator"]
    for name, reason in zip(wrong, ("ZeroDivisionError: no weights", "shape .*, 1", "infinite values"), strict=True):
        assert re.search(reason, scores["failed"][name])
    with pytest.raises(TrainingError, match=r"every forecaster failed.*no weights"):
        compare_forecasters(evaluation, wrong)


def test_each_fold_of_each_forecaster_is_told(tmp_path: Path) -> None:
    """A watcher is told of every fold that a forecaster has predicted, and of the number of all before the first."""
    evaluation = open_evaluation(write_demand_set(tmp_path, days=60))
    calls: list[tuple[str, int, int]] = []
    compare_forecasters(evaluation, ["day", "week"], "rolling", 2, watch=lambda *call: calls.append(call))
    folds = [(name, number, 2) for name in ("day", "week") for number in (1, 2)]
    assert calls == [("day", 0, 2), ("week", 0, 2), *folds]


def test_without_scikit_learn_forecasters_that_learn_are_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal names them, the extra to install, and what can be compared without it; that works."""
    evaluation = open_evaluation(write_demand_set(tmp_path, days=60))
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(
        TrainingError, match=r"ridge, boosting, neural, kernel need.*gridtide\[evaluate\].*persistence, day, week"
    ):
        compare_forecasters(evaluation)
    assert set(compare_forecasters(evaluation, ["persistence", "day", "week"]).predictions) == {
        *("persistence", "day", "week")
    }


def test_a_target_that_the_set_lacks_is_refused_with_those_that_it_has(tmp_path: Path) -> None:
    """The refusal lists the targets with their numbers."""
    with pytest.raises(TrainingError, match=r"no target number 2, only 0 \(demand\)"):
        open_evaluation(write_demand_set(tmp_path, days=30), target=2)


def test_every_score_is_that_of_its_cells_counted_one_by_one(tmp_path: Path) -> None:
    """Each measure of each location and group, in the unit of the data, equals that of a search through the observed
    steps: by steps ahead, the season of the month, and the hour that the clocks of the location show."""
    zones = {"ISNE": "America/New_York", "NYIS": "America/Chicago"}
    places = [
        {"name": name, "timezone": zone, "targets": [f"eia/{name}/demand"], "inputs": [f"eia/{name}/demand"]}
        for name, zone in zones.items()
    ]
    path = tmp_path / "sequences.safetensors"
    write_training_set(path, 110, locations=places, seq_len=48, horizon=24, gap=3, stride=24)
    evaluation = open_evaluation(path)
    comparison = compare_forecasters(evaluation, ["day", "week"], "rolling", 3)
    scores = score_comparison(comparison)
    cells: dict[tuple[str, str, str, str], list[tuple[float, float, np.ndarray, float]]] = {}
    row = 0
    for fold in comparison.folds:
        for window in fold.test:
            place = list(zones)[evaluation.location[window]]
            history = evaluation.series[evaluation.location[window], : min(evaluation.t0[fold.test])]
            scale = float(np.nanmean([abs(history[hour] - history[hour - 24]) for hour in range(24, len(history))]))
            for position, truth in enumerate(evaluation.truth[window]):
                step = int(evaluation.first_target[window]) + position
                moment = evaluation.period.start + timedelta(hours=step)
                hour = moment.astimezone(ZoneInfo(zones[place])).hour
                season = {12: "winter", 1: "winter", 2: "winter", 3: "spring", 4: "spring", 5: "spring"}[moment.month]
                values = {
                    name: (p.points[row, position], p.quantiles[row, position])
                    for name, p in comparison.predictions.items()
                }
                if np.isnan([truth, *(point for point, _ in values.values())]).any():
                    continue
                groups = [("all", ""), ("horizon", str(position + 4)), ("season", season), ("hour", str(hour))]
                for name, (point, quantiles) in values.items():
                    for label in (place, "all"):
                        for group in groups:
                            cells.setdefault((name, label, *group), []).append((truth, point, quantiles, scale))
            row += 1
    assert len(scores["scores"]) == len(cells)
    for score in scores["scores"]:
        chosen = cells[score["model"], score["location"], score["group"], score["key"]]
        errors = [abs(point - truth) for truth, point, _, _ in chosen]
        losses = [
            max(level * (truth - value), (level - 1) * (truth - value))
            for truth, _, quantiles, _ in chosen
            for level, value in zip(np.arange(0.05, 0.96, 0.05), quantiles, strict=True)
        ]
        expected = {
            "cells": len(chosen),
            "mae": np.mean(errors),
            "rmse": np.sqrt(np.mean(np.square(errors))),
            "mape": 100 * np.mean([error / cell[0] for error, cell in zip(errors, chosen, strict=True)]),
            "mase": np.mean([error / cell[3] for error, cell in zip(errors, chosen, strict=True)]),
            "pinball": np.mean(losses),
            "crps": 2 * np.mean(losses) * 19 / 20,
        }
        for measure, value in expected.items():
            assert score[measure] == pytest.approx(value, rel=1e-9)


def test_scores_and_page_are_written_into_the_folder_of_the_set(tmp_path: Path) -> None:
    """JSON and page are written beside the set; a rolling evaluation has its folds in them; another folder is
    refused."""
    folder = write_demand_set(tmp_path / "features" / "evaluated", days=80, future=[OPERATOR])
    scores = asyncio.run(evaluate_set(str(folder), ["day", "operator"], "rolling", 3))
    written = json.loads((folder / "evaluation" / "scores.json").read_text())
    assert written == {key: value for key, value in scores.items() if key != "files"}
    assert len(written["folds"]) == 3
    page = (folder / "evaluation" / "report.html").read_text()
    assert page.count("<svg") == 2
    for text in ("operator", "MASE", "demand (MWh)", "spring"):
        assert text in page
    with pytest.raises(ConfigurationError, match="Name the folder of a training set"):
        asyncio.run(evaluate_set(str(tmp_path)))
