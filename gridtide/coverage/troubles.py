"""What is wrong with the data of an entry after everything that was missing has been requested; pure.

A trouble is late data, a gap that could not be filled, a silent series, or a new one, which is told once. Each has a
mark: while the mark stays the same, so does the trouble, and nobody has to be notified again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from gridtide.coverage.freshness.look import SeriesLook
from gridtide.coverage.freshness.notes import mark_new_series, mark_silence, name_new_series, write_series_notes
from gridtide.coverage.gaps import mark_gaps
from gridtide.errors import list_first
from gridtide.periods import Period

PERIODS_NAMED = 5
"""The number of missing periods that a trouble names."""

TroubleKind = Literal["stale", "gaps", "silent", "new_series"]


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
