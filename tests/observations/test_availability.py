"""When values are available, and up to when they are due."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtide.config.loading import parse
from gridtide.entries.entry import Available, Entry
from gridtide.observations.availability import available_at, find_due_end
from gridtide.periods import microseconds


def entry(**keys: Any) -> Entry:
    """The complete entry with `keys`, for an unknown host."""
    return parse(
        {"apis": [{"name": "grid", "url": "https://grid.example/load", "output_folder": "grid", **keys}]}
    ).apis[0]


NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("lag", "resolution", "due"),
    [
        ("PT0S", "PT1H", "2024-03-10T07:00"),
        ("PT5H", "PT1H", "2024-03-10T02:00"),
        ("PT1H", "PT5M", "2024-03-10T06:40"),
        ("PT0S", "P1D", "2024-03-10T00:00"),
        ("P5D", "PT1H", "2024-03-05T07:00"),
    ],
)
def test_due_is_the_lag_before_now_at_a_whole_interval(lag: str, resolution: str, due: str) -> None:
    """Data is due up to the last whole interval before now minus the lag, in UTC also on the day of a clock change."""
    made = entry(available={"lag": lag}, resolution=resolution)
    assert find_due_end(made, datetime(2024, 3, 10, 7, 44, 59, tzinfo=UTC)) == datetime.fromisoformat(f"{due}Z")


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2024-01-15T12:59", "2024-01-16T00:00"),
        ("2024-01-15T13:00", "2024-01-17T00:00"),
        ("2024-03-09T12:00", "2024-03-10T00:00"),
        ("2024-03-09T13:00", "2024-03-11T00:00"),
        ("2024-03-10T13:00", "2024-03-12T00:00"),
        ("2024-11-02T12:59", "2024-11-03T00:00"),
        ("2024-11-02T13:00", "2024-11-04T00:00"),
        ("2024-11-03T01:30", "2024-11-04T00:00"),
    ],
)
def test_day_ahead_products_are_due_to_the_end_of_tomorrow(now: str, due: str) -> None:
    """From 13:00 local time on, day-ahead products are due to the end of tomorrow, also on days of 23 and 25 hours."""
    made = entry(available={"day_before": "13:00", "timezone": "America/New_York"})
    moment = datetime.fromisoformat(now).replace(tzinfo=NEW_YORK)
    assert find_due_end(made, moment.astimezone(UTC)) == datetime.fromisoformat(due).replace(tzinfo=NEW_YORK)


def test_due_never_goes_back() -> None:
    """The end of what is due never moves back, checked minute by minute over a clock change."""
    made = entry(available={"day_before": "13:00", "timezone": "America/New_York"})
    start = datetime(2024, 11, 2, 12, tzinfo=UTC)
    due = [find_due_end(made, start + n * timedelta(minutes=1)) for n in range(3 * 24 * 60)]
    assert due == sorted(due)
    assert len(set(due)) == 4


ZONES = st.sampled_from(["America/New_York", "America/Los_Angeles", "Europe/London", "Asia/Tokyo", "UTC"])
RULES = st.one_of(
    st.integers(-300, 3000).map(lambda minutes: Available(lag=timedelta(minutes=minutes))),
    st.builds(
        lambda hour, minute, zone: Available(day_before=f"{hour:02}:{minute:02}", timezone=zone),
        st.integers(0, 23),
        st.integers(0, 59),
        ZONES,
    ),
)
MINUTES = st.one_of(
    st.integers(0, 527_040),  # of 2024
    *(st.integers(day * 1440, day * 1440 + 2880) for day in (68, 89, 299, 306)),  # around changes of clocks
)


@given(RULES, MINUTES, st.sampled_from([5, 15, 60]), st.integers(-80, 80))
def test_what_is_due_is_what_is_available(rule: Available, minute: int, resolution: int, step: int) -> None:
    """An interval is due exactly if its value is available."""
    now = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    length = timedelta(minutes=resolution)
    due = find_due_end(msgspec.structs.replace(entry(), available=rule, resolution=length), now)
    start = due + step * length
    bounds = [np.array([microseconds(moment)]) for moment in (start, start + length)]
    assert (available_at(rule, *bounds)[0] <= microseconds(now)) == (start + length <= due)
