"""What an entry lacks, and which runs of its schedule left nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from gridtide import curated
from gridtide.collect.collection import scheduled_period
from gridtide.coverage import failed_periods
from gridtide.coverage.answered import answered_period, clip_to_due, describe_future_files, join_answered
from gridtide.coverage.failed_periods import Failure
from gridtide.coverage.gaps import clip_to_schedule, find_gaps, find_missed_run, find_revisions
from gridtide.coverage.plan import Plan, why_not_asked
from gridtide.coverage.schedules import DueRuns
from gridtide.coverage.upstream_holes import find_holes, starts_by_series
from gridtide.entries.entry import Entry
from gridtide.lake import Lake, soundness
from gridtide.periods import Period, missing
from gridtide.sources.registry import in_chunks

SERIES_NAMED = 5
"""How many series a report names for a hole."""


@dataclass(frozen=True)
class Finding:
    """What the lake lacks of the `period` that it should hold of an entry.

    `gaps` are in no file; `revisions` are to be asked for again, as they have settled since; what is `waiting` failed
    before and is not asked for yet. `missed_run` is the run of the schedule that left no file; `snapshot` says whether
    a snapshot makes that good. An entry is `skipped` for a reason. `damaged` files (paths) cover nothing; `problem`
    tells which files are damaged or cannot be read. `warnings` tell which files have stamps in the future.
    """

    entry: Entry
    period: Period
    gaps: Sequence[Period] = ()
    revisions: Sequence[Period] = ()
    waiting: Sequence[Failure] = ()
    missed_run: datetime | None = None
    snapshot: bool = False
    skipped: str | None = None
    damaged: Collection[str] = ()
    problem: str | None = None
    warnings: Sequence[str] = ()

    def plan(self, periods: Sequence[Period]) -> Plan:
        """`periods` in chunks, without what waits for another attempt."""
        waiting = [failure.period for failure in self.waiting]
        pieces = [piece for period in periods for piece in missing(period, waiting)]
        return Plan(self.entry, [chunk for piece in pieces for chunk in in_chunks(self.entry, piece)])


async def find_lacking(entry: Entry, runs: DueRuns | None, period: Period, now: datetime, lake: Lake) -> Finding:
    """What the lake lacks of what should be there of `period`, by the names of sound files and what failed before.

    `runs` are those of the entry's schedule that must be done by `now`, None for an entry without a schedule.
    Raises `StorageError`.
    """
    period = clip_to_schedule(entry, runs, period)
    files = await lake.files(entry.output_folder, entry.file_prefix)
    missed_run = find_missed_run(runs, now, files) if runs else None
    skipped = why_not_asked(entry, period, now)
    if skipped:
        snapshot = missed_run is not None and scheduled_period(entry, now) is None
        return Finding(entry, period, missed_run=missed_run, snapshot=snapshot, skipped=skipped)
    damaged, problems = await soundness.find_damaged(lake, files, period)
    sound = [file for file in files if file.path not in damaged]
    gaps = find_gaps(entry, period, now, sound)
    revisions = find_revisions(entry, period, now, sound, runs)
    waiting = [
        failure
        for failure in await failed_periods.recall_failures(lake, entry)
        if failure.is_waiting(now) and any(failure.period.overlaps(hole) for hole in (*gaps, *revisions))
    ]
    return Finding(
        *(entry, period, gaps, revisions, waiting, missed_run),
        damaged=damaged,
        problem="; ".join(problems) or None,
        warnings=describe_future_files(files, now),
    )


async def find_unpublished(entry: Entry, period: Period, now: datetime, lake: Lake) -> list[dict[str, str]]:
    """Where `entry` has no values in settled parts of `period` that files answer: `period`, `series`, and the
    newest such `file`, whose rows were all that the upstream had.

    Raises `StorageError` for a file that is damaged.
    """
    settled = clip_to_due(entry, period, now - entry.reread)
    if settled is None:
        return []
    files = await lake.files(entry.output_folder, entry.file_prefix)
    complete = missing(settled, missing(settled, join_answered(entry, files, now)))
    table = await curated.read(lake, [entry], settled.start, settled.end)
    holes = find_holes(starts_by_series(table), complete, entry.resolution)
    return [
        {
            "period": str(hole),
            "series": ", ".join(series[:SERIES_NAMED]) + ", …" * (len(series) > SERIES_NAMED),
            "file": next(
                file.path
                for file in reversed(files)
                if (answered := answered_period(entry, file, now)) and answered.start <= hole.start < answered.end
            ),
        }
        for hole, series in holes.items()
    ]
