"""Zero mean and unit spread, from observed train steps alone, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from gridtide.observations.array_types import Floats, Mask

F = TypeVar("F", bound=np.floating)


LEAST_SPREAD = 1e-8
"""A spread below this share of the mean's size is no spread: such a column is only centred."""


@dataclass(frozen=True, slots=True)
class Scale:
    """`scaled = (value − mean) / deviation`, per column; both of shape (F,).

    `varies` (F,) says which columns have a spread of their own to scale by; all, where it is not given.
    """

    mean: Floats
    deviation: Floats
    varies: Mask | None = None

    @property
    def spread(self) -> Floats:
        """The deviation of each column, 0 where it has none of its own; (F,)."""
        return self.deviation if self.varies is None else np.where(self.varies, self.deviation, 0.0)

    def take(self, columns: Mask) -> Scale:
        """The scale of those `columns` (F,) alone."""
        varies = None if self.varies is None else self.varies[columns]
        return Scale(self.mean[columns], self.deviation[columns], varies)

    def replace_where(self, columns: Mask, replacement: Scale) -> Scale:
        """This scale with that of `replacement` in `columns` (F,)."""
        mean, deviation, spread = (
            np.where(columns, getattr(replacement, name), getattr(self, name))
            for name in ("mean", "deviation", "spread")
        )
        return Scale(mean, deviation, spread > 0)

    def apply(self, values: npt.NDArray[F]) -> npt.NDArray[F]:
        """`values` (…, F), scaled; float32 stays float32."""
        scaled = values - self.mean.astype(values.dtype)
        scaled /= self.deviation.astype(values.dtype)
        return scaled

    def invert(self, scaled: npt.NDArray[np.floating]) -> Floats:
        """Back from `scaled` (…, F) to values in their units."""
        return scaled * self.deviation + self.mean


def fit_scale(values: npt.NDArray[np.floating], observed: npt.NDArray[np.bool_]) -> Scale:
    """The scale of the train steps `values` (T, F), of which only the `observed` (T, F) count.

    A column that is never observed, or does not vary, gets deviation 1. Both are numbers that float32
    holds, so that a file of float32 (MLX has no float64) keeps them exactly.
    """
    mean, deviation = np.zeros(values.shape[1]), np.ones(values.shape[1])
    varies = np.zeros(values.shape[1], bool)
    for column in range(values.shape[1]):
        reported, steps = observed[:, column], values[:, column]
        steps = (steps if reported.all() else steps[reported]).astype(np.float64)
        if steps.size:
            mean[column] = steps.mean()
            steps -= mean[column]
            width = np.sqrt(np.square(steps, out=steps).mean())
            if width > LEAST_SPREAD * max(abs(mean[column]), 1e-30):
                deviation[column], varies[column] = width, True
    return Scale(_round_float32(mean), _round_float32(deviation), varies)


def pool_scales(scales: Sequence[Scale], counts: npt.NDArray[np.int64]) -> Scale:
    """The scale of all train steps together of which `scales` are those of parts, with `counts` (parts, F) values."""
    total = np.maximum(counts.sum(axis=0), 1)
    means = np.stack([scale.mean for scale in scales])
    mean = (counts * means).sum(axis=0) / total
    squares = np.stack([scale.spread for scale in scales]) ** 2 + (means - mean) ** 2
    deviation = np.sqrt((counts * squares).sum(axis=0) / total)
    varies = deviation > LEAST_SPREAD * np.maximum(np.abs(mean), 1e-30)
    return Scale(_round_float32(mean), _round_float32(np.where(varies, deviation, 1.0)), varies)


def identity_scale(columns: int) -> Scale:
    """The scale that changes nothing."""
    return Scale(np.zeros(columns), np.ones(columns))


def _round_float32(values: Floats) -> Floats:
    return values.astype(np.float32).astype(np.float64)
