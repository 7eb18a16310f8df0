"""Work in another process, such as a Dask worker, which opens the lake, the HTTP session and the rate limits itself.

    flow ─► a task run ─► executor ─► the process: one event loop; for each entry one session and one lake ─► lake

The call and the address of the lake are sent there, credentials of upstreams and stores are not: the process reads them
from its own environment or from Prefect blocks. Only small results are sent back; large data goes through the lake. The
task run is in the flow: there it costs a thirtieth of what Prefect needs to run a task in another process, see
`docs/decisions/0010-calls-to-workers.md`.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from multiprocessing.util import Finalize
from typing import Any, Generic, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, get_current_settings, temporary_settings

from gridtide import curated
from gridtide.collect.replay import ReplayOutcome, ReplayPiece, replay_piece
from gridtide.curated import CompactedShare, Compaction, CompactionShare
from gridtide.database.upstreams import Upstreams
from gridtide.entries.entry import Entry, TaskRetries
from gridtide.errors import GridtideError
from gridtide.lake import Lake
from gridtide.periods import Period
from gridtide.training.by_location import LocationExchange
from gridtide.training.series.matching import LocationInputs, SeriesKind
from tasks.collect import CollectionAttempts, CollectionRun
from tasks.lake import open_lake
from tasks.rate_limits import SharedLimiter
from tasks.secrets import read_credentials

T = TypeVar("T")

JITTER = 0.3
"""The most by which a delay before a retry is prolonged, as a share of it."""

LAKE_LASTS = 600.0
"""The seconds for which an opened lake is used by later calls."""

CLOSING = 5.0
"""The most seconds that the end of a process waits for its sessions to close."""


_lakes: dict[tuple[str, bool], tuple[float, Lake]] = {}
"""The lakes of this process by address, each with the time at which it was opened."""


class RemoteCall(Generic[T]):
    """A call of `function` with `arguments` in another process; `name` is the name of its task run.

    Not a dataclass: Prefect would walk into the fields of one that is a parameter of a task."""

    def __init__(self, name: str, function: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> None:
        self.name, self.function, self.arguments = name, function, arguments


@dataclass(frozen=True)
class PrefectAccess:
    """The Prefect server through which processes share their rate limits, and which has the blocks."""

    url: str | None
    password: str | None = field(repr=False)

    @classmethod
    def of_settings(cls) -> PrefectAccess:
        """Returns the access of this process."""
        api = get_current_settings().api
        return cls(api.url, api.auth_string.get_secret_value() if api.auth_string else None)

    def applied(self) -> AbstractContextManager[Any]:
        """A context with the settings of this access."""
        if self == PrefectAccess.of_settings():
            return nullcontext()
        password = {} if self.password is None else {PREFECT_API_AUTH_STRING: self.password}
        return temporary_settings({PREFECT_API_URL: self.url, **password})


def run_call(call: RemoteCall[T], retries: TaskRetries, access: PrefectAccess, topic: str | None = None) -> T:
    """Runs `call` in this process, for a flow in another one, and waits for its result.

    A call that fails with an error that may pass is repeated as `retries` says. With a `topic`, this process is a
    worker of Dask, and its scheduler is told that the call starts here.
    """
    if topic:
        from distributed import get_worker

        get_worker().log_event(topic, call.name)
    return asyncio.run_coroutine_threadsafe(_run_call(call, retries, access), _event_loop()).result()


async def _run_call(call: RemoteCall[T], retries: TaskRetries, access: PrefectAccess) -> T:
    with access.applied():
        return await _repeat(partial(call.function, *call.arguments), retries, lambda error: error.retryable)


async def _repeat(
    attempt: Callable[[], Awaitable[T]], retries: TaskRetries, may_pass: Callable[[GridtideError], bool]
) -> T:
    """The result of `attempt`, which is repeated as `retries` says while its error may pass."""
    failures = 0
    while True:
        try:
            return await attempt()
        except GridtideError as error:
            if failures >= retries.count or not may_pass(error):
                raise
        await asyncio.sleep(retries.delay.total_seconds() * 2**failures * random.uniform(1, 1 + JITTER))  # noqa: S311
        failures += 1


@cache
def _event_loop() -> asyncio.AbstractEventLoop:
    """The event loop of all calls in this process, in a thread of its own: sessions and leases of rate limits outlive
    a call."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="gridtide.remote", daemon=True).start()
    return loop


