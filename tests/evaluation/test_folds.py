"""Folds: nothing that a forecaster learns from was unknown when it predicts."""

from pathlib import Path

import numpy as np
import pytest

from gridtide.errors import TrainingError
from gridtide.evaluation.evaluation_set import EvaluationSet, open_evaluation
from gridtide.evaluation.folds import Scheme, make_folds, take_latest
from tests.support.sets import DELAY, write_demand_set

SPLITS = {"validation": 0.2, "test": 0.3}


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> EvaluationSet:
    """A set with overlapping windows: a day, every six hours."""
    return open_evaluation(write_demand_set(tmp_path_factory.mktemp("set"), days=60, stride=6, splits=SPLITS))


@pytest.mark.parametrize("scheme", ["split", "rolling"])
def test_what_is_learned_was_known_before_the_fold(evaluation: EvaluationSet, scheme: Scheme) -> None:
    """Every target to learn from was known at the first t0 of the fold; the folds predict each test window once; all
    windows whose targets were known are learned from."""
    folds = make_folds(evaluation, scheme, 4)
    assert len(folds) == (1 if scheme == "split" else 4)
    assert sorted(np.concatenate([fold.test for fold in folds])) == np.flatnonzero(evaluation.split == 2).tolist()
    for fold in folds:
        first = min(int(evaluation.t0[window]) for window in fold.test)
        known = [window for window in range(len(evaluation.t0)) if evaluation.target_end[window] + DELAY <= first]
        assert fold.train.tolist() == known


def test_blocks_are_purged_of_windows_that_share_a_step(evaluation: EvaluationSet) -> None:
    """Blocks predict every window once, and learn from none whose context or targets share a step with the targets of
    the block."""
    folds = make_folds(evaluation, "blocked", 5)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(len(evaluation.t0)))
    for fold in folds:
        predicted = set()
        for window in fold.test:
            predicted |= set(range(evaluation.first_target[window], evaluation.target_end[window]))
        for window in fold.train:
            used = set(range(evaluation.t0[window] - 48, evaluation.target_end[window]))
            assert not used & predicted
        assert len(fold.train) + len(fold.test) < len(evaluation.t0)


def test_the_latest_windows_are_predicted_from_those_known_before(evaluation: EvaluationSet) -> None:
    """Calibration predicts the last share of the windows to learn from, with what was known before them."""
    (fold,) = make_folds(evaluation, "split", 1)
    earlier = take_latest(evaluation, fold.train, 0.25)
    assert set(earlier.test) <= set(fold.train)
    assert set(earlier.train) <= set(fold.train)
    assert 0.2 < len(earlier.test) / len(fold.train) < 0.3
    assert (evaluation.target_end[earlier.train] + DELAY).max() <= evaluation.t0[earlier.test].min()


def test_a_set_without_test_windows_is_refused(tmp_path: Path) -> None:
    """A set without a test split has nothing to predict, except in blocks."""
    lone = open_evaluation(write_demand_set(tmp_path, days=30, splits={"validation": 0.2, "test": 0}))
    with pytest.raises(TrainingError, match="not enough for 5 folds"):
        make_folds(lone, "rolling", 5)
    assert len(make_folds(lone, "blocked", 3)) == 3
