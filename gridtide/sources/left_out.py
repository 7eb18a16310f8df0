"""What a source leaves out of an answer, counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from gridtide.sources.contract import Skipped

if TYPE_CHECKING:
    import numpy as np

NO_NUMBER = "not a number"
"""Why a cell of a column of numbers is not stored."""

NOT_READ = "columns that are not read"
"""Why the cells of a column are not stored that a source does not know."""


class LeftOut:
    """What is not stored of an answer: by reason how many records or cells, and the first of them with its place."""

    def __init__(self) -> None:
        self._by_reason: dict[str, Skipped] = {}

    def add(self, reason: str, example: str, count: int = 1) -> None:
        """Count `count` records or cells, of which `example` is the first."""
        first = self._by_reason.get(reason)
        self._by_reason[reason] = (
            replace(first, count=first.count + count) if first else Skipped(reason, count, example)
        )

    def first_of(self, reason: str) -> str | None:
        """The example of `reason`, None where nothing was left out because of it."""
        first = self._by_reason.get(reason)
        return first.example if first else None

    def list_skipped(self) -> Sequence[Skipped]:
        """All that was counted."""
        return tuple(self._by_reason.values())


def to_numbers(values: Sequence[str | float | None]) -> np.ndarray:
    """`values` as floats, shape (values,): NaN for a null, an infinity for what is not a number."""
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
