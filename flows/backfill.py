"""Collects the parts of a period that the lake does not cover, in chunks.

    period    |--------------------------------|····  clipped to what is due now
    covered        |-----|         |-----|            by the names of the files, and what they were asked for
    missing   |----|     |---------|     |-----|
    chunks    |----|     |-----|---|     |-----|      each is one collection and one file

A second run over the same period finds it covered and requests nothing. If a run was killed or failed in part, the
next run collects what is still missing. If files cover a part of the scope of an entry, such as some of its regions,
only the other part is requested, where the upstream can be asked for it alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from prefect import runtime

from flows.run.cluster import open_workers
from flows.run.coverage_artifact import show_coverage
from flows.run.filling import (
    collect_chunks,
    collect_chunks_on,
    list_period_answers,
    record_answers,
    summarize_entry,
    warn_of_changed_series,
)
from flows.run.local_flow import local_flow
from flows.run.report import (
    Column,
    EntryResult,
    ReportLayout,
    RunReport,
    choose_error,
    choose_status,
    finish,
    sum_results,
)
from flows.run.session import load_selected, name_entries, open_collection_run, parse_period
from gridtide.coverage.picture import Coverage
from gridtide.coverage.plan import Plan, explain_skipping, plan_chunks
from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError, GridtideError, list_first
from gridtide.lake.moved_files import warn_of_moved
from gridtide.periods import Period
from gridtide.sandbox.upstreams import list_secrets
from tasks.collect import CollectionRun, Outcome
from tasks.remote import Destination

NOTES_SHOWN = 3
"""The number of errors and warnings of an entry that the table shows; the report has all."""


def _check_parameters(start: Any, end: Any, config: str | dict[str, Any], select: list[str] | None, **_: Any) -> None:
    entries = load_selected(config, select)[1]
    period, now = parse_period(start, end), datetime.now(UTC)
    reasons = {entry.name: explain_skipping(entry, period, now) for entry in entries}
    if all(reasons.values()):
        happened = "; ".join(f"{name} {reason}" for name, reason in reasons.items())
        raise ConfigurationError(
            f"backfill {period}", f"nothing can be collected: {happened}", "Give another period or entry"
        )


def _run_name() -> str:
    parameters = runtime.flow_run.parameters
    return f"backfill {name_entries()} {parse_period(parameters['start'], parameters['end'])}"


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
    refresh: bool = False,
) -> dict[str, Any]:
    """Collect the intervals that start in [start, end), UTC, and are missing in the lake.

    Returns the report that `backfill_report` describes. Raises `ConfigurationError` before any request, and
    `RunError`, which carries the report, if a chunk failed and all others are done.

    Args:
        start: The start of the first interval to collect; UTC if it has no offset.
        end: The end of the period, exclusive; intervals that are not due yet are left out.
        config: The configuration: the path of the file, or its content.
        select: Names of the entries to backfill; all if empty.
        lake: Folder or URI of the lake; the configuration's if empty.
        sandbox: Request data from simulated upstreams instead of the real ones; or the URL of a running sandbox.
        dry_run: Report what is missing, and request nothing.
        cluster: Where chunks are collected: the address of a Dask scheduler, or "local" for a process per core of
            this machine; in as many processes as the configuration's `processes` if empty.
        refresh: Request the whole period again, also what the lake covers.
    """
    start_time = time.monotonic()
    period = parse_period(start, end)
    settings, _ = load_selected(config, select)
    async with open_collection_run(settings, select, lake, sandbox, refresh=refresh, resume=not refresh) as (
        run,
        entries,
    ):
        # all plans before any request: a lake that cannot be read, or a wrong period, costs nothing of a quota
        plans = [await plan_chunks(entry, period, run.stamp, run.lake, refresh=refresh) for entry in entries]
        plans = [await _warn_of_moved_files(plan, run, settings.apis) for plan in plans]
        if dry_run:
            outcomes = []
        elif cluster or settings.processes > 1:
            destination = Destination(lake or settings.lake, run.stamp, list_secrets() if sandbox else None, run.resume)
            with open_workers(cluster, settings.processes, run.retries) as workers:
                outcomes = await collect_chunks_on(workers, plans, destination)
        else:
            outcomes = await collect_chunks(plans, run)
        outcomes = await warn_of_changed_series(outcomes, run.lake)
        checked = {plan.entry.name: plan.checked_files for plan in plans}
        periods = [(plan.entry, period) for plan in plans if not plan.skip_reason]
        coverages = await record_answers(periods, outcomes, run, checked)
    await show_coverage("backfill-coverage", f"Backfill of {period}", coverages)
    report = backfill_report(period, plans, outcomes, coverages, time.monotonic() - start_time)
    return await finish(report, choose_error(outcomes), lake=run.lake)


async def _warn_of_moved_files(plan: Plan, run: CollectionRun, entries: Sequence[Entry]) -> Plan:
    """`plan` with a warning for each other place of the lake that holds older files of its entry, if it is young."""
    if plan.files is None:
        return plan
    places = await warn_of_moved(run.lake, plan.entry, entries, plan.files, run.stamp)
    return replace(plan, warnings=[*plan.warnings, *places])


def backfill_report(
    period: Period,
    plans: Sequence[Plan],
    outcomes: Sequence[Outcome],
    coverages: Mapping[str, Coverage],
    seconds: float,
) -> RunReport:
    """The report of a backfill that took `seconds`; a dry run has no `outcomes`.

    - `pipeline_status`: `success`, `partial` or `failed`; `period`: the period of the run
    - `statistics`: `entries`, `skipped_entries`, `chunks`, `successful_chunks`, `failed_chunks`
    - `summary`: `rows`, `bytes`, `seconds`, `rows_per_second`
    - `results`: per entry, as `flows.run.filling.summarize_entry` describes
    """
    results = [summarize_entry(plan, outcomes, coverages) for plan in plans]
    totals = sum_results(results, "chunks", "collected", "failed", "rows", "bytes")
    failed_names = ", ".join(result["name"] for result in results if result["failed"])
    happened = f"{totals['failed']} of {totals['chunks']} chunks failed, of {failed_names}"
    return RunReport(
        BACKFILL_LAYOUT,
        choose_status(totals["failed"], totals["collected"]),
        results,
        {
            "rows": totals["rows"],
            "bytes": totals["bytes"],
            "seconds": round(seconds, 3),
            "rows_per_second": round(totals["rows"] / seconds, 1),
        },
        {
            "entries": len(plans),
            "skipped_entries": sum(plan.skip_reason is not None for plan in plans),
            "chunks": totals["chunks"],
            "successful_chunks": totals["collected"],
            "failed_chunks": totals["failed"],
        },
        {"period": str(period)},
        (happened, _propose_fix(outcomes)) if failed_names else None,
    )


def _propose_fix(outcomes: Sequence[Outcome]) -> str:
    """The fix for the failures of `outcomes`; it proposes another run only if that can help."""
    may_pass = any(isinstance(outcome.error, GridtideError) and outcome.error.retryable for outcome in outcomes)
    if may_pass or any(hole["failed"] and not hole["lasting"] for outcome in outcomes for hole in outcome.holes):
        return "Run it again: only what is missing is requested"
    if all(answer.is_lasting for outcome in outcomes for answer in list_period_answers(outcome) if answer.reason):
        return "The report and gridtide status give the reasons; the monitor requests them again, at growing intervals"
    return "Correct what the messages name, then run it again: only what is missing is requested"


def _write_headline(report: Mapping[str, Any]) -> str:
    summary, statistics = report["summary"], report["statistics"]
    open_entries = [result["name"] for result in report["results"] if _choose_entry_status(result) == "open"]
    still_open = f"; still missing is data of {', '.join(open_entries)}" if open_entries else ""
    return (
        f"backfill {report['period']}: {report['pipeline_status']}, {statistics['successful_chunks']} of "
        f"{statistics['chunks']} missing chunks collected, {summary['rows']:,} rows in {summary['seconds']:.1f} s"
        f"{still_open}"
    )


def _choose_entry_status(result: EntryResult) -> str:
    """`open` if data is still missing although everything missing was requested."""
    if result["failed"] or result["skipped"]:
        return "failed" if result["failed"] else "skipped"
    return "open" if result["missing"] and (result["collected"] or not result["chunks"]) else "ok"


def _write_note(result: EntryResult) -> str:
    if result["skipped"]:
        return f"it {result['skipped']}"
    notes = [*result["errors"], *result["warnings"]]
    return list_first(notes, NOTES_SHOWN, "; ", "; and {} more") or f"covered before: {result['covered']}"


BACKFILL_LAYOUT = ReportLayout(
    "backfill",
    _write_headline,
    (
        Column("entry", "name"),
        Column("", _choose_entry_status),
        Column("missing chunks", "chunks"),
        Column("collected", "collected"),
        Column("rows", "rows"),
        Column("note", _write_note),
    ),
)
