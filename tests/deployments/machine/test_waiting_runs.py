"""Runs beyond the limit of a deployment: runs started by hand wait, and superseded late runs are skipped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort

from tests.support.processes.machine import furnished, start, started, until
from tests.support.processes.served import synthetic

FINAL = ("Completed", "Skipped", "Cancelled", "Failed", "Crashed")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Path]:
    """A machine for the tests of this module, each of which runs a deployment of its own."""
    apis = [synthetic("by_hand", "hourly"), synthetic("by_schedule", "daily")]
    with furnished(tmp_path_factory.mktemp("machine"), migrated, *apis) as folder:
        yield folder


@pytest.fixture(scope="module")
def client(machine: Path) -> Iterator[SyncPrefectClient]:
    """A client of the server of the machine, on which a worker runs."""
    with started(machine) as (client, _):
        yield client


def failed_writes(machine: Path) -> list[str]:
    """The errors in the server's log about states of runs that it could not write, each with its statement.

    A write that met a locked database is not lost: Prefect answers 503, and the request is sent again.
    """
    from prefect.server.api.server import SQLITE_LOCKED_MSG  # here, as it takes two seconds

    log = (machine / "home" / "gridtide" / "server.log").read_text()
    errors = re.findall(r"^(sqlalchemy\.\S*Error: .*)\n(\[SQL: .*)", log, re.MULTILINE)
    return [
        f"{error} {statement}"
        for error, statement in errors
        if ("flow_run_state" in statement or "IntegrityError" in error) and SQLITE_LOCKED_MSG not in error
    ]


def schedule_in_the_past(client: SyncPrefectClient, deployment: str, start_time: datetime, count: int) -> list[FlowRun]:
    """The first `count` runs that the server's scheduler creates from `start_time` on, all of them late."""
    body = {"start_time": start_time.isoformat(), "end_time": datetime.now(UTC).isoformat(), "max_runs": count}
    found = client.read_deployment_by_name(deployment)
    client._client.post(f"/deployments/{found.id}/schedule", json={**body, "min_runs": count}).raise_for_status()
    runs = client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_ASC)
    return [run for run in runs if run.auto_scheduled and run.deployment_id == found.id]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_runs_by_hand_wait_for_their_turn(machine: Path, client: SyncPrefectClient) -> None:
    """Three runs of one deployment that are started at once all complete, and no write of a state fails."""
    runs = [start(client, "ingest/hourly") for _ in range(3)]
    ended = [until(client, run, *FINAL) for run in runs]
    assert [run.state_name for run in ended] == ["Completed"] * 3
    starts, ends = zip(*sorted((run.start_time, run.end_time) for run in ended), strict=True)
    assert all(end <= begin for end, begin in zip(ends, starts[1:], strict=False)), "one at a time"
    assert failed_writes(machine) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_after_hours_of_sleep_a_single_run_does_what_all_would_have(machine: Path, client: SyncPrefectClient) -> None:
    """Of six late scheduled runs one completes and five are skipped, and name that run; no write of a state fails."""
    slept = datetime.now(UTC) - timedelta(days=6, hours=12)
    late = schedule_in_the_past(client, "ingest/daily", slept, 6)
    assert len(late) >= 6
    ended = [until(client, run, *FINAL) for run in late]
    by_hand = until(client, start(client, "ingest/daily"), *FINAL)
    completed = [run for run in ended if run.state_name == "Completed"]
    assert len(completed) == 1
    assert {run.state_name for run in ended} == {"Completed", "Skipped"}
    messages = {str(run.state.message) for run in ended if run.state and run.state_name == "Skipped"}
    assert all(completed[0].name in message for message in messages)
    assert by_hand.state_name == "Completed"
    assert failed_writes(machine) == []
