"""Gather the timestamped files of the lake into one file a month, which keeps every vintage.

files ─► new ones ─► months they touch, made anew ─► processed/<output_folder>/<file_prefix>/2024/2024-03.parquet

On a cluster, the workers share the months of all entries.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from prefect import runtime
from prefect.artifacts import acreate_table_artifact
from prefect.logging import get_run_logger

from flows.run.cluster import Workers, workers
from flows.run.local_flow import local_flow
from flows.run.progress import Progress
from flows.run.report import explained, raise_failures
from flows.run.session import selected
from gridtide import curated
from gridtide.curated import Compaction
from gridtide.entries.entry import Config, Entry
from gridtide.errors import ConfigurationError, GridtideError
from gridtide.lake import Lake
from tasks import remote
from tasks.lake import open_lake
from tasks.remote import RemoteCall


def _check(config: str | dict[str, Any], select: list[str] | None, **_: Any) -> None:
    _tabular(config, select)


def _run_name() -> str:
    return f"compact {', '.join(runtime.flow_run.parameters.get('select') or ()) or 'all'}"


@local_flow(name="compact", flow_run_name=_run_name, check=_check)
async def compact(
    config: str | dict[str, Any] = "api_config.json",
    select: list[str] | None = None,
    lake: str | None = None,
    cluster: str | None = None,
) -> dict[str, Any]:
    """Bring the months of the entries up to their files; where they are, nothing is written.

    Returns the report that `compact_report` describes. Raises `ConfigurationError` before anything is
    read, and `RunError`, which carries the report, after everything is done if an entry failed or a
    file of it had to be left out.

    Args:
        config: The configuration: the path of the file, or its content.
        select: Names of the entries to compact; all that hold observations if empty.
        lake: Folder or URI of the lake; the configuration's if empty.
        cluster: Where months are made: the address of a Dask scheduler, "local" for a process per core of
            this machine; in this process if empty.
    """
    started = time.monotonic()
    loaded, entries = _tabular(config, select)
    address = lake or loaded.lake
    store = await open_lake(address)
    progress = await Progress.begin("compact-progress", {entry.name: 1 for entry in entries})

    async def one(way: Callable[[Lake, Entry], Awaitable[Compaction]], entry: Entry) -> dict[str, Any]:
        result = await _result(way(store, entry), entry.name)
        await progress.advance(entry.name)
        return result

    if cluster:
        with workers(cluster, loaded.task_retries) as there:
            way = partial(_shared, there, address)
            results = await asyncio.gather(*(one(way, entry) for entry in entries))
    else:  # one after the other: what one holds in memory is bounded
        results = [await one(curated.compact, entry) for entry in entries]
    report = compact_report(results, time.monotonic() - started)
    get_run_logger().info(as_text(report))
    await acreate_table_artifact(as_rows(report), key="compact", description="What was compacted, per entry")
    raise_failures("compact", report)
    return report


def compact_report(results: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """The report of a compaction that took `seconds`:

    - `pipeline_status`: `success`, `partial` or `failed`
    - `summary`: `files` that went in, their `rows`, `months` and `bytes` written, `seconds`
    - `results` per entry: `name`, `files`, `rows`, `months` (a list), `bytes`, `problems` (one for each
      file that was left out), `error`
    """
    failed = sum(row["error"] is not None for row in results)
    return {
        "pipeline_status": "success" if not failed else "partial" if failed < len(results) else "failed",
        "summary": {
            **{key: sum(row[key] for row in results) for key in ("files", "rows", "bytes")},
            "months": sum(len(row["months"]) for row in results),
            "seconds": round(seconds, 3),
        },
        "results": results,
    }


def as_rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The results as rows of a table for people."""
    return [
        {
            "entry": row["name"],
            "status": "failed" if row["error"] else "ok",
            "files": row["files"],
            "rows": row["rows"],
            "months": len(row["months"]),
            "bytes": row["bytes"],
            "note": row["error"] or (f"{row['months'][0]} to {row['months'][-1]}" if row["months"] else "nothing new"),
        }
        for row in report["results"]
    ]


def as_text(report: dict[str, Any]) -> str:
    """The report as one readable block."""
    summary = report["summary"]
    title = (
        f"compact: {report['pipeline_status']}, {summary['files']:,} files with {summary['rows']:,} rows into "
        f"{summary['months']:,} months ({summary['bytes']:,} bytes) in {summary['seconds']:.1f} s"
    )
    rows = as_rows(report)
    width = max(len(row["entry"]) for row in rows)
    return "\n".join(
        [
            title,
            *(f"{row['entry']:<{width}}  {row['status']:<6}  {row['files']:>6,} files  {row['note']}" for row in rows),
        ]
    )


def _tabular(config: str | dict[str, Any], select: list[str] | None) -> tuple[Config, list[Entry]]:
    """The configuration, and those of the entries that hold observations."""
    loaded, entries = selected(config, select)
    tabular = [entry for entry in entries if entry.tabular]
    if not tabular:
        names = ", ".join(entry.name for entry in entries)
        raise ConfigurationError(names, "keeps bodies only, which are not compacted", "Name another entry")
    return loaded, tabular


async def _shared(there: Workers, address: str, store: Lake, entry: Entry) -> Compaction:
    """Compact `entry` of the lake `store`, which is at `address`, share by share, then what is left of it."""
    planned = await curated.shares(store, entry)
    calls = [
        RemoteCall(f"{entry.name} {share.months}", remote.compact_share_remotely, entry, share, address)
        for share in planned
    ]
    ended = await asyncio.gather(*(there.run("compact", call) for call in calls), return_exceptions=True)
    done = await curated.join(store, entry, planned, [part for part in ended if not isinstance(part, BaseException)])
    for failure in ended:
        if isinstance(failure, BaseException):
            raise failure
    left = await there.run("compact", RemoteCall(f"{entry.name} rest", remote.compact_remotely, entry, address))
    return done + left


async def _result(compacted: Awaitable[Compaction], name: str) -> dict[str, Any]:
    done, error = Compaction(name), None
    try:
        done = await compacted
        error = "; ".join(done.problems) or None
    except GridtideError as failure:
        error = explained(failure)
    return {
        "name": name,
        "files": done.files,
        "rows": done.rows,
        "months": sorted(set(done.months)),
        "bytes": done.bytes,
        "problems": done.problems,
        "error": error,
    }
