"""The local Prefect server: one server on SQLite that all commands of a user share. It is used by default.

    ensure_server ─► PREFECT_API_URL is set?    ─► that server, if it answers
                  └► the local server answers?  ─► the local server
                  └► start server_process in the background. If several processes start one at the same moment,
                     all but one of them end at once, and every command uses the remaining one

Its state is in `PREFECT_HOME/gridtide`: server.json (port, pid, identity), server.lock (locked while the server runs)
and server.log. The local server is the one that shows the identity of the state file in its answers, so that a dead
process, a reused pid or another program at the port is not mistaken for it.
"""

from __future__ import annotations

import http.client
import json
import os
import re
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
    # With leases in memory, a restart of the server would leak the slots of concurrency limits.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # The defaults write every task run in a transaction of its own, which takes three times the CPU.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TRIGGERS_READ_BATCH_SIZE": "50",
}
"""The Prefect settings of the local server, unless the environment or the profile sets them."""


LOGGED = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING"}
"""The log level of server and worker, whatever that of the command that starts them is."""


START_TIMEOUT = 300.0
"""Seconds for a server to start. At the first start it migrates its database, minutes of work on a loaded machine."""


STOP_TIMEOUT = 30.0
"""Seconds for a process to end after SIGTERM, before it is killed."""


ANSWER_TIMEOUT = 30.0
"""Seconds for a running server to answer: it may be busy with the states of many runs."""


LAST_LINES = 100
"""The lines at the end of a server's log in which the cause of its end is looked for."""

EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception): ")
"""The last line of a traceback."""

REFUSALS = (401, 403)
"""The statuses with which a server refuses a password."""


@dataclass(frozen=True)
class Server:
    """The local server, as its state file describes it."""

    port: int
    pid: int
    identity: str

    @property
    def url(self) -> str:
        """The URL of its API."""
        return f"{self.ui}/api"

    @property
    def ui(self) -> str:
        """The URL of its UI."""
        return f"http://{HOST}:{self.port}"


def ensure_server() -> str:
    """The URL of a Prefect API that answers.

    This is `PREFECT_API_URL` if the environment or the profile sets it, else that of the local server, which is started
    if it does not run. Raises `GridtideError` if the API does not answer, `CredentialsError` if it refuses access.
    """
    api_url = get_current_settings().api.url
    if api_url:
        _check_api(api_url)
        return api_url
    server = find_server() or _start_server()
    check_access(server)
    return server.url


def find_server() -> Server | None:
    """The local server if it answers, else None."""
    try:
        state = json.loads((find_state_folder() / "server.json").read_text())
    except FileNotFoundError:
        return None
    server = Server(**state)
    try:
        response = _send_request(server, "/api/health")
    except (OSError, http.client.HTTPException):
        return None
    return server if response.status == 200 and response.getheader(IDENTITY) == server.identity else None


def check_access(server: Server) -> None:
    """Raise `CredentialsError` if the local server, whose health check needs no password, refuses other requests."""
    password = get_current_settings().api.auth_string
    token = b64encode((password.get_secret_value() if password else "").encode()).decode()
    # without Prefect's client, which takes 50 ms to create
    response = _send_request(server, "/api/admin/version", Authorization=f"Basic {token}")
    if response.status in REFUSALS:
        raise _is_password_refused(server.url)


def _send_request(server: Server, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(HOST, server.port, timeout=ANSWER_TIMEOUT)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse()
    finally:
        connection.close()


def stop_server() -> Server | None:
    """Stop the local server and return it, None if none runs."""
    server = find_server()
    if server is None:
        return None
    os.kill(server.pid, signal.SIGTERM)
    state_file = find_state_folder() / "server.json"
    deadline = time.monotonic() + STOP_TIMEOUT
    while state_file.exists() and time.monotonic() < deadline:  # the server removes it last
        time.sleep(0.1)
    if find_server() == server:  # the pid alone may be that of another process by now
        os.kill(server.pid, signal.SIGKILL)
    return server


def find_state_folder() -> Path:
    """The folder with the state, locks and logs of server and worker on this machine."""
    return get_current_settings().home / "gridtide"


def _check_api(api_url: str) -> None:
    """Raise the error that `ensure_server` describes if there is no Prefect API at `api_url`."""
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
        get_client(httpx_settings={"timeout": ANSWER_TIMEOUT}, sync_client=True) as client,
    ):
        error = client.api_healthcheck()
        if isinstance(error, PrefectHTTPStatusError):
            raise GridtideError(
                "PREFECT_API_URL",
                f"the server at {api_url} is not a Prefect API (HTTP {error.response.status_code})",
                "Give its URL with /api at the end, or unset PREFECT_API_URL to use the local one",
            ) from error
        if error is not None:
            raise GridtideError(
                "PREFECT_API_URL",
                f"the Prefect API at {api_url} does not answer: {str(error).rstrip('.')}",
                "Start that server, or unset PREFECT_API_URL to use the local one",
            ) from error
        try:
            client.read_flows(limit=1)  # the health check above needs no password
        except PrefectHTTPStatusError as refusal:
            if refusal.response.status_code not in REFUSALS:
                raise
            raise _is_password_refused(api_url) from refusal


def _is_password_refused(api_url: str) -> CredentialsError:
    return CredentialsError(
        "PREFECT_API_AUTH_STRING",
        f"the Prefect API at {api_url} refuses it, or it is not set",
        "Set it to the password of that server (its PREFECT_SERVER_API_AUTH_STRING)",
    )


def _start_server() -> Server:
    folder = make_writable(find_state_folder())
    deadline = time.monotonic() + START_TIMEOUT
    process = _spawn_server(folder)
    while time.monotonic() < deadline:
        server = find_server()
        if server is not None:
            get_logger("gridtide").info("The local Prefect server is up, its UI is at %s", server.ui)
            return server
        if process.poll():
            raise _describe_failure(folder, f"its process ended with code {process.returncode}")
        if process.poll() == 0 and not (folder / "server.json").exists():
            process = _spawn_server(folder)  # ours ended in favour of another server, which has ended too
        time.sleep(0.2)
    raise _describe_failure(folder, f"it did not answer within {START_TIMEOUT:g} s")


def _spawn_server(folder: Path) -> subprocess.Popen[bytes]:
    """Start a server process that continues after this process and its terminal end."""
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


def find_cause(log: str) -> str:
    """The line of `log` that says why its process ended: the last one, or the exception before it if that only says
    that the application did not start."""
    lines = log.strip().splitlines()[-LAST_LINES:]
    if lines and lines[-1].endswith("Application startup failed. Exiting."):
        return next((line for line in reversed(lines) if EXCEPTION.match(line)), lines[-1])
    return lines[-1] if lines else ""


def _describe_failure(folder: Path, happened: str) -> GridtideError:
    log_file = folder / "server.log"
    if cause := find_cause(log_file.read_text(errors="replace")):
        happened = f"{happened}: {cause}"
    return GridtideError("the local Prefect server", happened, f"Read its log, {log_file}")
