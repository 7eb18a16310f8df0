"""Deployments match the configuration, and nothing else changes."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.cli.deploy._models import PrefectYamlModel
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import ConcurrencyLimitStrategy
from prefect.client.schemas.responses import DeploymentResponse

from deployments.registry import catalogue
from deployments.registry.deploy import POOL, ensure_work_pool, read_registered, register_deployments
from deployments.registry.prefect_yaml import render_prefect_yaml
from gridtide import __version__
from gridtide.config.loading import load, parse
from gridtide.errors import ConfigurationError
from tests.support.processes.served import synthetic

ROOT = Path(__file__).resolve().parents[3]
CONFIG: dict[str, Any] = {
    "schedules": {
        "hourly": {"cron": "12 * * * *", "description": "after the hour"},
        "daily": {"cron": "40 13 * * *", "timezone": "America/New_York"},
    },
    "apis": [synthetic("a", "hourly"), synthetic("b", "daily"), synthetic("c", "hourly")],
}
OTHERS = [
    "backfill/by-hand",
    "compact/nightly",
    "prepare_training/by-hand",
    "evaluate/by-hand",
    "quality/morning",
    "replay/by-hand",
    "retention/weekly",
    "monitor/six_hourly",
    "notify/pending",
    "catalog/hourly",
]

pytestmark = pytest.mark.usefixtures("prefect_server")


async def deployed(data: dict[str, Any], folder: Path) -> dict[str, tuple[str, ...]]:
    """Deploy `data` from a file in `folder`; returns the action for each deployment and its changed parts."""
    changes = await register_deployments(parse(data), folder / "api_config.json", None, False, POOL)
    return {change.name: (change.action, *sorted(change.parts)) for change in changes}


async def there(name: str) -> DeploymentResponse:
    """The deployment named `name`, `flow/name`."""
    async with get_client() as client:
        return await client.read_deployment_by_name(name)


async def test_a_deployment_says_what_when_and_why(tmp_path: Path) -> None:
    """A deployment has schedule, zone, reason, entries, sources, version, and a limit beyond which runs wait."""
    await deployed(CONFIG, tmp_path)
    made = await there("ingest/daily")
    (schedule,) = made.schedules
    assert (schedule.slug, schedule.schedule.cron, schedule.schedule.timezone) == (  # type: ignore[union-attr]
        "daily",
        "40 13 * * *",
        "America/New_York",
    )
    assert made.tags == ["gridtide", "synthetic"]
    assert made.version == __version__
    assert made.global_concurrency_limit is not None
    assert made.global_concurrency_limit.limit == 1
    assert made.concurrency_options is not None
    assert made.concurrency_options.collision_strategy is ConcurrencyLimitStrategy.ENQUEUE
    assert made.entrypoint == "flows.ingest.ingest"
    assert made.parameters["select"] == ["b"]
    assert made.parameters["config"] == str(tmp_path / "api_config.json")
    assert made.job_variables == {"working_dir": str(tmp_path)}
    said = (await there("ingest/hourly")).description or ""
    assert "`12 * * * *` UTC. after the hour" in said
    assert "Entries: a, c" in said


async def test_a_second_deploy_changes_nothing(tmp_path: Path) -> None:
    """A second deploy reports every deployment as unchanged and does not update it on the server."""
    await deployed(CONFIG, tmp_path)
    before = [await there(name) for name in ("ingest/hourly", *OTHERS)]
    again = await deployed(CONFIG, tmp_path)
    assert set(again.values()) == {("unchanged",)}
    assert [await there(name) for name in ("ingest/hourly", *OTHERS)] == before


@pytest.mark.slow
async def test_a_removed_schedule_disappears(tmp_path: Path) -> None:
    """The deployment of a removed schedule is deleted; the others stay unchanged."""
    await deployed(CONFIG, tmp_path)
    rest = {**CONFIG, "apis": [api for api in CONFIG["apis"] if api["schedule"] == "hourly"]}
    again = await deployed(rest, tmp_path)
    assert again["ingest/daily"] == ("removed",)
    assert again["ingest/hourly"] == ("unchanged",)
    assert "ingest/daily" not in await deployed(rest, tmp_path)


async def test_what_is_paused_stays_paused(tmp_path: Path) -> None:
    """A paused deployment or schedule stays paused when its cron changes, and keeps its id."""
    await deployed(CONFIG, tmp_path)
    before = await there("ingest/hourly")
    async with get_client() as client:
        await client.pause_deployment(before.id)
        await client.update_deployment_schedule(before.id, before.schedules[0].id, active=False)
    later = copy.deepcopy(CONFIG)
    later["schedules"]["hourly"]["cron"] = "13 * * * *"
    again = await deployed(later, tmp_path)
    assert again["ingest/hourly"] == ("changed", "description", "schedules")
    assert again["ingest/daily"] == ("unchanged",)
    after = await there("ingest/hourly")
    (schedule,) = after.schedules
    assert (after.id, after.paused, schedule.active) == (before.id, True, False)
    assert schedule.schedule.cron == "13 * * * *"  # type: ignore[union-attr]
    async with get_client() as client:
        await client.resume_deployment(before.id)
        await client.update_deployment_schedule(before.id, schedule.id, active=True)


@pytest.mark.slow
async def test_what_was_changed_by_hand_is_mended(tmp_path: Path) -> None:
    """A deploy reverts schedules and parameters that were changed by hand."""
    from prefect.client.schemas.actions import DeploymentUpdate
    from prefect.client.schemas.schedules import CronSchedule

    await deployed(CONFIG, tmp_path)
    made = await there("ingest/hourly")
    async with get_client() as client:
        await client.create_deployment_schedules(made.id, [(CronSchedule(cron="0 0 * * *"), True)])
        await client.update_deployment(made.id, DeploymentUpdate(parameters={"select": ["b"]}, tags=made.tags))
    again = await deployed(CONFIG, tmp_path)
    assert again["ingest/hourly"] == ("changed", "parameters", "schedules")
    assert [schedule.slug for schedule in (await there("ingest/hourly")).schedules] == ["hourly"]
    assert set((await deployed(CONFIG, tmp_path)).values()) == {("unchanged",)}


async def test_a_pool_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A pool that does not exist is refused with the command that creates it, and nothing is deployed."""
    with pytest.raises(ConfigurationError, match=r"work pool ecs: does not exist.*prefect work-pool create ecs"):
        await register_deployments(parse(CONFIG), tmp_path / "api_config.json", None, False, "ecs")


