"""Find what the lake lacks of the last days, and ask for just that.

             ┌─► gaps: due, and in no file ──────────────────────┐
files ───────┼─► revisions: settled, and asked for only before ──┼─► collect ─► lake
by names     ├─► snapshots whose schedule left no file ──────────┘
             └─► rows ─► what the upstream itself never published: reported, with the file, not asked for
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from prefect import runtime

from flows.run.coverage_artifact import show_coverage
from flows.run.filling import collect_chunks, entry_row, settle
from flows.run.local_flow import local_flow
from flows.run.report import Column, EntryRow, ReportLayout, RunError, RunReport, error_kind, finish, status_of
from flows.run.session import collecting, selected
from gridtide.coverage.findings import Finding, find_lacking, find_unpublished
from gridtide.coverage.gaps import last_days
from gridtide.coverage.picture import Coverage
from gridtide.coverage.plan import Plan
from gridtide.errors import ConfigurationError, StorageError, one_line
from gridtide.periods import Period
from tasks.collect import CollectionRun, Outcome, run_collection
from tasks.notify.events import GAPS, MISSING_DATA, STALE
from tasks.notify.troubles import Trouble, announce_changes

HOLES_SHOWN = 50
"""How many holes of an upstream the report lists for an entry."""

PERIODS_NAMED = 5
"""How many missing periods a notification names."""


def _check_parameters(config: str | dict[str, Any], select: list[str] | None, days: int, **_: Any) -> None:
    selected(config, select)
    if not 1 <= days <= 3660:
        raise ConfigurationError("monitor", f"{days} days cannot be looked back", "Give 1 to 3660")


def _run_name() -> str:
    parameters = runtime.flow_run.parameters
    return f"monitor {', '.join(parameters.get('select') or ()) or 'all'}, {parameters['days']} days"


@local_flow(name="monitor", flow_run_name=_run_name, check=_check_parameters)
async def monitor(
    config: str | dict[str, Any] = "api_config.json",
    select: list[str] | None = None,
    lake: str | None = None,
    sandbox: bool | str = False,
    days: int = 30,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Find gaps, late entries and revisions due in the last days, and ask for just those.

    Returns the report that `monitor_report` describes. Raises `ConfigurationError` before anything is
    asked, and `RunError`, which carries the report, after everything is done if something is still open.

    Args:
        config: The configuration: the path of the file, or its content.
        select: Names of the entries to look after; all if empty.
        lake: Folder or URI of the lake; the configuration's if empty.
        sandbox: Ask simulated upstreams instead of the real ones; or the URL of a sandbox that runs.
        days: How far to look back.
        dry_run: Only say what is lacking.
    """
    started = time.monotonic()
    loaded, _ = selected(config, select)
    async with collecting(loaded, select, lake, sandbox, resume=True) as (run, entries):
        period = last_days(run.stamp, days)
        findings = [
            await find_lacking(entry, loaded.schedules.get(entry.schedule or ""), period, run.stamp, run.lake)
            for entry in entries
        ]
        outcomes = [] if dry_run else await _collect_lacking(findings, run)
        damaged = {path for finding in findings for path in finding.damaged}
        periods = [(finding.entry, finding.period) for finding in findings if not finding.skipped]
        coverages = await settle(periods, outcomes, run, damaged)
        rows = [await _entry_row(finding, outcomes, coverages, run) for finding in findings]
    await show_coverage("monitor-coverage", f"The last {days} days, at {run.stamp:%Y-%m-%d %H:%M} UTC", coverages)
    if not dry_run:
        troubles = [_find_troubles(row, period) for row in rows]
        await announce_changes(
            run.lake.uri, days, {about: trouble for of_entry in troubles for about, trouble in of_entry.items()}
        )
    report = monitor_report(rows, period, dry_run, time.monotonic() - started)
    return await finish(report, error_kind(outcomes) if any(outcome.error for outcome in outcomes) else RunError)


