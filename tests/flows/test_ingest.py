"""Ingest flow runs on a real Prefect server, against real HTTP upstreams."""

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State, TaskRun
from prefect.client.schemas.sorting import FlowRunSort, TaskRunSort

from flows.ingest import ingest
from flows.run.report import RunError
from gridtide.config.loading import parse
from gridtide.database.online_store import OnlineStore
from gridtide.errors import ConfigurationError
from gridtide.lake import Lake
from gridtide.training.realtime import gather_newest_hours
from gridtide.training.serving.online import decode_context, identify_set
from gridtide.training.stored.opening import open_stored_set
from tasks.collect import PLACES, SLOTS
from tests.support.lakes import ONLINE_SETTINGS, fill_newest
from tests.support.processes.redis_servers import run_redis
from tests.support.upstreams import upstream

pytestmark = pytest.mark.usefixtures("prefect_server")


async def test_every_entry_becomes_a_file_and_a_line_of_the_report(tmp_path: Path) -> None:
    """A run without faults ends as Completed with the report of all entries, and each file has its rows."""
    async with upstream.running() as up:
        report = await ingest(config=up.config(tmp_path, up.api("one"), up.api("two")))
    assert report["pipeline_status"] == "success"
    assert report["statistics"] == {
        "total_apis": 2,
        "successful_collections": 2,
        "failed_collections": 0,
        "successful_uploads": 2,
        "failed_uploads": 0,
    }
    assert report["summary"]["rows"] == 4
    assert report["summary"]["success_rate"] == 1.0
    for row, name in zip(report["results"], ("one", "two"), strict=True):
        assert (row["name"], row["rows"], row["upload_status"], row["error"]) == (name, 2, "success", None)
        assert set(row["stages"]) == {"fetch", "parse", "write"}
        table = await Lake.open(str(tmp_path)).read_table(row["file"])
        assert table["value"].to_pylist() == [1.5, 2.5]


async def test_a_failing_entry_stops_no_other(tmp_path: Path) -> None:
    """The run ends as Failed after the other entries are done, and the error carries the report."""
    async with upstream.running(bad=[400]) as up:
        config = up.config(tmp_path, up.api("bad"), up.api("good"))
        with pytest.raises(RunError, match="1 of 2 entries failed: bad") as caught:
            await ingest(config=config)
    report = caught.value.report
    assert report["pipeline_status"] == "partial"
    assert report["statistics"]["failed_collections"] == 1
    bad, good = report["results"]
    assert "HTTP 400" in bad["error"]
    assert bad["upload_status"] == "skipped"
    assert good["rows"] == 2
    assert (tmp_path / good["file"]).exists()


async def test_what_passes_is_retried_by_the_task(tmp_path: Path) -> None:
    """An upstream that answers at the third attempt of the task succeeds; the other entry is requested once."""
    async with upstream.running(ill=[503, 503]) as up:
        report = await ingest(config=up.config(tmp_path, up.api("ill"), up.api("well")))
    assert report["pipeline_status"] == "success"
    assert up.asked == {"ill": 3, "well": 1}


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_refusal_is_not_retried(tmp_path: Path, status: int) -> None:
    """A wrong request and refused credentials are requested once."""
    async with upstream.running(refused=[status]) as up:
        with pytest.raises(RunError) as caught:
            await ingest(config=up.config(tmp_path, up.api("refused")))
    assert up.asked == {"refused": 1}
    assert caught.value.report["pipeline_status"] == "failed"


@pytest.mark.slow
async def test_a_retry_that_waits_holds_no_slot(tmp_path: Path) -> None:
    """Failing entries that wait for their next attempt hold neither a slot nor a place, even if there are more of them
    than places."""
    names = [f"ill{n}" for n in range(PLACES + 8)]
    async with upstream.running(**{name: [503] for name in names}) as up:
        config = up.config(tmp_path, *map(up.api, names), up.api("well"))
        config["task_retries"] = {"count": 1, "delay": "PT3S"}
        run = asyncio.create_task(ingest(config=config))
        await up.first["well"].wait()
        assert all(up.asked[name] < 2 for name in names)
        await run


