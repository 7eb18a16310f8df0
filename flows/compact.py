"""Gather the timestamped files of the lake into one file a month, which keeps every vintage.

files ─► new ones ─► months they touch, made anew ─► processed/<output_folder>/<file_prefix>/2024/2024-03.parquet

On a cluster, the workers share the months of all entries.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from prefect import runtime

from flows.run.cluster import Workers, workers
from flows.run.local_flow import local_flow
from flows.run.progress import Progress
from flows.run.report import Column, EntryRow, ReportLayout, RunReport, failure_of, finish, status_of
from flows.run.session import selected
from gridtide import curated
from gridtide.curated import Compaction
from gridtide.entries.entry import Config, Entry
from gridtide.errors import ConfigurationError, GridtideError, one_line
from gridtide.lake import Lake
from tasks import remote
from tasks.lake import open_lake
from tasks.remote import RemoteCall


def _check_parameters(config: str | dict[str, Any], select: list[str] | None, **_: Any) -> None:
    _select_tabular(config, select)


def _run_name() -> str:
    return f"compact {', '.join(runtime.flow_run.parameters.get('select') or ()) or 'all'}"


@local_flow(name="compact", flow_run_name=_run_name, check=_check_parameters)
async def compact(
    config: str | dict[str, Any] = "api_config.json",
    select: list[str] | None = None,
    lake: str | None = None,
    cluster: str | None = None,
    prune: bool = False,
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
        prune: Whether to remove files that months have held whole for 30 days, after these months were verified.
    """
    started = time.monotonic()
    loaded, entries = _select_tabular(config, select)
    address = lake or loaded.lake
    store = await open_lake(address)
    progress = await Progress.begin("compact-progress", {entry.name: 1 for entry in entries})

    async def compact_entry(way: Callable[[Lake, Entry], Awaitable[Compaction]], entry: Entry) -> dict[str, Any]:
        row = await _entry_row(_and_prune(store, entry, way) if prune else way(store, entry), entry.name)
        await progress.advance(entry.name)
        return row

    if cluster:
        with workers(cluster, loaded.task_retries) as pool:
            way = partial(_compact_shares, pool, address)
            rows = await asyncio.gather(*(compact_entry(way, entry) for entry in entries))
    else:  # one after the other, so that memory is bounded
        rows = [await compact_entry(curated.compact, entry) for entry in entries]
    return await finish(compact_report(rows, time.monotonic() - started))


async def _and_prune(store: Lake, entry: Entry, way: Callable[[Lake, Entry], Awaitable[Compaction]]) -> Compaction:
    """Compact `entry`, then remove the files that its months hold; what was removed is counted in the compaction."""
    compaction = await way(store, entry)
    pruning = await curated.prune(store, entry)
    compaction.removed = pruning.files
    compaction.problems += pruning.problems
    return compaction


def compact_report(rows: Sequence[EntryRow], seconds: float) -> RunReport:
    """The report of a compaction that took `seconds`:

    - `pipeline_status`: `success`, `partial` or `failed`
    - `summary`: `files` that went in, their `rows`, `months` and `bytes` written, files `removed`, `seconds`
    - `results` per entry: `name`, `files`, `rows`, `months` (a list), `bytes`, `removed`, `problems` (one for
      each file that was left out or could not be removed), `error`
    """
    failed = sum(row["error"] is not None for row in rows)
    summary = {key: sum(row[key] for row in rows) for key in ("files", "rows", "bytes", "removed")}
    months = sum(len(row["months"]) for row in rows)
    return RunReport(
        LAYOUT,
        status_of(failed, len(rows) - failed),
        rows,
        {**summary, "months": months, "seconds": round(seconds, 3)},
        failure=failure_of(rows),
    )


def _write_headline(report: Mapping[str, Any]) -> str:
    summary = report["summary"]
    return (
        f"compact: {report['pipeline_status']}, {summary['files']:,} files with {summary['rows']:,} rows into "
        f"{summary['months']:,} months ({summary['bytes']:,} bytes) in {summary['seconds']:.1f} s"
    )


def _entry_note(row: EntryRow) -> str:
    if row["removed"] and not row["error"]:
        return f"{row['removed']:,} compacted files removed"
    return row["error"] or (f"{row['months'][0]} to {row['months'][-1]}" if row["months"] else "nothing new")


LAYOUT = ReportLayout(
    "compact",
    _write_headline,
    (
        Column("entry", lambda row: row["name"]),
        Column("", lambda row: "failed" if row["error"] else "ok"),
        Column("files", lambda row: row["files"]),
        Column("rows", lambda row: row["rows"]),
        Column("months", lambda row: len(row["months"])),
        Column("bytes", lambda row: row["bytes"]),
        Column("note", _entry_note),
    ),
)


def _select_tabular(config: str | dict[str, Any], select: list[str] | None) -> tuple[Config, list[Entry]]:
    """The configuration, and those of the entries that hold observations."""
    loaded, entries = selected(config, select)
    tabular = [entry for entry in entries if entry.tabular]
    if not tabular:
        names = ", ".join(entry.name for entry in entries)
        raise ConfigurationError(names, "keeps bodies only, which are not compacted", "Name another entry")
    return loaded, tabular


async def _compact_shares(pool: Workers, address: str, store: Lake, entry: Entry) -> Compaction:
    """Compact `entry` of the lake `store`, which is at `address`, share by share, then what is left of it."""
    planned = await curated.plan_shares(store, entry)
    calls = [
        RemoteCall(f"{entry.name} {share.months}", remote.compact_share_remotely, entry, share, address)
        for share in planned
    ]
    ended = await asyncio.gather(*(pool.run("compact", call) for call in calls), return_exceptions=True)
    parts = [part for part in ended if not isinstance(part, BaseException)]
    joined = await curated.join_shares(store, entry, planned, parts)
    for failure in ended:
        if isinstance(failure, BaseException):
            raise failure
    return joined + await pool.run("compact", RemoteCall(f"{entry.name} rest", remote.compact_remotely, entry, address))


async def _entry_row(compacting: Awaitable[Compaction], name: str) -> dict[str, Any]:
    """What the report says of the entry `name`."""
    compaction, error = Compaction(name), None
    try:
        compaction = await compacting
        error = "; ".join(compaction.problems) or None
    except GridtideError as failure:
        error = one_line(failure)
    return {
        "name": name,
        "files": compaction.files,
        "rows": compaction.rows,
        "months": sorted(set(compaction.months)),
        "bytes": compaction.bytes,
        "removed": compaction.removed,
        "problems": compaction.problems,
        "error": error,
    }
