"""Sends requests under a shared limit of 5 per second. Usage: url name requests mode(gridtide|prefect|alone)"""

import asyncio
import sys

from prefect.concurrency.asyncio import rate_limit

from gridtide.config.loading import parse
from gridtide.entries.entry import RateLimit
from gridtide.http.client import Http
from gridtide.http.limits import Limiter, LocalLimiter
from gridtide.sources.contract import Request, Response
from tasks.rate_limits import SharedLimiter

url, name, requests, mode = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
LIMIT = {"name": name, "rates": ["5/second"]}
PATIENT = {"concurrency": 2, "retries": 20}  # who does not share is refused often, and goes on all the same
(ENTRY,) = parse({"apis": [{"name": "e", "url": url, "output_folder": "e", "rate_limit": LIMIT, **PATIENT}]}).apis


class PrefectLimiter:
    """Prefect's own rate limit, requested for each request."""

    async def acquire(self, limit: RateLimit) -> None:
        """Wait for a slot of the limit."""
        await rate_limit(limit.name, strict=True)


async def body(answer: Response) -> bytes:
    """The body, which is discarded."""
    return answer.body


async def ask(limiter: Limiter) -> None:
    """Send all requests, two at a time."""
    async with Http({}, limiter) as http:
        await asyncio.gather(*(http.fetch(ENTRY, Request(url, label=str(n)), body) for n in range(requests)))


async def main() -> None:
    """Send the requests with the limiter of `mode`."""
    if mode == "gridtide":
        async with SharedLimiter() as limiter:
            await ask(limiter)
    else:
        await ask(PrefectLimiter() if mode == "prefect" else LocalLimiter())


asyncio.run(main())
