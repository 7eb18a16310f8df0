"""What the lake lacks of an entry at a moment: gaps, what is to be asked again, what is late; pure.

window       |--------------------------------|····  what is not due yet is clipped
files           |-----|     |-----------------|      by their names
gaps         |--|     |-----|
settled      |--------------------|                  older than `reread`: the upstream revises it no more
asked then      |-----|                              by files that were made when it had settled
revisions                   |-----|                  settled by now, but asked for only before
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from gridtide.clock import is_future
from gridtide.coverage.answered import Filed, clip_to_due
from gridtide.coverage.schedules import DueRuns
from gridtide.coverage.scopes import FileAnswer, Part, find_unanswered
from gridtide.entries.entry import Entry
from gridtide.observations.availability import find_due_end
from gridtide.periods import Period, floor
from gridtide.sources.registry import scope_of


def clip_to_schedule(entry: Entry, runs: DueRuns | None, period: Period) -> Period:
    """What of `period` the `runs` of the entry's schedule should have collected; all without a schedule."""
    end = find_due_end(entry, runs.last) if runs else period.end
    return Period(period.start, min(period.end, end)) if end > period.start else period


def find_gaps(entry: Entry, period: Period, now: datetime, answers: Iterable[FileAnswer]) -> list[Part]:
    """What of `period` is due at `now` and answered by no file: all that `entry` asks, or a part of it."""
    due = clip_to_due(entry, period, now)
    return find_unanswered([Part(due, scope_of(entry))], answers) if due else []


def find_revisions(
    entry: Entry, period: Period, now: datetime, answers: Sequence[FileAnswer], runs: DueRuns | None = None
) -> list[Part]:
    """What of `period` is in files that were all made before it settled, though it has by `now`.

    A value has settled when it is `entry.reread` old, counted from when it was due. The last scheduled run
    that asks for it may come up to the time between two `runs` of its schedule before that, and counts.
    """
    settled = clip_to_due(entry, period, now - entry.reread)
    if settled is None:
        return []
    spare = max(entry.reread - (runs.longest_spacing if runs else timedelta()), timedelta())
    final = [
        Part(then, answer.scope)
        for answer in answers
        if (then := clip_to_due(entry, answer.period, answer.stamp - spare)) is not None
    ]
    absent = find_gaps(entry, period, now, answers)
    return find_unanswered(find_unanswered([Part(settled, scope_of(entry))], final), absent)


def find_missed_run(runs: DueRuns, now: datetime, files: Sequence[Filed]) -> datetime | None:
    """The latest run that must be done by `now`, if no file of it, or of a later one, is there."""
    return runs.last if not any(file.stamp >= runs.last and not is_future(file.stamp, now) for file in files) else None


def last_days(now: datetime, days: int) -> Period:
    """The last `days` days, from a midnight on to the last full hour."""
    return Period(floor(now - timedelta(days=days), timedelta(days=1)), floor(now, timedelta(hours=1)))
