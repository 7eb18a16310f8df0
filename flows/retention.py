"""Removes old response bodies under `raw/`, oldest first.

raw/ ─► bodies older than 30 days ─► count and bytes per entry ─► removed, unless it is a dry run
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect import runtime

from flows.run.local_flow import local_flow
from flows.run.progress import Progress
from flows.run.report import (
    Column,
    EntryResult,
    ReportLayout,
    RunReport,
    choose_status,
    describe_failure,
    finish,
    sum_results,
)
from flows.run.session import load_selected
from gridtide.clock import check_store_clock
from gridtide.collect.retention import find_expired, list_body_folders
from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError, GridtideError, one_line
from gridtide.lake import Lake
from tasks.lake import open_lake

BATCH = 1000
"""Bodies removed by one request, the maximum of S3."""


def _check_parameters(config: str | dict[str, Any], select: list[str] | None, days: int, **_: Any) -> None:
    load_selected(config, select)
    if days < 1:
        raise ConfigurationError(
            "retention",
            f"bodies cannot be kept for {days} days",
            "Give 1 or more: interrupted collections resume from them",
        )


def _run_name() -> str:
    parameters = runtime.flow_run.parameters
    return f"retention {parameters['days']} days{' (dry run)' if parameters['dry_run'] else ''}"


@local_flow(name="retention", flow_run_name=_run_name, check=_check_parameters)
async def retention(
    config: str | dict[str, Any] = "api_config.json",
    select: list[str] | None = None,
    lake: str | None = None,
    days: int = 30,
    dry_run: bool = True,
) -> dict[str, Any]:
    """Remove the bodies of collections that are older than `days`; by default only report them.

    The age of a body is that of its object in the store, or of its run if that is younger, by this machine's clock,
    which must not be ahead of the store's (`ClockError`). Returns the report that
    `retention_report` describes. Raises `ConfigurationError` before anything is removed, and `RunError`, which carries
    the report, if an entry failed and all others are done.

    Args:
        config: The configuration: the path of the file, or its content.
        select: Names of the entries; all if empty.
        lake: Folder or URI of the lake; the configuration's if empty.
        days: The number of days for which bodies are kept.
        dry_run: Report the old bodies, and remove nothing.
    """
    start_time = time.monotonic()
    settings, entries = load_selected(config, select)
    opened_lake = await open_lake(lake or settings.lake)
    if store_clock := await opened_lake.store.measure_clock(lambda: datetime.now(UTC)):
        check_store_clock("retention", *store_clock)
    before = datetime.now(UTC) - timedelta(days=days)
    progress = await Progress.begin("retention-progress", {entry.name: 1 for entry in entries})
    results = []
    for entry in entries:
        results.append(await _clear_entry(opened_lake, entry, before, dry_run))
        await progress.advance(entry.name)
    return await finish(retention_report(results, before, dry_run, time.monotonic() - start_time))


def retention_report(results: Sequence[EntryResult], before: datetime, dry_run: bool, seconds: float) -> RunReport:
    """The report of a run that took `seconds`:

    - `pipeline_status`: `success`, `partial` or `failed`; `dry_run`; `before`: the time before which
      bodies have expired
    - `summary`: `bodies` that expired, their `bytes`, `seconds`
    - `results` per entry: `name`, `bodies`, `bytes`, `oldest` (when the oldest was stored, or null), `removed`
      (how many), `error`
    """
    failed = sum(result["error"] is not None for result in results)
    return RunReport(
        LAYOUT,
        choose_status(failed, len(results) - failed),
        results,
        {**sum_results(results, "bodies", "bytes"), "seconds": round(seconds, 3)},
        parameters={"dry_run": dry_run, "before": before.isoformat(timespec="seconds")},
        failure=describe_failure(results),
    )


def _write_headline(report: Mapping[str, Any]) -> str:
    summary = report["summary"]
    action = "would be removed (dry run)" if report["dry_run"] else "expired and were removed"
    return (
        f"retention: {summary['bodies']:,} bodies ({summary['bytes']:,} bytes) from before {report['before']} {action}"
    )


LAYOUT = ReportLayout(
    "retention",
    _write_headline,
    (
        Column("entry", "name"),
        Column("bodies", "bodies"),
        Column("MB", lambda result: result["bytes"] / 1e6),
        Column("oldest", lambda result: result["error"] or result["oldest"] or ""),
    ),
)


async def _clear_entry(lake: Lake, entry: Entry, before: datetime, dry_run: bool) -> dict[str, Any]:
    result: dict[str, Any] = {"name": entry.name, "bodies": 0, "bytes": 0, "oldest": None, "removed": 0, "error": None}
    try:
        bodies = await find_expired(lake, entry, before)
        oldest = bodies[0].last_modified.isoformat(timespec="seconds") if bodies else None
        result |= {"bodies": len(bodies), "bytes": sum(body.size for body in bodies), "oldest": oldest}
        while not dry_run and result["removed"] < len(bodies):
            batch = bodies[result["removed"] : result["removed"] + BATCH]
            await lake.store.remove([body.path for body in batch])
            result["removed"] += len(batch)
            await lake.store.prune(list_body_folders(entry, batch))
    except GridtideError as failure:
        result["error"] = one_line(failure)
    return result
