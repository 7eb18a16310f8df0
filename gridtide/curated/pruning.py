"""Removes files that are compacted; their months replace them from then on.

    months are read and verified ─► removed_<moment>.json is stored ─► files are removed

If this is killed between two steps, the lake reads the same: a file that is listed as removed but still exists counts,
and the next run removes it.

A month replaces its files only if no file comes in with an earlier retrieval than the month's latest. A replay reads
the bodies under `raw/`, which are kept 30 days by default; so files are removed 30 days after the last file of their
months was stored. A month that was written within the last day may be in use by another compaction, and its files are
kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from gridtide.curated.dataset import Dataset
from gridtide.curated.months import Month, find_month_period, name_month_path
from gridtide.entries.entry import Entry
from gridtide.errors import StorageError
from gridtide.lake import File, Lake
from gridtide.lake.names import SIDECAR, RemovedFile
from gridtide.lake.removed import encode_removed, removed_name
from gridtide.lake.soundness import read_metadata
from gridtide.threads import run_decoding

STORED_FOR = timedelta(days=30)
"""The files of a month are removed only this long after the last of them was stored."""

WRITTEN_FOR = timedelta(days=1)
"""The files of a month are removed only this long after the month was written."""


@dataclass
class Pruning:
    """The result of pruning one entry: the number of `files` removed, their `bytes`, and the `problems` that prevented
    removals."""

    entry: str
    files: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)


async def prune(lake: Lake, entry: Entry, now: datetime | None = None) -> Pruning:
    """Removes the files of `entry` that months contain completely at `now`, after reading and verifying the months.

    A file stays if it has no rows and so is in no month, if one of its months is damaged, too recent or lacks it, or if
    the file changed after it was compacted. Raises `StorageError`.
    """
    now = now or datetime.now(UTC)
    dataset = await Dataset.of_entry(lake, entry)
    pruning = Pruning(entry.name)
    months = await _ready_months(dataset, now, pruning)
    files = [file for file in dataset.files.values() if _may_remove(dataset, file, months)]
    contents = await read_metadata(lake, files, indexed=False)
    removed: dict[str, tuple[int, RemovedFile]] = {}
    for file, metadata in zip(files, contents, strict=True):
        compacted = dataset.record.files[file.path]
        if isinstance(metadata, StorageError):
            pruning.problems.append(str(metadata))
        elif metadata.content_hash == compacted.content_hash:
            removed[file.path] = (file.size, RemovedFile(metadata, compacted.months))
        else:
            pruning.problems.append(f"{file.path} is left: it is not the file that was compacted")
    if removed:
        await lake.store.put(f"{dataset.path}/{removed_name(datetime.now(UTC))}", encode_removed(removed))
        await lake.store.remove(list(removed))
        await lake.store.remove([path + SIDECAR for path in removed if not path.endswith(".parquet")])
        pruning.files, pruning.bytes = len(removed), sum(size for size, _ in removed.values())
    return pruning


def _may_remove(dataset: Dataset, file: File, months: dict[str, Month]) -> bool:
    """Whether `file` exists and `months` contain it completely."""
    compacted = dataset.record.files.get(file.path)
    if compacted is None or file.removed or file.superseded_at or not compacted.months:
        return False
    return compacted.size == file.size and all(
        month in months and months[month].inputs.get(file.path) == compacted.content_hash for month in compacted.months
    )


async def _ready_months(dataset: Dataset, now: datetime, pruning: Pruning) -> dict[str, Month]:
    """Returns the months that are old enough and sound, without their rows."""
    written_at = {
        stored_times.path: stored_times.last_modified
        for stored_times in await dataset.lake.store.list_objects(dataset.path)
    }
    months: dict[str, Month] = {}
    for month in dataset.tags:
        path = name_month_path(dataset.path, month)
        stored_times = [compacted.stored_at for compacted in dataset.record.files.values() if month in compacted.months]
        if not stored_times or max(stored_times) > now - STORED_FOR or written_at[path] > now - WRITTEN_FOR:
            continue
        try:
            decoded = await run_decoding(Month.decode, await dataset.lake.store.read(path), find_month_period(month))
        except (StorageError, ValueError) as error:
            pruning.problems.append(f"{path} is damaged, and its files are left: {error}")
            continue
        if dataset.record.inputs_of(month).items() <= decoded.inputs.items():
            months[month] = Month(decoded.inputs, decoded.newest)
    return months
