"""The embedded default: one local Prefect server on SQLite, shared by all commands of a user.

    ensure_server ─► PREFECT_API_URL set? ─► that one, if it answers
                  └► ours answers?        ─► that one
                  └► start server_process, detached; several may be started at the same moment,
                     all but one leave at once, and everybody waits for the one

State is in `PREFECT_HOME/gridtide`: server.json (port, pid, identity), server.lock (held by the
server while it lives) and server.log. A server is ours if it shows the identity of the state file,
so neither a dead or reused pid nor a stranger at the port is taken for it.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.logging import get_logger
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, get_current_settings, temporary_settings

from flows.run.server_process import HOST, IDENTITY
from gridtide.errors import CredentialsError, GridtideError
from tasks.prefect_home import make_writable

SETTINGS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    # In memory, a restart of the server would leak the slots of concurrency limits.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # The defaults write every task run by itself, at three times the CPU.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TRIGGERS_READ_BATCH_SIZE": "50",
}
"""What the local server is started with, unless the environment or the profile says otherwise."""


LOGGED = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING"}
"""What server and worker write to their logs, however quiet the command is that starts them."""


START_TIMEOUT = 300.0


STOP_TIMEOUT = 30.0


ANSWER_TIMEOUT = 30.0


REFUSALS = (401, 403)


@dataclass(frozen=True)
class Server:
    """The local server, as its state file describes it."""

    port: int
    pid: int
    identity: str

    @property
    def url(self) -> str:
        """Where its API is."""
        return f"{self.ui}/api"

    @property
    def ui(self) -> str:
        """Where its UI is."""
        return f"http://{HOST}:{self.port}"


def ensure_server() -> str:
    """The URL of the Prefect API to use, once it answers.

    That is `PREFECT_API_URL` where the environment or the profile sets it, else the local server,
    which is started if it does not run yet. Raises `GridtideError` if there is no answer, `CredentialsError`
    if it is refused.
    """
    url = get_current_settings().api.url
    if url:
        _check_answers(url)
        return url
    server = server_status() or _start_server()
    check_lets_in(server)
    return server.url


def server_status() -> Server | None:
    """The local server if it answers, else None."""
    try:
        state = json.loads((state_folder() / "server.json").read_text())
    except FileNotFoundError:
        return None
    server = Server(**state)
    try:
        answer = _ask_server(server, "/api/health")
    except (OSError, http.client.HTTPException):
        return None
    return server if answer.status == 200 and answer.getheader(IDENTITY) == server.identity else None


def check_lets_in(server: Server) -> None:
    """Raise `CredentialsError` where the local server, which tells its health to anybody, answers nothing else."""
    password = get_current_settings().api.auth_string
    token = b64encode((password.get_secret_value() if password else "").encode()).decode()
    # by hand, as Prefect's client takes 50 ms to make
    answer = _ask_server(server, "/api/admin/version", Authorization=f"Basic {token}")
    if answer.status in REFUSALS:
        raise _is_refused(server.url)


def _ask_server(server: Server, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(HOST, server.port, timeout=ANSWER_TIMEOUT)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse()
    finally:
        connection.close()


def stop_server() -> Server | None:
    """End the local server and return which it was, None if none ran."""
    server = server_status()
    if server is None:
        return None
    os.kill(server.pid, signal.SIGTERM)
    state = state_folder() / "server.json"
    deadline = time.monotonic() + STOP_TIMEOUT
    while state.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    if server_status() == server:
        os.kill(server.pid, signal.SIGKILL)
    return server


def state_folder() -> Path:
    """Where the state, locks and logs of what runs on this machine are."""
    return get_current_settings().home / "gridtide"


def _check_answers(url: str) -> None:
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
        get_client(httpx_settings={"timeout": ANSWER_TIMEOUT}, sync_client=True) as client,
    ):
        error = client.api_healthcheck()
        if isinstance(error, PrefectHTTPStatusError):
            raise GridtideError(
                "PREFECT_API_URL",
                f"what answers at {url} is no Prefect API (HTTP {error.response.status_code})",
                "Give its URL with /api at the end, or unset PREFECT_API_URL to use the local one",
            ) from error
        if error is not None:
            raise GridtideError(
                "PREFECT_API_URL",
                f"the Prefect API at {url} does not answer: {str(error).rstrip('.')}",
                "Start that server, or unset PREFECT_API_URL to use the local one",
            ) from error
        try:
            client.read_flows(limit=1)  # its health it tells to anybody
        except PrefectHTTPStatusError as refusal:
            if refusal.response.status_code not in REFUSALS:
                raise
            raise _is_refused(url) from refusal


def _is_refused(url: str) -> CredentialsError:
    return CredentialsError(
        "PREFECT_API_AUTH_STRING",
        f"the Prefect API at {url} refuses it, or there is none",
        "Set it to what that server was started with (PREFECT_SERVER_API_AUTH_STRING)",
    )


def _start_server() -> Server:
    folder = make_writable(state_folder())
    deadline = time.monotonic() + START_TIMEOUT
    process = _spawn_server(folder)
    while time.monotonic() < deadline:
        server = server_status()
        if server is not None:
            get_logger("gridtide").info("The local Prefect server is up, its UI is at %s", server.ui)
            return server
        if process.poll():
            raise _describe_failure(folder, f"its process ended with code {process.returncode}")
        if process.poll() == 0 and not (folder / "server.json").exists():
            process = _spawn_server(folder)  # the one that ours made way for has ended
        time.sleep(0.2)
    raise _describe_failure(folder, f"it did not answer within {START_TIMEOUT:g} s")


def _spawn_server(folder: Path) -> subprocess.Popen[bytes]:
    """A server process that outlives this one and its terminal."""
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    with (folder / "server.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603  # our own script
            # -P: the folder of the script is not searched for modules
            [sys.executable, "-P", str(Path(__file__).with_name("server_process.py")), str(folder)],
            env={**SETTINGS, **os.environ, **settings, **LOGGED},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _describe_failure(folder: Path, happened: str) -> GridtideError:
    log = folder / "server.log"
    last = log.read_text(errors="replace").strip().rpartition("\n")[2]
    return GridtideError("the local Prefect server", f"{happened}: {last}" if last else happened, f"Its log is {log}")
