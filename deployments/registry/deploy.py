"""The deployments of the catalogue on a Prefect server: made as they should be, and nothing else touched.

What is as it should be is left alone, as any update deletes the runs that are scheduled already. Whether
a deployment or a schedule is paused is people's choice and stays as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import (
    DeploymentScheduleCreate,
    DeploymentScheduleUpdate,
    DeploymentUpdate,
    WorkPoolCreate,
)
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import WorkPool
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import DeploymentSort
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound

from deployments.registry import catalogue, notifications
from deployments.registry.changes import Change
from gridtide.entries.entry import Config
from gridtide.errors import ConfigurationError

POOL = "gridtide"
"""The work pool of this machine's own worker."""


PAGE_SIZE = 200
"""Deployments that the server lists at once."""


async def register_deployments(
    config: Config, path: Path, lake: str | None, sandbox: bool | str, pool: str
) -> list[Change]:
    """Make the server's deployments those of `config`, run by the workers of `pool`.

    Workers that run processes share this machine's files: their runs start in the folder of the
    configuration. Others have an image, with the configuration at `path` of its working directory.
    Raises `ConfigurationError`, before anything is changed, for a receiver that is none and where there is no such
    pool; the one called `POOL` is made.
    """
    receivers = notifications.read_receiver_blocks()
    async with get_client() as client:
        runs_in = await ensure_work_pool(client, pool)
        file, variables = _place(path, runs_in)
        wanted = catalogue.build_deployments(config, file, lake, sandbox)
        there = await _ours(client)
        changes = [
            await _apply(client, one, {"work_pool_name": pool, "job_variables": variables}, there.get(one.full_name))
            for one in wanted
        ]
        for name in there.keys() - {one.full_name for one in wanted}:
            await client.delete_deployment(there[name].id)
            changes.append(Change(name, "removed"))
        return [*changes, *await notifications.apply_notifications(client, receivers)]


def _place(path: Path, pool: WorkPool) -> tuple[str, dict[str, str]]:
    """Where runs in `pool` find the configuration, and the pool's variables that make it so."""
    if pool.type != "process":
        return str(path), {}
    absolute = path.resolve()
    return str(absolute), {"working_dir": str(absolute.parent)}


async def ensure_work_pool(client: PrefectClient, name: str) -> WorkPool:
    """The work pool `name`; the one called `POOL` is made where it is not there.

    Raises `ConfigurationError` where another is not there.
    """
    try:
        return await client.read_work_pool(name)
    except ObjectNotFound as error:
        if name == POOL:
            return await client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        raise ConfigurationError(
            f"work pool {name}", "does not exist", f"Create it: prefect work-pool create {name} --type …"
        ) from error


async def _ours(client: PrefectClient) -> dict[str, DeploymentResponse]:
    """The deployments there that are ours, by `flow/name`."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[catalogue.TAG]))
    found: list[DeploymentResponse] = []
    while page := await client.read_deployments(
        deployment_filter=ours, sort=DeploymentSort.NAME_ASC, limit=PAGE_SIZE, offset=len(found)
    ):
        found += page
    flows = {one.flow_id: (await client.read_flow(one.flow_id)).name for one in found}
    return {f"{flows[one.flow_id]}/{one.name}": one for one in found}


async def _apply(
    client: PrefectClient, wanted: RunnerDeployment, place: dict[str, Any], there: DeploymentResponse | None
) -> Change:
    fields = {**_fields(wanted), **place}
    if there is None:
        flow = await client.create_flow_from_name(wanted.flow_name or "")
        made = [one for one in wanted.schedules or () if isinstance(one, DeploymentScheduleCreate)]
        await client.create_deployment(flow, wanted.name, schedules=made, **fields)
        return Change(wanted.full_name, "created")
    differing = [name for name, value in fields.items() if _as_there(there, name) != value]
    slugs = {one.slug: one.schedule for one in wanted.schedules or ()}
    gone = [one for one in there.schedules if one.slug not in slugs]
    if {one.slug: one.schedule for one in there.schedules} != slugs:
        differing.append("schedules")
    if not differing:
        return Change(wanted.full_name, "unchanged")
    for one in gone:
        await client.delete_deployment_schedule(there.id, one.id)
    schedules = [DeploymentScheduleUpdate(schedule=schedule, slug=slug) for slug, schedule in slugs.items()]
    await client.update_deployment(there.id, DeploymentUpdate(**fields, schedules=schedules))
    return Change(wanted.full_name, "changed", differing)


def _fields(wanted: RunnerDeployment) -> dict[str, Any]:
    """What the server records of a deployment, but for its schedules and where it runs."""
    schema = wanted._parameter_openapi_schema.model_dump(exclude_unset=True)
    fields = wanted.model_dump(
        mode="json",
        include={"version", "description", "tags", "parameters", "entrypoint", "concurrency_limit"},
    )
    options = wanted.concurrency_options
    return {
        **fields,
        "concurrency_options": options,
        "parameter_openapi_schema": schema,
        "path": None,
        "pull_steps": [],
    }


def _as_there(there: DeploymentResponse, name: str) -> Any:
    if name == "concurrency_limit":
        return there.global_concurrency_limit.limit if there.global_concurrency_limit else None
    return getattr(there, name)
