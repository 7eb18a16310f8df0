"""A backfill on a Dask cluster of real processes."""

import asyncio
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from flows.backfill import backfill
from gridtide import curated
from gridtide.config import parse
from gridtide.errors import ConfigurationError
from gridtide.lake import Lake
from tests.eia_upstream import JANUARY

pytest.importorskip("prefect_dask", reason="gridtide[dask] is not installed")
pytestmark = pytest.mark.usefixtures("prefect_server")

HOURS = 4 * 1440
END = JANUARY + timedelta(hours=HOURS)


def config(entry: Any, lake: Path) -> dict[str, Any]:
    """A configuration of the one entry, in chunks of ten days."""
    api = entry.model_dump(mode="json", include={"name", "source", "url", "output_folder", "auth"})
    return {"lake": str(lake), "apis": [{**api, "rate_limit": None, "chunk": "P10D"}]}


async def values(asked: dict[str, Any]) -> list[float]:
    """What a reader gets."""
    table = await curated.read(Lake.open(asked["lake"]), parse(asked).apis, JANUARY, END)
    column: list[float] = table["value"].to_pylist()
    return column


@pytest.mark.slow
async def test_a_killed_worker_costs_nothing(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes share the chunks; one is killed while it asks, and every hour is there once all the same."""
    from distributed import Client, LocalCluster

    monkeypatch.setenv("EIA_API_KEY", "s3cret-key")
    upstream, entry = await make(HOURS)
    asked = config(entry, tmp_path)
    halfway = asyncio.Event()

    def note(ordinal: int, request: web.Request) -> None:
        if ordinal == 8:
            halfway.set()

    upstream.fault = note
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            pids = list(client.run(os.getpid).values())
        running = asyncio.create_task(backfill(JANUARY, END, asked, cluster=cluster.scheduler_address))
        await halfway.wait()
        os.kill(pids[0], signal.SIGKILL)
        report = await running
    assert report["pipeline_status"] == "success"
    assert report["statistics"]["chunks"] == 24
    assert await values(asked) == list(range(HOURS))
    again = await backfill(JANUARY, END, asked)
    assert again["statistics"]["chunks"] == 0


@pytest.mark.slow
async def test_a_cluster_of_this_machine(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`local` starts its own processes; what fails there fails by name here."""
    monkeypatch.setenv("EIA_API_KEY", "s3cret-key")
    _, entry = await make(HOURS)
    asked = config(entry, tmp_path)
    report = await backfill(JANUARY, JANUARY + timedelta(days=30), asked, cluster="local")
    assert report["summary"]["rows"] == 720
    assert (await values(asked))[:3] == [0, 1, 2]


async def test_no_such_scheduler(make: Any, tmp_path: Path) -> None:
    """The address and what to do are named, and nothing was asked."""
    upstream, entry = await make(HOURS)
    with pytest.raises(ConfigurationError, match="there is no Dask scheduler at nowhere"):
        await backfill(datetime(2024, 1, 1, tzinfo=UTC), END, config(entry, tmp_path), cluster="nowhere")
    assert upstream.asked == 0
