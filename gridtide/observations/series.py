"""Numbers the series of observations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from gridtide.observations import arrays
from gridtide.observations.array_types import Integers
from gridtide.observations.constant_columns import ConstantColumns

_UNASKED = -2
"""Stands for the number of a series that `SeriesNumbers` has not requested yet."""

_LABELS = ("source", "location", "variable", "unit")

MOST_REMEMBERED = 4
"""How many times as many combinations of labels as a table may have are remembered, with those of earlier tables."""


class SeriesNumbers:
    """Numbers the series of observations. `number(source, location, variable, unit)` is called once for each series,
    however many rows and tables it has; again only after tables with very different labels."""

    def __init__(self, number: Callable[[str, str, str, str], int]) -> None:
        self._number = number
        self._labels: list[list[str]] = []
        self._places: list[Integers] = []
        self._remembered: list[dict[str, int]] = [{} for _ in _LABELS]
        self._numbered: Integers = np.empty([0] * len(_LABELS), np.int64)

    def of(self, table: pa.Table) -> Integers:
        """Returns the number of the series of each row, shape (rows,)."""
        if not table.num_rows:
            return np.empty(0, np.int64)
        constants = ConstantColumns.of_table(table).values
        labels: list[list[str]] = []
        codes: list[Integers | None] = []
        for name in _LABELS:
            if name in constants:
                labels.append([str(constants[name])])
                codes.append(None)
                continue
            column = arrays.one_chunk(table[name].unify_dictionaries())
            labels.append(column.dictionary.to_pylist())
            codes.append(arrays.to_numpy(column.indices, "i4") if len(column.dictionary) > 1 else None)
        if labels != self._labels:
            self._labels, self._places = labels, self._place_labels(labels)
        combined = np.zeros(1, np.int64)
        for size, places, column_codes in zip(self._numbered.shape, self._places, codes, strict=True):
            combined = combined * size + (places[0] if column_codes is None else places[column_codes])
        numbers = self._number_combined(combined)
        return numbers if len(combined) == table.num_rows else arrays.repeat_number(numbers[0], table.num_rows)

    def _number_combined(self, combined: Integers) -> Integers:
        """Returns the numbers of the series with these combinations of labels, each (rows,)."""
        numbers: Integers = self._numbered.ravel()[combined]
        if numbers.min() == _UNASKED:
            unasked = np.flatnonzero(np.bincount(combined[numbers == _UNASKED]))
            texts = [list(places) for places in self._remembered]
            places_by_label = [places.tolist() for places in np.unravel_index(unasked, self._numbered.shape)]
            self._numbered.ravel()[unasked] = [
                self._number(*(words[place] for words, place in zip(texts, places, strict=True)))
                for places in zip(*places_by_label, strict=True)
            ]
            numbers = self._numbered.ravel()[combined]
        return numbers

    def _place_labels(self, labels: Sequence[Sequence[str]]) -> list[Integers]:
        """Returns the places of each of `labels` among all that are remembered, to which they are added."""
        sizes = [len({*places, *texts}) for places, texts in zip(self._remembered, labels, strict=True)]
        if math.prod(sizes) > MOST_REMEMBERED * math.prod(map(len, labels)):
            self._remembered = [{} for _ in _LABELS]
            self._numbered = np.empty([0] * len(_LABELS), np.int64)
        placed = [
            np.array([places.setdefault(text, len(places)) for text in texts], np.int64)
            for places, texts in zip(self._remembered, labels, strict=True)
        ]
        numbered = np.full([len(places) for places in self._remembered], _UNASKED)
        numbered[tuple(map(slice, self._numbered.shape))] = self._numbered
        self._numbered = numbered
        return placed
