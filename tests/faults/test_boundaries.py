"""A fault or a kill at any request, read, write or listing: the next run gives the rows of an undisturbed backfill."""

import asyncio
import sys
from pathlib import Path

import pytest

from gridtide import sandbox
from tests.support import boundaries
from tests.support.boundaries import LATER, NOW, Doors, Story

ROOT = Path(__file__).parents[2]

EVERY_KIND = {
    *("ask 2024-02-29", "ask 2024-03-01", "list_with_delimiter load", "list_with_delimiter raw", "put load", "put raw"),
    *("head failed", "put failed", "get failed", "list processed", "put processed", "get load"),
}
"""What there is to strike, at the least: the upstream, the files, the bodies, what failed, and what is compacted."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize(("place", "form"), [("folder", "parquet"), ("folder", "csv"), ("bucket", "parquet")]),
]


@pytest.fixture
def lakes(place: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """The address under which lakes can be created: a folder, or a bucket of an S3 server."""
    return str(tmp_path) if place == "folder" else f"s3://{request.getfixturevalue('bucket')}"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_run_that_fails_anywhere_is_made_good_by_the_next(lakes: str, form: str, after: bool) -> None:
    """Each request, read, write and listing fails once, before or after it is done; a retry or a later run completes
    the backfill."""
    async with sandbox.run_sandbox() as url:
        story = Story.of(url, form, lakes)
        whole, doors = await boundaries.undisturbed(story, f"{lakes}/whole")
        assert whole[0][3] < story.wanted.start < story.wanted.end < whole[-2][4]
        assert whole[-1][0].endswith(" 100%")
        assert {door.partition("/")[0] for door in doors.passed} >= EVERY_KIND
        silent = []
        for at in range(1, len(doors.passed) + 1):
            struck = Doors(at, after)
            errors = await boundaries.history(story, f"{lakes}/{at}", NOW, struck, story.last_day)
            if not errors and not _asked_again(struck):
                silent.append(struck.struck)
            read = await boundaries.recovered(story, f"{lakes}/{at}", NOW if at % 2 else LATER)
            assert read == whole, (at, struck.struck, errors)
    assert silent == []


def _asked_again(doors: Doors) -> bool:
    """Whether the failed operation is repeated at once, as with a body that is requested again, or metadata that are
    read again."""
    kind = doors.struck.partition("/")[0]
    return kind == "get raw" or (kind in ("get load", "head load") and doors.struck not in doors.passed[: doors.at - 1])


async def test_a_run_that_is_killed_anywhere_is_made_good_by_the_next(lakes: str, form: str) -> None:
    """A process is killed before each operation, and another process completes the backfill. A kill after an operation
    leaves what a kill before the next one leaves."""
    async with sandbox.run_sandbox() as url:
        _, doors = await boundaries.undisturbed(Story.of(url, form, lakes), f"{lakes}/here")
        command = [sys.executable, "-m", "tests.support.boundaries", url, f"{lakes}/killed", form]
        driver = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        count, errors = await driver.communicate()
    assert driver.returncode == 0, errors.decode()
    assert int(count) == len(doors.passed)
