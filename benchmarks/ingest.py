"""Measures the rows per second of an ingest as a whole cold process, beside a raw download and two peers."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.processes import Run, run, serving

SERVER = Path(__file__).resolve().parents[2] / "shared" / "measured" / "ingest" / "server.py"
"""An EIA v2 imitation with 40 rows an hour, served from memory."""

YEAR = 350_400
PROGRAMS = {
    "raw download": ("raw_download",),
    "gridtide": ("gridtide_collect", "no-raw"),
    "gridtide with raw/": ("gridtide_collect", "raw"),
    "dlt, hand-tuned": ("dlt_tuned",),
    "requests + pandas": ("pandas_loop",),
}
Row = dict[str, object]


def measure(repeats: int = 3) -> list[Row]:
    """The rows of the ingest table; empty, with a message, if the imitation of EIA does not exist."""
    if not SERVER.is_file():
        print(f"ingest: left out, {SERVER.name} is not beside the project")
        return []
    year = {latency: _find_medians(YEAR, latency, repeats) for latency in (0, 200)}
    four = _find_medians(4 * YEAR, 0, repeats, only=("raw download", "gridtide", "dlt, hand-tuned"))
    rows: list[Row] = []
    for latency, medians in year.items():
        speed = {name: YEAR / measured_run.wall for name, measured_run in medians.items()}
        for name in ("gridtide", "gridtide with raw/"):
            rows.append(
                _build_row(
                    f"ingest of a year, {latency} ms, {name}",
                    "rows/s",
                    speed[name],
                    speed["dlt, hand-tuned"],
                    "dlt, hand-tuned",
                    speed["raw download"],
                    "raw download",
                )
            )
        rows.append(
            _build_row(
                f"ingest of a year, {latency} ms, CPU",
                "s",
                medians["gridtide"].cpu,
                medians["requests + pandas"].cpu,
                "requests + pandas",
                medians["raw download"].cpu,
                "raw download",
            )
        )
    marginal = {name: 3 * YEAR / (four[name].wall - year[0][name].wall) for name in four}
    rows.append(
        _build_row(
            "ingest, marginal from 350 k to 1.4 M rows",
            "rows/s",
            marginal["gridtide"],
            marginal["dlt, hand-tuned"],
            "dlt, hand-tuned",
            marginal["raw download"],
            "raw download",
        )
    )
    for label, medians in (("350 k rows", year[0]), ("1.4 M rows", four)):
        rows.append(
            _build_row(
                f"ingest, peak memory at {label}",
                "MB",
                medians["gridtide"].peak_mb,
                medians["dlt, hand-tuned"].peak_mb,
                "dlt, hand-tuned",
                200.0,
                "goal",
            )
        )
    return rows


def _build_row(name: str, unit: str, ours: float, peer: float, peer_name: str, limit: float, limit_name: str) -> Row:
    return {
        "name": name,
        "unit": unit,
        "ours": ours,
        "peer": peer,
        "peer_name": peer_name,
        "limit": limit,
        "limit_name": limit_name,
    }


def _find_medians(rows: int, latency: int, repeats: int, only: tuple[str, ...] = tuple(PROGRAMS)) -> dict[str, Run]:
    """The median run of each program. All programs run in turn `repeats` times, after one warm-up."""
    runs: dict[str, list[Run]] = {name: [] for name in only}
    command = (sys.executable, str(SERVER), "--hours", str(rows // 40), "--latency-ms", str(latency))
    with serving(*command) as base, tempfile.TemporaryDirectory() as scratch:
        for turn in range(repeats + 1):
            for name in only:
                program, *extra = PROGRAMS[name]
                folder = str(Path(scratch) / f"{name}-{turn}".replace(" ", "_").replace("/", ""))
                measured_run = run(program, base, str(rows), folder, *extra)
                if turn:
                    runs[name].append(measured_run)
    by_time = {name: sorted(program_runs, key=lambda process: process.wall) for name, program_runs in runs.items()}
    return {name: ordered[len(ordered) // 2] for name, ordered in by_time.items()}


if __name__ == "__main__":
    for row in measure(int(sys.argv[1]) if len(sys.argv) > 1 else 3):
        print(row)
