"""Runs calls on the workers of a Dask cluster. All data goes through the lake.

flow ─► calls ─► scheduler ─► worker ─► lake
                     └──────► worker ─► lake     if a worker dies, another one gets its call
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from gridtide.entries.entry import TaskRetries
from gridtide.errors import ConfigurationError, GridtideError
from tasks.remote import RemoteCall, remote_task

if TYPE_CHECKING:
    from prefect_dask.task_runners import DaskTaskRunner


T = TypeVar("T")


LOCAL = "local"
"""The name of the cluster that a run starts by itself: a process per core of this machine."""


class Workers:
    """The workers of a cluster; `connect_workers` returns them."""

    def __init__(self, runner: DaskTaskRunner, retries: TaskRetries) -> None:
        self.runner, self.retries = runner, retries

    async def run(self, task_name: str, remote_call: RemoteCall[T]) -> T:
        """The result of `remote_call`, which a worker runs, with its retries, as a task named `task_name`.

        Raises the error of the call, and `GridtideError` if the call killed several workers or the scheduler is gone.
        """
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        future = self.runner.submit(remote_task(task_name, self.retries), parameters={"call": remote_call})
        loop, completed = asyncio.get_running_loop(), asyncio.Event()
        future.wrapped_future.add_done_callback(  # type: ignore[no-untyped-call]
            lambda _: loop.call_soon_threadsafe(completed.set)
        )
        await completed.wait()
        try:
            result: T = await asyncio.to_thread(future.result)
        except KilledWorker as error:
            happened = "the workers that ran it died, one after the other"
            raise GridtideError(remote_call.name, happened, "Give workers more memory; see their logs") from error
        except FutureCancelledError as error:
            raise GridtideError(remote_call.name, "the scheduler is gone", "Start it, then run this again") from error
        return result

    async def run_all(self, task_name: str, remote_calls: Iterable[RemoteCall[T]]) -> list[T]:
        """The results of `remote_calls` in their order; raises the first error, after all calls have ended."""
        running = (self.run(task_name, remote_call) for remote_call in remote_calls)
        results = await asyncio.gather(*running, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return cast(list[T], results)


@contextmanager
def connect_workers(cluster: str, retries: TaskRetries) -> Iterator[Workers]:
    """Connect to the workers of `cluster`, `LOCAL` or the address of a scheduler; they retry as `retries` says.

    Raises `ConfigurationError` if there is no such cluster, or prefect-dask is not installed.
    """
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ImportError as error:
        raise ConfigurationError("cluster", f"cannot be used: {error}", "Install gridtide[dask]") from error
    local_cluster: dict[str, Any] = {"threads_per_worker": 1, "dashboard_address": None}
    with (
        DaskTaskRunner(cluster_kwargs=local_cluster) if cluster == LOCAL else DaskTaskRunner(address=cluster) as runner
    ):
        try:
            _ = runner.client  # connects
        except (OSError, ValueError) as error:
            happened = f"there is no Dask scheduler at {cluster}: {error}"
            raise ConfigurationError("cluster", happened, 'Start one with `dask scheduler`, or give "local"') from error
        yield Workers(runner, retries)
