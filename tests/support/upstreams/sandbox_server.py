"""The sandbox on a local port in the process of the test, and what a source reads from it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from aiohttp.test_utils import TestClient, TestServer

from gridtide.config.loading import parse
from gridtide.entries.entry import Config, Entry
from gridtide.http.client import Http
from gridtide.observations.identity import resolve_repeats
from gridtide.observations.table import concat, split_ranks
from gridtide.periods import Period
from gridtide.sandbox import redirect
from gridtide.sandbox.server import Sandbox
from gridtide.sandbox.upstreams import list_secrets
from gridtide.sources.contract import Page
from gridtide.sources.registry import get_source

NOW = datetime(2026, 6, 10, 18, 30, tzinfo=UTC)
"""A Wednesday, 14:30 in New York and 11:30 in Los Angeles."""


UNLIMITED = 1e6
"""A speed at which no quota is felt."""


KEY = {"X-Api-Key": list_secrets()["EIA_API_KEY"]}


BASIC = {
    "Authorization": "Basic "
    + base64.b64encode(f"{list_secrets()['ISO_NE_USERNAME']}:{list_secrets()['ISO_NE_PASSWORD']}".encode()).decode(),
    "Accept": "application/json",
}


@asynccontextmanager
async def serving(**options) -> AsyncIterator[TestClient]:
    """Start a sandbox with these options and give a client for it; by default at `NOW` and practically without
    quotas."""
    server = TestServer(Sandbox(**{"now": NOW, "speed": UNLIMITED, **options}).application())
    async with TestClient(server) as client:
        yield client


def describe_entry(url: str, **keys: object) -> Entry:
    """An entry of the generic source for `url`."""
    [entry] = parse({"apis": [{"name": "x", "url": url, "output_folder": "x", **keys}]}).apis
    return entry


async def collect_pages(entry: Entry, period: Period | None, **options) -> list[Page]:
    """The pages that the entry's source reads from the sandbox's answers about `period`."""
    reading = get_source(entry.source)
    async with serving(**options) as client:
        [moved] = redirect(Config(apis=(entry,)), str(client.make_url("/"))).apis
        async with Http(list_secrets()) as http:
            waiting, pages = reading.build_requests(moved, period), []
            while waiting:
                request = waiting.pop(0)

                async def read(answer, request=request):
                    return reading.parse_response(moved, request, answer)

                page = await http.fetch(moved, request, read)
                waiting += page.next_requests
                pages.append(page)
    return pages


async def collect_observations(entry: Entry, period: Period | None, **options) -> pa.Table:
    """The observations of `collect_pages`, without those that a later page repeats."""
    tables = [split_ranks(page.observations)[0] for page in await collect_pages(entry, period, **options)]
    return concat([table.take(resolve_repeats(table, "refuse").rows) for table in tables])


def read_series(table: pa.Table, variable: str, location: str) -> tuple[np.ndarray, np.ndarray]:
    """The interval starts of a series, in order, and its values."""
    mask = pc.and_(pc.equal(table["variable"], variable), pc.equal(table["location"], location))
    rows = table.filter(mask).sort_by("interval_start")
    return rows["interval_start"].to_numpy().astype("datetime64[s]"), rows["value"].to_numpy(zero_copy_only=False)


def assert_series(table: pa.Table, variable: str, location: str, starts: np.ndarray, values: np.ndarray, **near):
    """Assert that the series has exactly these starts and values."""
    read_starts, read_values = read_series(table, variable, location)
    np.testing.assert_array_equal(read_starts, starts, err_msg=f"{variable} {location}")
    near = {"rtol": 0, "atol": 1e-9, **near}
    np.testing.assert_allclose(read_values, values, **near, err_msg=f"{variable} {location}")
