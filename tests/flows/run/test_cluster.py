"""Backfill, compaction and preparation on a Dask cluster of real processes."""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.util import find_spec
from itertools import product
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from msgspec.structs import replace

from flows.backfill import backfill
from flows.compact import compact
from flows.prepare_training import prepare_training
from flows.replay import replay
from flows.run.cluster import OWN_CLUSTER, connect_workers, open_workers
from flows.run.filling import cut_units
from gridtide import curated
from gridtide.config.loading import parse
from gridtide.coverage.plan import Plan
from gridtide.entries.entry import TaskRetries
from gridtide.errors import ConfigurationError, GridtideError
from gridtide.lake import Lake
from gridtide.observations.table import Row
from gridtide.periods import Period
from tasks.remote import RemoteCall
from tests.support import grids
from tests.support.lakes import HOUR, entry, put
from tests.support.upstreams.eia_upstream import JANUARY, StartUpstream

pytestmark = [
    pytest.mark.skipif(find_spec("distributed") is None, reason="gridtide[dask] is not installed"),
    pytest.mark.usefixtures("prefect_server"),
]

HOURS = 4 * 1440
END = JANUARY + timedelta(hours=HOURS)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of two workers, which have the credentials; one that is killed is started again."""
    from distributed import LocalCluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EIA_API_KEY", "s3cret-key")
        with LocalCluster(n_workers=2, **OWN_CLUSTER) as cluster:
            yield cluster


def config(entry: Any, lake: Path) -> dict[str, Any]:
    """A configuration of one entry, in chunks of ten days."""
    keys = ("name", "source", "url", "output_folder", "auth")
    api = {key: msgspec.to_builtins(getattr(entry, key)) for key in keys}
    return {"lake": str(lake), "apis": [{**api, "rate_limit": None, "chunk": "P10D"}]}


async def values(asked: dict[str, Any]) -> list[float]:
    """The values that a reader gets."""
    table = await curated.read(Lake.open(asked["lake"]), parse(asked).apis, JANUARY, END)
    column: list[float] = table["value"].to_pylist()
    return column


@pytest.mark.slow
async def test_a_killed_worker_costs_nothing(
    eia_upstream: StartUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Any
) -> None:
    """If one of two workers is killed while it collects, the lake still has every hour once."""
    from distributed import Client

    monkeypatch.setenv("EIA_API_KEY", "s3cret-key")
    upstream, entry = await eia_upstream(HOURS)
    asked = config(entry, tmp_path)
    halfway = asyncio.Event()

    def note(ordinal: int, request: web.Request) -> None:
        if ordinal == 8:
            halfway.set()

    upstream.fault = note
    with Client(cluster) as client:
        client.wait_for_workers(2)
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
async def test_a_cluster_of_this_machine(
    eia_upstream: StartUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`local` starts processes of its own, and an error in one of them is raised here."""
    monkeypatch.setenv("EIA_API_KEY", "s3cret-key")
    _, entry = await eia_upstream(HOURS)
    asked = config(entry, tmp_path)
    report = await backfill(JANUARY, JANUARY + timedelta(days=30), asked, cluster="local")
    assert report["summary"]["rows"] == 720
    assert (await values(asked))[:3] == [0, 1, 2]


async def struck(cluster: Any, run: Any, folder: Path, begun: str) -> Any:
    """The result of `run` with the address of `cluster`, one of whose two workers is killed once `folder` has a file
    that matches `begun`."""
    from distributed import Client

    with Client(cluster) as client:
        client.wait_for_workers(2)
        pids = client.run(os.getpid)
        running = asyncio.create_task(run(cluster.scheduler_address))
        while not running.done():
            busy = [worker for worker, keys in client.processing().items() if keys]
            if busy and await asyncio.to_thread(lambda: any(folder.glob(begun))):
                os.kill(pids[busy[0]], signal.SIGKILL)
                return await running
            await asyncio.sleep(0.01)
    raise AssertionError(f"it ended before it could be struck: {await running}")


async def contents(lake: Lake, folder: str, name: str) -> dict[str, bytes]:
    """The contents of all files of `folder` whose paths end with `name`."""
    return {
        one.path: await lake.store.read(one.path)
        for one in await lake.store.list_objects(folder)
        if one.path.endswith(name)
    }


@pytest.mark.slow
async def test_a_killed_worker_changes_no_month(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Any) -> None:
    """If one of two workers is killed, every compacted month is identical to that of one process."""
    monkeypatch.setattr(curated, "plan_shares", partial(curated.plan_shares, share_bytes=1))
    one, two = Lake.open(str(tmp_path / "one")), Lake.open(str(tmp_path / "two"))
    apis = [entry(name) for name in ("a", "b")]
    for of in apis:
        for first in range(0, 24 * 30 * 12, 240):
            begin = JANUARY + first * HOUR
            rows = [Row(begin + n * HOUR, begin + (n + 1) * HOUR, "ISNE", "demand", "MWh", n) for n in range(240)]
            await put(one, of, 10_000, rows, Period(begin, begin + 240 * HOUR))
        for path, body in (await contents(one, of.name, ".parquet")).items():
            await two.store.put(path, body)
    keys = ("name", "url", "output_folder", "format")
    asked: dict[str, Any] = {"apis": [{key: getattr(of, key) for key in keys} for of in apis]}
    alone = await compact(asked, lake=one.uri)
    begun = "processed/*/*/2024/2024-0*.parquet"
    together = await struck(cluster, lambda at: compact(asked, lake=two.uri, cluster=at), tmp_path / "two", begun)
    assert [(row["files"], row["rows"], row["error"]) for row in together["results"]] == [(36, 8640, None)] * 2
    assert alone["summary"]["rows"] == together["summary"]["rows"]
    assert await contents(two, "processed", ".parquet") == await contents(one, "processed", ".parquet")
    assert (await compact(asked, lake=two.uri))["summary"]["bytes"] == 0


