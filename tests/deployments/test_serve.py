"""Serving every schedule of the configuration from one process."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound

from deployments.serving import deployments
from gridtide import config

ROOT = Path(__file__).resolve().parents[2]
HOURLY = {"cron": "12 * * * *", "description": "after the hour"}
DAILY = {"cron": "40 13 * * *", "timezone": "America/New_York"}


def api(name: str, schedule: str) -> dict[str, Any]:
    """A synthetic entry."""
    params = {"variables": ["demand"]}
    return {"name": name, "source": "synthetic", "output_folder": name, "params": params, "schedule": schedule}


CONFIG = {
    "schedules": {"hourly": HOURLY, "daily": DAILY, "unused": HOURLY},
    "apis": [api("a", "hourly"), api("b", "daily"), api("c", "hourly")],
}


async def test_each_schedule_is_a_deployment_of_its_entries() -> None:
    """It has the cron and zone of the configuration and asks for the entries that name it, no others."""
    made = await deployments(config.parse(CONFIG), "/etc/api_config.json", "/lake", sandbox=False)
    ingests = {deployment.name: deployment for deployment in made if deployment.flow_name == "ingest"}
    assert list(ingests) == ["hourly", "daily"]
    for name, entries, zone in (("hourly", ["a", "c"], "UTC"), ("daily", ["b"], "America/New_York")):
        (schedule,) = ingests[name].schedules or ()
        assert isinstance(schedule.schedule, CronSchedule)
        assert schedule.schedule.cron == CONFIG["schedules"][name]["cron"]  # type: ignore[index]
        assert schedule.schedule.timezone == zone
        assert ingests[name].parameters["select"] == entries
        assert ingests[name].parameters["config"] == "/etc/api_config.json"


async def test_the_form_explains_every_parameter() -> None:
    """What the UI asks for comes with its type, its default and a sentence."""
    made = await deployments(config.parse(CONFIG), "api_config.json", None, sandbox=False)
    forms = {deployment.flow_name: deployment._parameter_openapi_schema.model_dump() for deployment in made}
    for flow in ("ingest", "backfill"):
        assert all(field["description"] for field in forms[flow]["properties"].values())
    assert forms["backfill"]["properties"]["start"]["format"] == "date-time"


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_run_starts_from_the_ui(prefect_server: str, prefect_home: Path, tmp_path: Path) -> None:
    """One process serves the deployments from any folder; a run that the server asks for is done."""
    (tmp_path / "api_config.json").write_text(json.dumps(CONFIG))
    environment = {"PREFECT_API_URL": prefect_server, "PREFECT_HOME": str(prefect_home), "PYTHONPATH": str(ROOT)}
    with (tmp_path / "serve.log").open("wb") as log:
        serving = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "deployments.cli", "serve"),
            cwd=tmp_path,
            env=os.environ | environment,
            stdout=log,
            stderr=log,
        )
    try:
        async with get_client() as client:
            await until_served(client, serving)
            deployment = await client.read_deployment_by_name("ingest/hourly")
            run = await client.create_flow_run_from_deployment(deployment.id)
            while run.state is None or not run.state.is_final():
                await asyncio.sleep(1)
                run = await client.read_flow_run(run.id)
        assert run.state.is_completed(), (tmp_path / "serve.log").read_text()
        assert {path.parent.name for path in (tmp_path / "lake").rglob("*.parquet")} == {"a", "c"}
    finally:
        serving.send_signal(signal.SIGINT)
        await serving.wait()


async def until_served(client: PrefectClient, serving: asyncio.subprocess.Process) -> None:
    """Wait until the last deployment is there."""
    while serving.returncode is None:
        try:
            await client.read_deployment_by_name("backfill/by-hand")
            return
        except ObjectNotFound:
            await asyncio.sleep(0.5)
    raise AssertionError(f"it ended with code {serving.returncode}")
