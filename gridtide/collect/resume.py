"""Resumes a collection from pages that an earlier attempt kept under `raw/`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import Protocol
from urllib.parse import urlsplit

from gridtide.collect.raw_bodies import (
    KeptCollection,
    T,
    hash_question,
    list_answers,
    logger,
    name_collection_folder,
    open_body,
    parse_collection_folder,
)
from gridtide.entries.entry import Entry
from gridtide.errors import GridtideError, IncompleteError, StorageError
from gridtide.lake import Lake
from gridtide.periods import Period
from gridtide.sources.contract import Request, Response

RESUME = timedelta(days=1)
"""The greatest age of pages, kept by an earlier run for the same period, that are used to resume."""


class NotKeptError(StorageError):
    """A requested body is not kept, or no longer kept."""


class Fetcher(Protocol):
    """Answers requests: `Http` from the upstream, `Replayed` from the lake."""

    async def fetch(self, entry: Entry, request: Request, read: Callable[[Response], Awaitable[T]]) -> T:
        """Returns what `read` makes of the response to `request`."""
        ...


async def open_replay(
    lake: Lake, collection: KeptCollection, among: Iterable[KeptCollection], *, partly: bool = False
) -> Replayed:
    """Returns a fetcher that answers the requests of `collection`, also from earlier collections `among` the entry's
    that it resumed from. If the collection was `partly` answered, a missing body fails its request alone."""
    return Replayed(lake, await list_answers(lake, [*find_earlier(among, collection), collection]), partly=partly)


async def open_resumed(
    http: Fetcher, lake: Lake, entry: Entry, stamp: datetime, period: Period, earlier: bool
) -> Resumed:
    """Returns a fetcher that uses the pages that the run `stamp` kept of this period before it asks `http`; with
    `earlier`, also pages that other runs kept in the last `RESUME`."""
    own_collection = KeptCollection(name_collection_folder(entry, stamp, period), stamp, period)
    folders = (await lake.store.list_folder(own_collection.folder.rpartition("/")[0]))[0] if earlier else []
    candidates = (parse_collection_folder(entry, folder) for folder in folders)
    collections = sorted(
        (collection for collection in candidates if collection), key=lambda collection: collection.stamp
    )
    return Resumed(http, lake, await list_answers(lake, [*find_earlier(collections, own_collection), own_collection]))


class Resumed:
    """Answers from kept bodies, and asks the upstream if there is none or it cannot be read."""

    def __init__(self, http: Fetcher, lake: Lake, answers: Mapping[str, str]) -> None:
        self._http, self._lake, self._answers = http, lake, answers
        self.reused = 0

    async def fetch(self, entry: Entry, request: Request, read: Callable[[Response], Awaitable[T]]) -> T:
        """Returns what `read` makes of the kept body, as a response with attempt 0, or else of a new response."""
        path = self._answers.get(hash_question(request))
        if path is not None:
            try:
                _, answer = await open_body(self._lake, path)
                result = await read(answer)
            except GridtideError as error:
                logger.warning("%s: %s is asked again: %s", entry.name, request.label or "a page", error)
            else:
                self.reused += 1
                return result
        return await self._http.fetch(entry, request, read)


class Replayed:
    """Answers only from kept bodies; `moments` are the times at which the bodies it returned were requested. Of a
    collection that was `partly` answered, the requests that failed have no body."""

    def __init__(self, lake: Lake, answers: Mapping[str, str], *, partly: bool = False) -> None:
        self._lake, self._answers, self._partly = lake, answers, partly
        self.moments: set[datetime] = set()

    async def fetch(self, entry: Entry, request: Request, read: Callable[[Response], Awaitable[T]]) -> T:
        """Returns what `read` makes of the kept body; raises `NotKeptError` if there is none, `IncompleteError` if the
        collection was answered in part."""
        path = self._answers.get(hash_question(request))
        if path is None:
            error = await self._explain_missing(entry, request)
            raise IncompleteError(error.subject, error.happened, error.fix) if self._partly else error
        _, answer = await self._open(entry, path)
        self.moments.add(answer.retrieved_at)
        return await read(answer)

    async def _open(self, entry: Entry, path: str) -> tuple[str, Response]:
        try:
            return await open_body(self._lake, path)
        except StorageError as error:
            raise StorageError(entry.name, f"{path} {error.happened}", error.fix) from error

    async def _explain_missing(self, entry: Entry, request: Request) -> NotKeptError:
        """Returns the error for `request` without a kept body: another host was asked, such as a sandbox, or the body
        is not kept."""
        request_name = request.label or request.url
        for path in islice(self._answers.values(), 1):
            host, earlier_host = _get_host(request.url), _get_host((await self._open(entry, path))[0])
            if host != earlier_host:
                happened = f"{request_name} is asked of {host} now, and what is kept was asked of {earlier_host}"
                return NotKeptError(entry.name, happened, "Replay with the configuration it was collected with")
        happened = f"the body of {request_name} is no longer kept, or was requested with another URL or other params"
        fix = "Replay with the configuration it was collected with; what has expired keeps its file: --start after it"
        return NotKeptError(entry.name, happened, fix)


def _get_host(url: str) -> str:
    """Returns the scheme and host of `url`."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def find_earlier(collections: Iterable[KeptCollection], current: KeptCollection) -> list[KeptCollection]:
    """Returns the `collections` that `current` may have resumed from: of the same period, at most `RESUME` before
    it."""
    if current.period is None:
        return []
    return [
        collection
        for collection in collections
        if collection.period == current.period and current.stamp - RESUME <= collection.stamp < current.stamp
    ]
