"""Collections on the workers of a Dask cluster, the lake being what they share.

backfill ─► chunks ─► scheduler ─► worker ─► collect ─► lake
                          └──────► worker ─► collect ─► lake     one that dies: its chunk goes to another
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from gridtide.config import Entry, TaskRetries
from gridtide.errors import ConfigurationError
from gridtide.periods import Period
from tasks.apart import Errand, Place, collect_apart
from tasks.collect import Outcome

if TYPE_CHECKING:
    from prefect_dask.task_runners import DaskTaskRunner

LOCAL = "local"
"""The cluster that a run starts for itself: a process per core of this machine."""


async def collect_on(
    cluster: str,
    chunks: Iterable[tuple[Entry, Period]],
    place: Place,
    retries: TaskRetries,
    ended: Callable[[Entry], Coroutine[Any, Any, None]],
) -> list[Outcome]:
    """Collect `chunks` on the workers of `cluster`, `LOCAL` or the address of a scheduler; `ended` is told of each.

    A chunk waits for its next attempt on its worker. Raises `ConfigurationError` where there is no
    such cluster, or prefect-dask is not installed.
    """

    async def outcome(entry: Entry, period: Period, future: Any) -> Outcome:
        result = await asyncio.to_thread(future.result, raise_on_failure=False)
        await ended(entry)
        if isinstance(result, BaseException):
            return Outcome(entry, period, error=result)
        return Outcome(entry, period, collected=result)

    task = collect_apart(retries)
    with ExitStack() as stack:
        runner = _started(stack, cluster)
        futures = [
            (entry, period, runner.submit(task, parameters={"errand": Errand(entry, period, place)}))
            for entry, period in chunks
        ]
        return list(await asyncio.gather(*(outcome(*each) for each in futures)))


def _started(stack: ExitStack, cluster: str) -> DaskTaskRunner:
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ImportError as error:
        raise ConfigurationError("cluster", f"cannot be used: {error}", "Install gridtide[dask]") from error
    local = {"threads_per_worker": 1, "dashboard_address": None}
    runner = DaskTaskRunner(cluster_kwargs=local) if cluster == LOCAL else DaskTaskRunner(address=cluster)
    stack.enter_context(runner)
    try:
        _ = runner.client  # connects
    except (OSError, ValueError) as error:
        happened = f"there is no Dask scheduler at {cluster}: {error}"
        raise ConfigurationError("cluster", happened, 'Start one with `dask scheduler`, or give "local"') from error
    return runner
