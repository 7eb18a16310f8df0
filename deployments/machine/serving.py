"""The deployments of the configuration, served by one process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.runner import Runner

from deployments.machine.prefect_api import connect_prefect
from deployments.registry import notifications
from deployments.registry.catalogue import build_deployments
from deployments.registry.run_settings import RUN_SETTINGS
from gridtide.entries.entry import Config
from tasks.secrets import defer_to_dotenv


async def serve_deployments(
    config: Config, path: str, lake: str | None, sandbox: bool | str, started: Callable[[str], None]
) -> None:
    """Serve the deployments of `config` until interrupted, and set up the notifications.

    `started` is called with the URL of the Prefect API once the runs are about to be taken. Raises
    `ConfigurationError`, before anything is started, for a receiver that is no URL Apprise takes.
    """
    receivers = notifications.read_receiver_blocks()
    defer_to_dotenv(config.apis, Path())
    async with connect_prefect() as url:
        os.environ.update({name: os.environ.get(name, value) for name, value in RUN_SETTINGS.items()})  # for the runs
        runner = Runner(name="gridtide", limit=4)
        for deployment in build_deployments(config, path, lake, sandbox):
            await runner.aadd_deployment(deployment)
        async with get_client() as client:
            await notifications.apply_notifications(client, receivers)
        started(url)
        await runner.start()
