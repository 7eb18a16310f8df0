"""Connects commands that run outside flows to the Prefect API.

Prefect takes seconds to import. It is imported only if a command needs its API or the configuration names a Prefect
block.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from gridtide.entries.auth import list_secret_names
from gridtide.entries.entry import Entry
from gridtide.entries.lake_address import BLOCKS
from gridtide.errors import GridtideError, one_line
from tasks.prefect_home import check_prefect_home

logger = logging.getLogger("gridtide.catalog")


@asynccontextmanager
async def connect_prefect() -> AsyncIterator[str]:
    """Connect Prefect's clients in this context to a Prefect API that answers; gives its URL.

    Raises `GridtideError` as `flows.run.local_server.ensure_server` does.
    """
    check_prefect_home()
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.run.local_server import ensure_server

    url = await asyncio.to_thread(ensure_server)
    with temporary_settings({PREFECT_API_URL: url}):
        yield url


async def read_schedules() -> list[dict[str, Any]] | None:
    """The state of each schedule, as `read_schedule_states` returns it; None if no Prefect server is configured or
    runs, and, with a warning, if it does not answer. Nothing is started."""
    try:
        check_prefect_home()
        from prefect.settings import get_current_settings

        from flows.run.local_server import find_server
        from tasks.schedule_states import read_schedule_states

        if not get_current_settings().api.url and await asyncio.to_thread(find_server) is None:
            return None
        async with connect_prefect():
            return await read_schedule_states()
    except GridtideError as error:
        logger.warning("the schedules are not in the catalogue: %s", one_line(error))
        return None


@asynccontextmanager
async def connect_for_blocks(lake: str, entries: Sequence[Entry] = ()) -> AsyncIterator[None]:
    """Connect to the Prefect API if the address `lake` or the `auth` of `entries` names a block to be read.

    Otherwise nothing is imported or started, and no request is sent.
    """
    if lake.startswith(BLOCKS) or any(_names_block(entry) for entry in entries):
        async with connect_prefect():
            yield
    else:
        yield


def _names_block(entry: Entry) -> bool:
    return any(name.startswith("secret:") for auth in entry.auths for name in list_secret_names(auth))
