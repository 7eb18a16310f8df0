"""The limit of a backfill: downloads the same slices, ten at a time, and discards the bodies. Usage: base years"""

import asyncio
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta

import aiohttp

base, years = sys.argv[1], int(sys.argv[2])
START, HOURS = datetime(2014, 1, 1), years * 8760
SLICES = {"region-data": 5000 // 16, "fuel-type-data": 5000 // 48}


async def worker(session: aiohttp.ClientSession, slices: Iterator[tuple[str, int, int]]) -> None:
    """Download slice after slice until none is left."""
    for route, first, hours in slices:
        last = min(first + hours, HOURS)
        params = {
            name: f"{START + timedelta(hours=at):%Y-%m-%dT%H}" for name, at in (("start", first + 1), ("end", last))
        }
        async with session.get(f"{base}/v2/electricity/rto/{route}/data/", params=params) as response:
            await response.read()


async def main() -> None:
    """Download all slices of both routes."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        slices = iter([(route, at, hours) for route, hours in SLICES.items() for at in range(0, HOURS, hours)])
        await asyncio.gather(*(worker(session, slices) for _ in range(10)))


asyncio.run(main())
