"""Reads the metadata of many files, and finds damaged ones, without reading their rows."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gridtide.errors import DamagedError, StorageError, one_line
from gridtide.lake import File, Lake, Metadata
from gridtide.lake.files.footer_index import FooterIndex, decode_index, encode_index, index_path, is_indexed
from gridtide.periods import Period
from gridtide.threads import run_computing

logger = logging.getLogger("gridtide.lake")

FEWEST_INDEXED = 128
"""The fewest files for which an index is read, and the fewest new ones with which it is written: it has to be read and
written as a whole."""

METADATA_BATCH = 256
"""The number of files read at a time."""


async def read_metadata(lake: Lake, files: Sequence[File], *, indexed: bool = True) -> list[Metadata | StorageError]:
    """Returns the metadata of each of `files`, or the error if the file cannot be read, is damaged, or contradicts its
    name.

    For a file that was removed after it was compacted, it is the metadata recorded at its removal. With `indexed` off,
    each file is opened, for callers that will remove it.
    """
    contents = await recall_metadata(lake, files, indexed=indexed)
    return [
        (isinstance(content, Metadata) and not file.removed and find_mismatch(file, content)) or content
        for file, content in zip(files, contents, strict=True)
    ]


async def recall_metadata(lake: Lake, files: Sequence[File], *, indexed: bool = True) -> list[Metadata | StorageError]:
    """As `read_metadata`, but does not compare a file with its name.

    If there are many files, those that an index of their folder has are not opened, and the others are added to it. An
    index that cannot be read or written is done without.
    """
    contents: dict[str, Metadata | StorageError] = {file.path: file.removed.metadata for file in files if file.removed}
    folders: dict[str, list[File]] = defaultdict(list)
    for file in files:
        if not file.removed:
            folders[file.path.rpartition("/")[0]].append(file)
    for folder, present in folders.items():
        fewest = FEWEST_INDEXED if indexed else len(present) + 1
        contents |= await _recall_folder(lake, folder, present, fewest)
    return [contents[file.path] for file in files]


async def _recall_folder(
    lake: Lake, folder: str, files: Sequence[File], fewest: int
) -> dict[str, Metadata | StorageError]:
    """Returns the metadata, or the error, of each of `files`, which lie in `folder`, by path. The index is read if
    there are `fewest` files, and written if as many are new."""
    index = await _read_index(lake, folder) if sum(map(is_indexed, files)) >= fewest else FooterIndex()
    remembered = {file.path: index.find(file) for file in files}
    contents: dict[str, Metadata | StorageError] = {path: content for path, content in remembered.items() if content}
    unknown = [file for file in files if file.path not in contents]
    for batch_start in range(0, len(unknown), METADATA_BATCH):
        contents |= await _read_batch(lake, unknown[batch_start : batch_start + METADATA_BATCH])
    read = [
        (file, content) for file in unknown if is_indexed(file) and isinstance(content := contents[file.path], Metadata)
    ]
    if len(read) >= fewest:
        await _write_index(lake, folder, await run_computing(index.extend, read))
    return contents


async def _read_batch(lake: Lake, batch: Sequence[File]) -> dict[str, Metadata | StorageError]:
    paths = [file.path for file in batch]
    try:
        contents: Sequence[Metadata | StorageError] = await lake.read_metadata_of(paths)
    except StorageError:  # reading each file alone tells which one fails
        contents = await asyncio.gather(*(_read_alone(lake, file) for file in batch))
    return dict(zip(paths, contents, strict=True))


async def _read_index(lake: Lake, folder: str) -> FooterIndex:
    try:
        body = await lake.store.read(index_path(folder))
    except StorageError:  # mostly there is none yet
        return FooterIndex()
    return await run_computing(decode_index, body)


async def _write_index(lake: Lake, folder: str, index: FooterIndex) -> None:
    body = await run_computing(encode_index, index)
    try:
        await lake.store.put(index_path(folder), body, replace=True)
    except StorageError as error:
        logger.info("%s: the index of its files is not stored: %s", folder, one_line(error))


@dataclass(frozen=True, slots=True)
class CheckedFiles:
    """The paths of the `damaged_files`, all `problems` as texts, and the `contents` of the sound files that were read.

    The problems include those of files that cannot be read just now; these count as sound, and have no contents.
    """

    damaged_files: frozenset[str] = frozenset()
    problems: Sequence[str] = ()
    contents: Mapping[str, Metadata] = field(default_factory=dict)


async def check_files(
    lake: Lake, files: Sequence[File], period: Period, before: CheckedFiles | None = None
) -> CheckedFiles:
    """Checks the `files` whose names overlap `period`. Files that were checked `before` are not read again."""
    before = before or CheckedFiles()
    within = [file for file in files if file.period and file.period.overlaps(period)]
    unread = [file for file in within if file.path not in before.contents and file.path not in before.damaged_files]
    results = dict(zip((file.path for file in unread), await read_metadata(lake, unread), strict=True))
    return CheckedFiles(
        before.damaged_files | {path for path, result in results.items() if isinstance(result, DamagedError)},
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
