"""Makes the catalogue of a lake: an entry after the other, with what its files and its last weeks say."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from cronsim import CronSim

from gridtide import __version__
from gridtide.catalog.corrections import list_corrections
from gridtide.catalog.entry_files import CatalogFile, EntryFiles, SeriesGroup, join_listed, read_entry_files
from gridtide.catalog.recent_rows import RecentSeries, read_recent
from gridtide.catalog.records import Catalogue, CoveredTime, EntryRecord, Freshness, QualityBlock, SeriesRecord
from gridtide.clock import is_future
from gridtide.coverage import failed_periods
from gridtide.coverage.answered import describe_future_files
from gridtide.coverage.freshness.memory import SeriesMemory, load_memory
from gridtide.coverage.freshness.silence import SPACINGS
from gridtide.coverage.scopes import Part, find_unanswered, read_answers
from gridtide.entries.entry import Config, Entry, Schedule
from gridtide.errors import StorageError, one_line
from gridtide.lake import Lake
from gridtide.lake.soundness import CheckedFiles
from gridtide.observations.availability import find_due_end
from gridtide.observations.series_days import SeriesLabel
from gridtide.periods import Period, missing
from gridtide.sources.registry import find_entry_scope, find_variable, get_source
from gridtide.variables import SeriesName

RUNS_AHEAD = 50
"""How many runs of a schedule are looked at to find the longest time between two of them."""

ENTRIES_AT_ONCE = 4
"""How many entries have their last weeks read at a time: some wait for the store while another is computed."""

QualityBySeries = Mapping[str, QualityBlock]
"""What the checks of stored values found, by the name of the series."""


@dataclass(frozen=True, slots=True)
class EntryParts:
    """What a lake has of an entry: its files, its last weeks, the monitor's memory of its series, and the periods that
    failed."""

    files: EntryFiles
    recent: Mapping[SeriesLabel, RecentSeries]
    memory: SeriesMemory
    failed_periods: Sequence[Period]
    problems: Sequence[str] = ()


async def read_entries(lake: Lake, entries: Sequence[Entry], now: datetime) -> list[EntryParts]:
    """Reads what `lake` has of each of `entries`. An entry whose rows cannot be read is described without them, and its
    `problems` say so. Raises `StorageError` if the lake cannot be listed."""
    files_of_entries = await asyncio.gather(*(read_entry_files(lake, entry) for entry in entries))
    limit = asyncio.Semaphore(ENTRIES_AT_ONCE)

    async def read_within_limit(entry_files: EntryFiles) -> EntryParts:
        async with limit:
            return await _read_parts(lake, entry_files, now)

    return list(await asyncio.gather(*map(read_within_limit, files_of_entries)))


async def _read_parts(lake: Lake, entry_files: EntryFiles, now: datetime) -> EntryParts:
    entry = entry_files.entry
    problems = [
        *entry_files.problems,
        *describe_future_files([listed_file.file for listed_file in entry_files.files], now),
    ]
    try:
        recent = await read_recent(lake, entry_files, now)
    except StorageError as error:
        recent, problems = {}, [*problems, f"the last weeks cannot be read: {one_line(error)}"]
    failures = await failed_periods.recall_failures(lake, entry)
    failed = [failure.period for failure in failures]
    return EntryParts(entry_files, recent, await load_memory(lake, entry), failed, list(dict.fromkeys(problems)))


def describe_lake(
    config: Config, parts: Sequence[EntryParts], now: datetime, quality: QualityBySeries | None = None
) -> Catalogue:
    """Returns the catalogue of the entries in `parts` at `now`, sorted by the configuration and by series."""
    entries = [describe_entry(entry_parts, now) for entry_parts in parts]
    series = [
        record
        for entry_parts in parts
        for record in describe_entry_series(
            entry_parts, find_longest_spacing(config, entry_parts.files.entry, now), now, quality or {}
        )
    ]
    sources = sorted({entry_parts.files.entry.source for entry_parts in parts})
    return Catalogue(now, __version__, entries, series, {name: get_source(name).LICENCE for name in sources})


def find_longest_spacing(config: Config, entry: Entry, now: datetime) -> timedelta | None:
    """Returns the longest time between two of the next runs of the schedule of `entry`, None without a schedule."""
    schedule: Schedule | None = config.schedules.get(entry.schedule or "")
    if schedule is None:
        return None
    runs = CronSim(schedule.cron, now.astimezone(ZoneInfo(schedule.timezone)))
    moments = [moment for moment, _ in zip(runs, range(RUNS_AHEAD), strict=False)]
    return max(later - earlier for earlier, later in pairwise(moments))


def describe_entry(parts: EntryParts, now: datetime) -> EntryRecord:
    """Returns the record of an entry at `now`."""
    entry_files, entry = parts.files, parts.files.entry
    files = entry_files.files
    covered = find_covered(entry_files, now)
    return EntryRecord(
        entry.name,
        entry.description,
        entry.source,
        entry.output_folder,
        entry.file_prefix,
        entry.format,
        entry.schedule or "",
        entry.resolution,
        files=len(files),
        superseded_files=len(entry_files.superseded_files),
        removed_files=sum(file.file.removed is not None for file in files),
        rows=sum(listed_file.metadata.rows for listed_file in files),
        bytes=sum(file.file.size for file in files if not file.file.removed),
        newest=_find_newest(files, now),
        covered_periods=covered,
        due=find_due_end(entry, now),
        failed_periods=[period for period in parts.failed_periods if missing(period, covered)],
        problems=parts.problems,
    )


def _find_newest(files: Sequence[CatalogFile], now: datetime) -> datetime | None:
    return max(
        (listed_file.file.stamp for listed_file in files if not is_future(listed_file.file.stamp, now)), default=None
    )


def find_covered(entry_files: EntryFiles, now: datetime) -> list[Period]:
    """Returns the periods for which files answer all that the entry requests now; empty for an entry of snapshots."""
    entry = entry_files.entry
    answered = join_listed(entry, entry_files.files, now)
    if not answered or not get_source(entry.source).takes_period(entry):
        return []
    if not entry.tabular:
        return answered
    checked = CheckedFiles(contents={file.path: file.metadata for file in entry_files.files})
    answers = read_answers(entry, [listed_file.file for listed_file in entry_files.files], checked, now)
    whole = Part(Period(answered[0].start, answered[-1].end), find_entry_scope(entry))
    return missing(whole.period, [part.period for part in find_unanswered([whole], answers)])


def describe_entry_series(
    parts: EntryParts, spacing: timedelta | None, now: datetime, quality: QualityBySeries
) -> list[SeriesRecord]:
    """Returns the record of each series of an entry at `now`, sorted by location and variable; its schedule has runs at
    most `spacing` apart, None if it has no schedule."""
    entry = parts.files.entry
    newest = _find_newest(parts.files.files, now)
    overdue = spacing is not None and newest is not None and now - newest > spacing + entry.deadline
    groups = parts.files.group_series()
    listed = {label for group in groups for label in group.labels}
    unlisted = SeriesGroup(sorted(parts.recent.keys() - listed), ())
    records = []
    for group in (*groups, unlisted):
        covered = CoveredTime(join_listed(entry, group.files, now))
        snapshots = None if covered else _span_stamps(group.files)
        for label in group.labels:
            recent = parts.recent.get(label)
            name = SeriesName(entry.source, *label)
            registered = find_variable(entry.source, name.variable)
            last_value = _find_last_value(label, recent, parts.memory)
            late_by = find_delay(entry, last_value, now)
            records.append(
                SeriesRecord(
                    name,
                    entry.name,
                    recent.unit if recent else registered.unit if registered else entry.unit,
                    registered.meaning if registered else "",
                    (recent.spacing if recent else None) or entry.resolution,
                    covered,
                    len(group.files),
                    last_value,
                    _judge_freshness(parts, label, last_value, late_by, spacing, overdue=overdue),
                    late_by,
                    recent,
                    quality.get(str(name)),
                    snapshots,
                    list_corrections(entry, name),
                )
            )
    return sorted(records, key=lambda record: record.name)


def _span_stamps(files: Sequence[CatalogFile]) -> Period | None:
    """Returns the time from the first to the last of `files`, which are oldest first; None for a single moment."""
    stamps = [listed_file.file.stamp for listed_file in files]
    return Period(stamps[0], stamps[-1]) if stamps and stamps[0] < stamps[-1] else None


def _find_last_value(label: SeriesLabel, recent: RecentSeries | None, memory: SeriesMemory) -> datetime | None:
    """Returns the start of the latest interval with a value: of the last weeks, or else as the monitor remembers it."""
    if recent and recent.last_value:
        return recent.last_value
    remembered = memory.last_rows.get(label)
    return remembered.value if remembered else None


def find_delay(entry: Entry, last_value: datetime | None, now: datetime) -> timedelta:
    """Returns how much the last value of a series of `entry` is behind what is due at `now`; 0 if it has none."""
    if last_value is None:
        return timedelta()
    return max(find_due_end(entry, now) - entry.resolution - last_value, timedelta())


def _judge_freshness(
    parts: EntryParts,
    label: SeriesLabel,
    last_value: datetime | None,
    late_by: timedelta,
    spacing: timedelta | None,
    *,
    overdue: bool,
) -> Freshness:
    """Returns the state of a series whose entry is `overdue` if no run stored a file where the schedule had one."""
    if label in parts.memory.reported:
        return "silent"
    if last_value is None:
        return "empty"
    if spacing is None:
        return "unscheduled"
    return "late" if overdue or late_by > spacing + SPACINGS * parts.files.entry.resolution else "fresh"
