"""Reads the lake's files back: of each key the latest vintage or all vintages, now or as of a given time.

`compact` merges the timestamped files of an entry into one file per month; `read` and `read_tables` return the same
before, during and after a compaction, and after one that was killed halfway.

The names below are imported at first use: they load Arrow, which `gridtide status` of an empty lake does not need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gridtide.curated.compaction import Compaction, compact
    from gridtide.curated.pruning import Pruning, prune
    from gridtide.curated.reading import Input, list_inputs, read, read_tables, verify
    from gridtide.curated.sharing import CompactedShare, CompactionShare, compact_share, join_shares, plan_shares
    from gridtide.curated.shifting import Corrections

__all__ = [
    "CompactedShare",
    "Compaction",
    "CompactionShare",
    "Corrections",
    "Input",
    "Pruning",
    "compact",
    "compact_share",
    "join_shares",
    "list_inputs",
    "plan_shares",
    "prune",
    "read",
    "read_tables",
    "verify",
]

_MODULES = {
    "compaction": ("Compaction", "compact"),
    "pruning": ("Pruning", "prune"),
    "reading": ("Input", "list_inputs", "read", "read_tables", "verify"),
    "sharing": ("CompactedShare", "CompactionShare", "compact_share", "join_shares", "plan_shares"),
    "shifting": ("Corrections",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
