"""The part of its period that a file answers: only what was available when its run started.

stamp                    |
period    |-----------------------|
answered  |------------|             as far as values were due then, by the entry's `available`

A run whose clock was ahead requested hours that had not come yet, and got empty responses. Once the clock is set back,
its files have stamps in the future and answer nothing. When that future has come, their names show nothing any more. So
where no other clock agreed with that of the run, its file notes how far its values reach, and answers no later hours:

period    |-----------------------|stamp
values    |--------|
reach              |                   of the last `UNCONFIRMED_SPAN` before the stamp, only what lies before it
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from gridtide.clock import is_future
from gridtide.entries.entry import Entry
from gridtide.errors import list_first
from gridtide.observations.availability import find_due_end
from gridtide.periods import Period, union

STAMP_PRECISION = timedelta(seconds=1)
"""Names of files give the start of a run in whole seconds, rounded down."""

UNCONFIRMED_SPAN = timedelta(days=60)
"""How far a clock may have been ahead without being noticed. Hours that lie longer before the stamp of a file had come
when it was made, so that an upstream without values there is not asked again for ever."""

FILES_NAMED = 3
"""The most files that a warning names."""


class Filed(Protocol):
    """The parts of a file's name."""

    @property
    def stamp(self) -> datetime:
        """The start of the run that made the file."""
        ...

    @property
    def period(self) -> Period | None:
        """The period that the file answers, None for a snapshot."""
        ...


class NamedFile(Filed, Protocol):
    """The parts of a file's name, with its path."""

    @property
    def path(self) -> str:
        """The path relative to the lake."""
        ...


def clip_to_due(entry: Entry, period: Period, now: datetime) -> Period | None:
    """Returns the part of `period` that can be available at `now`, or None."""
    end = min(period.end, find_due_end(entry, now))
    return Period(period.start, end) if end > period.start else None


def find_answered_period(entry: Entry, file: Filed, now: datetime) -> Period | None:
    """Returns the part of its period that `file` answers; None for a snapshot, and for a file with a stamp after
    `now`."""
    if file.period is None or is_future(file.stamp, now):
        return None
    return clip_to_due(entry, file.period, file.stamp + STAMP_PRECISION)


def clip_to_reach(period: Period, stamp: datetime, reach: datetime | None) -> Period | None:
    """Returns the part of the answered `period` that had certainly come when a file with this `stamp` and `reach` was
    made, or None."""
    end = period.end if reach is None else min(period.end, max(reach, stamp - UNCONFIRMED_SPAN))
    return Period(period.start, end) if end > period.start else None


def join_answered(entry: Entry, files: Iterable[Filed], now: datetime) -> list[Period]:
    """Returns the periods that files answer, joined."""
    return union(period for file in files if (period := find_answered_period(entry, file, now)))


def describe_future_files(files: Sequence[NamedFile], now: datetime) -> list[str]:
    """Returns a warning about the files with stamps after `now`; empty if there are none."""
    paths = [file.path for file in files if is_future(file.stamp, now)]
    if not paths:
        return []
    verb = "file was" if len(paths) == 1 else "files were"
    return [
        f"{len(paths)} {verb} made while the clock was ahead, or the clock is behind now: "
        f"{list_first(paths, FILES_NAMED)}; they cover nothing, and what they should hold is asked for again"
    ]
