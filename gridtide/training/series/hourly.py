"""Observations over any interval → one value per hour, and the hour by whose end each value was known.

Hours are rows: row `r` of a period is the hour `[start + r, start + r + 1)`. The rule in `variables` tells how a
variable becomes hourly: energy (MWh) is summed, MW and prices averaged, weather taken at the start of the hour, daily
values repeated. An hour made of shorter intervals counts as observed if they cover at least 75 % of it.

Each value has two rows: the hour that it describes, and `known_row`, the row by whose end it was available
(`published_at`, or else the entry's `available` rule). `Hourly.as_known` combines both:

    published            x
    known      |----|----x----|                row r sees the value of hour r + shift
    describes                      |----|      only if the value's `known_row` is r or before
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gridtide.observations.array_types import Floats, Integers, Mask
from gridtide.observations.availability import NEVER_KNOWN
from gridtide.periods import HOUR, Period


class Vintages(NamedTuple):
    """All published versions of one series, in the order in which they became known.

    `row` (N,): the hour that each describes; `known_row` (N,): the row by whose end it was available; `value` (N,).
    """

    row: Integers
    known_row: Integers
    value: Floats


class Delay(NamedTuple):
    """The number of rows after which 90 % (`usual`) and 99 % (`longest`) of the values of a series are known.

    0 means by the end of the hour itself, −1 by its start; below that, before the hour begins.
    """

    usual: int
    longest: int


@dataclass(frozen=True)
class Hourly:
    """C series over the T hours of `period`, or over its T steps of `step`, of which the following is true too.

    `values` (C, T): the latest version of each value, NaN where not observed. `known_row` (C, T): the row by whose end
    it was available. `vintages`: by series number, if the upstream gives publication times. `repeats` (C,): the number
    of observations with the key of another one, of which only the latest counts. `refused`: by series
    number, the hours (T,) that are left out because their newest observation has a unit that cannot be converted.
    `corrections`: the records of series that were shifted and renamed as they were read (`curated.Corrections`).
    """

    period: Period
    names: tuple[str, ...]
    units: tuple[str, ...]
    values: Floats
    known_row: npt.NDArray[np.int32]
    vintages: dict[int, Vintages]
    repeats: Integers
    refused: dict[int, Mask] = field(default_factory=dict)
    corrections: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    step: timedelta = HOUR

    def delay(self, series: int, rows: slice = slice(None)) -> Delay | None:
        """Returns the delay of `series` for hours in `rows`, or None if it has no values there."""
        first_known_row = self.first_known_rows(series)
        hours = np.arange(len(first_known_row))[rows]
        hours = hours[first_known_row[hours] != NEVER_KNOWN]
        if not hours.size:
            return None
        usual, longest = np.quantile(first_known_row[hours] - hours, [0.9, 0.99], method="higher")
        return Delay(int(usual), int(longest))

    def first_known_rows(self, series: int) -> Integers:
        """Returns the row by whose end a first version of each hour's value of `series` was known, (T,)."""
        if series not in self.vintages:
            return np.where(np.isnan(self.values[series]), NEVER_KNOWN, self.known_row[series]).astype(np.int64)
        row, known_rows, _ = self.vintages[series]
        first = np.full(self.values.shape[1], NEVER_KNOWN, np.int64)
        np.minimum.at(first, row, known_rows)
        return first

    def versions(self, series: int) -> Vintages:
        """Returns all versions of the values of `series`, in the order in which they became known."""
        if series in self.vintages:
            return self.vintages[series]
        rows = np.flatnonzero(~np.isnan(self.values[series]))
        rows = rows[np.argsort(self.known_row[series, rows], kind="stable")]
        return Vintages(rows, self.known_row[series, rows].astype(np.int64), self.values[series, rows])

    def as_known(self, series: int, shift: int) -> Floats:
        """Returns, for each row, the value known by its end for the hour `shift` rows later, shape (T,).

        NaN where nothing was known by then, or where that hour lies outside the period.
        """
        steps = self.values.shape[1]
        visible_values = np.full(steps, np.nan)
        if series in self.vintages:
            versions = self.vintages[series]
            known_for_row = versions.row - shift
            visible = (known_for_row >= 0) & (known_for_row < steps) & (versions.known_row <= known_for_row)
            visible_values[known_for_row[visible]] = versions.value[
                visible
            ]  # in the order in which they became known: the last one stays
            return visible_values
        first_row, end_row = max(0, -shift), min(steps, steps - shift)
        if first_row < end_row:
            known_rows = self.known_row[series, first_row + shift : end_row + shift]
            shifted_values = self.values[series, first_row + shift : end_row + shift]
            visible_values[first_row:end_row] = np.where(
                known_rows <= np.arange(first_row, end_row), shifted_values, np.nan
            )
        return visible_values
