"""The last row of each series of an entry, and the series reported as silent. Both are stored in the lake:
`processed/<output_folder>/<file_prefix>/series.json`.

So a check need not read all files. If the memory is absent or damaged, all files are read again.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from gridtide.clock import is_future
from gridtide.coverage.freshness.last_rows import LastRows, merge_last_rows, read_last_rows
from gridtide.entries.entry import TABULAR, Entry
from gridtide.errors import StorageError
from gridtide.lake import EXTENSIONS, File, Lake, Metadata
from gridtide.lake.names import PROCESSED
from gridtide.threads import run_computing

if TYPE_CHECKING:
    import pyarrow as pa

    from gridtide.observations.series_days import SeriesLabel

logger = logging.getLogger("gridtide.freshness")

MEMORY_NAME = "series.json"

FILES_AT_ONCE = 64
"""The number of files that are read at a time."""

OVERLAP = timedelta(days=1)
"""Files up to this much older than the newest file are read again: runs overlap, so an older stamp may be stored
later."""


@dataclass(frozen=True, slots=True)
class SeriesMemory:
    """The `last_rows` of each series in the files with stamps up to `stamp` (None: no files yet), and the series that
    were `reported` as silent, each with the last row that had a value, None if there is no such row."""

    last_rows: Mapping[SeriesLabel, LastRows] = field(default_factory=dict)
    stamp: datetime | None = None
    reported: Mapping[SeriesLabel, datetime | None] = field(default_factory=dict)


class _SeriesRecord(msgspec.Struct, array_like=True):
    location: str
    variable: str
    row: datetime
    value: datetime | None
    nonzero: datetime | None
    fingerprint: str
    scope: int = -1
    """The number of the scope in `scopes`; negative if an older version wrote the memory, which did not hold any."""


class _Record(msgspec.Struct):
    stamp: datetime | None
    series: list[_SeriesRecord]
    reported: list[tuple[str, str, datetime | None]]
    aliases: str = "[]"
    """Those of the entry, by which series were named."""
    scopes: list[str] = []
    """What was requested, as `entries.scope` writes it; empty if it is not known."""


async def load_memory(lake: Lake, entry: Entry) -> SeriesMemory:
    """Returns the memory stored of `entry`; an empty one if there is none, or, with a warning, if it is damaged."""
    path = _memory_path(entry)
    if not await lake.store.exists(path):
        return SeriesMemory()
    try:
        record = msgspec.json.decode(await lake.store.read(path), type=_Record)
    except msgspec.DecodeError as error:
        logger.warning("%s: is damaged and is built again: %s", path, error)
        return SeriesMemory()
    reported = {(location, variable): since for location, variable, since in record.reported}
    is_older = any(not 0 <= item.scope < len(record.scopes) for item in record.series)
    if is_older or record.aliases != _write_aliases(entry):  # or series have other names now
        return SeriesMemory(reported=reported)
    last_rows = {
        (item.location, item.variable): LastRows(
            item.row, item.value, item.nonzero, item.fingerprint, record.scopes[item.scope]
        )
        for item in record.series
    }
    return SeriesMemory(last_rows, record.stamp, reported)


async def save_memory(lake: Lake, entry: Entry, memory: SeriesMemory) -> None:
    """Replaces the stored memory of `entry`."""
    scopes = sorted({rows.scope for rows in memory.last_rows.values()})
    numbers = {scope: number for number, scope in enumerate(scopes)}
    series = [
        _SeriesRecord(*label, rows.row, rows.value, rows.nonzero, rows.fingerprint, numbers[rows.scope])
        for label, rows in sorted(memory.last_rows.items())
    ]
    reported = [(*label, since) for label, since in sorted(memory.reported.items())]
    body = msgspec.json.encode(_Record(memory.stamp, series, reported, _write_aliases(entry), scopes))
    await lake.store.put(_memory_path(entry), body, replace=True)


async def update_memory(lake: Lake, entry: Entry, memory: SeriesMemory, now: datetime) -> SeriesMemory:
    """Returns `memory` with the rows of files stored since then, up to `now`. Files that cannot be read are left out.

    A memory with a future stamp, from a clock that was ahead, is built again. Raises `StorageError` if the lake cannot
    be listed.
    """
    last_rows, stamp = memory.last_rows, memory.stamp
    if stamp and is_future(stamp, now):
        last_rows, stamp = {}, None
    extensions = {EXTENSIONS[name] for name in TABULAR}
    files = [
        file for file in await lake.list_files(entry.output_folder, entry.file_prefix) if file.extension in extensions
    ]
    if stamp is None:
        last_rows = await _read_months(lake, entry, [file for file in files if file.removed])
    present = [file for file in files if not file.removed and (stamp is None or file.stamp > stamp - OVERLAP)]
    async for rows in _read_files(lake, entry, present):
        last_rows = merge_last_rows(last_rows, rows)
    stamps = [file.stamp for file in files if not is_future(file.stamp, now)]
    return replace(memory, last_rows=last_rows, stamp=max(stamps, default=stamp))


async def _read_months(lake: Lake, entry: Entry, files: Sequence[File]) -> Mapping[SeriesLabel, LastRows]:
    """Returns the last rows of each series in the months that hold the rows of `files`, by stamp, which were removed
    after they were compacted."""
    from gridtide import curated
    from gridtide.curated.months import find_month_period
    from gridtide.observations.series_days import decode_series

    contents = [file.removed for file in files if file.removed]
    last_rows: Mapping[SeriesLabel, LastRows] = {}
    for month in sorted({month for content in contents for month in content.months}):
        period = find_month_period(month)
        table = await curated.read(lake, [entry], period.start, period.end)
        last_rows = merge_last_rows(last_rows, await run_computing(read_last_rows, table))
    answers = {label: content.metadata for content in contents for label in decode_series(content.metadata.series)}
    return {
        label: replace(rows, fingerprint=answers[label].fingerprint, scope=answers[label].scope)
        if label in answers
        else rows
        for label, rows in last_rows.items()
    }


async def _read_files(lake: Lake, entry: Entry, files: list[File]) -> AsyncIterator[dict[SeriesLabel, LastRows]]:
    """Yields the last rows of each series in each of `files`; series have the names that the entry's aliases give."""
    from gridtide.curated.renaming import rename_series

    for first in range(0, len(files), FILES_AT_ONCE):
        paths = [file.path for file in files[first : first + FILES_AT_ONCE]]
        try:
            contents = await lake.read_observations(paths)
        except StorageError:  # one file is damaged: read each of them alone to find it
            contents = [content for path in paths for content in await _read_alone(lake, path)]
        for metadata, table in contents:
            renamed = rename_series(table, entry.aliases)
            yield await run_computing(read_last_rows, renamed, metadata.fingerprint, metadata.scope)


async def _read_alone(lake: Lake, path: str) -> list[tuple[Metadata, pa.Table]]:
    try:
        return await lake.read_observations([path])
    except StorageError as error:
        logger.debug("%s is left out: %s", path, error)  # coverage reports damaged files
        return []


def _write_aliases(entry: Entry) -> str:
    return msgspec.json.encode(entry.aliases).decode()


def _memory_path(entry: Entry) -> str:
    return f"{PROCESSED}/{entry.output_folder}/{entry.file_prefix}/{MEMORY_NAME}"
