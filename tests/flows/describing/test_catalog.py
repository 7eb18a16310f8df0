"""The flow catalog on a real Prefect server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.states import Failed, Running

from deployments.registry.deploy import POOL, register_deployments
from flows.describing.catalog import catalog
from flows.ingest import ingest
from gridtide.config.loading import parse
from gridtide.errors import StorageError
from tests.support.processes.served import synthetic

pytestmark = pytest.mark.usefixtures("prefect_server")


def config(folder: Path) -> dict[str, Any]:
    """A configuration with one entry on a schedule."""
    schedules = {"hourly": {"cron": "12 * * * *"}}
    return {"lake": str(folder / "lake"), "schedules": schedules, "apis": [synthetic("grid", "hourly")]}


async def test_the_flow_writes_the_page_with_the_state_of_each_schedule(tmp_path: Path) -> None:
    """After a collection the catalogue has its series; each schedule has its last run with its reason, and the next."""
    await register_deployments(parse(config(tmp_path)), tmp_path / "api_config.json", None, False, POOL)
    async with get_client() as client:
        deployment = await client.read_deployment_by_name("ingest/hourly")
        run = await client.create_flow_run_from_deployment(deployment.id)
        await client.set_flow_run_state(run.id, Running(), force=True)
        await client.set_flow_run_state(run.id, Failed(message="1 of 1 entries failed: grid"), force=True)
    await ingest(config(tmp_path))
    report = await catalog(config(tmp_path))
    assert report["summary"]["series"] == report["results"][0]["series"] > 0
    document = json.loads((tmp_path / "lake" / "catalog" / "catalog.json").read_text())
    schedules = {schedule["name"]: schedule for schedule in document["schedules"]}
    assert {"ingest/hourly", "catalog/hourly", "monitor/six_hourly"} <= schedules.keys()
    assert schedules["ingest/hourly"]["cron"] == "12 * * * *"
    assert schedules["ingest/hourly"]["active"]
    last = schedules["ingest/hourly"]["last"]
    assert (last["state"], last["message"]) == ("Failed", "1 of 1 entries failed: grid")
    assert schedules["monitor/six_hourly"]["last"] is None
    assert "backfill/by-hand" not in schedules
    written = [tmp_path / "lake" / "datapackage.json", *(tmp_path / "lake" / "catalog").rglob("*.*")]
    assert report["summary"]["bytes"] == sum(path.stat().st_size for path in written)


async def test_a_catalogue_that_cannot_be_written_stops_no_collection(tmp_path: Path) -> None:
    """If `catalog/` cannot be written, the run fails and names the place; collection goes on as before."""
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "catalog").write_text("a file where the folder belongs")
    with pytest.raises(StorageError, match="catalog"):
        await catalog(config(tmp_path))
    report = await ingest(config(tmp_path))
    assert report["pipeline_status"] == "success"
