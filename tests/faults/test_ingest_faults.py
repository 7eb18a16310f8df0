"""A year of EIA rows from a faulty upstream: every row once, and no unnecessary request."""

import asyncio
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gridtide.collect.collected import Collected
from gridtide.collect.collection import collect
from gridtide.config.loading import parse
from gridtide.http.client import Http
from gridtide.lake import Lake
from tests.support.shared import SHARED, needs_shared

pytestmark = [needs_shared, pytest.mark.slow]

SERVER = SHARED / "measured" / "ingest" / "server.py"
HOURS = 4000
ROWS, PAGES = 40 * HOURS, 32
Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start the imitation of EIA v2, with 40 rows per hour and a fault; gives its URL."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> str:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        command = [sys.executable, SERVER, "--port", port, "--hours", str(HOURS), *options]
        processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        deadline = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", int(port)), 1).close()
                return f"http://127.0.0.1:{port}"
            except OSError:
                assert processes[-1].poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)

    yield start
    for process in processes:
        process.kill()
        process.wait()


def run(base: str, folder: Path, rate: str | None = None) -> tuple[Collected, dict[str, int]]:
    """Collect all rows; returns the collection and the counts of the upstream."""
    api = {
        "name": "eia_region",
        "source": "eia",
        "url": f"{base}/v2/electricity/rto/region-data/data/",
        "output_folder": "eia_region",
        "rate_limit": {"name": "eia", "rates": [rate]} if rate else None,
        "concurrency": 8,
    }
    entry = parse({"apis": [api]}).apis[0]

    async def go() -> Collected:
        async with Http({"EIA_API_KEY": "a-key"}) as http:
            return await collect(entry, lake=Lake.open(str(folder)), http=http, stamp=datetime(2026, 1, 1, tzinfo=UTC))

    done = asyncio.run(go())
    with urllib.request.urlopen(f"{base}/stats") as answer:  # noqa: S310  # a loopback URL made above
        return done, json.load(answer)


def distinct_rows(folder: Path, done: Collected) -> int:
    """The number of different keys in the file."""
    assert done.file is not None
    table = asyncio.run(Lake.open(str(folder)).read_table(done.file))
    keys = zip(*(table[name].to_pylist() for name in ("location", "variable", "interval_start")), strict=True)
    return len(set(keys))


@pytest.mark.parametrize(
    "fault", [("--fault-every", "10"), ("--truncate-every", "20"), ("--fault-every", "10", "--truncate-every", "7")]
)
def test_faults_lose_and_double_nothing(serve: Serve, tmp_path: Path, fault: tuple[str, ...]) -> None:
    """Each 503 and each truncated body costs one request, and the file has every row once."""
    done, asked = run(serve(*fault), tmp_path)
    assert asked["fault"] > 0
    assert done.rows == distinct_rows(tmp_path, done) == ROWS
    assert asked["n"] <= PAGES + asked["fault"]
    assert done.retries == asked["fault"]


def test_a_configured_rate_is_never_exceeded(serve: Serve, tmp_path: Path) -> None:
    """Under the upstream's own limit of 5 requests per second, there is no 429."""
    done, asked = run(serve("--rate", "5"), tmp_path, "5/second")
    assert done.rows == distinct_rows(tmp_path, done) == ROWS
    assert (asked["n"], asked["r429"]) == (PAGES, 0)
