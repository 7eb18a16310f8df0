"""Zero mean and unit spread, from observed train steps alone, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from gridtide.observations.array_types import Floats

F = TypeVar("F", bound=np.floating)


LEAST_SPREAD = 1e-8
"""A spread below this share of the mean's size is no spread: such a column is only centred."""


@dataclass(frozen=True, slots=True)
class Scale:
    """`scaled = (value − mean) / deviation`, per column; both of shape (F,)."""

    mean: Floats
    deviation: Floats

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
    for column in range(values.shape[1]):
        there, seen = observed[:, column], values[:, column]
        seen = (seen if there.all() else seen[there]).astype(np.float64)
        if seen.size:
            mean[column] = seen.mean()
            seen -= mean[column]
            width = np.sqrt(np.square(seen, out=seen).mean())
            if width > LEAST_SPREAD * max(abs(mean[column]), 1e-30):
                deviation[column] = width
    return Scale(_short(mean), _short(deviation))


def identity_scale(columns: int) -> Scale:
    """The scale that changes nothing."""
    return Scale(np.zeros(columns), np.ones(columns))


def _short(values: Floats) -> Floats:
    return values.astype(np.float32).astype(np.float64)
