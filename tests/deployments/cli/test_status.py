"""`gridtide status` shows what the table of quality in the lake says of each entry."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from deployments.cli import app
from deployments.cli.status import read_status
from gridtide.config.loading import parse
from gridtide.lake import Lake
from gridtide.quality.daily import DayVerdict
from gridtide.quality.flags import Flag
from gridtide.quality.table import QUALITY_FOLDER, write_verdicts
from tests.support.lakes import entry, put, row

NOW = datetime.now(UTC)
TODAY = NOW.date()


def verdict(location: str, days_back: int, check: str, flag: Flag) -> DayVerdict:
    """A verdict about the demand of `location` so many days back."""
    return DayVerdict(f"eia/{location}/demand", TODAY - timedelta(days=days_back), check, flag, 0.5, 0.1)


VERDICTS = [
    verdict("ISNE", 2, "accuracy", Flag.FAIL),
    verdict("ISNE", 2, "completeness", Flag.GOOD),
    verdict("CISO", 2, "accuracy", Flag.GOOD),
    verdict("PJM", 2, "accuracy", Flag.SUSPECT),
]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with demand of ISNE and CISO, and of PJM in the entry `east`."""
    lake = Lake.open(str(tmp_path / "lake"))
    rows = [row(hour, 1.0, location=location) for location in ("ISNE", "CISO") for hour in range(10)]
    asyncio.run(put(lake, entry(), 14, rows))
    asyncio.run(put(lake, entry("east"), 14, [row(hour, 1.0, location="PJM") for hour in range(10)]))
    return lake


@pytest.fixture
def show_status(tmp_path: Path) -> Callable[..., Result]:
    """The command on this lake, whose entry `empty` has no files."""
    names = ("demand", "east", "empty")
    apis = [{"name": name, "url": "https://api.eia.gov/v2/x/", "output_folder": name} for name in names]
    config = tmp_path / "api_config.json"
    config.write_text(json.dumps({"lake": str(tmp_path / "lake"), "apis": apis}))
    return lambda *options: CliRunner().invoke(app, ["status", "--config", str(config), *options])


def read_blocks(result: Result) -> list[dict[str, Any] | None]:
    """The blocks of quality in the output of `status --json`."""
    assert result.exit_code == 0
    return [status["quality"] for status in json.loads(result.stdout)]


def test_each_entry_has_the_quality_of_its_series(lake: Lake, show_status: Callable[..., Result]) -> None:
    """The gravest flag, the series that are bad, and the last day that was judged, as text and as JSON."""
    asyncio.run(write_verdicts(lake, VERDICTS, {}, NOW))
    until = (TODAY - timedelta(days=2)).isoformat()
    assert read_blocks(show_status("--json")) == [
        {"flag": "fail", "until": until, "series": 2, "bad": 1, "disagreeing": 0},
        {"flag": "suspect", "until": until, "series": 1, "bad": 0, "disagreeing": 0},
        None,
    ]
    lines = [line.split() for line in show_status().stdout.splitlines()]
    assert ["entry", "quality", "bad", "series", "disagreeing", "judged", "until"] in lines
    assert ["demand", "fail", "1", "of", "2", "0", until] in lines
    assert ["east", "suspect", "0", "of", "1", "0", until] in lines
    assert [line[0] for line in lines[-5:] if line][-2:] == ["demand", "east"]


def test_without_a_table_nothing_is_said(
    lake: Lake, show_status: Callable[..., Result], caplog: pytest.LogCaptureFixture
) -> None:
    """JSON has null, and there is no table of quality."""
    assert lake.uri
    with caplog.at_level(logging.WARNING):
        assert read_blocks(show_status("--json")) == [None, None, None]
        assert "quality" not in show_status().stdout
    assert caplog.records == []


def test_a_damaged_table_costs_a_warning(
    lake: Lake, show_status: Callable[..., Result], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Damaged files are named in one warning, sound ones are shown, and the exit code is that of a sound table."""
    asyncio.run(write_verdicts(lake, VERDICTS, {}, NOW))
    folder = tmp_path / "lake" / QUALITY_FOLDER
    (sound,) = folder.iterdir()
    for number in (1, 2):
        (folder / f"{NOW + timedelta(days=number):%Y%m%d_%H%M%S}.parquet").write_bytes(sound.read_bytes()[:-5])
    with caplog.at_level(logging.WARNING):
        first, second, _ = read_blocks(show_status("--json"))
    assert first
    assert second
    assert (first["flag"], second["flag"]) == ("fail", "suspect")
    (record,) = caplog.records
    assert record.getMessage().count(QUALITY_FOLDER) == 2
    sound.unlink()
    assert read_blocks(show_status("--json")) == [None, None, None]


async def test_a_renamed_series_is_that_of_its_entry(tmp_path: Path) -> None:
    """Verdicts have the names by which series are read; what was judged more than 60 days ago says nothing."""
    aliases = [{"from": "eia/ISNE/demand", "to": "eia/ISONE/demand"}]
    api = {"name": "demand", "url": "https://api.eia.gov/v2/x/", "output_folder": "demand", "aliases": aliases}
    (renamed,) = parse({"apis": [api]}).apis
    lake = Lake.open(str(tmp_path))
    await put(lake, renamed, 14, [row(hour, 1.0) for hour in range(10)])
    await write_verdicts(lake, [verdict("ISONE", 2, "accuracy", Flag.GOOD)], {}, NOW)
    for now, flag in ((NOW, Flag.GOOD), (NOW + timedelta(days=57), Flag.GOOD), (NOW + timedelta(days=60), None)):
        (status,) = await read_status([renamed], lake, now)
        assert (status.quality and status.quality.flag) == flag
