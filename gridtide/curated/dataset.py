"""The files of one entry, and which of them are compacted, as the lake has them now."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TypeVar

import numpy as np
import pyarrow as pa

from gridtide.curated.months import (
    RECORD_NAME,
    CompactedFile,
    CompactionRecord,
    Month,
    find_month_period,
    is_month,
    name_dataset_folder,
    name_month_path,
)
from gridtide.curated.vintages import concat_stored, may_join
from gridtide.entries.entry import TABULAR, Entry
from gridtide.errors import DamagedError, StorageError, list_first
from gridtide.lake import EXTENSIONS, File, Lake, Metadata
from gridtide.lake.names import RemovedFile, parse_name
from gridtide.lake.soundness import find_mismatch
from gridtide.observations import identity as identity_module
from gridtide.observations.times import read_times, to_microseconds
from gridtide.periods import Period, microseconds
from gridtide.threads import run_computing, run_decoding

logger = logging.getLogger("gridtide.curated")

REACH = timedelta(days=8)
"""How far intervals may lie outside the period of their file: a seven-day forecast is stored under its day of issue."""

READ_AHEAD = 4
"""The number of files that are read ahead; small files count by groups of `GROUP_BYTES`."""

GROUP_BYTES = 1 << 20
"""The bytes of small files that are read together, about 16 files of 9,000 rows: more gain nothing and take memory."""

LATE_NAMED = 3
"""The most late files that an error names."""

RESTORE = "restore it, or its months, from a backup: they hold the only copy of files that were pruned"
"""What helps where neither a file nor its months can be read."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Dataset:
    """All files of an entry. `record` describes the compacted files, `tags` are those of the months that exist."""

    lake: Lake
    path: str
    files: Mapping[str, File]
    record: CompactionRecord
    tags: Mapping[str, str | None]

    @classmethod
    async def of_entry(cls, lake: Lake, entry: Entry) -> Dataset:
        """Opens the dataset of `entry`, as `open` does."""
        return await cls.open(lake, entry.output_folder, entry.file_prefix)

    @classmethod
    async def open(cls, lake: Lake, output_folder: str, file_prefix: str) -> Dataset:
        """Opens the dataset of the files with `file_prefix` in `output_folder`; requests two listings and one small
        file."""
        path = name_dataset_folder(output_folder, file_prefix)
        listing = lake.list_files(output_folder, file_prefix, superseded=True)
        listed, objects = await asyncio.gather(listing, lake.store.list_objects(path))
        tabular = {EXTENSIONS[name] for name in TABULAR}
        tags_by_path = {month_file.path: month_file.e_tag for month_file in objects}
        tags_by_stem = {name.rpartition("/")[2].removesuffix(".parquet"): e_tag for name, e_tag in tags_by_path.items()}
        tags_by_name = {
            month: e_tag for month, e_tag in tags_by_stem.items() if name_month_path(path, month) in tags_by_path
        }
        tags = {month: e_tag for month, e_tag in tags_by_name.items() if is_month(month)}
        for name in sorted(tags_by_name.keys() - tags.keys()):
            logger.warning("%s: ignored, not the name of a month", name_month_path(path, name))
        record_path = f"{path}/{RECORD_NAME}"
        record = await _read_record(lake, record_path) if record_path in tags_by_path else CompactionRecord()
        files = {file.path: file for file in listed if file.extension in tabular}
        removed = {name: _as_compacted(file.size, file.removed) for name, file in files.items() if file.removed}
        record = CompactionRecord({**removed, **record.files}, record.months)
        missing = {name: _as_removed(name, compacted) for name, compacted in record.files.items() if name not in files}
        return cls(lake, path, files | missing, record, tags)

    def new_files(self) -> list[File]:
        """Returns the files that are neither compacted nor superseded."""
        return [
            file for file in self.files.values() if file.path not in self.record.files and file.superseded_at is None
        ]

    def lacks_any(self, paths: Iterable[str]) -> bool:
        """Whether any of the files at `paths` was removed after it was compacted."""
        return any((file := self.files.get(path)) is None or file.removed for path in paths)

    async def may_join_late(self, month: str, description: Month, late_rows: Sequence[pa.Table]) -> bool:
        """Whether `late_rows` (`STORED`) may be read beside `month`, as `description` describes it, although some were
        retrieved before rows of it: files that it was compacted from are gone, and no vintage changes."""
        late_parts = [
            rows.filter(pa.array(read_times(rows, "retrieved_at") <= description.newest)) for rows in late_rows
        ]
        if not late_parts or not self.lacks_any(description.inputs):
            return False
        whole_month = await self.read_month(month, find_month_period(month))
        return whole_month is not None and await run_computing(may_join, whole_month.table, concat_stored(late_parts))

    @cached_property
    def superseded(self) -> dict[str, datetime]:
        """The time from which each superseded file no longer counts, by path."""
        return {file.path: file.superseded_at for file in self.files.values() if file.superseded_at}

    def still_counts(self, path: str, as_of: datetime | None) -> bool:
        """Whether the file at `path` still counts, or did so at `as_of`."""
        moment = self.superseded.get(path)
        return moment is None or (as_of is not None and as_of < moment)

    def valid_record(self) -> CompactionRecord:
        """Returns the record without the files that were superseded since, and without the months that contain them."""
        superseded = {path: compacted for path, compacted in self.record.files.items() if path in self.superseded}
        stale = {month for compacted in superseded.values() for month in compacted.months}
        return CompactionRecord(
            {path: compacted for path, compacted in self.record.files.items() if path not in superseded},
            {month: recorded for month, recorded in self.record.months.items() if month not in stale},
        )

    def content_hash(self, file: File) -> str | None:
        """Returns the content hash of `file` if it is compacted; warns if the file has changed since."""
        compacted = self.record.files.get(file.path)
        if compacted is None:
            return None
        if compacted.size != file.size:
            logger.warning("%s: is not the file that was compacted; the compacted rows count", file.path)
        return compacted.content_hash

    async def read_month(
        self, month: str, period: Period, *, only_latest: bool = False, locations: Collection[str] | None = None
    ) -> Month | None:
        """Reads `month` as `Month.decode` does; None, with a warning, if it is damaged or missing."""
        path = name_month_path(self.path, month)
        try:
            return await run_decoding(
                Month.decode, await self.lake.store.read(path), period, only_latest=only_latest, locations=locations
            )
        except (StorageError, ValueError) as error:
            logger.warning("%s: ignored, the files that it was compacted from are read instead: %s", path, error)
            return None

    async def describe_month(self, month: str) -> Month | None:
        """Returns `month` without its rows: from the record if that matches the stored month, else from its footer."""
        recorded = self.record.months.get(month)
        if recorded is not None and recorded.e_tag == self.tags[month] is not None:
            return Month(self.record.inputs_of(month), recorded.newest)
        path = name_month_path(self.path, month)
        try:
            return Month.of_footer(await self.lake.read_footer(path))
        except (StorageError, ValueError) as error:
            logger.warning("%s: ignored, the files that it was compacted from are read instead: %s", path, error)
            return None


