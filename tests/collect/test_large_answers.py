"""The memory of a collection of a large answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

COLLECT = """
import asyncio, json, sys, tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from aiohttp import web
from aiohttp.test_utils import TestServer
from gridtide.collect import collect
from gridtide.config.loading import parse
from gridtide.http.client import Http
from gridtide.lake import Lake

HOURS = int(sys.argv[1])

async def send(request):
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"time,node,lmp,energy,congestion,loss\\n")
    for hour in range(HOURS):
        time = f"{datetime(2024, 5, 1) + timedelta(hours=hour):%Y-%m-%dT%H:%MZ}"
        values = [f"{(hour + node) % 90}.25,{node % 70}.5,0.{hour % 10},1" for node in range(5000)]
        rows = [f"{time},NODE_{node:05}_LMP,{value}\\n" for node, value in enumerate(values)]
        await response.write("".join(rows).encode())
    return response

async def run(folder):
    app = web.Application()
    app.router.add_get("/lmp.csv", send)
    async with TestServer(app) as server, Http({}) as http:
        columns = {"location": "node", "value": ["lmp", "energy", "congestion", "loss"], "unit": "USD/MWh"}
        api = {"name": "lmp", "url": str(server.make_url("/lmp.csv")), "time": "time", "interval": "PT1H", "raw": False}
        (entry,) = parse({"apis": [api | columns | {"source": "generic", "output_folder": "lmp"}]}).apis
        return await collect(entry, lake=Lake.open(folder), http=http, stamp=datetime.now(UTC))

with tempfile.TemporaryDirectory() as folder:
    collected = asyncio.run(run(folder))
status = Path("/proc/self/status").read_text()
peak = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
print(json.dumps({"rows": collected.rows, "bytes": collected.bytes, "peak": peak}))
"""

MOST_BYTES_EACH = 40
"""The most memory for a row more, beside its part of the file, which is mapped while it is stored. It took 130."""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux says what a process held at most")
def test_four_times_the_rows_take_no_more_memory() -> None:
    """A table of prices with 24 and with 96 hours of 5,000 nodes, from the answer to the file in the lake."""
    small, large = (
        json.loads(subprocess.run([sys.executable, "-c", COLLECT, hours], capture_output=True, check=True).stdout)
        for hours in ("24", "96")
    )
    assert (small["rows"], large["rows"]) == (480_000, 1_920_000)
    growth = large["peak"] - large["bytes"] - (small["peak"] - small["bytes"])
    assert growth / (large["rows"] - small["rows"]) < MOST_BYTES_EACH, (small, large)
