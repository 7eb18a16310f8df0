"""The deployments of the configuration, served by one process."""

from __future__ import annotations

import os
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.runner import Runner

from deployments.cli.blocks import prefect_api
from deployments.cli.console import out
from deployments.machine.worker import SETTINGS
from deployments.registry import notifications
from deployments.registry.catalogue import deployments
from gridtide.entries.entry import Config
from tasks.secrets import leave_to_file


async def run(config: Config, path: str, lake: str | None, sandbox: bool | str) -> None:
    """Serve until interrupted: an `ingest` deployment per schedule, the other flows to start by hand; and have told
    what happens.

    Raises `ConfigurationError`, before anything is started, for a receiver that is none.
    """
    receivers = notifications.named()
    leave_to_file(config.apis, Path())
    async with prefect_api() as url:
        os.environ.update({name: os.environ.get(name, value) for name, value in SETTINGS.items()})  # for the runs
        runner = Runner(name="gridtide", limit=4)
        for deployment in deployments(config, path, lake, sandbox):
            await runner.aadd_deployment(deployment)
        async with get_client() as client:
            await notifications.apply(client, receivers)
        out.print(f"Serving; the deployments are at {url.removesuffix('/api')}/deployments (Ctrl-C ends)")
        await runner.start()
