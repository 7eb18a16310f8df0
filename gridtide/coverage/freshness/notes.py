"""What reports and notifications say of a look at series; pure."""

from __future__ import annotations

from collections.abc import Sequence

from gridtide.coverage.freshness.look import SeriesLook

SERIES_LISTED = 20
"""How many silent, returned or new series a report or notification names."""


def write_series_notes(look: SeriesLook) -> list[str]:
    """Returns a text for each kind of series that `look` found: silent, back and new; none if there are none."""
    notes = [f"no new values of {_list_first(list(map(str, look.silent)))}"] if look.silent else []
    notes += [f"new values again of {_list_first(['/'.join(label) for label in look.back])}"] if look.back else []
    notes += [f"new series: {_list_first(['/'.join(label) for label in look.new])}"] if look.new else []
    return notes


def mark_silence(look: SeriesLook) -> str:
    """Returns the names of the silent series, which identify the silence: it stays the same while no series falls
    silent or returns."""
    return " ".join("/".join(series.label) for series in look.silent)


def _list_first(names: Sequence[str]) -> str:
    more = f" and {len(names) - SERIES_LISTED} more" if len(names) > SERIES_LISTED else ""
    return ", ".join(names[:SERIES_LISTED]) + more
