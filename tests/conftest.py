"""Fixtures that tests of several folders share."""

import gc
import os
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import settings

from gridtide.config.loading import parse
from gridtide.entries.entry import Entry
from tests.support.processes.prefect_servers import furnish, prefect_database, serving
from tests.support.processes.s3_servers import serving_moto
from tests.support.upstreams.eia_upstream import EiaUpstream, StartUpstream

# A shared machine may pause in any example, which says nothing about the property. The same examples run each time, so
# that the suite judges the change; `make explore` looks for new ones.
settings.register_profile("gridtide", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("gridtide")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in its background with SIGINT ignored; what tests start would ignore it, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

gc.disable()  # until all is imported: each pass over it finds nothing to free, and they are a fifth of that time


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:  # also of the process that only hands out tests, which collects none
    """Free memory again, without a look at what was imported: it stays."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests run first, each by itself where it shares no fixture with its module, so that several processes end
    at about the same time; all other tests of a module run in one process.

    Among the slow ones, those that mostly wait for processes they started are spread evenly, so that at any time some
    wait while others compute: one after the other they would leave half of the cores idle.
    """
    for item in items:
        if "slow" not in item.keywords or shares_with_module(item):
            item.add_marker(pytest.mark.xdist_group(str(item.path.relative_to(item.config.rootpath))))
    # what shares a fixture stays together, also in a single process, or the fixture is made for each test anew
    units = {item: item.path if shares_with_module(item) else item for item in items if "slow" in item.keywords}
    waiting = [unit for item, unit in units.items() if WAITING in item.path.parts]
    computing = [unit for item, unit in units.items() if WAITING not in item.path.parts]
    places: dict[object, float] = {}
    for part in (waiting, computing):
        for number, unit in enumerate(part):
            places.setdefault(unit, (number + 0.5) / len(part))
    items.sort(key=lambda item: places[units[item]] if item in units else 1.0)


WAITING = "deployments"
"""The folder of the tests that start servers and workers and wait for their runs."""


def shares_with_module(item: pytest.Item) -> bool:
    """Whether a test uses a fixture of its module, class or package."""
    fixtures = item._fixtureinfo.name2fixturedefs.values()  # type: ignore[attr-defined]  # of test functions
    return any(definitions[-1].scope not in ("function", "session") for definitions in fixtures)


@pytest.fixture(scope="session")
def migrated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Prefect database to copy, the same for all processes of the session and for later sessions with these
    versions: to make it takes as long as three starts of a server."""
    versions = "-".join(f"{name}-{version(name)}" for name in ("prefect", "prefect-aws"))
    cache: pytest.Cache | None = getattr(request.config, "cache", None)
    if cache is not None and os.access(request.config.rootpath, os.W_OK):
        return prefect_database(cache.mkdir(versions))
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / versions
    folder.mkdir(exist_ok=True)
    return prefect_database(folder)


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Path:
    """PREFECT_HOME of the session's Prefect server: its database, log and results."""
    return furnish(tmp_path_factory.mktemp("prefect"), migrated)


@pytest.fixture(scope="session")
def prefect_server(prefect_home: Path) -> Iterator[str]:
    """The URL of a Prefect server for this session, which its flows use."""
    with serving(prefect_home) as url:
        yield url


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """The endpoint of an S3 server for this session, over HTTP, that accepts any credentials."""
    with serving_moto() as url:
        yield url


@pytest.fixture
def bucket(s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an empty bucket, for which the environment has the AWS chain."""
    import boto3

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "some-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "some-secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_url)
    name = f"bucket-{uuid.uuid4().hex}"
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=name)
    return name


@pytest.fixture
async def eia_upstream() -> AsyncIterator[StartUpstream]:
    """A function that starts an `EiaUpstream` and returns an entry for it; all stop with the test."""
    servers: list[TestServer] = []

    async def start(hours: int, **keys: Any) -> tuple[EiaUpstream, Entry]:
        upstream = EiaUpstream(hours)
        app = web.Application()
        app.router.add_get("/{path:.*}", upstream.answer)
        server = TestServer(app)
        await server.start_server()
        servers.append(server)
        api = {
            "name": "demand",
            "source": "eia",
            "url": str(server.make_url("/v2/electricity/rto/region-data/data/")),
            "output_folder": "eia_demand",
            "rate_limit": None,
            **keys,
        }
        return upstream, parse({"apis": [api]}).apis[0]

    yield start
    for server in servers:
        await server.close()
