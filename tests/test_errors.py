"""How errors and other texts are put into words."""

from __future__ import annotations

import pytest

from gridtide.errors import UpstreamError, list_first, one_line


@pytest.mark.parametrize(
    ("count", "listed"),
    [(0, " and 3 more"), (1, "a and 2 more"), (2, "a, b and 1 more"), (3, "a, b, c"), (9, "a, b, c")],
)
def test_the_rest_of_a_list_is_counted(count: int, listed: str) -> None:
    """At most `count` items are named, and the number of the rest; nothing is added where there is no rest."""
    assert list_first("abc", count) == listed


def test_a_list_has_the_separator_and_the_end_that_a_text_needs() -> None:
    """Items of any type are joined by another separator, with another end; an empty list is an empty text."""
    assert list_first([1, 2, 3], 2, "; ", " (and {} more, see --json)") == "1; 2 (and 1 more, see --json)"
    assert list_first([], 2) == ""


def test_an_error_is_one_line() -> None:
    """Line breaks become spaces, and an error of another kind has its type before it."""
    assert one_line(UpstreamError("load", "failed\n twice", "Wait")) == "load: failed twice. Wait"
    assert one_line(ValueError("a\nb")) == "ValueError: a b"
