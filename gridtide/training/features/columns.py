"""Columns of features, and lagged ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from gridtide.observations.array_types import FloatArray, Floats, Mask

N = TypeVar("N", bound=FloatArray)


ABSENT = "this location has no such series"
"""The formula of a column that is there for another location's sake."""


UNSCALED = "this location's series is never observed, or constant, in the train hours"
"""The formula of a column that was left out because nothing scales it."""


FLOAT32 = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of a base: its name, unit, formula, and how many hours before its row it looks back.

    `series` is what it is made of, None for what is made of several or none, or where a location has no
    such series. A `lookback` below 0 is a value that was known ahead, about an hour after the row.
    `key` is the name without the place: what the columns of two locations have in common.
    """

    name: str
    unit: str
    formula: str
    lookback: int
    series: str | None
    key: str

    def then(self, suffix: str, formula: str, *, more: int = 0, unit: str = "") -> Feature:
        """What is made of this one by `formula`, looking back `more` hours further."""
        return replace(
            self,
            name=self.name + suffix,
            key=self.key + suffix,
            formula=formula,
            lookback=self.lookback + more,
            unit=unit or self.unit,
        )


@dataclass(frozen=True)
class Columns:
    """C columns over T rows: `features` (C), `values` (C, T), and `observed` (C, T), False where filled or missing.

    What is still to be worked on is float64, what is made of it float32, as bases hold it.
    """

    features: tuple[Feature, ...]
    values: FloatArray
    observed: Mask

    def take(self, chosen: Sequence[bool] | Mask) -> Columns:
        """Those where `chosen` (C,)."""
        if all(chosen):
            return self
        features = tuple(feature for feature, keep in zip(self.features, chosen, strict=True) if keep)
        where = np.asarray(chosen, bool)
        return Columns(features, self.values[where], self.observed[where])


def align_columns(places: Sequence[Columns]) -> list[Columns]:
    """The columns of each of `places`, which all have the same ones first, with those of the others between:
    all missing, called absent."""
    every = {feature.key: feature for place in places for feature in place.features}
    aligned = []
    for place in places:
        have = {feature.key: number for number, feature in enumerate(place.features)}
        if list(have) == list(every):
            aligned.append(place)
            continue
        values = np.full((len(every), place.values.shape[1]), np.nan, place.values.dtype)
        observed = np.zeros(values.shape, bool)
        features = []
        for row, (key, feature) in enumerate(every.items()):
            if key in have:
                values[row], observed[row] = place.values[have[key]], place.observed[have[key]]
                features.append(place.features[have[key]])
            else:
                features.append(replace(feature, name="absent", unit="", formula=ABSENT, series=None))
        aligned.append(Columns(tuple(features), values, observed))
    return aligned


def shift_mask_later(observed: Mask, hours: int) -> Mask:
    """`observed` (…, T) of `hours` rows before, False where there is no such row."""
    shifted = np.zeros_like(observed)
    shifted[..., hours:] = observed[..., : max(observed.shape[-1] - hours, 0)]
    return shifted


class ColumnBuilder:
    """Columns in the making."""

    def __init__(self, steps: int) -> None:
        self._features: list[Feature] = []
        self._values: list[Floats] = []
        self._observed: list[Mask] = []
        self._steps = steps

    def add(self, feature: Feature, values: Floats, observed: Mask) -> None:
        """Take in `values` and `observed` (T,), but for what float32 does not hold, such as an absurd one's cube."""
        representable = np.abs(values) <= FLOAT32
        self._features.append(feature)
        self._values.append(np.where(representable, values, np.nan))
        self._observed.append(observed & representable)

    def build(self) -> Columns:
        """All columns that were added, in this order."""
        shape = (len(self._features), self._steps)
        return Columns(
            tuple(self._features),
            np.stack(self._values) if self._values else np.empty(shape),
            np.stack(self._observed) if self._observed else np.empty(shape, bool),
        )


def shift_later(values: Floats, hours: int) -> Floats:
    """`values` (…, T) of `hours` rows before."""
    shifted = np.full_like(values, np.nan)
    shifted[..., hours:] = values[..., : max(values.shape[-1] - hours, 0)]
    return shifted
