"""Finds series that a file has and the previous file lacks, or the reverse: a renamed column, a new or retired fuel or
location.

before    |---- load, wind ----|
file           |---- load, solar ----|     wind is no longer in it, solar is new
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gridtide.entries.entry import Entry
from gridtide.lake import File, Lake
from gridtide.lake.files.metadata import Metadata
from gridtide.observations.series_days import SeriesLabel, decode_series, describe_series

FILES_LOOKED_AT = 4
"""How many earlier files are read to find one that lists its series."""


async def find_changed_series(lake: Lake, entry: Entry, paths: Collection[str]) -> dict[str, list[str]]:
    """Returns messages, by path, about the files of `entry` at `paths` whose series differ from those of the previous
    file.

    Only files of the same configuration are compared, and a file that is shorter than half of the other may lack some
    of its series. Raises `StorageError`.
    """
    files = [file for file in await lake.list_files(entry.output_folder, entry.file_prefix) if file.removed is None]
    changes = {}
    for file in files:
        if file.path in paths and (earlier := _list_earlier(file, files)):
            own_metadata, *earlier_metadata = await lake.read_metadata_of(
                [file.path, *(candidate.path for candidate in earlier)]
            )
            changes[file.path] = _describe_changes(own_metadata, earlier_metadata)
    return {path: texts for path, texts in changes.items() if texts}


def _list_earlier(file: File, files: Sequence[File]) -> list[File]:
    """Returns the files before `file`, the last one first: by period; those of snapshots by the time of their run."""
    candidates = [
        candidate
        for candidate in files
        if (candidate.period is None) == (file.period is None) and candidate.path != file.path
    ]
    if file.period is None:
        earlier = [candidate for candidate in candidates if candidate.stamp < file.stamp]
    else:
        start = file.period.start
        earlier = [candidate for candidate in candidates if candidate.period and candidate.period.start < start]
        earlier.sort(key=lambda candidate: (candidate.period, candidate.stamp))
    return earlier[: -FILES_LOOKED_AT - 1 : -1]


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
