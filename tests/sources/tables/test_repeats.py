"""Keys that repeat and intervals that overlap, and the quick look that says that there are none."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gridtide.sources.tables import repeats
from gridtide.sources.tables.timing import Timing

ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 12), st.sampled_from([4, 4, 4, 2]), st.booleans()), max_size=20
)


@given(ROWS)
def test_regular_records_neither_repeat_a_key_nor_overlap(rows: list[tuple[int, int, int, bool]]) -> None:
    """Whatever the quick look accepts has no pair of intervals of one series that share a moment."""
    series, starts, lengths = (np.array([row[place] for row in rows], np.int64) for place in range(3))
    live = np.array([row[3] for row in rows], bool)
    nowhere = np.zeros(len(rows), bool)
    timing = Timing(starts, starts + lengths, nowhere, nowhere, nowhere)
    overlapping = any(
        live[first]
        and live[second]
        and series[first] == series[second]
        and starts[first] < timing.ends[second]
        and starts[second] < timing.ends[first]
        for first in range(len(rows))
        for second in range(first)
    )
    if repeats.has_regular_keys(series, timing, live):
        assert not overlapping
        assert (repeats.find_repeated_keys(series, timing, live) < 0).all()


def test_a_table_of_hours_is_regular_and_one_with_a_gap_too() -> None:
    """Two series of hours with a missing hour need no sorting; an hour that stands twice, or half an hour, does."""
    series, starts = np.array([0, 1, 0, 1, 0]), np.array([0, 0, 60, 120, 120])
    nowhere, live = np.zeros(5, bool), np.ones(5, bool)
    for moved, expected in ((120, True), (60, False), (90, False)):
        starts[4] = moved
        assert (
            repeats.has_regular_keys(series, Timing(starts, starts + 60, nowhere, nowhere, nowhere), live) is expected
        )
