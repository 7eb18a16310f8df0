"""Work on the workers of a Dask cluster, the lake being what they share.

flow ─► calls ─► scheduler ─► worker ─► lake
                     └──────► worker ─► lake     one that dies: its call goes to another
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
"""The cluster that a run starts for itself: a process per core of this machine."""


class Workers:
    """The workers of a cluster; use `workers` to get them."""

    def __init__(self, runner: DaskTaskRunner, retries: TaskRetries) -> None:
        self.runner, self.retries = runner, retries

    async def run(self, kind: str, call: RemoteCall[T]) -> T:
        """What came of `call`, done by a worker as a task called `kind`; it waits there for its next attempt.

        Raises what the call raised, and `GridtideError` if worker after worker died of it, or the scheduler did.
        """
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        future = self.runner.submit(remote_task(kind, self.retries), parameters={"call": call})
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        future.wrapped_future.add_done_callback(  # type: ignore[no-untyped-call]
            lambda _: loop.call_soon_threadsafe(ended.set)
        )
        await ended.wait()
        try:
            result: T = await asyncio.to_thread(future.result)
        except KilledWorker as error:
            happened = "one worker after the other died of it"
            raise GridtideError(call.name, happened, "Give workers more memory; their logs say more") from error
        except FutureCancelledError as error:
            raise GridtideError(call.name, "the scheduler went away", "Start it, and run this again") from error
        return result

    async def run_all(self, kind: str, calls: Iterable[RemoteCall[T]]) -> list[T]:
        """What came of each of `calls`; raises the first error once all have ended."""
        ended = await asyncio.gather(*(self.run(kind, call) for call in calls), return_exceptions=True)
        for result in ended:
            if isinstance(result, BaseException):
                raise result
        return cast(list[T], ended)


@contextmanager
def workers(cluster: str, retries: TaskRetries) -> Iterator[Workers]:
    """The workers of `cluster`, `LOCAL` or the address of a scheduler, as patient as `retries` say.

    Raises `ConfigurationError` where there is no such cluster, or prefect-dask is not installed.
    """
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ImportError as error:
        raise ConfigurationError("cluster", f"cannot be used: {error}", "Install gridtide[dask]") from error
    local: dict[str, Any] = {"threads_per_worker": 1, "dashboard_address": None}
    with DaskTaskRunner(cluster_kwargs=local) if cluster == LOCAL else DaskTaskRunner(address=cluster) as runner:
        try:
            _ = runner.client  # connects
        except (OSError, ValueError) as error:
            happened = f"there is no Dask scheduler at {cluster}: {error}"
            raise ConfigurationError("cluster", happened, 'Start one with `dask scheduler`, or give "local"') from error
        yield Workers(runner, retries)
