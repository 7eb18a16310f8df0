"""Reads observations from the lake's files and compacted months; the result is the same whatever is compacted.

    names, record ─► files that may match ─┬─► not compacted: the files ──────┐
                                           └─► compacted: the months ─────────┴─► of each key the latest

The names of files and the record decide which files are opened. A month replaces its files if all of them are requested
and no file outside it was retrieved earlier than its latest retrieval.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import pyarrow as pa

from gridtide.curated.dataset import (
    RESTORE,
    Dataset,
    find_earliest_retrieval,
    group_small,
    load_files,
    may_hold,
    read_ahead,
    select_starts,
    split_months,
)
from gridtide.curated.months import CompactedFile, Month, find_month_period
from gridtide.curated.renaming import list_stored_locations, rename_series
from gridtide.curated.shifting import Corrections, EntryCorrector
from gridtide.curated.vintages import (
    STORED,
    VINTAGES,
    add_available,
    arrange_rows,
    as_stored,
    concat_stored,
    select_latest,
    select_stored_by,
    select_vintages,
)
from gridtide.entries.entry import Entry
from gridtide.entries.shifts import widen_period
from gridtide.errors import ConfigurationError, StorageError
from gridtide.lake import File, Lake, Metadata
from gridtide.lake.names import parse_name
from gridtide.lake.soundness import recall_metadata
from gridtide.observations.constant_columns import add_constants, join_tables
from gridtide.observations.table import RETRIEVALS, SCHEMA
from gridtide.periods import EPOCH, Period
from gridtide.threads import run_computing

NO_RETRIEVAL = (1 << 63) - 1
"""The largest int64, later than any retrieval, in µs since 1970."""

GATHERED_ROWS = 1 << 17
"""The number of rows that are passed on together: small files cost less together, and a NumPy operation on a larger
array interrupts the decoding threads less often. A table with more than a quarter of that is passed on alone."""

LATE = timedelta(days=1)
"""How much earlier than the stamp in its name a file may have been stored: a stamp moves on if its name is taken."""


@dataclass(frozen=True, slots=True)
class Input:
    """One input file: rebuilding from the same inputs gives the same bytes."""

    entry: str
    path: str
    content_hash: str


async def list_inputs(
    lake: Lake, entries: Iterable[Entry], period: Period, as_of: datetime | None = None
) -> list[Input]:
    """Returns the files that, by their names, may contain values of `period`, oldest first; with `as_of` only those
    stored by then. Only files that are not compacted are opened."""
    dated_inputs: list[tuple[datetime, str, Input]] = []
    for entry in entries:
        dataset = await Dataset.of_entry(lake, entry)
        files = _select_by_name(dataset, widen_period(period, entry.shifts), as_of)
        contents_by_path: dict[str, CompactedFile | Metadata] = {}
        for file in files:
            recorded = dataset.record.files.get(file.path)
            if recorded is not None and recorded.size == file.size:
                contents_by_path[file.path] = recorded
        not_recorded = [file for file in files if file.path not in contents_by_path]
        for file, content in zip(not_recorded, await recall_metadata(lake, not_recorded), strict=True):
            if isinstance(content, StorageError):
                raise content
            contents_by_path[file.path] = content
        for path, recorded_content in contents_by_path.items():
            if as_of is None or recorded_content.stored_at <= as_of:
                dated_inputs.append(
                    (recorded_content.stored_at, path, Input(entry.name, path, recorded_content.content_hash))
                )
    return [pinned for _, _, pinned in sorted(dated_inputs, key=lambda dated: dated[:2])]


async def verify(lake: Lake, pinned: Iterable[Input]) -> None:
    """Raises `StorageError` if a file of `pinned` is missing or its content has changed.

    A file that was removed after it was compacted counts as unchanged; `read_tables` raises if no month contains it.
    """
    pinned = await _select_present(lake, pinned)
    for file, metadata in zip(pinned, await lake.read_metadata_of([file.path for file in pinned]), strict=True):
        if metadata.content_hash != file.content_hash:
            raise StorageError(file.path, "is not the file that was pinned", "Prepare anew, without pinned inputs")


async def _select_present(lake: Lake, pinned: Iterable[Input]) -> list[Input]:
    """Returns the files of `pinned` that exist; raises `StorageError` for a missing file that no month contains."""
    folders: dict[tuple[str, str], list[Input]] = defaultdict(list)
    for file in pinned:
        folder, _, name = file.path.rpartition("/")
        parsed = parse_name(name)
        folders[folder, parsed.prefix if parsed else ""].append(file)
    present: list[Input] = []
    for (folder, prefix), files in folders.items():
        if not prefix:
            present += files
            continue
        dataset = await Dataset.open(lake, folder, prefix)
        for file in files:
            stored_file, compacted = dataset.files.get(file.path), dataset.record.files.get(file.path)
            if stored_file is None or not stored_file.removed or compacted is None:
                present.append(file)
            elif compacted.content_hash != file.content_hash:
                happened = "was removed after it was compacted, and is not the file that was pinned"
                raise StorageError(file.path, happened, "Prepare anew, without pinned inputs")
    return present


async def read_tables(
    lake: Lake,
    entries: Iterable[Entry],
    pinned: Sequence[Input],
    period: Period,
    locations: Collection[str] | None = None,
    corrections: Corrections | None = None,
) -> AsyncIterator[tuple[str, pa.Table]]:
    """Yields the observations of the files `pinned`, which belong to `entries`; each table with the name of its entry.

    Yields at least the latest row of each key in `period`, from files or from months; it stands for all
    `observations.retrievals` of its key. Rows outside the period may be included, and if `locations` are given, rows at
    other locations may be left out. Rows with the same retrieval come in the order of `pinned`. A table may lack its
    constant columns (`ConstantColumns`).

    Series have the names and intervals that the aliases and shifts of the entries give them; `corrections` records what
    was corrected. `read` applies no shifts: it returns the hours that were reported.
    """
    hashes_by_entry: dict[str, dict[str, str]] = defaultdict(dict)
    for file in pinned:
        hashes_by_entry[file.entry][file.path] = file.content_hash
    by_name = {entry.name: entry for entry in entries}
    for name, hashes in hashes_by_entry.items():
        if name not in by_name:
            happened = "its files are pinned, but there is no such entry"
            raise ConfigurationError(name, happened, "Use the configuration they were made with")
        entry = by_name[name]
        dataset, stored_period = await Dataset.of_entry(lake, entry), widen_period(period, entry.shifts)
        stored_locations = list_stored_locations(locations, entry.aliases)
        plan = _ReadPlan(dataset, hashes, stored_period, pinned=True, locations=stored_locations)
        corrector = EntryCorrector(entry, period, Corrections() if corrections is None else corrections)
        async for table in _gather_small(_read_pieces(plan)):
            yield name, corrector.correct(table)
        for table in corrector.release_edges():
            yield name, table


async def read(
    lake: Lake,
    entries: Iterable[Entry],
    start: datetime,
    end: datetime,
    as_of: datetime | None = None,
    *,
    all_vintages: bool = False,
) -> pa.Table:
    """Reads the observations of `entries` whose interval starts in `[start, end)`, each key once: its latest vintage.

    They are sorted by source, location, variable, interval and publication; `retrieved_at` is the time when the value
    was first retrieved. With `as_of`, only what was stored by then counts. With `all_vintages`, every vintage is
    returned, sorted by retrieval too, with `stored_at` and `available_at`. If entries share a key, the vintage whose
    value was first retrieved last counts. Raises `StorageError` for a file that is damaged or does not match its name,
    `ConfigurationError` for moments without a time zone or an end that is not after the start.
    """
    period = _check_period(start, end, as_of)
    results = []
    for entry in entries:
        dataset = await Dataset.of_entry(lake, entry)
        files = {file.path: dataset.content_hash(file) for file in _select_by_name(dataset, period, as_of)}
        plan = _ReadPlan(dataset, files, period, as_of)
        pieces = [rename_series(piece, entry.aliases) async for piece in _read_pieces(plan)]
        rows = await run_computing(select_vintages if all_vintages else select_latest, concat_stored(pieces))
        results.append(add_available(rows, entry.available) if all_vintages else rows)
    if all_vintages:
        return arrange_rows(concat_stored(results, VINTAGES))
    return (await run_computing(select_latest, concat_stored(results))).select(SCHEMA.names)


@dataclass(frozen=True)
class _ReadPlan:
    """What to read of a dataset: `files` (path and, if known, content hash) in `period`, stored by `as_of`, and no
    other files if they are `pinned`. Of months at least the rows at `locations` are read, or all rows if None."""

    dataset: Dataset
    files: Mapping[str, str | None]
    period: Period
    as_of: datetime | None = None
    pinned: bool = False
    locations: Collection[str] | None = None

    def may_stand(self, month: Month) -> bool:
        """Whether `month` contains, within the period, only files that are to be read."""
        if not self.pinned:
            return all(self.dataset.still_counts(path, self.as_of) for path in month.inputs)
        if not self.dataset.superseded.keys().isdisjoint(
            self.files
        ):  # their rows would not come in the order of `files`
            return False
        return all(
            self.files.get(path) == content_hash or not self.is_near(path)
            for path, content_hash in month.inputs.items()
        )

    def is_near(self, path: str) -> bool:
        """Whether the file at `path` may contain values of the period; a missing file may."""
        file = self.dataset.files.get(path)
        return file is None or may_hold(file, self.period)

    def is_lacking(self, path: str, compacted: Mapping[str, Month]) -> bool:
        """Whether the file at `path` may contain rows that are not in `compacted`."""
        recorded = self.dataset.record.files.get(path)
        if recorded is None or self.files[path] != recorded.content_hash:
            return True
        months = [month for month in recorded.months if find_month_period(month).overlaps(self.period)]
        return any(month not in compacted or path not in compacted[month].inputs for month in months)

    def existing_files(self, paths: Iterable[str]) -> Iterator[File]:
        """Yields the files at `paths`, except those known to be stored after `as_of`."""
        for path in paths:
            file, recorded = self.dataset.files.get(path), self.dataset.record.files.get(path)
            if recorded is not None and self.as_of is not None and recorded.stored_at > self.as_of:
                continue
            if file is None or file.removed:
                fix = f"Run gridtide compact, which joins months with late files; if that fails, {RESTORE}"
                raise StorageError(path, "is missing, and the months it was compacted into cannot replace it", fix)
            yield file

    async def read_rows(self, paths: Iterable[str]) -> AsyncIterator[tuple[str, pa.Table]]:
        """Yields the rows in the period of each of the files at `paths`, as `STORED`, except files stored after
        `as_of`.

        Of a pinned file it yields all observations unchanged, because pinning settles which stored files count.
        """
        read = partial(load_files, self.dataset.lake, hashes=self.files, verify=not self.pinned)
        async for files, contents in read_ahead(read, group_small(self.existing_files(paths))):
            for file, (metadata, table) in zip(files, contents, strict=True):
                if self.pinned:
                    yield file.path, table
                elif self.as_of is None or metadata.stored_at <= self.as_of:
                    yield file.path, as_stored(select_starts(table, self.period), metadata.stored_at, file.path)


async def _read_pieces(plan: _ReadPlan) -> AsyncIterator[pa.Table]:
    """Yields the rows of `plan`: of files that are not compacted, then of the months that replace the others.

    A month is read from its files instead if rows outside it were retrieved before its latest retrieval, or if another
    compaction has replaced it meanwhile. If some of its files are gone, such rows join the month where that changes no
    vintage.
    """
    dataset, period = plan.dataset, plan.period
    compacted = {}
    in_period = [month for month in dataset.tags if find_month_period(month).overlaps(period)]
    async for month, description in read_ahead(dataset.describe_month, in_period):
        if description is not None and plan.may_stand(description):
            compacted[month] = description
    earliest: dict[str, int] = defaultdict(lambda: NO_RETRIEVAL)
    late_rows: dict[str, list[pa.Table]] = defaultdict(list)
    async for path, table in plan.read_rows(path for path in plan.files if plan.is_lacking(path, compacted)):
        for month, rows in split_months(table).items() if compacted else [("", table)]:
            if month not in compacted or path not in compacted[month].inputs:
                earliest[month] = min(earliest[month], find_earliest_retrieval(rows)) if compacted else NO_RETRIEVAL
                if month in compacted and earliest[month] <= compacted[month].newest:
                    late_rows[month].append(as_stored(add_constants(rows), EPOCH, path) if plan.pinned else rows)
                yield rows
    read_month = partial(dataset.read_month, period=period, only_latest=plan.pinned, locations=plan.locations)
    async for month, stored_month in read_ahead(read_month, compacted):
        description = compacted[month]
        if (
            stored_month is not None
            and description.inputs.items() <= stored_month.inputs.items()
            and (
                stored_month.newest < earliest[month]
                or await dataset.may_join_late(month, description, late_rows[month])
            )
        ):
            yield (
                stored_month.table
                if plan.pinned
                else select_stored_by(plan.as_of, select_starts(stored_month.table, period))
            )
            continue
        async for _, table in plan.read_rows(filter(plan.is_near, description.inputs)):
            yield split_months(table).get(month, STORED.empty_table())


async def _gather_small(tables: AsyncIterator[pa.Table]) -> AsyncIterator[pa.Table]:
    """Joins adjacent small tables of `tables` into tables of up to `GATHERED_ROWS` rows."""
    waiting: list[pa.Table] = []
    async for table in tables:
        is_large = table.num_rows > GATHERED_ROWS // 4
        row_count = sum(waiting_table.num_rows for waiting_table in (*waiting, table))
        if waiting and (is_large or row_count > GATHERED_ROWS or _has_retrievals(table) != _has_retrievals(waiting[0])):
            yield join_tables(waiting)
            waiting = []
        if is_large:
            yield table
        else:
            waiting.append(table)
    if waiting:
        yield join_tables(waiting)


def _has_retrievals(table: pa.Table) -> bool:
    return RETRIEVALS.name in table.column_names


def _select_by_name(dataset: Dataset, period: Period, as_of: datetime | None) -> list[File]:
    """Returns the files that, by their names, may contain values of `period`, stored by `as_of` and not superseded by
    then."""
    files = [
        file for file in dataset.files.values() if may_hold(file, period) and dataset.still_counts(file.path, as_of)
    ]
    return files if as_of is None else [file for file in files if file.stamp <= as_of + LATE]


def _check_period(start: datetime, end: datetime, as_of: datetime | None) -> Period:
    try:
        if as_of is not None and as_of.tzinfo is None:
            raise ValueError(f"as_of needs a time zone, got {as_of!r}")
        return Period(start, end)
    except ValueError as error:
        raise ConfigurationError("reading", str(error), "Give aware moments, the start before the end") from error
