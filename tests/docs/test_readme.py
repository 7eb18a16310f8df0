"""README and docs: snippets run, configurations are valid, commands parse, links work."""

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
import typer

from deployments.cli.commands import app
from gridtide.config.loading import load, parse
from gridtide.entries.entry import Config, Entry
from gridtide.lake import Draft, Lake, Provenance
from gridtide.observations.table import Row, from_rows
from gridtide.training.spec import load_spec
from tests.support.processes.prefect_servers import LATER_START, furnish

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]


class Fence(NamedTuple):
    """A fenced block of a page."""

    page: Path
    language: str
    text: str
    run: bool

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.text.splitlines()[0][:40]}"


def fences(page: Path) -> Iterator[Fence]:
    """The blocks of `page`; a `<!-- run -->` before one says that the tests run it."""
    for mark, language, text in re.findall(r"(<!-- run -->\n)?```(\w*)\n(.*?)\n```", page.read_text(), re.DOTALL):
        yield Fence(page, language, text, bool(mark))


FENCES = [fence for page in PAGES for fence in fences(page)]


def commands(fence: Fence) -> list[list[str]]:
    """The arguments of each `gridtide` in a block of shell."""
    lines = [shlex.split(line, comments=True) for line in fence.text.splitlines()]
    return [line[line.index("gridtide") + 1 :] for line in lines if "gridtide" in line]


@pytest.mark.parametrize("fence", [f for f in FENCES if f.language in ("bash", "console") and commands(f)], ids=str)
def test_every_command_shown_can_be_typed(fence: Fence) -> None:
    """Each command on a page exists and has these options."""
    group = typer.main.get_command(app)
    for arguments in commands(fence):
        with group.make_context("gridtide", list(arguments)) as context:
            name, command, rest = group.resolve_command(context, list(arguments))  # type: ignore[attr-defined]  # a group
            command.make_context(name, rest)


@pytest.mark.parametrize("fence", [f for f in FENCES if f.language == "json"], ids=str)
def test_every_configuration_shown_is_valid(fence: Fence) -> None:
    """Each file, entry, part of an entry or training spec on a page is valid."""
    shown = json.loads(fence.text if fence.text.startswith("{") else f"{{{fence.text}}}")
    if not fence.text.startswith("{"):
        shown = {"name": "shown", "url": "https://example.com/{start}", "output_folder": "shown"} | shown
    if "locations" in shown and "source" not in shown:
        assert load_spec(shown).locations
    elif "apis" in shown:
        assert parse(shown).apis
    else:
        schedules = {shown["schedule"]: {"cron": "0 * * * *"}} if "schedule" in shown else {}
        assert parse({"schedules": schedules, "apis": [shown]}).apis


def test_the_spec_shown_is_the_example() -> None:
    """README's training spec is the one in examples/, but for its description."""
    (shown,) = (json.loads(f.text) for f in fences(README) if f.language == "json" and "locations" in f.text)
    assert load_spec({**shown, "description": ""}) == load_spec(ROOT / "examples" / "isne_demand.json").model_copy(
        update={"description": ""}
    )


def test_the_table_of_entries_is_the_configuration() -> None:
    """README lists every shipped entry with its source, in the order of the file."""
    rows = re.findall(r"^\| `(\w+)` \| .* \| `(\w+)` \| (yes|no) \|$", README.read_text(), re.MULTILINE)
    entries = load(ROOT / "api_config.json").apis
    open_entries = {e.name for e in entries if all(auth.kind == "none" for auth in e.auths)}
    assert rows == [(e.name, e.source, "no" if e.name in open_entries else "yes") for e in entries]


def test_every_key_is_explained() -> None:
    """docs/configuration.md has a row for each key of the file and of an entry, and for no other."""
    sections = (ROOT / "docs" / "configuration.md").read_text().split("\n## ")
    for section, model in ((sections[1], Config), (sections[2], Entry)):
        assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(model.__struct_fields__)


