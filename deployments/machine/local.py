"""This machine as the whole of it: server, deployments, worker."""

from __future__ import annotations

import asyncio
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.cli.blocks import prefect_api
from deployments.machine.worker import alone, ensure_worker, stop_worker, tell_lost, worker_status
from deployments.registry import notifications
from deployments.registry.changes import Change
from deployments.registry.deploy import POOL, deploy, work_pool
from flows.run.local_server import check_lets_in, server_status, stop_server
from gridtide.entries.entry import Config
from tasks.secrets import leave_to_file


async def up(config: Config, path: Path, lake: str | None, sandbox: bool | str) -> tuple[str, list[Change]]:
    """Start what does not run yet, deploy `config`; returns the URL of the Prefect API and what was deployed.

    Raises `ConfigurationError`, before anything is started, for a receiver that is none.
    """
    notifications.named()
    leave_to_file(config.apis, path.parent)
    with alone():
        async with prefect_api() as api:
            async with get_client() as client:
                await work_pool(client, POOL)
            changes, _ = await asyncio.gather(deploy(config, path, lake, sandbox, POOL), ensure_worker(api, POOL))
    return api, changes


async def down() -> list[str]:
    """Stop the worker with its runs, and those that a killed one left, tell the server so, and stop the server.

    Returns what ran.

    Raises `CredentialsError`, before anything is stopped, where the server would not listen.
    """
    with alone():
        worker, server = worker_status(), server_status()
        if server:
            check_lets_in(server)
        stop_worker()
        if server:
            with temporary_settings({PREFECT_API_URL: server.url}):
                await tell_lost(POOL, end=True)
        stop_server()
    return [
        *([f"the worker of the pool {worker.pool}"] if worker else []),
        *([f"the Prefect server at {server.ui}"] if server else []),
    ]
