"""The deployments of the configuration, served by one process."""

from __future__ import annotations

import os
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.runner import Runner

from deployments.cli.blocks import prefect_api
from deployments.cli.console import out
from deployments.machine.worker import WORKER_SETTINGS
from deployments.registry import notifications
from deployments.registry.catalogue import build_deployments
from gridtide.entries.entry import Config
from tasks.secrets import defer_to_dotenv


async def serve_deployments(config: Config, path: str, lake: str | None, sandbox: bool | str) -> None:
    """Serve until interrupted: an `ingest` deployment per schedule, the other flows to start by hand; and have told
    what happens.

    Raises `ConfigurationError`, before anything is started, for a receiver that is none.
    """
    receivers = notifications.read_receiver_blocks()
    defer_to_dotenv(config.apis, Path())
    async with prefect_api() as url:
        os.environ.update(
            {name: os.environ.get(name, value) for name, value in WORKER_SETTINGS.items()}
        )  # for the runs
        runner = Runner(name="gridtide", limit=4)
        for deployment in build_deployments(config, path, lake, sandbox):
            await runner.aadd_deployment(deployment)
        async with get_client() as client:
            await notifications.apply_notifications(client, receivers)
        out.print(f"Serving; the deployments are at {url.removesuffix('/api')}/deployments (Ctrl-C ends)")
        await runner.start()
