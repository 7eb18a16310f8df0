"""Runs flows from the command line, with a progress bar, and prints the table of their report at the end."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from deployments.cli.console import FAILED, draw_table, err, out
from deployments.machine.prefect_api import connect_prefect
from deployments.machine.worker import lock_machine
from deployments.registry.changes import Change
from deployments.registry.deploy import register_deployments
from flows.backfill import BACKFILL_LAYOUT, backfill
from flows.compact import COMPACT_LAYOUT, compact
from flows.describing.quality import quality
from flows.evaluate import EVALUATE_LAYOUT, evaluate
from flows.ingest import INGEST_LAYOUT, ingest
from flows.monitor import MONITOR_LAYOUT, monitor
from flows.prepare_training import PREPARE_LAYOUT, prepare_training
from flows.replay import REPLAY_LAYOUT, replay
from flows.retention import RETENTION_LAYOUT, retention
from flows.run.judging.quality_report import QUALITY_LAYOUT
from flows.run.progress import watch_progress
from flows.run.report import ReportLayout, RunError, format_cell
from gridtide import sandbox as embedded
from gridtide.config.loading import load
from gridtide.entries.entry import Config
from gridtide.errors import ConfigurationError, GridtideError
from gridtide.evaluation.folds import Scheme
from gridtide.lake import Lake
from gridtide.periods import Period
from gridtide.training.manifest import read_manifest
from tasks.notify.deliver import read_receivers, send_message

Report = dict[str, Any]


Durations = defaultdict[str, float]
"""Seconds from the start of a run until an entry was complete, by entry; runs add to it."""


TEST_MESSAGE = "This is a test. Notifications of problems will arrive here."


@dataclass(frozen=True)
class FlowOptions:
    """The parameters that the flows share; `sandbox` is False, True (start one) or the URL of one that runs."""

    config: str
    select: list[str] | None = None
    lake: str | None = None
    sandbox: bool | str = False


async def run_ingest(options: FlowOptions, refresh: bool = False, durations: Durations | None = None) -> Report:
    """Run the flow under a progress bar; raises its `RunError`, which carries the report."""
    with show_progress("Collecting", durations):
        report: Report = await ingest(options.config, options.select, options.lake, options.sandbox, refresh)
    return report


async def run_backfill(
    options: FlowOptions,
    period: Period,
    dry_run: bool = False,
    cluster: str | None = None,
    refresh: bool = False,
    durations: Durations | None = None,
) -> Report:
    """Run the flow under a progress bar; raises its `RunError`, which carries the report."""
    start, end = period.start, period.end
    with show_progress("Backfilling", durations):
        report: Report = await backfill(
            start, end, options.config, options.select, options.lake, options.sandbox, dry_run, cluster, refresh
        )
    return report


async def run_monitor(options: FlowOptions, days: int, dry_run: bool) -> Report:
    """Run the flow under a progress bar; raises its `RunError`, which carries the report."""
    with show_progress("Filling gaps"):
        report: Report = await monitor(options.config, options.select, options.lake, options.sandbox, days, dry_run)
    return report


async def run_compact(options: FlowOptions, cluster: str | None = None, prune: bool = False) -> Report:
    """Run the flow under a progress bar; raises its `RunError`, which carries the report."""
    with show_progress("Compacting"):
        report: Report = await compact(options.config, options.select, options.lake, cluster, prune)
    return report


async def run_retention(options: FlowOptions, days: int, dry_run: bool, run_days: int) -> Report:
    """Run the flow under a progress bar; raises its `RunError`, which carries the report."""
    with show_progress("Finding what is old"):
        report: Report = await retention(options.config, options.select, options.lake, days, dry_run, run_days)
    return report


async def run_quality(options: FlowOptions, days: int) -> Report:
    """Run the flow under a progress bar; raises its `RunError`, which carries the report."""
    with show_progress("Judging"):
        report: Report = await quality(options.config, options.select, options.lake, days)
    return report


async def run_replay(options: FlowOptions, start: str | None, end: str | None, dry_run: bool) -> Report:
    """Run the flow under a progress bar; raises its `RunError`, which carries the report."""
    with show_progress("Replaying"):
        report: Report = await replay(options.config, options.select, options.lake, start, end, dry_run)
    return report


async def run_prepare(
    options: FlowOptions,
    spec: str | None,
    cluster: str | None = None,
    replace: bool = False,
    files_of: str | None = None,
    out_address: str | None = None,
    extend: bool = False,
) -> Report:
    """Run the flow `prepare_training` of the training spec at the path `spec`, or else of the manifest `files_of`."""
    with err.status("Preparing the training set"):
        if spec is None:
            lake = Lake.open(options.lake or load(options.config).lake, make=False)
            content: str | dict[str, Any] = (await read_manifest(str(files_of), lake))["spec"]
        else:
            content = spec
        report: Report = await prepare_training(
            content, options.config, options.lake, cluster, replace, files_of, out_address, extend
        )
    return report


async def run_evaluate(
    options: FlowOptions,
    source: str,
    models: Sequence[str],
    scheme: Scheme,
    folds: int,
    target: int,
    quantiles: bool,
    hidden: Sequence[str],
    out_address: str | None,
) -> Report:
    """Run the flow `evaluate` on the set, or the training spec, `source`, under a progress bar of folds."""
    with show_progress("Comparing forecasters"):
        report: Report = await evaluate(
            source, options.config, options.lake, models, scheme, folds, target, quantiles, hidden, out_address
        )
    return report


@asynccontextmanager
async def announced_server(sandbox: bool | str = False) -> AsyncIterator[None]:
    """Connect the flows of this context to a Prefect API; print the URL of its UI, and with `sandbox` a notice."""
    async with AsyncExitStack() as stack:
        with err.status("Connecting to the Prefect server; a local server is started if none runs"):
            url = await stack.enter_async_context(connect_prefect())
        err.print(f"Prefect UI: {url.removesuffix('/api')}")
        if sandbox:
            err.print(embedded.NOTICE)
        yield


RUNNERS: dict[str, tuple[Callable[..., Awaitable[Report]], ReportLayout]] = {
    "ingest": (run_ingest, INGEST_LAYOUT),
    "backfill": (run_backfill, BACKFILL_LAYOUT),
    "monitor": (run_monitor, MONITOR_LAYOUT),
    "compact": (run_compact, COMPACT_LAYOUT),
    "quality": (run_quality, QUALITY_LAYOUT),
    "retention": (run_retention, RETENTION_LAYOUT),
    "replay": (run_replay, REPLAY_LAYOUT),
    "prepare": (run_prepare, PREPARE_LAYOUT),
    "evaluate": (run_evaluate, EVALUATE_LAYOUT),
}
"""The function that runs the flow of each command, and the layout of its report."""


async def run_and_show(command: str, options: FlowOptions, *arguments: Any) -> None:
    """Run the flow of `command` with a Prefect API, and print its report, even if a part of the run failed.

    Raises the `RunError` of the flow after its report is printed.
    """
    run, layout = RUNNERS[command]
    async with announced_server(options.sandbox):
        try:
            show_report(layout, await run(options, *arguments))
        except RunError as error:
            show_report(layout, error.report)
            raise


async def show_deploy(config: Config, path: Path, lake: str | None, sandbox: bool | str, pool: str) -> None:
    """Register the deployments and print what changed."""
    async with announced_server(sandbox):
        with lock_machine():
            show_changes(await register_deployments(config, path, lake, sandbox, pool))


async def send_test_message() -> int:
    """Send a test message to each receiver and print whether it accepted the message; returns the exit code.

    Raises `ConfigurationError` if there is no receiver.
    """
    rows = []
    async with announced_server(), get_client() as client:
        for receiver in await read_receivers(client):
            try:
                await send_message(client, receiver, "A test of Gridtide", TEST_MESSAGE)
                rows.append((receiver.name, "ok", "accepted"))
            except GridtideError as error:
                rows.append((receiver.name, "failed", str(error)))
    if not rows:
        raise ConfigurationError("notify", "there is no receiver", "Set GRIDTIDE_NOTIFY, then gridtide deploy")
    out.print(draw_table(("receiver", "", "answer"), rows))
    return FAILED if any(row[1] == "failed" for row in rows) else 0


def show_report(layout: ReportLayout, report: Report) -> None:
    """Print the table of the report, and below its headline and its findings."""
    rows = layout.table(report)
    headings = [column.heading for column in layout.columns]
    numbers = [heading for heading in headings if any(not isinstance(row[heading], str) for row in rows)]
    out.print(draw_table(headings, [[format_cell(cell) for cell in row.values()] for row in rows], right=numbers))
    out.print(layout.headline(report), soft_wrap=True, markup=False)
    for sentence in layout.list_findings(report):
        out.print(f"  {sentence}", soft_wrap=True, markup=False)


class _RateColumn(ProgressColumn):
    """Completed chunks per minute, once the speed is known."""

    def render(self, task: Task) -> Text:
        return Text(f"{60 * task.speed:,.0f}/min" if task.speed else "")


@contextmanager
def show_progress(title: str, durations: Durations | None = None) -> Iterator[None]:
    """Show a progress bar on the terminal for the flow that is called in this context."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    entry_column = TextColumn("{task.fields[entry]}")
    start_time = time.monotonic()
    with Progress(*columns, entry_column, console=err, transient=True, disable=not err.is_terminal) as bar:
        line = bar.add_task(title, total=None, entry="")
        counts: dict[str, tuple[int, int]] = {}

        def follow(entry: str, completed: int, total: int) -> None:
            counts[entry] = completed, total
            all_completed, all_chunks = (sum(numbers) for numbers in zip(*counts.values(), strict=True))
            bar.update(line, completed=all_completed, total=all_chunks, entry=entry)
            if durations is not None and 0 < total == completed:
                durations[entry] += time.monotonic() - start_time

        with watch_progress(follow):
            yield


def show_changes(changes: Sequence[Change]) -> None:
    """Print what changed in each deployment, automation and receiver."""
    rows = [(change.name, change.action, ", ".join(change.parts)) for change in changes]
    out.print(draw_table(("deployment", "", "what"), rows))
