"""Find what the lake lacks of the last days, and ask for just that.

             ┌─► gaps: due, and in no file ──────────────────────┐
files ───────┼─► revisions: settled, and asked for only before ──┼─► collect ─► lake
by names     ├─► snapshots whose schedule left no file ──────────┘
             └─► rows ─► what the upstream itself never published: told, with the file, not asked for
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from prefect import runtime
from prefect.artifacts import acreate_table_artifact
from prefect.logging import get_run_logger

from flows.backfill import Pictures, carry_out, entry_report, pictured
from flows.run import coverage_artifact
from flows.run.local_flow import local_flow
from flows.run.report import RunError, explained, failure
from flows.run.session import collecting, selected
from gridtide.coverage import gaps
from gridtide.coverage.findings import NAMED, SHOWN, Finding, find, unpublished
from gridtide.coverage.plan import Plan
from gridtide.errors import ConfigurationError, StorageError
from gridtide.periods import Period
from tasks.collect import CollectionRun, Outcome, run_collection
from tasks.notify.events import GAPS, MISSING_DATA, STALE
from tasks.notify.troubles import Trouble, announce_changes


def _check(config: str | dict[str, Any], select: list[str] | None, days: int, **_: Any) -> None:
    selected(config, select)
    if not 1 <= days <= 3660:
        raise ConfigurationError("monitor", f"{days} days cannot be looked back", "Give 1 to 3660")


def _run_name() -> str:
    parameters = runtime.flow_run.parameters
    return f"monitor {', '.join(parameters.get('select') or ()) or 'all'}, {parameters['days']} days"


@local_flow(name="monitor", flow_run_name=_run_name, check=_check)
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
        dry_run: Only say what is found.
    """
    started = time.monotonic()
    schedules = selected(config, select)[0].schedules
    async with collecting(config, select, lake, sandbox, resume=True) as (run, entries):
        wanted = gaps.window(run.stamp, days)
        found = [await find(one, schedules.get(one.schedule or ""), wanted, run.stamp, run.lake) for one in entries]
        outcomes = [] if dry_run else await _heal(found, run)
        damaged = {path for one in found for path in one.damaged}
        pictures = await pictured([(one.entry, one.wanted) for one in found if not one.skipped], outcomes, run, damaged)
        rows = [await _entry(one, outcomes, pictures, run) for one in found]
    report = monitor_report(rows, wanted, time.monotonic() - started)
    get_run_logger().info(as_text(report))
    title = f"The last {days} days, at {run.stamp:%Y-%m-%d %H:%M} UTC"
    await acreate_table_artifact(report["results"], key="monitor", description=title)
    await coverage_artifact.show("monitor-coverage", title, pictures)
    if not dry_run:
        troubles = [_troubles(row, wanted) for row in rows]
        await announce_changes(run.lake.uri, days, {about: found for each in troubles for about, found in each.items()})
        _raise_what_is_open(report, outcomes)
    return report


async def _heal(found: Sequence[Finding], run: CollectionRun) -> list[Outcome]:
    """Collect what is lacking; what files answer already is asked anew, not taken from what is kept."""
    anew = replace(run, resume=False, refresh=True)
    return [
        *await carry_out([one.plan(one.gaps) for one in found], run),
        *await carry_out([one.plan(one.revisions) for one in found], anew),
        *await asyncio.gather(*(run_collection(anew, one.entry) for one in found if one.snapshot)),
    ]


async def _entry(one: Finding, outcomes: Sequence[Outcome], pictures: Pictures, run: CollectionRun) -> dict[str, Any]:
    """What the report says of an entry."""
    holes, problem = [], one.problem
    try:
        holes = [] if one.skipped or problem else await unpublished(one.entry, one.wanted, run.stamp, run.lake)
    except StorageError as error:
        problem = explained(error)
    plan = Plan(one.entry, one.plan([*one.gaps, *one.revisions]).chunks, skipped=one.skipped)
    return {
        **entry_report(plan, [outcome for outcome in outcomes if outcome.entry is one.entry], pictures),
        "chunks": len(plan.chunks) + one.snapshot,
        "gaps": [str(period) for period in one.gaps],
        "revisions": [str(period) for period in one.revisions],
        "waiting": [failed.as_dict() for failed in one.waiting],
        "late": one.late.isoformat() if one.late else None,
        "unpublished": holes[:SHOWN],
        "unpublished_periods": len(holes),
        "problem": problem,
    }


