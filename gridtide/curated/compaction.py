"""Timestamped files → months, each with every vintage.

    files not in the record ─► rows by month ─► month + rows, what changed ─► put ─► record

A month is put whole with the list of files in its footer, the record when all months of a batch are
put. Whatever is killed between them, or runs beside it, the footers say what is where: what a month
lacks is read from the files, and added by the next compaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa

from gridtide.curated.dataset import (
    REACH,
    Dataset,
    earliest_retrieval,
    latest_retrieval,
    load_files,
    read_ahead,
    split_months,
    starting_in,
)
from gridtide.curated.months import (
    MONTH_ROW_GROUP,
    RECORD_NAME,
    CompactedFile,
    CompactedMonth,
    CompactionRecord,
    Month,
    month_path,
    month_period,
)
from gridtide.curated.vintages import as_stored
from gridtide.entries.entry import Entry
from gridtide.errors import DamagedError, StorageError
from gridtide.lake import File, Lake, Metadata
from gridtide.periods import Period
from gridtide.threads import run_computing

BATCH_ROWS = 1 << 20
"""Rows that are read before the months that no later file touches are written: memory is that of a month."""


LAST = datetime.max.replace(tzinfo=UTC)


@dataclass
class Compaction:
    """What a compaction of one entry did: `files` that went in with their `rows`, `months` written, in
    `bytes`, the `problems` of files that were left out, and how many files were `removed` since."""

    entry: str
    files: int = 0
    rows: int = 0
    months: list[str] = field(default_factory=list)
    bytes: int = 0
    problems: list[str] = field(default_factory=list)
    removed: int = 0

    def __add__(self, later: Compaction) -> Compaction:
        """What both did together."""
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
    """Bring the months of `entry` up to its files, in row groups of `row_group_rows`; writes nothing where they are.

    A file that is damaged is left out and told in `problems`. Raises `StorageError` where the lake
    cannot be read or written, or a month must be made anew from a file that is gone.
    """
    dataset = await Dataset.of_entry(lake, entry)
    work = Work(dataset, Compaction(entry.name), row_group_rows=row_group_rows)
    stale = await work.find_stale()
    await work.add_files(work.dataset.new_files())
    await work.write_months(stale)
    return work.compaction


class Work:
    """One compaction under way: `rows` of files that are read and not yet written, by month and path.

    With `within` only of these months, and what is written is not noted in the lake, only in `record`.
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
        """Read `files` and write the months they touch, by batches.

        Those with a period come by its start, so that a month is made once, of all that touch it.
        """
        ordered = sorted(files, key=lambda file: file.period.start if file.period else LAST)
        following = iter(ordered[1:])
        async for file, loaded in read_ahead(self._load_file, ordered):
            if loaded is not None:
                self._add_rows(file, *loaded)
            after = next(following, None)
            if self.waiting >= BATCH_ROWS:
                await self.write_months([month for month in self.rows if after is None or not _may_touch(after, month)])
        await self.write_months(self.rows)

    async def write_months(self, months: Collection[str]) -> None:
        """Put `months`, of what is read and what the record has in them; then the record if it says anything new."""
        for month in sorted(months):
            rows = self.rows.pop(month, {})
            await self._merge_month(month, rows)
            self.waiting -= sum(table.num_rows for table in rows.values())
        waiting = {path for rows in self.rows.values() for path in rows}
        self.record.files |= {path: compacted for path, compacted in self.unrecorded.items() if path not in waiting}
        self.unrecorded = {path: compacted for path, compacted in self.unrecorded.items() if path in waiting}
        if self.within is None and self.record != self.dataset.record:
            await self.lake.store.put(f"{self.dataset.path}/{RECORD_NAME}", self.record.encode(), replace=True)

    async def find_stale(self) -> set[str]:
        """The months without a file that the record has in them, from which another compaction took it away, or
        with one that was superseded."""
        recorded = {month for compacted in self.record.files.values() for month in compacted.months}
        stale = recorded - self.dataset.tags.keys()
        async for month, described in read_ahead(self.dataset.describe_month, self.dataset.tags):
            if (
                described is None
                or self.record.inputs(month).items() - described.inputs.items()
                or not self.dataset.superseded.keys().isdisjoint(described.inputs)
            ):
                stale.add(month)
            else:
                self.record.months[month] = CompactedMonth(self.dataset.tags[month], described.newest)
        return stale

    async def _load_file(self, file: File) -> tuple[Metadata, pa.Table] | None:
        try:
            return (await load_files(self.lake, [file], {}, verify=True))[0]
        except DamagedError as error:
            self.compaction.problems.append(str(error))
            return None

    def _add_rows(self, file: File, metadata: Metadata, table: pa.Table) -> None:
        if self.within is not None:
            table = starting_in(table, self.within)
        months = split_months(as_stored(table, metadata.stored_at, file.path))
        for month, rows in months.items():
            self.rows[month][file.path] = rows
        self.waiting += table.num_rows
        self.unrecorded[file.path] = CompactedFile(file.size, metadata.content_hash, metadata.stored_at, tuple(months))
        self.compaction.files += 1
        self.compaction.rows += table.num_rows

    async def _merge_month(self, month: str, rows: Mapping[str, pa.Table]) -> None:
        """Put `month` with all that the record has in it and `rows`, by path, unless it is so already."""
        path = month_path(self.dataset.path, month)
        stored = (
            await self.dataset.read_month(month, month_period(month)) if await self.lake.store.exists(path) else None
        )
        base = stored if stored and self.dataset.superseded.keys().isdisjoint(stored.inputs) else Month()
        expected = self.record.inputs(month) | {name: self.unrecorded[name].content_hash for name in rows}
        late = dict(expected.items() - base.inputs.items())
        if stored and not expected:  # all that it held was superseded
            await self.lake.store.remove([path])
        if not late:
            return
        tables = [rows[name] if name in rows else await self._reload_rows(month, name, expected[name]) for name in late]
        if min(map(earliest_retrieval, tables)) > base.newest:
            tables.append(base.table)
        else:  # they may divide what was one vintage
            tables += [
                await self._reload_rows(month, *earlier) for earlier in base.inputs.items() if earlier[0] not in late
            ]
        merged = Month(
            {**base.inputs, **late},
            max(base.newest, *map(latest_retrieval, tables[: len(late)])),
            pa.concat_tables(tables),
        )
        body = await run_computing(merged.encode, row_group_rows=self.row_group_rows)
        self.record.months[month] = CompactedMonth(await self.lake.store.put(path, body, replace=True), merged.newest)
        self.compaction.months.append(month)
        self.compaction.bytes += len(body)

    async def _reload_rows(self, month: str, path: str, content_hash: str) -> pa.Table:
        """The rows of `month` in a file that was compacted before."""
        file = self.dataset.files.get(path)
        if file is None or file.removed:
            happened = f"is gone, and {month_path(self.dataset.path, month)} must be made anew from it"
            raise StorageError(path, happened, f"Put it back, or go on without it: remove {self.dataset.path}")
        [(metadata, table)] = await load_files(self.lake, [file], {path: content_hash}, verify=True)
        return split_months(as_stored(table, metadata.stored_at, path))[month]


def _may_touch(file: File, month: str) -> bool:
    """Whether `file`, or one that comes after it by the start of its period, may hold values of `month`.

    Where files say no period, any may: such months are written all the same, and again.
    """
    return file.period is not None and file.period.start - REACH < month_period(month).end