def test_prefect_yaml_is_fresh() -> None:
    """deployments/prefect.yaml is the output of `gridtide deploy --yaml`, in Prefect's format."""
    text = (ROOT / "deployments" / "prefect.yaml").read_text()
    assert text == render_prefect_yaml(load(ROOT / "api_config.json"), "api_config.json", None, False)
    manifest = PrefectYamlModel.model_validate(yaml.safe_load(text))
    assert len(manifest.deployments) == len(catalogue.plan_deployments(load(ROOT / "api_config.json")))


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_prefects_own_command_deploys_the_same(prefect_server: str) -> None:
    """`prefect deploy --all` with this file gives the same deployments, except for the folder of the runs."""
    shipped = load(ROOT / "api_config.json")
    await register_deployments(shipped, ROOT / "api_config.json", None, False, POOL)
    command = [str(Path(sys.executable).with_name("prefect")), "--no-prompt", "deploy", "--all", "--prefect-file"]
    environment = os.environ | {"PREFECT_API_URL": prefect_server, "PWD": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        *command, "deployments/prefect.yaml", cwd=ROOT, env=environment, stdout=PIPE, stderr=STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    changes = await register_deployments(shipped, ROOT / "api_config.json", None, False, POOL)
    deployments = [change for change in changes if "/" in change.name]
    assert {(change.action, tuple(change.parts)) for change in deployments} <= {
        ("changed", ("parameters", "pull_steps", "job_variables")),
        ("changed", ("pull_steps", "job_variables")),  # of a flow that takes no configuration
    }


OLD_DEPLOYMENTS = ROOT / "tests" / "fixtures" / "deployments_0_1_0.json"
"""What `gridtide deploy` of version 0.1.0 (commit fcc54ec) registered, as the server lists it."""


async def test_deployments_of_version_0_1_0_are_replaced_and_not_doubled(tmp_path: Path) -> None:
    """Each goes on under its name and identity, paused if it was, and its runs wait; others are removed."""
    old_fields = json.loads(OLD_DEPLOYMENTS.read_text())
    names = {f"{fields['flow']}/{fields['name']}" for fields in old_fields}
    async with get_client() as client:
        await ensure_work_pool(client, POOL)
        for name in (await read_registered(client)).values():
            await client.delete_deployment(name.id)
        for fields in old_fields:
            flow_id = await client.create_flow_from_name(fields.pop("flow"))
            answer = await client._client.post("/deployments/", json={"flow_id": str(flow_id), **fields})
            assert answer.status_code == 201, answer.text
        before = await read_registered(client)
        assert before.keys() == names
        await client.pause_deployment(before["compact/nightly"].id)
    changes = {name: change for name, change in (await deployed(CONFIG, tmp_path)).items() if "/" in name}
    async with get_client() as client:
        after = await read_registered(client)
    planned = {"ingest/hourly", "ingest/daily", *OTHERS}
    assert after.keys() == planned
    assert {name for name, (action, *_) in changes.items() if action == "changed"} == planned & names
    assert {name for name, (action, *_) in changes.items() if action == "removed"} == names - planned
    assert {name: after[name].id for name in names & planned} == {name: before[name].id for name in names & planned}
    assert [name for name, made in after.items() if made.paused] == ["compact/nightly"]
    assert all(len(made.schedules) <= 1 for made in after.values())
    options = [made.concurrency_options for made in after.values()]
    assert {option.collision_strategy for option in options if option} == {ConcurrencyLimitStrategy.ENQUEUE}
