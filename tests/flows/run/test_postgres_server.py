"""The Prefect server on PostgreSQL with a password, as it is used with several machines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_SERVER_API_AUTH_STRING,
    PREFECT_SERVER_DATABASE_CONNECTION_URL,
    temporary_settings,
)

from deployments.registry.deploy import POOL, register_deployments
from flows.ingest import ingest
from flows.run.local_server import ensure_server
from gridtide.config.loading import parse
from gridtide.errors import CredentialsError
from tests.support.processes.postgres import PostgresServer, run_postgres
from tests.support.processes.prefect_servers import serving

PASSWORD = "operator:planted-3c59dc04"
ENTRY = {"name": "grid", "source": "synthetic", "output_folder": "grid", "params": {"variables": ["demand"]}}


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server with a database `prefect`, and the extension that Prefect needs."""
    with run_postgres("prefect", "prefect", extension="pg_trgm") as server:
        yield server


@pytest.fixture
def server(postgres: PostgresServer, tmp_path: Path) -> Iterator[str]:
    """The URL of a Prefect server on that database, with a password."""
    settings = {
        PREFECT_SERVER_DATABASE_CONNECTION_URL: f"postgresql+asyncpg://{postgres.address}",
        PREFECT_SERVER_API_AUTH_STRING: PASSWORD,
        PREFECT_API_AUTH_STRING: PASSWORD,
    }
    with temporary_settings(settings), serving(tmp_path / "home") as url:
        yield url


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_server_on_postgres_behind_a_password(postgres: PostgresServer, server: str, tmp_path: Path) -> None:
    """A run and a deployment are recorded in PostgreSQL; without the password there is one clear message."""
    report = await ingest({"lake": str(tmp_path / "lake"), "apis": [ENTRY]})
    assert report["pipeline_status"] == "success"
    loaded = parse({"lake": str(tmp_path / "lake"), "apis": [ENTRY]})
    for done in ("created", "unchanged"):
        changes = await register_deployments(loaded, tmp_path / "api_config.json", None, False, POOL)
        assert {change.action for change in changes} == {done}
    with (
        temporary_settings({PREFECT_API_URL: server, PREFECT_API_AUTH_STRING: "operator:wrong"}),
        pytest.raises(CredentialsError, match="PREFECT_API_AUTH_STRING") as refused,
    ):
        ensure_server()
    assert "planted" not in str(refused.value)
    assert "Completed" in postgres.query("select state_name from flow_run").splitlines()
    assert not (tmp_path / "home" / "prefect.db").exists()
