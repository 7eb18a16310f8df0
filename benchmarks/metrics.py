"""Measures what metrics add to a run: one entry's samples, pushed to a gateway and saved for a scrape."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import patch

import flows.ingest  # noqa: F401  # a run has imported Prefect, and with it most of what an export needs
from benchmarks.ingest import SERVER, YEAR
from benchmarks.processes import run, serving
from flows.run.metrics import exporting
from flows.run.metrics.samples import list_samples

STAGES = {stage: {"seconds": 0.1, "peak_mb": 100.0} for stage in ("fetch", "parse", "write")}
RESULT = {"name": "demand", "rows": YEAR, "bytes": 1 << 20, "requests": 71, "error": None, "stages": STAGES}
REPORT = {"pipeline_status": "success", "summary": {"rows": YEAR, "seconds": 2.0}, "results": [RESULT]}


class Gateway(BaseHTTPRequestHandler):
    """Takes what is pushed, as a Pushgateway does."""

    def do_PUT(self) -> None:
        """Read the metrics, and answer."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


def measure() -> list[dict[str, object]]:
    """The seconds of an export, beside one percent of the ingest of a year; empty without the imitation of EIA."""
    if not SERVER.is_file():
        print(f"metrics: left out, {SERVER.name} is not beside the project")
        return []
    with (
        serving(sys.executable, str(SERVER), "--hours", str(YEAR // 40)) as base,
        tempfile.TemporaryDirectory() as folder,
    ):
        runs = [run("gridtide_collect", base, str(YEAR), f"{folder}/{turn}", "no-raw").wall for turn in range(4)][1:]
    hundredth = statistics.median(runs) / 100
    return [
        {
            "name": "metrics of a run with one entry, pushed and saved",
            "unit": "s",
            "ours": _time_first_export(),
            "peer": None,
            "peer_name": "",
            "limit": hundredth,
            "limit_name": "1 % of the ingest of a year",
        }
    ]


def _time_first_export() -> float:
    """The seconds of the first export of this process; a run exports once."""
    server = HTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    places = {exporting.PUSHGATEWAY: f"http://127.0.0.1:{server.server_port}", exporting.ADDRESS: "9105"}
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.dict(os.environ, places),
        patch.object(exporting, "find_metrics_folder", lambda: Path(folder)),
    ):
        started = time.perf_counter()
        warnings = exporting.export_samples(list_samples("ingest", REPORT, datetime.now(UTC)))
        seconds = time.perf_counter() - started
    server.shutdown()
    if warnings:
        raise RuntimeError(warnings[0])
    return seconds