async def count_task_runs() -> int:
    """How many task runs of the newest flow run the server has."""
    async with get_client() as client:
        (flow_run,) = await client.read_flow_runs(limit=1, sort=FlowRunSort.START_TIME_DESC)
        only_those = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run.id]))
        return len(await client.read_task_runs(flow_run_filter=only_those, limit=200))


async def test_only_so_many_tasks_have_begun(tmp_path: Path) -> None:
    """While no upstream answers, as many task runs have begun as there are places; all others begin as these end."""
    requests, is_open = 0, asyncio.Event()

    async def hold(request: web.Request) -> web.Response:
        nonlocal requests
        requests += 1
        await is_open.wait()
        return web.json_response(upstream.ROWS)

    app = web.Application()
    app.router.add_get("/{path:.*}", hold)
    async with TestServer(app) as server:
        base = upstream.ScriptedUpstream(url=str(server.make_url("/")))
        config = base.config(tmp_path, *(base.api(f"e{number}") for number in range(PLACES + 16)))
        run = asyncio.create_task(ingest(config=config))
        try:
            for _ in range(600):
                if requests == SLOTS and await count_task_runs() >= PLACES:
                    break
                await asyncio.sleep(0.05)
            assert (requests, await count_task_runs()) == (SLOTS, PLACES)
        finally:
            is_open.set()
        report = await run
    assert report["statistics"]["successful_collections"] == PLACES + 16


async def test_a_fresh_result_is_not_asked_for_again(tmp_path: Path) -> None:
    """Within `fresh`, a second run reuses the file of the first; with `refresh`, or if the file is lost, it sends a
    request."""
    async with upstream.running() as up:
        config = up.config(tmp_path, up.api("one", fresh="PT1H"))
        first = (await ingest(config=config))["results"][0]
        again = (await ingest(config=config))["results"][0]
        assert up.asked["one"] == 1
        assert (first["from_cache"], again["from_cache"]) == (False, True)
        assert again["file"] == first["file"]

        (tmp_path / first["file"]).unlink()
        lost = (await ingest(config=config))["results"][0]
        assert up.asked["one"] == 2
        assert lost["from_cache"] is False
        assert (tmp_path / lost["file"]).exists()

        assert (await ingest(config=config, refresh=True))["results"][0]["from_cache"] is False
        assert up.asked["one"] == 3


async def test_nothing_is_cached_unless_the_entry_says_so(tmp_path: Path, prefect_home: Path) -> None:
    """Without `fresh`, every run sends requests and stores no result."""
    before = set((prefect_home / "storage").glob("collect-*"))
    async with upstream.running() as up:
        for _ in range(2):
            await ingest(config=up.config(tmp_path, up.api("one")))
    assert up.asked["one"] == 2
    assert set((prefect_home / "storage").glob("collect-*")) == before


async def test_a_retried_flow_writes_the_same_names(tmp_path: Path) -> None:
    """A second attempt of a flow run uses the stamp of the first, and finds its files instead of duplicating them."""
    async with upstream.running(flaky=[400]) as up:
        config = up.config(tmp_path, up.api("flaky"), up.api("sound"))
        report = await ingest.with_options(retries=1, retry_delay_seconds=1)(config=config)
    assert report["pipeline_status"] == "success"
    assert up.asked == {"flaky": 2, "sound": 2}
    store = Lake.open(str(tmp_path))
    files = [file for name in ("flaky", "sound") for file in await store.list_files(name, name)]
    assert [file.path for file in files] == [row["file"] for row in report["results"]]
    assert len({file.stamp for file in files}) == 1


@pytest.mark.parametrize(
    ("config", "select", "says"),
    [
        ("nowhere.json", None, "nowhere.json"),
        ({"apis": [{"name": "x", "url": "ftp://x", "output_folder": "../x"}]}, None, "2 problems"),
        ({"apis": [{"name": "x", "url": "http://x", "output_folder": "x"}]}, ["y"], "no such entry"),
    ],
)
async def test_a_bad_configuration_is_refused_before_anything_runs(config: Any, select: Any, says: str) -> None:
    """An invalid configuration raises its problems, and no flow run is created."""
    async with get_client() as client:
        before = await client.count_flow_runs()
        with pytest.raises(ConfigurationError, match=says):
            await ingest(config=config, select=select)
        assert await client.count_flow_runs() == before


