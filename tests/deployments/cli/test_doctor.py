"""`gridtide doctor`: each problem is reported with its fix, and hides no other."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentUpdate

from deployments.cli.doctor import CheckResult, as_dicts, check_records, examine, judge_clock, sum_up_exit_code
from deployments.registry.deploy import POOL, register_deployments
from gridtide import sandbox
from gridtide.config.loading import parse
from gridtide.periods import HOUR
from tests.support.processes.served import synthetic
from tests.support.upstreams.http_servers import serving

pytestmark = pytest.mark.usefixtures("prefect_server")

GRID = synthetic("grid", "hourly")
SCHEDULES = {"hourly": {"cron": "12 * * * *"}}


def upstream_entry(url: str, **auth: Any) -> dict[str, Any]:
    """An entry of EIA at `url`."""
    return {"name": "demand", "source": "eia", "url": f"{url}/v2/electricity/rto/region-data/data/", **auth} | {
        "output_folder": "demand"
    }


async def findings_of(
    folder: Path, *apis: dict[str, Any], now: Callable[[], datetime] = lambda: datetime.now(UTC), lake: str = ""
) -> dict[str, list[CheckResult]]:
    """The findings by check, for a configuration and a lake, both in `folder` unless `lake` is an address."""
    config = folder / "api_config.json"
    config.write_text(json.dumps({"schedules": SCHEDULES, "apis": [GRID, *apis]}))
    findings: dict[str, list[CheckResult]] = {}
    for finding in await examine(config, lake or str(folder / "lake"), now):
        findings.setdefault(finding.check, []).append(finding)
    return findings


async def test_a_sound_installation_has_no_problem(tmp_path: Path) -> None:
    """Without problems every check is listed and the exit code is 0; a missing lake is not created."""
    findings = await findings_of(tmp_path)
    assert {"versions", "PREFECT_HOME", "configuration", "credentials", "lake", "clock", "server"} <= findings.keys()
    listed = [finding for group in findings.values() for finding in group]
    assert [finding for finding in listed if finding.level == "problem"] == []
    assert sum_up_exit_code(listed) == 0
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize(
    ("ahead", "level", "words"),
    [
        (timedelta(seconds=20), "ok", "s from the clocks"),
        (timedelta(days=20), "problem", "ahead of"),
        (timedelta(hours=-3), "problem", "behind"),
    ],
)
async def test_a_clock_that_is_off_is_told(tmp_path: Path, ahead: timedelta, level: str, words: str) -> None:
    """A wrong clock is reported with size and direction, measured with the `Date` of an upstream's answer."""
    async with sandbox.run_sandbox() as url:
        findings = await findings_of(tmp_path, upstream_entry(url), now=lambda: datetime.now(UTC) + ahead)
    (clock,) = findings["clock"]
    assert clock.level == level
    assert words in clock.message


@pytest.mark.parametrize(
    ("stores", "upstreams", "level", "words"),
    [
        ({}, {"localhost": 0, "api.eia.gov": 480}, "problem", "8:00:00 ahead of those of the upstreams"),
        ({"127.0.0.1": 0}, {"api.eia.gov": -480}, "problem", "8:00:00 behind those of the upstreams"),
        ({"s3.amazonaws.com": 480}, {"::1": 0}, "problem", "8:00:00 ahead of those of s3.amazonaws.com"),
        ({}, {"127.0.0.1": 0, "api.eia.gov": 0, "slow.example": 480}, "ok", "0 s from the clocks of the upstreams"),
        ({}, {"127.0.0.1": 0}, "ok", "0 s from the clocks of the upstreams, which run on this machine"),
    ],
)
def test_a_server_on_this_machine_does_not_excuse_its_clock(
    stores: dict[str, int], upstreams: dict[str, int], level: str, words: str
) -> None:
    """A sandbox, relay or store here has the clock that is judged: any clock elsewhere counts instead; minutes ahead
    by host."""
    clocks = ({host: timedelta(minutes=offset) for host, offset in group.items()} for group in (stores, upstreams))
    judged = judge_clock(*clocks)
    assert (judged.level, words in judged.message) == (level, True), judged.message


async def test_an_upstream_that_is_away_proves_nothing_about_the_clock(tmp_path: Path, unused_tcp_port: int) -> None:
    """If no upstream answers, the check of the clock is a warning."""
    (clock,) = (await findings_of(tmp_path, upstream_entry(f"http://127.0.0.1:{unused_tcp_port}")))["clock"]
    assert clock.level == "warning"


@pytest.fixture
async def readers_url(bucket: str, s3_url: str) -> AsyncIterator[str]:
    """The endpoint of the bucket for readers: it refuses every write, and its clock is an hour behind."""

    async def answer(request: web.Request) -> web.Response:
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=403, text="<Error><Code>AccessDenied</Code><Message>No.</Message></Error>")
        async with aiohttp.request(request.method, f"{s3_url}{request.path_qs}") as passed_on:
            moment = format_datetime(datetime.now(UTC) - HOUR, usegmt=True)
            body, kind = await passed_on.read(), passed_on.content_type
            return web.Response(status=passed_on.status, body=body, content_type=kind, headers={"Date": moment})

    async with serving(answer) as url:
        yield url


