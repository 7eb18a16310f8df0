"""Remove the response bodies under `raw/` that have been kept long enough, oldest first.

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
from flows.run.report import Column, EntryRow, ReportLayout, RunReport, failure_of, finish, status_of
from flows.run.session import selected
from gridtide.collect.retention import body_folders, find_expired
from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError, GridtideError, one_line
from gridtide.lake import Lake
from tasks.lake import open_lake

BATCH = 1000
"""Bodies removed by one request, which is what S3 takes."""


def _check_parameters(config: str | dict[str, Any], select: list[str] | None, days: int, **_: Any) -> None:
    selected(config, select)
    if days < 1:
        raise ConfigurationError(
            "retention", f"bodies cannot be kept for {days} days", "Give 1 or more: collections go on from them"
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
    """Remove the bodies of collections that are older than `days`; by default only say which those are.

    How old a body is, the store says. Returns the report that `retention_report` describes. Raises
    `ConfigurationError` before anything is removed, and `RunError`, which carries the report, after
    everything is done if an entry failed.

    Args:
        config: The configuration: the path of the file, or its content.
        select: Names of the entries; all if empty.
        lake: Folder or URI of the lake; the configuration's if empty.
        days: How long bodies are kept.
        dry_run: Remove nothing.
    """
    started = time.monotonic()
    loaded, entries = selected(config, select)
    store = await open_lake(lake or loaded.lake)
    before = datetime.now(UTC) - timedelta(days=days)
    progress = await Progress.begin("retention-progress", {entry.name: 1 for entry in entries})
    rows = []
    for entry in entries:
        rows.append(await _clear_entry(store, entry, before, dry_run))
        await progress.advance(entry.name)
    return await finish(retention_report(rows, before, dry_run, time.monotonic() - started))


def retention_report(rows: Sequence[EntryRow], before: datetime, dry_run: bool, seconds: float) -> RunReport:
    """The report of a run that took `seconds`:

    - `pipeline_status`: `success`, `partial` or `failed`; `dry_run`; `before`: what was put earlier has expired
    - `summary`: `bodies` that expired, their `bytes`, `seconds`
    - `results` per entry: `name`, `bodies`, `bytes`, the `oldest` (when it was put, or null), `removed`
      (how many), `error`
    """
    failed = sum(row["error"] is not None for row in rows)
    summary = {key: sum(row[key] for row in rows) for key in ("bodies", "bytes")}
    return RunReport(
        LAYOUT,
        status_of(failed, len(rows) - failed),
        rows,
        {**summary, "seconds": round(seconds, 3)},
        about={"dry_run": dry_run, "before": before.isoformat(timespec="seconds")},
        failure=failure_of(rows),
    )


def _write_headline(report: Mapping[str, Any]) -> str:
    summary = report["summary"]
    what = "would be removed (dry run)" if report["dry_run"] else "expired and were removed"
    return f"retention: {summary['bodies']:,} bodies ({summary['bytes']:,} bytes) from before {report['before']} {what}"


LAYOUT = ReportLayout(
    "retention",
    _write_headline,
    (
        Column("entry", lambda row: row["name"]),
        Column("bodies", lambda row: row["bodies"]),
        Column("MB", lambda row: row["bytes"] / 1e6),
        Column("oldest", lambda row: row["error"] or row["oldest"] or ""),
    ),
)


async def _clear_entry(lake: Lake, entry: Entry, before: datetime, dry_run: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"name": entry.name, "bodies": 0, "bytes": 0, "oldest": None, "removed": 0, "error": None}
    try:
        bodies = await find_expired(lake, entry, before)
        oldest = bodies[0].last_modified.isoformat(timespec="seconds") if bodies else None
        row |= {"bodies": len(bodies), "bytes": sum(body.size for body in bodies), "oldest": oldest}
        while not dry_run and row["removed"] < len(bodies):
            batch = bodies[row["removed"] : row["removed"] + BATCH]
            await lake.store.remove([body.path for body in batch])
            row["removed"] += len(batch)
            await lake.store.prune(body_folders(entry, batch))
    except GridtideError as failure:
        row["error"] = one_line(failure)
    return row
