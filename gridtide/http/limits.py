"""How many requests may be made: rates that entries share."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from gridtide.entries.entry import RateLimit
from gridtide.entries.field_types import Rate

PACED = 10.0
"""Windows of at most these seconds are kept by even spacing, longer ones by counting."""


class Limiter(Protocol):
    """Lets requests through no faster than a rate limit allows."""

    async def acquire(self, limit: RateLimit) -> None:
        """Return when one more request under `limit` may leave."""
        ...


class LocalLimiter:
    """A limiter for the entries of one process.

    Short windows are kept by even spacing: a burst at the end of one window and the start of the
    next would exceed a token bucket at the upstream by the network's jitter.
    """

    def __init__(self) -> None:
        self._queues: dict[str, asyncio.Lock] = {}
        self._times: dict[tuple[str, str], deque[float]] = {}

    async def acquire(self, limit: RateLimit, share: Callable[[], float] = lambda: 1.0) -> None:
        """Return when one more request under `limit` may leave, in the order of asking; `share` (0 to 1) says
        what part of the limit is this process's when its turn comes."""
        clock = asyncio.get_running_loop().time
        async with self._queues.setdefault(limit.name, asyncio.Lock()):
            for text in limit.rates:
                rate = Rate.parse(text)
                times = self._times.setdefault((limit.name, text), deque(maxlen=rate.count))
                slots, window = max(1, int(rate.count * share())), rate.seconds
                if rate.seconds <= PACED:
                    slots, window = 1, rate.seconds / rate.count / share()
                if len(times) >= slots:
                    await asyncio.sleep(times[-slots] + window - clock())
            now = clock()
            for text in limit.rates:
                self._times[limit.name, text].append(now)
