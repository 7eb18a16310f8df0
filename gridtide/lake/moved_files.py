"""Files of an entry in another place of the lake, because the entry was renamed or its folder changed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter, itemgetter

import msgspec

from gridtide.entries.entry import Entry
from gridtide.entries.scope import parse_scope
from gridtide.errors import StorageError
from gridtide.lake.files.metadata import Metadata
from gridtide.lake.lake import Lake
from gridtide.lake.names import PROCESSED, REJECTED, File, parse_name
from gridtide.lake.removed import decode_removed, is_removed_name
from gridtide.sources.registry import find_entry_scope

OTHER_FOLDERS = ("raw", PROCESSED, "failed", "features", "catalog", REJECTED)
"""Folders of the lake without files of entries."""

END_OF_TIME = datetime.max.replace(tzinfo=UTC)

YOUNG = timedelta(days=30)
"""How long after its first file an entry is told of older files in other places."""


@dataclass(frozen=True, slots=True)
class MovedFiles:
    """Files stored by the entry `entry` in `folder`, with names that begin with `prefix`."""

    folder: str
    prefix: str
    entry: str

    def describe(self, now: Entry, *, has_files: bool = False) -> str:
        """Describes where the files are, and how the entry `now`, which has files of its own or not, can continue
        them."""
        keys = {"output_folder": (self.folder, now.output_folder), "file_prefix": (self.prefix, now.file_prefix)}
        changes = ", ".join(
            f'"{key}": "{old_value}"' for key, (old_value, new_value) in keys.items() if old_value != new_value
        )
        whose = "files of this entry" if self.entry == now.name else f'files of "{self.entry}" with the same data'
        own_place, moved_place = f"{now.output_folder}/{now.file_prefix}_…", f"{self.folder}/{self.prefix}_…"
        fix = f"to go on with them, give the entry {changes}"
        own = f"{own_place} holds only newer files" if has_files else f"no files are in {own_place}"
        if has_files:
            renamed = (
                f", their names with {now.file_prefix}_ at the beginning" if self.prefix != now.file_prefix else ""
            )
            fix += f", and move the newer files there; or move the older ones to {now.output_folder}{renamed}"
        return f"{own}, but {moved_place} holds {whose}; {fix}"


async def warn_of_moved(
    lake: Lake, entry: Entry, entries: Iterable[Entry], files: Sequence[File], now: datetime
) -> list[str]:
    """Returns a text for each place that `find_moved` finds; none for an entry whose own place has had `files` for
    longer than `YOUNG` before `now`, as it was not moved of late. Raises `StorageError`."""
    beginning = min((file.stamp for file in files), default=now)
    if beginning < now - YOUNG:
        return []
    moved = await find_moved(lake, entry, entries, beginning)
    return [place.describe(entry, has_files=bool(files)) for place in moved]


async def find_moved(
    lake: Lake, entry: Entry, entries: Iterable[Entry], before: datetime = END_OF_TIME
) -> list[MovedFiles]:
    """Finds the files of `entry` in the lake outside its own place, by folder and prefix, where nothing was stored
    since `before`.

    These are files with its name or with its scope. The places of `entries` are not searched. Raises `StorageError`.
    """
    places = {(present.output_folder, present.file_prefix) for present in (entry, *entries)}
    newest_paths = {place: path for place, path in (await _list_newest(lake, "")).items() if place not in places}
    pruned = {
        place: file for place, file in (await _list_pruned(lake)).items() if place not in {*places, *newest_paths}
    }
    newest_paths = {place: path for place, path in newest_paths.items() if _read_stamp(path) <= before}
    contents = await asyncio.gather(*(_read_contents(lake, path) for path in newest_paths.values()))
    content_by_place = dict(zip(newest_paths, contents, strict=True))
    content_by_place |= {
        place: file.removed.metadata for place, file in pruned.items() if file.removed and file.stamp <= before
    }
    return [
        MovedFiles(folder, prefix, content.entry)
        for (folder, prefix), content in sorted(content_by_place.items(), key=itemgetter(0))
        if content is not None and _is_of(entry, folder, prefix, content)
    ]


async def _list_newest(lake: Lake, folder: str) -> dict[tuple[str, str], str]:
    """Returns the path of the newest file of each prefix in `folder` and its subfolders, by folder and prefix."""
    folders, files = await lake.store.list_folder(folder)
    newest_paths: dict[tuple[str, str], str] = {}
    for file in files:  # by path, and so by time within a prefix
        name = parse_name(file.path.rpartition("/")[2])
        if name is not None:
            newest_paths[folder, name.prefix] = file.path
    inner = [path for path in folders if path not in OTHER_FOLDERS and not path.rpartition("/")[2].startswith(".")]
    for within in await asyncio.gather(*(_list_newest(lake, path) for path in inner)):
        newest_paths |= within
    return newest_paths


async def _list_pruned(lake: Lake) -> dict[tuple[str, str], File]:
    """Returns the newest of the files of each folder and prefix that were removed after they were compacted; none for a
    record that is damaged."""
    newest_files: dict[tuple[str, str], File] = {}
    for record in await lake.store.list_objects(PROCESSED):
        folder, _, name = record.path.rpartition("/")
        if not is_removed_name(name):
            continue
        output_folder, _, prefix = folder.removeprefix(f"{PROCESSED}/").rpartition("/")
        with suppress(StorageError, ValueError):
            files = decode_removed(await lake.store.read(record.path))
            known_files = [newest_files[output_folder, prefix]] if (output_folder, prefix) in newest_files else []
            newest_files[output_folder, prefix] = max([*known_files, *files], key=attrgetter("stamp"))
    return newest_files


def _read_stamp(path: str) -> datetime:
    """Returns the stamp in the name of the file at `path`, which is one of the lake's names."""
    file_of_name = parse_name(path.rpartition("/")[2])
    assert file_of_name is not None  # noqa: S101
    return file_of_name.stamp


async def _read_contents(lake: Lake, path: str) -> Metadata | None:
    """Returns the metadata of the file at `path`, None if it cannot be read: then its entry is unknown."""
    try:
        return await lake.read_metadata(path)
    except StorageError:
        return None


def _is_of(entry: Entry, folder: str, prefix: str, content: Metadata) -> bool:
    """Whether a file with this content is of `entry`, if the entry had this folder and prefix when it was stored."""
    if content.entry == entry.name:
        return True
    entry_scope, scope = find_entry_scope(entry), parse_scope(content.scope)
    if scope is not None:
        # the newest file may be that of a part that was requested alone
        shares_some = entry_scope.without(scope) != [entry_scope] or scope.without(entry_scope) != [scope]
        return shares_some and entry_scope.is_comparable(scope)
    return content.fingerprint == msgspec.structs.replace(entry, output_folder=folder, file_prefix=prefix).fingerprint
