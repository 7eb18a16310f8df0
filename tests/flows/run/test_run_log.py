"""Warnings of the domain are in the log of the flow run."""

import asyncio
import logging
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.logging.handlers import APILogWorker

from flows.ingest import ingest
from flows.monitor import monitor
from tests.support.upstreams import upstream


@pytest.mark.usefixtures("prefect_server")
async def test_a_warning_of_the_lake_is_in_the_log_of_the_run(tmp_path: Path) -> None:
    """A warning about a foreign file of the lake is in the log of the run in the UI."""
    async with upstream.running() as up:
        config = up.config(tmp_path, up.api("grid"))
        await ingest(config=config)
        (tmp_path / "grid" / "notes.txt").write_text("not a lake file")
        state = await monitor(config=config, dry_run=True, return_state=True)
    await asyncio.to_thread(APILogWorker.drain_all, timeout=60)
    assert state.state_details.flow_run_id is not None
    of_run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[state.state_details.flow_run_id]))
    async with get_client() as client:
        logs = await client.read_logs(of_run)
    assert any("notes.txt" in log.message and log.level == logging.WARNING for log in logs)
