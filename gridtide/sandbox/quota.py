"""The upstreams' quotas as token buckets, run `speed` times faster."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

STALL = 0.25
"""Seconds for which a busy process may stall; what came evenly spaced then seems to come at once."""


class Quota:
    """What one upstream allows: at most `count` requests in `seconds`, for each of `limits`.

    A bucket holds more than its count by what comes in a `STALL`, at least one, so that a caller who
    keeps the limit exactly is not refused for the jitter of two processes.
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
        """Take a request that counts as `cost`: None if it may pass, else the seconds (at real speed)
        of the limit that refuses it. What passes may overdraw a bucket; it is refilled first."""
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
