"""Kernel regression: it is the mean of a Gaussian process, sees only what was known, and learns from few windows."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from gridtide.evaluation.comparison import compare_forecasters, score_comparison
from gridtide.evaluation.evaluation_set import EvaluationSet, open_evaluation
from gridtide.evaluation.folds import known_before
from gridtide.evaluation.forecasters import kernel
from tests.support.sets import write_demand_set

pytestmark = pytest.mark.skipif(find_spec("sklearn") is None, reason="scikit-learn is an extra")

FUTURE = ["open_meteo/boston/temperature_2m_forecast", "eia/ISNE/demand_forecast_day_ahead"]


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> EvaluationSet:
    """A set over 120 days with weather and the operator's forecast of the steps to predict."""
    return open_evaluation(write_demand_set(tmp_path_factory.mktemp("set"), future=FUTURE))


def test_it_is_the_mean_of_the_process_computed_pair_by_pair(evaluation: EvaluationSet) -> None:
    """The predictions equal those of the textbook's equations, with the covariance of each pair by itself."""
    windows = np.flatnonzero(evaluation.t0 > 200)
    train, test = windows[:60], windows[70:75]
    end = int(evaluation.t0[train].max())
    tables = [kernel.describe_windows(evaluation, 0, chosen, end, True) for chosen in (train, test)]
    mean, deviation = np.nanmean(tables[0].values, axis=0), np.nanstd(tables[0].values, axis=0)
    varies = deviation > 1e-9
    inputs = [
        np.where(varies, np.clip((table.values - mean) / np.where(varies, deviation, 1), -5, 5), 0) * table.weights
        for table in tables
    ]

    def covariance(left: np.ndarray, right: np.ndarray, left_season: np.ndarray, right_season: np.ndarray) -> float:
        distance, of_season = ((left - right) ** 2).sum(), ((left_season - right_season) ** 2).sum()
        linear = 0.6 * np.exp(-0.5 * 0.75**2 * of_season) + 0.12
        return float(np.exp(-0.5 * distance) + (left * right).sum() * linear)

    pairs = list(zip(inputs[0], tables[0].season, strict=True))
    matrix = np.array([[covariance(a, b, s, t) for b, t in pairs] for a, s in pairs])
    asked = [[covariance(a, b, s, t) for b, t in pairs] for a, s in zip(inputs[1], tables[1].season, strict=True)]
    answers = np.log(evaluation.truth[train]) - tables[0].level[:, None]
    solved = np.linalg.solve(matrix + 0.04 * np.eye(len(train)), answers - answers.mean(axis=0))
    expected = np.exp(np.array(asked) @ solved + answers.mean(axis=0) + tables[1].level[:, None])
    np.testing.assert_allclose(kernel.predict_kernel(evaluation, train, test), expected, rtol=1e-4)


def test_nothing_that_was_not_known_changes_a_prediction(evaluation: EvaluationSet) -> None:
    """With all values altered that were not in the context, not a bit of the prediction changes, whatever their sign;
    with the last known value altered it does."""
    window = np.array([len(evaluation.t0) - 5])
    t0 = int(evaluation.t0[window[0]])
    train = known_before(evaluation, t0)
    before = kernel.predict_kernel(evaluation, train, window)
    fields = {name: getattr(evaluation, name) for name in EvaluationSet.__dataclass_fields__}
    for first, is_same in ((t0, True), (t0 - 1, False)):
        arrays = {name: np.array(array) for name, array in evaluation.arrays.items()}
        for name in ("values", "targets"):
            arrays[name][:, first:] -= 30
        issued_later = arrays["future_known_row"] >= t0
        assert issued_later.any()
        arrays["future_value"][issued_later] += 3
        after = kernel.predict_kernel(EvaluationSet(**{**fields, "arrays": arrays}), train, window)
        assert np.array_equal(before, after) == is_same


def test_it_learns_from_few_windows_and_from_covariates(tmp_path: Path) -> None:
    """Of a hundred days it learns more than the day before, more still with the weather as it was forecast, and most
    with the operator's forecast."""
    errors = {}
    for name, future in (("bare", []), ("weather", FUTURE[:1]), ("operator", FUTURE[1:])):
        evaluation = open_evaluation(write_demand_set(tmp_path / name, days=150, future=future))
        scores = score_comparison(compare_forecasters(evaluation, ["day", "kernel"], quantiles=False))
        errors[name] = {row["model"]: row["mae"] for row in scores["scores"] if row["group"] == "all"}
    assert errors["bare"]["kernel"] < errors["bare"]["day"]
    assert errors["weather"]["kernel"] < 0.9 * errors["bare"]["kernel"]
    assert errors["operator"]["kernel"] < 0.5 * errors["weather"]["kernel"]


def test_days_of_23_to_25_hours_are_learned_together(tmp_path: Path) -> None:
    """With a gate every window predicts a local day: steps that it does not have are filled for learning, and every
    hour of every day has a prediction."""
    evaluation = open_evaluation(write_demand_set(tmp_path, days=120, gate="10:00", horizon=25, stride=24))
    windows = np.arange(len(evaluation.t0))
    predicted = kernel.predict_kernel(evaluation, windows[:60], windows[60:])
    assert not np.isnan(predicted).any()
    truth = evaluation.truth[60:]
    observed = ~np.isnan(truth)
    assert observed[:, 24].sum() < len(truth)
    assert float(np.mean(np.abs(predicted - truth)[observed] / truth[observed])) < 0.1


def test_of_many_windows_the_latest_are_learned_from(
    evaluation: EvaluationSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the most windows that the equations are solved for, earlier ones do not count."""
    windows = np.arange(len(evaluation.t0))
    monkeypatch.setattr(kernel, "MOST_WINDOWS", 30)
    limited = kernel.predict_kernel(evaluation, windows[:60], windows[70:])
    np.testing.assert_array_equal(limited, kernel.predict_kernel(evaluation, windows[30:60], windows[70:]))
