"""Response bodies under `raw/`, one folder per collection: kept for resuming and for replay.

    raw/<output_folder>/<from>_<to>/<prefix>_<stamp>_<from>_<to>/<question>[-<n>].zst
    raw/<output_folder>/<prefix>_<stamp>/<question>[-<n>].zst                            of a snapshot

Bodies for resuming are in the folder of their period, so that finding them does not take longer as more are kept.
`question` is a hash of the request, so that a repeated request finds its response. A request that is repeated in the
same collection gets the next `n`; the highest counts. A line of JSON before the body holds the request and its time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from typing import TypeVar

from gridtide.entries.entry import Entry
from gridtide.errors import StorageError
from gridtide.lake import Lake, Object, folder_name, parse_folder_name
from gridtide.periods import Period
from gridtide.sources.contract import Request, Response

T = TypeVar("T")

AHEAD = timedelta(days=35)
"""How long before its period a collection may be; forecasts reach sixteen days ahead."""

FOLDER_DAY = "%Y%m%d"
"""The first characters of the name of a period's folder, and of a stamp."""

logger = logging.getLogger("gridtide.collect")


@dataclass(frozen=True, slots=True)
class KeptCollection:
    """One collection with kept bodies: its folder, and the parts of the folder's name."""

    folder: str
    stamp: datetime
    period: Period | None


async def keep_body(
    lake: Lake, entry: Entry, stamp: datetime, period: Period | None, request: Request, answer: Response
) -> str:
    """Stores the body of `answer` in the folder of its collection; returns its path in the lake."""
    stem = f"{name_collection_folder(entry, stamp, period)}/{hash_question(request)}"
    envelope = _write_envelope(request, answer)
    for number in count(1):
        path = f"{stem}-{number}.zst" if number > 1 else f"{stem}.zst"
        if await lake.put_raw(path, envelope, answer.body if answer.file is None else answer.open()):
            break
    return path


async def list_collections(lake: Lake, entry: Entry) -> list[KeptCollection]:
    """Returns the collections of `entry` with any kept body, oldest first."""
    return sorted(await bodies_by_collection(lake, entry), key=lambda collection: (collection.stamp, collection.folder))


async def bodies_by_collection(lake: Lake, entry: Entry) -> dict[KeptCollection, list[Object]]:
    """Returns the kept bodies of `entry` by collection. Other files under `raw/` are ignored."""
    return _group_bodies(entry, await lake.store.list_objects(f"raw/{entry.output_folder}"))


async def bodies_until(lake: Lake, entry: Entry, before: datetime) -> dict[KeptCollection, list[Object]]:
    """As `bodies_by_collection`, but of no collection later than `before`, for which the store is not asked.

    A collection more than `AHEAD` before its period is left out as well.
    """
    folder = f"raw/{entry.output_folder}"
    periods = await lake.store.list_range(folder, "0", f"{before + AHEAD:{FOLDER_DAY}}")
    snapshots = await lake.store.list_range(
        folder, f"{entry.file_prefix}_0", f"{entry.file_prefix}_{before + timedelta(days=1):{FOLDER_DAY}}"
    )
    bodies = {body.path: body for body in [*periods, *snapshots]}
    return _group_bodies(entry, bodies.values())


def _group_bodies(entry: Entry, bodies: Iterable[Object]) -> dict[KeptCollection, list[Object]]:
    bodies_by_folder: dict[str, list[Object]] = defaultdict(list)
    for body in bodies:
        folder, _, name = body.path.rpartition("/")
        if name.endswith(".zst"):
            bodies_by_folder[folder].append(body)
    collections = {parse_collection_folder(entry, folder): inside for folder, inside in bodies_by_folder.items()}
    return {collection: inside for collection, inside in collections.items() if collection}


async def list_answers(lake: Lake, collections: Iterable[KeptCollection]) -> dict[str, str]:
    """Returns the path of the newest body for each request of `collections`, the newest last."""
    answers: dict[str, str] = {}
    for collection in collections:
        _, collection_bodies = await lake.store.list_folder(collection.folder)
        answers |= find_newest_bodies(body.path for body in collection_bodies)
    return answers


def find_newest_bodies(paths: Iterable[str]) -> dict[str, str]:
    """Returns the path of the newest body for each request, by the hash of the request; `paths` are those of the bodies
    of one collection."""
    numbered = sorted((_parse_body_number(path), path) for path in paths)
    return {path.rpartition("/")[2].partition("-")[0].removesuffix(".zst"): path for _, path in numbered}


def name_collection_folder(entry: Entry, stamp: datetime, period: Period | None) -> str:
    """Returns the folder for the bodies of a collection."""
    name = folder_name(entry.file_prefix, stamp, period)
    bounds = [] if period is None else ["_".join(name.split("_")[-2:])]
    return "/".join(["raw", entry.output_folder, *bounds, name])


def parse_collection_folder(entry: Entry, folder: str) -> KeptCollection | None:
    """Parses the name of `folder`; None if it does not belong to the entry. It may lie beside the folders of
    periods."""
    parsed_name = parse_folder_name(folder.rpartition("/")[2])
    if parsed_name is None or parsed_name.prefix != entry.file_prefix:
        return None
    collection = KeptCollection(folder, parsed_name.stamp, parsed_name.period)
    snapshot_folder = f"raw/{entry.output_folder}/{folder.rpartition('/')[2]}"
    return (
        collection
        if folder in (snapshot_folder, name_collection_folder(entry, collection.stamp, collection.period))
        else None
    )


def hash_question(request: Request) -> str:
    """Returns the name of the body that answers `request`: 16 hexadecimal digits of the request without headers."""
    question = [request.url, request.params, *([] if request.body is None else [request.body])]
    return hashlib.sha256(json.dumps(question).encode()).hexdigest()[:16]


def _parse_body_number(path: str) -> int:
    match = re.search(r"-(\d+)\.zst$", path)
    return int(match[1]) if match else 1


def _write_envelope(request: Request, answer: Response) -> bytes:
    """Returns the line before the body, which says what was requested and when."""
    envelope = {
        "url": request.url,
        "params": request.params,
        "label": request.label,
        "retrieved_at": answer.retrieved_at.isoformat(),
        "content_type": answer.content_type,
        **({} if request.body is None else {"body": request.body}),
        **({"absent": True} if answer.absent else {}),
        **({"undated": True} if answer.is_undated else {}),
        "headers": list(answer.headers.items()),
    }
    return json.dumps(envelope).encode() + b"\n"


async def open_body(lake: Lake, path: str) -> tuple[str, Response]:
    """Returns the URL of the request, and the response kept at `path`."""
    envelope_line, _, body = (await lake.read_raw(path)).partition(b"\n")
    try:
        envelope = json.loads(envelope_line)
        retrieved_at, absent = datetime.fromisoformat(envelope["retrieved_at"]), bool(envelope.get("absent"))
        headers = dict(envelope.get("headers", ()))
        answer = Response(body, retrieved_at, envelope["content_type"], attempt=0, absent=absent, headers=headers)
        return envelope["url"], replace(answer, is_undated=bool(envelope.get("undated")))
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(path, f"is not a kept body: {error!r}", "Remove it") from error
