"""Measures a backfill, its compaction and its training set on a Dask cluster of one and of two processes.

The upstream, the flow and the Prefect server run on the same cores, and cores share caches and memory. So two
processes cannot be twice as fast as one. Plain processes, measured in turn with the cluster, show how much faster
they can be.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.ingest import Row
from benchmarks.processes import PROGRAMS, Run, run, serving
from flows.run.local_server import ensure_server

NODES = (1_000, 3_000)
"""Of the months that are compacted to see what a row more takes."""

ARROW = 72
"""Bytes of a row as Arrow holds it to be compacted."""

ROUNDS = 100
"""Of the work that needs nothing but CPU: a second or two."""

PLAIN = 5
"""How often that is measured in a turn: what else runs on the machine halves it for moments."""

YEARS = 3
STEPS = {"backfill": "rows", "compact": "rows", "prepare": "cells"}
"""What each handles."""

Figures = dict[str, dict[str, float]]


def measure(repeats: int = 2) -> list[Row]:
    """The least time of each step with one and two processes, run in turn, and the CPU time without a cluster."""
    environment = {"PREFECT_API_URL": ensure_server(), "EIA_API_KEY": "benchmark-key", "PREFECT_LOGGING_LEVEL": "ERROR"}
    figures: dict[int, list[Figures]] = {0: [], 1: [], 2: []}
    plain: dict[int, list[float]] = {1: [], 2: []}
    with (
        patch.dict(os.environ, environment),
        serving(sys.executable, str(PROGRAMS / "eia_history.py")) as base,
        tempfile.TemporaryDirectory() as folder,
    ):
        for turn in range(repeats):
            for processes, seconds in plain.items():
                seconds += [_run_plain_work(processes) for _ in range(PLAIN)]
            for processes, runs in figures.items():
                output = run(
                    "cluster_history", base, str(YEARS), str(Path(folder, f"{processes}-{turn}")), str(processes)
                )
                runs.append(json.loads(output.output.splitlines()[-1]))
    gain = min(2 * min(plain[1]) / min(plain[2]), 2.0)  # more is what else ran while one process was measured
    rows = [row for step in STEPS for row in _compare_runs(step, figures, gain)]
    return [_describe_machine(gain), *rows, _describe_task(figures[1]), *_measure_month()]


def _run_plain_work(processes: int) -> float:
    """The seconds until the last of `processes` plain processes, started at the same time, has done its work."""
    with ThreadPoolExecutor(processes) as pool:
        runs = list(pool.map(lambda _: run("plain_work", str(ROUNDS)), range(processes)))
    return max(float(figures_of_run.output) for figures_of_run in runs)


def _describe_machine(gain: float) -> Row:
    name = "pure CPU work of 2 plain processes at once on this machine"
    none: Row = {"peer": None, "peer_name": "", "limit": 2.0, "limit_name": "two cores that share nothing"}
    return {"name": name, "unit": "× one process", "ours": gain, **none}


def _compare_runs(step: str, figures: dict[int, list[Figures]], gain: float) -> list[Row]:
    """The speed and CPU time of a step, compared with one process and with no cluster.

    Two plain processes do `gain` times the work of one. The time of the busiest process is the time of the step if
    each process has a core.
    """
    pieces = STEPS[step]
    count = figures[0][0][step][pieces]
    wall, cpu, busiest = (
        {processes: min(figures_of_run[step][what] for figures_of_run in runs) for processes, runs in figures.items()}
        for what in ("wall", "cpu", "busiest")
    )
    name = f"{step} of {YEARS} years, {count / 1e6:.1f} M {pieces}"
    speed = {
        "peer": count / wall[1],
        "peer_name": "1 process",
        "limit": gain * count / wall[1],
        "limit_name": f"{gain:.2f} times that, as plain processes",
    }
    even = {"peer": busiest[1], "peer_name": "1 process", "limit": busiest[1] / 2, "limit_name": "half of that"}
    none = {"peer": 1e6 * cpu[0] / count, "peer_name": "no cluster", "limit": None, "limit_name": ""}
    return [
        {"name": f"{name}, Dask cluster of 2 processes", "unit": f"{pieces}/s", "ours": count / wall[2], **speed},
        {"name": f"{name}, CPU of the busiest of 2 processes", "unit": "s", "ours": busiest[2], **even},
        {"name": f"{name}, CPU on a cluster", "unit": f"s/M {pieces}", "ours": 1e6 * cpu[1] / count, **none},
    ]


def _describe_task(runs: list[Figures]) -> Row:
    tasks_figures: dict[str, Any] = min(
        (figures_of_run["tasks"] for figures_of_run in runs), key=lambda tasks: tasks["cpu"]
    )
    spent = 1000 * tasks_figures["cpu"] / tasks_figures["tasks"]
    row: Row = {"name": "an empty task run on a worker, CPU of worker and flow", "unit": "ms", "ours": spent}
    return row | {"peer": None, "peer_name": "", "limit": None, "limit_name": ""}


def _measure_month() -> list[Row]:
    """The memory and CPU time of a row in the compaction of a month, and the size of a row on disk before and after.

    All prices are different, so real data takes no more space.
    """
    runs: list[tuple[int, Run]] = []
    for nodes in NODES:
        with tempfile.TemporaryDirectory() as folder:
            run("nodal_month", folder, str(nodes), "fill")
            files = _count_bytes(folder)
            compaction = run("nodal_month", folder, str(nodes), "compact")
            month = _count_bytes(folder) - files
            runs.append((int(compaction.output), compaction))
    (few, small), (many, large) = runs
    more = (many - few) / 1e6
    name = f"compacting a month of {NODES[1]:,} nodes, {many / 1e6:.1f} M rows"
    none: Row = {"peer": None, "peer_name": "", "limit": None, "limit_name": ""}
    memory = (large.peak_mb - small.peak_mb) * 2**20 / 1e6 / more
    return [
        {"name": f"{name}, memory", "unit": "B/row", "ours": memory, **none, "limit": ARROW, "limit_name": "as Arrow"},
        {"name": f"{name}, CPU", "unit": "s/M rows", "ours": (large.cpu - small.cpu) / more, **none},
        {"name": f"{name}, the files", "unit": "B/row", "ours": files / many, **none},
        {"name": f"{name}, the month", "unit": "B/row", "ours": month / many, **none},
    ]


def _count_bytes(folder: str) -> int:
    """The size of all Parquet files in `folder`."""
    return sum(path.stat().st_size for path in Path(folder).rglob("*.parquet"))
