"""The result of a collection: its files, its rows, and its cost."""

from __future__ import annotations

import resource
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gridtide.collect.holes import Hole, count_skipped
from gridtide.periods import Period, union
from gridtide.sources.contract import Skipped

if TYPE_CHECKING:
    pass


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
    and if there are `holes`; `answered` are its answered parts. `created` is False if the lake already had the same
    content under these names; `reused` pages came from `raw/`; `skipped` counts what the responses contained and no
    file does.
    """

    entry: str
    file: str | None
    rows: int
    bytes: int
    period: Period | None
    created: bool
    requests: int
    retries: int
    reused: int = 0
    warnings: tuple[str, ...] = ()
    stages: Mapping[str, Effort] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    answered: tuple[Period, ...] = ()
    holes: tuple[Hole, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    @classmethod
    def of_nothing(cls, entry: str, holes: tuple[Hole, ...]) -> Collected:
        """Returns the result of a collection that answered nothing of `holes`."""
        return cls(entry, None, 0, 0, None, created=False, requests=0, retries=0, holes=holes)

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
            "skipped": [item.as_dict() for item in self.skipped],
            "created": self.created,
            "requests": self.requests,
            "retries": self.retries,
            "reused": self.reused,
            "warnings": list(self.warnings),
            "stages": stages,
        }


def merge_collected(parts: Sequence[Collected]) -> Collected:
    """Combines the results of `parts` of one period."""
    if len(parts) == 1:
        return parts[0]
    files = tuple(file for part in parts for file in part.files)
    answered = union(period for part in parts for period in part.answered)
    holes = tuple(hole for part in parts for hole in part.holes)
    stages = {
        name: Effort(
            sum(part.stages[name].seconds for part in parts if name in part.stages),
            max((part.stages[name].peak_mb for part in parts if name in part.stages), default=0.0),
        )
        for name in STAGES
    }
    return Collected(
        parts[0].entry,
        files[0] if files else None,
        sum(part.rows for part in parts),
        sum(part.bytes for part in parts),
        answered[0] if len(answered) == 1 and not holes else None,
        any(part.created for part in parts),
        sum(part.requests for part in parts),
        sum(part.retries for part in parts),
        sum(part.reused for part in parts),
        tuple(warning for part in parts for warning in part.warnings),
        stages,
        files,
        tuple(answered),
        holes,
        tuple(count_skipped(item for part in parts for item in part.skipped)),
    )


def peak_memory() -> float:
    """Returns the peak memory of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
