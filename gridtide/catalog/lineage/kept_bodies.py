"""Which bodies under `raw/` a file was made from, by the names of their folders.

raw/<output_folder>/<from>_<to>/<prefix>_<stamp>_<from>_<to>/<question>.zst ─► <prefix>_<stamp>_<from>_<to>.parquet
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gridtide.catalog.records import format_moment
from gridtide.collect.raw_bodies import KeptCollection, bodies_by_collection, find_newest_bodies, open_body
from gridtide.collect.replay import find_readings, group_by_stamp
from gridtide.collect.resume import find_earlier
from gridtide.entries.entry import Entry
from gridtide.errors import StorageError, one_line
from gridtide.lake import File, Lake, Object

BODIES_AT_ONCE = 64
"""The number of bodies that are read at a time."""


@dataclass(frozen=True, slots=True)
class Body:
    """A response body under `raw/`.

    `sha256` is that of the stored bytes; `url` is the request's address without parameters, `retrieved_at` its time.
    These three are None until the body is read; `problem` says why it cannot be.
    """

    path: str
    size: int
    sha256: str | None = None
    url: str | None = None
    retrieved_at: datetime | None = None
    problem: str | None = None

    @property
    def folder(self) -> str:
        """The folder of its collection."""
        return self.path.rpartition("/")[0]

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields that are known as JSON."""
        fields = {
            "path": self.path,
            "bytes": self.size,
            "sha256": self.sha256,
            "url": self.url,
            "retrieved_at": format_moment(self.retrieved_at),
            "problem": self.problem,
        }
        return {name: value for name, value in fields.items() if value is not None}


async def list_bodies_by_file(lake: Lake, folder: str, prefix: str, files: Iterable[File]) -> dict[str, list[Body]]:
    """Returns the bodies that each of `files`, of one folder and prefix, was made from, by the path of the file; a file
    whose bodies have expired has none.

    A collection that resumed an earlier one was also made from bodies of that: the newest of each request count, as
    when it is replayed. Raises `StorageError`.
    """
    stored = await bodies_by_collection(lake, name_entry(folder, prefix))
    by_stamp = group_by_stamp(stored)
    files_by_stamp: dict[Any, list[File]] = defaultdict(list)
    for file in files:
        files_by_stamp[file.stamp].append(file)
    by_period: dict[Any, list[KeptCollection]] = defaultdict(list)
    for collection in stored:
        by_period[collection.period].append(collection)
    bodies_by_file: dict[str, dict[str, Body]] = defaultdict(dict)
    for collection in sorted(stored, key=lambda collection: (collection.stamp, collection.folder)):
        readings = find_readings(files_by_stamp, collection, by_stamp)
        if readings:
            bodies = _choose_bodies(stored, [*find_earlier(by_period[collection.period], collection), collection])
            for file in readings:
                bodies_by_file[file.path] |= {kept_body.path: kept_body for kept_body in bodies}
    return {path: sorted(bodies.values(), key=lambda body: body.path) for path, bodies in bodies_by_file.items()}


def _choose_bodies(
    stored: Mapping[KeptCollection, Sequence[Object]], collections: Sequence[KeptCollection]
) -> list[Body]:
    """Returns the newest body for each request of `collections`, which are oldest first."""
    sizes = {body.path: body.size for collection in collections for body in stored[collection]}
    answers: dict[str, str] = {}
    for collection in collections:
        answers |= find_newest_bodies(body.path for body in stored[collection])
    return [Body(path, sizes[path]) for path in answers.values()]


def name_entry(folder: str, prefix: str) -> Entry:
    """Returns an entry that stands for that of the files in `folder` with `prefix`: it may be in no configuration any
    more, and its files do not need it."""
    return Entry(name=folder, source="generic", output_folder=folder, file_prefix=prefix)


async def read_bodies(lake: Lake, bodies: Iterable[Body]) -> dict[str, Body]:
    """Returns `bodies` by path with their hashes, requests and times; each is read once."""
    distinct = list({kept_body.path: kept_body for kept_body in bodies}.values())
    described: dict[str, Body] = {}
    for first in range(0, len(distinct), BODIES_AT_ONCE):
        batch = distinct[first : first + BODIES_AT_ONCE]
        read_batch = await asyncio.gather(*(_read_body(lake, body) for body in batch))
        described |= {kept_body.path: kept_body for kept_body in read_batch}
    return described


async def _read_body(lake: Lake, body: Body) -> Body:
    try:
        stored, (url, answer) = await asyncio.gather(lake.store.read_buffer(body.path), open_body(lake, body.path))
    except StorageError as error:
        return Body(body.path, body.size, problem=one_line(error))
    digest = hashlib.sha256(stored).hexdigest()
    return Body(body.path, body.size, digest, url, answer.retrieved_at)
