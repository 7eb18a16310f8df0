"""What the lake holds of each entry, read from the lake alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rich.table import Table

from deployments.console import age, table
from gridtide.config import Entry
from gridtide.errors import StorageError
from gridtide.lake import File, Lake
from gridtide.periods import Period, missing, union
from gridtide.sources import source

WIDTH = 20
"""Cells of a coverage picture."""

_LEVELS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Status:
    """An entry's files: how many, the latest by its stamp (None: there is none) with its rows, how
    long ago it was collected, and what periods all of them cover.

    `rows` is None where they cannot be told: a format that keeps bodies, or a file that `problem`
    says is damaged. `covered` is None for snapshots, which answer no period.
    """

    entry: str
    files: int
    last: str | None = None
    rows: int | None = None
    age: timedelta | None = None
    covered: tuple[Period, ...] | None = None
    until: datetime | None = None
    problem: str = ""

    @property
    def span(self) -> Period | None:
        """From the first covered moment to what is due by now."""
        if not self.covered or self.until is None:
            return None
        return Period(self.covered[0].start, max(self.until, self.covered[-1].end))

    @property
    def holes(self) -> list[Period]:
        """What of `span` no file covers."""
        return missing(self.span, self.covered or ()) if self.span else []

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON: times in ISO 8601, the age in seconds."""
        return {
            "entry": self.entry,
            "files": self.files,
            "last_file": self.last,
            "rows": self.rows,
            "age_seconds": None if self.age is None else round(self.age.total_seconds()),
            "covered": None if self.covered is None else [_bounds(period) for period in self.covered],
            "missing": None if self.covered is None else [_bounds(period) for period in self.holes],
            "problem": self.problem or None,
        }


async def status(entries: Sequence[Entry], lake: Lake, now: datetime) -> list[Status]:
    """The status of each of `entries` at `now`; raises `StorageError` where the lake cannot be listed."""
    return list(await asyncio.gather(*(_of_entry(entry, lake, now) for entry in entries)))


async def _of_entry(entry: Entry, lake: Lake, now: datetime) -> Status:
    files = await lake.files(entry.output_folder, entry.file_prefix)
    periodic = source(entry.source).takes_period(entry)
    covered = tuple(union(file.period for file in files if file.period)) if periodic else None
    if not files:
        return Status(entry.name, 0, covered=covered)
    last = files[-1]
    rows, problem = await _rows(entry, lake, last)
    return Status(entry.name, len(files), last.path, rows, now - last.stamp, covered, entry.due(now), problem)


async def _rows(entry: Entry, lake: Lake, file: File) -> tuple[int | None, str]:
    """The rows that `file` says it has, or what is wrong with it."""
    if not entry.tabular:
        return None, ""
    try:
        return (await lake.metadata(file.path)).rows, ""
    except StorageError as error:
        return None, str(error)


def as_table(found: Sequence[Status]) -> Table:
    """`found` for people; coverage as a picture from the first covered moment to what is due now."""
    rows = [
        (
            one.entry,
            "" if one.rows is None else f"{one.rows:,}",
            "" if one.age is None else age(one.age),
            _coverage(one),
            one.problem or one.last or "no files yet",
        )
        for one in found
    ]
    return table(("entry", "rows", "age", "coverage", "last file"), rows, right=("rows", "age"))


def _coverage(one: Status) -> str:
    span = one.span
    if span is None or one.covered is None:
        return f"{one.files} snapshot{'s'[: one.files != 1]}" if one.files else ""
    share = 1 - sum((hole.duration for hole in one.holes), timedelta()) / span.duration
    return f"{span.start:%Y-%m-%d} {picture(span, one.covered)} {span.end:%Y-%m-%d} {share:>4.0%}"


def picture(span: Period, covered: Sequence[Period], width: int = WIDTH) -> str:
    """`span` as a bar of `width` cells, each as high as the share of it that is covered.

    >>> from datetime import UTC
    >>> day = lambda n: datetime(2024, 1, n, tzinfo=UTC)
    >>> picture(Period(day(1), day(5)), [Period(day(1), day(3))], width=4)
    '██  '
    """
    step = span.duration / width
    cells = [Period(span.start + i * step, span.start + (i + 1) * step) for i in range(width)]
    return "".join(_LEVELS[_level(cell, covered)] for cell in cells)


def _level(cell: Period, covered: Sequence[Period]) -> int:
    """0 where nothing is covered, the highest where all is, between them wherever only some is."""
    open_time = sum((hole.duration for hole in missing(cell, covered)), timedelta())
    if not open_time:
        return len(_LEVELS) - 1
    if open_time == cell.duration:
        return 0
    return min(len(_LEVELS) - 2, 1 + int((1 - open_time / cell.duration) * (len(_LEVELS) - 2)))


def _bounds(period: Period) -> list[str]:
    return [f"{moment:%Y-%m-%dT%H:%MZ}" for moment in (period.start, period.end)]
