"""Work in another process, such as a Dask worker's, which opens lake, session and quota itself.

What travels there is what to do and where the lake is; credentials do not: the process takes them from its
own environment or from Prefect's blocks. What comes back is small; what is large goes through the lake.
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
from gridtide.collect import collection
from gridtide.curated import Compaction, Part, Share
from gridtide.entries.entry import Entry, TaskRetries
from gridtide.errors import GridtideError
from gridtide.http.client import Http
from gridtide.periods import Period
from gridtide.training.by_location import Parts
from gridtide.training.series.bases import Found, Kind
from tasks.lake import open_lake
from tasks.rate_limits import SharedLimiter
from tasks.secrets import secrets

T = TypeVar("T")


class Errand(Generic[T]):
    """What to do somewhere else, and what the task run is called. Not a dataclass: Prefect would walk into
    its fields."""

    def __init__(self, name: str, call: Callable[..., Coroutine[Any, Any, T]], *given: Any) -> None:
        self.name, self.call, self.given = name, call, given


@dataclass(frozen=True)
class Place:
    """Where collections go: the address of the lake, the start of the run that names their files, and
    credentials that are known to everybody (those of the sandbox), if these are to be used."""

    lake: str
    stamp: datetime
    known: dict[str, str] | None = None


async def collect(entry: Entry, period: Period, place: Place) -> dict[str, Any]:
    """Collect, going on from what an interrupted run kept; `gridtide.collect.Collected.as_dict`."""
    async with AsyncExitStack() as stack:
        limiter = await stack.enter_async_context(SharedLimiter())
        known = await secrets([entry]) if place.known is None else place.known
        http = await stack.enter_async_context(Http(known, limiter))
        lake = await open_lake(place.lake)
        collected = await collection.collect(entry, lake=lake, http=http, stamp=place.stamp, period=period, resume=True)
    return collected.as_dict()


async def compact_share(entry: Entry, share: Share, lake: str) -> Part:
    """Put the months of `share`."""
    return await curated.compact_share(await open_lake(lake), entry, share)


async def compact(entry: Entry, lake: str) -> Compaction:
    """Compact what is left of `entry`."""
    return await curated.compact(await open_lake(lake), entry)


async def gather(parts: Parts, number: int, lake: str) -> Found:
    """Put the series of a location into the lake."""
    return await parts.gather(await open_lake(lake), number)


async def derive(parts: Parts, number: int, shifts: Mapping[Kind, Sequence[int]], lake: str) -> None:
    """Put the base of a location into the lake."""
    await parts.derive(await open_lake(lake), number, shifts)


@cache
def apart(kind: str, retries: TaskRetries) -> Task[..., Any]:
    """The task, called `kind`, that runs an `Errand`, as patient as `retries` say."""
    return _apart.with_options(
        name=kind, retries=retries.count, retry_delay_seconds=exponential_backoff(retries.delay.total_seconds())
    )


def _name(parameters: dict[str, Any]) -> str:
    return str(parameters["errand"].name)


def _may_pass(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    return isinstance(state.data, GridtideError) and state.data.retryable


@task(
    task_run_name=_name,  # type: ignore[arg-type]  # the protocol also asks for a class method of no use here
    cache_policy=NO_CACHE,
    persist_result=False,
    retry_condition_fn=_may_pass,
    retry_jitter_factor=0.3,
)
async def _apart(errand: Errand[Any]) -> Any:
    return await errand.call(*errand.given)
