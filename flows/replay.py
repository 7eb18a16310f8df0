"""Parses the response bodies under `raw/` again, after a parser was fixed.

raw/<collection> ─► parse ─► the same content ─► nothing is written
                             other content    ─► a new file, which supersedes the old one
                             all bodies have expired ─► not a collection any more
                             a body is missing, and there is no file ─► it was interrupted: counted, left out
                             a body is missing, or cannot be parsed  ─► reported; the others are replayed
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from itertools import chain
from time import monotonic
from typing import Any

from flows.run.cluster import Workers, choose_unit_size, open_workers
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
from flows.run.session import load_selected, name_entries, parse_time
from gridtide.collect.raw_bodies import KeptCollection, list_collections
from gridtide.collect.replay import (
    ReplayOutcome,
    ReplayPiece,
    list_files_by_stamp,
    plan_pieces,
    replay_piece,
)
from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError, GridtideError, one_line
from gridtide.lake import Lake
from tasks import remote
from tasks.lake import open_lake
from tasks.remote import RemoteCall

STATUSES = ("unchanged", "rewritten", "interrupted", "failed")
"""What may become of a collection; the report counts each."""


def _check_parameters(config: str | dict[str, Any], select: list[str] | None, **parameters: Any) -> None:
    load_selected(config, select)
    _read_bounds(parameters["start"], parameters["end"])


def _run_name() -> str:
    return f"replay {name_entries()}"


@local_flow(name="replay", flow_run_name=_run_name, check=_check_parameters)
async def replay(
    config: str | dict[str, Any] = "api_config.json",
    select: list[str] | None = None,
    lake: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Parse the stored response bodies again, and store the results that differ; sends no requests.

    Returns the report that `replay_report` describes. Raises `ConfigurationError` before anything is read, and
    `RunError`, which carries the report, if a collection failed and all others are done.

    Args:
        config: The configuration: the path of the file, or its content.
        select: Names of the entries; all if empty.
        lake: Folder or URI of the lake; the configuration's if empty.
        start: Replay only collections from this time on; UTC if it has no offset.
        end: Replay only collections before this time.
        dry_run: Report which collections are stored, and write nothing.
    """
    start_time = monotonic()
    settings, entries = load_selected(config, select)
    earliest, latest = _read_bounds(start, end)
    opened_lake = await open_lake(lake or settings.lake)
    collections = {entry.name: await list_collections(opened_lake, entry) for entry in entries if entry.tabular}
    selection = {
        name: [
            collection
            for collection in candidates
            if (not earliest or collection.stamp >= earliest) and (not latest or collection.stamp < latest)
        ]
        for name, candidates in collections.items()
    }
    progress = await Progress.begin("replay-progress", {name: len(selection[name]) for name in selection})
    results = []
    with ExitStack() as stack:
        replay_pieces = partial(_replay_here, opened_lake)
        if settings.processes > 1 and not dry_run:
            workers = stack.enter_context(open_workers(None, settings.processes, settings.task_retries))
            replay_pieces = partial(_replay_in_processes, workers, lake or settings.lake)
        for entry in entries:
            selected = selection.get(entry.name, [])
            files = await list_files_by_stamp(opened_lake, entry)
            pieces = plan_pieces(collections.get(entry.name, []), [] if dry_run else selected, files)
            outcomes = await replay_pieces(progress, entry, pieces)
            results.append(_summarize_replay(entry, selected, outcomes))
    return await finish(replay_report(results, dry_run, monotonic() - start_time), lake=opened_lake)


async def _replay_here(
    lake: Lake, progress: Progress, entry: Entry, pieces: Sequence[ReplayPiece]
) -> list[ReplayOutcome]:
    """Replay `pieces` of `entry` in this process, one after the other."""
    outcomes = []
    for piece in pieces:
        outcomes.append(await replay_piece(lake, entry, piece))
        await progress.advance(entry.name)
    return outcomes


