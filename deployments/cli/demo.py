"""Everything once against simulated upstreams, from nothing to a batch of training data."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deployments.cli import flow_commands
from deployments.cli.console import err, out, text_table
from deployments.cli.flow_commands import FlowOptions, Report, Took
from flows.run.report import RunError
from gridtide import sandbox as embedded
from gridtide.entries.entry import Config
from gridtide.periods import Period, floor
from gridtide.sources.registry import source

SPEC = Path(__file__).parents[1] / "training" / "demo.json"


HOUR = timedelta(hours=1)


HISTORY = timedelta(days=60)


async def run_demo(path: str, config: Config, lake: str) -> None:
    """Collect every entry of `config`, backfill its hourly ones, and prepare training data, all in `lake`.

    Raises `RunError` where an entry failed, after the table that says what came of the others.
    """
    started = time.monotonic()
    end = floor(datetime.now(UTC), HOUR)
    hourly = [e.name for e in config.apis if e.tabular and e.resolution == HOUR and source(e.source).takes_period(e)]
    ingested, filled, took = None, None, Took(float)
    async with embedded.running() as sandbox, flow_commands.server(sandbox):
        try:
            ingested = await flow_commands.run_ingest(FlowOptions(path, None, lake, sandbox), refresh=True, took=took)
            filled = await flow_commands.run_backfill(
                FlowOptions(path, hourly, lake, sandbox), Period(end - HISTORY, end), took=took
            )
        except RunError as error:
            _show(ingested or error.report, error.report if ingested else None, took)
            raise
        training = await flow_commands.run_prepare(str(SPEC), path, lake)
    _show(ingested, filled, took)
    done = filled["statistics"]
    out.print(
        f"Backfill of {filled['period']}: {done['chunks']} chunks were missing, {done['successful_chunks']} fetched; "
        "what was there already was not asked for again",
        soft_wrap=True,
    )
    flow_commands.show_training(training)
    _show_batch(Path(lake) / training["path"])
    out.print(f"All of it took {time.monotonic() - started:.0f} s. What to try next:")
    for command in _next(lake):
        out.print(f"  {command}", soft_wrap=True)


def _show(ingested: Report, filled: Report | None, took: Took) -> None:
    """One line per entry: the rows of both runs, after how many seconds it was done, its files or what went wrong."""
    history = {row["name"]: row for row in filled["results"]} if filled else {}
    rows = []
    for row in ingested["results"]:
        past = history.get(row["name"], {"rows": 0, "files": [], "errors": []})
        problem = row["error"] or "; ".join(past["errors"])
        files = [*past["files"], *([row["file"]] if row["file"] else [])]
        rows.append(
            (row["name"], f"{row['rows'] + past['rows']:,}", f"{took[row['name']]:.1f}", problem or _files(files))
        )
    out.print(text_table(("entry", "rows", "seconds", "file"), rows, right=("rows", "seconds")))


def _files(files: list[str]) -> str:
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return f"{files[-1]}{more}" if files else ""


def _show_batch(path: Path) -> None:
    """Print the shapes of the first batch as MLX arrays, where there is MLX."""
    if importlib.util.find_spec("mlx") is None:
        err.print("MLX has no build for this platform; the training set is written all the same")
        return
    from gridtide.mlx_store import iterate_batches, open_store

    batch = next(iter(iterate_batches(open_store(path), "train", batch_size=8)))
    shapes = ", ".join(f"{name} {tuple(batch[name].shape)}" for name in ("x", "mask", "y"))
    out.print(f"The first MLX batch of 8: {shapes}")


def _next(lake: str) -> list[str]:
    """Three commands, as they can be typed here."""
    gridtide = "gridtide" if shutil.which("gridtide") else sys.argv[0]
    return [
        f"{gridtide} status --lake {lake}",
        f"{gridtide} ingest --sandbox --lake {lake} --select iso_ne_fuel_mix --refresh",
        f"{gridtide} validate --probe --sandbox",
    ]
