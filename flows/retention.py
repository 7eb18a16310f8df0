"""Removes what has been kept long enough: response bodies under `raw/`, and the Prefect server's records of runs.

raw/   ─► bodies older than 30 days ─► count and bytes per entry ─► removed, unless it is a dry run
server ─► runs that ended 90 days ago, their task runs, logs, artifacts and results ─► counts ─► removed
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from httpx import HTTPError
from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.logging import get_run_logger

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
from gridtide.collect.retention import find_expired, find_reference, list_body_folders
from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError, GridtideError, one_line
from gridtide.lake import Lake
from tasks.lake import open_lake
from tasks.notify.events import EVENT_RETENTION
from tasks.server_records import (
    BATCH,
    ServerRecords,
    count_events,
    count_records,
    list_expired_runs,
    remove_records,
)

REMOVED_AT_ONCE = 1000
"""Bodies removed by one request, the maximum of S3."""

FEWEST_RUN_DAYS = 7
"""The fewest days for which runs are kept: notifications look back as far."""

OVERDUE = timedelta(days=1)
"""How long after their retention events may still be on a server, which removes them every hour."""

FLOW_NAMES = (
    *("ingest", "backfill", "compact", "prepare_training", "evaluate", "quality"),
    *("replay", "retention", "monitor", "notify", "catalog"),
)
"""The names of the flows whose runs are removed."""


def _check_parameters(
    config: str | dict[str, Any], select: list[str] | None, days: int, run_days: int, **_: Any
) -> None:
    load_selected(config, select)
    if run_days < FEWEST_RUN_DAYS:
        raise ConfigurationError(
            "retention",
            f"runs cannot be kept for {run_days} days",
            f"Give {FEWEST_RUN_DAYS} or more: notifications look back that far",
        )
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
    run_days: int = 90,
) -> dict[str, Any]:
    """Remove the bodies of collections that are older than `days`, and the Prefect server's records of runs of Gridtide
    that ended more than `run_days` ago; by default only report them.

    The age of a body is that of its object in the store, or of its run if that is younger, by this machine's clock,
    which must not be ahead of the store's (`ClockError`). Where no store tells its time, as in a local folder, ages
    count from the newest body of the lake if that is older than a day. Records of runs are removed only if all entries
    are selected. Returns the report that `retention_report` describes. Raises `ConfigurationError` before anything is
    removed, and `RunError`, which carries the report, if an entry failed and all others are done.

    Args:
        config: The configuration: the path of the file, or its content.
        select: Names of the entries; all if empty.
        lake: Folder or URI of the lake; the configuration's if empty.
        days: The number of days for which bodies are kept.
        dry_run: Report what is old, and remove nothing.
        run_days: The number of days for which the server keeps runs, their task runs, logs, artifacts and results.
    """
    start_time = time.monotonic()
    settings, entries = load_selected(config, select)
    opened_lake = await open_lake(lake or settings.lake)
    now = datetime.now(UTC)
    if store_clock := await opened_lake.store.measure_clock(lambda: datetime.now(UTC)):
        check_store_clock("retention", *store_clock)
    else:
        now = await _find_reference(opened_lake, settings.apis, now)
    before = now - timedelta(days=days)
    progress = await Progress.begin("retention-progress", {entry.name: 1 for entry in entries})
    results = []
    for entry in entries:
        results.append(await _clear_entry(opened_lake, entry, before, dry_run))
        await progress.advance(entry.name)
    records = None if select else await _clear_records(now, run_days, dry_run)
    return await finish(retention_report(results, before, dry_run, time.monotonic() - start_time, records))


async def _find_reference(lake: Lake, entries: Sequence[Entry], now: datetime) -> datetime:
    """Returns the moment from which ages count in a lake whose store has no clock; a warning says if that is not
    `now`."""
    reference = await find_reference(lake, entries, now)
    if reference != now:
        get_run_logger().warning(
            "the newest body of the lake is of %s: nothing was collected since, or the clock of this machine is ahead; "
            "ages count from then",
            f"{reference:%Y-%m-%dT%H:%MZ}",
        )
    return reference


def retention_report(
    results: Sequence[EntryResult],
    before: datetime,
    dry_run: bool,
    seconds: float,
    records: Mapping[str, Any] | None = None,
) -> RunReport:
    """The report of a run that took `seconds`:

    - `pipeline_status`: `success`, `partial` or `failed`; `dry_run`; `before`: the time before which
      bodies have expired
    - `summary`: `bodies` that expired, their `bytes`, `seconds`
    - `results` per entry: `name`, `bodies`, `bytes`, `oldest` (when the oldest was stored, or null), `removed`
      (how many), `error`
    - `server`: null if only some entries were selected, else what the Prefect server has of runs that ended before
      `before`: the numbers of `flow_runs`, `task_runs`, `artifacts`, `logs` and `results` (files of this machine), how
      many flow runs were `removed`, `overdue_events` (events that the server should have removed by itself), `error`
    """
    outcomes = [*results, *([{"name": "the Prefect server", **records}] if records else [])]
    failed = sum(outcome["error"] is not None for outcome in outcomes)
    return RunReport(
        RETENTION_LAYOUT,
        choose_status(failed, len(outcomes) - failed),
        results,
        {**sum_results(results, "bodies", "bytes"), "seconds": round(seconds, 3)},
        parameters={"dry_run": dry_run, "before": before.isoformat(timespec="seconds"), "server": records},
        failure=describe_failure(outcomes),
    )


def _write_headline(report: Mapping[str, Any]) -> str:
    summary = report["summary"]
    action = "would be removed (dry run)" if report["dry_run"] else "expired and were removed"
    bodies = f"{summary['bodies']:,} bodies ({summary['bytes']:,} bytes) from before {report['before']}"
    records = report["server"]
    runs = f" and {records['flow_runs']:,} runs from before {records['before']}" if records else ""
    return f"retention: {bodies}{runs} {action}"


def _describe_records(report: Mapping[str, Any]) -> list[str]:
    """Sentences about the records of the server."""
    records = report["server"]
    if records is None:
        return []
    sentences = [
        f"Runs on the server: {records['flow_runs']:,}, with {records['task_runs']:,} task runs, {records['logs']:,} "
        f"lines of logs, {records['artifacts']:,} artifacts and {records['results']:,} result files."
    ]
    if records["overdue_events"]:
        sentences.append(
            f"The server has {records['overdue_events']:,} events that are older than "
            f"{(EVENT_RETENTION + OVERDUE).days} days: check its PREFECT_SERVER_EVENTS_RETENTION_PERIOD, and that its "
            "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED includes events."
        )
    return sentences


RETENTION_LAYOUT = ReportLayout(
    "retention",
    _write_headline,
    (
        Column("entry", "name"),
        Column("bodies", "bodies"),
        Column("MB", lambda result: result["bytes"] / 1e6),
        Column("oldest", lambda result: result["error"] or result["oldest"] or ""),
    ),
    list_findings=_describe_records,
)


async def _clear_entry(lake: Lake, entry: Entry, before: datetime, dry_run: bool) -> dict[str, Any]:
    result: dict[str, Any] = {"name": entry.name, "bodies": 0, "bytes": 0, "oldest": None, "removed": 0, "error": None}
    try:
        bodies = await find_expired(lake, entry, before)
        oldest = bodies[0].last_modified.isoformat(timespec="seconds") if bodies else None
        result |= {"bodies": len(bodies), "bytes": sum(body.size for body in bodies), "oldest": oldest}
        while not dry_run and result["removed"] < len(bodies):
            batch = bodies[result["removed"] : result["removed"] + REMOVED_AT_ONCE]
            await lake.store.remove([body.path for body in batch])
            result["removed"] += len(batch)
            await lake.store.prune(list_body_folders(entry, batch))
    except GridtideError as failure:
        result["error"] = one_line(failure)
    return result


async def _clear_records(now: datetime, run_days: int, dry_run: bool) -> dict[str, Any]:
    """The part `server` of the report, after the records were removed."""
    before = now - timedelta(days=run_days)
    result: dict[str, Any] = {"before": before.isoformat(timespec="seconds"), **asdict(ServerRecords())}
    result |= {"removed": 0, "overdue_events": 0, "error": None}
    try:
        async with get_client() as client:
            result["overdue_events"] = await count_events(client, now - EVENT_RETENTION - OVERDUE)
            runs = await list_expired_runs(client, FLOW_NAMES, before)
            result |= asdict(await count_records(client, runs))
            while not dry_run and result["removed"] < len(runs):
                batch = runs[result["removed"] : result["removed"] + BATCH]
                await remove_records(client, batch)
                result["removed"] += len(batch)
    except (HTTPError, OSError) as failure:
        result["error"] = f"its records cannot be read or removed: {failure}. Run it again when the server answers"
    return result
