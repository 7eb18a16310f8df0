"""A machine whose Prefect server was last used by version 0.1.0."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.registry.deploy import read_registered
from flows.run.local_server import find_server
from tests.support.processes.machine import furnished, gridtide
from tests.support.processes.served import synthetic

DATABASE = Path(__file__).parents[2] / "fixtures" / "prefect_0_1_0.db.gz"
"""The database of a Prefect server after `gridtide deploy` and `gridtide ingest` of version 0.1.0 (commit fcc54ec) in
`/srv/grid`, with the entries `demand` (hourly) and `prices` (daily). Its events and logs were removed."""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Path]:
    """A machine with the database and the configuration of version 0.1.0."""
    database = tmp_path / "prefect_0_1_0.db"
    database.write_bytes(gzip.decompress(DATABASE.read_bytes()))
    with furnished(tmp_path, database, synthetic("demand", "hourly"), synthetic("prices", "daily")) as folder:
        yield folder


@pytest.mark.slow
async def test_a_server_of_version_0_1_0_goes_on(machine: Path) -> None:
    """Its deployments keep their identities, the one for `notify` under its old name goes, its run is still listed, and
    the next run collects."""
    identities = _read_identities(machine / "home" / "prefect.db")
    assert len(identities) == 9

    for command in (("deploy",), ("ingest", "--select", "demand")):
        process = gridtide(machine, *command)
        output, _ = process.communicate()
        assert process.returncode == 0, output

    server = find_server()
    assert server is not None
    with temporary_settings({PREFECT_API_URL: server.url}):
        async with get_client() as client:
            registered = await read_registered(client)
            runs = await client.read_flow_runs()
    kept = identities.keys() - {"notify/untold"}
    assert {name: registered[name].id for name in kept} == {name: identities[name] for name in kept}
    assert "notify/untold" not in registered
    assert [run.state_name for run in runs if run.name == "ingest demand"] == ["Completed", "Completed"]
    assert [path.parent.name for path in (machine / "lake").rglob("*.parquet")] == ["demand"]


def _read_identities(database: Path) -> dict[str, UUID]:
    """Returns the identities of the deployments in `database` by their names."""
    query = "select flow.name, deployment.name, deployment.id from deployment join flow on flow.id = deployment.flow_id"
    with sqlite3.connect(database) as connection:
        return {f"{flow}/{name}": UUID(identity) for flow, name, identity in connection.execute(query)}
