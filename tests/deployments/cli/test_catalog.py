"""`gridtide catalog`: prints the series of a lake, and writes its catalogue there."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deployments.cli import app
from gridtide.lake import Lake
from tests.support.lakes import HOUR, START, entry, put, row

run = CliRunner()


@pytest.fixture
def configured(tmp_path: Path) -> list[str]:
    """The options of a command for a lake with ten hours of one series."""
    lake = Lake.open(str(tmp_path / "lake"))
    asyncio.run(put(lake, entry(), 14, [row(hour, 1.0) for hour in range(10)]))
    api = {"name": "demand", "url": "https://api.eia.gov/v2/x/", "output_folder": "demand"}
    config = tmp_path / "api_config.json"
    config.write_text(json.dumps({"lake": str(tmp_path / "lake"), "apis": [api]}))
    return ["--config", str(config)]


def test_the_table_has_a_row_for_each_series(configured: list[str], tmp_path: Path) -> None:
    """The command prints the series and writes the catalogue to the lake."""
    result = run.invoke(app, ["catalog", *configured])
    assert result.exit_code == 0
    assert "eia/ISNE/demand" in result.stdout
    assert "Public domain" in result.stdout
    written = json.loads((tmp_path / "lake" / "catalog" / "catalog.json").read_text())
    assert [series["name"] for series in written["series"]] == ["eia/ISNE/demand"]


def test_files_that_cannot_be_read_are_told_below_the_table(configured: list[str], tmp_path: Path) -> None:
    """The entry with a damaged file is described as far as it can be, and its problem is printed."""
    (path,) = (tmp_path / "lake" / "demand").glob("*.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    result = run.invoke(app, ["catalog", *configured])
    assert result.exit_code == 0
    assert any(line.startswith("demand: ") and path.name in line for line in result.stdout.splitlines())


def test_json_is_what_is_written(configured: list[str], tmp_path: Path) -> None:
    """With `--json` the printed document is the written one."""
    result = run.invoke(app, ["catalog", "--json", *configured])
    assert json.loads(result.stdout) == json.loads((tmp_path / "lake" / "catalog" / "catalog.json").read_text())


def test_nothing_is_written_on_request(configured: list[str], tmp_path: Path) -> None:
    """With `--no-write`, and for a part of the entries, the lake stays as it is."""
    for options in (["--no-write"], ["--select", "demand"]):
        result = run.invoke(app, ["catalog", *options, *configured])
        assert (result.exit_code, "eia/ISNE/demand" in result.stdout) == (0, True)
    assert not (tmp_path / "lake" / "catalog").exists()
    last = START + 9 * HOUR
    assert f"{last:%Y-%m-%dT%H:%MZ}" in result.stdout


def test_the_lineage_of_a_file_is_printed(configured: list[str], tmp_path: Path) -> None:
    """The text names file, state and hash; with `--json` the same document is printed; what is not there is an error
    with exit code 1 or 2."""
    path = next((tmp_path / "lake" / "demand").glob("*.parquet")).relative_to(tmp_path / "lake")
    result = run.invoke(app, ["lineage", str(path), *configured])
    printed = json.loads(run.invoke(app, ["lineage", str(path), "--json", *configured]).stdout)
    (file,) = printed["files"]
    assert result.exit_code == 0
    assert f"{path} [present] 10 rows" in result.stdout
    assert file["content_hash"] in result.stdout
    assert run.invoke(app, ["lineage", "demand/demand_20200101_000000.parquet", *configured]).exit_code == 1
    assert run.invoke(app, ["lineage", "no_set", *configured]).exit_code == 2
