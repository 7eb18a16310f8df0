"""Collect a CSV over HTTP into a lake with the generic source. argv: file, style"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.large_csv import LABELS, ROWS, VALUES
from gridtide.collect import collect
from gridtide.config.loading import parse
from gridtide.http.client import Http
from gridtide.lake import Lake

path, style = Path(sys.argv[1]), sys.argv[2]


def build_config(port: str) -> dict[str, object]:
    """The configuration of the table at this port."""
    times = {"time": LABELS[-1], "time_format": "%m/%d/%Y %H:%M", "label": "end", "interval": "PT1H"}
    columns = {"location": LABELS[0], "melt": "Net *", "unit": "MW", "output_folder": "eia930"} | {
        "ignore": LABELS[1:-1]
    }
    numbers = {"thousands": ","} if style == "thousands" else {}
    url = f"http://127.0.0.1:{port}/{path.name}"
    return {"apis": [{"name": "eia930", "source": "generic", "url": url, **times, **columns, **numbers}]}


async def collect_table(port: str, lake: str) -> int:
    """The number of rows stored."""
    (entry,) = parse(build_config(port)).apis
    async with Http({}) as http:
        return (await collect(entry, lake=Lake.open(lake), http=http, stamp=datetime.now(UTC))).rows


command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(path.parent)]
with tempfile.TemporaryDirectory() as folder:
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        port = server.stdout.readline().split(" port ")[1].split()[0] if server.stdout else ""
        started = time.process_time()
        stored = asyncio.run(collect_table(port, folder))
        cpu = time.process_time() - started
    finally:
        server.kill()
if stored != ROWS * VALUES:
    raise SystemExit(f"{stored} observations")
status = Path("/proc/self/status").read_text()
peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
print(json.dumps({"cpu": cpu, "mb": peak / 2**10}))
