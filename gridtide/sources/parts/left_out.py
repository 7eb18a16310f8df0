"""Counts what a source leaves out of a response."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from gridtide.sources.contract import Skipped

if TYPE_CHECKING:
    import numpy as np

NO_NUMBER = "not a number"
"""Why a cell in a column of numbers is not stored."""

NOT_READ = "columns that are not read"
"""Why the cells of a column that the source does not know are not stored."""

NO_TIME = "records without a time that can be read"
"""Why a record is not stored although other records of the response are."""


class LeftOut:
    """What is not stored of a response: by reason, the number of records or cells, and the first of them with its
    position."""

    def __init__(self) -> None:
        self._by_reason: dict[str, Skipped] = {}

    def add(self, reason: str, example: str, count: int = 1) -> None:
        """Counts `count` records or cells, of which `example` is the first."""
        first = self._by_reason.get(reason)
        self._by_reason[reason] = (
            replace(first, count=first.count + count) if first else Skipped(reason, count, example)
        )

    def first_of(self, reason: str) -> str | None:
        """Returns the example of `reason`, or None if nothing was left out for it."""
        first = self._by_reason.get(reason)
        return first.example if first else None

    def list_skipped(self) -> Sequence[Skipped]:
        """Returns everything that was counted."""
        return tuple(self._by_reason.values())


def to_numbers(values: Sequence[str | float | None]) -> np.ndarray:
    """Converts `values` to floats, shape (values,): NaN for a null, an infinity for anything that is not a number."""
    import numpy as np

    try:
        return np.array(values, np.float64)
    except ValueError:
        return np.array([_to_number(value) for value in values])


def _to_number(value: str | float | None) -> float:
    try:
        return math.nan if value is None else float(value)
    except ValueError:
        return math.inf
