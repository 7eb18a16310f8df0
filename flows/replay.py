"""Parses the response bodies under `raw/` again, after a parser was fixed.

raw/<collection> ─► parse ─► the same content ─► nothing is written
                             other content    ─► a new file, which supersedes the old one
                             all bodies have expired ─► not a collection any more
                             a body is missing, and there is no file ─► it was interrupted: counted, left out
                             a body is missing, or cannot be parsed  ─► reported; the others are replayed
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

import msgspec

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
from gridtide.collect.collected import Collected
from gridtide.collect.collection import collect
from gridtide.collect.raw_bodies import KeptCollection, list_collections
from gridtide.collect.resume import NotKeptError, Replayed, open_replay
from gridtide.entries.entry import Entry
from gridtide.entries.scope import Scope, parse_scope
from gridtide.errors import ConfigurationError, GridtideError, one_line
from gridtide.lake import File, Lake, Metadata, soundness
from gridtide.periods import Period
from gridtide.sources.registry import narrow_entry, scope_of
from tasks.lake import open_lake

Files = dict[datetime, list[File]]
"""Files by stamp."""

Collections = defaultdict[datetime, list[KeptCollection]]
"""Collections by stamp."""

COUNTS = ("unchanged", "rewritten", "interrupted", "failed", "rows")
"""The counts in a result of the report."""


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
    started = monotonic()
    loaded, entries = load_selected(config, select)
    earliest, latest = _read_bounds(start, end)
    opened_lake = await open_lake(lake or loaded.lake)
    stored = {entry.name: await list_collections(opened_lake, entry) for entry in entries if entry.tabular}
    chosen = {
        name: [
            collection
            for collection in collections
            if (not earliest or collection.stamp >= earliest) and (not latest or collection.stamp < latest)
        ]
        for name, collections in stored.items()
    }
    progress = await Progress.begin("replay-progress", {name: len(chosen[name]) for name in chosen})
    results = []
    for entry in entries:
        result = _new_result(entry, chosen.get(entry.name, []))
        files = await _list_files(opened_lake, entry)
        by_stamp: Collections = defaultdict(list)
        for collection in stored.get(entry.name, []):
            by_stamp[collection.stamp].append(collection)
        for collection in [] if dry_run else chosen.get(entry.name, []):
            readings = _find_readings(files, collection, by_stamp)
            await _replay_collection(opened_lake, entry, collection, stored[entry.name], readings, result)
            await progress.advance(entry.name)
        results.append(result)
    return await finish(replay_report(results, dry_run, monotonic() - started))


def replay_report(results: Sequence[EntryResult], dry_run: bool, seconds: float) -> RunReport:
    """The report of a run that took `seconds`:

    - `pipeline_status`: `success`, `partial` or `failed`; `dry_run`
    - `summary`: `collections`, `unchanged`, `rewritten`, `interrupted`, `failed`, `rows`, `seconds`
    - `results` per entry: `name`, the number of `collections` under `raw/`, and of those that were `unchanged`,
      `rewritten`, `interrupted` before they had a file, or `failed`; the `rows` and `files` that were written, the
      files that they `superseded`, `errors` (a list of texts), and the first of these as `error`
    """
    totals = sum_results(results, "collections", *COUNTS)
    return RunReport(
        LAYOUT,
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


LAYOUT = ReportLayout(
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


def _new_result(entry: Entry, chosen: Sequence[KeptCollection]) -> dict[str, Any]:
    counts = dict.fromkeys(COUNTS, 0)
    lists: dict[str, list[str]] = {key: [] for key in ("files", "superseded", "errors")}
    return {"name": entry.name, "collections": len(chosen), **counts, **lists, "error": None}


async def _replay_collection(
    lake: Lake,
    entry: Entry,
    collection: KeptCollection,
    collections: list[KeptCollection],
    readings: list[File],
    result: dict[str, Any],
) -> None:
    """Replay one of the `collections` of `entry`, and add the outcome to `result`.

    `readings` are the files that were written from its bodies before.
    """
    try:
        rewritten = False
        for part_entry, part_readings in await _split_by_scope(lake, entry, readings):
            partly = any(file.period != collection.period for file in part_readings)
            bodies = await open_replay(lake, collection, collections, partly=partly)
            superseded_before = {file.path: file for file in part_readings if file.superseded_at}
            collected = await _store_reading(lake, part_entry, collection, bodies, superseded_before)
            superseded = await _supersede_readings(lake, collected.files, part_readings, bodies.moments)
            rewritten = rewritten or collected.created or bool(superseded)
            result["superseded"] += superseded
            if collected.created and collected.file:
                result["rows"] += collected.rows
                result["files"] += collected.files
        result["rewritten" if rewritten else "unchanged"] += 1
    except GridtideError as error:
        if isinstance(error, NotKeptError) and not readings:
            result["interrupted"] += 1
            return
        result["failed"] += 1
        result["errors"].append(f"{collection.folder}: {one_line(error)}")
        result["error"] = result["error"] or result["errors"][0]


async def _split_by_scope(lake: Lake, entry: Entry, readings: Sequence[File]) -> list[tuple[Entry, list[File]]]:
    """The `readings` of a collection by their scope, each with `entry` as it asked for that scope alone: a run may have
    requested several parts of a period. `entry` as it is where the scope is unknown, or no part of its own."""
    whole = scope_of(entry)
    by_scope: dict[Scope, list[File]] = defaultdict(list)
    contents = await soundness.read_metadata(lake, readings)
    for file, content in zip(readings, contents, strict=True):
        scope = parse_scope(content.scope) if isinstance(content, Metadata) else None
        part = whole if scope is None else Scope(scope.facets, whole.reading)
        by_scope[part if whole.is_comparable(part) and not part.without(whole) else whole].append(file)
    return [
        (narrow, files)
        for scope, files in (by_scope or {whole: []}).items()
        for narrow in narrow_entry(entry, scope) or [entry]
    ]


async def _store_reading(
    lake: Lake, entry: Entry, collection: KeptCollection, bodies: Replayed, superseded: Mapping[str, File]
) -> Collected:
    """Store the observations in the bodies of `collection` in a file that counts.

    If a file with this content is one of those that were `superseded`, because a parser was changed back, the content
    is stored once more under the next free second.
    """
    stamp = collection.stamp
    while True:
        collected = await collect(_without_raw(entry), lake=lake, http=bodies, stamp=stamp, period=collection.period)
        superseded_stamps = [superseded[path].stamp for path in collected.files if path in superseded]
        if not superseded_stamps:
            return collected
        stamp = max(superseded_stamps) + timedelta(seconds=1)


async def _supersede_readings(
    lake: Lake, current: Collection[str], readings: list[File], moments: set[datetime]
) -> list[str]:
    """Mark as superseded by the files `current` those `readings` whose rows were all retrieved at `moments`, the times
    of the bodies of `current`; returns their paths."""
    superseded = []
    for file in readings:
        if file.path not in current and not file.superseded_at and await _read_retrievals(lake, file.path) <= moments:
            await lake.supersede(file.path)
            superseded.append(file.path)
    return superseded


async def _read_retrievals(lake: Lake, path: str) -> set[datetime]:
    """The times at which the rows of the file at `path` were retrieved."""
    return set((await lake.table(path))["retrieved_at"].unique().to_pylist())


async def _list_files(lake: Lake, entry: Entry) -> Files:
    """The files of `entry` before the replay, including superseded ones."""
    files: Files = defaultdict(list)
    for file in await lake.files(entry.output_folder, entry.file_prefix, superseded=True):
        files[file.stamp].append(file)
    return files


def _find_readings(files: Files, collection: KeptCollection, by_stamp: Collections) -> list[File]:
    """The `files` that may have been written from the bodies of `collection`: those of its stamp, and those of the
    following seconds without a gap, which earlier replays may have written.

    Files with the stamp of another collection `by_stamp` of their period are of that one. Of a collection that was
    answered in part, there is a file for each part of its period.
    """
    readings, stamp = [], collection.stamp
    while at_stamp := [file for file in files.get(stamp, ()) if _is_part(file.period, collection.period)]:
        periods = [neighbour.period for neighbour in by_stamp[stamp] if neighbour != collection]
        readings += [file for file in at_stamp if not any(_is_part(file.period, period) for period in periods)]
        stamp += timedelta(seconds=1)
    return readings


def _is_part(period: Period | None, whole: Period | None) -> bool:
    if period is None or whole is None:
        return period is whole
    return whole.start <= period.start and period.end <= whole.end


def _without_raw(entry: Entry) -> Entry:
    """`entry` with `raw` off: a replay must not store the bodies that it reads again."""
    return msgspec.structs.replace(entry, raw=False)


def _read_bounds(start: Any, end: Any) -> tuple[datetime | None, datetime | None]:
    try:
        earliest, latest = (None if bound is None else parse_time(bound) for bound in (start, end))
    except ValueError as error:
        raise ConfigurationError("replay", f"{start} to {end}: {error}", "Give times such as 2024-01-01") from error
    if earliest and latest and latest <= earliest:
        raise ConfigurationError("replay", f"the end {end} is not after the start {start}", "Give the start first")
    return earliest, latest
