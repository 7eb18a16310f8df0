"""The Prefect server on PostgreSQL with a password, as it is used with several machines."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
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
from tests.support.processes.prefect_servers import serving

PASSWORD = "operator:planted-3c59dc04"
ENTRY = {"name": "grid", "source": "synthetic", "output_folder": "grid", "params": {"variables": ["demand"]}}


def programs() -> Path:
    """The folder of PostgreSQL's programs; skips without them or without the extension pg_trgm, which Prefect needs."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    found = next((path for path in reversed(installed) if (path / "initdb").exists()), None)
    if found is None or not list(Path("/usr/share/postgresql").glob(f"{found.parent.name}/extension/pg_trgm.control")):
        pytest.skip("no PostgreSQL here with its extensions: apt-get install postgresql")
    return found


@pytest.fixture
def postgres(unused_tcp_port: int) -> Iterator[Callable[[str], str]]:
    """A PostgreSQL server with a database `prefect`: a function that runs SQL and returns its output, or without SQL
    the URL."""
    folder_of_programs = programs()
    folder = Path(tempfile.mkdtemp())  # not in tmp_path, which the user that PostgreSQL runs as may not enter
    user = "postgres" if os.getuid() == 0 else getpass.getuser()
    if os.getuid() == 0:
        shutil.chown(folder, user)

    def run(program: str, *arguments: str) -> str:
        command = [str(folder_of_programs / program), *arguments]
        return subprocess.run(
            command, user=user, cwd=folder, check=True, text=True, stdout=subprocess.PIPE, env={"LC_ALL": "C.UTF-8"}
        ).stdout

    run("initdb", "-D", f"{folder}/data", "-U", "prefect", "-A", "trust")
    options = f"-p {unused_tcp_port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    run("pg_ctl", "-D", f"{folder}/data", "-w", "-l", f"{folder}/log", "-o", options, "start")
    address = f"prefect@127.0.0.1:{unused_tcp_port}/prefect"
    run("createdb", "-h", "127.0.0.1", "-p", str(unused_tcp_port), "-U", "prefect", "prefect")
    yield lambda sql: run("psql", f"postgresql://{address}", "-Atc", sql) if sql else f"postgresql+asyncpg://{address}"
    run("pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.fixture
def server(postgres: Callable[[str], str], tmp_path: Path) -> Iterator[str]:
    """The URL of a Prefect server on that database, with a password."""
    settings = {
        PREFECT_SERVER_DATABASE_CONNECTION_URL: postgres(""),
        PREFECT_SERVER_API_AUTH_STRING: PASSWORD,
        PREFECT_API_AUTH_STRING: PASSWORD,
    }
    with temporary_settings(settings), serving(tmp_path / "home") as url:
        yield url


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_server_on_postgres_behind_a_password(
    postgres: Callable[[str], str], server: str, tmp_path: Path
) -> None:
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
    assert "Completed" in postgres("select state_name from flow_run").splitlines()
    assert not (tmp_path / "home" / "prefect.db").exists()
