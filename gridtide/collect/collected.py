"""What a collection did: its file, its rows, what it cost."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gridtide.periods import Period

if TYPE_CHECKING:
    pass


STAGES = ("fetch", "parse", "write")


@dataclass(slots=True)
class Effort:
    """What a stage took: seconds summed over its concurrent parts, and the process's peak memory
    (MB) when the stage last ended."""

    seconds: float = 0.0
    peak_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection did. `file` is None where a snapshot held no rows; `period` is what it answers, None for a
    snapshot and for an answer about something else than was asked; `created` is False where
    the lake held the same content under that name already; `reused` pages came from `raw/`."""

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

    def as_dict(self) -> dict[str, Any]:
        """The same as small JSON."""
        stages = {
            name: {"seconds": round(effort.seconds, 4), "peak_mb": round(effort.peak_mb, 1)}
            for name, effort in self.stages.items()
        }
        return {
            "entry": self.entry,
            "file": self.file,
            "rows": self.rows,
            "bytes": self.bytes,
            "period": str(self.period) if self.period else None,
            "created": self.created,
            "requests": self.requests,
            "retries": self.retries,
            "reused": self.reused,
            "warnings": list(self.warnings),
            "stages": stages,
        }


def peak_memory() -> float:
    """The most memory that this process has held so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
