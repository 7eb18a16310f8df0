"""Starts, finds and stops the local worker. It runs in the background, and is found by the lock that it holds."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
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
from deployments.registry.run_settings import RUN_SETTINGS
from flows.run.local_server import LOGGED, STOP_TIMEOUT, find_state_folder
from gridtide.errors import GridtideError
from tasks.prefect_home import make_writable

WORKER_START_TIMEOUT = 120.0
"""Seconds for a worker to start and to report to the server."""


@contextmanager
def lock_machine() -> Iterator[None]:
    """Hold a lock, so that no other process of this machine changes deployments, server or worker in the meantime."""
    with (make_writable(find_state_folder()) / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Worker:
    """The local worker: the id of its process, the URL of its Prefect API, and its work pool."""

    pid: int
    api: str
    pool: str


def find_worker() -> Worker | None:
    """The local worker, None if none runs."""
    try:
        with (find_state_folder() / LOCK).open() as lock:
            try:
                # The worker holds this lock while it lives; the system releases it however the process ends.
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return Worker(**json.load(lock))
    except FileNotFoundError:
        pass
    return None


async def ensure_worker(api: str, pool: str) -> None:
    """Start a local worker of the existing `pool` at the Prefect API `api`, unless it runs. A worker of another pool or
    API is stopped.

    Raises `GridtideError` if the worker does not start, or does not send a heartbeat to the server.
    """
    running = find_worker()
    if running == Worker(running.pid if running else 0, api, pool):
        return
    stop_worker()
    await report_lost_runs(pool)
    folder = find_state_folder()
    process = _spawn_worker(folder, api, pool)
    online = WorkerFilter(status=WorkerFilterStatus(any_=["ONLINE"]))
    start_time = time.time()
    async with get_client() as client:
        while process.poll() is None and time.time() < start_time + WORKER_START_TIMEOUT:
            workers = await client.read_workers_for_work_pool(pool, online, offset=0, limit=10)
            heartbeats = [worker.last_heartbeat_time for worker in workers if worker.last_heartbeat_time]
            # A killed worker of the same name is ONLINE for a while, so that only a later heartbeat is of the new one.
            if any(heartbeat.timestamp() > start_time for heartbeat in heartbeats):
                return
            await asyncio.sleep(0.2)
    log_file = folder / "worker.log"
    last_line = log_file.read_text(errors="replace").strip().rpartition("\n")[2]
    raise GridtideError("the local worker", f"did not start: {last_line}", f"Read its log, {log_file}")


def stop_worker() -> Worker | None:
    """Stop the local worker and its runs; returns the worker, None if none runs."""
    worker = find_worker()
    if worker is None:
        return None
    for signalled in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            # The worker leads a group of its own: its runs are in it, also if the worker ends before them.
            os.killpg(worker.pid, signalled)
        deadline = time.monotonic() + STOP_TIMEOUT
        while time.monotonic() < deadline:
            try:
                os.killpg(worker.pid, 0)  # no signal: fails once no process of the group is there
            except ProcessLookupError:
                _remove_temporary_files()
                return worker
            time.sleep(0.1)
    _remove_temporary_files()
    return worker


def _find_temporary_folder() -> Path:
    """The folder for temporary files of the worker and its runs.

    Prefect writes the environment of a run, including credentials, to a temporary file for the duration of the run. A
    killed run leaves this file behind, so the folder is removed whenever the worker has ended.
    """
    machine = hashlib.sha256(str(find_state_folder()).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"gridtide-worker-{machine}"


def _remove_temporary_files() -> None:
    shutil.rmtree(_find_temporary_folder(), ignore_errors=True)


async def report_lost_runs(pool: str, *, end: bool = False) -> None:
    """Mark as Crashed the runs of `pool` that the worker of this machine started and whose process has ended.

    With `end`, processes of runs that a killed worker left behind are killed first. If a signal ends a run together
    with its worker, nothing else reports it.
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
            process = _find_process(run)
            if process and not end:
                continue
            if process:
                _kill_tree(process)
            state: State[Any] = Crashed(message="Its process on this machine was stopped together with the worker")
            await client.set_flow_run_state(run.id, state, force=True)


def _find_process(run: FlowRun) -> psutil.Process | None:
    """The process of `run` on this machine, None if it has ended. The pid alone is not enough, as it may be reused."""
    with suppress(psutil.Error):
        process = psutil.Process(int(run.infrastructure_pid or 0))
        if process.environ().get("PREFECT__FLOW_RUN_ID") == str(run.id):
            return process
    return None


def _kill_tree(process: psutil.Process) -> None:
    """Kill the process and its descendants."""
    family = [process]
    with suppress(psutil.Error):  # listed before the kill, after which they are no longer its descendants
        family += process.children(recursive=True)
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(family, STOP_TIMEOUT)


def _spawn_worker(folder: Path, api: str, pool: str) -> subprocess.Popen[bytes]:
    configured = get_current_settings().to_environment_variables(exclude_unset=True)
    _remove_temporary_files()
    _find_temporary_folder().mkdir(mode=0o700, parents=True)
    environment = {**RUN_SETTINGS, **os.environ, **configured, **LOGGED, "PREFECT_API_URL": api}
    with (folder / "worker.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603  # our own script
            [sys.executable, "-P", str(Path(__file__).with_name("worker_process.py")), str(folder), pool],
            env=environment | {"TMPDIR": str(_find_temporary_folder())},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
