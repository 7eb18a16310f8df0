"""Which windows a forecaster learns from, and which it predicts.

    split           |------- train -------|--- test ---|
    rolling         |------- train -------|test|
                    |------- train ------------|test|
                    |------- train -----------------|test|
    blocked         |--- train ---|purged|test|purged|--- train ---|

A forecaster learns only from targets that were known at the t0 of the first window that it predicts; with `blocked`,
which also learns from later windows, from none that shares a step with the targets that it predicts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gridtide.errors import TrainingError
from gridtide.evaluation.evaluation_set import EvaluationSet
from gridtide.observations.array_types import Integers
from gridtide.training.windows.splits import SPLITS

Scheme = Literal["split", "rolling", "blocked"]

TEST = SPLITS.index("test")


@dataclass(frozen=True)
class Fold:
    """The numbers of the windows to learn from, `train`, and to predict, `test`."""

    train: Integers
    test: Integers


def make_folds(evaluation: EvaluationSet, scheme: Scheme, count: int) -> list[Fold]:
    """Returns the folds of `scheme`: `count` of them, for `split` one.

    `rolling` divides the test windows into blocks of equal length, `blocked` all windows. Raises `TrainingError` if a
    fold has nothing to learn from or to predict.
    """
    test_windows = np.arange(len(evaluation.t0)) if scheme == "blocked" else np.flatnonzero(evaluation.split == TEST)
    distinct_t0 = np.unique(evaluation.t0[test_windows])
    block_count = 1 if scheme == "split" else count
    if len(distinct_t0) < block_count or not block_count:
        raise TrainingError(
            evaluation.manifest["spec"]["name"],
            f"has {len(distinct_t0)} test windows at different times, not enough for {count} folds",
            "Prepare it with a larger share for test, or ask for fewer folds",
        )
    folds = []
    for block in np.array_split(distinct_t0, block_count):
        test = test_windows[np.isin(evaluation.t0[test_windows], block)]
        train = _purge_around(evaluation, test) if scheme == "blocked" else known_before(evaluation, int(block[0]))
        if not len(train):
            raise TrainingError(
                evaluation.manifest["spec"]["name"],
                f"has no window whose targets were known at {evaluation.moment(int(block[0])):%Y-%m-%dT%H:%MZ}, "
                "when the first of a fold is predicted",
                "Prepare it with a larger share for train, or ask for fewer folds",
            )
        folds.append(Fold(train, test))
    return folds


def known_before(evaluation: EvaluationSet, t0: int) -> Integers:
    """Returns the windows whose targets were all known at the start of step `t0`."""
    delays = np.array([evaluation.own_delay(location) for location in range(len(evaluation.locations))])
    return np.flatnonzero(evaluation.target_end + delays[evaluation.location] <= t0)


def _purge_around(evaluation: EvaluationSet, test: Integers) -> Integers:
    """Returns the windows that share no step, of their contexts or targets, with the targets of the windows `test`."""
    first_target, target_end = evaluation.first_target[test].min(), evaluation.target_end[test].max()
    start = evaluation.t0 - evaluation.manifest["spec"]["seq_len"]
    return np.flatnonzero((evaluation.target_end <= first_target) | (start >= target_end))


def take_latest(evaluation: EvaluationSet, train: Integers, share: float) -> Fold:
    """Divides the windows `train` into those of the last `share` of their times, to predict, and those that were known
    before."""
    distinct_t0 = np.unique(evaluation.t0[train])
    first = int(distinct_t0[min(int(len(distinct_t0) * (1 - share)), len(distinct_t0) - 1)])
    return Fold(np.intersect1d(train, known_before(evaluation, first)), train[evaluation.t0[train] >= first])
