"""What the configuration corrects of a series as it is read: its name by `aliases`, its labels by `shift`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gridtide.entries.aliases import EVERY
from gridtide.entries.entry import Entry
from gridtide.variables import SeriesName


def list_corrections(entry: Entry, name: SeriesName) -> list[dict[str, Any]]:
    """Returns the corrections of the series that is read as `name` from files of `entry`: `kind` `alias` with `from`,
    `to`, `since` and `before`, or `kind` `shift` with `by`, `from` and `until`, as in the configuration; bounds that
    are open are None.

    Shifts name stored series, which may have another name than `name`.
    """
    corrections: list[dict[str, Any]] = []
    stored_names = {name}
    for alias in entry.aliases:
        stored_series, read_series = alias.series
        if read_series._replace(location=name.location) == name and read_series.location in (EVERY, name.location):
            location = name.location if stored_series.location == EVERY else stored_series.location
            stored_names.add(stored_series._replace(location=location))
            corrections.append({"kind": "alias", **msgspec.to_builtins(alias)})
    for shift in entry.shifts:
        if any(shift.concerns(str(stored_name)) for stored_name in stored_names):
            bounds = {"by": shift.text, "from": shift.since, "until": shift.until}
            corrections.append({"kind": "shift", **bounds})
    return corrections


def describe_correction(correction: Mapping[str, Any]) -> str:
    """Returns a correction as a phrase, such as `read PT1H later from 2021-07-01 until 2021-08-01`."""
    if correction["kind"] == "shift":
        length = correction["by"].removeprefix("-")
        direction = "earlier" if correction["by"].startswith("-") else "later"
        end = f" until {correction['until']}" if correction["until"] else ""
        return f"read {length} {direction} from {correction['from']}{end}"
    bounds = [f" {word} {correction[word]}" for word in ("since", "before") if correction[word]]
    return f"stored as {correction['from']}{''.join(bounds)}"
