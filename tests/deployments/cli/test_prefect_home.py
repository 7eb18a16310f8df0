"""A PREFECT_HOME or HOME that cannot be written: one message with the fix, and commands without Prefect work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gridtide.errors import ConfigurationError
from tasks.prefect_home import check_prefect_home, settle_home_folders
from tests.support.processes.machine import ROOT
from tests.support.processes.served import synthetic

PERIOD = ("--start", "2024-01-01", "--end", "2024-01-02")
COMMANDS = [
    *(["up"], ["down"], ["deploy"], ["notify"], ["demo"], ["serve"], ["ingest"], ["monitor"], ["compact"]),
    *(["retention"], ["replay"], ["backfill", *PERIOD]),
]
"""The commands that need Prefect, `prepare` aside, which needs a training spec as well."""


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command in `folder` with these environment variables."""
    (folder / "api_config.json").write_text(
        json.dumps({"schedules": {"hourly": {"cron": "12 * * * *"}}, "apis": [synthetic("grid", "hourly")]})
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-m", "deployments.cli", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("variable", "arguments"), [("HOME", ["ingest"]), *(("PREFECT_HOME", command) for command in COMMANDS)], ids=str
)
def test_every_command_names_the_folder_and_the_fix(variable: str, arguments: list[str], tmp_path: Path) -> None:
    """Every command that needs Prefect ends with one message and exit code 2, without a traceback. Which of the two
    variables leads to the folder is of no matter to the command."""
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "below"  # which not even root can make
    ended = run(tmp_path, *arguments, **{variable: str(folder)})
    assert ended.returncode == 2, ended.stderr
    shown = folder if variable == "PREFECT_HOME" else folder / ".prefect"
    assert f"PREFECT_HOME: {shown} cannot be written" in ended.stderr
    assert "Set PREFECT_HOME to a folder that this user may write to" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_lake_in_a_block_needs_prefect_and_says_so(tmp_path: Path) -> None:
    """One message, and no warning of Prefect's before it."""
    ended = run(tmp_path, "status", "--lake", "s3-bucket/grid", HOME="/proc/nowhere")
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: PREFECT_HOME: /proc/nowhere/.prefect cannot be written")


@pytest.mark.parametrize("arguments", [["status"], ["validate"]], ids=lambda arguments: arguments[0])
def test_commands_without_prefect_need_no_home(arguments: list[str], tmp_path: Path) -> None:
    """Commands without Prefect succeed."""
    assert run(tmp_path, *arguments, HOME="/proc/nowhere").returncode == 0


def test_a_relative_prefect_home_is_that_of_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made absolute before Prefect and its server read it, as these work in other folders."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    for relative, absolute in (("state/prefect", tmp_path / "state/prefect"), ("~/prefect", tmp_path / "user/prefect")):
        monkeypatch.setenv("PREFECT_HOME", relative)
        settle_home_folders()
        assert os.environ["PREFECT_HOME"] == str(absolute)
        assert check_prefect_home() == absolute


def test_a_user_without_an_account_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user id without an account and without HOME, as in containers, gives a message with the fix."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    with pytest.raises(ConfigurationError, match="this user has no home folder"):
        check_prefect_home()


def test_a_user_without_an_account_goes_on_with_prefect_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect asks for a home folder when it is imported: it is given the one of PREFECT_HOME."""
    monkeypatch.setenv("HOME", "/root")  # restored afterwards
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    settle_home_folders()
    assert Path.home() == check_prefect_home() == tmp_path