async def _replay_in_processes(
    workers: Workers, address: str, progress: Progress, entry: Entry, pieces: Sequence[ReplayPiece]
) -> list[ReplayOutcome]:
    """Replay `pieces` of `entry` in the processes of `workers`, in units; the lake is at `address`."""

    async def replay_unit(unit: Sequence[ReplayPiece]) -> list[ReplayOutcome]:
        name = f"{entry.name} {unit[0].collection.stamp:%Y-%m-%d} to {unit[-1].collection.stamp:%Y-%m-%d}"
        call = RemoteCall(name, remote.replay_remotely, entry, unit, address)
        try:
            outcomes = await workers.run("replay", call)
        except GridtideError as error:  # the process died
            outcomes = [ReplayOutcome("failed", error=one_line(error)) for _ in unit]
        for _ in unit:
            await progress.advance(entry.name)
        return outcomes

    size = choose_unit_size(len(pieces), workers.count)
    units = [pieces[start : start + size] for start in range(0, len(pieces), size)]
    return list(chain.from_iterable(await asyncio.gather(*map(replay_unit, units))))


def replay_report(results: Sequence[EntryResult], dry_run: bool, seconds: float) -> RunReport:
    """The report of a run that took `seconds`:

    - `pipeline_status`: `success`, `partial` or `failed`; `dry_run`
    - `summary`: `collections`, `unchanged`, `rewritten`, `interrupted`, `failed`, `rows`, `seconds`
    - `results` per entry: `name`, the number of `collections` under `raw/`, and of those that were `unchanged`,
      `rewritten`, `interrupted` before they had a file, or `failed`; the `rows` and `files` that were written, the
      files that they `superseded`, `errors` (a list of texts), and the first of these as `error`
    """
    totals = sum_results(results, "collections", *STATUSES, "rows")
    return RunReport(
        REPLAY_LAYOUT,
        choose_status(totals["failed"], totals["unchanged"] + totals["rewritten"]),
        results,
        {**totals, "seconds": round(seconds, 3)},
        parameters={"dry_run": dry_run},
        failure=describe_failure(results),
    )


def _write_headline(report: Mapping[str, Any]) -> str:
    summary = report["summary"]
    headline = f"replay: {report['pipeline_status']}, {summary['collections']:,} collections are stored"
    if report["dry_run"]:
        return headline
    return (
        f"{headline}; {summary['unchanged']:,} unchanged, {summary['rewritten']:,} rewritten, "
        f"{summary['interrupted']:,} interrupted, {summary['failed']:,} failed"
    )


REPLAY_LAYOUT = ReportLayout(
    "replay",
    _write_headline,
    (
        Column("entry", "name"),
        Column("collections", "collections"),
        Column("unchanged", "unchanged"),
        Column("rewritten", "rewritten"),
        Column("interrupted", "interrupted"),
        Column("failed", "failed"),
        Column("note", lambda result: "; ".join(result["errors"])),
    ),
)


def _summarize_replay(
    entry: Entry, selection: Sequence[KeptCollection], outcomes: Sequence[ReplayOutcome]
) -> dict[str, Any]:
    """The result of an entry in the report."""
    statuses = Counter[str](outcome.status for outcome in outcomes)
    errors = [outcome.error for outcome in outcomes if outcome.error]
    return {
        "name": entry.name,
        "collections": len(selection),
        **{status: statuses[status] for status in STATUSES},
        "rows": sum(outcome.rows for outcome in outcomes),
        "files": [path for outcome in outcomes for path in outcome.files],
        "superseded": [path for outcome in outcomes for path in outcome.superseded_files],
        "errors": errors,
        "error": errors[0] if errors else None,
    }


def _read_bounds(start: Any, end: Any) -> tuple[datetime | None, datetime | None]:
    try:
        earliest, latest = (None if text is None else parse_time(text) for text in (start, end))
    except ValueError as error:
        raise ConfigurationError("replay", f"{start} to {end}: {error}", "Give times such as 2024-01-01") from error
    if earliest and latest and latest <= earliest:
        raise ConfigurationError("replay", f"the end {end} is not after the start {start}", "Give the start first")
    return earliest, latest
