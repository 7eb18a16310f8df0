"""Observations over any interval → one value per hour, and the hour by whose end each could be known.

Hours are rows: row `r` of a period is the hour `[start + r, start + r + 1)`. How a variable becomes
hourly is its rule in `variables`: MWh are summed, MW and prices averaged, weather taken at the start
of the hour, daily values repeated. An hour of shorter intervals counts as observed when at least
75 % of it is.

Two rows belong to a value: the hour it speaks of, and `known`, the row by whose end it was available
(`published_at`, else the entry's `available` rule). `Hourly.as_known` puts both together:

    published            x
    known      |----|----x----|                row r sees the value of hour r + shift
    speaks of                      |----|      only if the value's `known` row is r or before
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

    `row` (N,) the hour each speaks of, `known` (N,) the row by whose end it was available, `value` (N,).
    """

    row: Integers
    known: Integers
    value: Floats


@dataclass(frozen=True)
class Hourly:
    """C series over the T hours of `period`.

    `values` (C, T): the latest version of each value, NaN where not observed. `known` (C, T): the row
    by whose end it was available. `vintages`: by series number, where the upstream says when it published.
    `repeats` (C,): how many observations had the key of another, the latest of which counts.
    """

    period: Period
    names: tuple[str, ...]
    units: tuple[str, ...]
    values: Floats
    known: npt.NDArray[np.int32]
    vintages: dict[int, Vintages]
    repeats: Integers

    def delay(self, series: int) -> int | None:
        """After how many rows 99 % of the values of `series` are known, negative if before their hour.

        0 means: by the end of the hour itself. None where nothing is observed.
        """
        if series in self.vintages:
            row, known, _ = self.vintages[series]
            first = np.full(self.values.shape[1], NEVER_KNOWN, np.int64)
            np.minimum.at(first, row, known)
        else:
            first = np.where(np.isnan(self.values[series]), NEVER_KNOWN, self.known[series]).astype(np.int64)
        there = np.flatnonzero(first != NEVER_KNOWN)
        if not there.size:
            return None
        return int(np.quantile(first[there] - there, 0.99, method="higher"))

    def as_known(self, series: int, shift: int) -> Floats:
        """What was known by the end of each row about the hour `shift` rows later, shape (T,).

        NaN where nothing was known by then, or the hour lies outside the period.
        """
        steps = self.values.shape[1]
        seen = np.full(steps, np.nan)
        if series in self.vintages:
            versions = self.vintages[series]
            at = versions.row - shift
            visible = (at >= 0) & (at < steps) & (versions.known <= at)
            seen[at[visible]] = versions.value[visible]  # in the order they became known: the last one stays
            return seen
        first, last = max(0, -shift), min(steps, steps - shift)
        if first < last:
            known = self.known[series, first + shift : last + shift]
            value = self.values[series, first + shift : last + shift]
            seen[first:last] = np.where(known <= np.arange(first, last), value, np.nan)
        return seen
