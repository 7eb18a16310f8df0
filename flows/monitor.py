"""Finds data of the last days that is missing in the lake or due for revision, and collects only that.

             ┌─► gaps: due, and in no file that was asked for it ─────┐
files ───────┼─► revisions: settled, and last requested before that ─┼─► collect ─► lake
by names     ├─► snapshots whose scheduled run wrote no file ────────┘
             └─► rows ─► holes of the upstream itself: reported with the file, not requested
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from prefect import runtime
from prefect.logging import get_run_logger

from flows.run.coverage_artifact import show_coverage
from flows.run.filling import collect_chunks, record_answers, summarize_entry, warn_of_changed_series
from flows.run.local_flow import local_flow
from flows.run.report import (
    Column,
    EntryResult,
    ReportLayout,
    RunError,
    RunReport,
    choose_error,
    choose_status,
    finish,
    sum_results,
)
from flows.run.session import check_days, load_selected, name_entries, open_collection_run
from gridtide.coverage.findings import Finding, find_lacking, find_unpublished
from gridtide.coverage.freshness.look import SeriesLook, look_at_series
from gridtide.coverage.freshness.memory import load_memory, save_memory
from gridtide.coverage.freshness.notes import write_series_notes
from gridtide.coverage.gaps import last_days
from gridtide.coverage.picture import Coverage
from gridtide.coverage.plan import Plan
from gridtide.coverage.schedules import DueRuns
from gridtide.coverage.troubles import (
    Trouble,
    TroubleKind,
    describe_gaps,
    describe_lateness,
    describe_new_series,
    describe_silence,
)
from gridtide.entries.entry import Config, Entry
from gridtide.errors import ClockError, StorageError, one_line
from gridtide.lake.moved_files import warn_of_moved
from gridtide.periods import Period
from gridtide.sources.registry import find_entry_scope
from tasks.calendar import find_due_runs
from tasks.collect import CollectionRun, Outcome, run_collection
from tasks.notify.events import MISSING_DATA
from tasks.notify.troubles import announce_changes

HOLES_SHOWN = 50
"""The number of holes of an upstream that the report lists for an entry."""


def _run_name() -> str:
    return f"monitor {name_entries()}, {runtime.flow_run.parameters['days']} days"


@local_flow(name="monitor", flow_run_name=_run_name, check=partial(check_days, "monitor"))
async def monitor(
    config: str | dict[str, Any] = "api_config.json",
    select: list[str] | None = None,
    lake: str | None = None,
    sandbox: bool | str = False,
    days: int = 30,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Find gaps, late entries and due revisions in the last days, and collect only those.

    Returns the report that `monitor_report` describes. Raises `ConfigurationError` before any request, and `RunError`,
    which carries the report, if data is still missing after everything was requested.

    Args:
        config: The configuration: the path of the file, or its content.
        select: Names of the entries to check; all if empty.
        lake: Folder or URI of the lake; the configuration's if empty.
        sandbox: Request data from simulated upstreams instead of the real ones; or the URL of a running sandbox.
        days: The number of days to check, up to now.
        dry_run: Report what is missing, and request nothing.
    """
    start_time = time.monotonic()
    settings, _ = load_selected(config, select)
    async with open_collection_run(settings, select, lake, sandbox, resume=True) as (run, entries):
        period = last_days(run.stamp, days)
        findings = [
            await find_lacking(entry, await _find_runs(settings, entry, run.stamp), period, run.stamp, run.lake)
            for entry in entries
        ]
        findings = [await _warn_of_moved_files(finding, run, settings.apis) for finding in findings]
        outcomes = [] if dry_run else await _collect_lacking(findings, run)
        outcomes = await warn_of_changed_series(outcomes, run.lake)
        checked = {finding.entry.name: finding.checked_files for finding in findings}
        periods = [(finding.entry, finding.period) for finding in findings if not finding.skip_reason]
        coverages = await record_answers(periods, outcomes, run, checked)
        wrong_clock = any(isinstance(outcome.error, ClockError) for outcome in outcomes)
        looks = {} if wrong_clock else await _look_at_series(entries, run)  # else series would be silent by that clock
        results = [
            await _summarize_entry(finding, outcomes, coverages, run) | _summarize_series(looks.get(finding.entry.name))
            for finding in findings
        ]
    await show_coverage("monitor-coverage", f"The last {days} days, at {run.stamp:%Y-%m-%d %H:%M} UTC", coverages)
    if not dry_run:
        troubles = {result["name"]: _find_troubles(result, period) for result in results}
        for name, look in looks.items():
            troubles[name] |= {"silent": describe_silence(name, look)} if look.is_news else {}
            troubles[name] |= {"new_series": describe_new_series(look, run.stamp)} if look.new else {}
        await announce_changes(run.lake.uri, days, troubles)
        await _save_looks(entries, looks, run)  # after the events: what was not reported is news at the next look
    report = monitor_report(results, period, dry_run, time.monotonic() - start_time)
    error = choose_error(outcomes) if any(outcome.error for outcome in outcomes) else RunError
    return await finish(report, error, lake=run.lake)


