"""The core: fetches, parses, checks and stores one period of one entry."""

from gridtide.collect.collected import Collected
from gridtide.collect.collection import collect, scheduled_period

__all__ = ["Collected", "collect", "scheduled_period"]
