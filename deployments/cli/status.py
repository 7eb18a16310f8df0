"""The status of each entry: its files and coverage, read only from the lake."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from rich.table import Table

from deployments.cli.console import count_noun, draw_table
from gridtide.catalog.entry_files import decode_labels, rename_labels
from gridtide.catalog.quality_blocks import EntryQuality, name_flag, summarize_entry_quality
from gridtide.coverage import failed_periods
from gridtide.coverage.answered import describe_future_files, join_answered
from gridtide.coverage.failed_periods import Failure
from gridtide.coverage.freshness.memory import SeriesMemory, load_memory, update_memory
from gridtide.coverage.picture import Coverage
from gridtide.coverage.scopes import Part, describe_scopes, find_unanswered, read_answers
from gridtide.entries.entry import Entry
from gridtide.errors import StorageError, list_first, one_line
from gridtide.lake import File, Lake, Metadata, soundness
from gridtide.lake.moved_files import warn_of_moved
from gridtide.lake.soundness import CheckedFiles
from gridtide.observations.availability import find_due_end
from gridtide.periods import Period, describe_duration, missing, union
from gridtide.quality.table import read_verdicts
from gridtide.sources.registry import find_entry_scope, get_source
from gridtide.variables import SeriesName

if TYPE_CHECKING:
    from gridtide.observations.series_days import SeriesLabel
    from gridtide.quality.daily import DayVerdict

logger = logging.getLogger("gridtide.status")

DAYS_READ = timedelta(days=60)
"""How long before what is due of an entry the verdicts of its series are read: what was judged earlier is too old."""


@dataclass(frozen=True, slots=True)
class SeriesStatus:
    """The last row of a series, and its last row with a value; `reported` if the monitor reported it as silent."""

    location: str
    variable: str
    last_row: datetime | None
    last_value: datetime | None
    reported: bool

    def as_dict(self) -> dict[str, Any]:
        """The status of the series as JSON: starts of intervals in ISO 8601."""
        moments = {"last_row": self.last_row, "last_value": self.last_value}
        return {
            "location": self.location,
            "variable": self.variable,
            **{name: moment.isoformat() if moment else None for name, moment in moments.items()},
            "silent": self.reported,
        }


@dataclass(frozen=True, slots=True)
class EntryStatus:
    """The files of an entry: their number, the path and rows of the latest by its stamp, its age, and the coverage.

    `last` is None without files. `rows` is None if they cannot be read: formats that keep bodies, damaged files.
    `answered` are the periods of the sound files, `covered_periods` those for which they were asked for all that the
    entry asks; it is None for an entry whose files are snapshots. `problems` name the files without readable metadata
    (truncated, empty or foreign ones), and those with stamps in the future. `failures` are the periods that were
    requested without success and are still missing. `scopes` say what the requests of the files did not include, though
    the entry asks it now, and where that is not certain. `moved_files` say where else older files of a young entry are.
    """

    entry: str
    files: int
    last: str | None = None
    rows: int | None = None
    age: timedelta | None = None
    covered_periods: tuple[Period, ...] | None = None
    until: datetime | None = None
    failures: tuple[Failure, ...] = ()
    problems: tuple[str, ...] = ()
    answered: tuple[Period, ...] = ()
    scopes: tuple[str, ...] = ()
    moved_files: tuple[str, ...] = ()
    series: tuple[SeriesStatus, ...] = ()
    absent: tuple[Period, ...] = ()
    """The covered periods for which the upstream has nothing, as its status said."""
    rejected_rows: int = 0
    """The number of rows under `rejected/`, as the files say that were stored with them."""
    names: frozenset[str] = frozenset()
    """The names of its series, as the sound files list them."""
    quality: EntryQuality | None = None
    """What the checks of stored values found; None if the lake has no table of quality that speaks of its series."""

    @property
    def coverage(self) -> Coverage | None:
        """The coverage from the first period that is covered or failed to what is due by now."""
        failed = tuple(failure.period for failure in self.failures)
        requested = union([*self.answered, *failed])
        if not requested or self.covered_periods is None or self.until is None:
            return None
        return Coverage(Period(requested[0].start, max(self.until, requested[-1].end)), self.covered_periods, failed)

    def as_dict(self) -> dict[str, Any]:
        """The status as JSON: times in ISO 8601, the age in seconds."""
        coverage = self.coverage
        return {
            "entry": self.entry,
            "files": self.files,
            "last_file": self.last,
            "rows": self.rows,
            "age_seconds": None if self.age is None else round(self.age.total_seconds()),
            "covered": None if self.covered_periods is None else [_bounds(period) for period in self.covered_periods],
            "missing": None
            if self.covered_periods is None
            else [_bounds(gap) for gap in coverage.missing]
            if coverage
            else [],
            "failed": [failure.as_dict() for failure in self.failures],
            "problems": list(self.problems),
            "scopes": list(self.scopes),
            "moved": list(self.moved_files),
            "series": [series.as_dict() for series in self.series],
            "absent": [_bounds(period) for period in self.absent],
            "rejected": self.rejected_rows,
            "quality": self.quality.as_dict() if self.quality else None,
        }


async def read_status(
    entries: Sequence[Entry], lake: Lake, now: datetime, *, all_series: bool = False
) -> list[EntryStatus]:
    """The status of each of `entries` at `now`, with the silent series that the monitor reported; with `all_series`
    the last row of every series, for which files that came since its last run are read.

    Raises `StorageError` if the lake cannot be listed. A table of quality that cannot be read costs a warning.
    """
    statuses = await asyncio.gather(*(_read_entry_status(entry, lake, now, entries) for entry in entries))
    memories = [await _read_memory(entry, lake, now, all_series) for entry in entries]
    verdicts = await _read_latest_verdicts(lake, entries, now)
    return [
        replace(
            status,
            series=_describe_series(memory, all_series),
            # files of version 0.1.0 do not list their series; the memory does
            quality=summarize_entry_quality(verdicts, status.names | _name_series(entry, memory.last_rows)),
        )
        for entry, status, memory in zip(entries, statuses, memories, strict=True)
    ]


async def _read_latest_verdicts(lake: Lake, entries: Sequence[Entry], now: datetime) -> list[DayVerdict]:
    since = min((find_due_end(entry, now) for entry in entries), default=now) - DAYS_READ
    try:
        return list((await read_verdicts(lake, since.date())).values())
    except StorageError as error:
        logger.warning("the quality of series is not shown: %s", one_line(error))
        return []


async def _read_memory(entry: Entry, lake: Lake, now: datetime, all_series: bool) -> SeriesMemory:
    memory = await load_memory(lake, entry)
    return await update_memory(lake, entry, memory, now) if all_series and entry.tabular else memory


def _describe_series(memory: SeriesMemory, all_series: bool) -> tuple[SeriesStatus, ...]:
    labels = sorted({*memory.last_rows, *memory.reported}) if all_series else sorted(memory.reported)
    return tuple(_describe_last_rows(label, memory) for label in labels)


def _describe_last_rows(label: SeriesLabel, memory: SeriesMemory) -> SeriesStatus:
    last_rows = memory.last_rows.get(label)
    last_row, last_value = (last_rows.row, last_rows.value) if last_rows else (None, None)
    return SeriesStatus(*label, last_row, last_value, label in memory.reported)


async def _read_entry_status(entry: Entry, lake: Lake, now: datetime, entries: Sequence[Entry]) -> EntryStatus:
    files = await lake.list_files(entry.output_folder, entry.file_prefix)
    contents = await soundness.read_metadata(lake, files) if entry.tabular else [None] * len(files)
    by_path = {file.path: content for file, content in zip(files, contents, strict=True)}
    damage = [str(content) for content in contents if isinstance(content, StorageError)]
    sound = [file for file in files if not isinstance(by_path[file.path], StorageError)]
    periodic = get_source(entry.source).takes_period(entry)
    periods = tuple(join_answered(entry, sound, now)) if periodic else ()
    covered, scopes = periods, []
    if entry.tabular and periods:
        metadata = {path: content for path, content in by_path.items() if isinstance(content, Metadata)}
        answers = read_answers(entry, sound, CheckedFiles(contents=metadata), now)
        whole = Part(Period(periods[0].start, periods[-1].end), find_entry_scope(entry))
        covered = tuple(missing(whole.period, [part.period for part in find_unanswered([whole], answers)]))
        scopes = describe_scopes(entry.name, whole, answers)
    places = await warn_of_moved(lake, entry, entries, files, now)
    failures = await failed_periods.recall_failures(lake, entry)
    newest = contents[-1] if contents else None
    return EntryStatus(
        entry.name,
        len(files),
        last=files[-1].path if files else None,
        rows=newest.rows if isinstance(newest, Metadata) else None,
        age=now - files[-1].stamp if files else None,
        covered_periods=covered if periodic else None,
        until=find_due_end(entry, now),
        failures=tuple(failure for failure in failures if missing(failure.period, covered)),
        problems=(*damage, *describe_future_files(files, now)),
        answered=periods,
        scopes=tuple(scopes),
        moved_files=tuple(places),
        absent=_find_absent(files, by_path),
        names=_list_names(entry, sound, by_path),
        rejected_rows=sum(
            record["count"]
            for content in contents
            if isinstance(content, Metadata)
            for record in content.skipped
            if record.get("rule")
        ),
    )


def _list_names(
    entry: Entry, files: Sequence[File], by_path: Mapping[str, Metadata | StorageError | None]
) -> frozenset[str]:
    """The names by which the series that `files` list are read."""
    labels: set[SeriesLabel] = set()
    for file in files:
        metadata = by_path[file.path]
        if isinstance(metadata, Metadata):
            labels |= rename_labels(decode_labels(metadata.series), entry.source, entry.aliases, file.period)
    return _name_series(entry, labels)


def _name_series(entry: Entry, labels: Iterable[SeriesLabel]) -> frozenset[str]:
    return frozenset(str(SeriesName(entry.source, *label)) for label in labels)


def _find_absent(files: Sequence[File], by_path: Mapping[str, Metadata | StorageError | None]) -> tuple[Period, ...]:
    """The periods for which the upstream has nothing, as the newest file about each of them says."""
    absent: list[Period] = []
    for file in files:  # by stamp
        metadata = by_path[file.path]
        if file.period and isinstance(metadata, Metadata):
            absent = [part for period in absent for part in missing(period, [file.period])]
            absent += metadata.absent
    return tuple(union(absent))


def tabulate_statuses(statuses: Sequence[EntryStatus]) -> Table:
    """`statuses` as a table, with the coverage as a bar."""
    rows = [
        (
            status.entry,
            _describe_coverage(status),
            "" if status.age is None else describe_duration(status.age),
            "" if status.rows is None else f"{status.rows:,}",
            _describe_first(status.problems)
            or _describe_failure(status)
            or _describe_first(status.scopes)
            or _describe_first(status.moved_files)
            or _describe_silence(status)
            or _describe_absent(status)
            or _describe_rejected(status)
            or status.last
            or "no files yet",
        )
        for status in statuses
    ]
    columns = ("entry", "coverage", "age", "last file's rows", "last file")
    return draw_table(columns, rows, right=("age", "last file's rows"))


def tabulate_quality(statuses: Sequence[EntryStatus]) -> Table | None:
    """The quality of the entries of `statuses` that were judged, as a table; None if there are none."""
    rows = [
        (
            status.entry,
            name_flag(status.quality.flag),
            f"{status.quality.bad:,} of {status.quality.series:,}",
            f"{status.quality.disagreeing:,}",
            status.quality.until.isoformat(),
        )
        for status in statuses
        if status.quality
    ]
    columns = ("entry", "quality", "bad series", "disagreeing", "judged until")
    return draw_table(columns, rows, right=("bad series", "disagreeing")) if rows else None


def _describe_coverage(status: EntryStatus) -> str:
    coverage = status.coverage
    if coverage is None:
        return count_noun(status.files, "snapshot", "snapshots") if status.files else ""
    return str(coverage)


def _describe_first(notes: Sequence[str]) -> str:
    """The first of `notes`, and the number of others."""
    return list_first(notes, 1, more=" (and {} more, see --json)")


def _describe_failure(status: EntryStatus) -> str:
    """The period that failed last, and why."""
    if not status.failures:
        return ""
    latest = max(status.failures, key=lambda failure: failure.last)
    return f"{latest.period} failed {count_noun(latest.attempts, 'time', 'times')}: {latest.error}"


def _describe_silence(status: EntryStatus) -> str:
    """The first series that the monitor reported as silent, and how many more there are."""
    silent = [series for series in status.series if series.reported]
    if not silent:
        return ""
    return f"no new values of {_describe_first([_describe_last_value(series) for series in silent])}"


def _describe_last_value(series: SeriesStatus) -> str:
    name = "/".join(filter(None, (series.location, series.variable)))
    return f"{name} since {series.last_value:%Y-%m-%dT%H:%MZ}" if series.last_value else f"{name} so far"


def _describe_absent(status: EntryStatus) -> str:
    """How much of the covered periods the upstream has nothing for, and when."""
    if not status.absent:
        return ""
    duration = describe_duration(sum((period.duration for period in status.absent), timedelta()))
    parts = _describe_first([str(period) for period in status.absent])
    return f"{status.last}; the upstream has nothing for {duration}: {parts}"


def _describe_rejected(status: EntryStatus) -> str:
    """How many rows the rules of the entry rejected."""
    return f"{status.last}; {count_noun(status.rejected_rows, 'row', 'rows')} rejected" if status.rejected_rows else ""


def _bounds(period: Period) -> list[str]:
    return [f"{moment:%Y-%m-%dT%H:%MZ}" for moment in (period.start, period.end)]
