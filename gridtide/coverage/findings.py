"""What an entry lacks, and which runs of its schedule left nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from gridtide import curated
from gridtide.collect.collection import scheduled_period
from gridtide.coverage import failed_periods, upstream_holes
from gridtide.coverage import gaps as gaps_module
from gridtide.coverage.failed_periods import Failure
from gridtide.coverage.gaps import covered, expected
from gridtide.coverage.plan import Plan, reason
from gridtide.entries.entry import Entry, Schedule
from gridtide.lake import Lake, soundness
from gridtide.periods import Period, missing
from gridtide.sources.registry import in_chunks

SHOWN, NAMED = 50, 5
"""How many holes of an upstream a report lists for an entry, and how many series for a hole."""


@dataclass(frozen=True)
class Finding:
    """What the lake lacks of what is `wanted` of an entry: `gaps` and `revisions`, less those `waiting` for another
    attempt; since which run it is `late`, and whether a `snapshot` makes that good; why it is `skipped`; the paths of
    its `damaged` files, which answer nothing, and the `problem` with files."""

    entry: Entry
    wanted: Period
    gaps: Sequence[Period] = ()
    revisions: Sequence[Period] = ()
    waiting: Sequence[Failure] = ()
    late: datetime | None = None
    snapshot: bool = False
    skipped: str | None = None
    damaged: Collection[str] = ()
    problem: str | None = None

    def plan(self, periods: Sequence[Period]) -> Plan:
        """`periods` in chunks, without what waits for another attempt."""
        due = [piece for one in periods for piece in missing(one, [w.period for w in self.waiting])]
        return Plan(self.entry, [chunk for one in due for chunk in in_chunks(self.entry, one)])


async def find(entry: Entry, schedule: Schedule | None, wanted: Period, now: datetime, lake: Lake) -> Finding:
    """What the lake lacks of what should be there of `wanted`, by the names of sound files and what failed before."""
    wanted = expected(entry, schedule, wanted, now)
    files = await lake.files(entry.output_folder, entry.file_prefix)
    late = gaps_module.late(entry, schedule, now, files) if schedule else None
    skipped = reason(entry, wanted, now)
    if skipped:
        snapshot = late is not None and scheduled_period(entry, now) is None
        return Finding(entry, wanted, late=late, snapshot=snapshot, skipped=skipped)
    damaged, problems = await soundness.damaged(lake, files, wanted)
    sound = [file for file in files if file.path not in damaged]
    gaps = gaps_module.gaps(entry, wanted, now, sound)
    revisions = gaps_module.revisions(entry, wanted, now, sound, schedule)
    waiting = [
        one
        for one in await failed_periods.recall(lake, entry)
        if one.next > now and any(missing(hole, [one.period]) != [hole] for hole in (*gaps, *revisions))
    ]
    return Finding(entry, wanted, gaps, revisions, waiting, late, damaged=damaged, problem="; ".join(problems) or None)


async def unpublished(entry: Entry, wanted: Period, now: datetime, lake: Lake) -> list[dict[str, str]]:
    """Where `entry` has no values in settled parts of `wanted` that files answer: `period`, `series`, and the
    newest such `file`, whose rows were all that the upstream had.

    Raises `StorageError` for a file that is damaged.
    """
    settled = gaps_module.due(entry, wanted, now - entry.reread)
    if settled is None:
        return []
    files = await lake.files(entry.output_folder, entry.file_prefix)
    complete = missing(settled, missing(settled, covered(files)))
    table = await curated.read(lake, [entry], settled.start, settled.end)
    found = upstream_holes.unpublished(upstream_holes.starts(table), complete, entry.resolution)
    return [
        {
            "period": str(period),
            "series": ", ".join(series[:NAMED]) + ", …" * (len(series) > NAMED),
            "file": next(f.path for f in reversed(files) if f.period and f.period.start <= period.start < f.period.end),
        }
        for period, series in found.items()
    ]
