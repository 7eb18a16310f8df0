"""Scaling to zero mean and unit deviation, fitted on observed train steps only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from gridtide.observations.array_types import Floats, Mask

F = TypeVar("F", bound=np.floating)


LEAST_SPREAD = 1e-8
"""A column whose deviation is below this share of its mean's size counts as constant and is only centred."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Scales columns: `scaled = (value − mean) / deviation`; both of shape (F,).

    `varies` (F,) tells which columns vary and so have their own deviation; None means all.
    """

    mean: Floats
    deviation: Floats
    varies: Mask | None = None

    @property
    def spread(self) -> Floats:
        """The deviation of each column, 0 for a column that does not vary; (F,)."""
        return self.deviation if self.varies is None else np.where(self.varies, self.deviation, 0.0)

    def take(self, columns: Mask) -> Scale:
        """Returns the scale of the selected `columns` (F,)."""
        varies = None if self.varies is None else self.varies[columns]
        return Scale(self.mean[columns], self.deviation[columns], varies)

    def replace_where(self, columns: Mask, replacement: Scale) -> Scale:
        """Returns this scale with the values of `replacement` in the selected `columns` (F,)."""
        mean, deviation, spread = (
            np.where(columns, getattr(replacement, name), getattr(self, name))
            for name in ("mean", "deviation", "spread")
        )
        return Scale(mean, deviation, spread > 0)

    def apply(self, values: npt.NDArray[F]) -> npt.NDArray[F]:
        """Scales `values` (…, F); float32 stays float32."""
        scaled = values - self.mean.astype(values.dtype)
        scaled /= self.deviation.astype(values.dtype)
        return scaled

    def invert(self, scaled: npt.NDArray[np.floating]) -> Floats:
        """Converts `scaled` (…, F) back to values in their units."""
        return scaled * self.deviation + self.mean


def fit_scale(values: npt.NDArray[np.floating], observed: npt.NDArray[np.bool_]) -> Scale:
    """Fits the scale to the `observed` cells (T, F) of the train steps `values` (T, F).

    A column that is never observed, or does not vary, gets deviation 1. Mean and deviation are rounded to float32, so
    that a float32 file (MLX has no float64) stores them exactly.
    """
    mean, deviation = np.zeros(values.shape[1]), np.ones(values.shape[1])
    varies = np.zeros(values.shape[1], bool)
    for column in range(values.shape[1]):
        reported, train_values = observed[:, column], values[:, column]
        train_values = (train_values if reported.all() else train_values[reported]).astype(np.float64)
        if train_values.size:
            mean[column] = train_values.mean()
            train_values -= mean[column]
            deviation_of_column = np.sqrt(np.square(train_values, out=train_values).mean())
            if deviation_of_column > LEAST_SPREAD * max(abs(mean[column]), 1e-30):
                deviation[column], varies[column] = deviation_of_column, True
    return Scale(_round_float32(mean), _round_float32(deviation), varies)


def pool_scales(scales: Sequence[Scale], counts: npt.NDArray[np.int64]) -> Scale:
    """Returns the scale of all locations together from their `scales` and the number of values of each, `counts`
    (parts, F)."""
    total = np.maximum(counts.sum(axis=0), 1)
    means = np.stack([scale.mean for scale in scales])
    mean = (counts * means).sum(axis=0) / total
    squares = np.stack([scale.spread for scale in scales]) ** 2 + (means - mean) ** 2
    deviation = np.sqrt((counts * squares).sum(axis=0) / total)
    varies = deviation > LEAST_SPREAD * np.maximum(np.abs(mean), 1e-30)
    return Scale(_round_float32(mean), _round_float32(np.where(varies, deviation, 1.0)), varies)


def identity_scale(columns: int) -> Scale:
    """Returns the scale that changes nothing."""
    return Scale(np.zeros(columns), np.ones(columns))


def _round_float32(values: Floats) -> Floats:
    return values.astype(np.float32).astype(np.float64)
