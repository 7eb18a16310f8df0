"""The files of an entry with their series, read from listings and footers.

A footer lists the series of its file. So the part of time in which files hold a series is known without reading rows.
What loads Arrow is imported in functions: `gridtide status` imports this module before it knows of any files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING

from gridtide.coverage.answered import find_answered_period
from gridtide.entries.aliases import EVERY, Alias
from gridtide.entries.entry import Entry
from gridtide.errors import StorageError
from gridtide.lake import File, Lake, Metadata
from gridtide.lake.soundness import read_metadata
from gridtide.periods import Period, union
from gridtide.threads import run_computing

if TYPE_CHECKING:
    import pyarrow as pa

    from gridtide.observations.series_days import SeriesLabel


@dataclass(frozen=True, slots=True)
class CatalogFile:
    """A sound file of an entry: its name in `file`, its footer in `metadata`, its series under the names by which they
    are read, and the compacted `months` that hold its rows."""

    file: File
    metadata: Metadata
    series: frozenset[SeriesLabel]
    months: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The path relative to the lake."""
        return self.file.path


@dataclass(frozen=True, slots=True)
class EntryFiles:
    """The sound files of `entry`, oldest first; `superseded_files` no longer count, but training sets may have used
    them. `problems` name the files that cannot be read."""

    entry: Entry
    files: Sequence[CatalogFile] = ()
    superseded_files: Sequence[CatalogFile] = ()
    problems: Sequence[str] = ()

    def group_series(self) -> list[SeriesGroup]:
        """Returns the series that the files list, in groups that the same files list; each series is in one group."""
        files_by_set: dict[frozenset[SeriesLabel], list[CatalogFile]] = defaultdict(list)
        for file in self.files:
            files_by_set[file.series].append(file)
        sets_by_series: dict[SeriesLabel, list[int]] = defaultdict(list)
        for number, labels in enumerate(files_by_set):
            for label in labels:
                sets_by_series[label].append(number)
        series_by_sets: dict[tuple[int, ...], list[SeriesLabel]] = defaultdict(list)
        for label, numbers in sets_by_series.items():
            series_by_sets[tuple(numbers)].append(label)
        files_of_sets = list(files_by_set.values())
        return [
            SeriesGroup(sorted(labels), merge_files(files_of_sets[number] for number in numbers))
            for numbers, labels in series_by_sets.items()
        ]


@dataclass(frozen=True, slots=True)
class SeriesGroup:
    """The series `labels`, and the `files` that list them, oldest first."""

    labels: Sequence[SeriesLabel]
    files: Sequence[CatalogFile]


def merge_files(parts: Iterable[Sequence[CatalogFile]]) -> list[CatalogFile]:
    """Returns the files of all `parts`, oldest first."""
    return sorted(chain.from_iterable(parts), key=lambda file: (file.file.stamp, file.path))


async def read_entry_files(lake: Lake, entry: Entry) -> EntryFiles:
    """Reads the listing, the record of compacted files, and the footer of each file of `entry`.

    The rows of a file are read only if its footer lists no series, as in files of version 0.1.0. Raises `StorageError`
    if the lake cannot be listed.
    """
    if not entry.tabular:
        files = await lake.list_files(entry.output_folder, entry.file_prefix, superseded=True)
        months: Mapping[str, tuple[str, ...]] = {}
    else:
        from gridtide.curated.dataset import Dataset

        dataset = await Dataset.of_entry(lake, entry)
        files = sorted(dataset.files.values(), key=lambda file: (file.stamp, file.path))
        months = {path: compacted.months for path, compacted in dataset.record.files.items()}
    contents = await read_metadata(lake, files)
    catalog_files, problems = [], []
    for file, metadata in zip(files, contents, strict=True):
        if isinstance(metadata, StorageError):
            problems.append(str(metadata))
            continue
        try:
            labels = await _read_series(lake, file, metadata) if entry.tabular else frozenset[SeriesLabel]()
        except StorageError as error:
            problems.append(str(error))
            continue
        renamed = rename_labels(labels, entry.source, entry.aliases, file.period)
        catalog_files.append(CatalogFile(file, metadata, renamed, months.get(file.path, ())))
    present = [file for file in catalog_files if file.file.superseded_at is None]
    superseded = [file for file in catalog_files if file.file.superseded_at is not None]
    return EntryFiles(entry, present, superseded, problems)


async def _read_series(lake: Lake, file: File, metadata: Metadata) -> frozenset[SeriesLabel]:
    """Returns the series of `file`, from its footer if that lists them; raises `StorageError` if it is damaged."""
    if metadata.series or not metadata.rows or file.removed:
        return decode_labels(metadata.series)
    return await run_computing(_find_labels, await lake.read_table(file.path))


@lru_cache(maxsize=1024)
def decode_labels(text: str) -> frozenset[SeriesLabel]:
    """Returns the series that a footer lists; the many files of an entry list few different sets."""
    from gridtide.observations.series_days import decode_series

    try:
        return frozenset(decode_series(text))
    except ValueError:
        return frozenset()


def _find_labels(table: pa.Table) -> frozenset[SeriesLabel]:
    from gridtide.observations.series_days import SeriesDays

    series_days = SeriesDays()
    series_days.add(table)
    return frozenset(series_days.names)


def rename_labels(
    labels: frozenset[SeriesLabel], source: str, aliases: Sequence[Alias], period: Period | None
) -> frozenset[SeriesLabel]:
    """Returns the names under which the series `labels` of a file are read, by each of `aliases` in turn.

    `period` is that of the file. A series whose alias counts for a part of it only is read under both names.
    """
    if not aliases:
        return labels
    renamed = set(labels)
    for alias in aliases:
        stored_series, read_series = alias.series
        if stored_series.source != source:
            continue
        matching = {
            (location, variable)
            for location, variable in renamed
            if variable == stored_series.variable and stored_series.location in (EVERY, location)
        }
        counts, remains = _compare_bounds(alias, period)
        if not counts:
            continue
        renamed -= set() if remains else matching
        renamed |= {
            (location if read_series.location == EVERY else read_series.location, read_series.variable)
            for location, _ in matching
        }
    return frozenset(renamed)


def _compare_bounds(alias: Alias, period: Period | None) -> tuple[bool, bool]:
    """Returns whether `alias` counts for some of `period`, and whether some of it keeps the stored name."""
    since, before = alias.bounds
    if period is None:
        return True, bool(since or before)
    counts = (since is None or since < period.end) and (before is None or before > period.start)
    remains = bool((since and since > period.start) or (before and before < period.end))
    return counts, remains


def join_listed(entry: Entry, files: Iterable[CatalogFile], now: datetime) -> list[Period]:
    """Returns the periods that `files` answer, as far as their values were due when they were made, joined."""
    return union(period for file in files if (period := find_answered_period(entry, file.file, now)))
