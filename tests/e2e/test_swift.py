"""A lake in OpenStack Swift, another real server with the protocol of S3: filled, compacted, killed and read."""

import asyncio
import json
import os
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from deployments.cli.status import read_status
from flows.backfill import backfill
from flows.compact import compact
from gridtide import curated
from gridtide.config.loading import parse
from gridtide.lake import Lake
from gridtide.periods import Period
from tests.support.processes.s3_servers import SWIFT_KEY, SWIFT_SECRET, serve_swift

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.usefixtures("prefect_server")]

ROOT = Path(__file__).parents[2]
START, END = datetime(2024, 1, 30, tzinfo=UTC), datetime(2024, 2, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Swift for the tests of this module."""
    with serve_swift(tmp_path_factory.mktemp("swift") / "server") as url:
        yield url


@pytest.fixture
def lake(swift: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The address of an empty lake in Swift, for which the environment has the credentials."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    settings = {
        "CONFIG_FILE": str(tmp_path / "config"),
        "SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "EC2_METADATA_DISABLED": "true",
        "ACCESS_KEY_ID": SWIFT_KEY,
        "SECRET_ACCESS_KEY": SWIFT_SECRET,
        "ENDPOINT_URL": swift,
        "DEFAULT_REGION": "us-east-1",
    }
    for name, text in settings.items():
        monkeypatch.setenv(f"AWS_{name}", text)
    bucket = f"bucket-{uuid.uuid4().hex}"
    boto3.Session().client("s3").create_bucket(Bucket=bucket)
    return f"s3://{bucket}/lake"


def configured(lake: str, chunk: str) -> dict[str, Any]:
    """A configuration of one synthetic entry with files of `chunk`."""
    params = {"variables": ["demand"]}
    api = {"name": "grid", "source": "synthetic", "output_folder": "grid", "params": params, "chunk": chunk}
    return {"lake": lake, "apis": [api]}


async def read_hours(settings: dict[str, Any], end: datetime) -> list[datetime]:
    """The hours of all rows in the lake, as often as they occur."""
    table = await curated.read(Lake.open(settings["lake"]), parse(settings).apis, START, end)
    return sorted(table["interval_start"].to_pylist())


async def test_a_lake_in_swift_is_filled_compacted_and_shown(lake: str) -> None:
    """The probe passes; a backfill stores every hour once, its repetition requests nothing, the months have the same
    rows, and the status has no problem."""
    await Lake.open(lake).store.probe()
    settings = configured(lake, "P1D")
    hours = [START + number * HOUR for number in range((END - START) // HOUR)]
    report = await backfill(START, END, config=settings)
    assert report["statistics"]["successful_chunks"] == 4
    assert await read_hours(settings, END) == hours
    assert (await backfill(START, END, config=settings))["statistics"]["chunks"] == 0
    compacted = await compact(settings)
    assert [row["months"] for row in compacted["results"]] == [["2024-01", "2024-02"]]
    assert await read_hours(settings, END) == hours
    assert (await compact(settings))["summary"]["files"] == 0
    (status,) = await read_status(parse(settings).apis, Lake.open(lake), datetime.now(UTC))
    assert (status.files, status.rows, status.problems, status.failures) == (4, 24, (), ())
    assert status.covered_periods == (Period(START, END),)


async def test_a_backfill_into_swift_is_killed_and_goes_on(lake: str, tmp_path: Path, prefect_server: str) -> None:
    """After a kill in the middle, the next backfill requests only what is missing, and every hour is there once."""
    settings = configured(lake, "PT6H")
    end = START + timedelta(days=15)
    (tmp_path / "api_config.json").write_text(json.dumps(settings))
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deployments.cli", "backfill", "--config", str(tmp_path / "api_config.json")),
        *("--start", START.isoformat(), "--end", end.isoformat()),
        cwd=ROOT,
        env={**os.environ, "PREFECT_API_URL": prefect_server},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    opened = Lake.open(lake)
    while len(await opened.list_files("grid", "grid")) < 3:
        assert command.returncode is None, (await command.communicate())[0].decode()
        await asyncio.sleep(0.1)
    command.kill()
    await command.communicate()
    stored = len(await opened.list_files("grid", "grid"))
    assert 3 <= stored < 60
    report = await backfill(START, end, config=settings)
    assert 0 < report["statistics"]["chunks"] <= 60 - stored  # Swift may still store what was sent before the kill
    assert await read_hours(settings, end) == [START + number * HOUR for number in range(15 * 24)]
