"""Reads the lake's files back: of each key the latest vintage or all vintages, now or as of a given time.

`compact` merges the timestamped files of an entry into one file per month; `read` and `read_tables` return the same
before, during and after a compaction, and after one that was killed halfway.
"""

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
