"""A small backfill, and the monitor's run after it, whose every door to the outside is numbered: what goes
through it can fail there, or be killed.

`python -m tests.support.boundaries URL LAKES FORM` kills them before each, and goes on; it prints how many
there were, and fails where anything then reads differently.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, wraps
from typing import Any, TypeVar
from unittest.mock import patch

import boto3
import obstore
import pandas  # noqa: F401  # Arrow imports it where it is installed; this and the next three before the forks, not in each

import gridtide.observations.expectations  # noqa: F401
from flows.run.filling import list_period_answers
from gridtide import curated, sandbox
from gridtide.collect.collection import collect
from gridtide.collect.resume import Fetcher
from gridtide.config.loading import parse
from gridtide.coverage import failed_periods
from gridtide.coverage.findings import find_lacking
from gridtide.coverage.picture import measure_coverage
from gridtide.coverage.plan import Plan, plan_chunks
from gridtide.entries.entry import Entry, TaskRetries
from gridtide.errors import UpstreamError
from gridtide.http.client import Http
from gridtide.lake import Lake, store
from gridtide.periods import Period
from gridtide.sandbox.upstreams import list_secrets
from gridtide.sources.contract import Request, Response
from gridtide.sources.iso_ne import ZONE
from tasks.collect import CollectionRun, Outcome

T = TypeVar("T")


Rows = list[tuple[Any, ...]]


HOUR, DAY = timedelta(hours=1), timedelta(days=1)


FOLDER = Period(datetime(2024, 2, 29, 12, tzinfo=UTC), datetime(2024, 3, 2, 12, tzinfo=UTC))
"""Two chunks of two pages each, in two months."""


BUCKET = Period(datetime(2024, 2, 29, 17, tzinfo=UTC), datetime(2024, 3, 1, 17, tzinfo=UTC))
"""Two chunks of a page each, in two months: what a bucket answers takes its time."""


NOW = datetime(2024, 6, 1, tzinfo=UTC)


LATER = NOW + 2 * HOUR


COLUMNS = ("source", "location", "variable", "interval_start", "interval_end", "published_at", "value")
"""The key of a value, and the value."""


@dataclass(frozen=True)
class Story:
    """What is to be collected: New England's hourly load of `wanted`, in two chunks with a page for each day that
    they touch, by `entry`."""

    entry: Entry
    wanted: Period

    @classmethod
    def of(cls, url: str, form: str, lakes: str) -> Story:
        """What is collected from the sandbox at `url`, as files of `form`, into lakes below the address `lakes`."""
        wanted = BUCKET if "://" in lakes else FOLDER
        api = {
            "name": "load",
            "url": "https://webservices.iso-ne.com/api/v1.1/hourlysysload/current",
            "output_folder": "load",
            "format": form,
            "chunk": f"PT{wanted.duration // HOUR // 2}H",
            "concurrency": 2,
            "retries": 1,
        }
        return cls(sandbox.redirect(parse({"apis": [api]}), url).apis[0], wanted)

    @property
    def last_day(self) -> str:
        """What its last page is called, which the backfill is refused and the monitor is not."""
        return (self.wanted.end - HOUR).astimezone(ZONE).date().isoformat()


@dataclass
class Doors:
    """Counts what passes; number `at` is struck before, or `after`, it is done: it fails, or this process is killed."""

    at: int = 0
    after: bool = False
    kill: bool = False
    passed: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, name: str) -> int:
        """The number of what is about to be done."""
        with self.lock:
            self.passed.append(name)
            number = len(self.passed)
        if not self.after:
            self._strike(number)
        return number

    def leave(self, number: int) -> None:
        """What has that number is done."""
        if self.after:
            self._strike(number)

    @property
    def struck(self) -> str:
        """What was struck, empty if nothing was."""
        return self.passed[self.at - 1] if 0 < self.at <= len(self.passed) else ""

    def _strike(self, number: int) -> None:
        if number == self.at:
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(f"struck at boundary {number}")

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """Within it every call to a store, and every draft, goes through these doors."""
        names = ("put", "get", "head", "list", "list_with_delimiter", "delete")
        calls = {name: self._through(getattr(obstore, name)) for name in names}
        drafts, files = self._through(tempfile.TemporaryFile), self._through(store.read_local_file, "get")
        with (
            patch.multiple(obstore, **calls),
            patch.object(tempfile, "TemporaryFile", drafts),
            patch.object(store, "read_local_file", files),
        ):
            yield

    def _through(self, call: Callable[..., T], name: str = "") -> Callable[..., T]:
        @wraps(call)
        def passing(*arguments: Any, **options: Any) -> T:
            path = next((one for one in arguments if isinstance(one, str)), "")
            number = self.enter(f"{name or call.__name__} {path}")
            try:
                return call(*arguments, **options)
            finally:
                self.leave(number)

        return passing


class RefusedError(UpstreamError):
    """What the upstream says to the backfill about the last day."""


class Guarded:
    """Asks through the doors, struck before the question leaves or when the answer has come; one page is `refused`."""

    def __init__(self, http: Fetcher, doors: Doors, refused: str = "") -> None:
        self.http, self.doors, self.refused = http, doors, refused

    async def fetch(self, entry: Entry, request: Request, read: Callable[[Response], Awaitable[T]]) -> T:
        """What `read` makes of the answer."""
        with _as_upstream(entry):
            number = self.doors.enter(f"ask {request.label}")

        async def arrived(answer: Response) -> T:
            with _as_upstream(entry):
                self.doors.leave(number)
            if request.label == self.refused:
                raise RefusedError(entry.name, f"{request.label}: HTTP 503")
            return await read(answer)

        return await self.http.fetch(entry, request, arrived)


@contextmanager
def _as_upstream(entry: Entry) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UpstreamError(entry.name, str(error)) from error


@cache
def _session() -> boto3.Session:
    """One of all lakes: to read what AWS's client needs takes longer than all else."""
    return boto3.Session(region_name="us-east-1")


