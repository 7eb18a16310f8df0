"""The sandbox on a local port in the process of the test."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aiohttp.test_utils import TestClient, TestServer

from gridtide.sandbox.server import Sandbox
from gridtide.sandbox.upstreams import list_secrets

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
