"""The flows as commands: followed on a terminal, told as a table."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
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

from deployments.cli.blocks import prefect_api
from deployments.cli.console import FAILED, counted, err, out, text_table
from deployments.machine.worker import machine_lock
from deployments.registry.changes import Change
from deployments.registry.deploy import register_deployments
from flows import backfill as backfill_module
from flows import compact as compact_module
from flows import ingest as ingest_module
from flows import monitor as monitor_module
from flows import replay as replay_module
from flows import retention as retention_module
from flows.prepare_training import prepare_training
from flows.run.progress import watched
from flows.run.report import ReportLayout, RunError, cell_text
from gridtide import sandbox as embedded
from gridtide.entries.entry import Config
from gridtide.errors import ConfigurationError, GridtideError
from gridtide.periods import Period
from tasks.notify.deliver import read_receivers, send_message

Report = dict[str, Any]


Took = defaultdict[str, float]
"""To which a run adds, by entry, after how many seconds the entry was done."""


@dataclass(frozen=True)
class FlowOptions:
    """What the flows that collect have in common; `sandbox` is False, True or the URL of one that runs."""

    config: str
    select: list[str] | None = None
    lake: str | None = None
    sandbox: bool | str = False


async def run_ingest(asked: FlowOptions, refresh: bool = False, took: Took | None = None) -> Report:
    """Run the flow under a progress bar; raises its `RunError`, which carries the report."""
    with progress("Collecting", took):
        report: Report = await ingest_module.ingest(asked.config, asked.select, asked.lake, asked.sandbox, refresh)
    return report


async def run_backfill(
    asked: FlowOptions, period: Period, dry_run: bool = False, cluster: str | None = None, took: Took | None = None
) -> Report:
    """Run the flow under a progress bar; raises its `RunError`, which carries the report."""
    with progress("Backfilling", took):
        report: Report = await backfill_module.backfill(
            period.start, period.end, asked.config, asked.select, asked.lake, asked.sandbox, dry_run, cluster
        )
    return report


async def run_monitor(asked: FlowOptions, days: int, dry_run: bool) -> Report:
    """Run the flow under a progress bar; raises its `RunError`, which carries the report."""
    with progress("Healing"):
        report: Report = await monitor_module.monitor(
            asked.config, asked.select, asked.lake, asked.sandbox, days, dry_run
        )
    return report


async def run_compact(asked: FlowOptions, cluster: str | None = None) -> Report:
    """Run the flow under a progress bar; raises its `RunError`, which carries the report."""
    with progress("Compacting"):
        report: Report = await compact_module.compact(asked.config, asked.select, asked.lake, cluster)
    return report


async def run_retention(asked: FlowOptions, days: int, dry_run: bool) -> Report:
    """Run the flow under a progress bar; raises its `RunError`, which carries the report."""
    with progress("Looking through raw/"):
        report: Report = await retention_module.retention(asked.config, asked.select, asked.lake, days, dry_run)
    return report


async def run_replay(asked: FlowOptions, start: str | None, end: str | None, dry_run: bool) -> Report:
    """Run the flow under a progress bar; raises its `RunError`, which carries the report."""
    with progress("Replaying"):
        report: Report = await replay_module.replay(asked.config, asked.select, asked.lake, start, end, dry_run)
    return report


async def run_prepare(spec: str, config: str, lake: str | None, cluster: str | None = None) -> Report:
    """Run the flow."""
    with err.status("Preparing the training set"):
        report: Report = await prepare_training(spec, config, lake, cluster)
    return report


@asynccontextmanager
async def server(sandbox: bool | str) -> AsyncIterator[None]:
    """A Prefect API for the flows inside, told once; and that the data is simulated, where it is."""
    async with AsyncExitStack() as stack:
        with err.status("Looking for the Prefect server, or starting one"):
            url = await stack.enter_async_context(prefect_api())
        err.print(f"Prefect UI: {url.removesuffix('/api')}")
        if sandbox:
            err.print(embedded.NOTICE)
        yield


async def collected(asked: FlowOptions, refresh: bool) -> None:
    """The command `ingest`."""
    async with server(asked.sandbox):
        await told(run_ingest(asked, refresh), ingest_module.LAYOUT)


async def backfilled(asked: FlowOptions, period: Period, dry_run: bool, cluster: str | None) -> None:
    """The command `backfill`."""
    async with server(asked.sandbox):
        await told(run_backfill(asked, period, dry_run, cluster), backfill_module.LAYOUT)


async def prepared(spec: str, config: str, lake: str | None, cluster: str | None) -> None:
    """The command `prepare`."""
    async with server(sandbox=False):
        show_training(await run_prepare(spec, config, lake, cluster))


async def show_deploy(config: Config, path: Path, lake: str | None, sandbox: bool | str, pool: str) -> None:
    """The command `deploy`."""
    async with server(sandbox):
        with machine_lock():
            show_changes(await register_deployments(config, path, lake, sandbox, pool))


async def monitored(asked: FlowOptions, days: int, dry_run: bool) -> None:
    """The command `monitor`."""
    async with server(asked.sandbox):
        await told(run_monitor(asked, days, dry_run), monitor_module.LAYOUT)


async def compacted(asked: FlowOptions, cluster: str | None) -> None:
    """The command `compact`."""
    async with server(sandbox=False):
        await told(run_compact(asked, cluster), compact_module.LAYOUT)


async def replayed(asked: FlowOptions, start: str | None, end: str | None, dry_run: bool) -> None:
    """The command `replay`."""
    async with server(sandbox=False):
        await told(run_replay(asked, start, end, dry_run), replay_module.LAYOUT)


async def cleared(asked: FlowOptions, days: int, dry_run: bool) -> None:
    """The command `retention`."""
    async with server(sandbox=False):
        await told(run_retention(asked, days, dry_run), retention_module.LAYOUT)


async def send_test_message() -> int:
    """The command `notify`: a test message to each receiver; returns the exit code."""
    rows = []
    async with server(sandbox=False), get_client() as client:
        for one in await read_receivers(client):
            try:
                await send_message(
                    client, one, "A test of Gridtide", "Nothing happened; this is how you are told when it does."
                )
                rows.append((one.name, "ok", "took it"))
            except GridtideError as error:
                rows.append((one.name, "failed", str(error)))
    if not rows:
        raise ConfigurationError("notify", "nobody is to be told", "Set GRIDTIDE_NOTIFY, then gridtide deploy")
    out.print(text_table(("receiver", "", "answer"), rows))
    return FAILED if any(row[1] == "failed" for row in rows) else 0


async def told(run: Awaitable[Report], layout: ReportLayout) -> None:
    """Await `run` and show its report, also when some of it failed."""
    try:
        show_report(layout, await run)
    except RunError as error:
        show_report(layout, error.report)
        raise


def show_report(layout: ReportLayout, report: Report) -> None:
    """Print a row per entry, and below it what came of all."""
    rows = layout.table(report)
    headings = [column.heading for column in layout.columns]
    numbers = [heading for heading in headings if any(not isinstance(row[heading], str) for row in rows)]
    out.print(text_table(headings, [[cell_text(cell) for cell in row.values()] for row in rows], right=numbers))
    out.print(layout.headline(report), soft_wrap=True)


class _Rate(ProgressColumn):
    """Pieces done in a minute, where that can be told."""

    def render(self, task: Task) -> Text:
        return Text(f"{60 * task.speed:,.0f}/min" if task.speed else "")


@contextmanager
def progress(title: str, took: Took | None = None) -> Iterator[None]:
    """A bar on the terminal that follows the flow called within."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    entry_column = TextColumn("{task.fields[entry]}")
    started = time.monotonic()
    with Progress(*columns, entry_column, console=err, transient=True, disable=not err.is_terminal) as bar:
        line = bar.add_task(title, total=None, entry="")
        pieces: dict[str, tuple[int, int]] = {}

        def follow(entry: str, done: int, total: int) -> None:
            pieces[entry] = done, total
            completed, wanted = (sum(numbers) for numbers in zip(*pieces.values(), strict=True))
            bar.update(line, completed=completed, total=wanted, entry=entry)
            if took is not None and 0 < total == done:
                took[entry] += time.monotonic() - started

        with watched(follow):
            yield


def show_changes(changes: Sequence[Change]) -> None:
    """Print what became of each deployment."""
    rows = [(change.name, change.done, ", ".join(change.what)) for change in changes]
    out.print(text_table(("deployment", "", "what"), rows))


def show_training(report: Report) -> None:
    """Print what is in a training set."""
    shape = report["shape"]
    windows = ", ".join(f"{count} {name}" for name, count in report["splits"].items())
    locations = counted(shape["locations"], "location", "locations")
    inputs, targets = counted(shape["features"], "input", "inputs"), counted(shape["targets"], "target", "targets")
    out.print(
        f"Training set {report['path']}: {locations}, {shape['steps']} hours, {inputs}, {targets}; "
        f"windows of {shape['seq_len']} + {shape['horizon']} hours: {windows}",
        soft_wrap=True,
    )
