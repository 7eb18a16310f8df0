"""Which steps of a sequence each rank of a ring holds; see `gridtide.training.ring`."""

from gridtide.training.ring import Layout, Shard

__all__ = ["Layout", "Shard"]
