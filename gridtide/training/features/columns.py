"""Columns of features, and how they are collected and aligned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

import numpy as np

from gridtide.observations.array_types import FloatArray, Floats, Mask
from gridtide.periods import HOUR

N = TypeVar("N", bound=FloatArray)


ABSENT = "this location has no such series"
"""The formula of a column that exists only because other locations have it."""


UNSCALED = "this location's series is never observed, or constant, in the train hours"
"""The formula of a column that was left out because it has no scale."""


FLOAT32 = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of a base: its name, unit and formula, and the number of rows that it looks back from its row.

    `series` is the series that it is made of; None if it is made of several or none, or if a location lacks the series.
    A negative `lookback` is a value known ahead, for a step after the row. `key` is the name without the location, by
    which the columns of two locations correspond.
    """

    name: str
    unit: str
    formula: str
    lookback: int
    series: str | None
    key: str

    def then(self, suffix: str, formula: str, *, more: int = 0, unit: str = "") -> Feature:
        """Returns the feature made from this one by `formula`, which looks back `more` rows further."""
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
    """C columns over T rows of `step`: `features` (C), `values` (C, T), and `observed` (C, T), False where filled or
    missing.

    Values are float64 while features are derived from them, float32 in bases.
    """

    features: tuple[Feature, ...]
    values: FloatArray
    observed: Mask
    step: timedelta = HOUR

    def take(self, selection: Sequence[bool] | Mask) -> Columns:
        """Returns the columns where `selection` (C,) is True."""
        if all(selection):
            return self
        features = tuple(feature for feature, keep in zip(self.features, selection, strict=True) if keep)
        is_chosen = np.asarray(selection, bool)
        return Columns(features, self.values[is_chosen], self.observed[is_chosen], self.step)


def align_columns(columns_by_location: Sequence[Columns]) -> list[Columns]:
    """Gives each of `columns_by_location` the columns of all. All have the same columns first; a column that a location
    lacks is inserted, all missing and named absent."""
    all_features = {feature.key: feature for location in columns_by_location for feature in location.features}
    aligned = []
    for location in columns_by_location:
        numbers_by_key = {feature.key: number for number, feature in enumerate(location.features)}
        if list(numbers_by_key) == list(all_features):
            aligned.append(location)
            continue
        values = np.full((len(all_features), location.values.shape[1]), np.nan, location.values.dtype)
        observed = np.zeros(values.shape, bool)
        features = []
        for row_number, (key, feature) in enumerate(all_features.items()):
            if key in numbers_by_key:
                values[row_number], observed[row_number] = (
                    location.values[numbers_by_key[key]],
                    location.observed[numbers_by_key[key]],
                )
                features.append(location.features[numbers_by_key[key]])
            else:
                features.append(replace(feature, name="absent", unit="", formula=ABSENT, series=None))
        aligned.append(Columns(tuple(features), values, observed))
    return aligned


class ColumnBuilder:
    """Collects columns."""

    def __init__(self, steps: int) -> None:
        self._features: list[Feature] = []
        self._values: list[Floats] = []
        self._observed: list[Mask] = []
        self._steps = steps

    def add(self, feature: Feature, values: Floats, observed: Mask) -> None:
        """Adds `values` and `observed` (T,). Values that float32 cannot hold, such as the cube of an absurd value,
        become missing."""
        representable = np.abs(values) <= FLOAT32
        self._features.append(feature)
        self._values.append(np.where(representable, values, np.nan))
        self._observed.append(observed & representable)

    def build(self) -> Columns:
        """Returns all added columns, in the order in which they were added."""
        shape = (len(self._features), self._steps)
        return Columns(
            tuple(self._features),
            np.stack(self._values) if self._values else np.empty(shape),
            np.stack(self._observed) if self._observed else np.empty(shape, bool),
        )