def monitor_report(results: list[dict[str, Any]], wanted: Period, seconds: float) -> dict[str, Any]:
    """The report of a run that took `seconds`:

    - `pipeline_status`: `success`, `partial` or `failed`; `period`: what was looked at
    - `statistics`: `entries`, `gaps` and `revisions` found, `late` entries, `chunks` asked for, `successful_chunks`,
      `failed_chunks`, `open` (entries that still lack something)
    - `summary`: `rows`, `bytes`, `seconds`
    - `results` per entry: what `flows.backfill.backfill_report` says, and `gaps`, `revisions`, `waiting` (what failed
      before: `period`, `attempts`, `last`, `next`, `error`), `late` (the run of the schedule that left no file, or
      null), `unpublished` (the first holes of the upstream itself: `period`, `series`, `file`), how many
      `unpublished_periods`, `problem` (which files cannot be read, and what to do, or null)
    """
    left = sum(is_open(row) for row in results)
    return {
        "pipeline_status": "success" if not left else "partial" if left < len(results) else "failed",
        "period": str(wanted),
        "statistics": {
            "entries": len(results),
            "gaps": sum(len(row["gaps"]) for row in results),
            "revisions": sum(len(row["revisions"]) for row in results),
            "late": sum(row["late"] is not None for row in results),
            "chunks": sum(row["chunks"] for row in results),
            "successful_chunks": sum(row["collected"] for row in results),
            "failed_chunks": sum(row["failed"] for row in results),
            "open": left,
        },
        "summary": {
            "rows": sum(row["rows"] for row in results),
            "bytes": sum(row["bytes"] for row in results),
            "seconds": round(seconds, 3),
        },
        "results": results,
    }


def as_text(report: dict[str, Any]) -> str:
    """The report as one readable block."""
    found, results = report["statistics"], report["results"]
    title = (
        f"monitor {report['period']}: {report['pipeline_status']}, {found['gaps']} gaps, "
        f"{found['revisions']} revisions, {found['late']} late; "
        f"{found['successful_chunks']} of {found['chunks']} chunks collected"
    )
    width = max(len(row["name"]) for row in results)
    return "\n".join([title, *(f"{row['name']:<{width}}  {note(row)}" for row in results)])


def note(row: dict[str, Any]) -> str:
    """What was found of one entry, on one line."""
    said = [f"skipped: it {row['skipped']}"] if row["skipped"] else []
    said += [f"late: the run of {row['late']} left no file"] if row["late"] else []
    said += [f"gap {period}" for period in row["gaps"]]
    said += [f"revision {period}" for period in row["revisions"]]
    said += [f"waits until {failed['next']}: {failed['error']}" for failed in row["waiting"]]
    said += [f"failed {error}" for error in row["errors"]]
    said += [f"still missing {period}" for period in row["missing"]]
    if row["unpublished_periods"]:
        first, number = row["unpublished"][0], row["unpublished_periods"]
        said.append(
            f"{number} {'hole' if number == 1 else 'holes'} of the upstream, the first {first['period']} of "
            f"{first['series']} by {first['file']}"
        )
    said += [row["problem"]] if row["problem"] else []
    return "; ".join(said) or "complete"


def _troubles(row: dict[str, Any], wanted: Period) -> dict[tuple[str, str], Trouble | None]:
    """By kind, what is to be told of an entry: that it is late or lacks something, although it was asked for, or that
    it does not. A kind of which that cannot be said is left out."""
    name, left = row["name"], row["missing"]
    found: dict[tuple[str, str], Trouble | None] = {}
    if row["late"] and not row["collected"]:
        what = f"the run of its schedule at {row['late']} left no file, nor could one be collected since"
        fix = f"gridtide validate --probe --select {name}, then gridtide ingest --select {name}"
        found[STALE, name] = Trouble(what, row["late"], fix, "late")
    else:
        found[STALE, name] = None
    if left:
        start, end = left[0].partition("/")[0], left[-1].rpartition("/")[2]
        what = f"still missing: {', '.join(left[:NAMED])}{', …' * (len(left) > NAMED)}"
        fix = f"gridtide backfill --start {start} --end {end} --select {name}"
        found[GAPS, name] = Trouble(what, start, fix, _mark(left, wanted))
    elif not is_open(row):
        found[GAPS, name] = None
    return found


def _mark(left: Sequence[str], wanted: Period) -> str:
    """Where holes begin: they are the same while they grow at the end, or lose what is too old to be `wanted`."""
    first = str(wanted).partition("/")[0]
    return " ".join("before" if start == first else start for start in (hole.partition("/")[0] for hole in left))


def is_open(row: dict[str, Any]) -> bool:
    """Whether something of an entry is still lacking."""
    return bool(row["missing"] or row["failed"] or row["problem"])


def _raise_what_is_open(report: dict[str, Any], outcomes: Sequence[Outcome]) -> None:
    """Raise the `RunError` that names what the run could not close."""
    left = [row for row in report["results"] if is_open(row)]
    if not left:
        return
    named = "; ".join(f"{row['name']} {', '.join(_left(row))}" for row in left)
    what = MISSING_DATA if all(row["missing"] and not row["problem"] for row in left) else "still open"
    kind = failure(outcomes) if any(outcome.error for outcome in outcomes) else RunError
    raise kind("monitor", f"{what}: {named}", "Why stands in the report; what failed is asked again later", report)


def _left(row: dict[str, Any]) -> list[str]:
    return row["missing"] or row["errors"] or [row["problem"]]
