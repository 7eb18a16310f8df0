"""Collect entries of the configuration, all at the same time, each into one file of the lake.

api_config.json ─► entries ─► collect ─► lake
                              collect ─► lake     a failing entry stops no other
                              collect ─► lake
                                 └─────► report
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from prefect import runtime

from flows.run.local_flow import local_flow
from flows.run.progress import tell
from flows.run.report import (
    Column,
    EntryRow,
    ReportLayout,
    RunReport,
    collection_row,
    error_kind,
    failure_of,
    finish,
    status_of,
)
from flows.run.session import collecting, selected
from gridtide.collect.collection import scheduled_period
from gridtide.entries.entry import Entry
from tasks.collect import CollectionRun, Outcome, run_collection


def _check_parameters(config: str | dict[str, Any], select: list[str] | None, **_: Any) -> None:
    selected(config, select)


def _run_name() -> str:
    return f"ingest {', '.join(runtime.flow_run.parameters.get('select') or ()) or 'all'}"


@local_flow(name="ingest", flow_run_name=_run_name, check=_check_parameters)
async def ingest(
    config: str | dict[str, Any] = "api_config.json",
    select: list[str] | None = None,
    lake: str | None = None,
    sandbox: bool | str = False,
    refresh: bool = False,
) -> dict[str, Any]:
    """Collect what is current of the entries and write it to the lake.

    Returns the report that `ingest_report` describes. Raises `ConfigurationError` before anything is
    asked, and `RunError`, which carries the report, after everything is done if any entry failed.

    Args:
        config: The configuration: the path of the file, or its content.
        select: Names of the entries to collect; all if empty.
        lake: Folder or URI of the lake; the configuration's if empty.
        sandbox: Ask simulated upstreams instead of the real ones; or the URL of a sandbox that runs.
        refresh: Ask although the last answer is still fresh.
    """
    started = time.monotonic()
    async with collecting(config, select, lake, sandbox, refresh) as (run, entries):
        for entry in entries:
            tell(entry.name, 0, 1)
        outcomes = await asyncio.gather(*(_collect_current(run, entry) for entry in entries))
    return await finish(ingest_report(outcomes, time.monotonic() - started), error_kind(outcomes))


async def _collect_current(run: CollectionRun, entry: Entry) -> Outcome:
    outcome = await run_collection(run, entry, scheduled_period(entry, run.stamp))
    tell(entry.name, 1, 1)
    return outcome


def ingest_report(outcomes: Sequence[Outcome], seconds: float) -> RunReport:
    """The report of a run that took `seconds`:

    - `pipeline_status`: `success`, `partial` or `failed`
    - `statistics`: `total_apis`, `successful_collections`, `failed_collections`,
      `successful_uploads`, `failed_uploads`; collecting is fetching and reading, uploading is
      writing to the lake
    - `summary`: `success_rate` (0 to 1), `rows`, `bytes`, `seconds`, `rows_per_second`
    - `results`: what `flows.run.report.collection_row` says, one per entry
    """
    results = [collection_row(outcome) for outcome in outcomes]
    failed = sum(row["error"] is not None for row in results)
    succeeded = len(results) - failed
    not_written = sum(row["upload_status"] == "failed" for row in results)
    rows = sum(row["rows"] for row in results)
    return RunReport(
        LAYOUT,
        status_of(failed, succeeded),
        results,
        {
            "success_rate": round(succeeded / len(results), 4),
            "rows": rows,
            "bytes": sum(row["bytes"] for row in results),
            "seconds": round(seconds, 3),
            "rows_per_second": round(rows / seconds, 1),
        },
        {
            "total_apis": len(results),
            "successful_collections": succeeded + not_written,
            "failed_collections": failed - not_written,
            "successful_uploads": sum(row["upload_status"] == "success" for row in results),
            "failed_uploads": not_written,
        },
        failure=failure_of(results),
    )


def _write_headline(report: Mapping[str, Any]) -> str:
    summary = report["summary"]
    return (
        f"ingest: {report['pipeline_status']}, {summary['rows']:,} rows, {summary['bytes']:,} bytes in "
        f"{summary['seconds']:.1f} s ({summary['rows_per_second']:,.0f} rows/s)"
    )


def _entry_status(row: EntryRow) -> str:
    return "failed" if row["error"] else "cached" if row["from_cache"] else "ok"


LAYOUT = ReportLayout(
    "ingest",
    _write_headline,
    (
        Column("entry", lambda row: row["name"]),
        Column("", _entry_status),
        Column("rows", lambda row: row["rows"]),
        Column("seconds", lambda row: round(sum(stage["seconds"] for stage in row["stages"].values()), 2)),
        Column("file or note", lambda row: row["error"] or "; ".join(row["warnings"]) or row["file"] or ""),
    ),
)
