"""The demo: runs every step once with simulated upstreams, from an empty lake to a batch of training data."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deployments.cli import flow_commands
from deployments.cli.console import draw_table, err, out
from deployments.cli.flow_commands import Durations, FlowOptions, Report
from flows.prepare_training import PREPARE_LAYOUT
from flows.run.report import RunError
from gridtide import sandbox as embedded
from gridtide.entries.entry import Config, Entry
from gridtide.errors import list_first
from gridtide.periods import Period, floor
from gridtide.sources.registry import get_source

DEMO_SPEC = Path(__file__).parents[1] / "training" / "demo.json"


HISTORY = timedelta(days=60)
"""The length of the period that the demo backfills."""


async def run_demo(path: str, config: Config, lake: str) -> None:
    """Collect every entry of `config`, backfill the hourly entries, and prepare training data, all in `lake`.

    `path` is the file of `config`. Raises `RunError` if an entry failed, after the table of results is printed.
    """
    start_time = time.monotonic()
    end = floor(datetime.now(UTC), timedelta(hours=1))
    hourly = [entry.name for entry in config.apis if _is_hourly(entry)]
    ingested, backfilled, durations = None, None, Durations(float)
    async with embedded.run_sandbox() as sandbox, flow_commands.announced_server(sandbox):
        try:
            ingested = await flow_commands.run_ingest(
                FlowOptions(path, None, lake, sandbox), refresh=True, durations=durations
            )
            backfilled = await flow_commands.run_backfill(
                FlowOptions(path, hourly, lake, sandbox), Period(end - HISTORY, end), durations=durations
            )
        except RunError as error:
            _show_results(ingested or error.report, error.report if ingested else None, durations)
            raise
        training = await flow_commands.run_prepare(FlowOptions(path, lake=lake), str(DEMO_SPEC))
    _show_results(ingested, backfilled, durations)
    statistics = backfilled["statistics"]
    out.print(
        f"Backfill of {backfilled['period']}: {statistics['chunks']} chunks were missing, "
        f"{statistics['successful_chunks']} collected; data that was in the lake was not requested again",
        soft_wrap=True,
    )
    flow_commands.show_report(PREPARE_LAYOUT, training)
    _show_batch(Path(lake) / training["path"])
    out.print(f"The demo took {time.monotonic() - start_time:.0f} s. Commands to try next:")
    for command in _next_commands(lake):
        out.print(f"  {command}", soft_wrap=True)


def _is_hourly(entry: Entry) -> bool:
    return entry.tabular and entry.resolution == timedelta(hours=1) and get_source(entry.source).takes_period(entry)


def _show_results(ingested: Report, backfilled: Report | None, durations: Durations) -> None:
    """Print a row per entry: the rows of both runs, the seconds until it was complete, its files or its error."""
    history = {row["name"]: row for row in backfilled["results"]} if backfilled else {}
    rows = []
    for row in ingested["results"]:
        past = history.get(row["name"], {"rows": 0, "files": [], "errors": []})
        problem = row["error"] or "; ".join(past["errors"])
        files = [*past["files"], *([row["file"]] if row["file"] else [])]
        rows.append(
            (
                row["name"],
                f"{row['rows'] + past['rows']:,}",
                f"{durations[row['name']]:.1f}",
                problem or _name_files(files),
            )
        )
    out.print(draw_table(("entry", "rows", "seconds", "file"), rows, right=("rows", "seconds")))


def _name_files(files: list[str]) -> str:
    return list_first(files[::-1], 1)


def _show_batch(path: Path) -> None:
    """Print the shapes of the first batch as MLX arrays, if MLX is installed."""
    if importlib.util.find_spec("mlx") is None:
        err.print("MLX has no build for this platform; the training set is complete without it")
        return
    from gridtide.mlx_store import iterate_batches, open_store

    batch = next(iter(iterate_batches(open_store(path), "train", batch_size=8)))
    shapes = ", ".join(f"{name} {tuple(batch[name].shape)}" for name in ("x", "mask", "y"))
    out.print(f"The first MLX batch of 8: {shapes}")


def _next_commands(lake: str) -> list[str]:
    """Three commands to try next; each can be typed on this machine."""
    gridtide = "gridtide" if shutil.which("gridtide") else sys.argv[0]
    return [
        f"{gridtide} status --lake {lake}",
        f"{gridtide} ingest --sandbox --lake {lake} --select iso_ne_fuel_mix --refresh",
        f"{gridtide} validate --probe --sandbox",
    ]
