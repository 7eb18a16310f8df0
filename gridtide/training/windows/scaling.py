"""Scaling of columns, fitted on observed train steps only, and its inverse.

    scaled = (transform(value) − mean) / deviation

| scaling | transform | mean and deviation |
|---|---|---|
| standard, per_window | none | mean and standard deviation |
| robust | none | median, and the quartile range of a normal distribution with deviation 1 |
| log1p | sign · log(1 + size) | mean and standard deviation of what is transformed |
| quantile | the normal score of the share of train values below | 0 and 1 |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from gridtide.observations.array_types import Floats, Mask
from gridtide.training.spec import ScalingMethod

F = TypeVar("F", bound=np.floating)

LEAST_SPREAD = 1e-8
"""A column whose deviation is below this share of its mean's size counts as constant and is only centred."""


QUARTILE_RANGE = 1.3489795003921634
"""The quartile range of a normal distribution with deviation 1."""


KNOTS = 129
"""The train quantiles between which `quantile` interpolates."""


SCORES = np.array([NormalDist().inv_cdf((number + 0.5) / KNOTS) for number in range(KNOTS)])
"""The normal scores of the train quantiles."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Scales columns: `scaled = (transform(value) − mean) / deviation`; both of shape (F,).

    `varies` (F,) tells which columns vary and so have their own deviation; None means all. `is_log` (F,) and `knots`
    (F, `KNOTS`), the train quantiles, tell which columns are transformed; NaN in the knots of the others. None means
    none.
    """

    mean: Floats
    deviation: Floats
    varies: Mask | None = None
    is_log: Mask | None = None
    knots: Floats | None = None

    @property
    def spread(self) -> Floats:
        """The deviation of each column, 0 for a column that does not vary; (F,)."""
        return self.deviation if self.varies is None else np.where(self.varies, self.deviation, 0.0)

    def take(self, columns: Mask) -> Scale:
        """Returns the scale of the selected `columns` (F,)."""
        varies, is_log = (None if part is None else part[columns] for part in (self.varies, self.is_log))
        knots = None if self.knots is None else self.knots[columns]
        return Scale(self.mean[columns], self.deviation[columns], varies, is_log, knots)

    def replace_where(self, columns: Mask, replacement: Scale) -> Scale:
        """Returns this scale with the values of `replacement` in the selected `columns` (F,)."""
        mean, deviation, spread = (
            np.where(columns, getattr(replacement, name), getattr(self, name))
            for name in ("mean", "deviation", "spread")
        )
        return Scale(mean, deviation, spread > 0, self.is_log, self.knots)

    def apply(self, values: npt.NDArray[F]) -> npt.NDArray[F]:
        """Scales `values` (…, F); float32 stays float32."""
        scaled = self._transform(values) - self.mean.astype(values.dtype)
        scaled /= self.deviation.astype(values.dtype)
        return scaled

    def invert(self, scaled: npt.NDArray[np.floating]) -> Floats:
        """Converts `scaled` (…, F) back to values in their units."""
        values: Floats = scaled * self.deviation + self.mean
        if self.is_log is not None and self.is_log.any():
            values = np.where(self.is_log, np.sign(values) * np.expm1(np.abs(values)), values)
        for column, value_knots, score_knots in self._list_knots():
            values[..., column] = _interpolate(values[..., column], score_knots, value_knots)
        return values

    def _transform(self, values: npt.NDArray[F]) -> npt.NDArray[F]:
        if self.is_log is not None and self.is_log.any():
            values = np.where(self.is_log, transform_log(values), values)
        for number, (column, value_knots, score_knots) in enumerate(self._list_knots()):
            values = values if number else values.copy()
            values[..., column] = _interpolate(values[..., column], value_knots, score_knots)
        return values

    def _list_knots(self) -> list[tuple[int, Floats, Floats]]:
        """Returns, of each column with knots, its number, its distinct knots, and the mean score of each."""
        listed = []
        for column, knots in enumerate([] if self.knots is None else self.knots):
            if not np.isnan(knots).any():
                value_knots, group, counts = np.unique(knots, return_inverse=True, return_counts=True)
                listed.append((column, value_knots, np.bincount(group, SCORES) / counts))
        return listed


