"""What the lake holds of each entry, read from the lake alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rich.table import Table

from deployments.cli.console import counted, text_table
from gridtide.coverage import failed_periods
from gridtide.coverage.failed_periods import Failure
from gridtide.coverage.picture import Coverage
from gridtide.entries.entry import Entry
from gridtide.errors import StorageError
from gridtide.lake import Lake, Metadata, soundness
from gridtide.observations.availability import find_due_end
from gridtide.periods import Period, missing, spoken, union
from gridtide.sources.registry import source


@dataclass(frozen=True, slots=True)
class Status:
    """An entry's files: how many, the latest by its stamp (None: there is none) with its rows, how
    long ago it was collected, and what periods those cover that are sound.

    `rows` is None where they cannot be told: a format that keeps bodies, or a damaged file. `problems`
    are of the files that do not say what they hold: cut, empty, or none of the lake's. `covered` is
    None for snapshots, which answer no period. `failed` is what was asked for in vain and is still missing.
    """

    entry: str
    files: int
    last: str | None = None
    rows: int | None = None
    age: timedelta | None = None
    covered: tuple[Period, ...] | None = None
    until: datetime | None = None
    failed: tuple[Failure, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def coverage(self) -> Coverage | None:
        """What is covered from the first moment that is, or failed, to what is due by now."""
        failed = tuple(one.period for one in self.failed)
        known = union([*(self.covered or ()), *failed])
        if not known or self.covered is None or self.until is None:
            return None
        return Coverage(Period(known[0].start, max(self.until, known[-1].end)), self.covered, failed)

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON: times in ISO 8601, the age in seconds."""
        coverage = self.coverage
        return {
            "entry": self.entry,
            "files": self.files,
            "last_file": self.last,
            "rows": self.rows,
            "age_seconds": None if self.age is None else round(self.age.total_seconds()),
            "covered": None if self.covered is None else [_bounds(period) for period in self.covered],
            "missing": None if self.covered is None else [_bounds(one) for one in coverage.missing] if coverage else [],
            "failed": [one.as_dict() for one in self.failed],
            "problems": list(self.problems),
        }


async def read_status(entries: Sequence[Entry], lake: Lake, now: datetime) -> list[Status]:
    """The status of each of `entries` at `now`; raises `StorageError` where the lake cannot be listed."""
    return list(await asyncio.gather(*(_of_entry(entry, lake, now) for entry in entries)))


async def _of_entry(entry: Entry, lake: Lake, now: datetime) -> Status:
    files = await lake.files(entry.output_folder, entry.file_prefix)
    said = await soundness.said(lake, files) if entry.tabular else [None] * len(files)
    periodic = source(entry.source).takes_period(entry)
    told = [file.period for file, one in zip(files, said, strict=True) if not isinstance(one, StorageError)]
    covered = tuple(union(period for period in told if period)) if periodic else None
    failed = tuple(one for one in await failed_periods.recall(lake, entry) if missing(one.period, covered or ()))
    if not files:
        return Status(entry.name, 0, covered=covered, until=find_due_end(entry, now), failed=failed)
    last = files[-1]
    rows = said[-1].rows if isinstance(said[-1], Metadata) else None
    problems = tuple(str(one) for one in said if isinstance(one, StorageError))
    age = now - last.stamp
    return Status(entry.name, len(files), last.path, rows, age, covered, find_due_end(entry, now), failed, problems)


def status_table(found: Sequence[Status]) -> Table:
    """`found` for people; coverage as a picture (`Coverage.picture`)."""
    rows = [
        (
            one.entry,
            _coverage(one),
            "" if one.age is None else spoken(one.age),
            "" if one.rows is None else f"{one.rows:,}",
            _damage(one) or _why(one) or one.last or "no files yet",
        )
        for one in found
    ]
    columns = ("entry", "coverage", "age", "last file's rows", "last file")
    return text_table(columns, rows, right=("age", "last file's rows"))


def _coverage(one: Status) -> str:
    coverage = one.coverage
    if coverage is None:
        return counted(one.files, "snapshot", "snapshots") if one.files else ""
    return str(coverage)


def _damage(one: Status) -> str:
    """Which files are damaged; the first of them with what to do."""
    more = len(one.problems) - 1
    return f"{one.problems[0]} (and {more} more, see --json)" if more > 0 else "".join(one.problems)


def _why(one: Status) -> str:
    """What failed last, and when it is asked for again."""
    if not one.failed:
        return ""
    last = max(one.failed, key=lambda failure: failure.last)
    return f"{last.period} failed {counted(last.attempts, 'time', 'times')}: {last.error}"


def _bounds(period: Period) -> list[str]:
    return [f"{moment:%Y-%m-%dT%H:%MZ}" for moment in (period.start, period.end)]