@pytest.mark.slow
async def test_a_killed_worker_changes_no_byte_of_a_training_set(tmp_path: Path, cluster: Any) -> None:
    """If one of two workers is killed, the training set and its manifest are identical to those of one process."""
    kinds = {name: kind for name, kind in grids.every_kind(60).items() if name == "demand"}
    source, rule, rows = kinds["demand"]
    names = [f"N{number}" for number in range(12)]
    kinds["demand"] = (source, rule, [row._replace(location=name) for name in names for row in rows])
    lake = Lake.open(str(tmp_path))
    await grids.fill(lake, kinds)
    places = [{"name": n, "targets": [f"eia/{n}/demand"], "inputs": [f"eia/{n}/*"]} for n in names]
    spec = {"name": "many", "locations": places, "seq_len": 24, "horizon": 12, "pictures": False}
    settings = msgspec.json.decode(msgspec.json.encode(grids.configuration(kinds)))
    report = await prepare_training(spec, settings, str(tmp_path))
    alone = await contents(lake, "features", "")
    begun = "features/many/parts/*/*.base"
    again = await struck(cluster, lambda at: prepare_training(spec, settings, str(tmp_path), at), tmp_path, begun)
    assert again == report
    assert await contents(lake, "features", "") == alone


async def fatal() -> None:
    """End the process."""
    os._exit(1)


@pytest.mark.slow
async def test_what_kills_worker_after_worker_is_told() -> None:
    """A call that kills every worker is an error that names the call, not a crash of the run."""
    with (
        connect_workers("local", TaskRetries()) as there,
        pytest.raises(GridtideError, match="too much: the workers that ran it died"),
    ):
        await there.run("fatal", RemoteCall("too much", fatal))


@pytest.mark.slow
async def test_processes_collect_what_this_process_collects(
    eia_upstream: StartUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With `processes`, the lake has the rows of a run in one process, and a replay finds them unchanged; if one
    process is killed, what it worked on is done anew, the log names it, and every hour is there once."""
    monkeypatch.setenv("EIA_API_KEY", "s3cret-key")
    upstream, entry = await eia_upstream(HOURS)
    one, two = config(entry, tmp_path / "one"), config(entry, tmp_path / "two") | {"processes": 2}
    alone = await backfill(JANUARY, END, one)
    before = upstream.asked

    def kill(ordinal: int, request: web.Request) -> None:
        if ordinal == before + 12:
            children = multiprocessing.active_children()  # also the workers of the cluster, which are spawned
            os.kill(min(child.pid for child in children if isinstance(child, ForkServerProcess)), signal.SIGKILL)

    upstream.fault = kill
    together = await backfill(JANUARY, END, two)
    assert together["pipeline_status"] == "success"
    for key in ("chunks", "successful_chunks", "failed_chunks"):
        assert together["statistics"][key] == alone["statistics"][key]
    assert await values(two) == await values(one) == list(range(HOURS))
    assert "A process died; what it worked on was done anew: demand 20" in caplog.text
    assert (await replay(two))["summary"] | {"seconds": 0} == (await replay(one))["summary"] | {"seconds": 0}


@pytest.mark.slow
async def test_what_ends_every_process_is_told() -> None:
    """A call that ends each process of this machine is an error that names the call; calls beside it are completed."""
    with open_workers(None, 2, TaskRetries()) as workers:
        fatal_call = asyncio.create_task(workers.run("fatal", RemoteCall("too much", fatal)))
        with pytest.raises(GridtideError, match="too much: the workers that ran it died"):
            await fatal_call
        assert await workers.run("pid", RemoteCall("pid", read_pid)) != os.getpid()


async def read_pid() -> int:
    """The number of the process."""
    return os.getpid()


def test_units_have_each_chunk_once() -> None:
    """Whatever the numbers of chunks and workers, the units have each chunk once, in the order of its entry; no
    unit has chunks of two entries, and there is a unit for each worker if there are as many chunks."""
    entries = [replace(entry(name), concurrency=5) for name in ("a", "b")]
    for lengths, workers in product([(0, 0), (1, 0), (3, 40), (1000, 7), (64, 64)], (1, 2, 64)):
        plans = [
            Plan(of, [(of, Period(JANUARY + n * HOUR, JANUARY + (n + 1) * HOUR)) for n in range(length)])
            for of, length in zip(entries, lengths, strict=True)
        ]
        units = cut_units(plans, workers)
        assert all(len({chunk_entry.name for chunk_entry, _ in unit}) == 1 for unit in units)
        for plan in plans:
            collected = [period for unit in units for of, period in unit if of.name == plan.entry.name]
            assert collected == [period for _, period in plan.chunks]
        assert len(units) >= min(sum(lengths), workers)
        assert all(of.concurrency * workers >= 5 for unit in units for of, _ in unit)


async def test_no_such_scheduler(eia_upstream: StartUpstream, tmp_path: Path) -> None:
    """The error names the address and the fix, and no request was sent."""
    upstream, entry = await eia_upstream(HOURS)
    with pytest.raises(ConfigurationError, match="there is no Dask scheduler at nowhere"):
        await backfill(datetime(2024, 1, 1, tzinfo=UTC), END, config(entry, tmp_path), cluster="nowhere")
    assert upstream.asked == 0
