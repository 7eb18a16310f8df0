"""Merges the files of each entry into one file per month, which keeps every vintage.

files ─► new files ─► their months are written again ─► processed/<output_folder>/<file_prefix>/2024/2024-03.parquet

On a cluster, the workers share the months of all entries.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from flows.run.cluster import Workers, connect_workers
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
from flows.run.session import load_selected, name_entries
from gridtide import curated
from gridtide.curated import Compaction
from gridtide.entries.entry import Config, Entry
from gridtide.errors import ConfigurationError, GridtideError, one_line
from gridtide.lake import Lake
from tasks import remote
from tasks.lake import open_lake
from tasks.remote import RemoteCall

Compactor = Callable[[Lake, Entry], Awaitable[Compaction]]
"""Compacts an entry of a lake."""


def _check_parameters(config: str | dict[str, Any], select: list[str] | None, **_: Any) -> None:
    _select_tabular(config, select)


def _run_name() -> str:
    return f"compact {name_entries()}"


@local_flow(name="compact", flow_run_name=_run_name, check=_check_parameters)
async def compact(
    config: str | dict[str, Any] = "api_config.json",
    select: list[str] | None = None,
    lake: str | None = None,
    cluster: str | None = None,
    prune: bool = False,
) -> dict[str, Any]:
    """Write the months of the entries that new files affect; if there are no new files, nothing is written.

    Returns the report that `compact_report` describes. Raises `ConfigurationError` before anything is read, and
    `RunError`, which carries the report, if an entry failed or one of its files was left out, and all others are done.

    Args:
        config: The configuration: the path of the file, or its content.
        select: Names of the entries to compact; all entries with observations if empty.
        lake: Folder or URI of the lake; the configuration's if empty.
        cluster: Where months are written: the address of a Dask scheduler, or "local" for a process per core of
            this machine; in this process if empty.
        prune: Remove the files that verified months have contained completely for 30 days.
    """
    start_time = time.monotonic()
    settings, entries = _select_tabular(config, select)
    address = lake or settings.lake
    opened_lake = await open_lake(address)
    progress = await Progress.begin("compact-progress", {entry.name: 1 for entry in entries})

    async def compact_entry(compactor: Compactor, entry: Entry) -> dict[str, Any]:
        compacting = _compact_and_prune(opened_lake, entry, compactor) if prune else compactor(opened_lake, entry)
        result = await _summarize_entry(compacting, entry.name)
        await progress.advance(entry.name)
        return result

    if cluster:
        with connect_workers(cluster, settings.task_retries) as dask_workers:
            compactor = partial(_compact_shares, dask_workers, address)
            results = await asyncio.gather(*(compact_entry(compactor, entry) for entry in entries))
    else:  # one entry after the other, to bound the memory
        results = [await compact_entry(curated.compact, entry) for entry in entries]
    return await finish(compact_report(results, time.monotonic() - start_time))


async def _compact_and_prune(lake: Lake, entry: Entry, compactor: Compactor) -> Compaction:
    """Compact `entry`, then remove the files that its months contain; the compaction counts the removed files."""
    compaction = await compactor(lake, entry)
    pruning = await curated.prune(lake, entry)
    compaction.removed = pruning.files
    compaction.problems += pruning.problems
    return compaction


def compact_report(results: Sequence[EntryResult], seconds: float) -> RunReport:
    """The report of a compaction that took `seconds`:

    - `pipeline_status`: `success`, `partial` or `failed`
    - `summary`: `files` that were compacted, their `rows`, `months` and `bytes` written, files `removed`, `seconds`
    - `results` per entry: `name`, `files`, `rows`, `months` (a list), `bytes`, `removed`, `problems` (one for
      each file that was left out or could not be removed), `error`
    """
    failed = sum(result["error"] is not None for result in results)
    totals = sum_results(results, "files", "rows", "bytes", "removed")
    months = sum(len(result["months"]) for result in results)
    return RunReport(
        COMPACT_LAYOUT,
        choose_status(failed, len(results) - failed),
        results,
        {**totals, "months": months, "seconds": round(seconds, 3)},
        failure=describe_failure(results),
    )


def _write_headline(report: Mapping[str, Any]) -> str:
    summary = report["summary"]
    return (
        f"compact: {report['pipeline_status']}, {summary['files']:,} files with {summary['rows']:,} rows into "
        f"{summary['months']:,} months ({summary['bytes']:,} bytes) in {summary['seconds']:.1f} s"
    )


def _write_note(result: EntryResult) -> str:
    if result["removed"] and not result["error"]:
        return f"{result['removed']:,} compacted files removed"
    return result["error"] or (
        f"{result['months'][0]} to {result['months'][-1]}" if result["months"] else "nothing new"
    )


COMPACT_LAYOUT = ReportLayout(
    "compact",
    _write_headline,
    (
        Column("entry", "name"),
        Column("", lambda result: "failed" if result["error"] else "ok"),
        Column("files", "files"),
        Column("rows", "rows"),
        Column("months", lambda result: len(result["months"])),
        Column("bytes", "bytes"),
        Column("note", _write_note),
    ),
)


def _select_tabular(config: str | dict[str, Any], select: list[str] | None) -> tuple[Config, list[Entry]]:
    """The configuration, and its selected entries that yield observations.

    Raises `ConfigurationError` if none of them does.
    """
    settings, entries = load_selected(config, select)
    tabular = [entry for entry in entries if entry.tabular]
    if not tabular:
        entry_names = ", ".join(entry.name for entry in entries)
        raise ConfigurationError(entry_names, "keeps bodies only, which are not compacted", "Select another entry")
    return settings, tabular


async def _compact_shares(dask_workers: Workers, address: str, lake: Lake, entry: Entry) -> Compaction:
    """Compact `entry` of `lake`, which is at `address`: first its shares in parallel, then its other files."""
    shares = await curated.plan_shares(lake, entry)
    remote_calls = [
        RemoteCall(f"{entry.name} {share.months}", remote.compact_share_remotely, entry, share, address)
        for share in shares
    ]
    outcomes = await asyncio.gather(
        *(dask_workers.run("compact", remote_call) for remote_call in remote_calls), return_exceptions=True
    )
    compacted = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    dataset_report = await curated.join_shares(lake, entry, shares, compacted)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    other_files = RemoteCall(f"{entry.name} rest", remote.compact_remotely, entry, address)
    return dataset_report + await dask_workers.run("compact", other_files)


async def _summarize_entry(compacting: Awaitable[Compaction], name: str) -> dict[str, Any]:
    """The result of `compacting` in the report; `name` is the name of the entry."""
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
