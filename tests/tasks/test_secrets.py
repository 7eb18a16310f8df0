"""Where credentials are found."""

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
    """`.env` fills what the environment lacks and overrides nothing."""
    found = await read_credentials([entry(kind="api_key", env="GRID_KEY"), entry(kind="bearer", env="GRID_TOKEN")])
    assert found == {"GRID_KEY": "from the environment", "GRID_TOKEN": "from the file"}


async def test_what_the_file_gave_is_read_there_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that a command took from `.env` is left to it; what the environment sets otherwise stays."""
    monkeypatch.setenv("GRID_TOKEN", "from the file")
    monkeypatch.setenv("ELSE", "from the file")
    entries = [entry(kind="api_key", env="GRID_KEY"), entry(kind="bearer", env="GRID_TOKEN")]
    defer_to_dotenv(entries, tmp_path)
    assert [os.environ.get(name) for name in ("GRID_TOKEN", "ELSE")] == [None, "from the file"]
    (tmp_path / ".env").write_text("GRID_TOKEN=changed\n")
    assert await read_credentials(entries) == {"GRID_KEY": "from the environment", "GRID_TOKEN": "changed"}


async def test_only_what_entries_name_is_taken() -> None:
    """Nothing else of the environment leaves it."""
    assert await read_credentials([entry(kind="none")]) == {}


async def test_a_literal_user_needs_its_password_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user named in the configuration is not looked for; what is nowhere is left out."""
    monkeypatch.setenv("ISO_NE_USERNAME", "not asked for")
    monkeypatch.delenv("ISO_NE_PASSWORD", raising=False)
    assert await read_credentials([entry(kind="basic", username="me@example.com")]) == {}
    monkeypatch.setenv("ISO_NE_PASSWORD", "pass")
    assert await read_credentials([entry(kind="basic", username="me@example.com")]) == {"ISO_NE_PASSWORD": "pass"}


@pytest.mark.usefixtures("prefect_server")
async def test_secret_blocks_are_read() -> None:
    """A block comes under its name; one that does not exist is left out."""
    await Secret(value="from the block").save("grid-key", overwrite=True)
    found = await read_credentials(
        [entry(kind="api_key", secret="grid-key"), entry(kind="basic", secret="no-such-block")]
    )
    assert found == {"secret:grid-key": "from the block"}


async def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An editor that writes one before `.env` hides no credential."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MARKED_KEY", raising=False)
    (tmp_path / ".env").write_text("MARKED_KEY=value\n", encoding="utf-8-sig")
    assert await read_credentials([entry(kind="api_key", env="MARKED_KEY")]) == {"MARKED_KEY": "value"}