async def test_runs_are_named_and_tagged(tmp_path: Path) -> None:
    """The flow run is named by its entries; a task run has the name of its entry and the tag of its source."""
    async with upstream.running() as up:
        config = up.config(tmp_path, up.api("one"), up.api("two"))
        state: State[Any] = await ingest(config=config, select=["two"], return_state=True)
    assert state.is_completed()
    run_id = state.state_details.flow_run_id
    assert run_id is not None
    async with get_client() as client:
        assert (await client.read_flow_run(run_id)).name == "ingest two"
        flow_run = FlowRunFilter(id=FlowRunFilterId(any_=[run_id]))
        found: list[TaskRun] = []
        while not (found and found[0].state_name == "Completed"):  # recorded some time after it ended
            await asyncio.sleep(0.1)
            found = await client.read_task_runs(flow_run_filter=flow_run, sort=TaskRunSort.ID_DESC, limit=10)
    assert [(run.name, run.tags) for run in found] == [("two", ["generic"])]


def test_it_is_called_from_python_twice(tmp_path: Path) -> None:
    """`asyncio.run(ingest(…))` works repeatedly in a plain script."""

    async def both() -> list[dict[str, Any]]:
        async with upstream.running() as up:
            return [await ingest(config=up.config(tmp_path, up.api("one"))) for _ in range(2)]

    for _ in range(2):
        assert [report["pipeline_status"] for report in asyncio.run(both())] == ["success", "success"]


async def test_a_run_reads_its_configuration_once(tmp_path: Path) -> None:
    """A run uses the configuration of its check until its report; later changes affect the next run."""
    opened: list[str] = []

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and str(arguments[0]).endswith("once.json"):
            opened.append(str(arguments[0]))

    async with upstream.running() as up:
        path = tmp_path / "once.json"
        path.write_text(json.dumps(up.config(tmp_path / "lake", up.api("one"))))
        sys.addaudithook(count)  # stays for the process, and counts this file alone
        await ingest(config=str(path))
    assert len(opened) == 1


def features_of(url: str) -> bytes | None:
    """What the Redis server at `url` has of the set `newest`."""
    return OnlineStore(url).get("gridtide:features:newest")


async def test_newest_features_go_online_after_new_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A run that brings a new file stores the newest hours of the sets, as the lake has them; one without new files
    stores only what the server lacks; a set that is not there, and a server that is away, are errors in the log of a
    run that succeeds."""
    redis = pytest.importorskip("redis", reason="gridtide[online] is not installed")
    lake = await fill_newest(tmp_path)
    opened = await open_stored_set("features/newest", lake)
    settings = ONLINE_SETTINGS | {"apis": [{**ONLINE_SETTINGS["apis"][0], "fresh": "PT1H"}]}
    parameters: dict[str, Any] = {"config": settings, "lake": str(tmp_path)}
    with run_redis(tmp_path, "planted-2a7") as url:
        monkeypatch.setenv("FEATURES_URL", url)
        report = await ingest(**parameters)
        assert (report["pipeline_status"], report["results"][0]["upload_status"]) == ("success", "success")
        identity = identify_set(opened.manifest, opened.mapped)
        stored = features_of(url)
        assert stored is not None
        context, _ = decode_context(stored, identity, "newest")
        hours = datetime.fromtimestamp(int(context.time[-1]) + 3600, UTC)
        computed = await gather_newest_hours(opened.manifest, opened.mapped, parse(ONLINE_SETTINGS), lake, 168, hours)
        assert context.values.tobytes() == computed.values.tobytes()
        assert context.mask.tobytes() == computed.mask.tobytes()
        assert "the features of missing were not stored online" in caplog.text

        await ingest(**parameters)
        assert features_of(url) == stored  # the result is still fresh, so there is no new file
        assert redis.Redis.from_url(url).flushall()
        await ingest(**parameters)
        assert features_of(url) is not None
    caplog.clear()
    report = await ingest(**parameters)
    assert report["pipeline_status"] == "success"
    assert "the features of newest were not stored online: redis://127.0.0.1/0: cannot be used" in caplog.text
    assert "planted-2a7" not in caplog.text
