"""Make observations anew from the response bodies under `raw/`, after a parser was mended.

raw/<collection> ─► parse ─► the same content ─► nothing to do
                             other content    ─► a new file, which supersedes the old one
                             no body is left          ─► it has expired, and is no collection any more
                             a body is missing, and there is no file ─► it was interrupted, and is passed over
                             a body is missing, or still breaks its promise ─► told, the others go on
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

import msgspec
from prefect import runtime

from flows.run.local_flow import local_flow
from flows.run.progress import Progress
from flows.run.report import Column, EntryRow, ReportLayout, RunReport, failure_of, finish, status_of
from flows.run.session import read_moment, selected
from gridtide.collect.collected import Collected
from gridtide.collect.collection import collect
from gridtide.collect.raw_bodies import KeptCollection, list_collections
from gridtide.collect.resume import NotKeptError, Replayed, open_replay
from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError, GridtideError, one_line
from gridtide.lake import File, Lake
from gridtide.periods import Period
from tasks.lake import open_lake

Files = dict[tuple[datetime, Period | None], list[File]]
"""By stamp and period."""

COUNTS = ("unchanged", "rewritten", "interrupted", "failed", "rows")
"""What a report counts."""


def _check_parameters(config: str | dict[str, Any], select: list[str] | None, **parameters: Any) -> None:
    selected(config, select)
    _read_bounds(parameters["start"], parameters["end"])


def _run_name() -> str:
    return f"replay {', '.join(runtime.flow_run.parameters.get('select') or ()) or 'all'}"


@local_flow(name="replay", flow_run_name=_run_name, check=_check_parameters)
async def replay(
    config: str | dict[str, Any] = "api_config.json",
    select: list[str] | None = None,
    lake: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Parse the bodies that are kept once more, and store what differs; no upstream is asked.

    Returns the report that `replay_report` describes. Raises `ConfigurationError` before anything is
    read, and `RunError`, which carries the report, after everything is done if a collection failed.

    Args:
        config: The configuration: the path of the file, or its content.
        select: Names of the entries; all if empty.
        lake: Folder or URI of the lake; the configuration's if empty.
        start: Only collections that were made from then on; UTC unless it says otherwise.
        end: Only collections that were made before then.
        dry_run: Only say what is kept.
    """
    started = monotonic()
    loaded, entries = selected(config, select)
    first, last = _read_bounds(start, end)
    store = await open_lake(lake or loaded.lake)
    stored = {entry.name: await list_collections(store, entry) for entry in entries if entry.tabular}
    chosen = {
        name: [
            collection
            for collection in of_entry
            if (not first or collection.stamp >= first) and (not last or collection.stamp < last)
        ]
        for name, of_entry in stored.items()
    }
    progress = await Progress.begin("replay-progress", {name: len(of_entry) for name, of_entry in chosen.items()})
    rows = []
    for entry in entries:
        row = _new_row(entry, chosen.get(entry.name, []))
        files = await _by_stamp(store, entry)
        for collection in [] if dry_run else chosen.get(entry.name, []):
            await _replay_collection(
                store, entry, collection, stored[entry.name], _find_readings(files, collection), row
            )
            await progress.advance(entry.name)
        rows.append(row)
    return await finish(replay_report(rows, dry_run, monotonic() - started))


def replay_report(rows: Sequence[EntryRow], dry_run: bool, seconds: float) -> RunReport:
    """The report of a run that took `seconds`:

    - `pipeline_status`: `success`, `partial` or `failed`; `dry_run`
    - `summary`: `collections`, `unchanged`, `rewritten`, `interrupted`, `failed`, `rows`, `seconds`
    - `results` per entry: `name`, `collections` under `raw/`, how many of them were `unchanged`, `rewritten`,
      `interrupted` before there was a file of them, and `failed`, the `rows` and `files` that were written,
      the files that they `superseded`, `errors` (a list of texts), and the first of these as `error`
    """
    summary = {key: sum(row[key] for row in rows) for key in ("collections", *COUNTS)}
    return RunReport(
        LAYOUT,
        status_of(summary["failed"], summary["unchanged"] + summary["rewritten"]),
        rows,
        {**summary, "seconds": round(seconds, 3)},
        about={"dry_run": dry_run},
        failure=failure_of(rows),
    )


def _write_headline(report: Mapping[str, Any]) -> str:
    summary = report["summary"]
    headline = f"replay: {report['pipeline_status']}, {summary['collections']:,} collections are kept"
    if report["dry_run"]:
        return headline
    return (
        f"{headline}; {summary['unchanged']:,} unchanged, {summary['rewritten']:,} rewritten, "
        f"{summary['interrupted']:,} interrupted, {summary['failed']:,} failed"
    )