async def _warn_of_moved_files(finding: Finding, run: CollectionRun, entries: Sequence[Entry]) -> Finding:
    """`finding` with a warning for each other place of the lake that holds older files of its entry, if it is young."""
    moved = await warn_of_moved(run.lake, finding.entry, entries, finding.files, run.stamp)
    return replace(finding, warnings=[*finding.warnings, *moved])


async def _find_runs(config: Config, entry: Entry, now: datetime) -> DueRuns | None:
    """The runs of the entry's schedule that must be done by `now`, None without a schedule."""
    schedule = config.schedules.get(entry.schedule or "")
    return await find_due_runs(schedule, now - entry.deadline) if schedule else None


async def _collect_lacking(findings: Sequence[Finding], run: CollectionRun) -> list[Outcome]:
    """Collect what is missing. Revisions and snapshots are requested again, not read from bodies under `raw/`."""
    refreshing = replace(run, resume=False, refresh=True)
    return [
        *await collect_chunks([finding.gap_plan for finding in findings], run),
        *await collect_chunks([finding.revision_plan for finding in findings], refreshing),
        *await asyncio.gather(*(run_collection(refreshing, finding.entry) for finding in findings if finding.snapshot)),
    ]


async def _look_at_series(entries: Sequence[Entry], run: CollectionRun) -> dict[str, SeriesLook]:
    """A look at the series of each entry, by name; an entry whose files cannot be read is left out with a warning."""
    looks = {}
    for entry in entries:
        if entry.tabular:
            try:
                before = await load_memory(run.lake, entry)
                looks[entry.name] = await look_at_series(run.lake, entry, before, run.stamp)
            except StorageError as error:
                get_run_logger().warning("%s: its series were not compared: %s", entry.name, one_line(error))
    return looks


async def _save_looks(entries: Sequence[Entry], looks: Mapping[str, SeriesLook], run: CollectionRun) -> None:
    """Keep what the next look compares with; without it, the next look takes longer."""
    for entry in entries:
        if entry.name in looks:
            try:
                await save_memory(run.lake, entry, looks[entry.name].memory)
            except StorageError as error:
                get_run_logger().warning("%s: its series are read again next time: %s", entry.name, one_line(error))


def _summarize_series(look: SeriesLook | None) -> dict[str, Any]:
    """What the report of an entry says of its series."""
    return {
        "silent": [series.as_dict() for series in look.silent] if look else [],
        "back": ["/".join(label) for label in look.back] if look else [],
        "new_series": ["/".join(label) for label in look.new] if look else [],
        "series_notes": write_series_notes(look) if look else [],
    }


async def _summarize_entry(
    finding: Finding, outcomes: Sequence[Outcome], coverages: Mapping[str, Coverage], run: CollectionRun
) -> dict[str, Any]:
    """The result of an entry in the report."""
    holes, problem = [], finding.problem
    if not finding.skip_reason and not problem:
        try:
            holes = await find_unpublished(finding.entry, finding.period, run.stamp, run.lake, finding.checked_files)
        except StorageError as error:
            problem = one_line(error)
    chunks = [*finding.gap_plan.chunks, *finding.revision_plan.chunks]
    plan = Plan(finding.entry, chunks, skip_reason=finding.skip_reason, warnings=finding.warnings)
    whole = find_entry_scope(finding.entry)
    return {
        **summarize_entry(plan, outcomes, coverages),
        "chunks": len(chunks) + finding.snapshot,
        "gaps": [part.describe_within(whole) for part in finding.gaps],
        "revisions": [part.describe_within(whole) for part in finding.revisions],
        "scopes": list(finding.scopes),
        "waiting": [failure.as_dict() for failure in finding.waiting_failures],
        "late": finding.missed_run.isoformat() if finding.missed_run else None,
        "unpublished": holes[:HOLES_SHOWN],
        "unpublished_periods": len(holes),
        "problem": problem,
    }


