"""What files say of themselves, or what is wrong with them, without reading their rows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gridtide.errors import DamagedError, StorageError
from gridtide.lake import File, Lake, Metadata
from gridtide.periods import Period

METADATA_BATCH = 256
"""How many files are asked what they hold at a time."""


async def read_metadata(lake: Lake, files: Sequence[File]) -> list[Metadata | StorageError]:
    """The metadata of each of `files`, or why there is none to be believed: it is damaged, or contradicts its name."""
    removed = {file.path: file.removed.metadata for file in files if file.removed}
    if removed:
        present = [file for file in files if not file.removed]
        contents = dict(zip((file.path for file in present), await read_metadata(lake, present), strict=True))
        return [contents.get(file.path) or removed[file.path] for file in files]
    found: list[Metadata | StorageError] = []
    for first in range(0, len(files), METADATA_BATCH):
        some = files[first : first + METADATA_BATCH]
        try:
            told: Sequence[Metadata | StorageError] = await lake.described([file.path for file in some])
        except StorageError:  # one of them: which, each says alone
            told = await asyncio.gather(*(_alone(lake, file) for file in some))
        found += [
            (isinstance(one, Metadata) and find_mismatch(file, one)) or one
            for file, one in zip(some, told, strict=True)
        ]
    return found


async def find_damaged(lake: Lake, files: Sequence[File], period: Period) -> tuple[frozenset[str], list[str]]:
    """Which of `files`, by path, answer by their names some of `period` and are not what was stored; and what is to be
    told, of these and of those that cannot be read just now, whose names are believed."""
    within = [one for one in files if one.period and one.period.start < period.end and period.start < one.period.end]
    told = [(file.path, one) for file, one in zip(within, await read_metadata(lake, within), strict=True)]
    problems = [str(one) for _, one in told if isinstance(one, StorageError)]
    return frozenset(path for path, one in told if isinstance(one, DamagedError)), problems


def find_mismatch(file: File, metadata: Metadata) -> DamagedError | None:
    """What is wrong if `file` says by its `metadata` to be of another period than its name does, or of another size
    than the lake."""
    if metadata.period != file.period:
        happened = f"says of itself to be of {metadata.period or 'no period'}, its name says {file.period or 'none'}"
    elif metadata.size not in (None, file.size):
        happened = f"is damaged: it has {file.size} bytes, its sidecar says {metadata.size}"
    else:
        return None
    return DamagedError(file.path, happened, "Move it out of the lake and collect its period again")


async def _alone(lake: Lake, file: File) -> Metadata | StorageError:
    try:
        return await lake.metadata(file.path)
    except StorageError as error:
        return error
