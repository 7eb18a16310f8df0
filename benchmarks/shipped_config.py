"""Measures seven days of every entry of the shipped configuration, from the sandbox, through Prefect."""

from __future__ import annotations

import asyncio
import tempfile
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.ingest import Row
from flows.backfill import backfill
from flows.ingest import ingest
from flows.run.local_server import ensure_server
from gridtide import sandbox

GOAL = 30.0


def measure() -> list[Row]:
    """The seconds of a backfill of the entries with periods and an ingest of the snapshots, with a running server."""
    ensure_server()
    seconds = asyncio.run(_time_week())
    return [
        {
            "name": "seven days of every shipped entry through Prefect",
            "unit": "s",
            "ours": seconds,
            "peer": None,
            "peer_name": None,
            "limit": GOAL,
            "limit_name": "goal",
        }
    ]


async def _time_week() -> float:
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    with tempfile.TemporaryDirectory() as lake:
        async with sandbox.run_sandbox() as url:
            started = time.monotonic()
            where: dict[str, Any] = {"lake": lake, "sandbox": url}
            filled = await backfill(end - timedelta(days=7), end, **where)
            skipped = [row["name"] for row in filled["results"] if row["skipped"]]
            if skipped:
                await ingest(select=skipped, **where)
            return time.monotonic() - started
