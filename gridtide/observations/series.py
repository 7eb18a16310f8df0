"""Numbers the series of observations."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from gridtide.observations import arrays
from gridtide.observations.array_types import Integers
from gridtide.observations.constant_columns import ConstantColumns

_UNASKED = -2
"""Stands for the number of a series that `SeriesNumbers` has not requested yet."""


class SeriesNumbers:
    """Numbers the series of observations. `number(source, location, variable, unit)` is called once for each series,
    however many rows it has, and again if tables have other labels."""

    def __init__(self, number: Callable[[str, str, str, str], int]) -> None:
        self._number = number
        self._labels: list[list[str]] = []
        self._numbered: Integers = np.empty(0, np.int64)

    def of(self, table: pa.Table) -> Integers:
        """Returns the number of the series of each row, shape (rows,)."""
        if not table.num_rows:
            return np.empty(0, np.int64)
        constants = ConstantColumns.of_table(table).values
        labels: list[list[str]] = []
        combined_codes = np.zeros(1, np.int64)
        for name in ("source", "location", "variable", "unit"):
            if name in constants:
                labels.append([str(constants[name])])
                continue
            column = arrays.one_chunk(table[name].unify_dictionaries())
            labels.append(column.dictionary.to_pylist())
            if len(column.dictionary) > 1:
                combined_codes = combined_codes * len(column.dictionary) + arrays.to_numpy(column.indices, "i4")
        if labels != self._labels:
            self._labels, self._numbered = labels, np.full(math.prod(map(len, labels)), _UNASKED)
        numbers = self._numbered[combined_codes]
        if numbers.min() == _UNASKED:
            for combined_code in np.flatnonzero(np.bincount(combined_codes[numbers == _UNASKED])):
                codes = np.unravel_index(combined_code, [len(texts) for texts in labels])
                self._numbered[combined_code] = self._number(
                    *(texts[code] for texts, code in zip(labels, codes, strict=True))
                )
            numbers = self._numbered[combined_codes]
        return numbers if len(combined_codes) == table.num_rows else arrays.repeat_number(numbers[0], table.num_rows)