def test_every_command_is_in_the_table() -> None:
    """README's table names each command."""
    table = README.read_text().split("\n## Commands\n")[1].split("\n## ")[0]
    for name in typer.main.get_command(app).commands:  # type: ignore[attr-defined]  # a group
        assert f"`gridtide {name}" in table


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link leads to a file of the project."""
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


def test_history_is_read_as_shown(tmp_path: Path) -> None:
    """The Python of docs/history.md runs with the shipped configuration and a lake with two answers about an hour."""
    shutil.copy(ROOT / "api_config.json", tmp_path)
    (of,) = load(tmp_path / "api_config.json").select(["eia_demand"])
    lake, start = Lake.open(str(tmp_path / "lake")), datetime(2024, 1, 31, 23, tzinfo=UTC)

    async def fill() -> None:
        for asked, values in enumerate(([1.0, 2.0], [1.0, 3.0]), 5):
            hours = [start + timedelta(hours=hour) for hour in range(3)]
            rows = [
                Row(*hour, "ISNE", "demand", "MWh", value)
                for *hour, value in zip(hours, hours[1:], values, strict=False)
            ]
            stamp = start + timedelta(hours=asked)
            with Draft("parquet", Provenance(of.name, None, of.fingerprint)) as draft:
                draft.append(from_rows("eia", rows, stamp))
                await lake.put_draft(draft, of.output_folder, of.file_prefix, stamp)

    asyncio.run(fill())
    (shown,) = [fence.text for fence in fences(ROOT / "docs" / "history.md") if fence.language == "python"]
    command = [sys.executable, "-c", f"{shown}\nprint(latest['value'].to_pylist(), every['value'].to_pylist())"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        "2 True ['stored_at', 'file', 'available_at']",
        "[1.0, 3.0] [1.0, 2.0, 3.0]",
    ], done.stderr


def snippets() -> list[list[list[str]]]:
    """The processes that run README's Python, the shell it says needs no account and the example, top to bottom, in
    groups that need nothing of each other: what asks the sandbox begins one, unless it is a dry run; what does not
    ask it reads what the one before stored."""
    groups: list[list[list[str]]] = []
    for fence in fences(README):
        shell = [["bash", "-euc", line] for line in fence.text.splitlines()] if fence.run else []
        python = [[sys.executable, "-c", fence.text]] if fence.language == "python" else []
        for command in shell + python:
            if "sandbox" in command[-1] and "--dry-run" not in command[-1]:
                groups.append([])
            groups[-1].append(command)
    return [*groups[:-1], [*groups[-1], [sys.executable, "examples/train_mlx.py"]]]


def test_every_snippet_is_in_a_group() -> None:
    """The groups contain every snippet of the README that needs no account."""
    assert [len(group) for group in snippets()] == [1, 1, 4, 1, 4]


@pytest.mark.slow
@pytest.mark.timeout(600)  # servers and commands import Prefect and MLX, which is long on a loaded machine
@pytest.mark.parametrize("group", snippets(), ids=["validate", "ingest", "backfill", "ingest-python", "train-python"])
def test_the_snippets_run_top_to_bottom(
    group: list[list[str]], tmp_path: Path, migrated: Path, request: pytest.FixtureRequest
) -> None:
    """Each group of snippets runs in a folder with the shipped files. `ingest` starts its own Prefect server; the
    others use the one that is there. (The demo is tested from nothing, with the migrations of the database.)"""
    pytest.importorskip("mlx.core", reason="MLX has no build for this platform")
    shutil.copy(ROOT / "api_config.json", tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    scripts = tmp_path / "bin"
    scripts.mkdir()
    (scripts / "gridtide").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m deployments.cli "$@"\n')
    (scripts / "gridtide").chmod(0o755)
    furnish(tmp_path / "prefect", migrated)
    has_own_server = group[0][-1].startswith("gridtide ingest")
    server = LATER_START if has_own_server else {"PREFECT_API_URL": request.getfixturevalue("prefect_server")}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_SERVER_API_PORT": "0",
        **server,
    }

    def run(*command: str) -> None:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}{done.stderr}"

    try:
        for command in group:
            run(*command)
    finally:
        if has_own_server:
            run("gridtide", "down")
