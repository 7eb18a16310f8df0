"""Make observations anew from the response bodies under `raw/`, after a parser was mended.

raw/<collection> ─► parse ─► the same content ─► nothing to do
                             other content    ─► a new file, which supersedes the old one
                             no body is left          ─► it has expired, and is no collection any more
                             a body is missing, and there is no file ─► it was interrupted, and is passed over
                             a body is missing, or still breaks its promise ─► told, the others go on
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from prefect import runtime
from prefect.artifacts import acreate_table_artifact
from prefect.logging import get_run_logger

from flows.run.local_flow import local_flow
from flows.run.progress import Progress
from flows.run.report import explained, raise_failures
from flows.run.session import moment, selected
from gridtide.collect.collected import Collected
from gridtide.collect.collection import collect
from gridtide.collect.raw_bodies import Collection, collections
from gridtide.collect.resume import NotKeptError, Replayed, replaying
from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError, GridtideError
from gridtide.lake import File, Lake
from gridtide.periods import Period
from tasks.lake import open_lake

Files = dict[tuple[datetime, Period | None], list[File]]
"""By stamp and period."""

COUNTS = ("unchanged", "rewritten", "interrupted", "failed", "rows")
"""What a report counts."""


def _check(config: str | dict[str, Any], select: list[str] | None, **parameters: Any) -> None:
    selected(config, select)
    _bounds(parameters["start"], parameters["end"])


def _run_name() -> str:
    return f"replay {', '.join(runtime.flow_run.parameters.get('select') or ()) or 'all'}"


@local_flow(name="replay", flow_run_name=_run_name, check=_check)
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
    started = time.monotonic()
    loaded, entries = selected(config, select)
    first, last = _bounds(start, end)
    store = await open_lake(lake or loaded.lake)
    found = {entry.name: await collections(store, entry) for entry in entries if entry.tabular}
    wanted = {
        name: [one for one in each if (not first or one.stamp >= first) and (not last or one.stamp < last)]
        for name, each in found.items()
    }
    progress = await Progress.begin("replay-progress", {name: len(each) for name, each in wanted.items()})
    results = []
    for entry in entries:
        row = _row(entry, wanted.get(entry.name, []))
        files = await _by_stamp(store, entry)
        for one in [] if dry_run else wanted.get(entry.name, []):
            await _one(store, entry, one, found[entry.name], _readings(files, one), row)
            await progress.advance(entry.name)
        results.append(row)
    report = replay_report(results, dry_run, time.monotonic() - started)
    get_run_logger().info(as_text(report))
    await acreate_table_artifact(as_rows(report), key="replay", description=as_text(report).partition("\n")[0])
    raise_failures("replay", report)
    return report


def replay_report(results: list[dict[str, Any]], dry_run: bool, seconds: float) -> dict[str, Any]:
    """The report of a run that took `seconds`:

    - `pipeline_status`: `success`, `partial` or `failed`; `dry_run`
    - `summary`: `collections`, `unchanged`, `rewritten`, `interrupted`, `failed`, `rows`, `seconds`
    - `results` per entry: `name`, `collections` that are kept, how many of them were `unchanged`, `rewritten`,
      `interrupted` before there was a file of them, and `failed`, the `rows` and `files` that were written,
      the files that they `superseded`, `errors` (a list of texts), and the first of these as `error`
    """
    summary = {key: sum(row[key] for row in results) for key in ("collections", *COUNTS)}
    done = summary["unchanged"] + summary["rewritten"]
    return {
        "pipeline_status": "success" if not summary["failed"] else "partial" if done else "failed",
        "dry_run": dry_run,
        "summary": {**summary, "seconds": round(seconds, 3)},
        "results": results,
    }


def as_rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The results as rows of a table for people."""
    return [
        {
            **{key: row[key] for key in ("name", "collections", *COUNTS)},
            "note": "; ".join(row["errors"]),
        }
        for row in report["results"]
    ]


