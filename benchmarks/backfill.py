"""Measures a backfill of ten years of hourly demand and generation of eight balancing authorities, through Prefect."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

from benchmarks.ingest import Row
from benchmarks.processes import PROGRAMS, Run, run, serving
from flows.run.local_server import ensure_server

YEARS = 10
SERIES = 64
PROGRAMS_OF = {"ours": "history_backfill", "raw": "history_download", "pandas": "history_pandas"}


def measure() -> list[Row]:
    """The rows per second of whole processes, with a running Prefect server, and the peak memory for two and for ten
    years."""
    environment = {"PREFECT_API_URL": ensure_server(), "EIA_API_KEY": "benchmark-key"}
    with (
        patch.dict(os.environ, environment),
        serving(sys.executable, str(PROGRAMS / "eia_history.py")) as base,
        tempfile.TemporaryDirectory() as folder,
    ):
        ten_years = {name: _run_backfill(name, base, YEARS, folder) for name in PROGRAMS_OF}
        two_years = _run_backfill("ours", base, 2, folder)
    speed = {name: YEARS * 8760 * SERIES / run_of_program.wall for name, run_of_program in ten_years.items()}
    return [
        {
            "name": f"backfill of {YEARS} years, {YEARS * 8760 * SERIES / 1e6:.1f} M rows, through Prefect",
            "unit": "rows/s",
            "ours": speed["ours"],
            "peer": speed["pandas"],
            "peer_name": "requests + pandas",
            "limit": speed["raw"],
            "limit_name": "raw download",
        },
        {
            "name": f"backfill of {YEARS} years, peak memory",
            "unit": "MB",
            "ours": ten_years["ours"].peak_mb,
            "peer": ten_years["pandas"].peak_mb,
            "peer_name": "requests + pandas",
            "limit": two_years.peak_mb,
            "limit_name": "ours, 2 years",
        },
    ]


def _run_backfill(name: str, base: str, years: int, folder: str) -> Run:
    return run(PROGRAMS_OF[name], base, str(years), str(Path(folder) / f"{name}-{years}"))
