"""Which response bodies under `raw/` have been kept long enough."""

from __future__ import annotations

from datetime import datetime

from gridtide.config import Entry
from gridtide.lake import Lake, Object, parse_folder_name


async def expired(lake: Lake, entry: Entry, before: datetime) -> list[Object]:
    """The bodies of `entry` that were put before `before`, as the store has it, oldest first.

    Other things under `raw/` are no bodies of the entry, and left alone.
    """
    folder = f"raw/{entry.output_folder}/"
    bodies = [one for one in await lake.objects(folder) if _is_of(entry, one.path.removeprefix(folder))]
    return sorted((one for one in bodies if one.last_modified < before), key=lambda one: (one.last_modified, one.path))


def _is_of(entry: Entry, path: str) -> bool:
    """Whether `path`, `<collection>/<question>.zst`, is of a collection of `entry`."""
    collection, _, body = path.partition("/")
    name = parse_folder_name(collection)
    return name is not None and name.prefix == entry.file_prefix and body.endswith(".zst") and "/" not in body
