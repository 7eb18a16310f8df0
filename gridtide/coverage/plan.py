"""What is to be collected for a period: what is due and not in the lake, in chunks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gridtide.coverage import answered, failed_periods, gaps
from gridtide.entries.entry import Entry
from gridtide.lake import Lake, soundness
from gridtide.observations.availability import find_due_end
from gridtide.periods import Period, missing
from gridtide.sources.registry import in_chunks, source


@dataclass(frozen=True)
class Plan:
    """What is to be done for one entry: `chunks` to collect, or why it is `skipped`; the paths of `damaged` files."""

    entry: Entry
    chunks: Sequence[Period] = ()
    covered: timedelta = timedelta(0)
    skipped: str | None = None
    warnings: Sequence[str] = ()
    damaged: Collection[str] = ()


async def plan_chunks(entry: Entry, period: Period, now: datetime, lake: Lake) -> Plan:
    """What of `period` is due at `now` and not in `lake`, in chunks of at most `entry.chunk`.

    What failed for a reason that lasts is left to the monitor until it is worth asking again; the warnings name it.
    Damaged files cover nothing, whatever their names say. The warnings name them, and the files that cannot be read.
    Raises `StorageError`.
    """
    skipped = why_not_asked(entry, period, now)
    if skipped:
        return Plan(entry, skipped=skipped)
    due = answered.clip_to_due(entry, period, now) or period
    not_due = [f"{Period(due.end, period.end)} is not due yet and left out"] if due.end < period.end else []
    files = await lake.files(entry.output_folder, entry.file_prefix)
    damaged, problems = await soundness.find_damaged(lake, files, due)
    holes = gaps.find_gaps(entry, period, now, [file for file in files if file.path not in damaged])
    waiting = [
        failure
        for failure in await failed_periods.recall_failures(lake, entry)
        if failure.waits(entry, now) and any(failure.period.overlaps(hole) for hole in holes)
    ]
    pieces = [piece for hole in holes for piece in missing(hole, [failure.period for failure in waiting])]
    chunks = [chunk for piece in pieces for chunk in in_chunks(entry, piece)]
    covered = due.duration - sum((hole.duration for hole in holes), timedelta(0))
    not_asked = [
        f"{failure.period} is not asked for again before {failure.next:%Y-%m-%dT%H:%MZ}, when the monitor does, or "
        f"once the entry is changed; attempts: {failure.attempts}, the last one: {failure.error}"
        for failure in waiting
    ]
    warnings = [*not_due, *problems, *not_asked, *answered.describe_future_files(files, now)]
    return Plan(entry, chunks, covered, warnings=warnings, damaged=damaged)


def why_not_asked(entry: Entry, period: Period, now: datetime) -> str | None:
    """Why there is nothing to fill for `entry`, None if there may be."""
    if not entry.tabular:
        return f'keeps bodies only ("format": "{entry.format}")'
    if not source(entry.source).takes_period(entry):
        return "cannot be asked for a period"
    due = find_due_end(entry, now)
    return f"has nothing from {due:%Y-%m-%dT%H:%M}Z on yet" if due <= period.start else None
