"""The texts of a look at series, written out."""

from datetime import UTC, datetime

from gridtide.coverage.freshness.look import SeriesLook
from gridtide.coverage.freshness.memory import SeriesMemory
from gridtide.coverage.freshness.notes import SERIES_LISTED, mark_silence, write_series_notes
from gridtide.coverage.freshness.silence import SilentSeries

STOPPED = SilentSeries("A", "load", datetime(2024, 3, 1, 5, tzinfo=UTC), "nulls")
NEVER = SilentSeries("Z", "", None)


def look_of(
    silent: tuple[SilentSeries, ...] = (), back: tuple[tuple[str, str], ...] = (), new: tuple[tuple[str, str], ...] = ()
) -> SeriesLook:
    """A look that found these series."""
    return SeriesLook(SeriesMemory(), SeriesMemory(), silent, back, new)


def test_a_note_for_each_kind_of_series() -> None:
    """Silent, returned and new series have a note each; a look that found none has no notes."""
    assert write_series_notes(look_of()) == []
    assert write_series_notes(look_of((STOPPED, NEVER), (("B", "load"),), (("C", "wind"), ("D", "wind")))) == [
        "no new values of A/load since 2024-03-01T05:00Z (nulls), Z so far",
        "new values again of B/load",
        "new series: C/wind, D/wind",
    ]


def test_a_note_names_the_first_series_and_counts_the_rest() -> None:
    """Of many series only the first are named."""
    labels = tuple((f"L{number:02}", "load") for number in range(SERIES_LISTED + 3))
    (note,) = write_series_notes(look_of(new=labels))
    assert note.endswith(f"L{SERIES_LISTED - 1:02}/load and 3 more")


def test_a_silence_is_marked_by_its_series() -> None:
    """The mark names the series, and not since when they are silent."""
    assert mark_silence(look_of((STOPPED, NEVER))) == "A/load Z/"
