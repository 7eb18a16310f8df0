"""Whatever fails or is killed, and wherever: going on gives what an undisturbed backfill gives."""

import asyncio
import sys
from pathlib import Path

import pytest

from gridtide import sandbox
from tests.faults import boundaries
from tests.faults.boundaries import LATER, NOW, WANTED, Doors

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("form", ["parquet", "csv"])]


async def test_a_run_that_fails_anywhere_is_made_good_by_the_next(form: str, tmp_path: Path) -> None:
    """Each request, read, write and listing fails once, before and after it is done; a retry and a later run go on."""
    async with sandbox.running() as url:
        whole, doors = await boundaries.undisturbed(url, tmp_path / "whole", form)
        assert len(whole) == 3 * 24 * 3
        assert {name.split()[0] for name in doors.passed} >= {"ask", "put", "get", "list", "list_with_delimiter"}
        silent = []
        for at in range(1, len(doors.passed) + 1):
            for after in (False, True):
                struck = Doors(at, after)
                folder = tmp_path / f"{at}{after}"
                errors = await boundaries.backfill(url, folder, form, NOW, struck)
                if not errors:
                    silent.append(struck.struck)
                stamp = NOW if at % 2 else LATER
                read = await boundaries.recovered(url, folder, form, stamp)
                assert read == whole, (at, after, struck.struck, errors)
    assert silent == []


async def test_a_run_that_is_killed_anywhere_is_made_good_by_the_next(form: str, tmp_path: Path) -> None:
    """At each boundary a process is killed, before and after; another goes on."""
    async with sandbox.running() as url:
        whole, doors = await boundaries.undisturbed(url, tmp_path / "here", form)
        command = [sys.executable, "-m", "tests.faults.boundaries", url, str(tmp_path / "killed"), form]
        driver = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        said, errors = await driver.communicate()
    assert driver.returncode == 0, errors.decode()
    assert int(said) == 2 * len(doors.passed)
    assert whole[0][3] < WANTED.start < WANTED.end < whole[-1][4]
