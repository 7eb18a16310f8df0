"""The task that collects an entry: its cache key, its retries, and the number of collections at a time."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from prefect import Task, task
from prefect.cache_policies import NO_CACHE, CachePolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.serializers import JSONSerializer
from prefect.tasks import exponential_backoff

from gridtide.clock import is_future
from gridtide.collect import collection
from gridtide.collect.collected import Collected, merge_collected
from gridtide.collect.holes import Hole
from gridtide.collect.resume import Fetcher
from gridtide.entries.entry import Entry, TaskRetries
from gridtide.errors import GridtideError, PassingError, one_line
from gridtide.lake import Lake
from gridtide.lake.names import parse_name
from gridtide.periods import Period


def build_cache_key(entry: Entry, period: Period | None, lake: str) -> str:
    """The cache key of a collection: it depends on the request, its period and the lake.

    It has only letters, digits, `_` and `-`, as it is the name of a file and of a lock.
    """
    request = "\n".join(("collect", entry.name, entry.fingerprint, str(period), lake))
    return f"collect-{hashlib.sha256(request.encode()).hexdigest()[:32]}"


SLOTS = 32
"""Collections of one run that may run at a time."""

PLACES = 2 * SLOTS
"""Task runs of one run that may have begun before their first attempt is over. If all of many begin at once, no page is
requested meanwhile, the UI shows all of them as running, and their objects cost the garbage collector time."""


@dataclass(frozen=True)
class CollectionRun:
    """What the collections of one flow run share.

    With `refresh`, requests are sent even if the last result is fresh. With `resume`, pages of the same period that an
    interrupted run stored are not requested again.
    """

    lake: Lake
    http: Fetcher
    stamp: datetime
    retries: TaskRetries
    refresh: bool = False
    resume: bool = False
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SLOTS))
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PLACES))


@dataclass(frozen=True)
class Outcome:
    """The result of a collection: `collected` (`gridtide.collect.Collected.as_dict`), or `error`."""

    entry: Entry
    period: Period | None
    collected: dict[str, Any] | None = None
    error: BaseException | None = None
    from_cache: bool = False

    @property
    def holes(self) -> list[dict[str, Any]]:
        """The parts of the period that were not answered, as `gridtide.collect.holes.Hole.as_dict`."""
        return list((self.collected or {}).get("holes", ()))

    @property
    def failures(self) -> dict[str, str]:
        """The reasons of failed requests by their period; the period of the collection if it failed as a whole."""
        if self.error:
            return {str(self.period) if self.period else "snapshot": one_line(self.error)}
        return {hole["period"]: hole["reason"] for hole in self.holes if hole["failed"]}


async def run_collection(run: CollectionRun, entry: Entry, period: Period | None = None) -> Outcome:
    """Collect `entry` for `period` (a snapshot if None) as one task run; no error is raised.

    A result that is younger than `entry.fresh` is reused, if its file is still in the lake.
    """
    work = CollectionAttempts(run, entry, period)
    await work.take_place()
    try:
        state = await _attempt(work, run.refresh)
    finally:
        work.leave_place()
    if state.name == "Cached" and not await work.is_stored(await state.aresult()):
        state = await _attempt(work, refresh=True)
    result = await state.aresult(raise_on_failure=False)
    if isinstance(result, BaseException):
        return Outcome(entry, period, error=result)
    return Outcome(entry, period, collected=result, from_cache=state.name == "Cached")


class CollectionAttempts:
    """A collection and the state of its attempts.

    Not a dataclass: Prefect reads, hashes and records the fields of a dataclass that is a parameter of a task.
    """

    def __init__(
        self, run: CollectionRun, entry: Entry, period: Period | None, *, begun_attempts: int | None = None
    ) -> None:
        """`begun_attempts` is given if a caller counts and repeats the attempts itself; otherwise Prefect does."""
        self.run, self.entry, self.period = run, entry, period
        self.begun_attempts = begun_attempts
        self.has_place = False
        self.begun: float | None = None
        self.not_before = 0.0
        self.open_periods = [period]
        self.collected: list[Collected] = []

    @property
    def name(self) -> str:
        """The name of the task run."""
        return f"{self.entry.name} {self.period}" if self.period else self.entry.name

    @property
    def key(self) -> str:
        """The cache key of the result."""
        return build_cache_key(self.entry, self.period, self.run.lake.uri)

    async def take_place(self) -> None:
        """Waits until the task run may begin."""
        await self.run.places.acquire()
        self.has_place = True

    def leave_place(self) -> None:
        """Lets another task run begin, if this one has not done so yet: a retry that waits keeps no place."""
        if self.has_place:
            self.has_place = False
            self.run.places.release()

    async def attempt(self) -> dict[str, Any]:
        """Collect the open periods, as soon as a slot is free and the wait that the upstream requested is over.

        Answered parts are stored. Raises the error of a hole that another attempt may close.
        """
        try:
            return await self._attempt_once()
        finally:
            self.leave_place()

    async def _attempt_once(self) -> dict[str, Any]:
        if self.begun_attempts is not None:
            self.begun_attempts += 1
        await asyncio.sleep(self.not_before - time.monotonic())
        async with self.run.slots:
            if self.begun is None:  # waiting for a slot does not count against the deadline
                self.begun = time.monotonic()
            while self.open_periods:
                await self._collect_first()
        passing = [hole for collected in self.collected for hole in collected.holes if self._may_close(hole)]
        if passing:
            closed = {hole.period for hole in passing}
            self.open_periods = list(closed)
            self.collected = [collected.without_holes(closed) for collected in self.collected]
            error = passing[0].error
            assert error is not None  # noqa: S101  # only holes with an error can be retried
            raise error
        return merge_collected(self.collected).as_dict()

    async def _collect_first(self) -> None:
        """Collect the first open period."""
        try:
            part = await collection.collect(
                self.entry,
                lake=self.run.lake,
                http=self.run.http,
                stamp=self.run.stamp,
                period=self.open_periods[0],
                resume=self.run.resume,
            )
        except PassingError as error:
            self.not_before = time.monotonic() + (error.wait or 0)
            if not self.collected or self._has_attempts():
                raise
            self._give_up(error)
        except GridtideError as error:
            # parts of the period are stored already, so report them with the hole instead of raising the error
            if not self.collected or (self.is_retryable(error) and self._has_attempts()):
                raise
            self._give_up(error)
        else:
            self.collected.append(part)
            self.open_periods.pop(0)

    def _give_up(self, error: GridtideError) -> None:
        holes = tuple(Hole(period, error) for period in self.open_periods if period)
        self.collected.append(Collected.of_nothing(self.entry.name, holes))
        self.open_periods = []

    def _may_close(self, hole: Hole) -> bool:
        return hole.error is not None and self.is_retryable(hole.error) and self._has_attempts()

    def _has_attempts(self) -> bool:
        """Whether this is attempted once more if it raises."""
        if self.begun_attempts is not None:
            return self.begun_attempts <= self.run.retries.count
        context = TaskRunContext.get()
        return context is not None and context.task_run.run_count <= self.run.retries.count

    def is_retryable(self, error: object) -> bool:
        """Whether another attempt may succeed before the deadline of the entry, which is counted from the first one."""
        if not isinstance(error, GridtideError) or not error.retryable or self.begun is None:
            return False
        next_attempt = max(time.monotonic(), self.not_before)
        return next_attempt < self.begun + self.entry.deadline.total_seconds()

    async def is_stored(self, content: dict[str, Any]) -> bool:
        """Whether the lake still has the files of an earlier result without holes.

        Files with stamps in the future do not count: if the clock was ahead, the result would stay fresh until then.
        """
        files = content.get("files", [content["file"]] if content["file"] else [])
        exist = [await self.run.lake.store.exists(file) for file in files]
        names = [parse_name(file.rpartition("/")[2]) for file in files]
        is_early = any(name and is_future(name.stamp, datetime.now(UTC)) for name in names)
        return all(exist) and not content.get("holes") and not is_early


def _attempt(work: CollectionAttempts, refresh: bool) -> Awaitable[State[dict[str, Any]]]:
    return _configure_task(work.entry.fresh, work.run.retries, refresh)(work, return_state=True)


def _may_retry(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    context = TaskRunContext.get()
    return context is not None and context.parameters["work"].is_retryable(state.data)


def _name_task_run(parameters: dict[str, Any]) -> str:
    return str(parameters["work"].name)


def _build_result_key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    return str(parameters["work"].key)


@task(
    name="collect",
    task_run_name=_name_task_run,  # type: ignore[arg-type]  # the protocol also asks for a class method of no use here
    cache_policy=CachePolicy.from_cache_key_fn(_build_result_key),
    result_serializer=JSONSerializer(object_decoder=None),
    cache_result_in_memory=False,
    retry_condition_fn=_may_retry,
    retry_jitter_factor=0.3,
)
async def _collect(work: CollectionAttempts) -> dict[str, Any]:
    context = TaskRunContext.get()
    if context is not None:
        # A tag of the task itself would cost a request for the server's concurrency limits per run.
        context.task_run.tags.append(work.entry.source)
    return await work.attempt()


@lru_cache
def _configure_task(fresh: timedelta, retries: TaskRetries, refresh: bool) -> Task[..., Any]:
    retried = _collect.with_options(
        retries=retries.count, retry_delay_seconds=exponential_backoff(retries.delay.total_seconds())
    )
    if not fresh:  # a result that may not be reused is not stored
        return retried.with_options(cache_policy=NO_CACHE, persist_result=False)
    return retried.with_options(cache_expiration=fresh, refresh_cache=refresh)
