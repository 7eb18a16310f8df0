"""Measures a scheduled run of 15 entries with a waiting worker, to show the cost of deployments."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, PREFECT_SERVER_API_PORT, temporary_settings
from prefect.states import Scheduled

from benchmarks.ingest import Row
from flows.ingest import ingest
from flows.run.local_server import ensure_server

ENTRIES = 15
AHEAD = timedelta(seconds=15)
"""How long before its time a run is there, as the runs of a schedule are."""

START, TASK = 3.0, 0.005
"""Seconds that Prefect alone takes to start the process of a run, and for a task run in it."""


def measure(repeats: int = 3) -> list[Row]:
    """The medians of the seconds from the scheduled time of a run to its end, with 15 entries and with nothing to do.

    The peer is the same flow called in a running process; the limit is the time that Prefect alone takes.
    """
    with tempfile.TemporaryDirectory() as folder, _start_machine(Path(folder)) as config:
        scheduled = [_time_run("ingest/hourly") for _ in range(repeats)]
        idle = [_time_run("notify/pending") for _ in range(repeats)]
        called = [_time_call(config) for _ in range(repeats + 1)][1:]  # the first imports
    ours, idle_seconds, peer = (statistics.median(seconds_of_runs) for seconds_of_runs in (scheduled, idle, called))
    return [
        {
            "name": f"scheduled run of {ENTRIES} entries, from its time to its end",
            "unit": "s",
            "ours": ours,
            "peer": peer,
            "peer_name": "called in a running process",
            "limit": START + ENTRIES * TASK,
            "limit_name": "a process of Prefect and empty tasks",
        },
        {
            "name": "scheduled run of nothing, from its time to its end",
            "unit": "s",
            "ours": idle_seconds,
            "peer": None,
            "peer_name": "",
            "limit": START,
            "limit_name": "a process of Prefect",
        },
    ]


@contextmanager
def _start_machine(folder: Path) -> Iterator[str]:
    """Run `gridtide up` with ENTRIES synthetic entries; gives the path of their configuration."""
    apis = [
        {"name": f"e{n}", "source": "synthetic", "output_folder": f"e{n}", "schedule": "hourly"}
        | {"params": {"variables": ["demand"]}}
        for n in range(ENTRIES)
    ]
    config = folder / "api_config.json"
    config.write_text(
        json.dumps({"lake": f"{folder}/lake", "schedules": {"hourly": {"cron": "12 3 1 1 *"}}, "apis": apis})
    )
    settings = {PREFECT_HOME: folder / "home", PREFECT_SERVER_API_PORT: 0}
    environment = {**os.environ, "PREFECT_HOME": str(folder / "home"), "PREFECT_SERVER_API_PORT": "0"}
    command = [sys.executable, "-m", "deployments.cli"]
    subprocess.run([*command, "up", "--config", str(config)], env=environment, check=True, stdout=subprocess.DEVNULL)
    try:
        with (
            temporary_settings(settings, restore_defaults={PREFECT_API_URL}),
            temporary_settings({PREFECT_API_URL: ensure_server()}),
        ):
            yield str(config)
    finally:
        subprocess.run([*command, "down"], env=environment, check=True, stdout=subprocess.DEVNULL)


def _time_run(deployment: str) -> float:
    """The seconds from the scheduled time of a run of `deployment` to its end; the run is created before that time."""
    with get_client(sync_client=True) as client:
        due = datetime.now(UTC) + AHEAD
        run: Any = client.create_flow_run_from_deployment(
            client.read_deployment_by_name(deployment).id, state=Scheduled(scheduled_time=due)
        )
        while run.state is None or not run.state.is_final():
            time.sleep(0.2)
            run = client.read_flow_run(run.id)
    if not run.state.is_completed():
        raise RuntimeError(f"{deployment}: {run.state}")
    return float(run.end_time.timestamp() - due.timestamp())


def _time_call(config: str) -> float:
    started = time.perf_counter()
    asyncio.run(_run_flow(config))
    return time.perf_counter() - started


async def _run_flow(config: str) -> None:
    await ingest(config)
