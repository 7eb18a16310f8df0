"""Runs calls in other processes: of this machine, or the workers of a Dask cluster. All data goes through the lake.

flow ─► task runs ─► scheduler ─► worker ─► lake
                        └───────► worker ─► lake     if a worker dies, another one gets its call
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, TypeVar, cast
from uuid import uuid4

from gridtide.entries.entry import TaskRetries
from gridtide.errors import ConfigurationError, GridtideError, list_first
from tasks.remote import PrefectAccess, RemoteCall, Submission, remote_task, run_call

T = TypeVar("T")

logger = logging.getLogger("gridtide.cluster")

LOCAL = "local"
"""The name of the cluster that a run starts by itself: a process per core of this machine."""

OWN_CLUSTER: dict[str, Any] = {
    "threads_per_worker": 1,
    "dashboard_address": None,
    # its scheduler serves a few pages even without a dashboard: at any free port, as two runs may start one each
    "scheduler_kwargs": {"dashboard_address": ":0"},
}
"""The arguments of that cluster."""

MOST_DEATHS = 3
"""The most processes that may die with a call before it counts as their cause."""

CALLS_NAMED = 5
"""The most calls that a warning names."""


UNITS_PER_WORKER = 4
"""The least number of units for a worker, if there are as many pieces."""

LARGEST_UNIT = 32
"""The most pieces of a unit."""


def choose_unit_size(pieces: int, workers: int) -> int:
    """The number of pieces that are sent to a worker at once, of all `pieces` for a number of `workers`.

    Each worker gets at least `UNITS_PER_WORKER` units, so that none is idle for long at the end, and a unit has at most
    `LARGEST_UNIT` pieces, as they are repeated if their worker dies.
    """
    return min(LARGEST_UNIT, max(1, pieces // (UNITS_PER_WORKER * workers)))


class Workers:
    """A `count` of processes behind an `executor`; `open_workers` returns them. If the executor breaks,
    because a process died, `renew` returns another one. Workers of Dask note under `topic` which calls they start."""

    def __init__(
        self,
        executor: Executor,
        count: int,
        retries: TaskRetries,
        *,
        renew: Callable[[], Executor] | None = None,
        topic: str | None = None,
    ) -> None:
        self.executor, self.count, self.retries = executor, count, retries
        self.renew, self.topic = renew, topic
        self.access = PrefectAccess.of_settings()
        self.deaths: Counter[str] = Counter()

    async def run(self, task_name: str, remote_call: RemoteCall[T]) -> T:
        """The result of `remote_call`, which another process runs, with its retries, as a task named `task_name`.

        Raises the error of the call, and `GridtideError` if several processes died with it or the scheduler is gone.
        """
        result: T = await remote_task(task_name)(Submission(remote_call, self._complete))
        return result

    async def run_all(self, task_name: str, remote_calls: Iterable[RemoteCall[T]]) -> list[T]:
        """The results of `remote_calls` in their order; raises the first error, after all calls have ended."""
        running = (self.run(task_name, remote_call) for remote_call in remote_calls)
        results = await asyncio.gather(*running, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return cast(list[T], results)

    async def _complete(self, remote_call: RemoteCall[T]) -> T:
        """The result of `remote_call`; it is sent again if a process of this machine died."""
        while True:
            executor = self.executor
            try:
                future = executor.submit(run_call, remote_call, self.retries, self.access, self.topic)
                return await _await_future(remote_call.name, future)
            except BrokenProcessPool as error:
                self.deaths[remote_call.name] += 1
                if self.renew is None or self.deaths[remote_call.name] >= MOST_DEATHS:
                    raise _is_fatal(remote_call.name) from error
                if self.executor is executor:
                    self.executor = self.renew()


async def _await_future(name: str, future: Future[T]) -> T:
    """The result of `future`, the call of this name. An executor cancels it if its scheduler is gone."""
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError as error:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        raise GridtideError(name, "the scheduler is gone", "Start it, then run this again") from error
    except Exception as error:
        if type(error).__name__ == "KilledWorker":  # of Dask, which is not imported for this
            raise _is_fatal(name) from error
        raise


def _is_fatal(name: str) -> GridtideError:
    happened = "the workers that ran it died, one after the other"
    return GridtideError(name, happened, "Give workers more memory; see their logs")


def open_workers(cluster: str | None, processes: int, retries: TaskRetries) -> AbstractContextManager[Workers]:
    """The workers of `cluster`, as `connect_workers` describes, or as many `processes` if it is empty."""
    return connect_workers(cluster, retries) if cluster else start_processes(processes, retries)


@contextmanager
def connect_workers(cluster: str, retries: TaskRetries) -> Iterator[Workers]:
    """Connect to the workers of `cluster`, `LOCAL` or the address of a scheduler; they retry as `retries` says.

    At the end a warning names the calls that were started more than once, because their worker died. Raises
    `ConfigurationError` if there is no such cluster, or Dask is not installed.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ConfigurationError("cluster", f"cannot be used: {error}", "Install gridtide[dask]") from error
    try:
        with ExitStack() as stack:
            address: Any = cluster
            if cluster == LOCAL:
                address = stack.enter_context(LocalCluster(**OWN_CLUSTER))  # type: ignore[no-untyped-call]
            client = stack.enter_context(Client(address, set_as_default=False))  # type: ignore[no-untyped-call]
            closing = stack.pop_all()
    except (OSError, ValueError) as error:
        happened = f"there is no Dask scheduler at {cluster}: {error}"
        raise ConfigurationError("cluster", happened, 'Start one with `dask scheduler`, or give "local"') from error
    topic = f"gridtide-{uuid4().hex}"
    with closing:
        threads = sum(client.nthreads().values())
        yield Workers(client.get_executor(pure=False), max(threads, 1), retries, topic=topic)
        if client.status == "running":
            starts = Counter(name for _, name in client.get_events(topic))
            _tell_repeated(name for name, number in starts.items() if number > 1)


@contextmanager
def start_processes(number: int, retries: TaskRetries) -> Iterator[Workers]:
    """Start `number` processes of this machine, which retry as `retries` says, and end them afterwards.

    At the end a warning names the calls that were sent again, because a process died.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tasks.remote"])  # is imported once, for all processes

    def start() -> ProcessPoolExecutor:
        pools.append(ProcessPoolExecutor(number, mp_context=context))
        return pools[-1]

    pools: list[ProcessPoolExecutor] = []
    workers = Workers(start(), number, retries, renew=start)
    try:
        yield workers
    finally:
        for pool in pools:
            pool.shutdown(cancel_futures=True)
    _tell_repeated(workers.deaths)


def _tell_repeated(names: Iterable[str]) -> None:
    """Log the `names` of calls that were started more than once."""
    if named := list_first(sorted(names), CALLS_NAMED):
        logger.warning("A process died; what it worked on was done anew: %s", named)
