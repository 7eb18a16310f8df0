"""Local times without an offset."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from gridtide.periods import local_day
from gridtide.sources.formats.local_times import to_utc

NEW_YORK = ZoneInfo("America/New_York")


def local(text: str) -> datetime:
    """A local time of 2024 without an offset."""
    return datetime.fromisoformat(f"2024-{text}")


def test_times_become_utc_by_the_offset_of_their_season() -> None:
    """New York is five hours behind in winter and four in summer."""
    assert to_utc([local("01-01T12:00"), local("07-01T12:00")], NEW_YORK) == [
        datetime(2024, 1, 1, 17, tzinfo=UTC),
        datetime(2024, 7, 1, 16, tzinfo=UTC),
    ]


@pytest.mark.parametrize("backward", [False, True])
def test_the_hour_that_comes_twice_is_told_by_order(backward: bool) -> None:
    """Half-hours of the 25-hour day, newest last or first, are its 50 moments without a gap."""
    day = local_day(datetime(2024, 11, 3).date(), NEW_YORK)
    moments = [day.start + n * timedelta(minutes=30) for n in range(50)]
    assert moments[-1] + timedelta(minutes=30) == day.end
    if backward:
        moments.reverse()
    shown = [moment.astimezone(NEW_YORK).replace(tzinfo=None, fold=0) for moment in moments]
    assert to_utc(shown, NEW_YORK) == moments


def test_pairs_side_by_side_are_told_apart_too() -> None:
    """01:00, 01:00, 01:30, 01:30 are summer and winter time in turn."""
    times = [local("11-03T01:00"), local("11-03T01:00"), local("11-03T01:30"), local("11-03T01:30")]
    assert [f"{moment:%H:%M}" for moment in to_utc(times, NEW_YORK)] == ["05:00", "06:00", "05:30", "06:30"]


@pytest.mark.parametrize("count", [1, 3])
def test_an_hour_that_comes_twice_but_stands_once_is_not_guessed(count: int) -> None:
    """It could be either, which the message says."""
    with pytest.raises(ValueError, match=rf"2024-11-03T01:30 comes twice in America/New_York, but {count} times"):
        to_utc([local("11-03T00:30"), *[local("11-03T01:30")] * count], NEW_YORK)


def test_an_hour_that_the_clock_skips_is_refused() -> None:
    """02:30 does not exist on the day of the spring change."""
    with pytest.raises(ValueError, match="2024-03-10T02:30 does not exist in America/New_York"):
        to_utc([local("03-10T02:30")], NEW_YORK)


def test_equal_times_of_other_hours_stay_equal() -> None:
    """Duplicates are not the business of the clock."""
    assert to_utc([local("01-01T00:00")] * 3, NEW_YORK) == [datetime(2024, 1, 1, 5, tzinfo=UTC)] * 3


def test_no_times_are_no_moments() -> None:
    """An empty series has an empty answer."""
    assert to_utc([], NEW_YORK) == []
