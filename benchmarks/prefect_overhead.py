"""Measures the cost of Prefect: 1,000 one-page entries in one flow run, in plain asyncio, and as empty tasks."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging.handlers import PrefectConsoleHandler

from benchmarks.ingest import Row
from benchmarks.processes import PROGRAMS, serving
from flows.ingest import ingest
from flows.run.local_flow import local_flow
from flows.run.local_server import ensure_server
from gridtide.collect.collection import collect, find_scheduled_period
from gridtide.config.loading import load
from gridtide.http.client import Http
from gridtide.lake import Lake
from tasks.collect import SLOTS

ENTRIES = 1000


def measure(entries: int = ENTRIES, repeats: int = 3) -> list[Row]:
    """The milliseconds and CPU milliseconds per entry, as medians of runs in turn, with a running server.

    The limit is the cost of the same work in plain asyncio plus that of as many empty Prefect tasks. CPU time is
    that of this process, without the server and the upstream.
    """
    ensure_server()
    ways: dict[str, Callable[[str, str], Awaitable[Any]]] = {
        "plain": _run_plainly,
        "empty": _run_empty,
        "flow": _run_flow,
    }
    spent_by_way: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    with _silence_logs(), serving(sys.executable, str(PROGRAMS / "page_server.py")) as url:
        for round_ in range(repeats + 1):
            for way, run in ways.items():
                spent = _time_collection(run, _write_configuration(url, entries))
                if round_:  # the first warms up
                    spent_by_way[way].append(spent)
    wall, cpu = (
        {way: 1000 / entries * statistics.median(spent[i] for spent in spents) for way, spents in spent_by_way.items()}
        for i in (0, 1)
    )
    return [
        _build_row(f"{entries:,} one-page entries in one flow run, {name}", per_entry)
        for name, per_entry in (("wall", wall), ("CPU", cpu))
    ]


@contextmanager
def _silence_logs() -> Iterator[None]:
    """Send the log lines of the runs only to the server, not to the terminal."""
    consoles = [per_entry for per_entry in logging.getLogger().handlers if isinstance(per_entry, PrefectConsoleHandler)]
    for console in consoles:
        console.setLevel(logging.ERROR)
    yield
    for console in consoles:
        console.setLevel(logging.NOTSET)


def _build_row(name: str, per_entry: dict[str, float]) -> Row:
    return {
        "name": name,
        "unit": "ms/entry",
        "ours": per_entry["flow"],
        "peer": per_entry["plain"],
        "peer_name": "plain asyncio",
        "limit": per_entry["plain"] + per_entry["empty"],
        "limit_name": "plain asyncio + empty tasks",
    }


def _write_configuration(url: str, entries: int) -> str:
    keys = {"time": "time", "value": "mw", "unit": "MW", "interval": "PT1H"}
    apis = [
        {"name": f"e{n:04}", "url": f"{url}/{n}", "output_folder": f"e{n:04}", "file_prefix": "e", **keys}
        for n in range(entries)
    ]
    return json.dumps({"apis": apis})


def _time_collection(run: Callable[[str, str], Awaitable[Any]], configuration: str) -> tuple[float, float]:
    """The wall and CPU seconds of `run` with an empty lake."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "api_config.json")
        path.write_text(configuration)
        before, cpu = time.perf_counter(), sum(os.times()[:2])
        asyncio.run(_wait_for(run(str(path), f"{folder}/lake")))
        return time.perf_counter() - before, sum(os.times()[:2]) - cpu


async def _wait_for(run: Awaitable[Any]) -> None:
    await run


async def _run_flow(config: str, lake: str) -> None:
    await ingest(config=config, lake=lake)


async def _run_plainly(config: str, lake: str) -> None:
    slots, store, stamp = asyncio.Semaphore(SLOTS), Lake.open(lake), datetime.now(UTC)
    async with Http({}) as http:

        async def collect_entry(entry: Any) -> None:
            async with slots:
                await collect(entry, lake=store, http=http, stamp=stamp, period=find_scheduled_period(entry, stamp))

        await asyncio.gather(*(collect_entry(entry) for entry in load(config).apis))


@task(cache_policy=NO_CACHE, persist_result=False)
async def _do_nothing() -> None:
    pass


@local_flow(name="empty tasks")
async def _run_empty_tasks(number: int) -> None:
    """Run `number` tasks that do nothing."""
    await asyncio.gather(*(_do_nothing(return_state=True) for _ in range(number)))


async def _run_empty(config: str, lake: str) -> None:
    await _run_empty_tasks(len(load(config).apis))
