"""Which response bodies under `raw/` have been kept long enough."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from gridtide.collect.raw_bodies import by_collection
from gridtide.entries.entry import Entry
from gridtide.lake import Lake, Object


async def expired(lake: Lake, entry: Entry, before: datetime) -> list[Object]:
    """The bodies of those collections of `entry` all of whose bodies were put before `before`, as the store has it,
    oldest first: a collection with some of its bodies could not be replayed.

    Other things under `raw/` are no bodies of the entry, and left alone.
    """
    kept = await by_collection(lake, entry)
    found = [one for bodies in kept.values() if all(each.last_modified < before for each in bodies) for one in bodies]
    return sorted(found, key=lambda one: (one.last_modified, one.path))


def folders(entry: Entry, bodies: Iterable[Object]) -> set[str]:
    """Those under `raw/` that `bodies` lie in, up to the entry's own, which is not among them."""
    inner = {one.path.rpartition("/")[0] for one in bodies}
    return (inner | {folder.rpartition("/")[0] for folder in inner}) - {f"raw/{entry.output_folder}"}
