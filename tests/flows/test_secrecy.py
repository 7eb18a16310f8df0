"""Credentials stay where they are needed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prefect.blocks.system import Secret

from flows.ingest import ingest
from flows.run.report import RunError
from tests.support.planted import holding
from tests.support.upstreams.upstream import ROWS

KEY, TOKEN, PASSWORD = "planted/key+5d41 402a=", 'planted/token+7d79 3037&"<%', "planted/password:b19f 1=+"
CLIENT_SECRET, ACCESS, COOKIE = (
    "planted/client+0cc1 75b9=",
    "planted.access-92eb5ffe.e6ae2fec",
    "planted-cookie-4a8a08f0",
)


async def echo(request: web.Request) -> web.Response:
    """An upstream that repeats the credentials in its answers, as EIA does; `/bad/…` answers with an error, `/login`
    with a token."""
    if request.path == "/login":
        return web.json_response({"access_token": ACCESS, "expires_in": 3600})
    said = {key: request.headers.get(key, "") for key in ("X-Api-Key", "X-Other-Key", "Authorization")}
    is_bad = request.path.startswith("/bad")
    body = {"rows": ROWS, "asked": said, "url": str(request.url)}
    body |= {"error" if is_bad else "request": f"refused: {said} at {request.url}"}
    response = web.json_response(body, status=400 if is_bad else 200)
    response.set_cookie("session", COOKIE)
    return response


@pytest.mark.usefixtures("prefect_server")
async def test_credentials_are_nowhere_to_be_read(
    tmp_path: Path, prefect_home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Credentials that the upstream repeats are not in the database (except in the encrypted block), results, logs,
    lake, error or report."""
    monkeypatch.setenv("PLANTED_KEY", KEY)
    monkeypatch.setenv("ISO_NE_PASSWORD", PASSWORD)
    monkeypatch.setenv("PLANTED_CLIENT_SECRET", CLIENT_SECRET)
    await Secret(value=TOKEN).save("planted", overwrite=True)
    auths: dict[str, dict[str, Any]] = {
        "key": {"kind": "api_key", "env": "PLANTED_KEY"},
        "token": {"kind": "bearer", "secret": "planted"},
        "password": {"kind": "basic", "username": "me@example.com"},
        "query": {"kind": "api_key", "env": "PLANTED_KEY", "in": "query", "name": "appid"},
        "login": {"kind": "oauth", "client_id": "me", "client_secret_env": "PLANTED_CLIENT_SECRET"},
    }
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", echo)
    async with TestServer(app) as server:
        apis = [
            {
                "name": f"{outcome}-{name}",
                "url": str(server.make_url(f"/{outcome}/{name}")),
                "auth": [
                    auth | ({"url": str(server.make_url("/login"))} if name == "login" else {}),
                    {"kind": "api_key", "env": "PLANTED_KEY", "name": "X-Other-Key"},
                ],
                "method": "POST" if name == "login" else "GET",
                "output_folder": f"{outcome}-{name}",
                "records": "rows",
                "time": "time",
                "value": "mw",
                "format": "raw" if name == "token" else "parquet",
                "fresh": "PT1H",
            }
            for outcome in ("good", "bad")
            for name, auth in auths.items()
        ]
        config = {"lake": str(tmp_path), "task_retries": {"count": 0}, "apis": apis}
        with pytest.raises(RunError, match="5 of 10 entries failed") as caught:
            await ingest(config=config)
    seen = [repr(caught.value), str(caught.value.report), caplog.text]
    files = [path for folder in (prefect_home, tmp_path) for path in folder.rglob("*") if path.is_file()]
    assert any(path.name.startswith("collect-") for path in files), "the results are in PREFECT_HOME"
    assert any(path.name == "prefect.db" for path in files)
    said = tmp_path / "said"
    said.write_text("\n".join(seen))
    assert holding([*files, said], (KEY, TOKEN, PASSWORD, CLIENT_SECRET, ACCESS, COOKIE)) == set()


@pytest.mark.slow
def test_a_script_finds_the_local_server(prefect_server: str, prefect_home: Path, tmp_path: Path) -> None:
    """`asyncio.run(ingest(…))` in a plain script uses the running server without any setting."""
    script = "import asyncio; from flows.ingest import ingest; print(asyncio.run(ingest(config=CONFIG)))"
    entry = {"name": "grid", "source": "synthetic", "output_folder": "grid", "params": {"variables": ["demand"]}}
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    done = subprocess.run(
        [sys.executable, "-c", script.replace("CONFIG", repr({"lake": str(tmp_path), "apis": [entry]}))],
        env=environment | {"PREFECT_HOME": str(prefect_home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "'pipeline_status': 'success'" in done.stdout
    assert prefect_server.removesuffix("/api") in done.stderr
