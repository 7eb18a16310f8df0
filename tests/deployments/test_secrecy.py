"""Credentials of upstreams and receivers in runs of a worker."""

from __future__ import annotations

import html
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from flows.run.local_server import find_server
from tests.support.planted import holding
from tests.support.processes.machine import gridtide, start, started, until, until_events
from tests.support.upstreams.upstream import ROWS

KEY, PASSWORD = 'planted/key+8f14 e45f=&"<%', 'planted/password:c9f0 f895=&"<%+'
HOOK, USER, SERVER = "planted/hook+45c48cce=", "planted/user+d3d94468=", "planted/server+6512bd43="
"""What URLs, JSON, HTML and Base64 all spell differently."""

NEW = "another-key"
"""The only one that is taken under /new/."""


class Echo(BaseHTTPRequestHandler):
    """A server that repeats the credentials that it gets, under /bad/ in an error, and under /new/ in an error if
    they are not the new ones; as a receiver it always fails."""

    def do_GET(self) -> None:
        """Answer with rows and the credentials."""
        asked = {name: self.headers.get(name, "") for name in ("X-Api-Key", "Authorization")}
        ways = (str, repr, html.escape, quote_plus, lambda text: quote(text, safe=""))
        said = [way(KEY if self.path.endswith("key") else PASSWORD) for way in ways]
        refused = self.path.startswith("/bad") or (self.path == "/new/key" and asked["X-Api-Key"] != NEW)
        remark = {"error" if refused else "request": f"refused: {asked} {said}"}
        self.answer(400 if refused else 200, {**remark, "rows": ROWS})

    def do_POST(self) -> None:
        """Fail."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(500, {"path": self.path})

    def answer(self, status: int, body: dict[str, Any]) -> None:
        """Answer with JSON."""
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture
def echo() -> Iterator[str]:
    """The host and port of an `Echo`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def api(name: str, url: str, auth: dict[str, Any]) -> dict[str, Any]:
    """An entry at the echo."""
    keys = {"records": "rows", "time": "time", "value": "mw", "fresh": "PT1H", "schedule": "hourly"}
    return {"name": name, "url": url, "auth": auth, "output_folder": name, **keys}


@pytest.mark.slow
@pytest.mark.timeout(600)  # server, worker and runs import Prefect one after the other: long on a loaded machine
def test_credentials_are_nowhere_to_be_read_after_a_deployed_run(machine: Path, echo: str) -> None:
    """Credentials are not in the database, results, logs, lake or temporary files, in any encoding, although
    upstream and receiver fail and repeat them."""
    key = {"kind": "api_key", "env": "PLANTED_KEY"}
    password = {"kind": "basic", "username": "me@example.com"}
    apis = [
        api(f"{outcome}_{name}", f"http://{echo}/{outcome}/{name}", auth)
        for outcome in ("good", "bad")
        for name, auth in (("key", key), ("password", password))
    ]
    config = {"schedules": {"hourly": {"cron": "12 * * * *"}}, "task_retries": {"count": 0}, "apis": apis}
    (machine / "api_config.json").write_text(json.dumps(config))
    (machine / ".env").write_text(f"PLANTED_KEY='{KEY}'\nISO_NE_PASSWORD='{PASSWORD}'\n")
    own = {name: str(machine / name.lower()) for name in ("HOME", "TMPDIR")}
    for folder in own.values():
        Path(folder).mkdir(exist_ok=True)
    server_password = f"operator:{SERVER}"
    own |= {"PREFECT_SERVER_API_AUTH_STRING": server_password, "PREFECT_API_AUTH_STRING": server_password}
    hook = f"http://{quote(USER, safe='')}:x@{echo}/{quote(HOOK, safe='')}?token={quote(HOOK, safe='')}"
    output, _ = gridtide(machine, "up", GRIDTIDE_NOTIFY=hook, **own).communicate()
    server = find_server()
    assert server is not None, output
    with (
        temporary_settings({PREFECT_API_URL: server.url, PREFECT_API_AUTH_STRING: server_password}),
        get_client(sync_client=True) as client,
    ):
        failed = until(client, start(client, "ingest/hourly"), "Failed", "Completed", "Crashed")
        assert "2 of 4 entries failed: bad_key, bad_password" in str(failed.state)
        assert "400" in str(failed.state), "what is told says why"
        start(client, "notify/pending")
        # of this run or of the one that the failed delivery starts; the other waits for its end
        until_events(client, "prefect.task-run.AwaitingRetry", 1)
    stopped, _ = gridtide(machine, "down", **own).communicate()
    files = [path for path in machine.rglob("*") if path.is_file() and path.name != ".env"]
    assert {"prefect.db", "server.log", "worker.log"} <= {path.name for path in files}
    (machine / "said").write_text(output + stopped)
    found = holding([*files, machine / "said"], ["REDACTED", KEY, PASSWORD, HOOK, USER, SERVER])
    assert {said for _, said in found} == {"REDACTED"}
    assert {".db", ".log", ".zst"} <= {path.suffix for path, _ in found}, "what is packed is looked into"


@pytest.mark.slow
@pytest.mark.timeout(600)  # server, worker and runs import Prefect one after the other: long on a loaded machine
def test_a_key_that_is_changed_in_the_file_is_used_by_the_next_run(machine: Path, echo: str) -> None:
    """The next run uses a key that was changed in `.env`, although the worker was started with the old key."""
    (machine / ".env").write_text("ROTATED_KEY=old-key\n")
    entry = api("rotated", f"http://{echo}/new/key", {"kind": "api_key", "env": "ROTATED_KEY"})
    with started(machine, entry) as (client, _):
        (machine / ".env").write_text(f"ROTATED_KEY={NEW}\n")
        run = until(client, start(client, "ingest/hourly"), "Completed", "AwaitingRetry", "Failed", "Crashed")
        assert run.state_name == "Completed", run.state
