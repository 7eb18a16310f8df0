"""Fixtures for the tests of deployments."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from deployments.registry.notifications import VARIABLE
from tasks.notify.deliver import read_receivers
from tests.support.processes.machine import furnished
from tests.support.processes.prefect_servers import furnish, serving
from tests.support.processes.served import synthetic


@pytest.fixture(scope="module")
def prefect_home(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Path:
    """PREFECT_HOME of the module's Prefect server."""
    return furnish(tmp_path_factory.mktemp("prefect"), migrated)


@pytest.fixture(scope="module")
def prefect_server(prefect_home: Path) -> Iterator[str]:
    """The URL of a Prefect server for this module only, as deployments and automations affect the whole server."""
    with serving(prefect_home) as url:
        yield url


@pytest.fixture(scope="session")
def silent() -> Iterator[str]:
    """The URL of an upstream that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"


@pytest.fixture
def machine(tmp_path: Path, silent: str, migrated: Path) -> Iterator[Path]:
    """A folder with a configuration, and a PREFECT_HOME of its own."""
    slow = {"name": "slow", "url": silent, "output_folder": "slow", "schedule": "daily", "timeout": 300}
    with furnished(tmp_path, migrated, synthetic("grid", "hourly"), slow) as folder:
        yield folder


@pytest.fixture
async def nobody(prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """A server without receivers before and after the test, and without recent events."""
    monkeypatch.delenv(VARIABLE, raising=False)
    yield
    async with get_client() as client:
        for one in await read_receivers(client):
            await client.delete_block_document(one.block)  # type: ignore[arg-type]  # takes text as well
        for automation in await client.read_automations():
            await client.delete_automation(automation.id)
