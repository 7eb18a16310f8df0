"""The forecaster of the examples that attends to the past: it sees the hours of its context that were known, and no
others."""

import numpy as np
import pytest

from gridtide.evaluation.evaluation_set import EvaluationSet, open_evaluation
from gridtide.evaluation.folds import known_before
from tests.support.sets import DELAY, write_demand_set

mx = pytest.importorskip("mlx.core", reason="MLX is an extra")

from examples import long_context  # noqa: E402  # needs MLX


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> EvaluationSet:
    """A set over 120 days."""
    return open_evaluation(write_demand_set(tmp_path_factory.mktemp("set")))


@pytest.mark.parametrize("context", [7, 30])
def test_the_context_is_the_hours_of_the_last_days_that_were_known(evaluation: EvaluationSet, context: int) -> None:
    """Of the days before, as many as the context has, an hour is used if its truth was known at t0; days before the
    first do not exist."""
    grid = long_context.spread_days(evaluation, int(evaluation.t0[0]), 0)
    past = long_context.describe_days(grid, np.arange(20, 60))
    chosen = np.array([3, 20, 80])
    *_, days, usable = long_context.take_batch(past, chosen, context)
    days, usable = np.array(days), np.array(usable)
    for row, day in enumerate(chosen.tolist()):
        expected = {
            (earlier, hour)
            for earlier in range(max(day - context, 0), day)
            for hour in range(24)
            if grid.t0[earlier] + hour + 1 + DELAY <= grid.t0[day]
        }
        cells = [(int(days[row, place]), hour) for place, hour in zip(*np.nonzero(usable[row]), strict=True)]
        assert len(cells) == len(expected)
        assert {(day, int(hour)) for day, hour in cells} == expected


@pytest.mark.slow
def test_nothing_that_was_not_known_changes_a_prediction(
    evaluation: EvaluationSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all values altered that were not in the context, not a bit of the prediction changes."""
    monkeypatch.setattr(long_context, "EPOCHS", 1)
    window = np.array([len(evaluation.t0) - 5])
    t0 = int(evaluation.t0[window[0]])
    train = known_before(evaluation, t0)
    before = long_context.attend_year(evaluation, train, window)
    assert np.isfinite(before).all()
    fields = {name: getattr(evaluation, name) for name in EvaluationSet.__dataclass_fields__}
    for first, is_same in ((t0, True), (t0 - 1, False)):
        arrays = {name: np.array(array) for name, array in evaluation.arrays.items()}
        for name in ("values", "targets"):
            arrays[name][:, first:] += 2
        after = long_context.attend_year(EvaluationSet(**{**fields, "arrays": arrays}), train, window)
        assert np.array_equal(before, after) == is_same
