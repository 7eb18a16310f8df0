"""A collection in another process, such as a Dask worker's, which opens lake, session and quota itself.

What travels there is the entry, the period and where the lake is; credentials do not: the process
takes them from its own environment or from Prefect's blocks. What comes back is small JSON.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import exponential_backoff

from gridtide import collect as core
from gridtide.config import Entry, TaskRetries
from gridtide.errors import GridtideError
from gridtide.http import Http
from gridtide.periods import Period
from tasks.lake import open_lake
from tasks.quota import SharedLimiter
from tasks.secrets import secrets


@dataclass(frozen=True)
class Place:
    """Where collections go: the address of the lake, the start of the run that names their files, and
    credentials that are known to everybody (those of the sandbox), if these are to be used."""

    lake: str
    stamp: datetime
    known: dict[str, str] | None = None


class Errand:
    """One collection to be made somewhere else. Not a dataclass: Prefect would walk into its fields."""

    def __init__(self, entry: Entry, period: Period, place: Place) -> None:
        self.entry, self.period, self.place = entry, period, place

    async def run(self) -> dict[str, Any]:
        """Collect, going on from what an interrupted run kept; `gridtide.collect.Collected.as_dict`."""
        async with AsyncExitStack() as stack:
            limiter = await stack.enter_async_context(SharedLimiter())
            known = self.place.known
            http = await stack.enter_async_context(
                Http(await secrets([self.entry]) if known is None else known, limiter)
            )
            lake = await open_lake(self.place.lake)
            collected = await core.collect(
                self.entry, lake=lake, http=http, stamp=self.place.stamp, period=self.period, resume=True
            )
        return collected.as_dict()


def _name(parameters: dict[str, Any]) -> str:
    errand = parameters["errand"]
    return f"{errand.entry.name} {errand.period}"


def _may_pass(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    return isinstance(state.data, GridtideError) and state.data.retryable


def collect_apart(retries: TaskRetries) -> Task[..., Any]:
    """The task that runs an `Errand`, as patient as `retries` say."""
    return _collect.with_options(
        retries=retries.count, retry_delay_seconds=exponential_backoff(retries.delay.total_seconds())
    )


@task(
    name="collect",
    task_run_name=_name,  # type: ignore[arg-type]  # the protocol also asks for a class method of no use here
    cache_policy=NO_CACHE,
    persist_result=False,
    retry_condition_fn=_may_pass,
    retry_jitter_factor=0.3,
)
async def _collect(errand: Errand) -> dict[str, Any]:
    return await errand.run()
