"""The core: one entry and period → fetch, parse, check, write."""

from gridtide.collect.collected import Collected
from gridtide.collect.collection import collect, scheduled_period

__all__ = ["Collected", "collect", "scheduled_period"]