def transform_log(values: npt.NDArray[F]) -> npt.NDArray[F]:
    """Returns `log(1 + size)` of `values`, with their sign."""
    transformed: npt.NDArray[F] = np.sign(values) * np.log1p(np.abs(values))
    return transformed


def _interpolate(values: npt.NDArray[Any], positions: Floats, results: Floats) -> Floats:
    """Returns `results` at `values` between the ascending `positions`; beyond the first and the last, in the slope of
    all of them. NaN stays NaN."""
    if len(positions) == 1:
        return np.asarray(values - positions[0] + results[0], np.float64)
    slope = (results[-1] - results[0]) / (positions[-1] - positions[0])
    inside = np.interp(values, positions, results)
    beyond = np.where(values < positions[0], values - positions[0], np.maximum(values - positions[-1], 0))
    return np.asarray(inside + slope * beyond, np.float64)


def fit_scale(
    values: npt.NDArray[np.floating],
    observed: npt.NDArray[np.bool_],
    method: ScalingMethod = "standard",
    bounded: Mask | None = None,
) -> Scale:
    """Fits the scale to the `observed` cells (T, F) of the train steps `values` (T, F) by `method`; columns that are
    `bounded` (F,) are scaled by `standard`.

    A column that is never observed, or does not vary, gets deviation 1. If its quartiles are equal, `robust` takes the
    standard deviation. All numbers are rounded to float32, so that a float32 file (MLX has no float64) stores them
    exactly.
    """
    count = values.shape[1]
    mean, deviation, varies = np.zeros(count), np.ones(count), np.zeros(count, bool)
    is_plain = np.zeros(count, bool) if bounded is None else bounded
    knots = np.full((count, KNOTS), np.nan) if method == "quantile" else None
    for column in range(count):
        reported, train_values = observed[:, column], values[:, column]
        train_values = (train_values if reported.all() else train_values[reported]).astype(np.float64)
        if not train_values.size:
            continue
        way = "standard" if is_plain[column] else method
        if way == "log1p":
            train_values = transform_log(train_values)
        if way == "quantile" and knots is not None:
            quantiles = _round_float32(np.quantile(train_values, np.linspace(0, 1, KNOTS)))
            varies[column] = quantiles[-1] > quantiles[0]
            knots[column] = quantiles if varies[column] else np.nan
        else:
            mean[column], spread = _fit_column(np.asarray(train_values, np.float64), way)
            if spread > LEAST_SPREAD * max(abs(mean[column]), 1e-30):
                deviation[column], varies[column] = spread, True
    is_log = ~is_plain if method == "log1p" else None
    return Scale(_round_float32(mean), _round_float32(deviation), varies, is_log, knots)


def _fit_column(train_values: Floats, method: str) -> tuple[float, float]:
    """Returns the centre of `train_values` (N,), which are overwritten, and the size of what they differ by."""
    if method == "robust":
        low, median, high = np.quantile(train_values, [0.25, 0.5, 0.75])
        if high > low:
            return float(median), float(high - low) / QUARTILE_RANGE
        return float(median), float(train_values.std())
    mean = train_values.mean()
    train_values -= mean
    return float(mean), float(np.sqrt(np.square(train_values, out=train_values).mean()))


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


def join_scales(scales: Sequence[Scale]) -> Scale:
    """Returns one scale of the columns of `scales`, which are fitted in one way, one after another."""
    mean, deviation, spread = (
        np.concatenate([getattr(scale, name) for scale in scales]) for name in ("mean", "deviation", "spread")
    )
    is_log = [scale.is_log for scale in scales if scale.is_log is not None]
    knots = [scale.knots for scale in scales if scale.knots is not None]
    return Scale(
        mean,
        deviation,
        spread > 0,
        np.concatenate(is_log) if is_log else None,
        np.concatenate(knots) if knots else None,
    )


def _round_float32(values: Floats) -> Floats:
    return values.astype(np.float32).astype(np.float64)
