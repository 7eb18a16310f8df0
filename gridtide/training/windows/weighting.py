"""Weights of the steps to predict: how much each counts in training."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gridtide.observations.array_types import Mask
from gridtide.training.spec import TrainingSpec, Weights


def weigh_steps(
    spec: TrainingSpec, rules: Weights, targets: npt.NDArray[np.floating], observed: Mask, train_end: int
) -> npt.NDArray[np.float32]:
    """Returns the weight of each step of R locations, (R, T), by `rules`; `targets` and `observed` are (R, T, K).

    Steps from `train_end` on weigh 1. Train steps weigh half as much for each `half_life` before `train_end`; those
    whose first target is among the largest `peak_share` of the location's train steps, `peaks` times as much. The mean
    over the train steps of all locations is 1.
    """
    weights = np.ones(targets.shape[:2])
    train = weights[:, :train_end]
    if rules.half_life is not None:
        steps_before = train_end - 1 - np.arange(train_end)
        train *= 0.5 ** (steps_before * (spec.resolution / rules.half_life))
    for location in range(len(targets)):
        values = np.where(observed[location, :train_end, 0], targets[location, :train_end, 0], np.nan)
        if not np.isnan(values).all():
            train[location, values >= np.nanquantile(values, 1 - rules.peak_share)] *= rules.peaks
    train /= train.mean()
    return weights.astype(np.float32)
