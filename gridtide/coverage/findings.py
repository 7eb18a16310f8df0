"""Finds what an entry lacks, and which runs of its schedule stored nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from gridtide import curated
from gridtide.collect.collection import find_scheduled_period
from gridtide.coverage import failed_periods
from gridtide.coverage.answered import clip_to_due, describe_future_files
from gridtide.coverage.failed_periods import Failure
from gridtide.coverage.gaps import clip_to_schedule, find_gaps, find_missed_run, find_revisions
from gridtide.coverage.plan import Plan, cut_chunks, explain_skipping
from gridtide.coverage.schedules import DueRuns
from gridtide.coverage.scopes import Part, describe_scopes, find_unanswered, read_answers, select_certain
from gridtide.coverage.upstream_holes import find_holes, list_starts
from gridtide.entries.entry import Entry
from gridtide.errors import list_first
from gridtide.lake import File, Lake, soundness
from gridtide.lake.soundness import CheckedFiles
from gridtide.periods import Period, missing
from gridtide.sources.registry import find_entry_scope

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SERIES_NAMED = 5
"""The number of series that a report names for a hole."""


@dataclass(frozen=True)
class Finding:
    """What the lake lacks of the `period` that it should cover for an entry.

    `gaps` are in no file; `revisions` have settled since they were requested and must be requested again;
    `waiting_failures` failed before and must wait for the next attempt. `missed_run` is the run of the schedule that
    stored no file; `snapshot` tells whether a snapshot replaces it. `skip_reason` is the reason why an entry is
    skipped. `checked_files` tells which files are damaged and cover nothing; `warnings` tell which files have stamps in
    the future; `scopes` tell what was not requested in files, and where that is uncertain; `files` are the entry's
    files in the lake.
    """

    entry: Entry
    period: Period
    gaps: Sequence[Part] = ()
    revisions: Sequence[Part] = ()
    waiting_failures: Sequence[Failure] = ()
    missed_run: datetime | None = None
    snapshot: bool = False
    skip_reason: str | None = None
    checked_files: CheckedFiles = field(default_factory=CheckedFiles)
    warnings: Sequence[str] = ()
    scopes: Sequence[str] = ()
    files: Sequence[File] = ()

    @property
    def problem(self) -> str | None:
        """The files that are damaged or cannot be read."""
        return "; ".join(self.checked_files.problems) or None

    @property
    def revision_plan(self) -> Plan:
        """The revisions in chunks, without those that wait for another attempt."""
        return Plan(self.entry, cut_chunks(self.entry, self.revisions, self.waiting_failures))

    @property
    def gap_plan(self) -> Plan:
        """The gaps in chunks, without those that wait for another attempt, and without what the revisions request
        anyway, as the upstream cannot be asked for a part alone."""
        revised = self.revision_plan.chunks
        chunks = [
            (entry, piece)
            for entry, period in cut_chunks(self.entry, self.gaps, self.waiting_failures)
            for piece in missing(period, [revision for narrow, revision in revised if narrow == entry])
        ]
        return Plan(self.entry, chunks)


async def find_lacking(entry: Entry, runs: DueRuns | None, period: Period, now: datetime, lake: Lake) -> Finding:
    """Finds what the lake lacks of `period`, from the names of sound files and the earlier failures.

    `runs` are the runs of the entry's schedule that must be finished by `now`, None for an entry without a schedule.
    Raises `StorageError`.
    """
    period = clip_to_schedule(entry, runs, period)
    files = await lake.list_files(entry.output_folder, entry.file_prefix)
    missed_run = find_missed_run(runs, now, files) if runs else None
    skipped = explain_skipping(entry, period, now)
    if skipped:
        snapshot = missed_run is not None and find_scheduled_period(entry, now) is None
        return Finding(entry, period, missed_run=missed_run, snapshot=snapshot, skip_reason=skipped, files=files)
    checked = await soundness.check_files(lake, files, period)
    answers = read_answers(entry, files, checked, now)
    gaps = find_gaps(entry, period, now, answers)
    revisions = find_revisions(entry, period, now, answers, runs)
    waiting = [
        failure
        for failure in await failed_periods.recall_failures(lake, entry)
        if failure.is_waiting(now) and any(failure.period.overlaps(part.period) for part in (*gaps, *revisions))
    ]
    scopes = describe_scopes(entry.name, Part(period, find_entry_scope(entry)), answers)
    warnings = describe_future_files(files, now)
    lacking = (gaps, revisions, waiting, missed_run)
    return Finding(entry, period, *lacking, checked_files=checked, warnings=warnings, scopes=scopes, files=files)


async def find_unpublished(
    entry: Entry, period: Period, now: datetime, lake: Lake, before: CheckedFiles
) -> list[dict[str, str]]:
    """Finds where `entry` has no values in settled parts of `period` that files answer: `period`, `series`, and the
    newest such `file`, whose rows were all that the upstream had.

    A file counts for what it was certainly asked for, and for no more. What was checked `before` is not read again.
    Raises `StorageError` for a file that is damaged.
    """
    settled = clip_to_due(entry, period, now - entry.reread)
    if settled is None:
        return []
    files = await lake.list_files(entry.output_folder, entry.file_prefix)
    checked = await soundness.check_files(lake, files, settled, before)
    answers = read_answers(entry, files, checked, now)
    settled_part = Part(settled, find_entry_scope(entry))
    certain = select_certain(answers)
    complete = missing(settled, [part.period for part in find_unanswered([settled_part], certain)])
    wider_files = {answer.path for answer in answers if answer.doubt or answer.scope.without(settled_part.scope)}
    series = await _read_series(entry, settled, lake, wider_files)
    holes = find_holes(series, complete, entry.resolution)
    return [
        {
            "period": str(hole),
            "series": list_first(names, SERIES_NAMED),
            "file": next(
                answer.path for answer in reversed(certain) if answer.period.start <= hole.start < answer.period.end
            ),
        }
        for hole, names in holes.items()
    ]


async def _read_series(
    entry: Entry, period: Period, lake: Lake, wider_files: Collection[str]
) -> dict[str, npt.NDArray[np.int64]]:
    """Returns the interval starts of each series of `entry`, except those that only `wider_files` (paths) contain:
    these were requested for a wider scope, so it is unknown whether the entry requests such a series."""
    if not wider_files:
        return list_starts(await curated.read(lake, [entry], period.start, period.end), entry.resolution)
    import pyarrow as pa
    import pyarrow.compute as pc

    table = await curated.read(lake, [entry], period.start, period.end, all_vintages=True)
    wider = pc.is_in(table["file"].cast(pa.string()), pa.array(sorted(wider_files), pa.string()))
    asked_series = list_starts(table.filter(pc.invert(wider)), entry.resolution)
    series = list_starts(table, entry.resolution)
    return {name: starts for name, starts in series.items() if name in asked_series}
