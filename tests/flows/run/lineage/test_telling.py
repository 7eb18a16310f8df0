"""What runs tell of what they wrote: assets on the Prefect server, and OpenLineage events at a receiver."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from prefect.assets import Asset
from prefect.client.orchestration import get_client
from prefect.events import Event
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter

from flows.ingest import ingest
from flows.run.lineage.datasets import RunDataset, build_run_events, find_written, group_files, name_asset
from flows.run.report import RunError
from tests.support.processes.served import synthetic
from tests.support.upstreams import upstream
from tests.support.upstreams.http_servers import serving

START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
RUN = "11111111-2222-3333-4444-555555555555"
FILE = "eia/demand_20260101_000000.parquet"


@asynccontextmanager
async def receiver(status: int = 201) -> AsyncIterator[tuple[str, list[tuple[str, str | None, dict[str, Any]]]]]:
    """The URL of a receiver that answers with `status`, and what arrived: path, authorization, event."""
    arrived: list[tuple[str, str | None, dict[str, Any]]] = []

    async def answer(request: web.Request) -> web.Response:
        arrived.append((request.path, request.headers.get("Authorization"), await request.json()))
        return web.Response(status=status)

    async with serving(answer) as url:
        yield url, arrived


def simulated(lake: Path) -> dict[str, Any]:
    """A configuration with one entry that needs no upstream."""
    schedules = {"hourly": {"cron": "12 * * * *"}}
    return {"lake": str(lake), "schedules": schedules, "apis": [synthetic("grid", "hourly")]}


async def materialized(key: str) -> list[Event]:
    """The events that say that the asset `key` was materialized, once there is one."""
    names, about = EventNameFilter(name=["prefect.asset.materialization.succeeded"]), EventResourceFilter(id=[key])
    async with get_client() as client:
        for _ in range(100):
            page = await client.read_events(EventFilter(event=names, resource=about), limit=10)
            if page.events:
                return page.events
            await asyncio.sleep(0.2)
    return []


@pytest.mark.usefixtures("prefect_server")
async def test_a_run_tells_what_it_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is an asset event for the dataset it wrote, and START and COMPLETE at the receiver, with its key."""
    async with receiver() as (url, arrived):
        monkeypatch.setenv("OPENLINEAGE_URL", url)
        monkeypatch.setenv("OPENLINEAGE_API_KEY", "s3cret")
        report = await ingest(simulated(tmp_path / "my lake"))
    (path,) = report["results"][0]["files"]
    dataset = f"{path.rpartition('/')[0]}/grid"
    (start, complete) = (event for _, _, event in arrived)
    assert {(place, authorization) for place, authorization, _ in arrived} == {("/api/v1/lineage", "Bearer s3cret")}
    assert (start["eventType"], complete["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == complete["run"]["runId"]
    assert complete["job"] == {"namespace": "gridtide", "name": "ingest"}
    assert complete["outputs"] == [{"namespace": (tmp_path / "my lake").as_uri(), "name": dataset}]
    (event,) = await materialized(f"file://{tmp_path}/my_lake/{dataset}")
    assert event.payload["last"] == path


@pytest.mark.usefixtures("prefect_server")
async def test_a_failed_run_tells_what_it_wrote_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of which an entry failed ends with FAIL, the reason, and the dataset of the other entry."""
    async with receiver() as (url, arrived):
        monkeypatch.setenv("OPENLINEAGE_URL", url)
        async with upstream.running(bad=[400]) as up:
            with pytest.raises(RunError):
                await ingest(up.config(tmp_path, up.api("bad"), up.api("good")))
    event = arrived[-1][2]
    assert event["eventType"] == "FAIL"
    assert "1 of 2 entries failed: bad" in event["run"]["facets"]["errorMessage"]["message"]
    assert len(event["outputs"]) == 1


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("kind", ["away", "refusing"])
async def test_a_receiver_that_is_away_is_one_warning(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The run ends as it would without a receiver, and one warning names it without its password."""
    async with receiver(503) as (url, _):
        address = url.rstrip("/") if kind == "refusing" else "http://127.0.0.1:9"
        monkeypatch.setenv("OPENLINEAGE_URL", address.replace("//", "//user:s3cret@"))
        with caplog.at_level(logging.WARNING):
            report = await ingest(simulated(tmp_path))
    assert report["pipeline_status"] == "success"
    warnings = [record.getMessage() for record in caplog.records if "lineage" in record.getMessage()]
    assert len(warnings) == 1
    assert address in warnings[0]
    assert "s3cret" not in caplog.text


def test_datasets_are_entries_and_training_sets() -> None:
    """Files are grouped by entry; a report of a training set names its folder; counts of files are no files."""
    assert group_files([FILE, "eia/demand_20260102_000000.parquet", "notes.txt"]) == [
        RunDataset("eia/demand", [FILE, "eia/demand_20260102_000000.parquet"])
    ]
    described = {"results": [{"files": 3}], "path": "features/island/sequences.safetensors", "fingerprint": "f"}
    assert [dataset.name for dataset in find_written(described)] == ["features/island"]


def test_events_keep_the_rules_of_the_specification() -> None:
    """Every event has the required fields; an asset has a key that Prefect accepts."""
    made = (RunDataset("eia/demand", [FILE]),)
    for failure in ("", "1 of 2 entries failed"):
        events = build_run_events("prepare", RUN, (START, END), "/lake", (made, made), failure)
        for event in events:
            assert event["eventType"] in {"START", "COMPLETE", "FAIL"}
            assert {"eventTime", "producer", "schemaURL", "run", "job"} <= event.keys()
            assert datetime.fromisoformat(event["eventTime"]).tzinfo is not None
            assert all({"namespace", "name"} == dataset.keys() for dataset in event["inputs"])
    Asset(key=name_asset('/srv/grid & "quoted"', RunDataset('eia demand/"x"', ["a"])))
