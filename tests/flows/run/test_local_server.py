"""The local Prefect server: shared, found again, replaced if it died, never confused with another."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_SERVER_API_AUTH_STRING,
    PREFECT_SERVER_API_PORT,
    temporary_settings,
)

from flows.run.local_server import ensure_server, find_cause, find_server, stop_server
from gridtide.errors import CredentialsError, GridtideError
from tests.support.processes.prefect_servers import furnish

PRINT_URL = "from flows.run.local_server import ensure_server; print(ensure_server())"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A PREFECT_HOME without a server; a server that a test starts in it is stopped at the end."""
    settings = {PREFECT_HOME: tmp_path, PREFECT_SERVER_API_PORT: 0}
    with temporary_settings(settings, restore_defaults={PREFECT_API_URL}):
        (tmp_path / "gridtide").mkdir()
        yield tmp_path
        stop_server()


def remember(home: Path, port: int, pid: int) -> None:
    """Write the state file of a server."""
    state = {"port": port, "pid": pid, "identity": "0123456789abcdef"}
    (home / "gridtide" / "server.json").write_text(json.dumps(state))


def test_without_a_server_there_is_none_to_report_or_stop(home: Path) -> None:
    """Without a server there is nothing to find or stop, and no error."""
    assert find_server() is None
    assert stop_server() is None


async def test_a_stranger_at_the_port_is_not_ours(home: Path) -> None:
    """A server that shows another identity is neither used nor stopped, whatever its pid."""

    async def healthy(request: web.Request) -> web.Response:
        return web.json_response(True)

    app = web.Application()
    app.router.add_get("/api/health", healthy)
    async with TestServer(app) as stranger:
        assert stranger.port is not None
        remember(home, stranger.port, os.getpid())
        assert await asyncio.to_thread(find_server) is None
        assert await asyncio.to_thread(stop_server) is None


def test_a_reused_pid_is_left_alone(home: Path, unused_tcp_port: int) -> None:
    """If another process has the pid of a dead server, it gets no signal."""
    remember(home, unused_tcp_port, os.getpid())
    assert find_server() is None
    assert stop_server() is None


def test_a_given_api_that_does_not_answer_is_named(home: Path, unused_tcp_port: int) -> None:
    """If PREFECT_API_URL does not answer, the error names it, and no other server is started."""
    url = f"http://127.0.0.1:{unused_tcp_port}/api"
    with temporary_settings({PREFECT_API_URL: url}), pytest.raises(GridtideError, match="does not answer") as caught:
        ensure_server()
    assert url in str(caught.value)
    assert "unset PREFECT_API_URL" in str(caught.value)
    assert not (home / "gridtide" / "server.log").exists()


def test_what_is_no_prefect_api_is_named(prefect_server: str) -> None:
    """A URL that is not a Prefect API, such as that of the UI, is refused with the fix."""
    ui = prefect_server.removesuffix("/api")
    said = rf"the server at {ui} is not a Prefect API \(HTTP 404\)\. Give its URL with /api at the end"
    with temporary_settings({PREFECT_API_URL: ui}), pytest.raises(GridtideError, match=said):
        ensure_server()


@pytest.mark.slow
def test_a_server_that_refuses_the_password_is_named(home: Path, migrated: Path) -> None:
    """A wrong password is an error, for the local server and for a given one; the right password works."""
    furnish(home, migrated)
    right, wrong = {PREFECT_API_AUTH_STRING: "operator:right"}, {PREFECT_API_AUTH_STRING: "operator:wrong"}
    with temporary_settings({PREFECT_SERVER_API_AUTH_STRING: "operator:right", **right}):
        url = ensure_server()
    for given in ({}, wrong, {PREFECT_API_URL: url}, {PREFECT_API_URL: url, **wrong}):
        with temporary_settings(given), pytest.raises(CredentialsError, match=r"PREFECT_API_AUTH_STRING: .* refuses"):
            ensure_server()
    with temporary_settings(right):
        assert ensure_server() == url


def test_a_given_api_that_answers_is_used(prefect_server: str) -> None:
    """If PREFECT_API_URL answers, it is used unchanged."""
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        assert ensure_server() == prefect_server


def test_the_running_server_is_found_again(prefect_server: str) -> None:
    """A command of another process uses the running server without starting one."""
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        before = find_server()
        assert ensure_server() == prefect_server
        assert find_server() == before


async def test_writers_at_once_wait_for_each_other(prefect_server: str) -> None:
    """Four clients that write the states of runs at once are all answered by the state: none is told to come again, as
    the database is locked, and the log of the server has no error of it."""
    log = PREFECT_HOME.value() / "gridtide" / "server.log"
    errors_before = log.read_text().count("database is locked")
    async with httpx.AsyncClient(base_url=prefect_server, timeout=120) as client:
        flow = (await client.post("/flows/", json={"name": "writers"})).json()["id"]

        async def write() -> list[int]:
            responses = []
            for _ in range(5):
                responses.append(await client.post("/flow_runs/", json={"flow_id": flow}))
                states = f"/flow_runs/{responses[-1].json()['id']}/set_state"
                for kind in ("PENDING", "RUNNING", "COMPLETED"):
                    responses.append(await client.post(states, json={"state": {"type": kind}}))
            return [response.status_code for response in responses]

        answers = await asyncio.gather(*(write() for _ in range(4)))
    assert {status for statuses in answers for status in statuses} == {200, 201}
    assert log.read_text().count("database is locked") == errors_before


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_one_server_for_all_and_a_new_one_for_the_dead(home: Path, migrated: Path) -> None:
    """Commands that start at the same moment share one server, which outlives them; a killed server is replaced, and
    a stopped one is gone."""
    furnish(home, migrated)
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    environment |= {"PREFECT_HOME": str(home), "PREFECT_SERVER_API_PORT": "0"}
    commands = [
        subprocess.Popen([sys.executable, "-c", PRINT_URL], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    urls = {command.communicate()[0].strip() for command in commands}
    first = find_server()
    assert first is not None
    assert urls == {first.url}

    os.kill(first.pid, 9)
    ensure_server()
    second = find_server()
    assert second is not None
    assert second.pid != first.pid

    assert stop_server() == second
    assert find_server() is None


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_server_that_cannot_start_names_its_log(home: Path) -> None:
    """The error of a server that cannot start contains the last line and the path of its log."""
    (home / "prefect.db").mkdir()
    with pytest.raises(GridtideError, match="its process ended with code") as caught:
        ensure_server()
    assert str(home / "gridtide" / "server.log") in str(caught.value)


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        ("", ""),
        ("started\nAddress already in use\n", "Address already in use"),
        (
            "Traceback\n  File x\nsqlalchemy.exc.DatabaseError: (sqlite3.DatabaseError) file is not a database\n"
            "(Background on this error at: https://sqlalche.me)\n\nERROR:    Application startup failed. Exiting.\n",
            "sqlalchemy.exc.DatabaseError: (sqlite3.DatabaseError) file is not a database",
        ),
        ("ERROR:    Application startup failed. Exiting.", "ERROR:    Application startup failed. Exiting."),
    ],
    ids=["empty", "last line", "exception", "nothing else"],
)
def test_the_cause_in_a_log_is_the_exception(log: str, cause: str) -> None:
    """A last line that only says that the application did not start gives way to the exception before it."""
    assert find_cause(log) == cause
