"""Read a CSV with the generic source, piece by piece, and drop the pieces. argv: file, style"""

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.compute
import pyarrow.csv  # noqa: F401 - the clock starts when all is imported

from benchmarks.large_csv import LABELS, ROWS, VALUES
from gridtide.config.loading import parse
from gridtide.sources import generic
from gridtide.sources.contract import Request, Response

path, style = Path(sys.argv[1]), sys.argv[2]
ENTRY = parse(
    {
        "apis": [
            {
                "name": "eia930",
                "url": "https://grid.example/eia930.csv",
                "time": LABELS[-1],
                "time_format": "%m/%d/%Y %H:%M",
                "label": "end",
                "interval": "PT1H",
                "location": LABELS[0],
                "melt": "Net *",
                "unit": "MW",
                "ignore": LABELS[1:-1],
                "output_folder": "eia930",
                **({"thousands": ","} if style == "thousands" else {}),
            }
        ]
    }
).apis[0]

body = path.read_bytes()
started = time.process_time()
page = generic.parse_response(ENTRY, Request(ENTRY.url), Response(body, datetime(2026, 1, 1, tzinfo=UTC)))
stored = page.observations.num_rows + sum(piece.num_rows for piece in page.more)
cpu = time.process_time() - started
if stored != ROWS * VALUES or page.skipped:
    raise SystemExit(f"{stored} observations, {page.skipped}")
status = Path("/proc/self/status").read_text()
peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
print(json.dumps({"cpu": cpu, "mb": peak / 2**10}))
