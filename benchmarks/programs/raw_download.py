"""The limit of ingest: downloads the same pages, eight at a time, and discards the bodies. Usage: base rows"""

import asyncio
import sys
from collections.abc import Iterator

import aiohttp

base, rows = sys.argv[1], int(sys.argv[2])
PATH = "/v2/electricity/rto/region-data/data/"


async def worker(session: aiohttp.ClientSession, offsets: Iterator[int]) -> None:
    """Download page after page until none is left."""
    for offset in offsets:
        params: dict[str, str | int] = {"offset": offset, "length": 5000, "frequency": "hourly", "data[0]": "value"}
        async with session.get(base + PATH, params=params) as response:
            await response.read()


async def main() -> None:
    """Download all pages."""
    connector = aiohttp.TCPConnector(limit=8)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        offsets = iter(range(0, rows, 5000))
        await asyncio.gather(*(worker(session, offsets) for _ in range(8)))


asyncio.run(main())
