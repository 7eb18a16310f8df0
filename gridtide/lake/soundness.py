"""Reads the metadata of many files, and finds damaged ones, without reading their rows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gridtide.errors import DamagedError, StorageError
from gridtide.lake import File, Lake, Metadata
from gridtide.periods import Period

METADATA_BATCH = 256
"""The number of files read at a time."""


async def read_metadata(lake: Lake, files: Sequence[File]) -> list[Metadata | StorageError]:
    """Returns the metadata of each of `files`, or the error if the file cannot be read, is damaged, or contradicts its
    name.

    For a file that was removed after it was compacted, it is the metadata recorded at its removal.
    """
    removed = {file.path: file.removed.metadata for file in files if file.removed}
    present = [file for file in files if not file.removed]
    checked: dict[str, Metadata | StorageError] = {**removed}
    for batch_start in range(0, len(present), METADATA_BATCH):
        batch = present[batch_start : batch_start + METADATA_BATCH]
        try:
            batch_contents: Sequence[Metadata | StorageError] = await lake.read_metadata_of(
                [file.path for file in batch]
            )
        except StorageError:  # reading each file alone tells which one fails
            batch_contents = await asyncio.gather(*(_read_alone(lake, file) for file in batch))
        for file, metadata_or_error in zip(batch, batch_contents, strict=True):
            mismatch = find_mismatch(file, metadata_or_error) if isinstance(metadata_or_error, Metadata) else None
            checked[file.path] = mismatch or metadata_or_error
    return [checked[file.path] for file in files]


@dataclass(frozen=True, slots=True)
class CheckedFiles:
    """The paths of `damaged` files, all `problems` as texts, and the `contents` of the sound files that were read.

    The problems include those of files that cannot be read just now; these count as sound, and have no contents.
    """

    damaged: frozenset[str] = frozenset()
    problems: Sequence[str] = ()
    contents: Mapping[str, Metadata] = field(default_factory=dict)


async def check_files(
    lake: Lake, files: Sequence[File], period: Period, before: CheckedFiles | None = None
) -> CheckedFiles:
    """Checks the `files` whose names overlap `period`. Files that were checked `before` are not read again."""
    before = before or CheckedFiles()
    within = [file for file in files if file.period and file.period.overlaps(period)]
    unread = [file for file in within if file.path not in before.contents and file.path not in before.damaged]
    results = dict(zip((file.path for file in unread), await read_metadata(lake, unread), strict=True))
    return CheckedFiles(
        before.damaged | {path for path, result in results.items() if isinstance(result, DamagedError)},
        [*before.problems, *(str(result) for result in results.values() if isinstance(result, StorageError))],
        {**before.contents, **{path: result for path, result in results.items() if isinstance(result, Metadata)}},
    )


def find_mismatch(file: File, metadata: Metadata) -> DamagedError | None:
    """Returns an error if the `metadata` of `file` states another period than its name, or another size than the lake
    lists; None if they agree."""
    if metadata.period != file.period:
        happened = f"states the period {metadata.period or 'none'}, its name {file.period or 'none'}"
    elif metadata.size not in (None, file.size):
        happened = f"is damaged: it has {file.size} bytes, its sidecar states {metadata.size}"
    else:
        return None
    return DamagedError(file.path, happened, "Move it out of the lake and collect its period again")


async def _read_alone(lake: Lake, file: File) -> Metadata | StorageError:
    try:
        return await lake.read_metadata(file.path)
    except StorageError as error:
        return error
