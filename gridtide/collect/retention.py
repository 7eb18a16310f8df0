"""Finds response bodies under `raw/` that have been kept long enough."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from gridtide.collect.raw_bodies import bodies_until
from gridtide.entries.entry import Entry
from gridtide.lake import Lake, Object


async def find_expired(lake: Lake, entry: Entry, before: datetime) -> list[Object]:
    """Returns the bodies of those collections of `entry` whose bodies were all stored before `before`, oldest first. A
    collection is kept as a whole, because it cannot be replayed without some of its bodies.

    A body is never older than the run whose stamp its folder has, whatever times a copy of the lake got. Other files
    under `raw/` do not belong to the entry and are ignored. The store is asked for little else than what has expired.
    """
    collections = await bodies_until(lake, entry, before)
    expired = [
        bodies
        for collection, bodies in collections.items()
        if collection.stamp < before and all(body.last_modified < before for body in bodies)
    ]
    return sorted((body for bodies in expired for body in bodies), key=lambda body: (body.last_modified, body.path))


def list_body_folders(entry: Entry, bodies: Iterable[Object]) -> set[str]:
    """Returns the folders under `raw/` that contain `bodies`, up to the entry's own folder, which is not included."""
    containing_folders = {body.path.rpartition("/")[0] for body in bodies}
    return (containing_folders | {folder.rpartition("/")[0] for folder in containing_folders}) - {
        f"raw/{entry.output_folder}"
    }