def group_small(files: Iterable[File]) -> Iterator[list[File]]:
    """Groups `files`, in their order: adjacent files form one group of up to `GROUP_BYTES` bytes."""
    waiting: list[File] = []
    for file in files:
        if waiting and sum(waiting_file.size for waiting_file in (*waiting, file)) > GROUP_BYTES:
            yield waiting
            waiting = []
        waiting.append(file)
    if waiting:
        yield waiting


async def load_files(
    lake: Lake, files: Sequence[File], hashes: Mapping[str, str | None], *, verify: bool = True
) -> list[tuple[Metadata, pa.Table]]:
    """Returns the metadata and the observations of each of `files`.

    Rows further than `REACH` from the period of their file are left out with a warning, because no reader looks for
    them there.

    Raises `DamagedError` if a file is damaged, or its metadata states another period than its name; with `verify` also
    if its rows are not those it was stored with. Raises `StorageError` if a file does not have the hash in `hashes`, or
    cannot be read. Without `verify`, tables may lack their constant columns (`ConstantColumns`).
    """
    contents = await lake.read_observations([file.path for file in files], only_varying=not verify)
    return [
        (metadata, await _check_rows(file, metadata, table, hashes.get(file.path), verify=verify))
        for file, (metadata, table) in zip(files, contents, strict=True)
    ]


def refuse_late(month_path: str, paths: Iterable[str]) -> StorageError:
    """Returns the error of files at `paths` whose rows cannot join a month without the files that it was compacted
    from."""
    names = list_first(sorted(paths), LATE_NAMED)
    happened = (
        f"has values that were retrieved before others in {month_path}, whose files were removed: nothing shows which "
        "of them was the last"
    )
    return StorageError(names, happened, f"Move {names} out of the lake: later retrievals count there already")


