"""What reports and notifications say of a look at series; pure."""

from __future__ import annotations

from gridtide.coverage.freshness.look import SeriesLook
from gridtide.errors import list_first

SERIES_LISTED = 20
"""How many silent, returned or new series a report or notification names."""


def write_series_notes(look: SeriesLook) -> list[str]:
    """Returns a text for each kind of series that `look` found: silent, back and new; none if there are none."""
    back = map("/".join, look.back)
    notes = [f"no new values of {list_first(look.silent, SERIES_LISTED)}"] if look.silent else []
    notes += [f"new values again of {list_first(back, SERIES_LISTED)}"] if look.back else []
    return [*notes, *name_new_series(look)]


def name_new_series(look: SeriesLook) -> list[str]:
    """Returns a text that names the new series; none if there are none."""
    return [f"new series: {list_first(map('/'.join, look.new), SERIES_LISTED)}"] if look.new else []


def mark_new_series(look: SeriesLook) -> str:
    """Returns the names of the new series, which identify that they are new."""
    return " ".join(map("/".join, look.new))


def mark_silence(look: SeriesLook) -> str:
    """Returns the names of the silent series, which identify the silence: it stays the same while no series falls
    silent or returns."""
    return " ".join("/".join(series.label) for series in look.silent)
