"""The core: fetches, parses, checks and stores one period of one entry."""

from gridtide.collect.collected import Collected
from gridtide.collect.collection import collect, find_scheduled_period

__all__ = ["Collected", "collect", "find_scheduled_period"]