@dataclass(frozen=True)
class Destination:
    """Where collected files go: the address of the lake, and the start of the run, which names them.

    `credentials` are public ones, those of the sandbox; if None, the process reads its own. With `resume`, pages that
    an interrupted run stored are not asked for again."""

    lake: str
    stamp: datetime
    credentials: dict[str, str] | None = None
    resume: bool = True


class RemoteUnit:
    """The collections of the periods `chunks` of one entry into `destination`, which share a session in the worker.

    Each chunk is a period with the entry to collect for it, which may request a part of the scope.
    """

    def __init__(self, chunks: Sequence[tuple[Entry, Period]], destination: Destination, retries: TaskRetries) -> None:
        self.chunks, self.destination, self.retries = chunks, destination, retries

    async def collect(self) -> list[dict[str, Any] | Exception]:
        """Collect the chunks, at most `entry.concurrency` at a time, each with retries of its own.

        Returns `gridtide.collect.Collected.as_dict` of each chunk, or its error.
        """
        async with _use_session(self.chunks[0][0], self.destination, self.retries) as run:
            slots = asyncio.Semaphore(self.chunks[0][0].concurrency)
            return await asyncio.gather(*(self._collect_chunk(run, slots, *chunk) for chunk in self.chunks))

    async def _collect_chunk(
        self, run: CollectionRun, slots: asyncio.Semaphore, entry: Entry, period: Period
    ) -> dict[str, Any] | Exception:
        attempts = CollectionAttempts(run, entry, period, begun_attempts=0)
        try:
            async with slots:
                return await _repeat(attempts.attempt, self.retries, attempts.is_retryable)
        except Exception as error:  # any error: the failure of a chunk must not stop the others
            return error


@dataclass
class _Session:
    """What the collections of an entry share in this process, and how many of them use it now."""

    run: CollectionRun
    stack: AsyncExitStack
    users: int = 0


class _Sessions:
    """The sessions of this process, by entry and destination, and by server the limiter that they share: this process
    is one member of each rate limit, however many entries have it."""

    def __init__(self) -> None:
        self.opening = asyncio.Lock()
        self.by_key: dict[tuple[Any, ...], _Session] = {}
        self.limiters: dict[PrefectAccess, SharedLimiter] = {}

    async def find(self, entry: Entry, destination: Destination, retries: TaskRetries) -> _Session:
        """Returns the session of `entry`, which is opened if there is none; those of earlier runs are closed."""
        async with self.opening:
            await self.close(earlier_than=destination.stamp)
            public = sorted((destination.credentials or {}).items())
            key = (entry.name, destination.lake, destination.stamp, destination.resume, *public)
            if key not in self.by_key:
                self.by_key[key] = await _open_session(entry, destination, retries, await self._find_limiter())
            return self.by_key[key]

    async def _find_limiter(self) -> SharedLimiter:
        access = PrefectAccess.of_settings()
        if access not in self.limiters:
            self.limiters[access] = await SharedLimiter().__aenter__()
        return self.limiters[access]

    async def close_all(self) -> None:
        """Closes everything, at the end of the process."""
        await self.close(earlier_than=datetime.max.replace(tzinfo=UTC))
        for limiter in self.limiters.values():
            await limiter.__aexit__(None, None, None)

    async def close(self, earlier_than: datetime) -> None:
        """Closes the sessions of runs `earlier_than` this that are not in use."""
        for key, session in list(self.by_key.items()):
            if not session.users and session.run.stamp < earlier_than:
                del self.by_key[key]
                await session.stack.aclose()


