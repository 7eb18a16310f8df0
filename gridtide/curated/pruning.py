"""Files that are compacted are removed, and months stand for them from then on.

    months are read and verified ─► removed_<moment>.json is put ─► files are removed

Whatever is killed between these steps leaves a lake that reads the same: a file that is listed as removed and still
there counts as it is, and is removed by the next run.

A month stands for its files only while nothing comes in that was retrieved before what it holds. Bodies under `raw/`,
which a replay reads once more, are kept 30 days by default; so files are removed 30 days after the last file of their
months was stored. A month that was written within the last day may be in the hands of another compaction, and is left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from gridtide.curated.dataset import Dataset
from gridtide.curated.months import Month, month_path, month_period
from gridtide.entries.entry import Entry
from gridtide.errors import StorageError
from gridtide.lake import File, Lake
from gridtide.lake.names import SIDECAR, RemovedFile
from gridtide.lake.removed import encode_removed, removed_name
from gridtide.lake.soundness import read_metadata
from gridtide.threads import run_decoding

STORED_FOR = timedelta(days=30)
"""How long ago the last file of a month was stored when its files are removed."""

WRITTEN_FOR = timedelta(days=1)
"""How long ago a month was written when its files are removed."""


@dataclass
class Pruning:
    """What a pruning of one entry did: `files` removed, in `bytes`, and `problems` that kept files from removal."""

    entry: str
    files: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)


async def prune(lake: Lake, entry: Entry, now: datetime | None = None) -> Pruning:
    """Remove the files of `entry` that months hold whole at `now`; the months are read and verified before.

    A file without rows lies in no month and is left; so is a file of which a month is damaged, young or does not hold
    it, and one that changed after it was compacted. Raises `StorageError`.
    """
    now = now or datetime.now(UTC)
    dataset = await Dataset.of_entry(lake, entry)
    pruning = Pruning(entry.name)
    months = await _ready_months(dataset, now, pruning)
    files = [file for file in dataset.files.values() if _may_remove(dataset, file, months)]
    contents = await read_metadata(lake, files)
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
    """Whether `file` is there, and `months` hold all of it."""
    compacted = dataset.record.files.get(file.path)
    if compacted is None or file.removed or file.superseded_at or not compacted.months:
        return False
    return compacted.size == file.size and all(
        month in months and months[month].inputs.get(file.path) == compacted.content_hash for month in compacted.months
    )


async def _ready_months(dataset: Dataset, now: datetime, pruning: Pruning) -> dict[str, Month]:
    """The months that are old enough and sound, without their rows."""
    written = {stored.path: stored.last_modified for stored in await dataset.lake.store.objects(dataset.path)}
    months: dict[str, Month] = {}
    for month in dataset.tags:
        path = month_path(dataset.path, month)
        stored = [compacted.stored_at for compacted in dataset.record.files.values() if month in compacted.months]
        if not stored or max(stored) > now - STORED_FOR or written[path] > now - WRITTEN_FOR:
            continue
        try:
            whole = await run_decoding(Month.decode, await dataset.lake.store.read(path), month_period(month))
        except (StorageError, ValueError) as error:
            pruning.problems.append(f"{path} is damaged, and its files are left: {error}")
            continue
        if dataset.record.inputs(month).items() <= whole.inputs.items():
            months[month] = Month(whole.inputs, whole.newest)
    return months
