"""The series among columns, by location and variable, for features that combine several."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from gridtide.observations.array_types import Floats, Mask
from gridtide.quality.shifting import shift_later, shift_mask_later
from gridtide.sources.registry import find_quantity, list_system_locations
from gridtide.training.features.columns import Columns
from gridtide.variables import CUSTOMARY_NAMES, QuantityKind, SeriesName

POWER_KINDS: tuple[QuantityKind, ...] = ("load", "load_forecast", "generation", "generation_forecast")
"""The quantities that give a location features of power."""


def list_of_kind(source: str, variables: Iterable[str], kind: QuantityKind) -> list[str]:
    """Returns the `variables` of `source` that are a quantity of `kind`: those without a customary name first, then in
    the order of `CUSTOMARY_NAMES`."""
    ranks = {name: rank for rank, name in enumerate(CUSTOMARY_NAMES)}
    quantities = {variable: find_quantity(source, variable) for variable in variables}
    members = [variable for variable, quantity in quantities.items() if quantity and quantity.kind == kind]
    return sorted(members, key=lambda variable: (ranks.get(variable, -1), variable))


class SeriesTable:
    """The series among columns, by source, location and variable, so that they can be combined at the same hour."""

    def __init__(self, inputs: Columns) -> None:
        self._inputs = inputs
        self.step = inputs.step
        self._columns: dict[str, dict[int, int]] = defaultdict(dict)
        self.places: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        for number, feature in enumerate(inputs.features):
            if feature.series is not None:
                source, location, variable = SeriesName.parse(feature.series)
                self._columns[feature.series][feature.lookback] = number
                self.places[source, location][variable] = feature.series

    def lookbacks(self, series: str) -> list[int]:
        """Returns the lookbacks of `series`, the freshest first."""
        return sorted(self._columns[series])

    def unit(self, series: str) -> str:
        """Returns the unit of `series`."""
        return self._inputs.features[next(iter(self._columns[series].values()))].unit

    def at(self, series: str, lookback: int) -> tuple[Floats, Mask]:
        """Returns values and mask (T,) of `series` for the hour `lookback` before each row, as known then or
        earlier."""
        nearest = max((candidate for candidate in self._columns[series] if candidate <= lookback), default=None)
        if nearest is None:
            raise KeyError(f"{series} is not known {lookback} hours back")
        column_number = self._columns[series][nearest]
        values, observed = self._inputs.values[column_number], self._inputs.observed[column_number]
        delay = lookback - nearest
        return (shift_later(values, delay), shift_mask_later(observed, delay)) if delay else (values, observed)

    def total(self, terms: Mapping[str, int], lookback: int) -> tuple[Floats, Mask]:
        """Returns the sum of series times sign at the hour `lookback` before each row, observed where all are."""
        row_count = self._inputs.values.shape[1]
        values, observed = np.zeros(row_count), np.ones(row_count, bool)
        for series, sign in terms.items():
            term_values, term_observed = self.at(series, lookback)
            values += sign * term_values
            observed &= term_observed
        return values, observed

    def common(self, series: Iterable[str]) -> int:
        """Returns the freshest lookback that all of `series` have."""
        return max(self.lookbacks(name)[0] for name in series)

    def groups(self) -> dict[tuple[str, str], dict[str, tuple[str, ...]]]:
        """Returns, by source and location, the series of each variable. The locations of one system form one group."""
        groups: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {}
        for (source, location), names in sorted(self.places.items()):
            system = list_system_locations(source)
            owner = next(
                (
                    group_key
                    for group_key in groups
                    if group_key[0] == source and {group_key[1], location} <= set(system)
                ),
                (source, location),
            )
            group = groups.setdefault(owner, {})
            for variable, series in names.items():
                group[variable] = (*group.get(variable, ()), series)
        return {owner: group for owner, group in groups.items() if any(_is_power(owner[0], name) for name in group)}


def _is_power(source: str, variable: str) -> bool:
    quantity = find_quantity(source, variable)
    return variable.startswith("generation_") or (quantity is not None and quantity.kind in POWER_KINDS)


def format_formula(terms: Mapping[str, int]) -> str:
    """Writes `terms` (series → sign) as a formula.

    >>> format_formula({"eia/ISNE/demand": 1, "eia/ISNE/generation_wind": -1})
    'eia/ISNE/demand − eia/ISNE/generation_wind'
    """
    formula = " ".join(f"{'+' if sign > 0 else '−'} {series}" for series, sign in terms.items())
    return formula.removeprefix("+ ")
