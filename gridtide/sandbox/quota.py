"""The upstreams' quotas as token buckets that are refilled `speed` times faster."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

STALL = 0.25
"""The time, in seconds, for which a busy process may stall; evenly spaced requests then seem to arrive at once."""


class Quota:
    """The quota of one upstream: at most `count` requests in `seconds`, for each of `limits`.

    A bucket holds more than its count: additionally the requests of one `STALL`, at least one. A caller who keeps the
    limit exactly is then not refused because of the jitter of two processes.
    """

    def __init__(
        self, limits: Sequence[tuple[int, float]], speed: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limits = limits
        self.speed = speed
        self.clock = clock
        self.sizes = [count + max(1.0, STALL * speed * count / seconds) for count, seconds in limits]
        self.tokens = list(self.sizes)
        self.filled = clock()

    def take(self, cost: float = 1) -> float | None:
        """Takes a request that counts as `cost`. Returns None if it may pass, or the seconds (at real speed) of the
        limit that refuses it. A request may overdraw a bucket, which is refilled before the next one."""
        now = self.clock()
        for number, (count, seconds) in enumerate(self.limits):
            refilled = self.tokens[number] + (now - self.filled) * self.speed * count / seconds
            self.tokens[number] = min(refilled, self.sizes[number])
        self.filled = now
        for tokens, (_, seconds) in zip(self.tokens, self.limits, strict=True):
            if tokens < 1:
                return seconds
        self.tokens = [tokens - cost for tokens in self.tokens]
        return None