async def test_a_lake_that_may_only_be_read_is_no_problem(
    tmp_path: Path, bucket: str, readers_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader can work, and is told what does not work without the right to write."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", readers_url)
    findings = await findings_of(tmp_path, lake=f"s3://{bucket}/lake")
    address, writing = findings["lake"]
    assert (address.level, writing.level) == ("ok", "warning")
    assert "can be read, but not written" in writing.message
    assert "gridtide prepare --out FOLDER" in writing.fix


async def test_the_clock_of_the_store_is_compared(
    tmp_path: Path, bucket: str, readers_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an upstream that tells the time, the lake's store shows that this clock is wrong."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", readers_url)
    (clock,) = (await findings_of(tmp_path, lake=f"s3://{bucket}/lake"))["clock"]
    assert clock.level == "problem"
    assert re.search(r"this clock is (0:59:5|1:00:0)\d ahead of those of 127.0.0.1", clock.message)


async def test_a_missing_credential_names_variable_and_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing variable is reported with its entries, and with the exit code of credentials."""
    monkeypatch.delenv("SOME_KEY", raising=False)
    auth = {"auth": {"kind": "api_key", "env": "SOME_KEY"}}
    findings = await findings_of(tmp_path, upstream_entry("https://127.0.0.1:1", **auth))
    (missing,) = findings["credentials"]
    assert missing.message == "SOME_KEY is not set; demand cannot be collected"
    assert sum_up_exit_code(findings["credentials"]) == 3
    monkeypatch.setenv("SOME_KEY", "set")
    findings = await findings_of(tmp_path, upstream_entry("https://127.0.0.1:1", **auth))
    assert [finding.level for finding in findings["credentials"]] == ["ok"]
    assert "SOME_KEY" not in str(as_dicts(findings["credentials"]))


async def test_damaged_files_of_the_lake_are_counted(tmp_path: Path) -> None:
    """Damaged files are counted; the message names the first, and the command that lists all."""
    folder = tmp_path / "lake" / "grid"
    folder.mkdir(parents=True)
    (folder / "grid_20240101_000000_20240101T0000_20240102T0000.parquet").write_bytes(b"cut")
    levels = {finding.level: finding for finding in (await findings_of(tmp_path))["lake"]}
    assert levels["warning"].message.startswith("1 file is damaged or foreign")


def test_damaged_records_of_the_server_are_told(tmp_path: Path) -> None:
    """A database that is none, or is torn, is named with a fix; one that is sound, empty or not there is no finding."""
    path = tmp_path / "prefect.db"
    assert check_records(path) == []
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE run (id INTEGER)")
        connection.commit()
    assert check_records(path) == []
    sound = path.read_bytes()
    for damaged in (b"\x01" * 4096, sound[:16] + b"\x00" * 20 + sound[36:100] + b"\xff" * 3996):
        path.write_bytes(damaged)
        (finding,) = check_records(path)
        assert (finding.level, "prefect.db is damaged" in finding.message) == ("problem", True), damaged[:20]
        assert "gridtide deploy" in finding.fix
    path.write_bytes(b"")
    assert check_records(path) == []


async def test_a_broken_configuration_hides_no_other_check(tmp_path: Path) -> None:
    """With a broken configuration the server is checked too, and the exit code is that of wrong usage."""
    (tmp_path / "api_config.json").write_text("{")
    findings = await examine(tmp_path / "api_config.json", None, lambda: datetime.now(UTC))
    assert {finding.check for finding in findings} >= {"versions", "configuration", "server"}
    assert sum_up_exit_code(findings) == 2


async def test_deployments_of_another_version_are_told(tmp_path: Path) -> None:
    """Deployments of another version are a warning; deployments whose module is gone are a problem."""
    config = parse({"schedules": SCHEDULES, "apis": [GRID]})
    await register_deployments(config, tmp_path / "api_config.json", None, False, POOL)
    (registered,) = (await findings_of(tmp_path))["deployments"]
    assert registered.level == "ok"
    async with get_client() as client:
        deployment = await client.read_deployment_by_name("ingest/hourly")
        await client.update_deployment(deployment.id, DeploymentUpdate(version="0.0.9"))
        (older,) = (await findings_of(tmp_path))["deployments"]
        await client.update_deployment(deployment.id, DeploymentUpdate(entrypoint="flows.gone.ingest"))
        (broken,) = (await findings_of(tmp_path))["deployments"]
    assert (older.level, older.fix) == ("warning", "gridtide deploy")
    assert (broken.level, broken.fix) == ("problem", "gridtide deploy")
    assert "ingest/hourly" in older.message
    assert "ingest/hourly" in broken.message
