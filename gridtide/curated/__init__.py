"""Reads the lake's files back: of each key the latest vintage or all vintages, now or as of a given time.

`compact` merges the timestamped files of an entry into one file per month; `read` and `tables` return the same before,
during and after a compaction, and after one that was killed halfway.
"""

from gridtide.curated.compaction import Compaction, compact
from gridtide.curated.pruning import Pruning, prune
from gridtide.curated.reading import Input, inputs, read, tables, verify
from gridtide.curated.sharing import CompactedShare, CompactionShare, compact_share, join_shares, plan_shares

__all__ = [
    "CompactedShare",
    "Compaction",
    "CompactionShare",
    "Input",
    "Pruning",
    "compact",
    "compact_share",
    "inputs",
    "join_shares",
    "plan_shares",
    "prune",
    "read",
    "tables",
    "verify",
]
