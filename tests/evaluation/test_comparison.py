"""Forecasters compared on one set: they beat naive ones, a leak shows, and all are judged on the same steps."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gridtide.errors import ConfigurationError, TrainingError
from gridtide.evaluation.comparison import compare_forecasters, score_comparison
from gridtide.evaluation.evaluation_set import EvaluationSet, open_evaluation
from gridtide.evaluation.forecasters import learned
from gridtide.evaluation.scoring import evaluate_set
from tests.support.sets import write_demand_set

pytest.importorskip("sklearn", reason="scikit-learn is an extra")

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
    return score_comparison(compare_forecasters(open_evaluation(write_demand_set(folder, **keys)), names))


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
