"""Finds series that a file has and the previous file lacks, or the reverse: a renamed column, a new or retired fuel or
location.

before    |---- load, wind ----|
file           |---- load, solar ----|     wind is no longer in it, solar is new
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence

from gridtide.entries.entry import Entry
from gridtide.lake import File, Lake
from gridtide.lake.files.metadata import Metadata
from gridtide.observations.series_days import SeriesLabel, decode_series, describe_series

FILES_LOOKED_AT = 4
"""How many earlier files are read to find one that lists its series."""

COMPARED_AT_ONCE = 64
"""How many new files are compared before their metadata is forgotten: neighbours share the files before them."""


async def find_changed_series(lake: Lake, entry: Entry, paths: Collection[str]) -> dict[str, list[str]]:
    """Returns messages, by path, about the files of `entry` at `paths` whose series differ from those of the previous
    file.

    Only files of the same configuration are compared, and a file that is shorter than half of the other may lack some
    of its series. Raises `StorageError`.
    """
    files = [file for file in await lake.list_files(entry.output_folder, entry.file_prefix) if file.removed is None]
    compared = [(path, earlier) for path, earlier in _list_earlier(files, frozenset(paths)) if earlier]
    changes = {}
    for first in range(0, len(compared), COMPARED_AT_ONCE):
        batch = compared[first : first + COMPARED_AT_ONCE]
        read_paths = list(dict.fromkeys(path for own_path, earlier in batch for path in (own_path, *earlier)))
        contents = dict(zip(read_paths, await lake.read_metadata_of(read_paths), strict=True))
        for own_path, earlier in batch:
            changes[own_path] = _describe_changes(contents[own_path], [contents[path] for path in earlier])
    return {path: texts for path, texts in changes.items() if texts}


def _list_earlier(files: Sequence[File], paths: Collection[str]) -> Iterator[tuple[str, list[str]]]:
    """Yields each of `paths` that `files` have, with the paths of the files before it, the last one first: by period;
    those of snapshots by the time of their run. Neighbours follow each other, so that they share most earlier files.

    `files` are sorted by stamp, as `Lake.list_files` returns them.
    """
    of_periods = sorted(
        ((file.period, file) for file in files if file.period), key=lambda pair: (pair[0], pair[1].stamp)
    )
    snapshots = [(file.stamp, file) for file in files if file.period is None]
    for ordered in ([(period.start, file) for period, file in of_periods], snapshots):
        starts = [start for start, _ in ordered]
        for start, file in ordered:
            if file.path in paths:
                before = bisect_left(starts, start)
                earlier = ordered[max(before - FILES_LOOKED_AT, 0) : before]
                yield file.path, [candidate.path for _, candidate in reversed(earlier)]


def _describe_changes(own_metadata: Metadata, earlier_files: Sequence[Metadata]) -> list[str]:
    """Returns the messages about the series of a file, given the metadata of earlier ones, the last of them first."""
    earlier = next((metadata for metadata in earlier_files if metadata.rows and metadata.series), None)
    if (
        earlier is None
        or not own_metadata.series
        or not own_metadata.rows
        or own_metadata.fingerprint != earlier.fingerprint
    ):
        return []
    names, names_before = decode_series(own_metadata.series), decode_series(earlier.series)
    absent = names_before - names if _lasts_as_long(own_metadata, earlier) else set()
    added = names - names_before if _lasts_as_long(earlier, own_metadata) else set()
    since = f"the answer before, {earlier.period}" if earlier.period else "the answer before"
    return [
        *([f"{_count(absent)} of {since}, not in this one: {describe_series(absent)}"] if absent else []),
        *([f"{_count(added)} not in {since}: {describe_series(added)}"] if added else []),
    ]


def _lasts_as_long(file: Metadata, second: Metadata) -> bool:
    """Whether the period of `file` is at least half as long as that of `second`."""
    if file.period is None or second.period is None:
        return True
    return 2 * file.period.duration >= second.period.duration


def _count(names: Collection[SeriesLabel]) -> str:
    return "1 series is" if len(names) == 1 else f"{len(names)} series are"
