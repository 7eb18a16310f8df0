"""Lakes and credentials for commands outside flows.

Prefect, which takes seconds to import, is asked only where the configuration names one of its blocks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from gridtide.entries.entry import BasicAuth, Entry, KeyAuth
from gridtide.entries.lake_address import BLOCKS
from gridtide.lake import Lake
from tasks.lake import open_lake as described


async def open_lake(address: str, *, make: bool = True) -> Lake:
    """The lake at `address`, as `tasks.lake.open_lake` takes it, with a Prefect API where it names a block."""
    if not address.startswith(BLOCKS):
        return await described(address, make=make)
    async with prefect_api():
        return await described(address, make=make)


async def secrets(entries: Sequence[Entry]) -> dict[str, str]:
    """The credentials that `entries` name, as `gridtide.http.Http` takes them."""
    from tasks.secrets import read_credentials as found

    if not any(isinstance(entry.auth, KeyAuth | BasicAuth) and entry.auth.secret for entry in entries):
        return await found(entries)
    async with prefect_api():
        return await found(entries)


@asynccontextmanager
async def prefect_api() -> AsyncIterator[str]:
    """The URL of a Prefect API that answers, which Prefect's clients use meanwhile."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.run.local_server import ensure_server

    url = await asyncio.to_thread(ensure_server)
    with temporary_settings({PREFECT_API_URL: url}):
        yield url