def as_text(report: dict[str, Any]) -> str:
    """The report as one readable block."""
    summary = report["summary"]
    title = f"replay: {report['pipeline_status']}, {summary['collections']:,} collections are kept"
    if not report["dry_run"]:
        title += (
            f"; {summary['unchanged']:,} unchanged, {summary['rewritten']:,} rewritten, "
            f"{summary['interrupted']:,} interrupted, {summary['failed']:,} failed"
        )
    width = max(len(row["name"]) for row in report["results"])
    lines = [
        f"{row['name']:<{width}}  {row['collections']:>6,} kept  {row['rewritten']:>6,} rewritten  {row['note']}"
        for row in as_rows(report)
    ]
    return "\n".join([title, *lines])


def _row(entry: Entry, wanted: list[Collection]) -> dict[str, Any]:
    counts = dict.fromkeys(COUNTS, 0)
    lists: dict[str, list[str]] = {name: [] for name in ("files", "superseded", "errors")}
    return {"name": entry.name, "collections": len(wanted), **counts, **lists, "error": None}


async def _one(
    store: Lake, entry: Entry, one: Collection, all_of_entry: list[Collection], earlier: list[File], row: dict[str, Any]
) -> None:
    """Replay one collection, of which there are `earlier` readings, and add to `row` what came of it."""
    try:
        kept = await replaying(store, one, all_of_entry)
        done = await _stored(store, entry, one, kept, {file.path: file for file in earlier if file.superseded_at})
        superseded = await _supersede(store, done.file, earlier, kept.moments)
        row["rewritten" if done.created or superseded else "unchanged"] += 1
        row["superseded"] += superseded
        if done.created and done.file:
            row["rows"] += done.rows
            row["files"].append(done.file)
    except GridtideError as error:
        if isinstance(error, NotKeptError) and not earlier:
            row["interrupted"] += 1
            return
        row["failed"] += 1
        row["errors"].append(f"{one.folder}: {explained(error)}")
        row["error"] = row["error"] or row["errors"][0]


async def _stored(
    store: Lake, entry: Entry, one: Collection, kept: Replayed, superseded: Mapping[str, File]
) -> Collected:
    """What the bodies of `one` say, in a file that counts: not in one of those that were `superseded`, which a parser
    that was put back finds there, but after it, stored now."""
    stamp = one.stamp
    while True:
        done = await collect(_unkept(entry), lake=store, http=kept, stamp=stamp, period=one.period)
        there = superseded.get(done.file or "")
        if there is None:
            return done
        stamp = there.stamp + timedelta(seconds=1)


async def _supersede(store: Lake, current: str | None, earlier: list[File], moments: set[datetime]) -> list[str]:
    """Let those `earlier` files count no more whose rows are all from the `moments` of the bodies that `current` was
    read from; their paths."""
    found = []
    for file in earlier:
        if file.path != current and not file.superseded_at and await _retrievals(store, file.path) <= moments:
            await store.supersede(file.path)
            found.append(file.path)
    return found


async def _retrievals(store: Lake, path: str) -> set[datetime]:
    """When the rows of the file at `path` were retrieved."""
    return set((await store.table(path))["retrieved_at"].unique().to_pylist())


async def _by_stamp(store: Lake, entry: Entry) -> Files:
    """The files of `entry` as they are before the replay."""
    files: Files = defaultdict(list)
    for file in await store.files(entry.output_folder, entry.file_prefix, superseded=True):
        files[file.stamp, file.period].append(file)
    return files


def _readings(files: Files, one: Collection) -> list[File]:
    """Those of `files` that may have been read from the bodies of `one`: its own, and those that moved on from its
    name by a second each."""
    found, stamp = [], one.stamp
    while there := files.get((stamp, one.period)):
        found += there
        stamp += timedelta(seconds=1)
    return found


def _unkept(entry: Entry) -> Entry:
    """`entry` without going on from what is kept: a replay reads every body once, and keeps none again."""
    return msgspec.structs.replace(entry, raw=False)


def _bounds(start: Any, end: Any) -> tuple[datetime | None, datetime | None]:
    try:
        first, last = (None if each is None else moment(each) for each in (start, end))
    except ValueError as error:
        raise ConfigurationError("replay", f"{start} to {end}: {error}", "Give times such as 2024-01-01") from error
    if first and last and last <= first:
        raise ConfigurationError("replay", f"the end {end} is not after the start {start}", "Give the start first")
    return first, last
