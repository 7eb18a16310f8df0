"""Work in another process, such as a Dask worker, which opens the lake, the HTTP session and the rate limits itself.

The call and the address of the lake are sent there, credentials are not: the process reads them from its own
environment or from Prefect blocks. Only small results are sent back; large data goes through the lake.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Generic, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import exponential_backoff

from gridtide import curated
from gridtide.curated import CompactedShare, Compaction, CompactionShare
from gridtide.database.upstreams import Upstreams
from gridtide.entries.entry import Entry, TaskRetries
from gridtide.errors import GridtideError
from gridtide.periods import Period
from gridtide.training.by_location import LocationExchange
from gridtide.training.series.matching import LocationInputs, SeriesKind
from tasks.collect import CollectionAttempts, CollectionRun
from tasks.lake import open_lake
from tasks.rate_limits import SharedLimiter
from tasks.secrets import read_credentials

T = TypeVar("T")


class RemoteCall(Generic[T]):
    """A call of `function` with `arguments` in another process; `name` is the name of its task run.

    Not a dataclass: Prefect would walk into the fields of one that is a parameter of a task."""

    def __init__(self, name: str, function: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> None:
        self.name, self.function, self.arguments = name, function, arguments


@dataclass(frozen=True)
class Destination:
    """Where collected files go: the address of the lake, and the start of the run, which names them.

    `credentials` are public ones, those of the sandbox; if None, the process reads its own. With `resume`, pages that
    an interrupted run stored are not asked for again."""

    lake: str
    stamp: datetime
    credentials: dict[str, str] | None = None
    resume: bool = True


class RemoteCollection:
    """The collection of `period` of `entry` into `destination`, and the state of its attempts in the worker.

    With `resume`, pages that an interrupted run stored are not asked for again.
    """

    def __init__(self, entry: Entry, period: Period, destination: Destination, retries: TaskRetries) -> None:
        self.entry, self.period, self.destination, self.retries = entry, period, destination, retries
        self.attempts: CollectionAttempts | None = None

    async def attempt(self) -> dict[str, Any]:
        """Collect what is still open.

        Returns `gridtide.collect.Collected.as_dict`. Raises the error of a hole that another attempt may close.
        """
        async with AsyncExitStack() as stack:
            limiter = await stack.enter_async_context(SharedLimiter())
            public = self.destination.credentials
            credentials = await read_credentials([self.entry]) if public is None else public
            http = await stack.enter_async_context(Upstreams(credentials, limiter))
            lake = await open_lake(self.destination.lake)
            run = CollectionRun(lake, http, self.destination.stamp, self.retries, resume=self.destination.resume)
            self.attempts = self.attempts or CollectionAttempts(run, self.entry, self.period)
            self.attempts.run = run  # the one before is closed
            return await self.attempts.attempt()


async def compact_share_remotely(entry: Entry, share: CompactionShare, lake: str) -> CompactedShare:
    """Write the months of `share` into the lake at the address `lake`."""
    return await curated.compact_share(await open_lake(lake), entry, share)


async def compact_remotely(entry: Entry, lake: str) -> Compaction:
    """Compact what no share of `entry` has compacted yet, in the lake at the address `lake`."""
    return await curated.compact(await open_lake(lake), entry)


async def gather_remotely(exchange: LocationExchange, number: int, lake: str, out: str) -> LocationInputs:
    """Read the series of location `number` from the lake at the address `lake`, and write them to that at `out`."""
    return await exchange.gather(await open_lake(lake, make=False), await open_lake(out), number)


async def derive_remotely(
    exchange: LocationExchange, number: int, shifts: Mapping[SeriesKind, Sequence[int]], out: str
) -> None:
    """Write the base of location `number`, whose series are in `exchange`, to the place at the address `out`."""
    await exchange.derive(await open_lake(out), number, shifts)


@cache
def remote_task(kind: str, retries: TaskRetries) -> Task[..., Any]:
    """The task named `kind` that runs a `RemoteCall`, retried as `retries` says."""
    return _run_remotely.with_options(
        name=kind, retries=retries.count, retry_delay_seconds=exponential_backoff(retries.delay.total_seconds())
    )


def _name(parameters: dict[str, Any]) -> str:
    return str(parameters["call"].name)


def _may_pass(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    return isinstance(state.data, GridtideError) and state.data.retryable


@task(
    task_run_name=_name,  # type: ignore[arg-type]  # the protocol also asks for a class method of no use here
    cache_policy=NO_CACHE,
    persist_result=False,
    retry_condition_fn=_may_pass,
    retry_jitter_factor=0.3,
)
async def _run_remotely(call: RemoteCall[Any]) -> Any:
    return await call.function(*call.arguments)
