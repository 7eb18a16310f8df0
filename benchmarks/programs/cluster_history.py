"""Gridtide: backfill, compaction and training set of eight balancing authorities on a local Dask cluster.

Usage: base years folder processes; with 0 processes there is no cluster. Prints for each step the wall seconds, the
CPU seconds of this process and the workers together and of the busiest of them, the rows or cells, and the bytes
written. The step `tasks` runs empty task runs.
"""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.eia_entries import AUTHORITIES, FACETS, entries
from flows.backfill import backfill
from flows.compact import compact
from flows.prepare_training import prepare_training
from flows.run.cluster import connect_workers
from flows.run.local_flow import local_flow
from gridtide.entries.entry import TaskRetries
from tasks.remote import RemoteCall

START = datetime(2014, 1, 1, tzinfo=UTC)
TASKS = 30


def cpu() -> float:
    """CPU seconds of this process."""
    times = os.times()
    return times.user + times.system


async def do_nothing() -> None:
    """Do nothing, as the body of an empty task."""


@local_flow(name="nothing")
async def many(cluster: str) -> None:
    """Run `TASKS` task runs that do nothing."""
    with connect_workers(cluster, TaskRetries()) as dask_workers:
        await dask_workers.run_all("nothing", [RemoteCall(str(n), do_nothing) for n in range(TASKS)])


def written(folder: Path, pattern: str) -> int:
    """The size of the files in `folder` that match `pattern`."""
    return sum(path.stat().st_size for path in folder.glob(pattern))


@contextlib.contextmanager
def cluster_of(processes: int) -> Iterator[tuple[str | None, Callable[[], list[float]]]]:
    """Start a cluster of `processes`; gives its address, and a function for the CPU seconds of each process."""
    if not processes:
        yield None, lambda: [cpu()]
        return
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=processes, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        client.run(__import__, "tasks.remote")  # what a worker imports once is no part of a step
        yield cluster.scheduler_address, lambda: [cpu(), *client.run(cpu).values()]


def main(base: str, years: int, folder: Path, processes: int) -> dict[str, Any]:
    """Run the steps and return their figures."""
    figures: dict[str, Any] = {}
    config = {"lake": str(folder), "apis": entries(base)}
    end = START + timedelta(hours=8760 * years)
    places = [{"name": n, "targets": [f"eia/{n}/demand"], "inputs": [f"eia/{n}/*"]} for n in AUTHORITIES]
    spec = {
        "name": "all",
        "locations": places,
        "start": START.isoformat(),
        "end": end.isoformat(),
        "seq_len": 720,
        "features": {"lags": [24, 168], "rolling": [24, 168]},
        "pictures": False,
    }
    with cluster_of(processes) as (address, busy):

        def step(name: str, flow: Awaitable[Any]) -> dict[str, Any]:
            before, started = busy(), time.perf_counter()
            report: dict[str, Any] = asyncio.run(awaited(flow))
            wall, spent = time.perf_counter() - started, [now - then for now, then in zip(busy(), before, strict=True)]
            figures[name] = {"wall": wall, "cpu": sum(spent), "busiest": max(spent)}
            return report

        report = step("backfill", backfill(START, end, config, cluster=address))
        figures["backfill"] |= {
            "rows": report["summary"]["rows"],
            "bytes": sum(written(folder / n, "*") for n in FACETS),
        }
        report = step("compact", compact(config, cluster=address))
        months = written(folder, "processed/*/*/*/*.parquet")
        figures["compact"] |= {"rows": report["summary"]["rows"], "bytes": months}
        report = step("prepare", prepare_training(spec, config, cluster=address))
        shape = report["shape"]
        figures["prepare"] |= {
            "cells": shape["locations"] * shape["steps"] * shape["features"],
            "bytes": report["bytes"],
        }
        if address:
            step("tasks", many(address))
            figures["tasks"]["tasks"] = TASKS
    return figures


async def awaited(flow: Awaitable[Any]) -> Any:
    """The result of `flow`."""
    return await flow


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))))
