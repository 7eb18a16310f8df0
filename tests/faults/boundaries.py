"""A small backfill whose every door to the outside is numbered: what goes through it can fail there, or be killed.

`python -m tests.faults.boundaries URL FOLDER FORM` kills it at each, before and after, and goes on;
it prints how many there were, and fails where anything then reads differently.
"""

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
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import obstore
import pyarrow.csv  # before the forks, not in each
import pyarrow.parquet  # noqa: F401

import gridtide.lake.encoding
import gridtide.sources.iso_ne  # noqa: F401
from flows.backfill import plan
from gridtide import config, curated, sandbox
from gridtide.bodies import Fetcher
from gridtide.collect import collect
from gridtide.config import Entry
from gridtide.errors import UpstreamError
from gridtide.http import Answer, Http
from gridtide.lake import Lake
from gridtide.periods import Period
from gridtide.sources import Request

T = TypeVar("T")
Rows = list[tuple[Any, ...]]

DAY = timedelta(days=1)
START = datetime(2024, 2, 29, 12, tzinfo=UTC)
WANTED = Period(START, START + 2 * DAY)
"""Two chunks of two pages each, in two months."""

NOW = datetime(2024, 6, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)

COLUMNS = ("source", "location", "variable", "interval_start", "interval_end", "published_at", "value")
"""The key of a value, and the value."""


def entry(url: str, form: str = "parquet") -> Entry:
    """New England's hourly load, a page for each day that a chunk of 24 hours touches, from the sandbox at `url`."""
    api = {
        "name": "load",
        "url": "https://webservices.iso-ne.com/api/v1.1/hourlysysload/current",
        "output_folder": "load",
        "format": form,
        "chunk": "P1D",
        "concurrency": 2,
        "retries": 1,
    }
    return sandbox.redirect(config.parse({"apis": [api]}), url).apis[0]


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
        drafts = self._through(tempfile.TemporaryFile)
        with patch.multiple(obstore, **calls), patch.object(tempfile, "TemporaryFile", drafts):
            yield

    def _through(self, call: Callable[..., T]) -> Callable[..., T]:
        @wraps(call)
        def passing(*arguments: Any, **options: Any) -> T:
            path = next((one for one in arguments if isinstance(one, str)), "")
            number = self.enter(f"{call.__name__} {path}")
            try:
                return call(*arguments, **options)
            finally:
                self.leave(number)

        return passing


class Guarded:
    """Asks through the doors: struck before the question leaves, or when the answer has come."""

    def __init__(self, http: Fetcher, doors: Doors) -> None:
        self.http, self.doors = http, doors

    async def fetch(self, entry: Entry, request: Request, read: Callable[[Answer], Awaitable[T]]) -> T:
        """What `read` makes of the answer."""
        with _as_upstream(entry):
            number = self.doors.enter(f"ask {request.label}")

        async def arrived(answer: Answer) -> T:
            with _as_upstream(entry):
                self.doors.leave(number)
            return await read(answer)

        return await self.http.fetch(entry, request, arrived)


@contextmanager
def _as_upstream(entry: Entry) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UpstreamError(entry.name, str(error)) from error


async def backfill(url: str, folder: Path, form: str, stamp: datetime, doors: Doors) -> list[BaseException]:
    """Plan, collect what is missing, and compact, as the flows do; what failed."""
    of = entry(url, form)
    errors: list[BaseException] = []
    with doors.guarding():
        lake = Lake.open(str(folder))
        async with Http(sandbox.SECRETS) as http:
            try:
                chunks = (await plan(of, WANTED, stamp, lake)).chunks
            except Exception as error:
                return [error]
            asking = Guarded(http, doors)
            done = await asyncio.gather(
                *(collect(of, lake=lake, http=asking, stamp=stamp, period=one, resume=True) for one in chunks),
                return_exceptions=True,
            )
            errors += [one for one in done if isinstance(one, BaseException)]
        try:
            errors += [ValueError(problem) for problem in (await curated.compact(lake, of)).problems]
        except Exception as error:
            errors.append(error)
    return errors


async def reading(url: str, folder: Path, form: str) -> Rows:
    """What is read back: keys and values, each as often as it is there."""
    table = await curated.read(Lake.open(str(folder)), [entry(url, form)], WANTED.start - 2 * DAY, WANTED.end + 2 * DAY)
    return sorted(zip(*(table[name].to_pylist() for name in COLUMNS), strict=True), key=repr)


async def undisturbed(url: str, folder: Path, form: str) -> tuple[Rows, Doors]:
    """What is read where nothing was struck, and the doors that were passed."""
    doors = Doors()
    assert await backfill(url, folder, form, NOW, doors) == []
    return await reading(url, folder, form), doors


async def recovered(url: str, folder: Path, form: str, stamp: datetime) -> Rows:
    """What is read after one more run, which nothing disturbs."""
    assert await backfill(url, folder, form, stamp, Doors()) == []
    return await reading(url, folder, form)


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


def main(url: str, folder: Path, form: str) -> None:
    """Kill at each boundary, then go on from each. This process itself opens no lake: it forks without any threads."""
    places = []
    for after in (False, True):
        for at in range(1, 1000):
            place = folder / f"{at}{'after' if after else 'before'}"
            doors = Doors(at, after, kill=True)
            ended = _forked(lambda place=place, doors=doors: backfill(url, place, form, NOW, doors))
            if ended == 0:  # there is no such boundary any more
                break
            assert ended == -signal.SIGKILL, (at, after, ended)
            places.append(place)

    async def go_on() -> None:
        whole, _ = await undisturbed(url, folder / "whole", form)
        for number, place in enumerate(places):
            assert await recovered(url, place, form, (NOW, LATER)[number % 2]) == whole, place

    assert _forked(go_on) == 0
    print(len(places))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
