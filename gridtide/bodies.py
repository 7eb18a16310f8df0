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
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count, islice
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from gridtide.config import Entry
from gridtide.errors import GridtideError, StorageError
from gridtide.http import Answer
from gridtide.lake import Lake, Object, folder_name, parse_folder_name
from gridtide.periods import Period
from gridtide.sources import Request

T = TypeVar("T")

RESUME = timedelta(days=1)
"""How old what an earlier run kept of a period may be to go on from it."""

logger = logging.getLogger("gridtide.bodies")


class NotKeptError(StorageError):
    """A body that a collection asked for is not kept, or not any more."""


class Fetcher(Protocol):
    """Whoever answers requests: `Http` from the upstream, `Replayed` from the lake."""

    async def fetch(self, entry: Entry, request: Request, read: Callable[[Answer], Awaitable[T]]) -> T:
        """What `read` makes of the answer to `request`."""
        ...


@dataclass(frozen=True, slots=True)
class Collection:
    """One collection whose bodies are kept: its folder, and what the folder's name says."""

    folder: str
    stamp: datetime
    period: Period | None


async def keep(
    lake: Lake, entry: Entry, stamp: datetime, period: Period | None, request: Request, answer: Answer
) -> str:
    """Put the body of `answer` where it belongs; returns its path in the lake."""
    place = f"{_folder(entry, stamp, period)}/{_question(request)}"
    body = _envelope(request, answer)
    for number in count(1):
        path = f"{place}-{number}.zst" if number > 1 else f"{place}.zst"
        if await lake.put_raw(path, body):
            break
    return path


async def collections(lake: Lake, entry: Entry) -> list[Collection]:
    """The collections of `entry` of which a body is left, oldest first."""
    return sorted(await by_collection(lake, entry), key=lambda one: (one.stamp, one.folder))


async def by_collection(lake: Lake, entry: Entry) -> dict[Collection, list[Object]]:
    """The bodies of `entry`. Other things under `raw/` are left out."""
    in_folder: dict[str, list[Object]] = defaultdict(list)
    for one in await lake.objects(f"raw/{entry.output_folder}"):
        folder, _, name = one.path.rpartition("/")
        if name.endswith(".zst"):
            in_folder[folder].append(one)
    named = {_collection(entry, folder): found for folder, found in in_folder.items()}
    return {one: found for one, found in named.items() if one}


async def kept(lake: Lake, chosen: Iterable[Collection]) -> dict[str, str]:
    """The path of the body that answers each question asked in the `chosen` collections, the newest last."""
    answers: dict[str, str] = {}
    for collection in chosen:
        _, paths = await lake.listing(collection.folder)
        numbered = [(_number(path), path) for path in paths]
        answers.update(
            {path.rpartition("/")[2].partition("-")[0].removesuffix(".zst"): path for _, path in sorted(numbered)}
        )
    return answers


async def replaying(lake: Lake, collection: Collection, among: Iterable[Collection]) -> Replayed:
    """A fetcher that answers what `collection` asked, also from what it went on from `among` the entry's others."""
    return Replayed(lake, await kept(lake, [*_earlier(among, collection), collection]))


async def resuming(http: Fetcher, lake: Lake, entry: Entry, stamp: datetime, period: Period, earlier: bool) -> Resumed:
    """A fetcher that takes what the run `stamp` kept of this very period before it asks `http`; with
    `earlier`, also what other runs kept of it in the last `RESUME`."""
    own = Collection(_folder(entry, stamp, period), stamp, period)
    folders = (await lake.listing(own.folder.rpartition("/")[0]))[0] if earlier else []
    found = [one for one in (_collection(entry, folder) for folder in folders) if one]
    others = _earlier(sorted(found, key=lambda one: one.stamp), own)
    return Resumed(http, lake, await kept(lake, [*others, own]))


class Resumed:
    """Answers from bodies that are kept, and asks where there is none or it cannot be read."""

    def __init__(self, http: Fetcher, lake: Lake, answers: Mapping[str, str]) -> None:
        self._http, self._lake, self._answers = http, lake, answers
        self.reused = 0

    async def fetch(self, entry: Entry, request: Request, read: Callable[[Answer], Awaitable[T]]) -> T:
        """What `read` makes of the body that is kept, whose answer has attempt 0, else of a new answer."""
        path = self._answers.get(_question(request))
        if path is not None:
            try:
                _, answer = await _opened(self._lake, path)
                found = await read(answer)
            except GridtideError as error:
                logger.warning("%s: %s is asked again: %s", entry.name, request.label or "a page", error)
            else:
                self.reused += 1
                return found
        return await self._http.fetch(entry, request, read)


