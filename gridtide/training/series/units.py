"""Converts each series to one unit, whatever the units of its observations.

    January – March   MW │   converted    │ MW
    April – …         GW │ ─────────────► │ MW       a unit of the same dimension
    June 3            MWh│                │ missing  a unit of another: these hours are left out, and counted

The unit is that of an earlier set, else the one that the source declares, else that of the earliest hour. It is
independent of the order of files, which a compaction changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gridtide.observations.array_types import Integers
from gridtide.sources.registry import find_variable
from gridtide.variables import Conversion, SeriesName, find_conversion


class NameUnit(NamedTuple):
    """The name of a series, and one of the units of its observations."""

    name: str
    unit: str


@dataclass(frozen=True)
class UnitJoin:
    """How N series by name and unit become M series by name.

    `names`, `units` (M,); `first` (M,): the number among the N of its first; `number` (N,): the number among the M;
    `conversions` (N,): how their values are converted, None if they are left out.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    first: Integers
    number: Integers
    conversions: tuple[Conversion | None, ...]

    @property
    def changes(self) -> bool:
        """Whether any series is joined, converted or left out."""
        return len(self.names) < len(self.number) or any(conversion != (1.0, 0.0) for conversion in self.conversions)

    @property
    def factor(self) -> npt.NDArray[np.float64]:
        """Returns the factor for the values of each of the N series: NaN if they are left out."""
        return np.array([np.nan if conversion is None else conversion.factor for conversion in self.conversions])

    @property
    def offset(self) -> npt.NDArray[np.float64]:
        """Returns what is added to the values of each of the N series."""
        return np.array([0.0 if conversion is None else conversion.offset for conversion in self.conversions])


def plan_join(series: Mapping[NameUnit, int], earliest: Integers, expected: Mapping[str, str]) -> UnitJoin:
    """Plans how the `series`, numbered from 0 in their order, are joined by name.

    `earliest` (N,): when the first observation of each begins; `expected`: units of series, by name.
    """
    numbers: dict[str, list[int]] = {}
    for (name, _), number in series.items():
        numbers.setdefault(name, []).append(number)
    units = [unit for _, unit in series]
    joined_units = [
        _choose_unit(name, [(int(earliest[number]), units[number]) for number in numbers[name]], expected)
        for name in numbers
    ]
    targets = dict(zip(numbers, joined_units, strict=True))
    joined_numbers = {name: joined_number for joined_number, name in enumerate(numbers)}
    return UnitJoin(
        tuple(numbers),
        tuple(joined_units),
        np.array([group[0] for group in numbers.values()], np.int64),
        np.array([joined_numbers[name] for name, _ in series], np.int64),
        tuple(find_conversion(unit, targets[name]) for name, unit in series),
    )


def _choose_unit(name: str, candidates: list[tuple[int, str]], expected: Mapping[str, str]) -> str:
    """Returns the unit of the series `name`. `candidates` are its units, each with the time of its earliest
    observation."""
    source, _, variable = SeriesName.parse(name)
    description = find_variable(source, variable)
    for preferred in (expected.get(name), description.unit if description else None):
        if preferred is not None and any(find_conversion(unit, preferred) for _, unit in candidates):
            return preferred
    return min(candidates)[1]
