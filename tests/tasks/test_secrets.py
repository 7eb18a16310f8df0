"""Reading credentials from the environment, `.env` and Secret blocks."""

import os
from pathlib import Path
from typing import Any

import pytest
from prefect.blocks.system import Secret

from gridtide.config.loading import parse
from gridtide.entries.entry import Entry
from tasks.secrets import defer_to_dotenv, read_credentials


def entry(**auth: Any) -> Entry:
    """An entry with this `auth`."""
    raw = {"name": "a", "url": "https://grid.example/a", "output_folder": "a", "auth": auth}
    return parse({"apis": [raw]}).apis[0]


@pytest.fixture(autouse=True)
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory whose `.env` holds two keys."""
    (tmp_path / ".env").write_text("GRID_KEY=from the file\nGRID_TOKEN='from the file'\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRID_KEY", "from the environment")


async def test_the_environment_goes_before_the_file() -> None:
    """Variables of the environment take precedence over those of `.env`."""
    found = await read_credentials([entry(kind="api_key", env="GRID_KEY"), entry(kind="bearer", env="GRID_TOKEN")])
    assert found == {"GRID_KEY": "from the environment", "GRID_TOKEN": "from the file"}


async def test_what_the_file_gave_is_read_there_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables with the value of `.env` are removed from the environment; others stay."""
    monkeypatch.setenv("GRID_TOKEN", "from the file")
    monkeypatch.setenv("ELSE", "from the file")
    entries = [entry(kind="api_key", env="GRID_KEY"), entry(kind="bearer", env="GRID_TOKEN")]
    defer_to_dotenv(entries, tmp_path)
    assert [os.environ.get(name) for name in ("GRID_TOKEN", "ELSE")] == [None, "from the file"]
    (tmp_path / ".env").write_text("GRID_TOKEN=changed\n")
    assert await read_credentials(entries) == {"GRID_KEY": "from the environment", "GRID_TOKEN": "changed"}


async def test_only_what_entries_name_is_taken() -> None:
    """Only variables that entries name are read."""
    assert await read_credentials([entry(kind="none")]) == {}


async def test_a_literal_user_needs_its_password_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user name in the configuration is not looked up; a missing value is left out."""
    monkeypatch.setenv("ISO_NE_USERNAME", "not asked for")
    monkeypatch.delenv("ISO_NE_PASSWORD", raising=False)
    assert await read_credentials([entry(kind="basic", username="me@example.com")]) == {}
    monkeypatch.setenv("ISO_NE_PASSWORD", "pass")
    assert await read_credentials([entry(kind="basic", username="me@example.com")]) == {"ISO_NE_PASSWORD": "pass"}


@pytest.mark.usefixtures("prefect_server")
async def test_secret_blocks_are_read() -> None:
    """The value of a block has the name of the block; a missing block is left out."""
    await Secret(value="from the block").save("grid-key", overwrite=True)
    found = await read_credentials(
        [entry(kind="api_key", secret="grid-key"), entry(kind="basic", secret="no-such-block")]
    )
    assert found == {"secret:grid-key": "from the block"}


async def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first variable of a `.env` with a byte order mark is read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MARKED_KEY", raising=False)
    (tmp_path / ".env").write_text("MARKED_KEY=value\n", encoding="utf-8-sig")
    assert await read_credentials([entry(kind="api_key", env="MARKED_KEY")]) == {"MARKED_KEY": "value"}
