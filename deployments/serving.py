"""The schedules of the configuration as Prefect deployments, served by one process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner
from prefect.schedules import Cron

from deployments.blocks import prefect_api
from deployments.console import out
from flows.backfill import backfill
from flows.ingest import ingest
from flows.prepare_training import prepare_training
from gridtide.config import Config


async def run(config: Config, path: str, lake: str | None, sandbox: bool | str) -> None:
    """Serve until interrupted: an `ingest` deployment per schedule, the other flows to start by hand."""
    async with prefect_api() as url:
        runner = Runner(name="gridtide", limit=4)
        for deployment in await deployments(config, path, lake, sandbox):
            await runner.aadd_deployment(deployment)
        out.print(f"Serving; the deployments are at {url.removesuffix('/api')}/deployments (Ctrl-C ends)")
        await runner.start()


async def deployments(config: Config, path: str, lake: str | None, sandbox: bool | str) -> Sequence[RunnerDeployment]:
    """One deployment of `ingest` per schedule that entries name, and one each of the other flows."""
    asked: dict[str, Any] = {"config": path, "lake": lake}
    made = []
    for name, schedule in config.schedules.items():
        select = [entry.name for entry in config.apis if entry.schedule == name]
        if select:
            made.append(
                ingest.ato_deployment(
                    name=name,
                    description=schedule.description,
                    schedule=Cron(schedule.cron, timezone=schedule.timezone, slug=name),
                    parameters={**asked, "select": select, "sandbox": sandbox},
                )
            )
    made.append(backfill.ato_deployment(name="by-hand", parameters={**asked, "sandbox": sandbox}))
    made.append(prepare_training.ato_deployment(name="by-hand", parameters=asked))
    return await asyncio.gather(*made)
