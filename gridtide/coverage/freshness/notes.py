"""What reports and notifications say of a look at series; pure."""

from __future__ import annotations

from gridtide.coverage.freshness.look import SeriesLook
from gridtide.errors import list_first

SERIES_LISTED = 20
"""How many silent, returned or new series a report or notification names."""


def write_series_notes(look: SeriesLook) -> list[str]:
    """Returns a text for each kind of series that `look` found: silent, back and new; none if there are none."""
    back, new = (map("/".join, labels) for labels in (look.back, look.new))
    notes = [f"no new values of {list_first(look.silent, SERIES_LISTED)}"] if look.silent else []
    notes += [f"new values again of {list_first(back, SERIES_LISTED)}"] if look.back else []
    notes += [f"new series: {list_first(new, SERIES_LISTED)}"] if look.new else []
    return notes


def mark_silence(look: SeriesLook) -> str:
    """Returns the names of the silent series, which identify the silence: it stays the same while no series falls
    silent or returns."""
    return " ".join("/".join(series.label) for series in look.silent)
