"""Collects the current data of the entries, all at the same time, each into one file of the lake.

api_config.json ─► entries ─► collect ─► lake
                              collect ─► lake     the failure of an entry does not stop the others
                              collect ─► lake
                                 └─────► report
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from prefect import get_run_logger

from flows.run.filling import warn_of_changed_series
from flows.run.local_flow import local_flow
from flows.run.progress import report_progress
from flows.run.report import (
    Column,
    EntryResult,
    ReportLayout,
    RunReport,
    choose_error,
    choose_status,
    describe_failure,
    finish,
    sum_results,
    summarize_collection,
)
from flows.run.session import check_selection, load_selected, name_entries, open_collection_run
from gridtide.collect.collection import find_scheduled_period
from gridtide.entries.entry import Config, Entry
from gridtide.lake import Lake
from tasks.collect import CollectionRun, Outcome, run_collection
from tasks.secrets import read_environment


def _run_name() -> str:
    return f"ingest {name_entries()}"


@local_flow(name="ingest", flow_run_name=_run_name, check=check_selection)
async def ingest(
    config: str | dict[str, Any] = "api_config.json",
    select: list[str] | None = None,
    lake: str | None = None,
    sandbox: bool | str = False,
    refresh: bool = False,
) -> dict[str, Any]:
    """Collect the current data of the entries and write it to the lake.

    Returns the report that `ingest_report` describes. Raises `ConfigurationError` before any request, and `RunError`,
    which carries the report, if an entry failed and all others are done.

    Args:
        config: The configuration: the path of the file, or its content.
        select: Names of the entries to collect; all if empty.
        lake: Folder or URI of the lake; the configuration's if empty.
        sandbox: Request data from simulated upstreams instead of the real ones; or the URL of a running sandbox.
        refresh: Send a request even if the last result is still fresh.
    """
    start_time = time.monotonic()
    async with open_collection_run(config, select, lake, sandbox, refresh) as (run, entries):
        for entry in entries:
            report_progress(entry.name, 0, 1)
        outcomes = await asyncio.gather(*(_collect_current(run, entry) for entry in entries))
        outcomes = await warn_of_changed_series(outcomes, run.lake)
        is_new = any(
            outcome.collected and outcome.collected["created"] and not outcome.from_cache for outcome in outcomes
        )
        await _publish_features(load_selected(config, None)[0], run.lake, only_absent=not is_new)
    return await finish(ingest_report(outcomes, time.monotonic() - start_time), choose_error(outcomes), lake=run.lake)


async def _publish_features(config: Config, lake: Lake, *, only_absent: bool) -> None:
    """Store the newest features of the sets under `online`, or of those that the store lacks; the log says which could
    not be stored."""
    if config.online is None:
        return
    from gridtide.training.serving.publishing import publish_online

    url = read_environment([config.online.env]).get(config.online.env)
    for problem in await publish_online(config, lake, url, only_absent=only_absent):
        get_run_logger().error(problem)


async def _collect_current(run: CollectionRun, entry: Entry) -> Outcome:
    outcome = await run_collection(run, entry, find_scheduled_period(entry, run.stamp))
    report_progress(entry.name, 1, 1)
    return outcome


def ingest_report(outcomes: Sequence[Outcome], seconds: float) -> RunReport:
    """The report of a run that took `seconds`:

    - `pipeline_status`: `success`, `partial` or `failed`
    - `statistics`: `total_apis`, `successful_collections`, `failed_collections`,
      `successful_uploads`, `failed_uploads`; a collection is fetched and parsed, an upload writes it to the lake
    - `summary`: `success_rate` (0 to 1), `rows`, `bytes`, `seconds`, `rows_per_second`
    - `results`: per entry, as `flows.run.report.summarize_collection` describes
    """
    results = [summarize_collection(outcome) for outcome in outcomes]
    failed = sum(result["error"] is not None for result in results)
    succeeded = len(results) - failed
    totals = sum_results(results, "rows", "bytes")
    not_written = sum(result["upload_status"] == "failed" for result in results)
    return RunReport(
        INGEST_LAYOUT,
        choose_status(failed, succeeded),
        results,
        {
            "success_rate": round(succeeded / len(results), 4),
            **totals,
            "seconds": round(seconds, 3),
            "rows_per_second": round(totals["rows"] / seconds, 1),
        },
        {
            "total_apis": len(results),
            "successful_collections": succeeded + not_written,
            "failed_collections": failed - not_written,
            "successful_uploads": sum(result["upload_status"] == "success" for result in results),
            "failed_uploads": not_written,
        },
        failure=describe_failure(results),
    )


def _write_headline(report: Mapping[str, Any]) -> str:
    summary = report["summary"]
    return (
        f"ingest: {report['pipeline_status']}, {summary['rows']:,} rows, {summary['bytes']:,} bytes in "
        f"{summary['seconds']:.1f} s ({summary['rows_per_second']:,.0f} rows/s)"
    )


def _choose_entry_status(result: EntryResult) -> str:
    return "failed" if result["error"] else "cached" if result["from_cache"] else "ok"


INGEST_LAYOUT = ReportLayout(
    "ingest",
    _write_headline,
    (
        Column("entry", "name"),
        Column("", _choose_entry_status),
        Column("rows", "rows"),
        Column("seconds", lambda result: round(sum(stage["seconds"] for stage in result["stages"].values()), 2)),
        Column("file or note", lambda result: result["error"] or "; ".join(result["warnings"]) or result["file"] or ""),
    ),
)
