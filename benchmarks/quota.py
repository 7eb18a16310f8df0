"""Measures four processes with one quota of 5 requests per second: the time that they take, and the refused
requests."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.settings import PREFECT_API_URL, temporary_settings

from benchmarks.ingest import Row
from benchmarks.processes import PROGRAMS
from flows.run.local_server import ensure_server

PROCESSES, REQUESTS, RATE = 4, 17, 5.0


@dataclass
class Upstream:
    """An upstream that answers 5.5 requests per second, with a burst of one second, and refuses others with 429."""

    tokens: float = 1.1 * RATE
    filled: float = field(default_factory=time.monotonic)
    passed: list[float] = field(default_factory=list)
    refused: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        """Answer if a token is left, else refuse with 429 and `Retry-After: 1`."""
        now = time.monotonic()
        self.tokens, self.filled = min(1.1 * RATE, self.tokens + 1.1 * RATE * (now - self.filled)), now
        if self.tokens < 1:
            self.refused += 1
            return web.Response(status=429, headers={"Retry-After": "1"})
        self.tokens -= 1
        self.passed.append(now)
        return web.Response(text="[]")


def measure() -> list[Row]:
    """The seconds from the first to the last answered request, and the refused requests.

    The peers are Prefect's own rate limit, and four processes that share nothing.
    """
    url = ensure_server()
    upstreams = {mode: asyncio.run(_run_processes(mode, url)) for mode in ("gridtide", "prefect", "alone")}
    span = {mode: upstream.passed[-1] - upstream.passed[0] for mode, upstream in upstreams.items()}
    ideal = (PROCESSES * REQUESTS - 1) / RATE
    peers = {"prefect": "Prefect's rate_limit", "alone": "no sharing"}
    return [
        {
            "name": f"{PROCESSES} processes on one {RATE:g}/s key, {what}, beside {peer}",
            "unit": unit,
            "ours": of(upstreams["gridtide"], span["gridtide"]),
            "peer": of(upstreams[mode], span[mode]),
            "peer_name": peer,
            "limit": limit,
            "limit_name": limit_name,
        }
        for mode, peer in peers.items()
        for what, unit, of, limit, limit_name in (
            ("time", "s", lambda upstream, seconds: seconds, ideal, "ideal"),
            ("refusals", "429s", lambda upstream, seconds: float(upstream.refused), 0.0, "none"),
        )
    ]


async def _run_processes(mode: str, prefect: str) -> Upstream:
    upstream, name = Upstream(), f"bench-{uuid.uuid4().hex[:8]}"
    if mode == "prefect":
        limit = GlobalConcurrencyLimitCreate(name=name, limit=1, slot_decay_per_second=RATE)
        with temporary_settings({PREFECT_API_URL: prefect}):
            client = get_client()
        async with client:
            await client.create_global_concurrency_limit(limit)
    app = web.Application()
    app.router.add_get("/", upstream.answer)
    environment = {**os.environ, "PREFECT_API_URL": prefect, "PYTHONPATH": str(PROGRAMS.parents[1])}
    async with TestServer(app) as server:
        command = [
            sys.executable,
            str(PROGRAMS / "quota_asker.py"),
            str(server.make_url("/")),
            name,
            str(REQUESTS),
            mode,
        ]
        processes = [subprocess.Popen(command, env=environment) for _ in range(PROCESSES)]  # noqa: ASYNC220
        codes = await asyncio.gather(*(asyncio.to_thread(process.wait) for process in processes))
    if any(codes):
        raise RuntimeError(f"an asker of {mode} failed: {codes}")
    return upstream
