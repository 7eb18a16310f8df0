"""Finds response bodies under `raw/` that have been kept long enough.

The age of a body is what this machine's clock says. In a local folder no other clock confirms that, so ages count from
the newest body if that seems old: either nothing has been collected since, or the clock is ahead.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta

from gridtide.collect.raw_bodies import bodies_by_collection, bodies_until
from gridtide.entries.entry import Entry
from gridtide.errors import GridtideError
from gridtide.lake import Lake, Object

USUAL_PAUSE = timedelta(days=1)
"""How old the newest body of a lake may seem until ages count from it."""


async def find_reference(lake: Lake, entries: Iterable[Entry], now: datetime) -> datetime:
    """Returns the moment from which the ages of bodies count: `now`, or the time of the newest body of `entries` if
    that seems to be older than `USUAL_PAUSE`."""
    newest = None
    for entry in entries:
        with suppress(GridtideError):  # of an entry that cannot be listed nothing is removed, and the run reports it
            for collection, bodies in (await bodies_by_collection(lake, entry)).items():
                newest = max(filter(None, [newest, collection.stamp, *(body.last_modified for body in bodies)]))
    return now if newest is None or newest > now - USUAL_PAUSE else newest


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
