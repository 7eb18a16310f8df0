"""Old runs on a real Prefect server: which are found, what is counted, and what is removed with them."""

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect import flow, tags, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.logging import get_run_logger

from deployments.registry.catalogue import plan_deployments
from flows.retention import FLOW_NAMES, retention
from gridtide.config.loading import parse
from tasks.schedule_states import GRIDTIDE_TAG
from tasks.server_records import BATCH, ServerRecords, count_records, list_expired_runs, remove_records

LOG_LINES = 4
"""What the flow of these tests and its task log, with Prefect's own lines."""

URL = "https://api.eia.gov/v2/x/"


@task(persist_result=True)
async def stored_task() -> str:
    """A task whose result is stored."""
    return "stored"


@flow(name="ingest", persist_result=True)
async def recorded_flow(config: str = "a.json", lake: str | None = None) -> str:
    """A flow with a task, a line of log, an artifact and results."""
    get_run_logger().info("a line of the test")
    await stored_task()
    await acreate_markdown_artifact("text", key="server-records")
    return config


@flow(name="ingest")
async def foreign_flow(config: str = "") -> None:
    """A flow of somebody else with the name of one of Gridtide's."""


async def read_runs(client: PrefectClient) -> dict[str, FlowRun]:
    """All runs of the server, by id."""
    return {str(run.id): run for run in await client.read_flow_runs()}


async def run_and_find(client: PrefectClient, call: Any) -> FlowRun:
    """The run that awaiting `call` adds to the server."""
    before = set(await read_runs(client))
    await call
    runs = await read_runs(client)
    [identity] = set(runs) - before
    return runs[identity]


async def wait_for_records(client: PrefectClient, run: FlowRun) -> ServerRecords:
    """The records of `run`, once the server, which stores them later, has its task run and the line of the test."""
    async with asyncio.timeout(60):
        while True:
            counts = await count_records(client, [run])
            if counts.task_runs and counts.logs >= LOG_LINES:
                return counts
            await asyncio.sleep(0.2)


@pytest.mark.usefixtures("prefect_server")
async def test_a_run_is_removed_with_all_that_was_recorded_of_it(prefect_home: Path) -> None:
    """Counts tell what a run has; after the removal the server and the folder of results have nothing of it, and all of
    another run."""
    async with get_client() as client:
        removed = await run_and_find(client, recorded_flow())
        remaining = await run_and_find(client, recorded_flow("other.json"))
        counts = await wait_for_records(client, removed)
        remaining_counts = await wait_for_records(client, remaining)
        assert (counts.flow_runs, counts.task_runs, counts.artifacts, counts.results) == (1, 1, 2, 2)
        await remove_records(client, [removed])
        assert await count_records(client, [remaining]) == remaining_counts
        remnant = await count_records(client, [removed])
        assert (remnant.task_runs, remnant.artifacts, remnant.results) == (0, 0, 0)
        assert str(removed.id) not in await read_runs(client)


@pytest.mark.usefixtures("prefect_server")
async def test_only_ended_runs_of_gridtide_are_found() -> None:
    """Runs of others, later runs and runs that have not ended are not found; runs of deployments and commands are."""
    async with get_client() as client:
        start = datetime.now(UTC)
        command = await run_and_find(client, recorded_flow())
        foreign = await run_and_find(client, foreign_flow())
        with tags(GRIDTIDE_TAG):
            deployed = await run_and_find(client, foreign_flow())
        scheduled = await client.create_flow_run(foreign_flow, tags=[GRIDTIDE_TAG])
        own = {run.id for run in (command, foreign, deployed, scheduled)}
        expired = await list_expired_runs(client, ["ingest"], datetime.now(UTC) + timedelta(minutes=1))
        assert {run.id for run in expired} & own == {command.id, deployed.id}
        assert not {run.id for run in await list_expired_runs(client, ["ingest"], start)} & own
        assert not await list_expired_runs(client, ["another"], datetime.now(UTC) + timedelta(minutes=1))


async def test_retention_removes_records_by_the_age_of_their_run(
    prefect_server: str, prefect_home: Path, tmp_path: Path
) -> None:
    """A dry run counts runs that ended longer ago than `run_days`; with `--remove` these are removed, in batches, and
    younger ones stay. With a selection of entries, runs are left alone."""
    config = {"lake": str(tmp_path), "apis": [{"name": "one", "url": URL, "output_folder": "eia"}]}
    async with get_client() as client:
        young = await run_and_find(client, foreign_flow())
        old = [await client.create_flow_run(foreign_flow, tags=[GRIDTIDE_TAG]) for _ in range(BATCH + 1)]
        age_runs(prefect_home / "prefect.db", [str(run.id) for run in old], days=8)
        assert (await retention(config, ["one"]))["server"] is None
        counted = (await retention(config, run_days=7))["server"]
        assert (counted["flow_runs"], counted["removed"], counted["error"]) == (BATCH + 1, 0, None)
        young_enough = (await retention(config, dry_run=False))["server"]
        assert (young_enough["flow_runs"], young_enough["removed"]) == (0, 0)
        removed = (await retention(config, dry_run=False, run_days=7))["server"]
        assert (removed["flow_runs"], removed["removed"]) == (BATCH + 1, BATCH + 1)
        filtered = FlowRunFilter(id=FlowRunFilterId(any_=[*(run.id for run in old), young.id]))
        assert [run.id for run in await client.read_flow_runs(flow_run_filter=filtered)] == [young.id]


def age_runs(database: Path, ids: list[str], days: int) -> None:
    """Let the runs called `ids` have ended `days` ago, in the server's own database."""
    moment = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%d %H:%M:%S.%f")
    statement = "UPDATE flow_run SET end_time = ?, state_type = 'COMPLETED' WHERE id = ?"
    with sqlite3.connect(database, timeout=30) as connection:
        connection.executemany(statement, [(moment, identity) for identity in ids])


def test_runs_of_every_deployed_flow_are_found() -> None:
    """The names of flows whose runs are removed are those of all flows that are deployed."""
    plans = plan_deployments(parse({"apis": [{"name": "one", "url": URL, "output_folder": "eia"}]}))
    assert {plan.flow.name for plan in plans} <= set(FLOW_NAMES)
