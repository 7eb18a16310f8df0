"""Response bodies under `raw/`, a folder a collection: kept to go on from, and to be replayed.

    raw/<output_folder>/<from>_<to>/<prefix>_<stamp>_<from>_<to>/<question>[-<n>].zst
    raw/<output_folder>/<prefix>_<stamp>/<question>[-<n>].zst                            a snapshot's

What may be gone on from lies in the folder of its period, so that finding it takes no longer the more is kept.
`question` is a hash of what was asked, so that asking again finds its answer. A question that is asked again in the
same collection takes the next `n`; the highest counts. What was asked, and when, is a line of JSON before the body.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import TypeVar

from gridtide.entries.entry import Entry
from gridtide.errors import StorageError
from gridtide.http.client import Response
from gridtide.lake import Lake, Object, folder_name, parse_folder_name
from gridtide.periods import Period
from gridtide.sources.contract import Request

T = TypeVar("T")


logger = logging.getLogger("gridtide.bodies")


@dataclass(frozen=True, slots=True)
class KeptCollection:
    """One collection whose bodies are kept: its folder, and what the folder's name says."""

    folder: str
    stamp: datetime
    period: Period | None


async def keep_body(
    lake: Lake, entry: Entry, stamp: datetime, period: Period | None, request: Request, answer: Response
) -> str:
    """Put the body of `answer` where it belongs; returns its path in the lake."""
    place = f"{collection_folder(entry, stamp, period)}/{question_hash(request)}"
    body = _write_envelope(request, answer)
    for number in count(1):
        path = f"{place}-{number}.zst" if number > 1 else f"{place}.zst"
        if await lake.put_raw(path, body):
            break
    return path


async def list_collections(lake: Lake, entry: Entry) -> list[KeptCollection]:
    """The collections of `entry` of which a body is left, oldest first."""
    return sorted(await bodies_by_collection(lake, entry), key=lambda collection: (collection.stamp, collection.folder))


async def bodies_by_collection(lake: Lake, entry: Entry) -> dict[KeptCollection, list[Object]]:
    """The bodies of `entry`. Other things under `raw/` are left out."""
    in_folder: dict[str, list[Object]] = defaultdict(list)
    for body in await lake.store.objects(f"raw/{entry.output_folder}"):
        folder, _, name = body.path.rpartition("/")
        if name.endswith(".zst"):
            in_folder[folder].append(body)
    named = {parse_collection_folder(entry, folder): bodies for folder, bodies in in_folder.items()}
    return {collection: bodies for collection, bodies in named.items() if collection}


async def list_answers(lake: Lake, chosen: Iterable[KeptCollection]) -> dict[str, str]:
    """The path of the body that answers each question asked in the `chosen` collections, the newest last."""
    answers: dict[str, str] = {}
    for collection in chosen:
        _, bodies = await lake.store.listing(collection.folder)
        numbered = [(_body_number(body.path), body.path) for body in bodies]
        answers.update(
            {path.rpartition("/")[2].partition("-")[0].removesuffix(".zst"): path for _, path in sorted(numbered)}
        )
    return answers


def collection_folder(entry: Entry, stamp: datetime, period: Period | None) -> str:
    """Where the bodies of a collection lie."""
    name = folder_name(entry.file_prefix, stamp, period)
    bounds = [] if period is None else ["_".join(name.split("_")[-2:])]
    return "/".join(["raw", entry.output_folder, *bounds, name])


def parse_collection_folder(entry: Entry, folder: str) -> KeptCollection | None:
    """What `folder` says by its name; None where it is none of the entry's. It may lie beside those of periods."""
    name = parse_folder_name(folder.rpartition("/")[2])
    if name is None or name.prefix != entry.file_prefix:
        return None
    collection = KeptCollection(folder, name.stamp, name.period)
    beside = f"raw/{entry.output_folder}/{folder.rpartition('/')[2]}"
    return collection if folder in (beside, collection_folder(entry, collection.stamp, collection.period)) else None


def question_hash(request: Request) -> str:
    """What names the body that answers `request`: 16 hexadecimal digits of what is asked, without headers."""
    question = [request.url, request.params, *([] if request.body is None else [request.body])]
    return hashlib.sha256(json.dumps(question).encode()).hexdigest()[:16]


def _body_number(path: str) -> int:
    match = re.search(r"-(\d+)\.zst$", path)
    return int(match[1]) if match else 1


def _write_envelope(request: Request, answer: Response) -> bytes:
    envelope = {
        "url": request.url,
        "params": request.params,
        "label": request.label,
        "retrieved_at": answer.retrieved_at.isoformat(),
        "content_type": answer.content_type,
        **({} if request.body is None else {"body": request.body}),
        **({"absent": True} if answer.absent else {}),
        "headers": answer.headers,
    }
    return json.dumps(envelope).encode() + b"\n" + answer.body


async def open_body(lake: Lake, path: str) -> tuple[str, Response]:
    """The URL that was asked, and the answer that is kept at `path`."""
    line, _, body = (await lake.read_raw(path)).partition(b"\n")
    try:
        envelope = json.loads(line)
        moment, absent = datetime.fromisoformat(envelope["retrieved_at"]), bool(envelope.get("absent"))
        headers = tuple((name, text) for name, text in envelope.get("headers", ()))
        answer = Response(body, moment, envelope["content_type"], attempt=0, absent=absent, headers=headers)
        return envelope["url"], answer
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(path, f"is no kept body: {error!r}", "Remove it") from error
