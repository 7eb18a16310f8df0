"""What features of the whole system are derived from: loads, forecasts, generation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from gridtide.observations.array_types import Floats, Mask
from gridtide.sources.registry import system_locations
from gridtide.training.features.columns import Columns, shift_later, shift_mask_later
from gridtide.variables import SeriesName

LOADS = ("demand", "load", "load_five_minute")
"""What a place uses; the first that is there counts."""


LOAD_FORECASTS = ("demand_forecast_day_ahead", "load_forecast_day_ahead", "load_forecast")


class SeriesTable:
    """The series among columns, by source and variable and place, to be put together at the same hour."""

    def __init__(self, inputs: Columns) -> None:
        self._inputs = inputs
        self._columns: dict[str, dict[int, int]] = defaultdict(dict)
        self.places: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        for number, feature in enumerate(inputs.features):
            if feature.series is not None:
                source, place, variable = SeriesName.parse(feature.series)
                self._columns[feature.series][feature.lookback] = number
                self.places[source, place][variable] = feature.series

    def lookbacks(self, series: str) -> list[int]:
        """The lookbacks at which `series` is there, the freshest first."""
        return sorted(self._columns[series])

    def unit(self, series: str) -> str:
        """Its unit."""
        return self._inputs.features[next(iter(self._columns[series].values()))].unit

    def at(self, series: str, lookback: int) -> tuple[Floats, Mask]:
        """Values and mask (T,) of `series` for the hour `lookback` before each row, as last known by then or before."""
        nearest = max((candidate for candidate in self._columns[series] if candidate <= lookback), default=None)
        if nearest is None:
            raise KeyError(f"{series} is not known {lookback} hours back")
        number = self._columns[series][nearest]
        values, observed = self._inputs.values[number], self._inputs.observed[number]
        later = lookback - nearest
        return (shift_later(values, later), shift_mask_later(observed, later)) if later else (values, observed)

    def total(self, terms: Mapping[str, int], lookback: int) -> tuple[Floats, Mask]:
        """The sum of series times sign at the hour `lookback` before each row, known where all are."""
        steps = self._inputs.values.shape[1]
        values, observed = np.zeros(steps), np.ones(steps, bool)
        for series, sign in terms.items():
            value, present = self.at(series, lookback)
            values += sign * value
            observed &= present
        return values, observed

    def common(self, series: Iterable[str]) -> int:
        """The freshest lookback at which all of `series` are there."""
        return max(self.lookbacks(name)[0] for name in series)

    def groups(self) -> dict[tuple[str, str], dict[str, tuple[str, ...]]]:
        """What belongs together, by source and place: each variable's series. A system is one place."""
        groups: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {}
        for (source, place), names in sorted(self.places.items()):
            system = system_locations(source)
            owner = next(
                (candidate for candidate in groups if candidate[0] == source and {candidate[1], place} <= set(system)),
                (source, place),
            )
            group = groups.setdefault(owner, {})
            for variable, series in names.items():
                group[variable] = (*group.get(variable, ()), series)
        return {owner: group for owner, group in groups.items() if any(map(_of_grid, group))}


def _of_grid(variable: str) -> bool:
    return variable in (*LOADS, *LOAD_FORECASTS) or variable.startswith("generation_")


def format_formula(terms: Mapping[str, int]) -> str:
    """`terms` (series → sign) as a person writes them.

    >>> format_formula({"eia/ISNE/demand": 1, "eia/ISNE/generation_wind": -1})
    'eia/ISNE/demand − eia/ISNE/generation_wind'
    """
    text = " ".join(f"{'+' if sign > 0 else '−'} {series}" for series, sign in terms.items())
    return text.removeprefix("+ ")
