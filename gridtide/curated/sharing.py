"""Compaction by several processes, each of which writes its own months.

    new files ─► plan_shares ─┬─► compact_share ─► months ─┬─► join_shares ─► record ─► compact: the rest
                              └─► compact_share ─► months ─┘

Files without a period may contain values of any month, and are left to `compact`; so are damaged files, which it
reports. If a process is killed, the months that it wrote stay valid for the next compaction.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from gridtide.curated.compaction import Compaction, Work
from gridtide.curated.dataset import REACH, Dataset, may_hold
from gridtide.curated.months import RECORD_NAME, CompactedFile, CompactionRecord, find_month_period, list_months
from gridtide.entries.entry import Entry
from gridtide.lake import Lake
from gridtide.periods import Period

SHARE_BYTES = 1 << 20
"""A share has months whose files have at least this many bytes in total: about half a million rows, a second of
work."""


SHARE_MONTHS = 12
"""The most months in a share."""


@dataclass(frozen=True)
class CompactionShare:
    """Whole `months`, and the `paths` of all new files that may contain values of them."""

    months: Period
    paths: tuple[str, ...]


@dataclass(frozen=True)
class CompactedShare:
    """The result of a share: its `compaction`, and the `record` of its months and files."""

    compaction: Compaction
    record: CompactionRecord


async def plan_shares(lake: Lake, entry: Entry, *, share_bytes: int = SHARE_BYTES) -> list[CompactionShare]:
    """Divides the months that new files with a period may touch into shares: consecutive months up to `share_bytes`."""
    dataset = await Dataset.of_entry(lake, entry)
    dated_files = [(file, file.period) for file in dataset.new_files() if file.period is not None]
    sizes: Counter[str] = Counter()
    for file, period in dated_files:
        sizes.update(dict.fromkeys(list_months(Period(period.start - REACH, period.end + REACH)), 0))
        sizes[list_months(period)[0]] += file.size
    shares: list[CompactionShare] = []
    consecutive: list[str] = []
    for month in sorted(sizes):
        consecutive.append(month)
        if (
            sum(sizes[shared] for shared in consecutive) >= share_bytes
            or len(consecutive) == SHARE_MONTHS
            or month == max(sizes)
        ):
            months = Period(find_month_period(consecutive[0]).start, find_month_period(month).end)
            shares.append(
                CompactionShare(months, tuple(file.path for file, _ in dated_files if may_hold(file, months)))
            )
            consecutive = []
    return shares


async def compact_share(lake: Lake, entry: Entry, share: CompactionShare) -> CompactedShare:
    """Writes the months of `share`; raises as `compact` does."""
    dataset = await Dataset.of_entry(lake, entry)
    work = Work(dataset, Compaction(entry.name), share.months)
    await work.add_files(dataset.files[path] for path in share.paths if path in dataset.files)
    files = {path: work.record.files[path] for path in share.paths if path in work.record.files}
    return CompactedShare(work.compaction, CompactionRecord(files, work.record.months))


async def join_shares(
    lake: Lake, entry: Entry, shares: Sequence[CompactionShare], parts: Sequence[CompactedShare]
) -> Compaction:
    """Records the months of `parts`, and the files for which all of `shares` are complete.

    Returns the combined result.
    """
    dataset = await Dataset.of_entry(lake, entry)
    expected_parts = Counter(path for share in shares for path in share.paths)
    parts_by_path: dict[str, list[CompactedFile]] = defaultdict(list)
    for part in parts:
        for path, compacted in part.record.files.items():
            parts_by_path[path].append(compacted)
    complete_files = {
        path: msgspec.structs.replace(
            file_parts[0], months=tuple(sorted(month for file_part in file_parts for month in file_part.months))
        )
        for path, file_parts in parts_by_path.items()
        if len(file_parts) == expected_parts[path]
    }
    months = {month: compacted_month for part in parts for month, compacted_month in part.record.months.items()}
    if complete_files:
        earlier_record = dataset.valid_record()
        record = CompactionRecord({**earlier_record.files, **complete_files}, {**earlier_record.months, **months})
        await lake.store.put(f"{dataset.path}/{RECORD_NAME}", record.encode(), replace=True)
    total_rows, total_bytes = (sum(getattr(part.compaction, name) for part in parts) for name in ("rows", "bytes"))
    return Compaction(entry.name, len(complete_files), total_rows, sorted(months), total_bytes)
