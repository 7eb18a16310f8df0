"""What is wrong with the data of an entry after everything that was missing has been requested; pure.

A trouble is late data, a gap that could not be filled, a silent series, one that cannot be believed, or a new one,
which is told once. Each has a mark: while the mark stays the same, so does the trouble, and nobody has to be notified
again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from gridtide.coverage.freshness.look import SeriesLook
from gridtide.coverage.freshness.notes import mark_new_series, mark_silence, name_new_series, write_series_notes
from gridtide.coverage.gaps import mark_gaps
from gridtide.errors import list_first
from gridtide.periods import Period

PERIODS_NAMED = 5
"""The number of missing periods that a trouble names."""

BAD_SERIES_NAMED = 5
"""The number of bad series that a trouble names."""

TroubleKind = Literal["stale", "gaps", "silent", "new_series", "bad"]


@dataclass(frozen=True)
class Trouble:
    """What is wrong with an entry's data, `since` when, and the command that fixes it.

    Two troubles of an entry with the same `mark` are the same trouble.
    """

    what: str
    since: str
    fix: str
    mark: str


def describe_lateness(name: str, missed_run: str) -> Trouble:
    """Describes that the run of the entry's schedule at `missed_run` (ISO 8601) wrote no file."""
    what = f"its scheduled run at {missed_run} wrote no file, and none could be collected since"
    fix = f"gridtide validate --probe --select {name}, then gridtide ingest --select {name}"
    return Trouble(what, missed_run, fix, "late")


def describe_gaps(name: str, missing_periods: Sequence[str], period: Period) -> Trouble:
    """Describes the `missing_periods` of an entry, at least one, in the order of time, of the `period` that was
    checked."""
    start, end = missing_periods[0].partition("/")[0], missing_periods[-1].rpartition("/")[2]
    fix = f"gridtide backfill --start {start} --end {end} --select {name}"
    what = f"still missing: {list_first(missing_periods, PERIODS_NAMED)}"
    return Trouble(what, start, fix, mark_gaps(missing_periods, period))


def describe_silence(name: str, look: SeriesLook) -> Trouble | None:
    """Describes the silent series of an entry; None if it has none any more."""
    if not look.silent:
        return None
    moments = [series.since.isoformat() for series in look.silent if series.since]
    fix = f"gridtide validate --probe --select {name}; a region that the upstream retired is no longer to be configured"
    return Trouble("; ".join(write_series_notes(look)), max(moments, default="the beginning"), fix, mark_silence(look))


def describe_new_series(look: SeriesLook, now: datetime) -> Trouble:
    """Describes the series, at least one, that an entry has since the last look, as of `now`."""
    fix = "nothing, if the upstream has more series; if one was renamed, join its names with aliases of the entry"
    return Trouble("; ".join(name_new_series(look)), now.isoformat(), fix, mark_new_series(look))


def describe_bad_series(name: str, notes: Mapping[str, str], since: date) -> Trouble:
    """Describes the series of an entry that cannot be believed, at least one: by their names, what is wrong with them,
    `since` the earliest day of these `notes`."""
    what = list_first((f"{series}: {note}" for series, note in sorted(notes.items())), BAD_SERIES_NAMED, "; ")
    fix = f"gridtide quality --select {name} shows the days; compare them with the pages of the upstream"
    return Trouble(what, since.isoformat(), fix, ", ".join(sorted(notes)))