async def _collect_lacking(findings: Sequence[Finding], run: CollectionRun) -> list[Outcome]:
    """Collect what is lacking; what files answer already is asked anew, not taken from the bodies under `raw/`."""
    anew = replace(run, resume=False, refresh=True)
    return [
        *await collect_chunks([finding.plan(finding.gaps) for finding in findings], run),
        *await collect_chunks([finding.plan(finding.revisions) for finding in findings], anew),
        *await asyncio.gather(*(run_collection(anew, finding.entry) for finding in findings if finding.snapshot)),
    ]


async def _entry_row(
    finding: Finding, outcomes: Sequence[Outcome], coverages: Mapping[str, Coverage], run: CollectionRun
) -> dict[str, Any]:
    """What the report says of an entry."""
    holes, problem = [], finding.problem
    if not finding.skipped and not problem:
        try:
            holes = await find_unpublished(finding.entry, finding.period, run.stamp, run.lake)
        except StorageError as error:
            problem = one_line(error)
    chunks = finding.plan([*finding.gaps, *finding.revisions]).chunks
    plan = Plan(finding.entry, chunks, skipped=finding.skipped, warnings=finding.warnings)
    return {
        **entry_row(plan, outcomes, coverages),
        "chunks": len(chunks) + finding.snapshot,
        "gaps": [str(period) for period in finding.gaps],
        "revisions": [str(period) for period in finding.revisions],
        "waiting": [failure.as_dict() for failure in finding.waiting],
        "late": finding.missed_run.isoformat() if finding.missed_run else None,
        "unpublished": holes[:HOLES_SHOWN],
        "unpublished_periods": len(holes),
        "problem": problem,
    }


def monitor_report(rows: Sequence[EntryRow], period: Period, dry_run: bool, seconds: float) -> RunReport:
    """The report of a run that took `seconds`:

    - `pipeline_status`: `success`, `partial` or `failed`; `period`: what was looked at
    - `statistics`: `entries`, `gaps` and `revisions`, `late` entries, `chunks` asked for, `successful_chunks`,
      `failed_chunks`, `open` (entries that still lack something)
    - `summary`: `rows`, `bytes`, `seconds`
    - `results` per entry: what `flows.run.filling.entry_row` says, and `gaps`, `revisions`, `waiting` (what failed
      before: `period`, `attempts`, `last`, `next`, `error`), `late` (the run of the schedule that left no file, or
      null), `unpublished` (the first holes of the upstream itself: `period`, `series`, `file`), how many
      `unpublished_periods`, `problem` (which files cannot be read, and what to do, or null)

    A dry run never fails: it asked for nothing.
    """
    open_rows = [row for row in rows if is_open(row)]
    return RunReport(
        LAYOUT,
        status_of(len(open_rows), len(rows) - len(open_rows)),
        rows,
        {
            "rows": sum(row["rows"] for row in rows),
            "bytes": sum(row["bytes"] for row in rows),
            "seconds": round(seconds, 3),
        },
        {
            "entries": len(rows),
            "gaps": sum(len(row["gaps"]) for row in rows),
            "revisions": sum(len(row["revisions"]) for row in rows),
            "late": sum(row["late"] is not None for row in rows),
            "chunks": sum(row["chunks"] for row in rows),
            "successful_chunks": sum(row["collected"] for row in rows),
            "failed_chunks": sum(row["failed"] for row in rows),
            "open": len(open_rows),
        },
        {"period": str(period)},
        _describe_open(open_rows) if open_rows and not dry_run else None,
    )


def _describe_open(open_rows: Sequence[EntryRow]) -> tuple[str, str]:
    """What the run could not close."""
    names = "; ".join(f"{row['name']} {', '.join(_open_parts(row))}" for row in open_rows)
    what = MISSING_DATA if all(row["missing"] and not row["problem"] for row in open_rows) else "still open"
    return f"{what}: {names}", "Why stands in the report; what failed is asked again later"


