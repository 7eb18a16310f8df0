"""Replays a collection: parses its kept bodies again, and stores what differs from the files written before.

kept bodies ─► parse ─► observations ─► the content of a reading  ─► unchanged
                                        other content             ─► a new file; readings of these bodies are superseded

A reading is a file that was written from the bodies of a collection.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from gridtide.collect.collected import Collected
from gridtide.collect.collection import collect
from gridtide.collect.raw_bodies import KeptCollection
from gridtide.collect.resume import NotKeptError, Replayed, find_earlier, open_replay
from gridtide.entries.entry import Entry
from gridtide.entries.scope import Scope, parse_scope
from gridtide.errors import GridtideError, one_line
from gridtide.lake import File, Lake, Metadata, soundness
from gridtide.periods import Period
from gridtide.sources.registry import find_entry_scope, narrow_entry

FilesByStamp = Mapping[datetime, Sequence[File]]

CollectionsByStamp = Mapping[datetime, Sequence[KeptCollection]]


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """The outcome of the replay of one collection.

    `status`: `interrupted` if a body is missing and the collection has no file, `failed` with an `error`. `rows` and
    `files` were written, and the files `superseded_files` are replaced by these; also by a replay that failed later.
    """

    status: Literal["unchanged", "rewritten", "interrupted", "failed"]
    rows: int = 0
    files: tuple[str, ...] = ()
    superseded_files: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ReplayPiece:
    """A `collection` to replay, the `earlier` ones that it may have resumed from, and its `readings`."""

    collection: KeptCollection
    earlier: Sequence[KeptCollection]
    readings: Sequence[File]


async def list_files_by_stamp(lake: Lake, entry: Entry) -> FilesByStamp:
    """Returns the files of `entry`, including superseded ones, by stamp; raises `StorageError` if they cannot be
    listed."""
    files: dict[datetime, list[File]] = defaultdict(list)
    for file in await lake.list_files(entry.output_folder, entry.file_prefix, superseded=True):
        files[file.stamp].append(file)
    return files


def group_by_stamp(collections: Iterable[KeptCollection]) -> CollectionsByStamp:
    """Returns the `collections` by stamp."""
    by_stamp: dict[datetime, list[KeptCollection]] = defaultdict(list)
    for collection in collections:
        by_stamp[collection.stamp].append(collection)
    return by_stamp


def find_readings(files: FilesByStamp, collection: KeptCollection, by_stamp: CollectionsByStamp) -> list[File]:
    """Returns the `files` that may have been written from the bodies of `collection`: those of its stamp, and those of
    the following seconds without a gap, which earlier replays may have written.

    Files with the stamp of another collection `by_stamp` of their period are of that one. Of a collection that was
    answered in part, there is a file for each part of its period.
    """
    readings, stamp = [], collection.stamp
    while at_stamp := [file for file in files.get(stamp, ()) if _is_part(file.period, collection.period)]:
        periods = [neighbour.period for neighbour in by_stamp.get(stamp, ()) if neighbour != collection]
        readings += [file for file in at_stamp if not any(_is_part(file.period, period) for period in periods)]
        stamp += timedelta(seconds=1)
    return readings


def plan_pieces(
    collections: Sequence[KeptCollection], selection: Iterable[KeptCollection], files: FilesByStamp
) -> list[ReplayPiece]:
    """Returns the pieces of the collections in `selection`, which are among all `collections` of an entry."""
    by_stamp = group_by_stamp(collections)
    by_period: dict[Period | None, list[KeptCollection]] = defaultdict(list)
    for collection in collections:
        by_period[collection.period].append(collection)
    return [
        ReplayPiece(
            collection,
            find_earlier(by_period[collection.period], collection),
            find_readings(files, collection, by_stamp),
        )
        for collection in selection
    ]


async def replay_piece(lake: Lake, entry: Entry, piece: ReplayPiece) -> ReplayOutcome:
    """Replays the collection of `piece`, of `entry`, and supersedes those of its readings that a new file replaces.

    Raises no `GridtideError`: it is the `error` of the outcome, after the folder of the collection.
    """
    collection, readings = piece.collection, piece.readings
    rows, rewritten = 0, False
    files: list[str] = []
    superseded: list[str] = []
    try:
        for part_entry, part_readings in await _split_by_scope(lake, entry, readings):
            partly = any(file.period != collection.period for file in part_readings)
            bodies = await open_replay(lake, collection, piece.earlier, partly=partly)
            # a parser that was put back gives an earlier content again: its file must count once more
            superseded_before = {file.path: file for file in part_readings if file.superseded_at}
            collected = await _store_reading(lake, part_entry, collection, bodies, superseded_before)
            replaced = await _supersede_readings(lake, collected.files, part_readings, bodies.moments)
            rewritten = rewritten or collected.is_new or bool(replaced)
            superseded += replaced
            if collected.is_new and collected.file:
                rows += collected.rows
                files += collected.files
    except GridtideError as error:
        if isinstance(error, NotKeptError) and not readings:
            return ReplayOutcome("interrupted", rows, tuple(files), tuple(superseded))
        message = f"{collection.folder}: {one_line(error)}"
        return ReplayOutcome("failed", rows, tuple(files), tuple(superseded), message)
    return ReplayOutcome("rewritten" if rewritten else "unchanged", rows, tuple(files), tuple(superseded))


async def _split_by_scope(lake: Lake, entry: Entry, readings: Sequence[File]) -> list[tuple[Entry, list[File]]]:
    """Returns the `readings` of a collection by their scope, each with `entry` as it asked for that scope alone: a run
    may have requested several parts of a period. `entry` as it is where the scope is unknown, or no part of its own."""
    whole = find_entry_scope(entry)
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
    """Stores the observations in the bodies of `collection` in a file that counts.

    If a file with this content is one of those in `superseded`, because a parser was changed back, the content
    is stored once more under the next free second.
    """
    stamp = collection.stamp
    while True:
        collected = await collect(_turn_off_raw(entry), lake=lake, http=bodies, stamp=stamp, period=collection.period)
        superseded_stamps = [superseded[path].stamp for path in collected.files if path in superseded]
        if not superseded_stamps:
            return collected
        stamp = max(superseded_stamps) + timedelta(seconds=1)


async def _supersede_readings(
    lake: Lake, current: Collection[str], readings: Sequence[File], moments: set[datetime]
) -> list[str]:
    """Marks as superseded by the files `current` those `readings` whose rows were all retrieved at `moments`, the times
    of the bodies of `current`; returns their paths."""
    superseded = []
    for file in readings:
        if file.path not in current and not file.superseded_at and await _read_retrievals(lake, file.path) <= moments:
            await lake.supersede(file.path)
            superseded.append(file.path)
    return superseded


async def _read_retrievals(lake: Lake, path: str) -> set[datetime]:
    """Returns the times at which the rows of the file at `path` were retrieved."""
    return set((await lake.read_table(path))["retrieved_at"].unique().to_pylist())


def _is_part(period: Period | None, whole: Period | None) -> bool:
    """Whether `period` lies in `whole`; a snapshot, which has no period, is a part of a snapshot alone."""
    if period is None or whole is None:
        return period is whole
    return whole.contains(period)


def _turn_off_raw(entry: Entry) -> Entry:
    """Returns `entry` with `raw` off: a replay must not store the bodies that it reads again."""
    return msgspec.structs.replace(entry, raw=False)
