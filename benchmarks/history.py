"""Measures reading 1,200 overlapping snapshots as an hourly matrix of the newest values, beside pandas and the
limit."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import snapshots
from benchmarks.processes import run
from gridtide import curated
from gridtide.lake import Lake

GOAL_MB = 200.0

Row = dict[str, object]


def measure(repeats: int = 3) -> list[Row]:
    """The rows of the table: seconds and memory with the collected files, and with the compacted months."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        lake = Lake.open(str(folder / "lake"))
        np.save(folder / "expected.npy", asyncio.run(snapshots.fill(lake)))
        files = _run_programs(scratch, repeats, "snapshots_gridtide", "snapshots_pandas", "snapshots_columns")
        started = time.perf_counter()
        compaction = asyncio.run(curated.compact(lake, snapshots.ENTRY))
        seconds = time.perf_counter() - started
        months = _run_programs(scratch, repeats, "snapshots_gridtide", "snapshots_pandas", "snapshots_columns")
    return [
        *_build_rows(f"{compaction.files:,} snapshots", files),
        *_build_rows(f"the same in {len(set(compaction.months))} months", months),
        _build_row("compacting them", "rows/s", compaction.rows / seconds, None, None, ""),
    ]


def _build_rows(name: str, figures: dict[str, dict[str, float]]) -> list[Row]:
    ours, peer, limit = (figures[f"snapshots_{program}"] for program in ("gridtide", "pandas", "columns"))
    return [
        _build_row(
            f"{name}: newest by hour", "s", ours["seconds"], peer["seconds"], limit["seconds"], "reading 4 columns"
        ),
        _build_row(f"{name}: CPU", "s", ours["cpu"], peer["cpu"], limit["cpu"], "reading 4 columns"),
        _build_row(f"{name}: memory beyond the result", "MB", ours["mb"], peer["mb"], GOAL_MB, "goal"),
    ]


def _run_programs(folder: str, repeats: int, *programs: str) -> dict[str, dict[str, float]]:
    """The least of each figure that the `programs` print; they run in turn, as other load only adds time."""
    figures: dict[str, list[dict[str, float]]] = {program: [] for program in programs}
    for _ in range(repeats):
        for program in programs:
            figures[program].append(json.loads(run(program, folder).output))
    return {
        program: {figure: min(run_figures[figure] for run_figures in runs) for figure in runs[0]}
        for program, runs in figures.items()
    }


def _build_row(name: str, unit: str, ours: float, peer: float | None, limit: float | None, limit_name: str) -> Row:
    return {
        "name": name,
        "unit": unit,
        "ours": ours,
        "peer": peer,
        "peer_name": "pandas.concat",
        "limit": limit,
        "limit_name": limit_name,
    }
