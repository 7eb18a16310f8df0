"""The status of each entry: its files and coverage, read only from the lake."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rich.table import Table

from deployments.cli.console import counted, text_table
from gridtide.coverage import failed_periods
from gridtide.coverage.answered import answered_period, describe_future_files
from gridtide.coverage.failed_periods import Failure
from gridtide.coverage.picture import Coverage
from gridtide.entries.entry import Entry
from gridtide.errors import StorageError
from gridtide.lake import Lake, Metadata, soundness
from gridtide.observations.availability import find_due_end
from gridtide.periods import Period, describe_duration, missing, union
from gridtide.sources.registry import source


@dataclass(frozen=True, slots=True)
class EntryStatus:
    """The files of an entry: their number, the path and rows of the latest by its stamp, its age, and the coverage.

    `last` is None without files. `rows` is None if they cannot be read: formats that keep bodies, damaged files.
    `covered` are the periods of the sound files, None for an entry whose files are snapshots. `problems` name the
    files without readable metadata (truncated, empty or foreign ones), and those with stamps in the future. `failed`
    are the periods that were requested without success and are still missing.
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
        """The coverage from the first period that is covered or failed to what is due by now."""
        failed = tuple(failure.period for failure in self.failed)
        requested = union([*(self.covered or ()), *failed])
        if not requested or self.covered is None or self.until is None:
            return None
        return Coverage(Period(requested[0].start, max(self.until, requested[-1].end)), self.covered, failed)

    def as_dict(self) -> dict[str, Any]:
        """The status as JSON: times in ISO 8601, the age in seconds."""
        coverage = self.coverage
        return {
            "entry": self.entry,
            "files": self.files,
            "last_file": self.last,
            "rows": self.rows,
            "age_seconds": None if self.age is None else round(self.age.total_seconds()),
            "covered": None if self.covered is None else [_bounds(period) for period in self.covered],
            "missing": None if self.covered is None else [_bounds(gap) for gap in coverage.missing] if coverage else [],
            "failed": [failure.as_dict() for failure in self.failed],
            "problems": list(self.problems),
        }


async def read_status(entries: Sequence[Entry], lake: Lake, now: datetime) -> list[EntryStatus]:
    """The status of each of `entries` at `now`; raises `StorageError` if the lake cannot be listed."""
    return list(await asyncio.gather(*(_read_entry_status(entry, lake, now) for entry in entries)))


async def _read_entry_status(entry: Entry, lake: Lake, now: datetime) -> EntryStatus:
    files = await lake.files(entry.output_folder, entry.file_prefix)
    contents = await soundness.read_metadata(lake, files) if entry.tabular else [None] * len(files)
    periodic = source(entry.source).takes_period(entry)
    sound = [file for file, content in zip(files, contents, strict=True) if not isinstance(content, StorageError)]
    covered = tuple(union(filter(None, (answered_period(entry, file, now) for file in sound)))) if periodic else None
    due_end = find_due_end(entry, now)
    failures = await failed_periods.recall_failures(lake, entry)
    failed = tuple(failure for failure in failures if missing(failure.period, covered or ()))
    if not files:
        return EntryStatus(entry.name, 0, covered=covered, until=due_end, failed=failed)
    newest = files[-1]
    rows = contents[-1].rows if isinstance(contents[-1], Metadata) else None
    damage = [str(content) for content in contents if isinstance(content, StorageError)]
    problems = (*damage, *describe_future_files(files, now))
    age = now - newest.stamp
    return EntryStatus(entry.name, len(files), newest.path, rows, age, covered, due_end, failed, problems)


def status_table(statuses: Sequence[EntryStatus]) -> Table:
    """`statuses` as a table, with the coverage as a bar."""
    rows = [
        (
            status.entry,
            _describe_coverage(status),
            "" if status.age is None else describe_duration(status.age),
            "" if status.rows is None else f"{status.rows:,}",
            _describe_damage(status) or _describe_failure(status) or status.last or "no files yet",
        )
        for status in statuses
    ]
    columns = ("entry", "coverage", "age", "last file's rows", "last file")
    return text_table(columns, rows, right=("age", "last file's rows"))


def _describe_coverage(status: EntryStatus) -> str:
    coverage = status.coverage
    if coverage is None:
        return counted(status.files, "snapshot", "snapshots") if status.files else ""
    return str(coverage)


def _describe_damage(status: EntryStatus) -> str:
    """The first damaged file with its fix, and the number of others."""
    more = len(status.problems) - 1
    return f"{status.problems[0]} (and {more} more, see --json)" if more > 0 else "".join(status.problems)


def _describe_failure(status: EntryStatus) -> str:
    """The period that failed last, and why."""
    if not status.failed:
        return ""
    latest = max(status.failed, key=lambda failure: failure.last)
    return f"{latest.period} failed {counted(latest.attempts, 'time', 'times')}: {latest.error}"


def _bounds(period: Period) -> list[str]:
    return [f"{moment:%Y-%m-%dT%H:%MZ}" for moment in (period.start, period.end)]
