"""Forecasters that learn from the windows of a fold: ridge regression, gradient boosting and a small neural network.

They need scikit-learn, which `gridtide[evaluate]` installs. Each learns per location, from the predictors of
`gridtide.evaluation.predictors`. Targets that are positive throughout are learned by their logarithm, because errors of
load are relative.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from gridtide.errors import TrainingError
from gridtide.evaluation.evaluation_set import EvaluationSet
from gridtide.evaluation.forecasters.naive import by_location
from gridtide.evaluation.predictors import tabulate
from gridtide.observations.array_types import FloatArray, Floats, Integers, Mask

BOOSTING: Mapping[str, Any] = {
    "max_iter": 500,
    "learning_rate": 0.05,
    "max_leaf_nodes": 31,
    "l2_regularization": 1.0,
    "max_features": 0.3,
    "early_stopping": False,
    "random_state": 0,
}
"""500 trees, of which each split sees a random third of the predictors."""

NEURAL: Mapping[str, Any] = {
    "hidden_layer_sizes": (64, 32),
    "alpha": 1e-3,
    "learning_rate_init": 1e-3,
    "batch_size": 256,
    "max_iter": 25,
}
NETWORKS = 5
"""The prediction of the neural network is the mean of that many, which begin differently."""

RIDGE = 10.0
"""The penalty of the ridge regression, of standardised predictors."""

LARGEST_DEVIATION = 5.0
"""Standardised predictors are cut off at this many deviations, because a linear extrapolation from there is wrong."""


class LearningTask(NamedTuple):
    """Predictors `examples` (M, P) and truth `answers` (M,) of the steps to learn from, and predictors `questions` (A,
    P) of those to predict; `example_position` and `question_position`: the steps' positions in their windows."""

    examples: FloatArray
    answers: Floats
    example_position: Integers
    questions: FloatArray
    question_position: Integers


Learner = Callable[[LearningTask], Floats]
"""Returns the predictions (A,) of a task."""


def predict_ridge(evaluation: EvaluationSet, train: Integers, test: Integers) -> Floats:
    """Ridge regression, one for each position in the window, relative to the latest values at the same hour."""
    return _learn(evaluation, train, test, _learn_ridge, relative=True)


def predict_boosting(evaluation: EvaluationSet, train: Integers, test: Integers) -> Floats:
    """Gradient boosting of trees, one for all positions in the window."""
    return _learn(evaluation, train, test, _learn_boosting, relative=False)


def predict_neural(evaluation: EvaluationSet, train: Integers, test: Integers) -> Floats:
    """The mean of small neural networks, each for all positions in the window, relative to the latest values at the
    same hour."""
    return _learn(evaluation, train, test, _learn_neural, relative=True)


def _learn(evaluation: EvaluationSet, train: Integers, test: Integers, learner: Learner, *, relative: bool) -> Floats:
    """Returns the predictions (N, H) of the windows `test` by `learner`, location by location; NaN at a location
    without anything to learn from."""

    def predict(location: int, windows: Integers) -> Floats:
        own_train = train[evaluation.location[train] == location]
        examples, questions = (tabulate(evaluation, location, chosen) for chosen in (own_train, windows))
        truth = evaluation.truth[own_train].reshape(-1)
        usable = ~np.isnan(truth) & ~(np.isnan(examples.reference) & relative)
        predictions = np.full(len(questions.reference), np.nan)
        answerable = ~(np.isnan(questions.reference) & relative)
        if not usable.any() or not answerable.any():
            return predictions.reshape(len(windows), -1)
        positive = min(np.nanmin(truth), np.nanmin(np.append(examples.reference, questions.reference))) > 0
        bases = (examples.reference, questions.reference) if relative else (np.zeros(1), np.zeros(1))
        if positive:
            bases = (np.log(bases[0]), np.log(bases[1])) if relative else bases
            truth = np.log(truth)
        learning_task = LearningTask(
            examples.values[usable],
            (truth - bases[0])[usable],
            _positions(evaluation, len(own_train))[usable],
            questions.values[answerable],
            _positions(evaluation, len(windows))[answerable],
        )
        predictions[answerable] = learner(learning_task)
        predictions += bases[1]
        return (np.exp(predictions) if positive else predictions).reshape(len(windows), -1)

    return by_location(evaluation, test, predict)


def _positions(evaluation: EvaluationSet, windows: int) -> Integers:
    return np.tile(np.arange(evaluation.horizon), windows)


def _learn_ridge(learning_task: LearningTask) -> Floats:
    ridge = import_learner("linear_model").Ridge
    predictions = np.full(len(learning_task.questions), np.nan)
    for position in np.unique(learning_task.question_position).tolist():
        is_example, is_question = (
            learning_task.example_position == position,
            learning_task.question_position == position,
        )
        if is_example.any():
            examples, questions = _standardise(learning_task, is_example, is_question)
            model = ridge(alpha=RIDGE).fit(examples, learning_task.answers[is_example])
            predictions[is_question] = model.predict(questions)
    return predictions


def _learn_boosting(learning_task: LearningTask) -> Floats:
    booster = import_learner("ensemble").HistGradientBoostingRegressor(**BOOSTING)
    return np.asarray(
        booster.fit(learning_task.examples, learning_task.answers).predict(learning_task.questions), np.float64
    )


def _learn_neural(learning_task: LearningTask) -> Floats:
    import warnings

    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    network = import_learner("neural_network").MLPRegressor
    examples, questions = _standardise(learning_task, slice(None), slice(None))
    spread = float(learning_task.answers.std()) or 1.0
    total = np.zeros(len(questions))
    for number in range(NETWORKS):
        model = network(**NEURAL, random_state=number)
        with warnings.catch_warnings(), threadpool_limits(1):  # its matrices are too small for several threads
            warnings.simplefilter("ignore")  # that it could still learn from more epochs
            model.fit(examples, learning_task.answers / spread)
        total += model.predict(questions) * spread
    return total / NETWORKS


def _standardise(
    learning_task: LearningTask, is_example: Mask | slice, is_question: Mask | slice
) -> tuple[FloatArray, FloatArray]:
    """Returns the predictors to learn from and to predict with, standardised by the former; 0, the mean, for what is
    not known."""
    values = learning_task.examples[is_example].astype(np.float64)
    present = ~np.isnan(values)
    counts = np.maximum(present.sum(axis=0), 1)
    mean = np.nansum(values, axis=0) / counts
    deviation = np.sqrt(np.nansum((values - mean) ** 2, axis=0) / counts)
    deviation = np.where(deviation > 1e-9 * np.maximum(np.abs(mean), 1), deviation, np.inf)  # constant: always 0
    return (
        np.clip(np.nan_to_num((values - mean) / deviation), -LARGEST_DEVIATION, LARGEST_DEVIATION),
        np.clip(
            np.nan_to_num((learning_task.questions[is_question] - mean) / deviation),
            -LARGEST_DEVIATION,
            LARGEST_DEVIATION,
        ),
    )


def import_learner(module: str) -> Any:
    """Returns `sklearn.<module>`; raises `TrainingError` without scikit-learn."""
    from importlib import import_module

    try:
        return import_module(f"sklearn.{module}")
    except ImportError as error:
        raise TrainingError("evaluate", f"needs scikit-learn: {error}", "Install gridtide[evaluate]") from error
