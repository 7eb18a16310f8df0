"""Compacts timestamped files into months, each with every vintage.

    files not in the record ─► rows by month ─► month + rows, changes only ─► stored ─► record

A month is stored as a whole with the list of its files in its footer; the record is stored after all months of a batch.
If a compaction is killed in between, or another runs beside it, the footers are authoritative: rows that a month lacks
are read from their files, and added by the next compaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa

from gridtide.curated.dataset import (
    REACH,
    RESTORE,
    Dataset,
    find_earliest_retrieval,
    find_latest_retrieval,
    load_files,
    read_ahead,
    refuse_late,
    select_starts,
    split_months,
)
from gridtide.curated.months import (
    MONTH_ROW_GROUP,
    RECORD_NAME,
    CompactedFile,
    CompactedMonth,
    CompactionRecord,
    Month,
    find_month_period,
    name_month_path,
)
from gridtide.curated.vintages import as_stored, may_join
from gridtide.entries.entry import Entry
from gridtide.errors import DamagedError, StorageError
from gridtide.lake import File, Lake, Metadata
from gridtide.periods import Period
from gridtide.threads import run_computing

BATCH_ROWS = 1 << 20
"""The number of rows that are read before finished months (those that no later file touches) are written, so that
memory use stays that of a month."""


LAST = datetime.max.replace(tzinfo=UTC)


@dataclass
class Compaction:
    """The result of compacting one entry: the number of `files` added and their `rows`, the `months` written and their
    `bytes`, the `problems` of files that were left out, and the number of files `removed` afterwards."""

    entry: str
    files: int = 0
    rows: int = 0
    months: list[str] = field(default_factory=list)
    bytes: int = 0
    problems: list[str] = field(default_factory=list)
    removed: int = 0

    def __add__(self, later: Compaction) -> Compaction:
        """Returns the combined result."""
        return Compaction(
            self.entry,
            self.files + later.files,
            self.rows + later.rows,
            self.months + later.months,
            self.bytes + later.bytes,
            self.problems + later.problems,
            self.removed + later.removed,
        )


async def compact(lake: Lake, entry: Entry, *, row_group_rows: int = MONTH_ROW_GROUP) -> Compaction:
    """Brings the months of `entry` up to date with its files, in row groups of `row_group_rows`; writes nothing if they
    are.

    A damaged file is left out and listed in `problems`. Raises `StorageError` if the lake cannot be read or written, or
    if a month must be rebuilt from a missing file.
    """
    dataset = await Dataset.of_entry(lake, entry)
    work = Work(dataset, Compaction(entry.name), row_group_rows=row_group_rows)
    stale = await work.find_stale()
    await work.add_files(work.dataset.new_files())
    await work.write_months(stale)
    return work.compaction


class Work:
    """A compaction in progress: `rows` are read and not yet written, by month and path.

    With `within` it covers only these months, and updates only `record`, not the record in the lake.
    """

    def __init__(
        self,
        dataset: Dataset,
        compaction: Compaction,
        within: Period | None = None,
        *,
        row_group_rows: int = MONTH_ROW_GROUP,
    ) -> None:
        self.dataset, self.lake, self.compaction, self.within = dataset, dataset.lake, compaction, within
        self.row_group_rows = row_group_rows
        self.record = CompactionRecord(dataset.valid_record().files, {})
        self.unrecorded: dict[str, CompactedFile] = {}
        self.rows: dict[str, dict[str, pa.Table]] = defaultdict(dict)
        self.waiting = 0

    async def add_files(self, files: Iterable[File]) -> None:
        """Reads `files` and writes the months that they touch, in batches.

        Files with a period are read by its start, so that each month is written once, from all files that touch it.
        """
        ordered = sorted(files, key=lambda file: file.period.start if file.period else LAST)
        # Whether a month is complete depends on the file after this one: it may begin in the same month.
        next_files = iter(ordered[1:])
        async for file, content in read_ahead(self._load_file, ordered):
            if content is not None:
                self._add_rows(file, *content)
            next_file = next(next_files, None)
            if self.waiting >= BATCH_ROWS:
                await self.write_months(
                    [month for month in self.rows if next_file is None or not _may_touch(next_file, month)]
                )
        await self.write_months(self.rows)

    async def write_months(self, months: Collection[str]) -> None:
        """Stores `months` from the rows read and the files of the record, then the record if it has changed."""
        for month in sorted(months):
            rows = self.rows.pop(month, {})
            await self._merge_month(month, rows)
            self.waiting -= sum(table.num_rows for table in rows.values())
        # A file enters the record only when all of its months are stored, so that a killed compaction reads it again.
        waiting_paths = {path for rows in self.rows.values() for path in rows}
        self.record.files |= {
            path: compacted for path, compacted in self.unrecorded.items() if path not in waiting_paths
        }
        self.unrecorded = {path: compacted for path, compacted in self.unrecorded.items() if path in waiting_paths}
        if self.within is None and self.record != self.dataset.record:
            await self.lake.store.put(f"{self.dataset.path}/{RECORD_NAME}", self.record.encode(), replace=True)

    async def find_stale(self) -> set[str]:
        """Returns the months that lack a file of the record, because another compaction replaced them, or that contain
        a superseded file."""
        recorded = {month for compacted in self.record.files.values() for month in compacted.months}
        stale = recorded - self.dataset.tags.keys()
        async for month, description in read_ahead(self.dataset.describe_month, self.dataset.tags):
            if (
                description is None
                or self.record.inputs_of(month).items() - description.inputs.items()
                or not self.dataset.superseded.keys().isdisjoint(description.inputs)
            ):
                stale.add(month)
            else:
                self.record.months[month] = CompactedMonth(self.dataset.tags[month], description.newest)
        return stale

    async def _load_file(self, file: File) -> tuple[Metadata, pa.Table] | None:
        try:
            return (await load_files(self.lake, [file], {}, verify=True))[0]
        except DamagedError as error:
            self.compaction.problems.append(str(error))
            return None

    def _add_rows(self, file: File, metadata: Metadata, table: pa.Table) -> None:
        if self.within is not None:
            table = select_starts(table, self.within)
        months = split_months(as_stored(table, metadata.stored_at, file.path))
        for month, rows in months.items():
            self.rows[month][file.path] = rows
        self.waiting += table.num_rows
        self.unrecorded[file.path] = CompactedFile(file.size, metadata.content_hash, metadata.stored_at, tuple(months))
        self.compaction.files += 1
        self.compaction.rows += table.num_rows

    async def _merge_month(self, month: str, rows: Mapping[str, pa.Table]) -> None:
        """Stores `month` with its files in the record and `rows`, by path, unless it is up to date."""
        path = name_month_path(self.dataset.path, month)
        present_month = (
            await self.dataset.read_month(month, find_month_period(month))
            if await self.lake.store.exists(path)
            else None
        )
        earlier_month = (
            present_month
            if present_month and self.dataset.superseded.keys().isdisjoint(present_month.inputs)
            else Month()
        )
        expected = self.record.inputs_of(month) | {name: self.unrecorded[name].content_hash for name in rows}
        late_inputs = dict(expected.items() - earlier_month.inputs.items())
        if present_month and not expected:  # all of its files are superseded
            await self.lake.store.remove([path])
        if not late_inputs:
            return
        tables = [
            rows[name] if name in rows else await self._reload_rows(month, name, expected[name]) for name in late_inputs
        ]
        # Mostly the new rows are later than all rows of the month. They are then merged with it as it is, and none of
        # the files that it was compacted from is read again.
        if min(map(find_earliest_retrieval, tables)) > earlier_month.newest:
            tables.append(earlier_month.table)
        elif self.dataset.lacks_any(earlier_month.inputs.keys() - late_inputs.keys()):
            if not may_join(earlier_month.table, pa.concat_tables(tables)):
                raise refuse_late(path, late_inputs)
            tables.append(earlier_month.table)
        else:  # older rows may split a vintage, so all files are read again
            tables += [
                await self._reload_rows(month, *earlier_input)
                for earlier_input in earlier_month.inputs.items()
                if earlier_input[0] not in late_inputs
            ]
        merged = Month(
            {**earlier_month.inputs, **late_inputs},
            max(earlier_month.newest, *map(find_latest_retrieval, tables[: len(late_inputs)])),
            pa.concat_tables(tables),
        )
        body = await run_computing(merged.encode, row_group_rows=self.row_group_rows)
        self.record.months[month] = CompactedMonth(await self.lake.store.put(path, body, replace=True), merged.newest)
        self.compaction.months.append(month)
        self.compaction.bytes += len(body)

    async def _reload_rows(self, month: str, path: str, content_hash: str) -> pa.Table:
        """Returns the rows of `month` in a file that was compacted before."""
        file = self.dataset.files.get(path)
        if file is None or file.removed:
            happened = f"is missing, and {name_month_path(self.dataset.path, month)} must be rebuilt from it"
            raise StorageError(path, happened, f"If it was not moved by hand, {RESTORE}")
        [(metadata, table)] = await load_files(self.lake, [file], {path: content_hash}, verify=True)
        return split_months(as_stored(table, metadata.stored_at, path))[month]


def _may_touch(file: File, month: str) -> bool:
    """Whether `file`, or one with a later start, may contain values of `month`.

    A file without a period may touch any month: such months are written, and written again if it does.
    """
    return file.period is not None and file.period.start - REACH < find_month_period(month).end
