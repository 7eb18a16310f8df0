"""The state of each schedule on the Prefect server: its last run and its next one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.client.schemas.sorting import DeploymentSort, FlowRunSort

GRIDTIDE_TAG = "gridtide"
"""The tag of every deployment of Gridtide and of its runs."""

STARTED = FlowRunFilter(start_time=FlowRunFilterStartTime(is_null_=False))

SCHEDULED = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])))

MOST_DEPLOYMENTS = 200
"""The maximum number of deployments in an answer of the server."""


async def read_schedule_states() -> list[dict[str, Any]]:
    """Returns the scheduled deployments of the server, sorted by name: `name` (`flow/deployment`), `cron`, `timezone`,
    whether it is `active`, the time of the `next` run (or None), and of the `last` run that started (or None) `state`,
    `time` and, if it did not complete, the `message`."""
    tagged = DeploymentFilter(tags=DeploymentFilterTags(all_=[GRIDTIDE_TAG]))
    async with get_client() as client:
        deployments = await client.read_deployments(
            deployment_filter=tagged, sort=DeploymentSort.NAME_ASC, limit=MOST_DEPLOYMENTS
        )
        scheduled = [deployment for deployment in deployments if deployment.schedules]
        states = await asyncio.gather(*(_describe_deployment(client, deployment) for deployment in scheduled))
    return sorted((state for of_deployment in states for state in of_deployment), key=lambda state: state["name"])


async def _describe_deployment(client: PrefectClient, deployment: DeploymentResponse) -> list[dict[str, Any]]:
    """The state of each schedule of `deployment`."""
    flow, last, upcoming = await asyncio.gather(
        client.read_flow(deployment.flow_id),
        _find_run(client, deployment, STARTED, FlowRunSort.START_TIME_DESC),
        _find_run(client, deployment, SCHEDULED, FlowRunSort.EXPECTED_START_TIME_ASC),
    )
    expected = upcoming.expected_start_time if upcoming else None
    return [
        {
            "name": f"{flow.name}/{deployment.name}",
            "cron": schedule.schedule.cron,
            "timezone": schedule.schedule.timezone or "UTC",
            "active": schedule.active and not deployment.paused,
            "next": expected.isoformat() if expected and schedule.active and not deployment.paused else None,
            "last": _describe_run(last) if last else None,
        }
        for schedule in deployment.schedules
        if isinstance(schedule.schedule, CronSchedule)
    ]


async def _find_run(
    client: PrefectClient, deployment: DeploymentResponse, runs: FlowRunFilter, sort: FlowRunSort
) -> FlowRun | None:
    """The first of `runs` of `deployment` in the order of `sort`."""
    of_deployment = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
    found_runs: Sequence[FlowRun] = await client.read_flow_runs(
        flow_run_filter=runs, deployment_filter=of_deployment, sort=sort, limit=1
    )
    return found_runs[0] if found_runs else None


def _describe_run(run: FlowRun) -> dict[str, Any]:
    state = run.state
    return {
        "state": run.state_name or "",
        "time": run.start_time.isoformat() if run.start_time else None,
        "message": (state.message or "") if state and not state.is_completed() else "",
    }
