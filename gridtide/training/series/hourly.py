"""Observations over any interval → one value per hour, and the hour by whose end each could be known.

Hours are rows: row `r` of a period is the hour `[start + r, start + r + 1)`. How a variable becomes
hourly is its rule in `variables`: MWh are summed, MW and prices averaged, weather taken at the start
of the hour, daily values repeated. An hour of shorter intervals counts as observed when at least
75 % of it is.

Two rows belong to a value: the hour it speaks of, and `known_row`, the row by whose end it was available
(`published_at`, else the entry's `available` rule). `Hourly.as_known` puts both together:

    published            x
    known      |----|----x----|                row r sees the value of hour r + shift
    speaks of                      |----|      only if the value's `known_row` is r or before
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gridtide.observations.array_types import Floats, Integers
from gridtide.observations.availability import NEVER_KNOWN
from gridtide.periods import Period


class Vintages(NamedTuple):
    """All published versions of one series, by the order in which they became known.

    `row` (N,) the hour each speaks of, `known_row` (N,) the row by whose end it was available, `value` (N,).
    """

    row: Integers
    known_row: Integers
    value: Floats


class Delay(NamedTuple):
    """After how many rows 90 % (`usual`) and 99 % (`longest`) of the values of a series are known.

    0 means: by the end of the hour itself; negative: before the hour.
    """

    usual: int
    longest: int


@dataclass(frozen=True)
class Hourly:
    """C series over the T hours of `period`.

    `values` (C, T): the latest version of each value, NaN where not observed. `known_row` (C, T): the row
    by whose end it was available. `vintages`: by series number, where the upstream says when it published.
    `repeats` (C,): how many observations had the key of another, the latest of which counts.
    """

    period: Period
    names: tuple[str, ...]
    units: tuple[str, ...]
    values: Floats
    known_row: npt.NDArray[np.int32]
    vintages: dict[int, Vintages]
    repeats: Integers

    def delay(self, series: int, rows: slice = slice(None)) -> Delay | None:
        """After how many rows the values of `series` for hours in `rows` are known; None where it has none there."""
        first = self.first_known_rows(series)
        hours = np.arange(len(first))[rows]
        hours = hours[first[hours] != NEVER_KNOWN]
        if not hours.size:
            return None
        usual, longest = np.quantile(first[hours] - hours, [0.9, 0.99], method="higher")
        return Delay(int(usual), int(longest))

    def first_known_rows(self, series: int) -> Integers:
        """The row by whose end a first version of each hour's value of `series` was known, (T,)."""
        if series not in self.vintages:
            return np.where(np.isnan(self.values[series]), NEVER_KNOWN, self.known_row[series]).astype(np.int64)
        row, known_rows, _ = self.vintages[series]
        first = np.full(self.values.shape[1], NEVER_KNOWN, np.int64)
        np.minimum.at(first, row, known_rows)
        return first

    def as_known(self, series: int, shift: int) -> Floats:
        """What was known by the end of each row about the hour `shift` rows later, shape (T,).

        NaN where nothing was known by then, or the hour lies outside the period.
        """
        steps = self.values.shape[1]
        visible_values = np.full(steps, np.nan)
        if series in self.vintages:
            versions = self.vintages[series]
            at = versions.row - shift
            visible = (at >= 0) & (at < steps) & (versions.known_row <= at)
            visible_values[at[visible]] = versions.value[visible]  # in the order they became known: the last one stays
            return visible_values
        first, last = max(0, -shift), min(steps, steps - shift)
        if first < last:
            known_rows = self.known_row[series, first + shift : last + shift]
            value = self.values[series, first + shift : last + shift]
            visible_values[first:last] = np.where(known_rows <= np.arange(first, last), value, np.nan)
        return visible_values
