"""Files whose series are not those of the file before."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.run.filling import warn_of_changed_series
from gridtide.coverage.freshness.changed_series import find_changed_series
from gridtide.lake import Lake, Metadata
from gridtide.observations.table import Row
from gridtide.periods import Period
from tasks.collect import Outcome
from tests.support.lakes import entry, put

DAY = timedelta(days=1)
START = datetime(2024, 3, 1, tzinfo=UTC)


def rows(variables: str, day: int) -> list[Row]:
    """A value of each of `variables` at the beginning of `day`."""
    start = START + day * DAY
    return [Row(start, start + DAY, "ISNE", variable, "MW", 1.0) for variable in variables.split()]


async def put_days(lake: Lake, variables: str, first: int, days: int = 1) -> str:
    """A file that holds `variables` and covers `days` from `first` on; its path."""
    period = Period(START + first * DAY, START + (first + days) * DAY)
    return (await put(lake, entry(), first, rows(variables, first), period)).path


async def test_a_renamed_series_is_named_once(tmp_path: Path) -> None:
    """What the file before has and the new one has not is named with what is new; the file after that says nothing."""
    lake = Lake.open(str(tmp_path))
    paths = [
        await put_days(lake, variables, day) for day, variables in enumerate(["load wind", "load gust", "load gust"])
    ]
    assert await find_changed_series(lake, entry(), paths) == {
        paths[1]: [
            "1 series is of the answer before, 2024-03-01T00:00/2024-03-02T00:00, not in this one: ISNE/wind",
            "1 series is not in the answer before, 2024-03-01T00:00/2024-03-02T00:00: ISNE/gust",
        ]
    }
    assert await find_changed_series(lake, entry(), paths[2:]) == {}


async def test_a_short_answer_may_lack_series(tmp_path: Path) -> None:
    """A day beside a week before it lacks what is not in every day; what is new in it is named."""
    lake = Lake.open(str(tmp_path))
    await put_days(lake, "load oil", 0, 7)
    path = await put_days(lake, "load coal", 7)
    [text] = (await find_changed_series(lake, entry(), [path]))[path]
    assert text.endswith(": ISNE/coal")


async def test_empty_answers_are_passed_over(tmp_path: Path) -> None:
    """A file without rows is not compared, and the file before it is compared with the file after it."""
    lake = Lake.open(str(tmp_path))
    paths = [await put_days(lake, variables, day) for day, variables in enumerate(["load", "", "load", "wind"])]
    assert list(await find_changed_series(lake, entry(), paths)) == [paths[3]]


async def test_a_run_warns_beside_what_the_collection_said(tmp_path: Path) -> None:
    """The warning stands in the outcome whose file is new, after the warnings that were there."""
    lake, of = Lake.open(str(tmp_path)), entry()
    await put_days(lake, "load", 0)
    path = await put_days(lake, "wind", 1)
    collected = {"files": [path], "created": True, "warnings": ["2 exact duplicates collapsed"]}
    new, kept = Outcome(of, None, collected), Outcome(of, None, {**collected, "created": False})
    changed, unchanged = await warn_of_changed_series([new, kept], lake)
    assert changed.collected is not None
    first, gone, begun = changed.collected["warnings"]
    assert (first, "ISNE/load" in gone, "ISNE/wind" in begun) == ("2 exact duplicates collapsed", True, True)
    assert unchanged is kept


class CountingLake(Lake):
    """A lake that counts the files whose metadata is read."""

    files_read = 0

    async def read_metadata_of(self, paths: Sequence[str]) -> list[Metadata]:
        """As `Lake.read_metadata_of`."""
        self.files_read += len(paths)
        return await super().read_metadata_of(paths)


async def test_neighbours_are_read_once() -> None:
    """Of many new files, each is read once, and a few twice where a batch begins; each change is found."""
    lake = CountingLake(Lake.open("memory://").store)
    paths = [await put_days(lake, "load" if day % 10 else "wind", day) for day in range(150)]
    changes = await find_changed_series(lake, entry(), paths)
    assert set(changes) == {paths[day] for day in range(1, 150) if day % 10 in (0, 1)}
    assert lake.files_read <= 150 + 2 * 4


FILES = st.lists(st.tuples(st.none() | st.integers(0, 5), st.sampled_from(["load", "wind", ""])), max_size=12)


@given(FILES)
@settings(max_examples=30, deadline=None)
def test_files_are_compared_with_the_one_before(files: list[tuple[int | None, str]]) -> None:
    """In whatever order days and snapshots were stored, each is compared with the last of the four files before it that
    has rows: of an earlier day, or of an earlier run."""
    asyncio.run(compare_stored(files))


async def compare_stored(files: Sequence[tuple[int | None, str]]) -> None:
    """Store `files` (a day or None for a snapshot, a variable), and compare what is reported with a search of all."""
    lake = Lake.open("memory://")
    paths = []
    for number, (day, variables) in enumerate(files):
        period = None if day is None else Period(START + day * DAY, START + (day + 1) * DAY)
        paths.append((await put(lake, entry(), number, rows(variables, day or 0), period)).path)
    expected = set()
    for number, (day, variable) in enumerate(files):
        before = [
            (other_day or 0, other, name)
            for other, (other_day, name) in enumerate(files)
            if (other_day is None) == (day is None) and (other < number if day is None else (other_day or 0) < day)
        ]
        with_rows = [name for _, _, name in sorted(before)[-4:] if name]
        if variable and with_rows and with_rows[-1] != variable:
            expected.add(paths[number])
    assert set(await find_changed_series(lake, entry(), paths)) == expected
