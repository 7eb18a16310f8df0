"""Serves the deployments of the configuration in one process, without a worker."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.runner import Runner

from deployments.machine.catalog_page import read_page_address, serving_page
from deployments.machine.metrics_endpoint import read_address, serving_endpoint
from deployments.machine.prefect_api import connect_prefect
from deployments.registry import notifications
from deployments.registry.catalogue import build_deployments
from deployments.registry.run_settings import RUN_SETTINGS
from flows.run.metrics.exporting import find_metrics_folder
from gridtide.entries.entry import Config
from gridtide.errors import GridtideError, one_line
from gridtide.lake import Lake
from tasks.lake import open_lake
from tasks.secrets import defer_to_dotenv

logger = logging.getLogger("gridtide.serve")


async def serve_deployments(
    config: Config, path: str, lake: str | None, sandbox: bool | str, announce: Callable[[str, str | None], None]
) -> None:
    """Serve the deployments of `config` until interrupted, and set up the notifications.

    `announce` is called with the URL of the Prefect API, and that of the page of the catalogue (None if it is not
    served), when runs are about to be served. Raises `ConfigurationError`, before anything is started, if the URL of a
    receiver is not one that Apprise accepts, or the address of the metrics or of the page is none.
    """
    receivers = notifications.read_receiver_blocks()
    read_address()
    read_page_address()
    defer_to_dotenv(config.apis, Path())
    async with connect_prefect() as api_url:
        os.environ.update({name: os.environ.get(name, value) for name, value in RUN_SETTINGS.items()})  # for the runs
        runner = Runner(name="gridtide", limit=4)
        for deployment in build_deployments(config, path, lake, sandbox):
            await runner.aadd_deployment(deployment)
        async with get_client() as client:
            await notifications.apply_notifications(client, receivers)
        with serving_endpoint(find_metrics_folder()):
            async with serving_page(await _open_page_lake(lake or config.lake)) as page_url:
                announce(api_url, page_url)
                await runner.start()


async def _open_page_lake(address: str) -> Lake | None:
    """The lake whose page is served; None, with a warning, if it cannot be opened: each run then says so itself."""
    if read_page_address() is None:
        return None
    try:
        return await open_lake(address)
    except GridtideError as error:
        logger.warning("the page of the catalogue is not served: %s", one_line(error))
        return None
