"""The files of one entry and what of them is compacted, as the lake has them now."""

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
    dataset_folder,
    is_month,
    month_path,
)
from gridtide.entries.entry import TABULAR, Entry
from gridtide.errors import DamagedError, StorageError
from gridtide.lake import EXTENSIONS, File, Lake, Metadata
from gridtide.lake.names import RemovedFile, parse_name
from gridtide.lake.soundness import find_mismatch
from gridtide.observations import identity as identity_module
from gridtide.observations.times import read_times, to_microseconds
from gridtide.periods import Period, microseconds
from gridtide.threads import run_computing, run_decoding

logger = logging.getLogger("gridtide.curated")

REACH = timedelta(days=8)
"""How far intervals may lie beyond the period of their file: a seven-day forecast is filed under its day of issue."""

READ_AHEAD = 4
"""How many files, small ones `GROUP_BYTES`, are being read while one is worked on."""

GROUP_BYTES = 1 << 20
"""Bytes of small files that are read at once, some 16 of 9,000 rows: more gain nothing and take memory."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Dataset:
    """All files of an entry. `record` says what compacted ones hold, `tags` are those of the months that are there."""

    lake: Lake
    path: str
    files: Mapping[str, File]
    record: CompactionRecord
    tags: Mapping[str, str | None]

    @classmethod
    async def of_entry(cls, lake: Lake, entry: Entry) -> Dataset:
        """The files of `entry`, as `open` finds them."""
        return await cls.open(lake, entry.output_folder, entry.file_prefix)

    @classmethod
    async def open(cls, lake: Lake, output_folder: str, file_prefix: str) -> Dataset:
        """The files that `file_prefix` names in `output_folder`; asks the lake for two lists and one small file."""
        path = dataset_folder(output_folder, file_prefix)
        listing = lake.files(output_folder, file_prefix, superseded=True)
        listed, objects = await asyncio.gather(listing, lake.store.objects(path))
        tabular = {EXTENSIONS[name] for name in TABULAR}
        tags_by_path = {stored.path: stored.e_tag for stored in objects}
        months = {name.rpartition("/")[2].removesuffix(".parquet"): e_tag for name, e_tag in tags_by_path.items()}
        named = {month: e_tag for month, e_tag in months.items() if month_path(path, month) in tags_by_path}
        tags = {month: e_tag for month, e_tag in named.items() if is_month(month)}
        for name in sorted(named.keys() - tags.keys()):
            logger.warning("%s: passed over, no name of a month", month_path(path, name))
        record_path = f"{path}/{RECORD_NAME}"
        record = await _read_record(lake, record_path) if record_path in tags_by_path else CompactionRecord()
        files = {file.path: file for file in listed if file.extension in tabular}
        removed = {name: _as_compacted(file.size, file.removed) for name, file in files.items() if file.removed}
        record = CompactionRecord({**removed, **record.files}, record.months)
        missing = {name: _as_removed(name, compacted) for name, compacted in record.files.items() if name not in files}
        return cls(lake, path, files | missing, record, tags)

    def new_files(self) -> list[File]:
        """The files that are not compacted and still count."""
        return [
            file for file in self.files.values() if file.path not in self.record.files and file.superseded_at is None
        ]

    @cached_property
    def superseded(self) -> dict[str, datetime]:
        """From when on files count no more, by path."""
        return {file.path: file.superseded_at for file in self.files.values() if file.superseded_at}

    def still_counts(self, path: str, as_of: datetime | None) -> bool:
        """Whether the file at `path` still counts, or did so at `as_of`."""
        moment = self.superseded.get(path)
        return moment is None or (as_of is not None and as_of < moment)

    def valid_record(self) -> CompactionRecord:
        """What the record says, without the files that were superseded since and the months that hold them."""
        superseded = {path: compacted for path, compacted in self.record.files.items() if path in self.superseded}
        stale = {month for compacted in superseded.values() for month in compacted.months}
        return CompactionRecord(
            {path: compacted for path, compacted in self.record.files.items() if path not in superseded},
            {month: recorded for month, recorded in self.record.months.items() if month not in stale},
        )

    def content_hash(self, file: File) -> str | None:
        """That of `file` if it is compacted; one that changed since then is named in a warning."""
        compacted = self.record.files.get(file.path)
        if compacted is None:
            return None
        if compacted.size != file.size:
            logger.warning("%s: is not the file that was compacted; what was compacted counts", file.path)
        return compacted.content_hash

    async def read_month(
        self, month: str, period: Period, *, only_latest: bool = False, locations: Collection[str] | None = None
    ) -> Month | None:
        """`month` as `Month.decode` reads it; None, with a warning, where it is damaged or gone."""
        path = month_path(self.path, month)
        try:
            return await run_decoding(
                Month.decode, await self.lake.store.read(path), period, only_latest=only_latest, locations=locations
            )
        except (StorageError, ValueError) as error:
            logger.warning("%s: passed over, the files it was compacted from are read instead: %s", path, error)
            return None

    async def describe_month(self, month: str) -> Month | None:
        """`month` without its rows: as the record has it if that is of what is there, else from its footer."""
        recorded = self.record.months.get(month)
        if recorded is not None and recorded.e_tag == self.tags[month] is not None:
            return Month(self.record.inputs(month), recorded.newest)
        path = month_path(self.path, month)
        try:
            return Month.of_footer(await self.lake.footer(path))
        except (StorageError, ValueError) as error:
            logger.warning("%s: passed over, the files it was compacted from are read instead: %s", path, error)
            return None


def group_small(files: Iterable[File]) -> Iterator[list[File]]:
    """`files` in that order, those that follow each other as one while that is within `GROUP_BYTES` bytes."""
    waiting: list[File] = []
    for file in files:
        if waiting and sum(small.size for small in (*waiting, file)) > GROUP_BYTES:
            yield waiting
            waiting = []
        waiting.append(file)
    if waiting:
        yield waiting


async def load_files(
    lake: Lake, files: Sequence[File], hashes: Mapping[str, str | None], *, verify: bool = True
) -> list[tuple[Metadata, pa.Table]]:
    """What each of `files` says of itself, and its observations.

    Rows further from its period than `REACH` are left out with a warning: no reader looks for them there.

    Raises `DamagedError` where one is damaged or says to hold another period than its name, with `verify` also where
    its rows are not those it was stored with; `StorageError` where it is not what `hashes` says of its path, or cannot
    be read. Without `verify`, tables may lack their constant columns (`ConstantColumns`).
    """
    loaded = await lake.observations([file.path for file in files], only_varying=not verify)
    return [
        (metadata, await _check_rows(file, metadata, table, hashes.get(file.path), verify=verify))
        for file, (metadata, table) in zip(files, loaded, strict=True)
    ]


async def _check_rows(
    file: File, metadata: Metadata, table: pa.Table, content_hash: str | None, *, verify: bool
) -> pa.Table:
    """The rows of `table` near the period of `file`; raises as `load_files` does."""
    if error := find_mismatch(file, metadata):
        raise error
    if content_hash not in (None, metadata.content_hash):
        fix = "Put that file back, or make anew what was made from it"
        raise StorageError(file.path, "is not the file that was pinned or compacted", fix)
    if metadata.rows != table.num_rows or (verify and metadata.content_hash != await _content_hash(table)):
        happened = "does not hold the rows it was stored with"
        raise DamagedError(file.path, happened, "Move it out of the lake and collect its period again")
    if file.period is not None:
        near = starting_in(table, Period(file.period.start - REACH, file.period.end + REACH))
        if near.num_rows < table.num_rows:
            far = table.num_rows - near.num_rows
            logger.warning("%s: %d rows lie far from its period and are left out", file.path, far)
        table = near
    return table


def may_hold(file: File, period: Period) -> bool:
    """Whether by its name `file` can hold values of `period`."""
    if file.period is None:
        return True
    return bool(file.period.start - REACH < period.end and file.period.end + REACH > period.start)


def starting_in(table: pa.Table, period: Period) -> pa.Table:
    """The rows of `table` whose interval starts in `period`."""
    starts = to_microseconds(table["interval_start"])
    inside = (starts >= microseconds(period.start)) & (starts < microseconds(period.end))
    return table if inside.all() else table.filter(pa.array(inside))


def split_months(table: pa.Table) -> dict[str, pa.Table]:
    """`table` by the month in which each interval starts, UTC."""
    months = to_microseconds(table["interval_start"]).astype("M8[us]").astype("M8[M]")
    distinct = np.unique(months)
    if len(distinct) == 1:
        return {str(distinct[0]): table}
    return {str(month): table.filter(pa.array(months == month)) for month in distinct}


def earliest_retrieval(table: pa.Table) -> int:
    """The earliest retrieval in `table`, which is not empty, in µs since 1970."""
    return int(read_times(table, "retrieved_at").min())


def latest_retrieval(table: pa.Table) -> int:
    """The latest retrieval in `table`, which is not empty, in µs since 1970."""
    return int(read_times(table, "retrieved_at").max())


async def read_ahead(
    ask: Callable[[Item], Awaitable[Result]], items: Iterable[Item], limit: int = READ_AHEAD
) -> AsyncIterator[tuple[Item, Result]]:
    """Each of `items` with what `ask` says of it, in that order, `limit` being asked at a time."""
    waiting = iter(items)
    requests: deque[tuple[Item, asyncio.Future[Result]]] = deque()
    try:
        while True:
            while len(requests) < limit and (item := next(waiting, None)) is not None:
                requests.append((item, asyncio.ensure_future(ask(item))))
            if not requests:
                return
            item, answer = requests.popleft()
            yield item, await answer
    finally:
        for _, answer in requests:
            answer.cancel()


def _as_compacted(size: int, removed: RemovedFile) -> CompactedFile:
    """What the record says of a file that was removed, wherever the record was lost."""
    return CompactedFile(size, removed.metadata.content_hash, removed.metadata.stored_at, removed.months)


def _as_removed(path: str, compacted: CompactedFile) -> File:
    """A compacted file that is gone although nothing says it was removed: months stand for it all the same."""
    name = parse_name(path.rpartition("/")[2])
    period, stamp, extension = (name.period, name.stamp, name.extension) if name else (None, compacted.stored_at, "")
    metadata = Metadata("", period, "", 0, compacted.content_hash, compacted.stored_at, "")
    removed = RemovedFile(metadata, compacted.months)
    return File(path, stamp, period, extension, compacted.size, removed=removed)


async def _read_record(lake: Lake, path: str) -> CompactionRecord:
    try:
        return CompactionRecord.decode(await lake.store.read(path))
    except ValueError as error:
        logger.warning("%s: is damaged and passed over; compact again: %s", path, error)
        return CompactionRecord()


async def _content_hash(table: pa.Table) -> str:
    return (await run_computing(identity_module.content_hash, table)).hexdigest()