def opened(place: str) -> Lake:
    """The lake at `place`."""
    return Lake.open(place, _session() if "://" in place else None)


async def history(story: Story, place: str, stamp: datetime, doors: Doors, refused: str = "") -> list[Exception]:
    """Backfill, but for the page that is `refused`, heal and compact as the flows do; what else failed."""
    errors: list[Exception] = []
    with doors.guarding():
        lake = opened(place)
        async with Http(list_secrets()) as http:
            for step, asking in ((backfilled, Guarded(http, doors, refused)), (healed, Guarded(http, doors))):
                try:
                    errors += await step(story, lake, asking, stamp)
                except Exception as error:
                    errors.append(error)
        try:
            errors += [ValueError(problem) for problem in (await curated.compact(lake, story.entry)).problems]
        except Exception as error:
            errors.append(error)
    return [error for error in errors if not isinstance(error, RefusedError)]


async def backfilled(story: Story, lake: Lake, http: Fetcher, stamp: datetime) -> list[Exception]:
    """Collect what is missing, and remember what failed."""
    run = CollectionRun(lake, http, stamp, TaskRetries(), resume=True)
    return await _collected(run, await plan_chunks(story.entry, story.wanted, stamp, lake))


async def healed(story: Story, lake: Lake, http: Fetcher, stamp: datetime) -> list[Exception]:
    """Collect the gaps that the monitor finds an hour later and that wait no longer, and remember what failed."""
    run = CollectionRun(lake, http, stamp + HOUR, TaskRetries(), resume=True)
    found = await find_lacking(story.entry, None, story.wanted, run.stamp, lake)
    told: list[Exception] = [ValueError(found.problem)] if found.problem else []
    return [*told, *await _collected(run, found.gap_plan)]


async def _collected(run: CollectionRun, what: Plan) -> list[Exception]:
    asked = (
        collect(entry, lake=run.lake, http=run.http, stamp=run.stamp, period=chunk, resume=run.resume)
        for entry, chunk in what.chunks
    )
    done = await asyncio.gather(*asked, return_exceptions=True)
    errors = [one if isinstance(one, Exception) else None for one in done]
    outcomes = [
        Outcome(entry, chunk, error=error, collected=None if error else one.as_dict())
        for (entry, chunk), one, error in zip(what.chunks, done, errors, strict=True)
    ]
    answers = [answer for outcome in outcomes for answer in list_period_answers(outcome)]
    await failed_periods.note_answers(run.lake, what.entry, answers, run.stamp)
    return [error for error in errors if error]


async def reading(story: Story, place: str) -> Rows:
    """What is read back: keys and values, each as often as it is there; last, the picture of what is complete."""
    lake = opened(place)
    table = await curated.read(lake, [story.entry], story.wanted.start - 2 * DAY, story.wanted.end + 2 * DAY)
    rows = sorted(zip(*(table[name].to_pylist() for name in COLUMNS), strict=True), key=repr)
    return [*rows, (str(await measure_coverage(lake, story.entry, story.wanted, LATER)),)]


async def undisturbed(story: Story, place: str) -> tuple[Rows, Doors]:
    """What is read where nothing was struck, and the doors that were passed."""
    doors = Doors()
    assert await history(story, place, NOW, doors, story.last_day) == []
    return await reading(story, place), doors


async def recovered(story: Story, place: str, stamp: datetime) -> Rows:
    """What is read after one more run, which nothing disturbs."""
    assert await history(story, place, stamp, Doors()) == []
    return await reading(story, place)


def _forked(work: Callable[[], Awaitable[object]]) -> int:
    """How a fork of this process ended that did `work`: 0, 1 for an error, -9 if it was killed."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        asyncio.run(work())  # type: ignore[arg-type]
        status = 0
    except BaseException as error:
        print(repr(error), file=sys.stderr)
    finally:
        os._exit(status)


def main(url: str, lakes: str, form: str) -> None:
    """Kill at each boundary, then go on from each. This process itself opens no lake: it forks without any threads."""
    story = Story.of(url, form, lakes)
    if "://" in lakes:
        _session().client("s3")  # what it reads is kept for the forks
    places = []
    for at in range(1, 1000):
        doors = Doors(at, kill=True)
        place = f"{lakes}/{at}"
        ended = _forked(lambda place=place, doors=doors: history(story, place, NOW, doors, story.last_day))
        if ended == 0:  # there is no such boundary any more
            break
        assert ended == -signal.SIGKILL, (at, ended)
        places.append(place)

    async def go_on() -> None:
        whole, _ = await undisturbed(story, f"{lakes}/whole")
        for number, place in enumerate(places):
            assert await recovered(story, place, (NOW, LATER)[number % 2]) == whole, place

    assert _forked(go_on) == 0
    print(len(places))


if __name__ == "__main__":
    main(*sys.argv[1:])
