"""The flows as commands: followed on a terminal, told as a table."""

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

from deployments.cli.blocks import prefect_api
from deployments.cli.console import FAILED, counted, err, out, text_table
from deployments.machine.worker import machine_lock
from deployments.registry.changes import Change
from deployments.registry.deploy import register_deployments
from flows import compact as compacting
from flows import monitor as monitor_module
from flows import replay as replaying
from flows.backfill import backfill as backfill_flow
from flows.ingest import ingest as ingest_flow
from flows.monitor import is_open, note
from flows.prepare_training import prepare_training as prepare_flow
from flows.retention import retention as retention_flow
from flows.run.progress import watched
from flows.run.report import RunError, as_rows
from gridtide import sandbox as embedded
from gridtide.entries.entry import Config
from gridtide.errors import ConfigurationError, GridtideError
from gridtide.periods import Period
from tasks.notify.deliver import read_receivers, send_message

Report = dict[str, Any]


Took = defaultdict[str, float]
"""To which a run adds, by entry, after how many seconds the entry was done."""


NOTES = 3
"""Of how many chunks of an entry a table tells what there is to say; all of it is in the UI."""


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
        report: Report = await ingest_flow(asked.config, asked.select, asked.lake, asked.sandbox, refresh)
    return report


async def run_backfill(
    asked: FlowOptions, period: Period, dry_run: bool = False, cluster: str | None = None, took: Took | None = None
) -> Report:
    """Run the flow under a progress bar; raises its `RunError`, which carries the report."""
    with progress("Backfilling", took):
        report: Report = await backfill_flow(
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
        report: Report = await compacting.compact(asked.config, asked.select, asked.lake, cluster)
    return report


async def run_retention(asked: FlowOptions, days: int, dry_run: bool) -> Report:
    """Run the flow under a progress bar; raises its `RunError`, which carries the report."""
    with progress("Looking through raw/"):
        report: Report = await retention_flow(asked.config, asked.select, asked.lake, days, dry_run)
    return report


async def run_replay(asked: FlowOptions, start: str | None, end: str | None, dry_run: bool) -> Report:
    """Run the flow under a progress bar; raises its `RunError`, which carries the report."""
    with progress("Replaying"):
        report: Report = await replaying.replay(asked.config, asked.select, asked.lake, start, end, dry_run)
    return report


async def run_prepare(spec: str, config: str, lake: str | None, cluster: str | None = None) -> Report:
    """Run the flow."""
    with err.status("Preparing the training set"):
        report: Report = await prepare_flow(spec, config, lake, cluster)
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
        await told(run_ingest(asked, refresh), show_ingest)


async def backfilled(asked: FlowOptions, period: Period, dry_run: bool, cluster: str | None) -> None:
    """The command `backfill`."""
    async with server(asked.sandbox):
        await told(run_backfill(asked, period, dry_run, cluster), show_backfill)


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
        await told(run_monitor(asked, days, dry_run), show_monitor)


async def compacted(asked: FlowOptions, cluster: str | None) -> None:
    """The command `compact`."""
    async with server(sandbox=False):
        await told(run_compact(asked, cluster), show_compact)


async def replayed(asked: FlowOptions, start: str | None, end: str | None, dry_run: bool) -> None:
    """The command `replay`."""
    async with server(sandbox=False):
        await told(run_replay(asked, start, end, dry_run), show_replay)


async def cleared(asked: FlowOptions, days: int, dry_run: bool) -> None:
    """The command `retention`."""
    async with server(sandbox=False):
        await told(run_retention(asked, days, dry_run), show_retention)


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


async def told(run: Awaitable[Report], show: Callable[[Report], None]) -> None:
    """Await `run` and show its report, also when some of it failed."""
    try:
        show(await run)
    except RunError as error:
        show(error.report)
        raise


def show_ingest(report: Report) -> None:
    """Print what came of each entry."""
    rows = [
        (row["entry"], row["status"], f"{row['rows']:,}", f"{row['seconds']:.2f}", row["note"] or row["file"])
        for row in as_rows(report)
    ]
    out.print(text_table(("entry", "", "rows", "seconds", "file"), rows, right=("rows", "seconds")))
    _show_summary(report)


def show_backfill(report: Report) -> None:
    """Print how many chunks of each entry were missing and what came of them."""
    rows = [
        (
            row["name"],
            "failed" if row["failed"] else "skipped" if row["skipped"] else "open" if _is_open(row) else "ok",
            str(row["chunks"]),
            str(row["collected"]),
            f"{row['rows']:,}",
            _few([*row["errors"], *row["warnings"]]) or row["skipped"] or f"covered before: {row['covered']}",
        )
        for row in report["results"]
    ]
    columns = ("entry", "", "missing chunks", "collected", "rows", "note")
    out.print(text_table(columns, rows, right=("missing chunks", "collected", "rows")))
    _show_summary(report)


def _is_open(row: dict[str, Any]) -> bool:
    """Whether something of an entry is missing although all that was missing was asked for."""
    return bool(row["collected"] and row["missing"])


def _few(said: list[str]) -> str:
    more = f"; and {len(said) - NOTES} more" if len(said) > NOTES else ""
    return "; ".join(said[:NOTES]) + more


def show_monitor(report: Report) -> None:
    """Print what was lacking of each entry, what of it was collected, and what is open."""
    rows = [
        (
            row["name"],
            "open" if is_open(row) else "skipped" if row["skipped"] else "ok",
            *(str(len(row[key])) for key in ("gaps", "revisions")),
            f"{row['collected']} of {row['chunks']}",
            f"{row['rows']:,}",
            note(row),
        )
        for row in report["results"]
    ]
    columns = ("entry", "", "gaps", "revisions", "collected", "rows", "note")
    out.print(text_table(columns, rows, right=columns[2:6]))
    _show_summary(report)


def show_compact(report: Report) -> None:
    """Print what went in of each entry, and which months were written."""
    rows = [
        (row["entry"], row["status"], f"{row['files']:,}", f"{row['rows']:,}", f"{row['months']:,}", row["note"])
        for row in compacting.as_rows(report)
    ]
    out.print(text_table(("entry", "", "files", "rows", "months", "note"), rows, right=("files", "rows", "months")))
    summary = report["summary"]
    files, months = counted(summary["files"], "file", "files"), counted(summary["months"], "month", "months")
    out.print(f"{files} into {months} in {summary['seconds']:.1f} s")


def show_replay(report: Report) -> None:
    """Print what came of each entry's collections."""
    numbers = ("collections", "unchanged", "rewritten", "interrupted", "failed")
    rows = [(row["name"], *(f"{row[key]:,}" for key in numbers), row["note"]) for row in replaying.as_rows(report)]
    out.print(text_table(("entry", *numbers, "note"), rows, right=numbers))
    _show_summary(report)


def show_retention(report: Report) -> None:
    """Print how many bodies of each entry expired."""
    rows = [
        (row["name"], f"{row['bodies']:,}", f"{row['bytes'] / 1e6:,.1f}", row["error"] or row["oldest"] or "")
        for row in report["results"]
    ]
    out.print(text_table(("entry", "bodies", "MB", "oldest"), rows, right=("bodies", "MB")))
    removed = sum(row["removed"] for row in report["results"])
    said = "nothing was removed; --remove does it" if report["dry_run"] else f"{removed:,} removed"
    out.print(f"{counted(report['summary']['bodies'], 'body', 'bodies')} expired, {said}")


def _show_summary(report: Report) -> None:
    summary = report["summary"]
    out.print(f"{counted(summary['rows'], 'row', 'rows')} in {summary['seconds']:.1f} s")


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
