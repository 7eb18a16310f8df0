"""Starts and stops Gridtide on this machine: Prefect server, deployments and worker."""

from __future__ import annotations

import asyncio
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.machine.prefect_api import connect_prefect
from deployments.machine.worker import ensure_worker, find_worker, lock_machine, report_lost_runs, stop_worker
from deployments.registry import notifications
from deployments.registry.changes import Change
from deployments.registry.deploy import POOL, ensure_work_pool, register_deployments
from flows.run.local_server import check_access, find_server, stop_server
from gridtide.entries.entry import Config
from tasks.secrets import defer_to_dotenv


async def start_machine(config: Config, path: Path, lake: str | None, sandbox: bool | str) -> tuple[str, list[Change]]:
    """Start server and worker unless they run, and deploy `config`; returns the URL of the Prefect API and the changes.

    Raises `ConfigurationError`, before anything is started, if the URL of a receiver is not one that Apprise accepts.
    """
    notifications.read_receiver_blocks()
    defer_to_dotenv(config.apis, path.parent)
    with lock_machine():
        async with connect_prefect() as api:
            async with get_client() as client:
                await ensure_work_pool(client, POOL)
            changes, _ = await asyncio.gather(
                register_deployments(config, path, lake, sandbox, POOL), ensure_worker(api, POOL)
            )
    return api, changes


async def stop_machine() -> list[str]:
    """Stop the worker and all runs, including those of a killed worker, mark the runs as Crashed, and stop the server.

    Returns the names of what was running. Raises `CredentialsError`, before anything is stopped, if the server refuses
    the password.
    """
    with lock_machine():
        worker, server = find_worker(), find_server()
        if server:
            check_access(server)
        stop_worker()
        if server:
            with temporary_settings({PREFECT_API_URL: server.url}):
                await report_lost_runs(POOL, end=True)
        stop_server()
    return [
        *([f"the worker of the pool {worker.pool}"] if worker else []),
        *([f"the Prefect server at {server.ui}"] if server else []),
    ]
