"""The result of a collection: its files, its rows, and its cost."""

from __future__ import annotations

import resource
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gridtide.collect.holes import Hole, count_skipped
from gridtide.periods import Period, union
from gridtide.sources.contract import Skipped

STAGES = ("fetch", "parse", "write")


@dataclass(slots=True)
class Effort:
    """The cost of a stage: seconds summed over its concurrent parts, and the process's peak memory (MB) when the stage
    last ended."""

    seconds: float = 0.0
    peak_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Collected:
    """The result of a collection.

    `file` is the first of `files`, None if a snapshot had no rows. `period` is the answered period, None for a snapshot
    and if there are `holes`; `answered` are its answered parts. `is_new` is False if the lake already had the same
    content under these names; `reused` pages came from `raw/`; `skipped` counts what the responses contained and no
    file does.
    """

    entry: str
    file: str | None
    rows: int
    bytes: int
    period: Period | None
    is_new: bool
    requests: int
    retries: int
    reused: int = 0
    warnings: tuple[str, ...] = ()
    stages: Mapping[str, Effort] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    answered: tuple[Period, ...] = ()
    holes: tuple[Hole, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    absent: tuple[Period, ...] = ()
    """The parts that count as answered although the upstream has nothing for them."""
    rejected_files: tuple[str, ...] = ()
    """The files under `rejected/` with the rows that rules of `expect` reject; `skipped` counts them."""
    wait_seconds: float = 0.0
    """The seconds that requests waited for rate limits and before retries, summed over concurrent ones."""

    @classmethod
    def of_nothing(cls, entry: str, holes: tuple[Hole, ...]) -> Collected:
        """Returns the result of a collection that answered nothing of `holes`."""
        return cls(entry, None, 0, 0, None, is_new=False, requests=0, retries=0, holes=holes)

    def without_holes(self, periods: Collection[Period]) -> Collected:
        """Returns the result without the holes of `periods`, which are requested again."""
        return replace(self, holes=tuple(hole for hole in self.holes if hole.period not in periods))

    def as_dict(self) -> dict[str, Any]:
        """Returns the result as small JSON."""
        stages = {
            name: {"seconds": round(effort.seconds, 4), "peak_mb": round(effort.peak_mb, 1)}
            for name, effort in self.stages.items()
        }
        return {
            "entry": self.entry,
            "file": self.file,
            "files": list(self.files),
            "rows": self.rows,
            "bytes": self.bytes,
            "period": str(self.period) if self.period else None,
            "answered": [str(part) for part in self.answered],
            "holes": [hole.as_dict() for hole in self.holes],
            "skipped": [skipped_item.as_dict() for skipped_item in self.skipped],
            "absent": [str(part) for part in self.absent],
            "rejected_files": list(self.rejected_files),
            "created": self.is_new,
            "requests": self.requests,
            "retries": self.retries,
            "reused": self.reused,
            "waited": round(self.wait_seconds, 3),
            "warnings": list(self.warnings),
            "stages": stages,
        }


def merge_collected(collections: Sequence[Collected]) -> Collected:
    """Combines the results of `collections` of one period."""
    if len(collections) == 1:
        return collections[0]
    files = tuple(file for collection in collections for file in collection.files)
    periods = union(period for collection in collections for period in collection.answered)
    holes = tuple(hole for collection in collections for hole in collection.holes)
    stages = {
        name: Effort(
            sum(collection.stages[name].seconds for collection in collections if name in collection.stages),
            max(
                (collection.stages[name].peak_mb for collection in collections if name in collection.stages),
                default=0.0,
            ),
        )
        for name in STAGES
    }
    return Collected(
        collections[0].entry,
        files[0] if files else None,
        sum(collection.rows for collection in collections),
        sum(collection.bytes for collection in collections),
        periods[0] if len(periods) == 1 and not holes else None,
        any(collection.is_new for collection in collections),
        sum(collection.requests for collection in collections),
        sum(collection.retries for collection in collections),
        sum(collection.reused for collection in collections),
        tuple(warning for collection in collections for warning in collection.warnings),
        stages,
        files,
        tuple(periods),
        holes,
        tuple(count_skipped(skipped_item for collection in collections for skipped_item in collection.skipped)),
        tuple(union(period for collection in collections for period in collection.absent)),
        tuple(file for collection in collections for file in collection.rejected_files),
        sum(collection.wait_seconds for collection in collections),
    )


def measure_peak_memory() -> float:
    """Returns the peak memory of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
