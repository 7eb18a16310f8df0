"""Forecasts by attention to the hours of the last year, and to those of the last week: what is a long context worth?

    gridtide evaluate lake/features/isne_year --model day \\
        --model examples.long_context:attend_week --model examples.long_context:attend_year

Each day of the past is read as a window that was predicted at the same hour: of each of its hours the predictors that
were known then, and how far the truth was from the reference, the mean of the latest known days. A step to predict
attends to all hours of the past whose truth was known at t0:

    query: predictors of the step          keys: predictors of past hours
                 │                                   │
                 └──── softmax(query · keys) ────────┘──► Σ weight · distance from the reference
                                                                     + a small network of the predictors

Both contexts have the same model, the same windows to learn from and the same steps of training; only the number of
past hours differs. The set needs a `seq_len` of 8,784 hours and a `stride` of 24 hours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np

from gridtide.evaluation.evaluation_set import EvaluationSet
from gridtide.evaluation.forecasters.naive import by_location
from gridtide.evaluation.predictors import tabulate
from gridtide.observations.array_types import Floats, Integers

DAY, WEEK, YEAR = 24, 168, 8784
EPOCHS, BATCH_SIZE, RATE, WIDTH = 12, 8, 2e-3, 16
LARGEST = 4
"""Standardised predictors are cut off at this many deviations."""


@dataclass(frozen=True)
class PastDays:
    """D days of H hours, each as a window that is predicted at the step `t0` (D,): `predictors` (D, H, P),
    standardised; `distance` (D, H): of the truth from the reference, and `observed` (D, H): where there is one;
    `reference` (D, H); `delay`: the hours after which a truth is known."""

    t0: Integers
    predictors: mx.array
    distance: mx.array
    observed: mx.array
    reference: Floats
    delay: int


class Attention(nn.Module):
    """Maps predictors (B, H, P) of the steps, and those of the past days of which `days` (B, C) are the context, to the
    distance of each step from its reference (B, H)."""

    def __init__(self, predictors: int) -> None:
        super().__init__()
        self.query, self.key = (nn.Linear(predictors, WIDTH, bias=False) for _ in range(2))
        self.hidden, self.out = nn.Linear(predictors, 32), nn.Linear(32, 1)
        self.share = mx.array(0.5)

    def __call__(self, steps: mx.array, past: PastDays, days: mx.array, usable: mx.array) -> mx.array:
        """`usable` (B, C, H) tells which hours of the context exist and were known."""
        batch, horizon, _ = steps.shape
        keys = self.key(past.predictors)[days].reshape(batch, -1, WIDTH)
        visible = (usable & past.observed[days]).reshape(batch, 1, -1)
        scores = self.query(steps) @ keys.swapaxes(1, 2) * WIDTH**-0.5
        weights = mx.softmax(mx.where(visible, scores, -1e9), axis=-1)
        attended = (weights @ past.distance[days].reshape(batch, -1, 1))[..., 0]
        corrected: mx.array = self.share * attended + self.out(nn.relu(self.hidden(steps)))[..., 0]
        return corrected.reshape(batch, horizon)


def attend_week(evaluation: EvaluationSet, learned: Integers, predicted: Integers) -> Floats:
    """The forecaster with a context of 168 hours, for `gridtide evaluate --model`."""
    return forecast(evaluation, learned, predicted, WEEK)


def attend_year(evaluation: EvaluationSet, learned: Integers, predicted: Integers) -> Floats:
    """The forecaster with a context of 8,784 hours, for `gridtide evaluate --model`."""
    return forecast(evaluation, learned, predicted, YEAR)


def forecast(evaluation: EvaluationSet, learned: Integers, predicted: Integers, context: int) -> Floats:
    """The values (N, H) of the windows `predicted`, after learning from the windows `learned`, with the past of
    `context` hours."""

    def predict(location: int, windows: Integers) -> Floats:
        own_learned = learned[evaluation.location[learned] == location]
        grid = spread_days(evaluation, int(evaluation.t0[own_learned[0]]), location)
        day_of = {int(t0): day for day, t0 in enumerate(grid.t0)}
        train, test = (np.array([day_of[int(evaluation.t0[row])] for row in rows]) for rows in (own_learned, windows))
        past = describe_days(grid, train)
        model = train_attention(past, train, context // DAY)
        batches = [test[first : first + BATCH_SIZE] for first in range(0, len(test), BATCH_SIZE)]
        distance = np.concatenate([np.array(model(*take_batch(past, days, context // DAY))) for days in batches])
        return np.exp(distance + past.reference[test])

    return by_location(evaluation, predicted, predict)


def spread_days(evaluation: EvaluationSet, t0: int, location: int) -> EvaluationSet:
    """The same set with one window for each day of its period at `location`, predicted at the hour of `t0`."""
    first, end = t0 % DAY, evaluation.series.shape[1] - evaluation.horizon
    days = np.arange(first, end + 1, DAY)
    numbers = np.full(len(days), location)
    columns = {"location": numbers, "t0": days, "first_target": days, "target_end": days + evaluation.horizon}
    no_covariates = {**evaluation.manifest, "locations": [place | {"future": []} for place in evaluation.locations]}
    return replace(evaluation, manifest=no_covariates, **columns, split=np.zeros_like(days), rank=np.zeros_like(days))


def describe_days(grid: EvaluationSet, train: Integers) -> PastDays:
    """The days of `grid`, standardised by the days `train`."""
    location, horizon = int(grid.location[0]), grid.horizon
    table = tabulate(grid, location, np.arange(len(grid.t0)))
    values = table.values.reshape(len(grid.t0), horizon, -1).astype(np.float64)
    of_train = values[train].reshape(-1, values.shape[2])
    mean, deviation = np.nanmean(of_train, axis=0), np.nanstd(of_train, axis=0)
    scaled = np.clip(np.nan_to_num((values - mean) / np.where(deviation > 0, deviation, np.inf)), -LARGEST, LARGEST)
    reference = np.log(table.reference.reshape(-1, horizon))
    distance = np.log(grid.truth) - reference
    return PastDays(
        grid.t0,
        mx.array(scaled.astype(np.float32)),
        mx.array(np.nan_to_num(distance).astype(np.float32)),
        mx.array(~np.isnan(distance)),
        reference,
        grid.own_delay(location),
    )


def take_batch(past: PastDays, days: Integers, context: int) -> tuple[mx.array, PastDays, mx.array, mx.array]:
    """What the model needs of `days` (B,): their predictors, and of the `context` days before, which hours exist and
    were known at their t0."""
    earlier = days[:, None] - 1 - np.arange(context)
    existing = np.maximum(earlier, 0)
    known_from = past.t0[existing][:, :, None] + np.arange(past.distance.shape[1]) + past.delay + 1
    usable = (earlier >= 0)[:, :, None] & (known_from <= past.t0[days][:, None, None])
    return past.predictors[mx.array(days)], past, mx.array(existing), mx.array(usable)


def train_attention(past: PastDays, train: Integers, context: int) -> Attention:
    """The model after `EPOCHS` epochs over the days `train`, in the same order for every context."""
    mx.random.seed(0)
    model = Attention(past.predictors.shape[2])

    def loss(model: Attention, days: Integers) -> mx.array:
        chosen = mx.array(days)
        error = mx.abs(model(*take_batch(past, days, context)) - past.distance[chosen]) * past.observed[chosen]
        return error.sum() / mx.maximum(past.observed[chosen].sum(), 1)

    updates = EPOCHS * (len(train) // BATCH_SIZE)
    optimizer = optim.Adam(optim.cosine_decay(RATE, max(updates, 1)))
    step = nn.value_and_grad(model, loss)
    for epoch in range(EPOCHS):
        order = np.random.default_rng(epoch).permutation(train)
        for first in range(0, len(order) - BATCH_SIZE + 1, BATCH_SIZE):
            _, gradients = step(model, order[first : first + BATCH_SIZE])
            optimizer.update(model, gradients)
            mx.eval(model.parameters(), optimizer.state)
    return model