def monitor_report(results: Sequence[EntryResult], period: Period, dry_run: bool, seconds: float) -> RunReport:
    """The report of a run that took `seconds`:

    - `pipeline_status`: `success`, `partial` or `failed`; `period`: the period that was checked
    - `statistics`: `entries`, `gaps` and `revisions`, `late` entries, requested `chunks`, `successful_chunks`,
      `failed_chunks`, `open` (entries of which data is still missing)
    - `summary`: `rows`, `bytes`, `seconds`
    - `results` per entry: as `flows.run.filling.summarize_entry` describes, and `gaps`, `revisions`, `scopes` (parts of
      the entry that files were not requested for, or perhaps not), `waiting` (periods that failed before: `period`,
      `attempts`, `last`, `next`, `error`), `late` (the scheduled run that wrote no file, or null), `unpublished` (the
      first holes of the upstream itself: `period`, `series`, `file`), the number of `unpublished_periods`, `problem`
      (which files cannot be read, and the fix, or null), `silent` series (`location`, `variable`, `since`, `stored`),
      those that are `back` since the last run, `new_series`, and `series_notes` about them

    A dry run never fails, as it requests nothing.
    """
    open_results = [result for result in results if is_open(result)]
    totals = sum_results(results, "rows", "bytes", "chunks", "collected", "failed")
    return RunReport(
        MONITOR_LAYOUT,
        choose_status(len(open_results), len(results) - len(open_results)),
        results,
        {"rows": totals["rows"], "bytes": totals["bytes"], "seconds": round(seconds, 3)},
        {
            "entries": len(results),
            "gaps": sum(len(result["gaps"]) for result in results),
            "revisions": sum(len(result["revisions"]) for result in results),
            "late": sum(result["late"] is not None for result in results),
            "chunks": totals["chunks"],
            "successful_chunks": totals["collected"],
            "failed_chunks": totals["failed"],
            "open": len(open_results),
        },
        {"period": str(period)},
        _describe_open(open_results) if open_results and not dry_run else None,
    )


def _describe_open(results: Sequence[EntryResult]) -> tuple[str, str]:
    """The data that is still missing, of entries that are open, and what to do."""
    open_entries = "; ".join(f"{result['name']} {', '.join(_open_parts(result))}" for result in results)
    only_missing = all(result["missing"] and not result["problem"] for result in results)
    happened = f"{MISSING_DATA if only_missing else 'still open'}: {open_entries}"
    return happened, "The reasons are in the report; failed periods are requested again later"


def _open_parts(result: EntryResult) -> list[str]:
    return result["missing"] or result["errors"] or [result["problem"]]


def is_open(result: EntryResult) -> bool:
    """Whether data of an entry is still missing, or a request for it failed."""
    return bool(result["missing"] or result["failed"] or result["problem"])


def _find_troubles(result: EntryResult, period: Period) -> dict[TroubleKind, Trouble | None]:
    """The troubles of an entry by kind, None for a kind that it does not have. A kind is left out if it is not clear
    whether the entry has it."""
    name, missing_parts = result["name"], result["missing"]
    is_late = result["late"] and not result["collected"]
    lateness = describe_lateness(name, result["late"]) if is_late else None
    troubles: dict[TroubleKind, Trouble | None] = {"stale": lateness}
    if missing_parts or not is_open(result):
        troubles["gaps"] = describe_gaps(name, missing_parts, period) if missing_parts else None
    return troubles


def _write_headline(report: Mapping[str, Any]) -> str:
    counts = report["statistics"]
    return (
        f"monitor {report['period']}: {report['pipeline_status']}, {counts['gaps']} gaps, "
        f"{counts['revisions']} revisions, {counts['late']} late; "
        f"{counts['successful_chunks']} of {counts['chunks']} chunks collected"
    )


def _choose_entry_status(result: EntryResult) -> str:
    return "open" if is_open(result) else "skipped" if result["skipped"] else "ok"


def _write_note(result: EntryResult) -> str:
    """What is missing of an entry, on one line."""
    notes = [f"skipped: it {result['skipped']}"] if result["skipped"] else []
    notes += [f"late: the run of {result['late']} wrote no file"] if result["late"] else []
    notes += [f"gap {period}" for period in result["gaps"]]
    notes += [f"revision {period}" for period in result["revisions"]]
    notes += result["scopes"]
    notes += [f"waits until {failure['next']}: {failure['error']}" for failure in result["waiting"]]
    notes += [f"failed {error}" for error in result["errors"]]
    notes += [f"still missing {period}" for period in result["missing"]]
    if result["unpublished_periods"]:
        hole, number = result["unpublished"][0], result["unpublished_periods"]
        notes.append(
            f"{number} {'hole' if number == 1 else 'holes'} of the upstream, the first {hole['period']} of "
            f"{hole['series']} by {hole['file']}"
        )
    notes += [result["problem"]] if result["problem"] else []
    notes += [*result["series_notes"], *result["warnings"]]
    return "; ".join(notes) or "complete"


MONITOR_LAYOUT = ReportLayout(
    "monitor",
    _write_headline,
    (
        Column("entry", "name"),
        Column("", _choose_entry_status),
        Column("gaps", lambda result: len(result["gaps"])),
        Column("revisions", lambda result: len(result["revisions"])),
        Column("collected", lambda result: f"{result['collected']} of {result['chunks']}"),
        Column("rows", "rows"),
        Column("note", _write_note),
    ),
)