LAYOUT = ReportLayout(
    "replay",
    _write_headline,
    (
        Column("entry", lambda row: row["name"]),
        Column("collections", lambda row: row["collections"]),
        Column("unchanged", lambda row: row["unchanged"]),
        Column("rewritten", lambda row: row["rewritten"]),
        Column("interrupted", lambda row: row["interrupted"]),
        Column("failed", lambda row: row["failed"]),
        Column("note", lambda row: "; ".join(row["errors"])),
    ),
)


def _new_row(entry: Entry, chosen: Sequence[KeptCollection]) -> dict[str, Any]:
    counts = dict.fromkeys(COUNTS, 0)
    lists: dict[str, list[str]] = {name: [] for name in ("files", "superseded", "errors")}
    return {"name": entry.name, "collections": len(chosen), **counts, **lists, "error": None}


async def _replay_collection(
    store: Lake,
    entry: Entry,
    collection: KeptCollection,
    all_of_entry: list[KeptCollection],
    earlier: list[File],
    row: dict[str, Any],
) -> None:
    """Replay one collection, of which there are `earlier` readings, and add to `row` what came of it."""
    try:
        bodies = await open_replay(store, collection, all_of_entry)
        superseded_before = {file.path: file for file in earlier if file.superseded_at}
        collected = await _store_reading(store, entry, collection, bodies, superseded_before)
        superseded = await _supersede_readings(store, collected.file, earlier, bodies.moments)
        row["rewritten" if collected.created or superseded else "unchanged"] += 1
        row["superseded"] += superseded
        if collected.created and collected.file:
            row["rows"] += collected.rows
            row["files"].append(collected.file)
    except GridtideError as error:
        if isinstance(error, NotKeptError) and not earlier:
            row["interrupted"] += 1
            return
        row["failed"] += 1
        row["errors"].append(f"{collection.folder}: {one_line(error)}")
        row["error"] = row["error"] or row["errors"][0]


async def _store_reading(
    store: Lake, entry: Entry, collection: KeptCollection, bodies: Replayed, superseded: Mapping[str, File]
) -> Collected:
    """What the bodies of `collection` say, in a file that counts: not in one of those that were `superseded`, which a
    parser that was put back finds there, but after it, stored now."""
    stamp = collection.stamp
    while True:
        collected = await collect(_without_raw(entry), lake=store, http=bodies, stamp=stamp, period=collection.period)
        taken_by = superseded.get(collected.file or "")
        if taken_by is None:
            return collected
        stamp = taken_by.stamp + timedelta(seconds=1)


async def _supersede_readings(
    store: Lake, current: str | None, earlier: list[File], moments: set[datetime]
) -> list[str]:
    """Let those `earlier` files count no more whose rows are all from the `moments` of the bodies that `current` was
    read from; their paths."""
    paths = []
    for file in earlier:
        if file.path != current and not file.superseded_at and await _read_retrievals(store, file.path) <= moments:
            await store.supersede(file.path)
            paths.append(file.path)
    return paths


async def _read_retrievals(store: Lake, path: str) -> set[datetime]:
    """When the rows of the file at `path` were retrieved."""
    return set((await store.table(path))["retrieved_at"].unique().to_pylist())


async def _by_stamp(store: Lake, entry: Entry) -> Files:
    """The files of `entry` as they are before the replay."""
    files: Files = defaultdict(list)
    for file in await store.files(entry.output_folder, entry.file_prefix, superseded=True):
        files[file.stamp, file.period].append(file)
    return files


def _find_readings(files: Files, collection: KeptCollection) -> list[File]:
    """Those of `files` that may have been read from the bodies of `collection`: its own, and those that moved on from
    its name by a second each."""
    readings, stamp = [], collection.stamp
    while at_stamp := files.get((stamp, collection.period)):
        readings += at_stamp
        stamp += timedelta(seconds=1)
    return readings


def _without_raw(entry: Entry) -> Entry:
    """`entry` without bodies under `raw/`: a replay reads every body once, and stores none again."""
    return msgspec.structs.replace(entry, raw=False)


def _read_bounds(start: Any, end: Any) -> tuple[datetime | None, datetime | None]:
    try:
        first, last = (None if time is None else read_moment(time) for time in (start, end))
    except ValueError as error:
        raise ConfigurationError("replay", f"{start} to {end}: {error}", "Give times such as 2024-01-01") from error
    if first and last and last <= first:
        raise ConfigurationError("replay", f"the end {end} is not after the start {start}", "Give the start first")
    return first, last