class Replayed:
    """Answers from bodies that are kept, and from nowhere else; `moments` are those at which what it gave was asked."""

    def __init__(self, lake: Lake, answers: Mapping[str, str]) -> None:
        self._lake, self._answers = lake, answers
        self.moments: set[datetime] = set()

    async def fetch(self, entry: Entry, request: Request, read: Callable[[Answer], Awaitable[T]]) -> T:
        """What `read` makes of the body that is kept; raises `NotKeptError` where there is none."""
        path = self._answers.get(_question(request))
        if path is None:
            raise await self._missing(entry, request)
        _, answer = await self._open(entry, path)
        self.moments.add(answer.retrieved_at)
        return await read(answer)

    async def _open(self, entry: Entry, path: str) -> tuple[str, Answer]:
        try:
            return await _opened(self._lake, path)
        except StorageError as error:
            raise StorageError(entry.name, f"{path} {error.happened}", error.fix) from error

    async def _missing(self, entry: Entry, request: Request) -> NotKeptError:
        """Why nothing answers `request`: what is kept was asked of another host, as of a sandbox, or else."""
        what = request.label or request.url
        for path in islice(self._answers.values(), 1):
            host, asked = _host(request.url), _host((await self._open(entry, path))[0])
            if host != asked:
                happened = f"{what} is asked of {host} now, and what is kept was asked of {asked}"
                return NotKeptError(entry.name, happened, "Replay with the configuration it was collected with")
        happened = f"the body of {what} is not kept any more, or was asked at another URL or with other params than now"
        fix = "Replay with the configuration it was collected with; what has expired keeps its file: --start after it"
        return NotKeptError(entry.name, happened, fix)


def _folder(entry: Entry, stamp: datetime, period: Period | None) -> str:
    """Where the bodies of a collection lie."""
    name = folder_name(entry.file_prefix, stamp, period)
    bounds = [] if period is None else ["_".join(name.split("_")[-2:])]
    return "/".join(["raw", entry.output_folder, *bounds, name])


def _collection(entry: Entry, folder: str) -> Collection | None:
    """What `folder` says by its name; None where it is none of the entry's. It may lie beside those of periods."""
    name = parse_folder_name(folder.rpartition("/")[2])
    if name is None or name.prefix != entry.file_prefix:
        return None
    one = Collection(folder, name.stamp, name.period)
    beside = f"raw/{entry.output_folder}/{folder.rpartition('/')[2]}"
    return one if folder in (beside, _folder(entry, one.stamp, one.period)) else None


def _host(url: str) -> str:
    """Whom `url` asks, without what."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _earlier(among: Iterable[Collection], one: Collection) -> list[Collection]:
    """Those `among` collections that `one` may have gone on from: of the same period, at most `RESUME` before it."""
    if one.period is None:
        return []
    return [each for each in among if each.period == one.period and one.stamp - RESUME <= each.stamp < one.stamp]


def _question(request: Request) -> str:
    return hashlib.sha256(json.dumps([request.url, request.params]).encode()).hexdigest()[:16]


def _number(path: str) -> int:
    match = re.search(r"-(\d+)\.zst$", path)
    return int(match[1]) if match else 1


def _envelope(request: Request, answer: Answer) -> bytes:
    asked = {
        "url": request.url,
        "params": request.params,
        "label": request.label,
        "retrieved_at": answer.retrieved_at.isoformat(),
        "content_type": answer.content_type,
    }
    return json.dumps(asked).encode() + b"\n" + answer.body


async def _opened(lake: Lake, path: str) -> tuple[str, Answer]:
    """The URL that was asked, and the answer that is kept at `path`."""
    line, _, body = (await lake.raw(path)).partition(b"\n")
    try:
        asked = json.loads(line)
        answer = Answer(body, datetime.fromisoformat(asked["retrieved_at"]), asked["content_type"], attempt=0)
        return asked["url"], answer
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(path, f"is no kept body: {error!r}", "Remove it") from error
