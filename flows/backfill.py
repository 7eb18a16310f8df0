"""Fill what of a period the lake does not hold yet, in chunks.

    period    |--------------------------------|····  what is not due yet is clipped
    covered        |-----|         |-----|            by the names of the files
    missing   |----|     |---------|     |-----|
    chunks    |----|     |-----|---|     |-----|      each one collection and one file

A second run over the same period finds it covered and asks for nothing; a run that was killed or
failed in parts leaves what is missing to the next.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from prefect import runtime

from flows.run.coverage_artifact import show_coverage
from flows.run.filling import answers_of, collect_chunks, collect_chunks_on, entry_row, settle
from flows.run.local_flow import local_flow
from flows.run.report import Column, EntryRow, ReportLayout, RunReport, error_kind, finish, status_of
from flows.run.session import collecting, period_of, selected
from gridtide.coverage.picture import Coverage
from gridtide.coverage.plan import Plan, plan_chunks, why_not_asked
from gridtide.errors import ConfigurationError, GridtideError
from gridtide.periods import Period
from gridtide.sandbox import SECRETS
from tasks.collect import Outcome
from tasks.remote import Destination

NOTES_SHOWN = 3
"""Of how many chunks of an entry the table tells what there is to say; all of it is in the report."""


def _check_parameters(start: Any, end: Any, config: str | dict[str, Any], select: list[str] | None, **_: Any) -> None:
    entries = selected(config, select)[1]
    period, now = period_of(start, end), datetime.now(UTC)
    reasons = {entry.name: why_not_asked(entry, period, now) for entry in entries}
    if all(reasons.values()):
        why = "; ".join(f"{name} {reason}" for name, reason in reasons.items())
        raise ConfigurationError(f"backfill {period}", f"nothing can be filled: {why}", "Name another period or entry")


def _run_name() -> str:
    parameters = runtime.flow_run.parameters
    names = ", ".join(parameters.get("select") or ()) or "all"
    return f"backfill {names} {period_of(parameters['start'], parameters['end'])}"


@local_flow(name="backfill", flow_run_name=_run_name, check=_check_parameters)
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
        start: The first interval start to collect; UTC unless it says otherwise.
        end: The interval start after the last to collect; what is not due yet is left out.
        config: The configuration: the path of the file, or its content.
        select: Names of the entries to fill; all if empty.
        lake: Folder or URI of the lake; the configuration's if empty.
        sandbox: Ask simulated upstreams instead of the real ones; or the URL of a sandbox that runs.
        dry_run: Only say what is missing.
        cluster: Where chunks are collected: the address of a Dask scheduler, "local" for a process per
            core of this machine; in this process if empty.
    """
    started = time.monotonic()
    period = period_of(start, end)
    loaded, _ = selected(config, select)
    async with collecting(loaded, select, lake, sandbox, resume=True) as (run, entries):
        plans = [await plan_chunks(entry, period, run.stamp, run.lake) for entry in entries]
        if dry_run:
            outcomes = []
        elif cluster:
            place = Destination(lake or loaded.lake, run.stamp, SECRETS if sandbox else None)
            outcomes = await collect_chunks_on(cluster, plans, place, run.retries)
        else:
            outcomes = await collect_chunks(plans, run)
        damaged = {path for plan in plans for path in plan.damaged}
        coverages = await settle([(plan.entry, period) for plan in plans if not plan.skipped], outcomes, run, damaged)
    await show_coverage("backfill-coverage", f"Backfill of {period}", coverages)
    report = backfill_report(period, plans, outcomes, coverages, time.monotonic() - started)
    return await finish(report, error_kind(outcomes))


def backfill_report(
    period: Period,
    plans: Sequence[Plan],
    outcomes: Sequence[Outcome],
    coverages: Mapping[str, Coverage],
    seconds: float,
) -> RunReport:
    """The report of a backfill that took `seconds`; a dry run has no outcomes.

    - `pipeline_status`: `success`, `partial` or `failed`; `period`: what was asked for
    - `statistics`: `entries`, `skipped_entries`, `chunks`, `successful_chunks`, `failed_chunks`
    - `summary`: `rows`, `bytes`, `seconds`, `rows_per_second`
    - `results`: what `flows.run.filling.entry_row` says, one per entry
    """
    results = [entry_row(plan, outcomes, coverages) for plan in plans]
    collected, failed, rows = (sum(row[key] for row in results) for key in ("collected", "failed", "rows"))
    chunks = sum(len(plan.chunks) for plan in plans)
    names = ", ".join(row["name"] for row in results if row["failed"])
    fix = _propose_fix(outcomes)
    return RunReport(
        LAYOUT,
        status_of(failed, collected),
        results,
        {
            "rows": rows,
            "bytes": sum(row["bytes"] for row in results),
            "seconds": round(seconds, 3),
            "rows_per_second": round(rows / seconds, 1),
        },
        {
            "entries": len(plans),
            "skipped_entries": sum(plan.skipped is not None for plan in plans),
            "chunks": chunks,
            "successful_chunks": collected,
            "failed_chunks": failed,
        },
        {"period": str(period)},
        (f"{failed} of {chunks} chunks failed, of {names}", fix) if failed else None,
    )


def _propose_fix(outcomes: Sequence[Outcome]) -> str:
    """What to do about the failures of `outcomes`: to run the backfill again is proposed only where that can help."""
    may_pass = any(isinstance(outcome.error, GridtideError) and outcome.error.retryable for outcome in outcomes)
    if may_pass or any(hole["failed"] and not hole["lasting"] for outcome in outcomes for hole in outcome.holes):
        return "Run it again: only what is missing is asked for"
    if all(answer.lasting for outcome in outcomes for answer in answers_of(outcome) if answer.reason):
        return "Why stands in the report and in gridtide status; the monitor asks again, after longer and longer times"
    return "Correct what the messages name, then run it again: only what is missing is asked for"


def _write_headline(report: Mapping[str, Any]) -> str:
    summary, statistics = report["summary"], report["statistics"]
    return (
        f"backfill {report['period']}: {report['pipeline_status']}, {statistics['successful_chunks']} of "
        f"{statistics['chunks']} missing chunks collected, {summary['rows']:,} rows in {summary['seconds']:.1f} s"
    )


def _entry_status(row: EntryRow) -> str:
    """`open` is an entry that lacks something although all that was missing was asked for."""
    if row["failed"] or row["skipped"]:
        return "failed" if row["failed"] else "skipped"
    return "open" if row["missing"] and (row["collected"] or not row["chunks"]) else "ok"


def _entry_note(row: EntryRow) -> str:
    if row["skipped"]:
        return f"it {row['skipped']}"
    notes = [*row["errors"], *row["warnings"]]
    more = f"; and {len(notes) - NOTES_SHOWN} more" if len(notes) > NOTES_SHOWN else ""
    return "; ".join(notes[:NOTES_SHOWN]) + more or f"covered before: {row['covered']}"


LAYOUT = ReportLayout(
    "backfill",
    _write_headline,
    (
        Column("entry", lambda row: row["name"]),
        Column("", _entry_status),
        Column("missing chunks", lambda row: row["chunks"]),
        Column("collected", lambda row: row["collected"]),
        Column("rows", lambda row: row["rows"]),
        Column("note", _entry_note),
    ),
)