@cache
def _process_sessions() -> _Sessions:
    """The sessions of this process; they are closed at its end, so that their shares of rate limits go to others."""
    sessions = _Sessions()

    def close() -> None:
        closing = asyncio.run_coroutine_threadsafe(sessions.close_all(), _event_loop())
        with suppress(TimeoutError):
            closing.result(CLOSING)

    Finalize(None, close, exitpriority=1)
    return sessions


async def _open_session(
    entry: Entry, destination: Destination, retries: TaskRetries, limiter: SharedLimiter
) -> _Session:
    async with AsyncExitStack() as stack:
        public = destination.credentials
        credentials = await read_credentials([entry]) if public is None else dict(public)
        http = await stack.enter_async_context(Upstreams(credentials, limiter))
        lake = await open_lake(destination.lake)
        run = CollectionRun(lake, http, destination.stamp, retries, resume=destination.resume)
        return _Session(run, stack.pop_all())


@asynccontextmanager
async def _use_session(entry: Entry, destination: Destination, retries: TaskRetries) -> AsyncIterator[CollectionRun]:
    session = await _process_sessions().find(entry, destination, retries)
    session.users += 1
    try:
        yield session.run
    finally:
        session.users -= 1


async def _find_lake(address: str, *, make: bool = True) -> Lake:
    """The lake at `address`, with connections that this process already has, unless they are old: credentials may have
    changed since."""
    opened_at, lake = _lakes.get((address, make), (-LAKE_LASTS, None))
    if lake is None or time.monotonic() > opened_at + LAKE_LASTS:
        lake = await open_lake(address, make=make)
        _lakes[address, make] = time.monotonic(), lake
    return lake


async def replay_remotely(entry: Entry, pieces: Sequence[ReplayPiece], lake: str) -> list[ReplayOutcome]:
    """Replay `pieces` of `entry`, one after the other, in the lake at the address `lake`."""
    return [await replay_piece(await _find_lake(lake), entry, piece) for piece in pieces]


async def compact_share_remotely(entry: Entry, share: CompactionShare, lake: str) -> CompactedShare:
    """Write the months of `share` into the lake at the address `lake`."""
    return await curated.compact_share(await _find_lake(lake), entry, share)


async def compact_remotely(entry: Entry, lake: str) -> Compaction:
    """Compact what no share of `entry` has compacted yet, in the lake at the address `lake`."""
    return await curated.compact(await _find_lake(lake), entry)


async def gather_remotely(exchange: LocationExchange, number: int, lake: str, out: str) -> LocationInputs:
    """Read the series of location `number` from the lake at the address `lake`, and write them to that at `out`."""
    return await exchange.gather(await _find_lake(lake, make=False), await _find_lake(out), number)


async def derive_remotely(
    exchange: LocationExchange, number: int, shifts: Mapping[SeriesKind, Sequence[int]], out: str
) -> None:
    """Write the base of location `number`, whose series are in `exchange`, to the place at the address `out`."""
    await exchange.derive(await _find_lake(out), number, shifts)


class Submission(Generic[T]):
    """A `call` that a task run awaits; `complete` sends it to another process and returns its result.

    Not a dataclass, as `RemoteCall`."""

    def __init__(self, call: RemoteCall[T], complete: Callable[[RemoteCall[T]], Coroutine[Any, Any, T]]) -> None:
        self.call, self.complete = call, complete


@cache
def remote_task(kind: str) -> Task[..., Any]:
    """The task named `kind` that awaits a `Submission`. Retries are made where the call runs, which knows what of it is
    done."""
    return _await_call.with_options(name=kind)


def _name(parameters: dict[str, Any]) -> str:
    return str(parameters["submission"].call.name)


@task(
    task_run_name=_name,  # type: ignore[arg-type]  # the protocol also asks for a class method of no use here
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def _await_call(submission: Submission[Any]) -> Any:
    return await submission.complete(submission.call)
