"""Servers with the S3 protocol: moto, s3rver, which replaces files in silence, and OpenStack Swift.

The last two are installed into a folder of the user's cache at their first use, and found there from then on.
"""

from __future__ import annotations

import fcntl
import getpass
import io
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from werkzeug.wsgi import get_input_stream

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

S3RVER = "s3rver@3.7.1"
"""It ignores `If-None-Match: *`."""

S3RVER_KEY = "S3RVER"
"""The only access key that it has, and its secret."""

SWIFT = "swift==2.38.3"
SWIFT_SERVERS = ("account", "container", "object", "proxy")
SWIFT_KEY, SWIFT_SECRET = "grid:tide", "some-secret"

STORAGE_SETTINGS = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""

PROXY_SETTINGS = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
[pipeline:main]
pipeline = catch_errors gatekeeper cache listing_formats s3api tempauth slo proxy-server
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:cache]
use = egg:swift#memcache
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_grid_tide = {secret} .admin
[filter:slo]
use = egg:swift#slo
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
"""


BUILD_RINGS = """
import sys
from swift.common.ring import RingBuilder

folder, *servers = sys.argv[1:]
for name, port in (server.split("=") for server in servers):
    builder = RingBuilder(2, 1, 1)
    place = {"ip": "127.0.0.1", "port": int(port), "replication_ip": "127.0.0.1", "replication_port": int(port)}
    builder.add_dev({"region": 1, "zone": 1, "device": "disk", "weight": 1.0, "meta": "", **place})
    builder.rebalance()
    builder.get_ring().save(f"{folder}/{name}.ring.gz")
"""
"""Builds the ring of each server of Swift; `swift-ring-builder` would start a process for each step of each."""


def answer_serially(app: WSGIApplication) -> WSGIApplication:
    """The application, which answers one request at a time, each after its whole body has been read.

    Moto looks whether a name exists and then writes it, without a lock between: two threads that create one name at
    once are both told that they did (7 of 300 names, six clients, threads that switch often). S3 lets one of them win.
    """
    turn = threading.Lock()

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = get_input_stream(environ).read()
        environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), "wsgi.input_terminated": True}
        with turn:
            return list(app(environ, start_response))

    return answer


@contextmanager
def serving_moto() -> Iterator[str]:
    """The endpoint of a moto server, over HTTP, that accepts any credentials and creates a name only once.

    It logs no requests, and looks up each service once: with the log, and the look into the folders of moto for each
    request, an answer took several times as long.
    """
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    class SilentHandler(MotoRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Log nothing."""

    dispatcher = DomainDispatcherApplication(create_backend_app)
    dispatcher.get_backend_for_host = cache(dispatcher.get_backend_for_host)
    application = answer_serially(dispatcher)
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=SilentHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


@contextmanager
def serve_s3rver(folder: Path) -> Iterator[str]:
    """The URL of an s3rver with its data in `folder`, with the key `S3RVER_KEY`; skips where it cannot be installed."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("no npm and node here to run s3rver: apt-get install npm")
    options = ["install", "--no-audit", "--no-fund", "--no-save", S3RVER, "--prefix"]
    program = _install(S3RVER, lambda home: _run(npm, *options, str(home))) / "node_modules/s3rver/bin/s3rver.js"
    (folder / "data").mkdir(parents=True)
    port = free_port()
    command = [
        node,
        str(program),
        "--directory",
        str(folder / "data"),
        "--port",
        str(port),
        "--allow-mismatched-signatures",
    ]
    with running_program(command, partial(_listens, port), folder / "log"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def serve_swift(folder: Path) -> Iterator[str]:
    """The URL of OpenStack Swift with the protocol of S3 and its data in `folder`, with the credentials `SWIFT_KEY` and
    `SWIFT_SECRET`; skips where it cannot be installed."""
    programs = _install(SWIFT, _install_swift) / "bin"
    ports = {name: free_port() for name in SWIFT_SERVERS}
    (folder / "devices/disk").mkdir(parents=True)
    (folder / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_suffix = tests\n[storage-policy:0]\nname = disk\ndefault = yes\n"
    )
    known = {"user": getpass.getuser(), "folder": folder, "secret": SWIFT_SECRET}
    for name, port in ports.items():
        template = PROXY_SETTINGS if name == "proxy" else STORAGE_SETTINGS
        (folder / f"{name}.conf").write_text(template.format(name=name, port=port, **known))
    _run(
        str(programs / "python"),
        "-c",
        BUILD_RINGS,
        str(folder),
        *(f"{name}={ports[name]}" for name in SWIFT_SERVERS[:-1]),
    )
    with ExitStack() as stack:
        for name in SWIFT_SERVERS:  # only the last is waited for, the proxy, after all of them have begun to start
            command = [str(programs / f"swift-{name}-server"), str(folder / f"{name}.conf")]
            is_ready = partial(all_listen, ports.values()) if name == SWIFT_SERVERS[-1] else lambda: True
            stack.enter_context(running_program(command, is_ready, folder / f"{name}.log"))
        yield f"http://127.0.0.1:{ports['proxy']}"


def all_listen(ports: Iterable[int]) -> bool:
    """Whether a program listens at each of `ports`."""
    return all(_listens(port) for port in ports)


def _install_swift(home: Path) -> None:
    venv.create(home, with_pip=True)
    _run(str(home / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", SWIFT)


def _install(requirement: str, install: Callable[[Path], None]) -> Path:
    """The folder in the user's cache where `requirement` is installed, by the first process that asks for it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gridtide-tests"
    home = cache / f"{requirement.replace('@', '-').replace('==', '-')}-py{sys.version_info[0]}.{sys.version_info[1]}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            shutil.rmtree(home, ignore_errors=True)
            try:
                install(home)
            except (OSError, subprocess.SubprocessError) as error:
                pytest.skip(f"{requirement} cannot be installed here: {error}")
            (home / "complete").touch()
    return home


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=180)


def free_port() -> int:
    """A port of this machine that nothing uses."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def running_program(command: list[str], is_ready: Callable[[], bool], log: Path) -> Iterator[None]:
    """Run `command` until the end of the block, which begins when it is ready."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            while not is_ready():
                assert process.poll() is None, log.read_text()
                time.sleep(0.1)
            yield
        finally:
            process.kill()


def _listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0
