"""Files whose series are not those of the file before."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from flows.run.filling import warn_of_changed_series
from gridtide.coverage.freshness.changed_series import find_changed_series
from gridtide.lake import Lake
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
