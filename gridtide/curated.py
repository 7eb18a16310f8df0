"""The lake's timestamped files, read back: of each key the latest retrieval."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gridtide import observations
from gridtide.config import Entry
from gridtide.errors import StorageError
from gridtide.periods import Period

if TYPE_CHECKING:
    from gridtide.lake import File, Lake

REACH = timedelta(days=8)
"""How far the intervals of a file lie beyond its period: a seven-day forecast is filed under the day of its issue."""

AHEAD = 8
"""How many files are being read while one is worked on."""


@dataclass(frozen=True, slots=True)
class Input:
    """One file that something is made from: rebuilding from the same inputs gives the same bytes."""

    entry: str
    path: str
    content_hash: str


async def inputs(lake: Lake, entries: Iterable[Entry], period: Period, as_of: datetime | None = None) -> list[Input]:
    """The files that may hold values of `period`, oldest first; with `as_of` only those stored by then."""
    found: list[tuple[File, Entry]] = []
    for entry in entries:
        files = await lake.files(entry.output_folder, entry.file_prefix)
        found += [(file, entry) for file in files if _may_hold(file, period)]
    found.sort(key=lambda pair: (pair[0].stamp, pair[0].path))
    limit = asyncio.Semaphore(AHEAD)

    async def pin(file: File, entry: Entry) -> Input | None:
        async with limit:
            metadata = await lake.metadata(file.path)
        if as_of is not None and metadata.stored_at > as_of:
            return None
        return Input(entry.name, file.path, metadata.content_hash)

    pinned = await asyncio.gather(*(pin(file, entry) for file, entry in found))
    return [one for one in pinned if one is not None]


async def verify(lake: Lake, pinned: Iterable[Input]) -> None:
    """Raises `StorageError` for a file of `pinned` that is gone, or no longer holds what it held."""
    for one in pinned:
        if (await lake.metadata(one.path)).content_hash != one.content_hash:
            raise StorageError(one.path, "is not the file that was pinned", "Prepare anew, without pinned inputs")


async def tables(lake: Lake, pinned: Sequence[Input]) -> AsyncIterator[tuple[Input, pa.Table]]:
    """The observations of each of `pinned`, in that order, a few being read ahead."""
    reading: deque[asyncio.Task[pa.Table]] = deque()
    waiting = iter(pinned)
    try:
        for one in pinned:
            while len(reading) < AHEAD and (following := next(waiting, None)) is not None:
                reading.append(asyncio.create_task(lake.table(following.path)))
            yield one, await reading.popleft()
    finally:
        for task in reading:
            task.cancel()


async def read(
    lake: Lake, entries: Iterable[Entry], start: datetime, end: datetime, as_of: datetime | None = None
) -> pa.Table:
    """All observations of `entries` whose interval starts in `[start, end)`, each key once.

    Sorted by source, location, variable, interval and publication. With `as_of`, what was stored then.
    """
    first, last = pa.scalar(start, observations.TIME), pa.scalar(end, observations.TIME)
    found = []
    async for _, table in tables(lake, await inputs(lake, entries, Period(start, end), as_of)):
        at = table["interval_start"]
        found.append(table.filter(pc.and_(pc.greater_equal(at, first), pc.less(at, last))))
    return latest(observations.concat(found))


def latest(table: pa.Table) -> pa.Table:
    """`table` with each key once, its latest retrieval (the later row of equal ones), sorted by key."""
    keys = pa.table({name: _sortable(table[name]) for name in (*observations.KEY, "retrieved_at")})
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names])
    keys = keys.take(order)
    last = np.ones(table.num_rows, bool)
    if table.num_rows:
        changed = [_changed(keys[name]) for name in observations.KEY]
        last[:-1] = np.any(changed, axis=0)
    return table.take(order).filter(pa.array(last))


def _may_hold(file: File, period: Period) -> bool:
    if file.period is None:
        return True
    return bool(file.period.start < period.end and file.period.end > period.start - REACH)


def _sortable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Labels as text, times as numbers with a missing one before all others."""
    if pa.types.is_dictionary(column.type):
        return column.cast(pa.string())
    return column.cast(pa.int64()).fill_null(np.iinfo(np.int64).min)


def _changed(column: pa.ChunkedArray) -> np.ndarray:
    """Whether each value differs from the one before it, (rows − 1,)."""
    codes = observations.to_numpy(column.dictionary_encode().combine_chunks().indices, "i4")
    different: np.ndarray = codes[1:] != codes[:-1]
    return different
