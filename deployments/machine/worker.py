"""The local process worker: started detached, found by the lock it holds, stopped with the runs it has under way."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkerFilter,
    WorkerFilterStatus,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.settings import get_current_settings
from prefect.states import Crashed

from deployments.machine.worker_process import LOCK, NAME
from flows.run.local_server import LOGGED, state_folder
from gridtide.errors import GridtideError

WORKER_SETTINGS = {
    # A run shows every 30 s that it lives, so that one that does not is noticed within 90.
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    # How often the worker asks for runs; the default of 10 s is how long a run from the form would wait.
    "PREFECT_WORKER_QUERY_SECONDS": "2",
}
"""What the runs' processes are started with, unless the environment or the profile says otherwise."""


WORKER_START_TIMEOUT = 120.0


STOP_TIMEOUT = 30.0


@contextmanager
def machine_lock() -> Iterator[None]:
    """Within it, no other process of this machine changes what is deployed or started here."""
    folder = state_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Worker:
    """The local worker: its process, and which pool of which Prefect API it takes runs from."""

    pid: int
    api: str
    pool: str


def worker_status() -> Worker | None:
    """The local worker, None if none runs."""
    try:
        with (state_folder() / LOCK).open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return Worker(**json.load(lock))
    except FileNotFoundError:
        pass
    return None


async def ensure_worker(api: str, pool: str) -> None:
    """Have a local worker take runs of `pool`, which is there, from the Prefect API at `api`; one of another is ended.

    Raises `GridtideError` if it does not start, or does not report to the server.
    """
    running = worker_status()
    if running == Worker(running.pid if running else 0, api, pool):
        return
    stop_worker()
    await report_lost_runs(pool)
    folder = state_folder()
    process = _spawn(folder, api, pool)
    online = WorkerFilter(status=WorkerFilterStatus(any_=["ONLINE"]))
    started = time.time()
    async with get_client() as client:
        while process.poll() is None and time.time() < started + WORKER_START_TIMEOUT:
            workers = await client.read_workers_for_work_pool(pool, online, offset=0, limit=10)
            if any(one.last_heartbeat_time and one.last_heartbeat_time.timestamp() > started for one in workers):
                return
            await asyncio.sleep(0.2)
    log = folder / "worker.log"
    last = log.read_text(errors="replace").strip().rpartition("\n")[2]
    raise GridtideError("the local worker", f"did not start: {last}", f"Its log is {log}")


def stop_worker() -> Worker | None:
    """End the local worker with the runs it has under way, and return which it was, None if none ran."""
    worker = worker_status()
    if worker is None:
        return None
    for signalled in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signalled)
        deadline = time.monotonic() + STOP_TIMEOUT
        while time.monotonic() < deadline:
            try:
                os.killpg(worker.pid, 0)
            except ProcessLookupError:
                return worker
            time.sleep(0.1)
    return worker


async def report_lost_runs(pool: str, *, end: bool = False) -> None:
    """Tell the server which runs of `pool` that this machine's worker started have no process any more: they are
    Crashed. With `end`, those that have one are ended first, as a worker that was killed leaves them.

    A run that is ended by a signal together with its worker has nobody else to tell it.
    """
    under_way = FlowRunFilterState(
        type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING])
    )
    async with get_client() as client:
        runs = await client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=under_way),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
        )
        for run in runs:
            if run.labels.get("prefect.worker.name") != NAME:
                continue
            process = _process(run)
            if process and not end:
                continue
            if process:
                _kill(process)
            state: State[Any] = Crashed(message="Its process on this machine was ended together with the worker")
            await client.set_flow_run_state(run.id, state, force=True)


def _process(run: FlowRun) -> psutil.Process | None:
    """The process of `run` on this machine, None where there is none: its number may be another's by now."""
    with suppress(psutil.Error):
        process = psutil.Process(int(run.infrastructure_pid or 0))
        if process.environ().get("PREFECT__FLOW_RUN_ID") == str(run.id):
            return process
    return None


def _kill(process: psutil.Process) -> None:
    """End it with all that it started."""
    family = [process]
    with suppress(psutil.Error):
        family += process.children(recursive=True)
    for one in family:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(family, STOP_TIMEOUT)


def _spawn(folder: Path, api: str, pool: str) -> subprocess.Popen[bytes]:
    given = get_current_settings().to_environment_variables(exclude_unset=True)
    with (folder / "worker.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603  # our own script
            [sys.executable, "-P", str(Path(__file__).with_name("worker_process.py")), str(folder), pool],
            env={**WORKER_SETTINGS, **os.environ, **given, **LOGGED, "PREFECT_API_URL": api},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
