"""The lake's files read back: of each key the latest vintage, or all, now or as of some moment.

`compact` gathers the timestamped files of an entry into one file a month; `read` and `tables` give the
same whether that was done, is going on, or was killed halfway.
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
