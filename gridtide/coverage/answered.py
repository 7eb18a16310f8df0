"""What files answer of their periods: only what had come when their run started.

stamp                    |
period    |-----------------------|
answered  |------------|             as far as values were due then, by the entry's `available`

A run whose clock was ahead asked for hours that had not come and was answered with nothing. Once the clock is set
back, its files have stamps in the future and answer nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from gridtide.clock import is_future
from gridtide.entries.entry import Entry
from gridtide.observations.availability import find_due_end
from gridtide.periods import Period, union

STAMP_PRECISION = timedelta(seconds=1)
"""Names of files say the start of a run to the second, rounded down."""

FILES_NAMED = 3
"""How many files a warning names."""


class Filed(Protocol):
    """What the name of a file says."""

    @property
    def stamp(self) -> datetime:
        """When the run started that made it."""
        ...

    @property
    def period(self) -> Period | None:
        """What it answers, None for a snapshot."""
        ...


class NamedFile(Filed, Protocol):
    """The same, with the place of the file."""

    @property
    def path(self) -> str:
        """Relative to the lake."""
        ...


def clip_to_due(entry: Entry, period: Period, now: datetime) -> Period | None:
    """What of `period` can be available at `now`, None if nothing can."""
    end = min(period.end, find_due_end(entry, now))
    return Period(period.start, end) if end > period.start else None


def answered_period(entry: Entry, file: Filed, now: datetime) -> Period | None:
    """What of its period `file` answers; None for a snapshot, and for a file with a stamp after `now`."""
    if file.period is None or is_future(file.stamp, now):
        return None
    return clip_to_due(entry, file.period, file.stamp + STAMP_PRECISION)


def join_answered(entry: Entry, files: Iterable[Filed], now: datetime) -> list[Period]:
    """The periods that files answer, joined."""
    return union(period for file in files if (period := answered_period(entry, file, now)))


def describe_future_files(files: Sequence[NamedFile], now: datetime) -> list[str]:
    """A warning about the files with stamps after `now`, none where there are no such files."""
    paths = [file.path for file in files if is_future(file.stamp, now)]
    if not paths:
        return []
    named = ", ".join(paths[:FILES_NAMED]) + ", …" * (len(paths) > FILES_NAMED)
    verb = "file was" if len(paths) == 1 else "files were"
    return [
        f"{len(paths)} {verb} made while the clock was ahead, or the clock is behind now: {named}; they cover nothing, "
        "and what they should hold is asked for again"
    ]
