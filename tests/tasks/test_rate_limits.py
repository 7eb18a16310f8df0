"""One quota for all processes that use a Prefect server."""

import asyncio
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from gridtide.entries.entry import RateLimit
from tasks.rate_limits import SharedLimiter

LIMIT = RateLimit(name="test-quota", rates=("5/second",))

ASKER = """
import asyncio, sys
from datetime import timedelta
from gridtide import config
from gridtide.http.client import Http
from gridtide.sources.contract import Request
from tasks.rate_limits import SharedLimiter

url, name, requests = sys.argv[1], sys.argv[2], int(sys.argv[3])
entry = config.parse({"apis": [{"name": "e", "url": url, "output_folder": "e", "retries": 1, "concurrency": 2,
                                "rate_limit": {"name": name, "rates": ["5/second"]}}]}).apis[0]

async def read(answer):
    return answer.body

async def main():
    async with SharedLimiter() as limiter, Http({}, limiter) as http:
        await asyncio.gather(*(http.fetch(entry, Request(url, label=str(n)), read) for n in range(requests)))

asyncio.run(main())
"""


class ThrottlingUpstream:
    """An upstream that answers 5.5 requests per second, with a burst of one second, and refuses others."""

    def __init__(self) -> None:
        self.tokens, self.filled = 5.5, time.monotonic()
        self.taken: list[float] = []
        self.refused = 0
        self.asked_thrice = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        """Answer, or refuse with 429."""
        now = time.monotonic()
        self.tokens, self.filled = min(5.5, self.tokens + 5.5 * (now - self.filled)), now
        if self.tokens < 1:
            self.refused += 1
            return web.Response(status=429, text="slow down")
        self.tokens -= 1
        self.taken.append(now)
        if len(self.taken) == 3:
            self.asked_thrice.set()
        return web.Response(text="[]")


def asker(url: str, name: str, requests: int, prefect_server: str) -> subprocess.Popen[str]:
    """Start a process that sends requests to `url` under the limit `name`."""
    environment = {**os.environ, "PREFECT_API_URL": prefect_server, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", ASKER, url, name, str(requests)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


async def active(name: str) -> int:
    """The number of processes that hold a slot of the limit."""
    async with get_client() as client:
        return (await client.read_global_concurrency_limit_by_name(f"gridtide-{name}")).active_slots


@pytest.mark.slow
async def test_four_processes_share_one_key_without_a_refusal(prefect_server: str) -> None:
    """Four processes on one key of 5 requests per second get all answers without a refusal, and release all slots."""
    upstream = ThrottlingUpstream()
    app = web.Application()
    app.router.add_get("/", upstream.answer)
    async with TestServer(app) as server:
        url = str(server.make_url("/"))
        processes = [asker(url, "four", 15, prefect_server) for _ in range(4)]
        said = await asyncio.gather(*(asyncio.to_thread(process.communicate) for process in processes))
    assert [process.returncode for process in processes] == [0] * 4, said
    assert (len(upstream.taken), upstream.refused) == (60, 0)
    assert await active("four") == 0


@pytest.mark.slow
async def test_the_share_of_a_killed_process_comes_back(prefect_server: str) -> None:
    """The slot of a killed process is free when its lease ends, and the others continue."""
    upstream = ThrottlingUpstream()
    app = web.Application()
    app.router.add_get("/", upstream.answer)
    async with TestServer(app) as server:
        killed = asker(str(server.make_url("/")), "killed", 10_000, prefect_server)
        await upstream.asked_thrice.wait()
        killed.kill()
        killed.wait()
    assert await active("killed") == 1
    deadline = time.monotonic() + 150
    while await active("killed") and time.monotonic() < deadline:  # noqa: ASYNC110  # the server tells nobody
        await asyncio.sleep(1)
    assert await active("killed") == 0


async def test_one_process_alone_has_the_whole_limit(prefect_server: str) -> None:
    """A single process takes its slot with the first request, has the whole limit, and releases the slot at the end."""
    async with SharedLimiter() as limiter:
        await limiter.acquire(LIMIT)
        assert await active(LIMIT.name) == 1
    assert await active(LIMIT.name) == 0


@pytest.mark.slow
async def test_two_in_one_process_share_too(prefect_server: str) -> None:
    """Two limiters in one process each use half of the limit."""
    async with SharedLimiter() as first, SharedLimiter() as second:
        await asyncio.gather(first.acquire(LIMIT), second.acquire(LIMIT))
        assert await active(LIMIT.name) == 2
        shares = [one._memberships[LIMIT.name].share() for one in (first, second)]
        assert 0.5 in shares


async def test_who_comes_later_leaves_no_error_in_the_log_of_the_server(
    prefect_server: str, prefect_home: Path
) -> None:
    """An existing limit is not created again, because the server would log an error each time."""
    again = RateLimit(name="test-again", rates=("5/second",))
    for _ in range(2):
        async with SharedLimiter() as limiter:
            await limiter.acquire(again)
    assert "gridtide-test-again" not in (prefect_home / "gridtide" / "server.log").read_text()


async def test_without_a_server_the_limit_is_kept_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Without a server, one warning is logged and the process applies the whole limit."""
    gone = {PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(gone), caplog.at_level(logging.WARNING, "gridtide.quota"):
        logging.getLogger("prefect.gridtide.quota").propagate = True
        async with SharedLimiter() as limiter:
            for _ in range(3):
                await limiter.acquire(LIMIT)
    assert caplog.text.count("this process applies the whole limit by itself") == 1
