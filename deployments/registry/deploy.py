"""Registers the deployments of the catalogue on a Prefect server.

An unchanged deployment is not updated, because every update deletes the runs that are already scheduled. Whether a
deployment or a schedule is paused is the choice of the user and is never changed.
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
"""The work pool of the local worker."""


PAGE_SIZE = 200
"""The maximum number of deployments in an answer of the server."""


async def register_deployments(
    config: Config, path: Path, lake: str | None, sandbox: bool | str, pool: str
) -> list[Change]:
    """Create, update and remove deployments on the server to match `config`; the workers of `pool` run them.

    Workers of a process pool share the files of this machine: their runs start in the folder of the configuration.
    Workers of other pools run an image that has the configuration at `path` of its working directory.
    Raises `ConfigurationError`, before anything is changed, if the URL of a receiver is not one that Apprise accepts,
    or if the pool does not exist; the pool `POOL` is created.
    """
    receivers = notifications.read_receiver_blocks()
    async with get_client() as client:
        runs_in = await ensure_work_pool(client, pool)
        file, variables = _locate_config(path, runs_in)
        deployments = catalogue.build_deployments(config, file, lake, sandbox)
        current = await read_registered(client)
        infrastructure = {"work_pool_name": pool, "job_variables": variables}
        changes = [
            await _apply(client, deployment, infrastructure, current.get(deployment.full_name))
            for deployment in deployments
        ]
        for name in current.keys() - {deployment.full_name for deployment in deployments}:
            await client.delete_deployment(current[name].id)
            changes.append(Change(name, "removed"))
        return [*changes, *await notifications.apply_notifications(client, receivers)]


def _locate_config(path: Path, pool: WorkPool) -> tuple[str, dict[str, str]]:
    """The path of the configuration for runs in `pool`, and the job variables that this path needs."""
    if pool.type != "process":
        return str(path), {}
    absolute = path.resolve()
    return str(absolute), {"working_dir": str(absolute.parent)}


async def ensure_work_pool(client: PrefectClient, name: str) -> WorkPool:
    """The work pool `name`; `POOL` is created if it does not exist.

    Raises `ConfigurationError` for another pool that does not exist.
    """
    try:
        return await client.read_work_pool(name)
    except ObjectNotFound as error:
        if name == POOL:
            return await client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        raise ConfigurationError(
            f"work pool {name}", "does not exist", f"Create it: prefect work-pool create {name} --type …"
        ) from error


async def read_registered(client: PrefectClient) -> dict[str, DeploymentResponse]:
    """The deployments of Gridtide on the server, by `flow/name`."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[catalogue.TAG]))
    deployments: list[DeploymentResponse] = []
    while page := await client.read_deployments(
        deployment_filter=ours, sort=DeploymentSort.NAME_ASC, limit=PAGE_SIZE, offset=len(deployments)
    ):
        deployments += page
    flow_ids = {deployment.flow_id for deployment in deployments}
    flows = {flow_id: (await client.read_flow(flow_id)).name for flow_id in flow_ids}
    return {f"{flows[deployment.flow_id]}/{deployment.name}": deployment for deployment in deployments}


async def _apply(
    client: PrefectClient,
    deployment: RunnerDeployment,
    infrastructure: dict[str, Any],
    current: DeploymentResponse | None,
) -> Change:
    """Create `deployment` on the server, or update the `current` one if they differ."""
    fields = {**_list_fields(deployment), **infrastructure}
    if current is None:
        flow = await client.create_flow_from_name(deployment.flow_name or "")
        creates = [
            schedule for schedule in deployment.schedules or () if isinstance(schedule, DeploymentScheduleCreate)
        ]
        await client.create_deployment(flow, deployment.name, schedules=creates, **fields)
        return Change(deployment.full_name, "created")
    differing = [name for name, value in fields.items() if _read_field(current, name) != value]
    slugs = {schedule.slug: schedule.schedule for schedule in deployment.schedules or ()}
    if {schedule.slug: schedule.schedule for schedule in current.schedules} != slugs:
        differing.append("schedules")
    if not differing:
        return Change(deployment.full_name, "unchanged")
    # The server keeps a schedule that an update does not name.
    for schedule in current.schedules:
        if schedule.slug not in slugs:
            await client.delete_deployment_schedule(current.id, schedule.id)
    # Updates leave out whether a schedule is active, so that a paused schedule stays paused.
    updates = [DeploymentScheduleUpdate(schedule=schedule, slug=slug) for slug, schedule in slugs.items()]
    await client.update_deployment(current.id, DeploymentUpdate(**fields, schedules=updates))
    return Change(deployment.full_name, "changed", differing)


def _list_fields(deployment: RunnerDeployment) -> dict[str, Any]:
    """The fields of a deployment on the server, without its schedules and its infrastructure."""
    schema = deployment._parameter_openapi_schema.model_dump(exclude_unset=True)
    fields = deployment.model_dump(
        mode="json",
        include={"version", "description", "tags", "parameters", "entrypoint", "concurrency_limit"},
    )
    return {
        **fields,
        "concurrency_options": deployment.concurrency_options,
        "parameter_openapi_schema": schema,
        # The entrypoint is a module of the installed package, so nothing is pulled.
        "path": None,
        "pull_steps": [],
    }


def _read_field(current: DeploymentResponse, name: str) -> Any:
    if name == "concurrency_limit":
        # In the answer, the limit is an object of its own.
        return current.global_concurrency_limit.limit if current.global_concurrency_limit else None
    return getattr(current, name)
