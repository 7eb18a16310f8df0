"""The order of the flags."""

from itertools import combinations

from gridtide.quality.flags import Flag, find_worst

BEST_FIRST = [Flag.NOT_EVALUATED, Flag.GOOD, Flag.SUSPECT, Flag.MISSING, Flag.FAIL]
"""As the docs of the catalogue have it."""


def test_the_worst_flag_is_the_last_of_the_documented_order() -> None:
    """Of any two flags, in any order, also as numbers."""
    for better, worse in combinations(BEST_FIRST, 2):
        assert find_worst([better, worse]) == find_worst([int(worse), int(better)]) == worse
