"""What must be judged over all tables that an answer is cut into: its cells, names, times and intervals."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

MIXED = -1
"""Stands for intervals of several lengths."""


@dataclass
class CellCount:
    """How many cells of a column are read as numbers, how many cannot be, and the first of those."""

    read: int = 0
    unread: int = 0
    example: str = ""


class SeriesSpans:
    """The span of the intervals of each series, by its name, and their length and phase while these are the same.

    Intervals of one length and phase are equal or apart, so that overlaps need not be looked for among them.
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, ...], int] = {}
        self._lengths = self._phases = self._firsts = self._lasts = np.zeros(0, np.int64)

    def add(
        self, names: Sequence[tuple[str, ...]], codes: np.ndarray, starts: np.ndarray, ends: np.ndarray
    ) -> tuple[str, ...] | None:
        """Adds intervals from `starts` to `ends` of the series `names` at their `codes`, each (rows,).

        Returns the name of a series whose intervals may overlap earlier ones: they lie in the span of those, and are
        not of their length and phase. None if there is none.
        """
        if not len(codes):
            return None
        order = np.argsort(codes, kind="stable")
        begins = np.flatnonzero(np.diff(codes[order], prepend=-1))
        lengths, phases = self._describe(starts[order], ends[order], begins)
        firsts = np.minimum.reduceat(starts[order], begins)
        lasts = np.maximum.reduceat(ends[order], begins)
        series = [names[code] for code in codes[order][begins].tolist()]
        numbers = np.array([self._numbers.setdefault(name, len(self._numbers)) for name in series], np.int64)
        self._make_room()
        is_new = self._firsts[numbers] > self._lasts[numbers]
        is_same = (self._lengths[numbers] == lengths) & (self._phases[numbers] == phases) & (lengths != MIXED)
        is_apart = (firsts >= self._lasts[numbers]) | (lasts <= self._firsts[numbers])
        self._lengths[numbers] = np.where(is_new | is_same, lengths, MIXED)
        self._phases[numbers] = phases
        self._firsts[numbers] = np.minimum(self._firsts[numbers], firsts)
        self._lasts[numbers] = np.maximum(self._lasts[numbers], lasts)
        unclear = np.flatnonzero(~(is_new | is_same | is_apart))
        return series[unclear[0]] if len(unclear) else None

    @staticmethod
    def _describe(starts: np.ndarray, ends: np.ndarray, begins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the length and the phase of the intervals of each series, whose first ones are at `begins`; the
        length is `MIXED` where either differs."""
        lengths = ends - starts
        phases = starts % np.maximum(lengths, 1)
        is_mixed = np.zeros(len(begins), bool)
        for column in (lengths, phases):
            is_mixed |= np.minimum.reduceat(column, begins) != np.maximum.reduceat(column, begins)
        return np.where(is_mixed, MIXED, lengths[begins]), phases[begins]

    def _make_room(self) -> None:
        limits, added = np.iinfo(np.int64), len(self._numbers) - len(self._firsts)
        self._lengths = np.append(self._lengths, np.full(added, MIXED))
        self._phases = np.append(self._phases, np.full(added, 0))
        self._firsts = np.append(self._firsts, np.full(added, limits.max))
        self._lasts = np.append(self._lasts, np.full(added, limits.min))


@dataclass
class AnswerTally:
    """What has been read of an answer so far. `is_cut` if there are several tables, which are one in the answer: what
    only the whole can show is then judged at its end."""

    is_cut: bool = False
    cells: defaultdict[str, CellCount] = field(default_factory=lambda: defaultdict(CellCount))
    open_cells: Counter[str] = field(default_factory=Counter)
    number_columns: set[str] = field(default_factory=set)
    flag_columns: set[str] = field(default_factory=set)
    texts: dict[tuple[str, ...], str] = field(default_factory=dict)
    """The text of the answer that a name stands for, by what is named and the name."""
    starts: set[int] = field(default_factory=set)
    """The starts of all intervals, in microseconds since 1970."""
    length: int | None = None
    """The length of all intervals, in microseconds; `MIXED` for several."""
    spans: SeriesSpans = field(default_factory=SeriesSpans)

    def add_intervals(self, starts: np.ndarray, ends: np.ndarray) -> None:
        """Adds the intervals of records, from `starts` to `ends`, each (rows,)."""
        lengths = np.unique(ends - starts)
        if len(lengths):
            self.length = int(lengths[0]) if len(lengths) == 1 and self.length in (None, lengths[0]) else MIXED
            self.starts.update(np.unique(starts).tolist())
