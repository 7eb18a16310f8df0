"""A compaction by several processes, each of which makes months of its own.

    new files ─► plan_shares ─┬─► compact_share ─► months ─┬─► join_shares ─► record ─► compact: what is left
                              └─► compact_share ─► months ─┘

Files that do not say their period may hold values of any month, and are left to `compact`; so are damaged
files, which it reports. What is killed on the way leaves months that the next compaction finds as they are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from gridtide.curated.compaction import Compaction, Work
from gridtide.curated.dataset import REACH, Dataset, may_hold
from gridtide.curated.months import RECORD_NAME, CompactedFile, CompactionRecord, month_period, months_of
from gridtide.entries.entry import Entry
from gridtide.lake import Lake
from gridtide.periods import Period

SHARE_BYTES = 1 << 20
"""Bytes of files from which on months are a share: some half a million rows, a second of work."""


SHARE_MONTHS = 12
"""Months that are a share in any case."""


@dataclass(frozen=True)
class CompactionShare:
    """Whole `months`, and the `paths` of all new files that may hold values of them."""

    months: Period
    paths: tuple[str, ...]


@dataclass(frozen=True)
class CompactedShare:
    """What came of a share: its `compaction`, and the `record` of its months and what its files hold in them."""

    compaction: Compaction
    record: CompactionRecord


async def plan_shares(lake: Lake, entry: Entry, *, share_bytes: int = SHARE_BYTES) -> list[CompactionShare]:
    """The months that new files with a period may touch, those that follow each other together up to `share_bytes`."""
    dataset = await Dataset.of_entry(lake, entry)
    new = [(file, file.period) for file in dataset.new_files() if file.period is not None]
    sizes: Counter[str] = Counter()
    for file, period in new:
        sizes.update(dict.fromkeys(months_of(Period(period.start - REACH, period.end + REACH)), 0))
        sizes[months_of(period)[0]] += file.size
    shares: list[CompactionShare] = []
    consecutive: list[str] = []
    for month in sorted(sizes):
        consecutive.append(month)
        if (
            sum(sizes[shared] for shared in consecutive) >= share_bytes
            or len(consecutive) == SHARE_MONTHS
            or month == max(sizes)
        ):
            months = Period(month_period(consecutive[0]).start, month_period(month).end)
            shares.append(CompactionShare(months, tuple(file.path for file, _ in new if may_hold(file, months))))
            consecutive = []
    return shares


async def compact_share(lake: Lake, entry: Entry, share: CompactionShare) -> CompactedShare:
    """Put the months of `share`; raises as `compact` does."""
    dataset = await Dataset.of_entry(lake, entry)
    work = Work(dataset, Compaction(entry.name), share.months)
    await work.add_files(dataset.files[path] for path in share.paths if path in dataset.files)
    files = {path: work.record.files[path] for path in share.paths if path in work.record.files}
    return CompactedShare(work.compaction, CompactionRecord(files, work.record.months))


async def join_shares(
    lake: Lake, entry: Entry, planned: Sequence[CompactionShare], parts: Sequence[CompactedShare]
) -> Compaction:
    """Note the months of `parts`, and the files that lie in no other share of those `planned`.

    Returns what all of it did together.
    """
    dataset = await Dataset.of_entry(lake, entry)
    expected = Counter(path for share in planned for path in share.paths)
    pieces_of: dict[str, list[CompactedFile]] = defaultdict(list)
    for part in parts:
        for path, compacted in part.record.files.items():
            pieces_of[path].append(compacted)
    whole = {
        path: msgspec.structs.replace(
            pieces[0], months=tuple(sorted(month for piece in pieces for month in piece.months))
        )
        for path, pieces in pieces_of.items()
        if len(pieces) == expected[path]
    }
    months = {month: stored for part in parts for month, stored in part.record.months.items()}
    if whole:
        before = dataset.valid_record()
        record = CompactionRecord({**before.files, **whole}, {**before.months, **months})
        await lake.store.put(f"{dataset.path}/{RECORD_NAME}", record.encode(), replace=True)
    rows, size = (sum(getattr(part.compaction, name) for part in parts) for name in ("rows", "bytes"))
    return Compaction(entry.name, len(whole), rows, sorted(months), size)
