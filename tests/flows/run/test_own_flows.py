"""The flows of Gridtide as parts of a flow of the user."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId

from flows.backfill import backfill
from flows.compact import compact
from flows.ingest import ingest
from flows.monitor import monitor
from flows.prepare_training import prepare_training
from flows.run.report import RunError

START, END = datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 3, 11, tzinfo=UTC)
PARAMS = {"variables": ["demand"]}
SPEC = {
    "name": "own",
    "locations": [{"name": "ISNE", "targets": ["synthetic/ISNE/demand"], "inputs": ["synthetic/ISNE/*"]}],
    "seq_len": 24,
    "horizon": 12,
    "pictures": False,
    "start": "2024-03-01T00:00Z",
    "end": "2024-03-11T00:00Z",
}


def configuration(folder: Path, **keys: Any) -> dict[str, Any]:
    """Returns a configuration of one entry with a lake in `folder`."""
    entry = {"name": "grid", "source": "synthetic", "output_folder": "grid", "params": PARAMS, **keys}
    return {"lake": str(folder), "task_retries": {"count": 0}, "apis": [entry]}


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
async def test_flows_inside_a_flow_of_the_user_return_their_reports(tmp_path: Path) -> None:
    """One after the other and twice they run as runs within the user's, whose result is his own."""
    config = configuration(tmp_path / "lake")
    run_ids = []

    @flow
    async def nightly() -> list[str]:
        from prefect.runtime import flow_run

        run_ids.append(flow_run.id)
        reports = [await backfill(START, END, config=config) for _ in range(2)]
        reports += [await ingest(config=config), await compact(config=config), await monitor(config=config)]
        reports += [await prepare_training(SPEC, config=config)]
        assert [report["summary"]["rows"] for report in reports[:2]] == [240, 0]
        return [report["pipeline_status"] for report in reports]

    assert await nightly() == ["success"] * 6
    parent = FlowRunFilterParentFlowRunId(any_=run_ids)
    async with get_client() as client:
        runs = await client.read_flow_runs(flow_run_filter=FlowRunFilter(parent_flow_run_id=parent))
    assert [run.state_name for run in runs] == ["Completed"] * 6


@pytest.mark.usefixtures("prefect_server")
async def test_the_user_catches_the_failure_of_a_flow_inside_his_own(tmp_path: Path, unused_tcp_port: int) -> None:
    """The error is that of the run itself; what it stored before stays, and his flow goes on."""
    broken = {"name": "broken", "url": f"http://127.0.0.1:{unused_tcp_port}/", "output_folder": "broken", "retries": 1}
    broken |= {"time": "time", "value": "load"}
    config = configuration(tmp_path / "lake")
    config["apis"].append(broken)

    @flow
    async def careful() -> str:
        try:
            await ingest(config=config)
        except RunError as error:
            return str(error)
        return ""

    assert "1 of 2 entries failed: broken" in await careful()
    assert len(list((tmp_path / "lake" / "grid").glob("*.parquet"))) == 1
