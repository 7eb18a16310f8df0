"""The connection to the Prefect API for commands that run outside flows.

Prefect takes seconds to import. It is imported only where a command needs its API, or where the configuration names
a Prefect block.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from gridtide.entries.auth import secret_names
from gridtide.entries.entry import Entry
from gridtide.entries.lake_address import BLOCKS


@asynccontextmanager
async def connect_prefect() -> AsyncIterator[str]:
    """The URL of a Prefect API that answers; Prefect's clients use it inside the context.

    Raises `GridtideError` as `flows.run.local_server.ensure_server` does.
    """
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.run.local_server import ensure_server

    url = await asyncio.to_thread(ensure_server)
    with temporary_settings({PREFECT_API_URL: url}):
        yield url


@asynccontextmanager
async def connect_for_blocks(lake: str, entries: Sequence[Entry] = ()) -> AsyncIterator[None]:
    """A context in which the blocks that the address `lake` and the `auth` of `entries` name can be read.

    Where they name no block, nothing is imported, started or asked.
    """
    if lake.startswith(BLOCKS) or any(_names_block(entry) for entry in entries):
        async with connect_prefect():
            yield
    else:
        yield


def _names_block(entry: Entry) -> bool:
    return any(name.startswith("secret:") for auth in entry.auths for name in secret_names(auth))
