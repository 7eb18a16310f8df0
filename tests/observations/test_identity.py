"""Repeated keys are found by their fingerprints, however many there are."""

import numpy as np
import pytest

from gridtide.observations import identity
from gridtide.observations.identity import has_repeats


@pytest.mark.parametrize("rows", [0, 1, 90, 1000])
def test_a_fingerprint_that_comes_twice_is_found_among_many(rows: int) -> None:
    """Whether it stands in one part or in two, and whatever it begins with."""
    marks = identity._mix_column(np.zeros(rows, np.uint64), np.arange(rows, dtype=np.uint64))
    parts = [marks[: rows // 3], marks[rows // 3 :]]
    assert not has_repeats(parts, at_once=100)
    for place in (0, rows // 2, rows - 1) if rows else ():
        assert has_repeats([*parts, marks[place : place + 1]], at_once=100)
