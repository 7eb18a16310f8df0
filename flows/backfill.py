"""Fill what of a period the lake does not hold yet, in chunks.

    wanted    |--------------------------------|····  what is not due yet is clipped
    covered        |-----|         |-----|            by the names of the files
    missing   |----|     |---------|     |-----|
    chunks    |----|     |-----|---|     |-----|      each one collection and one file

A second run over the same period finds it covered and asks for nothing; a run that was killed or
failed in parts leaves what is missing to the next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from prefect import runtime
from prefect.artifacts import acreate_table_artifact
from prefect.logging import get_run_logger

from flows.run import coverage_artifact
from flows.run.cluster import workers
from flows.run.local_flow import local_flow
from flows.run.progress import Progress
from flows.run.report import explained, failure, result
from flows.run.session import collecting, moment, selected
from gridtide.coverage.picture import Coverage
from gridtide.coverage.plan import Plan, plan, reason
from gridtide.entries.entry import Entry, TaskRetries
from gridtide.errors import ConfigurationError, StorageError
from gridtide.periods import Period, spoken
from gridtide.sandbox import SECRETS
from tasks import remote
from tasks.collect import CollectionRun, Outcome, run_collection
from tasks.remote import Destination, RemoteCall

EARLIEST = 1900
"""The first year that may be asked for: none before it has a grid, and names of files write four digits."""


Pictures = dict[str, Coverage]
"""By entry."""


def _check(start: Any, end: Any, config: str | dict[str, Any], select: list[str] | None, **_: Any) -> None:
    entries = selected(config, select)[1]
    wanted, now = _wanted(start, end), datetime.now(UTC)
    reasons = {entry.name: reason(entry, wanted, now) for entry in entries}
    if all(reasons.values()):
        why = "; ".join(f"{name} {reason}" for name, reason in reasons.items())
        raise ConfigurationError(f"backfill {wanted}", f"nothing can be filled: {why}", "Name another period or entry")


def _run_name() -> str:
    parameters = runtime.flow_run.parameters
    names = ", ".join(parameters.get("select") or ()) or "all"
    return f"backfill {names} {_wanted(parameters['start'], parameters['end'])}"


@local_flow(name="backfill", flow_run_name=_run_name, check=_check)
async def backfill(
    start: datetime,
    end: datetime,
    config: str | dict[str, Any] = "api_config.json",
    select: list[str] | None = None,
    lake: str | None = None,
    sandbox: bool | str = False,
    dry_run: bool = False,
    cluster: str | None = None,
) -> dict[str, Any]:
    """Collect what the lake lacks of the interval starts in [start, end), UTC.

    Returns the report that `backfill_report` describes. Raises `ConfigurationError` before anything
    is asked, and `RunError`, which carries the report, after everything is done if a chunk failed.

    Args:
        start: The first interval start that is wanted; UTC unless it says otherwise.
        end: The interval start after the last that is wanted; what is not due yet is left out.
        config: The configuration: the path of the file, or its content.
        select: Names of the entries to fill; all if empty.
        lake: Folder or URI of the lake; the configuration's if empty.
        sandbox: Ask simulated upstreams instead of the real ones; or the URL of a sandbox that runs.
        dry_run: Only say what is missing.
        cluster: Where chunks are collected: the address of a Dask scheduler, "local" for a process per
            core of this machine; in this process if empty.
    """
    started = time.monotonic()
    async with collecting(config, select, lake, sandbox, resume=True) as (run, entries):
        wanted = _wanted(start, end)
        plans = [await plan(entry, wanted, run.stamp, run.lake) for entry in entries]
        if dry_run:
            outcomes = []
        elif cluster:
            place = Destination(lake or selected(config, select)[0].lake, run.stamp, SECRETS if sandbox else None)
            outcomes = await _carry_out_on(cluster, plans, place, run.retries)
        else:
            outcomes = await carry_out(plans, run)
        damaged = {path for plan in plans for path in plan.damaged}
        pictures = await pictured([(plan.entry, wanted) for plan in plans if not plan.skipped], outcomes, run, damaged)
    report = backfill_report(wanted, plans, outcomes, pictures, time.monotonic() - started)
    get_run_logger().info(as_text(report))
    await acreate_table_artifact(report["results"], key="backfill", description=f"Backfill of {wanted}")
    await coverage_artifact.show("backfill-coverage", f"Backfill of {wanted}", pictures)
    failed = [row["name"] for row in report["results"] if row["failed"]]
    if failed:
        statistics = report["statistics"]
        happened = f"{statistics['failed_chunks']} of {statistics['chunks']} chunks failed, of {', '.join(failed)}"
        fix = "Run it again: it asks only for what is still missing"
        raise failure(outcomes)("backfill", happened, fix, report)
    return report


async def carry_out(plans: Sequence[Plan], run: CollectionRun) -> list[Outcome]:
    """Collect all chunks; of one entry at most `entry.concurrency` at a time."""
    progress = await Progress.begin("backfill-progress", {plan.entry.name: len(plan.chunks) for plan in plans})

    async def chunk(entry: Entry, period: Period, turns: asyncio.Semaphore) -> Outcome:
        async with turns:
            outcome = await run_collection(run, entry, period)
        await progress.advance(entry.name)
        return outcome

    turns = {plan.entry.name: asyncio.Semaphore(plan.entry.concurrency) for plan in plans}
    return await asyncio.gather(
        *(chunk(plan.entry, period, turns[plan.entry.name]) for plan in plans for period in plan.chunks)
    )


async def _carry_out_on(cluster: str, plans: Sequence[Plan], place: Destination, retries: TaskRetries) -> list[Outcome]:
    """Collect all chunks on the workers of `cluster`."""
    progress = await Progress.begin("backfill-progress", {plan.entry.name: len(plan.chunks) for plan in plans})

    async def chunk(entry: Entry, period: Period) -> Outcome:
        call = RemoteCall(f"{entry.name} {period}", remote.collect_remotely, entry, period, place)
        try:
            collected = await there.run("collect", call)
            outcome = Outcome(entry, period, collected)
        except Exception as error:  # whatever it was: one chunk's failure stops no other
            outcome = Outcome(entry, period, error=error)
        await progress.advance(entry.name)
        return outcome

    with workers(cluster, retries) as there:
        return await asyncio.gather(*(chunk(plan.entry, period) for plan in plans for period in plan.chunks))


async def pictured(
    wanted: Sequence[tuple[Entry, Period]],
    outcomes: Sequence[Outcome],
    run: CollectionRun,
    damaged: Collection[str] = (),
) -> Pictures:
    """What the lake holds of what was `wanted` after `outcomes`, without `damaged` files (paths), by entry, after
    noting there what failed.

    An entry whose part of the lake cannot be read or written is left out with a warning.
    """
    found: Pictures = {}
    for entry, period in wanted:
        try:
            await coverage_artifact.remember(
                run.lake, entry, [one for one in outcomes if one.entry is entry], run.stamp
            )
            picture = await coverage_artifact.coverage(run.lake, entry, period, run.stamp, damaged)
        except StorageError as error:
            get_run_logger().warning("%s has no picture of its coverage: %s", entry.name, explained(error))
        else:
            found |= {entry.name: picture} if picture else {}
    return found


def backfill_report(
    wanted: Period, plans: Sequence[Plan], outcomes: Sequence[Outcome], pictures: Pictures, seconds: float
) -> dict[str, Any]:
    """The report of a backfill that took `seconds`; a dry run has no outcomes.

    - `pipeline_status`: `success`, `partial` or `failed`; `period`: what was wanted
    - `statistics`: `entries`, `skipped_entries`, `chunks`, `successful_chunks`, `failed_chunks`
    - `summary`: `rows`, `bytes`, `seconds`, `rows_per_second`
    - `results` per entry: `name`, `chunks` that were missing, `collected` and `failed` ones, `rows`, `bytes`,
      `reused` (pages an interrupted run had kept), `files`, `covered` (what the lake held before, as text),
      `skipped` (why, or null), `warnings` and `errors` (lists of `period: what happened`), `missing` (the
      periods that are due and not in the lake afterwards)
    """
    results = [entry_report(plan, [o for o in outcomes if o.entry is plan.entry], pictures) for plan in plans]
    done, failed, rows = (sum(row[key] for row in results) for key in ("collected", "failed", "rows"))
    return {
        "pipeline_status": "success" if not failed else "partial" if done else "failed",
        "period": str(wanted),
        "statistics": {
            "entries": len(plans),
            "skipped_entries": sum(plan.skipped is not None for plan in plans),
            "chunks": sum(len(plan.chunks) for plan in plans),
            "successful_chunks": done,
            "failed_chunks": failed,
        },
        "summary": {
            "rows": rows,
            "bytes": sum(row["bytes"] for row in results),
            "seconds": round(seconds, 3),
            "rows_per_second": round(rows / seconds, 1),
        },
        "results": results,
    }


def entry_report(plan: Plan, outcomes: Sequence[Outcome], pictures: Pictures) -> dict[str, Any]:
    """What a report says of one entry."""
    rows = [result(outcome) for outcome in outcomes]
    done = [row for row in rows if row["error"] is None]
    return {
        "name": plan.entry.name,
        "chunks": len(plan.chunks),
        "collected": len(done),
        "failed": len(rows) - len(done),
        "rows": sum(row["rows"] for row in done),
        "bytes": sum(row["bytes"] for row in done),
        "reused": sum(row["reused"] for row in done),
        "files": [row["file"] for row in done],
        "covered": spoken(plan.covered) if plan.covered else "nothing",
        "skipped": plan.skipped,
        "warnings": [*plan.warnings, *(f"{_asked(row)}: {warning}" for row in done for warning in row["warnings"])],
        "errors": [f"{_asked(row)}: {row['error']}" for row in rows if row["error"]],
        "missing": [str(period) for period in pictures[plan.entry.name].missing] if plan.entry.name in pictures else [],
    }


def _asked(row: dict[str, Any]) -> str:
    return row["period"] or "snapshot"


def as_text(report: dict[str, Any]) -> str:
    """The report as one readable block."""
    summary, statistics = report["summary"], report["statistics"]
    title = (
        f"backfill {report['period']}: {report['pipeline_status']}, {statistics['successful_chunks']} of "
        f"{statistics['chunks']} missing chunks collected, {summary['rows']:,} rows in {summary['seconds']:.1f} s"
    )
    width = max(len(row["name"]) for row in report["results"])
    return "\n".join([title, *(f"{row['name']:<{width}}  {_line(row)}" for row in report["results"])])


def _line(row: dict[str, Any]) -> str:
    if row["skipped"]:
        return f"skipped: it {row['skipped']}"
    line = f"{row['collected']} of {row['chunks']} chunks, {row['rows']:,} rows; covered before: {row['covered']}"
    return "\n    ".join([line, *row["warnings"], *row["errors"]])


def _wanted(start: Any, end: Any) -> Period:
    """The period between two moments, as datetimes or text, to whole minutes as file names have them.

    Raises `ConfigurationError` for what is no time, or no period.
    """
    try:
        first, last = (moment(value) for value in (start, end))
        if first.year < EARLIEST:
            raise ValueError(f"it begins before {EARLIEST}")
        return Period(first, last)
    except ValueError as error:
        raise ConfigurationError(
            "backfill", f"{start} to {end} is no period: {error}", "Give start and end such as 2024-01-01, start first"
        ) from error
