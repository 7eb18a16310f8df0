"""The catalogue of deployments: flows with their schedules and parameters.

`gridtide deploy`, `gridtide serve` and `prefect.yaml` all use this catalogue.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from prefect import Flow
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.types.entrypoint import EntrypointType

from flows.backfill import backfill
from flows.compact import compact
from flows.describing.catalog import catalog
from flows.describing.quality import quality
from flows.evaluate import evaluate
from flows.ingest import ingest
from flows.monitor import monitor
from flows.notify import notify
from flows.prepare_training import prepare_training
from flows.replay import replay
from flows.retention import retention
from gridtide import __version__
from gridtide.entries.entry import Config, Schedule
from tasks.calendar import build_cron_schedule, build_repeated_schedule
from tasks.schedule_states import GRIDTIDE_TAG

TAG = GRIDTIDE_TAG
"""The tag of every deployment of Gridtide and of its runs."""


BY_HAND = "by-hand"
"""The name of a deployment without a schedule."""


REPEATED_SUFFIX = "-repeated-hour"
"""Ends the name of the second schedule of a deployment, for the hour that comes twice when clocks are set back."""


SIDE_BY_SIDE = 8
"""The number of backfills that may run at the same time."""


NIGHTLY = Schedule(cron="25 3 * * *", description="After the last ingests of the day, when few other runs are due")


MORNING = Schedule(cron="25 5 * * *", description="After the night's compaction, and before people come to work")


WEEKLY = Schedule(cron="5 4 * * 1", description="Bodies are stored for weeks: a few days more or less do not matter")


SIX_HOURLY = Schedule(
    cron="33 */6 * * *", description="Between the hourly runs, and often enough to heal a gap within a day"
)


EVERY_TEN_MINUTES = Schedule(
    cron="*/10 * * * *", description="Ten minutes are soon enough for notifications of a burst, and for recoveries"
)


HOURLY = Schedule(
    cron="47 * * * *", description="After the ingests of the hour, so that the page shows what they stored"
)


@dataclass(frozen=True)
class PlannedDeployment:
    """A deployment `flow/name`. `parameters` are its own, in addition to those of all deployments. At most `limit`
    runs are active at a time; further runs wait."""

    flow: Flow[..., Any]
    name: str = BY_HAND
    schedule: Schedule | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    limit: int = 1

    @property
    def description(self) -> str:
        """The first line of the flow's docstring, the schedule with its reason, and the entries."""
        parts = [(inspect.getdoc(self.flow.fn) or "").partition("\n")[0]]
        if self.schedule:
            parts.append(f"At `{self.schedule.cron}` {self.schedule.timezone}. {self.schedule.description}".strip())
        if self.parameters.get("select"):
            parts.append(f"Entries: {', '.join(self.parameters['select'])}")
        return "\n\n".join(parts)


def plan_deployments(config: Config) -> list[PlannedDeployment]:
    """The deployments: an `ingest` per schedule that entries name, and one of each other flow."""
    ingests = []
    for name, schedule in config.schedules.items():
        entries = [entry for entry in config.apis if entry.schedule == name]
        if entries:
            select = [entry.name for entry in entries]
            sources = sorted({entry.source for entry in entries})
            ingests.append(PlannedDeployment(ingest, name, schedule, {"select": select}, sources))
    return [
        *ingests,
        PlannedDeployment(backfill, limit=SIDE_BY_SIDE),
        PlannedDeployment(compact, "nightly", NIGHTLY),
        PlannedDeployment(prepare_training),
        PlannedDeployment(evaluate),
        PlannedDeployment(quality, "morning", MORNING),
        PlannedDeployment(replay),
        PlannedDeployment(retention, "weekly", WEEKLY, {"dry_run": False}),
        PlannedDeployment(monitor, "six_hourly", SIX_HOURLY),
        PlannedDeployment(notify, "pending", EVERY_TEN_MINUTES),
        PlannedDeployment(catalog, "hourly", HOURLY),
    ]


def build_deployments(config: Config, path: str, lake: str | None, sandbox: bool | str) -> list[RunnerDeployment]:
    """The deployments of `config`; `path`, `lake` and `sandbox` are passed to the flows that have such parameters."""
    common = {"config": path, "lake": lake, "sandbox": sandbox}
    return [_build_deployment(plan, common) for plan in plan_deployments(config)]


def _build_deployment(plan: PlannedDeployment, common: Mapping[str, Any]) -> RunnerDeployment:
    accepted = inspect.signature(plan.flow.fn).parameters
    deployment = RunnerDeployment.from_flow(
        plan.flow,
        name=plan.name,
        description=plan.description,
        version=__version__,
        tags=[TAG, *plan.tags],
        schedules=_build_schedules(plan),
        parameters={**{name: value for name, value in common.items() if name in accepted}, **plan.parameters},
        # Runs beyond the limit wait, even if a person started them; superseded late runs end as Skipped
        # (`flows.run.local_flow`). The strategy that cancels new runs would cancel both.
        concurrency_limit=ConcurrencyLimitConfig(limit=plan.limit, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
        entrypoint_type=EntrypointType.MODULE_PATH,  # the package that is installed where the run is
    )
    deployment.work_pool_name = None  # set explicitly, to remove the pool of an existing deployment
    return deployment


def _build_schedules(plan: PlannedDeployment) -> list[DeploymentScheduleCreate]:
    if plan.schedule is None:
        return []
    schedules = [DeploymentScheduleCreate(schedule=build_cron_schedule(plan.schedule), slug=plan.name)]
    if second_schedule := build_repeated_schedule(plan.schedule, datetime.now(UTC)):
        schedules.append(DeploymentScheduleCreate(schedule=second_schedule, slug=f"{plan.name}{REPEATED_SUFFIX}"))
    return schedules
