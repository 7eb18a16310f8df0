"""Which flows are deployed, when, and with what: one row per deployment.

Everything that registers deployments (`gridtide deploy`, `gridtide serve`, `prefect.yaml`) reads this table.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prefect import Flow
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.types.entrypoint import EntrypointType

from flows.backfill import backfill
from flows.compact import compact
from flows.ingest import ingest
from flows.monitor import monitor
from flows.notify import notify
from flows.prepare_training import prepare_training
from flows.replay import replay
from flows.retention import retention
from gridtide import __version__
from gridtide.entries.entry import Config, Schedule

TAG = "gridtide"
"""What marks a deployment, and its runs, as ours."""


BY_HAND = "by-hand"
"""The name of a deployment without a schedule."""


SKIP = ConcurrencyLimitStrategy.CANCEL_NEW
"""A run that is due while the one before still runs is cancelled: the next one asks for what it would have."""


WAIT = ConcurrencyLimitStrategy.ENQUEUE
"""A run that is asked for while another runs waits for its turn."""


SIDE_BY_SIDE = 8
"""Backfills, of other entries or periods, that the workers of a pool share."""


NIGHTLY = Schedule(cron="25 3 * * *", description="After the day's last ingests have come in, when few others run")


WEEKLY = Schedule(cron="5 4 * * 1", description="Bodies are kept for weeks: a few days more or less do not matter")


SIX_HOURLY = Schedule(
    cron="33 */6 * * *", description="Between the hourly runs, and often enough to heal a gap within a day"
)


EVERY_TEN_MINUTES = Schedule(
    cron="*/10 * * * *", description="Ten minutes are soon enough for what came in a burst, and for good news"
)


@dataclass(frozen=True)
class PlannedDeployment:
    """One deployment, `flow/name`. `parameters` are those that differ from deployment to deployment."""

    flow: Flow[..., Any]
    name: str = BY_HAND
    schedule: Schedule | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    collision: ConcurrencyLimitStrategy = WAIT
    limit: int = 1
    """Runs at a time."""

    @property
    def description(self) -> str:
        """What it does, when and why then."""
        said = [(inspect.getdoc(self.flow.fn) or "").partition("\n")[0]]
        if self.schedule:
            said.append(f"At `{self.schedule.cron}` {self.schedule.timezone}. {self.schedule.description}".strip())
        if self.parameters.get("select"):
            said.append(f"Entries: {', '.join(self.parameters['select'])}")
        return "\n\n".join(said)


def plan_deployments(config: Config) -> list[PlannedDeployment]:
    """The table: an `ingest` per schedule that entries name, and the other flows."""
    ingests = []
    for name, schedule in config.schedules.items():
        entries = [entry for entry in config.apis if entry.schedule == name]
        if entries:
            select = [entry.name for entry in entries]
            sources = sorted({entry.source for entry in entries})
            ingests.append(PlannedDeployment(ingest, name, schedule, {"select": select}, sources, SKIP))
    return [
        *ingests,
        PlannedDeployment(backfill, limit=SIDE_BY_SIDE),
        PlannedDeployment(compact, "nightly", NIGHTLY),
        PlannedDeployment(prepare_training),
        PlannedDeployment(replay),
        PlannedDeployment(retention, "weekly", WEEKLY, {"dry_run": False}),
        PlannedDeployment(monitor, "six_hourly", SIX_HOURLY, collision=SKIP),
        PlannedDeployment(notify, "untold", EVERY_TEN_MINUTES, collision=SKIP),
    ]


def build_deployments(config: Config, path: str, lake: str | None, sandbox: bool | str) -> list[RunnerDeployment]:
    """The deployments of the configuration at `path`, with what all flows have in common filled in."""
    common = {"config": path, "lake": lake, "sandbox": sandbox}
    return [_deployment(row, common) for row in plan_deployments(config)]


def _deployment(row: PlannedDeployment, common: Mapping[str, Any]) -> RunnerDeployment:
    takes = inspect.signature(row.flow.fn).parameters
    deployment = RunnerDeployment.from_flow(
        row.flow,
        name=row.name,
        description=row.description,
        version=__version__,
        tags=[TAG, *row.tags],
        schedules=_schedules(row),
        parameters={**{name: value for name, value in common.items() if name in takes}, **row.parameters},
        concurrency_limit=ConcurrencyLimitConfig(limit=row.limit, collision_strategy=row.collision),
        entrypoint_type=EntrypointType.MODULE_PATH,  # the installed package, wherever the run is
    )
    deployment.work_pool_name = None  # set, so that whoever served before gives it back
    return deployment


def _schedules(row: PlannedDeployment) -> list[DeploymentScheduleCreate]:
    if row.schedule is None:
        return []
    cron = CronSchedule(cron=row.schedule.cron, timezone=row.schedule.timezone)
    return [DeploymentScheduleCreate(schedule=cron, slug=row.name)]
