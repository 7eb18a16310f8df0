"""What the lake lacks of an entry at a given time: gaps, revisions to request, late runs; pure.

window       |--------------------------------|····  what is not due yet is clipped
files           |-----|     |-----------------|      by their names
gaps         |--|     |-----|
settled      |--------------------|                  older than `reread`: the upstream no longer revises it
final           |-----|                              in files that were made after it had settled
revisions                   |-----|                  settled by now, but last requested before
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
from gridtide.sources.registry import find_entry_scope


def clip_to_schedule(entry: Entry, runs: DueRuns | None, period: Period) -> Period:
    """Returns the part of `period` that the `runs` of the entry's schedule should have collected; all of it without a
    schedule."""
    end = find_due_end(entry, runs.last) if runs else period.end
    return Period(period.start, min(period.end, end)) if end > period.start else period


def find_gaps(entry: Entry, period: Period, now: datetime, answers: Iterable[FileAnswer]) -> list[Part]:
    """Returns the parts of `period` that are due at `now` and answered by no file, for the whole scope of `entry` or a
    part of it."""
    due = clip_to_due(entry, period, now)
    return find_unanswered([Part(due, find_entry_scope(entry))], answers) if due else []


def find_revisions(
    entry: Entry, period: Period, now: datetime, answers: Sequence[FileAnswer], runs: DueRuns | None = None
) -> list[Part]:
    """Returns the parts of `period` that have settled by `now`, but are only in files made before that.

    A value has settled `entry.reread` after it was due. The last scheduled run that requests it may start earlier, by
    up to the time between two `runs` of its schedule, and counts.
    """
    settled = clip_to_due(entry, period, now - entry.reread)
    if settled is None:
        return []
    settling_time = max(entry.reread - (runs.longest_spacing if runs else timedelta()), timedelta())
    final_periods = [
        Part(settled_part, answer.scope)
        for answer in answers
        if (settled_part := clip_to_due(entry, answer.period, answer.stamp - settling_time)) is not None
    ]
    unfilled_gaps = find_gaps(entry, period, now, answers)
    return find_unanswered(find_unanswered([Part(settled, find_entry_scope(entry))], final_periods), unfilled_gaps)


def find_missed_run(runs: DueRuns, now: datetime, files: Sequence[Filed]) -> datetime | None:
    """Returns the latest of `runs` that must be finished by `now`, if no file of it or of a later run exists; else
    None."""
    return runs.last if not any(file.stamp >= runs.last and not is_future(file.stamp, now) for file in files) else None


def last_days(now: datetime, days: int) -> Period:
    """Returns the last `days` days, from a midnight to the last full hour."""
    return Period(floor(now - timedelta(days=days), timedelta(days=1)), floor(now, timedelta(hours=1)))


def mark_gaps(missing_parts: Sequence[str], period: Period) -> str:
    """Returns the starts of the gaps `missing_parts`, texts of periods. They identify the gaps: these stay the same
    while they grow at the end, and when their beginning becomes too old for `period`."""
    period_start = str(period).partition("/")[0]
    starts = (part.partition("/")[0] for part in missing_parts)
    return " ".join("before" if start == period_start else start for start in starts)
