"""Which response bodies under `raw/` have been kept long enough."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from gridtide.collect.raw_bodies import bodies_by_collection
from gridtide.entries.entry import Entry
from gridtide.lake import Lake, Object


async def find_expired(lake: Lake, entry: Entry, before: datetime) -> list[Object]:
    """The bodies of those collections of `entry` all of whose bodies were put before `before`, as the store has it,
    oldest first: a collection with some of its bodies could not be replayed.

    A body is never older than the run whose stamp its folder has, whatever times a copy of the lake got. Other things
    under `raw/` are no bodies of the entry, and left alone.
    """
    collections = await bodies_by_collection(lake, entry)
    expired = [
        bodies
        for collection, bodies in collections.items()
        if collection.stamp < before and all(body.last_modified < before for body in bodies)
    ]
    return sorted((body for bodies in expired for body in bodies), key=lambda body: (body.last_modified, body.path))


def body_folders(entry: Entry, bodies: Iterable[Object]) -> set[str]:
    """Those under `raw/` that `bodies` lie in, up to the entry's own, which is not among them."""
    inner = {body.path.rpartition("/")[0] for body in bodies}
    return (inner | {folder.rpartition("/")[0] for folder in inner}) - {f"raw/{entry.output_folder}"}