async def _check_rows(
    file: File, metadata: Metadata, table: pa.Table, content_hash: str | None, *, verify: bool
) -> pa.Table:
    """Returns the rows of `table` near the period of `file`; raises as `load_files` does."""
    if error := find_mismatch(file, metadata):
        raise error
    if content_hash not in (None, metadata.content_hash):
        fix = "Restore that file, or rebuild what was made from it"
        raise StorageError(file.path, "is not the file that was pinned or compacted", fix)
    if metadata.rows != table.num_rows or (verify and metadata.content_hash != await _content_hash(table)):
        happened = "does not hold the rows it was stored with"
        raise DamagedError(file.path, happened, "Move it out of the lake and collect its period again")
    if file.period is not None:
        near_rows = select_starts(table, Period(file.period.start - REACH, file.period.end + REACH))
        if near_rows.num_rows < table.num_rows:
            far_count = table.num_rows - near_rows.num_rows
            logger.warning("%s: %d rows lie far from its period and are left out", file.path, far_count)
        table = near_rows
    return table


def may_hold(file: File, period: Period) -> bool:
    """Whether, by its name, `file` can contain values of `period`."""
    if file.period is None:
        return True
    return bool(file.period.start - REACH < period.end and file.period.end + REACH > period.start)


def select_starts(table: pa.Table, period: Period) -> pa.Table:
    """Returns the rows of `table` whose interval starts in `period`."""
    starts = to_microseconds(table["interval_start"])
    is_inside = (starts >= microseconds(period.start)) & (starts < microseconds(period.end))
    return table if is_inside.all() else table.filter(pa.array(is_inside))


def split_months(table: pa.Table) -> dict[str, pa.Table]:
    """Splits `table` by the month in which each interval starts, UTC."""
    months = to_microseconds(table["interval_start"]).astype("M8[us]").astype("M8[M]")
    distinct = np.unique(months)
    if len(distinct) == 1:
        return {str(distinct[0]): table}
    return {str(month): table.filter(pa.array(months == month)) for month in distinct}


def find_earliest_retrieval(table: pa.Table) -> int:
    """Returns the earliest retrieval in `table`, which is not empty, in µs since 1970."""
    return int(read_times(table, "retrieved_at").min())


def find_latest_retrieval(table: pa.Table) -> int:
    """Returns the latest retrieval in `table`, which is not empty, in µs since 1970."""
    return int(read_times(table, "retrieved_at").max())


async def read_ahead(
    ask: Callable[[Item], Awaitable[Result]], items: Iterable[Item], limit: int = READ_AHEAD
) -> AsyncIterator[tuple[Item, Result]]:
    """Yields each of `items` with its result of `ask`, in their order, while up to `limit` requests run at a time."""
    waiting = iter(items)
    requests: deque[tuple[Item, asyncio.Future[Result]]] = deque()
    try:
        while True:
            while len(requests) < limit and (upcoming := next(waiting, None)) is not None:
                requests.append((upcoming, asyncio.ensure_future(ask(upcoming))))
            if not requests:
                return
            upcoming, result = requests.popleft()
            yield upcoming, await result
    finally:
        for _, result in requests:
            result.cancel()


def _as_compacted(size: int, removed: RemovedFile) -> CompactedFile:
    """Returns the record of a removed file, for when the record is lost."""
    return CompactedFile(size, removed.metadata.content_hash, removed.metadata.stored_at, removed.months)


def _as_removed(path: str, compacted: CompactedFile) -> File:
    """Returns a compacted file that is missing although no list of removed files names it; its months replace it all
    the same."""
    name = parse_name(path.rpartition("/")[2])
    period, stamp, extension = (name.period, name.stamp, name.extension) if name else (None, compacted.stored_at, "")
    metadata = Metadata("", period, "", 0, compacted.content_hash, compacted.stored_at, "")
    removed = RemovedFile(metadata, compacted.months)
    return File(path, stamp, period, extension, compacted.size, removed=removed)


async def _read_record(lake: Lake, path: str) -> CompactionRecord:
    try:
        return CompactionRecord.decode(await lake.store.read(path))
    except ValueError as error:
        logger.warning("%s: is damaged and ignored; compact again: %s", path, error)
        return CompactionRecord()


async def _content_hash(table: pa.Table) -> str:
    return (await run_computing(identity_module.content_hash, table)).hexdigest()
