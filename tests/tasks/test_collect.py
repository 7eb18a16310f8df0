"""The retries of the task of a collection."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from flows.ingest import ingest
from flows.monitor import monitor
from flows.run.report import RunError
from tests.support.upstreams import upstream

pytestmark = pytest.mark.usefixtures("prefect_server")

EMPTY_BUCKET = (
    '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix></Prefix>'
    "<KeyCount>0</KeyCount><MaxKeys>1</MaxKeys><IsTruncated>false</IsTruncated></ListBucketResult>"
)


async def test_a_quota_is_not_waited_for_beyond_the_deadline(tmp_path: Path) -> None:
    """If the requested wait is longer than the deadline, the entry fails at once and is not requested again."""
    asked = []

    async def refuse(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"error": "slow down"}, status=429, headers={"Retry-After": "3600"})

    app = web.Application()
    app.router.add_get("/grid", refuse)
    async with TestServer(app) as server:
        api = {"name": "grid", "url": str(server.make_url("/grid")), "output_folder": "grid", "deadline": "PT1M"}
        with pytest.raises(RunError) as caught:
            await ingest(config={"lake": str(tmp_path), "apis": [api]})
    assert asked == ["/grid"]
    assert "slow down" in caught.value.report["results"][0]["error"]


async def test_retries_end(tmp_path: Path) -> None:
    """An upstream that keeps failing is requested once and then `task_retries` times."""
    async with upstream.running(gone=[503] * 9) as up:
        with pytest.raises(RunError):
            await ingest(config=up.config(tmp_path, up.api("gone")))
    assert up.asked == {"gone": 3}


async def test_missing_credentials_fail_their_entry_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable, no request is sent, and the other entry is collected."""
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    async with upstream.running() as up:
        keyed = up.api("keyed", auth={"kind": "api_key", "env": "NO_SUCH_KEY"})
        with pytest.raises(RunError) as caught:
            await ingest(config=up.config(tmp_path, keyed, up.api("open")))
    assert up.asked == {"open": 1}
    assert "NO_SUCH_KEY is not set" in caught.value.report["results"][0]["error"]


async def test_a_lake_that_cannot_be_written_is_a_failed_upload(tmp_path: Path) -> None:
    """If a collection cannot be stored, the report counts a failed upload, not a failed collection."""
    (tmp_path / "taken").write_text("a file where the entry's folder should be")
    async with upstream.running(bad=[400]) as up:
        apis = up.api("taken", raw=False), up.api("bad"), up.api("good")
        with pytest.raises(RunError) as caught:
            await ingest(config=up.config(tmp_path, *apis))
    report = caught.value.report
    assert report["statistics"] == {
        "total_apis": 3,
        "successful_collections": 2,
        "failed_collections": 1,
        "successful_uploads": 1,
        "failed_uploads": 1,
    }
    assert [row["upload_status"] for row in report["results"]] == ["failed", "skipped", "success"]


async def test_a_run_with_a_wrong_clock_stores_nothing(tmp_path: Path) -> None:
    """With a clock that is 20 days ahead, ingest and monitor fail and write no file, body or record of failures."""
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        moment = format_datetime(datetime.now(UTC) - timedelta(days=20), usegmt=True)
        return web.json_response(upstream.ROWS, headers={"Date": moment})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server:
        api = {"name": "grid", "url": f"{server.make_url('/grid')}?start={{start}}&end={{end}}", "retries": 1}
        layout = {"time": "time", "value": "mw", "interval": "PT1H", "output_folder": "grid"}
        for flow in (ingest, monitor):
            with pytest.raises(RunError) as caught:
                await flow(config={"lake": str(tmp_path / "lake"), "apis": [api | layout]})
            (row,) = caught.value.report["results"]
            assert "the clock of this machine is 20 days ahead of that of 127.0.0.1" in str(row)
    assert [path for path in (tmp_path / "lake").rglob("*") if path.is_file()] == []


async def test_the_clock_of_the_store_counts_as_those_of_upstreams(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an upstream without `Date` answers is not stored while the store shows that this clock is wrong."""
    store_methods = []

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/grid":
            return web.json_response(upstream.ROWS, headers={"Date": "soon"})
        store_methods.append(request.method)
        moment = format_datetime(datetime.now(UTC) - timedelta(hours=3, seconds=30), usegmt=True)
        return web.Response(text=EMPTY_BUCKET, content_type="application/xml", headers={"Date": moment})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", str(server.make_url("/")))
        api = {"name": "grid", "url": str(server.make_url("/grid")), "output_folder": "grid", "retries": 1}
        layout = {"time": "time", "value": "mw", "interval": "PT1H"}
        with pytest.raises(RunError) as caught:
            await ingest(config={"lake": f"s3://{bucket}/lake", "task_retries": {"count": 0}, "apis": [api | layout]})
    (row,) = caught.value.report["results"]
    assert "the clock of this machine is 3 h ahead of that of 127.0.0.1" in row["error"]
    assert set(store_methods) <= {"GET", "HEAD"}
