"""Plans what to collect for a period: the data that are due and not in the lake, in chunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gridtide.coverage import failed_periods, gaps
from gridtide.coverage.answered import clip_to_due, describe_future_files
from gridtide.coverage.failed_periods import Failure
from gridtide.coverage.scopes import Part, describe_scopes, narrow_parts, read_answers
from gridtide.entries.entry import Entry
from gridtide.lake import File, Lake, soundness
from gridtide.lake.soundness import CheckedFiles
from gridtide.observations.availability import find_due_end
from gridtide.periods import Period, missing, union
from gridtide.sources.registry import find_entry_scope, get_source, split_into_chunks


@dataclass(frozen=True)
class Plan:
    """The plan of one entry: the `chunks` to collect, or the `skip_reason`.

    A chunk is a period with the entry to collect for it: `entry`, or one that requests only a part of its scope.
    """

    entry: Entry
    chunks: Sequence[tuple[Entry, Period]] = ()
    covered_time: timedelta = timedelta(0)
    skip_reason: str | None = None
    warnings: Sequence[str] = ()
    checked_files: CheckedFiles = field(default_factory=CheckedFiles)
    files: Sequence[File] | None = None
    """The entry's files in the lake, None if they were not listed."""


async def plan_chunks(entry: Entry, period: Period, now: datetime, lake: Lake, *, refresh: bool = False) -> Plan:
    """Plans the parts of `period` that are due at `now` and not in `lake`, in chunks of at most `entry.chunk`; with
    `refresh`, everything that is due.

    Periods that failed for a lasting reason are left to the monitor until their next attempt; the warnings name them.
    Damaged files cover nothing, whatever their names state. The warnings name them, the files that cannot be read, and
    those for which it is uncertain what they answer. Raises `StorageError`.
    """
    skipped = explain_skipping(entry, period, now)
    if skipped:
        return Plan(entry, skip_reason=skipped)
    due_part = Part(clip_to_due(entry, period, now) or period, find_entry_scope(entry))
    due_end = due_part.period.end
    not_due = [f"{Period(due_end, period.end)} is not due yet and left out"] if due_end < period.end else []
    files = await lake.list_files(entry.output_folder, entry.file_prefix)
    checked = await soundness.check_files(lake, files, due_part.period)
    answers = read_answers(entry, files, checked, now)
    open_parts = gaps.find_gaps(entry, period, now, answers)
    failures = [] if refresh else await failed_periods.recall_failures(lake, entry)
    waiting = [
        failure
        for failure in failures
        if failure.waits(entry, now) and any(failure.period.overlaps(part.period) for part in open_parts)
    ]
    open_periods = union(part.period for part in open_parts)
    covered = due_part.period.duration - sum((part.duration for part in open_periods), timedelta(0))
    notes = [*not_due, *checked.problems, *_describe_waiting(waiting), *describe_future_files(files, now)]
    notes += describe_scopes(entry.name, due_part, answers)
    chunks = cut_chunks(entry, [due_part] if refresh else open_parts, waiting)
    return Plan(entry, chunks, covered, warnings=notes, checked_files=checked, files=files)


def cut_chunks(entry: Entry, parts: Sequence[Part], waiting: Sequence[Failure] = ()) -> list[tuple[Entry, Period]]:
    """Returns `parts` in chunks, each with the entry to collect for it, without the periods that are `waiting`."""
    periods = [failure.period for failure in waiting]
    return [
        (narrow, chunk)
        for narrow, period in narrow_parts(entry, parts)
        for piece in missing(period, periods)
        for chunk in split_into_chunks(narrow, piece)
    ]


def _describe_waiting(waiting: Sequence[Failure]) -> list[str]:
    return [
        f"{failure.period} is not asked for again before {failure.next:%Y-%m-%dT%H:%MZ}, when the monitor does, or "
        f"once the entry is changed; attempts: {failure.attempts}, the last one: {failure.error}"
        for failure in waiting
    ]


def explain_skipping(entry: Entry, period: Period, now: datetime) -> str | None:
    """Returns why there is nothing to collect for `entry`, or None."""
    if not entry.tabular:
        return f'keeps bodies only ("format": "{entry.format}")'
    if not get_source(entry.source).takes_period(entry):
        return "has no history: its URL asks for current data only"
    due = find_due_end(entry, now)
    return f"has no data that is due after {due:%Y-%m-%dT%H:%M}Z yet" if due <= period.start else None
