"""Revisions and presence of series, by day."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridtide.observations.table import from_columns
from gridtide.periods import DAY, EPOCH, Period
from gridtide.quality.daily import HourlySeries
from gridtide.quality.flags import Flag
from gridtide.quality.relations.presence import judge_presence
from gridtide.quality.relations.revised_values import RevisionGrid

START = datetime(2024, 3, 1, tzinfo=UTC)
MICROSECONDS_PER_HOUR = 3_600_000_000
PERIOD = Period(START, START + 2 * DAY)


def versions(hours: list[int], values: list[float], known_after: int, variable: str = "demand") -> pa.Table:
    """A table of hours of March 1, retrieved `known_after` hours after its start."""
    begin = (START - EPOCH) // timedelta(microseconds=1) + MICROSECONDS_PER_HOUR * np.array(hours, np.int64)
    return from_columns(
        "eia",
        START + timedelta(hours=known_after),
        interval_start=begin,
        interval_end=begin + MICROSECONDS_PER_HOUR,
        location="ISNE",
        variable=variable,
        unit="MWh",
        value=np.array(values, float),
    )


version_lists = st.lists(
    st.tuples(st.integers(-3, 50), st.integers(1, 9), st.integers(0, 60)),
    max_size=40,
    unique_by=lambda version: (version[0], version[2]),
)


@settings(max_examples=60)
@given(version_lists, st.randoms())
def test_revisions_of_a_day_are_those_of_its_first_and_last_versions(
    rows: list[tuple[int, int, int]], random: object
) -> None:
    """Whatever the order of tables, the share is what a loop over the hours of each day finds."""
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    grid = RevisionGrid(PERIOD)
    for hour, value, known_after in shuffled:
        grid.add(versions([hour], [value], known_after))
    expected = {}
    for day in range(2):
        revised, magnitude = 0.0, 0.0
        for hour in range(day * 24, day * 24 + 24):
            of_hour = sorted((known_after, value) for row_hour, value, known_after in rows if row_hour == hour)
            if of_hour:
                revised += abs(of_hour[-1][1] - of_hour[0][1])
                magnitude += of_hour[-1][1]
        if revised:
            expected[START.date() + timedelta(days=day)] = revised / magnitude
    assert {v.day: v.value for v in grid.judge()} == pytest.approx(expected)


def test_forecasts_are_not_revised() -> None:
    """A forecast that is issued anew is no revision; series that come later have their own rows."""
    grid = RevisionGrid(PERIOD)
    grid.add(versions([1], [5], 2, "demand_forecast_day_ahead"))
    grid.add(versions([1], [9], 3, "demand_forecast_day_ahead"))
    grid.add(versions([1, 2], [100, 100], 2))
    grid.add(versions([1], [50], 2, "net_generation"))
    grid.add(versions([1], [104], 9))
    (verdict,) = grid.judge()
    assert (verdict.series, verdict.flag, verdict.value) == ("eia/ISNE/demand", Flag.GOOD, 4 / 204)


def present(*stretches: tuple[int, int]) -> HourlySeries:
    """Series of one entry over forty days, each with values in a stretch of days."""
    values = np.full((len(stretches), 40 * 24), np.nan)
    for row, (begin, end) in enumerate(stretches):
        values[row, begin * 24 : end * 24] = 1.0
    return HourlySeries(
        tuple(f"eia/{row}/demand" for row in range(len(stretches))), ("MWh",) * len(values), values, START
    )


def test_series_that_come_and_go_are_said_with_their_day() -> None:
    """A series that begins among judged days is new, one that ended a week ago is gone; gaps, an entry that begins and
    one that ends as a whole are neither."""
    verdicts = judge_presence(present((0, 40), (25, 40), (0, 33), (0, 34), (40, 40)), 10)
    assert [(v.series, v.day, v.check, v.flag, v.value) for v in verdicts] == [
        ("eia/1/demand", datetime(2024, 3, 26).date(), "presence", Flag.GOOD, 1.0),
        ("eia/2/demand", datetime(2024, 4, 3).date(), "presence", Flag.MISSING, -1.0),
    ]
    assert judge_presence(present((25, 40), (26, 40)), 10) == []
    assert judge_presence(present((0, 20), (0, 21)), 10) == []
