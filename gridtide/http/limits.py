"""Rate limits, which several entries may share."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from gridtide.entries.entry import RateLimit
from gridtide.entries.field_types import Rate

PACED = 10.0
"""Windows of at most this many seconds are kept by even spacing, longer ones by counting."""


class Limiter(Protocol):
    """Lets requests through no faster than a rate limit allows."""

    async def acquire(self, limit: RateLimit) -> None:
        """Returns when one more request under `limit` may be sent."""
        ...


class LocalLimiter:
    """A limiter for the entries of one process.

    Short windows are kept by even spacing: with network jitter, bursts at the end of one window and at the start of the
    next would exceed a token bucket at the upstream.
    """

    def __init__(self) -> None:
        self._queues: dict[str, asyncio.Lock] = {}
        self._times: dict[tuple[str, str], deque[float]] = {}

    async def acquire(self, limit: RateLimit, share: Callable[[], float] = lambda: 1.0) -> None:
        """Waits until one more request under `limit` may be sent; calls are served in their order. `share` (0 to 1)
        returns the part of the limit that this process may use."""
        clock = asyncio.get_running_loop().time
        async with self._queues.setdefault(limit.name, asyncio.Lock()):
            for rate_text in limit.rates:
                rate = Rate.parse(rate_text)
                request_times = self._times.setdefault((limit.name, rate_text), deque(maxlen=rate.count))
                slots, window = max(1, int(rate.count * share())), rate.seconds
                if rate.seconds <= PACED:
                    slots, window = 1, rate.seconds / rate.count / share()
                if len(request_times) >= slots:
                    await asyncio.sleep(request_times[-slots] + window - clock())
            now = clock()
            for rate_text in limit.rates:
                self._times[limit.name, rate_text].append(now)
