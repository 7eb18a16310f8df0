"""Zero mean and unit spread, from observed train steps alone, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SMALLEST = 1e-8
"""A spread below this share of the mean's size is no spread: such a column is only centred."""


@dataclass(frozen=True, slots=True)
class Scale:
    """`scaled = (value − mean) / deviation`, per column; both of shape (F,)."""

    mean: Floats
    deviation: Floats

    def apply(self, values: Floats) -> Floats:
        """`values` (…, F), scaled."""
        return (values - self.mean) / self.deviation

    def invert(self, scaled: npt.NDArray[np.floating]) -> Floats:
        """Back from `scaled` (…, F) to values in their units."""
        return scaled * self.deviation + self.mean


def fit(values: Floats, observed: npt.NDArray[np.bool_]) -> Scale:
    """The scale of the train steps `values` (T, F), of which only the `observed` (T, F) count.

    A column that is never observed, or does not vary, gets deviation 1. Both are numbers that float32
    holds, so that a file of float32 (MLX has no float64) keeps them exactly.
    """
    count = np.maximum(observed.sum(axis=0), 1)
    mean = np.where(observed, values, 0.0).sum(axis=0) / count
    spread = np.where(observed, values - mean, 0.0)
    deviation = np.sqrt((spread**2).sum(axis=0) / count)
    deviation[~(deviation > SMALLEST * np.maximum(np.abs(mean), 1e-30))] = 1.0
    return Scale(_short(mean), _short(deviation))


def identity(columns: int) -> Scale:
    """The scale that changes nothing."""
    return Scale(np.zeros(columns), np.ones(columns))


def _short(values: Floats) -> Floats:
    return values.astype(np.float32).astype(np.float64)