def _open_parts(row: EntryRow) -> list[str]:
    return row["missing"] or row["errors"] or [row["problem"]]


def is_open(row: EntryRow) -> bool:
    """Whether something of an entry is still lacking."""
    return bool(row["missing"] or row["failed"] or row["problem"])


def _find_troubles(row: EntryRow, period: Period) -> dict[tuple[str, str], Trouble | None]:
    """By kind, the trouble of an entry: it is late, or it lacks something although that was asked for; None where it
    has no such trouble. A kind is left out where neither can be said."""
    name, missing_parts = row["name"], row["missing"]
    troubles: dict[tuple[str, str], Trouble | None] = {}
    if row["late"] and not row["collected"]:
        what = f"the run of its schedule at {row['late']} left no file, nor could one be collected since"
        fix = f"gridtide validate --probe --select {name}, then gridtide ingest --select {name}"
        troubles[STALE, name] = Trouble(what, row["late"], fix, "late")
    else:
        troubles[STALE, name] = None
    if missing_parts:
        start, end = missing_parts[0].partition("/")[0], missing_parts[-1].rpartition("/")[2]
        named = ", ".join(missing_parts[:PERIODS_NAMED]) + ", …" * (len(missing_parts) > PERIODS_NAMED)
        fix = f"gridtide backfill --start {start} --end {end} --select {name}"
        troubles[GAPS, name] = Trouble(f"still missing: {named}", start, fix, _mark_holes(missing_parts, period))
    elif not is_open(row):
        troubles[GAPS, name] = None
    return troubles


def _mark_holes(missing_parts: Sequence[str], period: Period) -> str:
    """Where holes begin: they are the same while they grow at the end, or lose what is too old to be in `period`."""
    first = str(period).partition("/")[0]
    starts = (part.partition("/")[0] for part in missing_parts)
    return " ".join("before" if start == first else start for start in starts)


def _write_headline(report: Mapping[str, Any]) -> str:
    counts = report["statistics"]
    return (
        f"monitor {report['period']}: {report['pipeline_status']}, {counts['gaps']} gaps, "
        f"{counts['revisions']} revisions, {counts['late']} late; "
        f"{counts['successful_chunks']} of {counts['chunks']} chunks collected"
    )


def _entry_status(row: EntryRow) -> str:
    return "open" if is_open(row) else "skipped" if row["skipped"] else "ok"


def _entry_note(row: EntryRow) -> str:
    """What an entry lacks, on one line."""
    notes = [f"skipped: it {row['skipped']}"] if row["skipped"] else []
    notes += [f"late: the run of {row['late']} left no file"] if row["late"] else []
    notes += [f"gap {period}" for period in row["gaps"]]
    notes += [f"revision {period}" for period in row["revisions"]]
    notes += [f"waits until {failure['next']}: {failure['error']}" for failure in row["waiting"]]
    notes += [f"failed {error}" for error in row["errors"]]
    notes += [f"still missing {period}" for period in row["missing"]]
    if row["unpublished_periods"]:
        first, number = row["unpublished"][0], row["unpublished_periods"]
        notes.append(
            f"{number} {'hole' if number == 1 else 'holes'} of the upstream, the first {first['period']} of "
            f"{first['series']} by {first['file']}"
        )
    notes += [row["problem"]] if row["problem"] else []
    notes += row["warnings"]
    return "; ".join(notes) or "complete"


LAYOUT = ReportLayout(
    "monitor",
    _write_headline,
    (
        Column("entry", lambda row: row["name"]),
        Column("", _entry_status),
        Column("gaps", lambda row: len(row["gaps"])),
        Column("revisions", lambda row: len(row["revisions"])),
        Column("collected", lambda row: f"{row['collected']} of {row['chunks']}"),
        Column("rows", lambda row: row["rows"]),
        Column("note", _entry_note),
    ),
)
