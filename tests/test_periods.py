"""Half-open periods and operations on them, with the results written out."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from gridtide.periods import (
    Period,
    describe_duration,
    floor,
    local_day,
    local_days,
    local_midnight,
    missing,
    split,
    split_days,
    union,
)

NEW_YORK = ZoneInfo("America/New_York")
HOUR = timedelta(hours=1)


def at(hour: int) -> datetime:
    """An hour of the first of January 2024, UTC; from 24 on it is on later days."""
    return datetime(2024, 1, 1, tzinfo=UTC) + hour * HOUR


def hours(start: int, end: int) -> Period:
    """The hours `[start, end)` of that day."""
    return Period(at(start), at(end))


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        (at(1), at(1), "must end after it starts"),
        (at(2), at(1), "must end after it starts"),
        (datetime(2024, 1, 1), at(1), "aware"),
        (at(1), datetime(2024, 1, 2), "aware"),
    ],
)
def test_a_period_is_never_empty_backward_or_naive(start: datetime, end: datetime, says: str) -> None:
    """Empty and reversed periods and those without zones are refused."""
    with pytest.raises(ValueError, match=says):
        Period(start, end)


@pytest.mark.parametrize(
    ("inner", "is_contained"),
    [(hours(1, 5), True), (hours(2, 3), True), (hours(0, 3), False), (hours(3, 6), False), (hours(5, 6), False)],
)
def test_a_period_contains_itself_and_its_parts(inner: Period, is_contained: bool) -> None:
    """A period contains itself and what is within its bounds, and nothing that begins before or ends after it."""
    assert hours(1, 5).contains(inner) is is_contained


def test_a_period_reads_as_its_bounds() -> None:
    """The text of a period is that of log lines and reports."""
    assert str(hours(0, 25)) == "2024-01-01T00:00/2024-01-02T01:00"
    assert hours(0, 25).duration == timedelta(days=1, hours=1)


def test_days_of_23_and_25_hours_are_not_cut() -> None:
    """The pieces are the days of New York, and the first and last may be parts of a day."""
    spring = Period(datetime(2024, 3, 9, tzinfo=UTC), datetime(2024, 3, 12, tzinfo=UTC))
    assert [str(piece) for piece in split_days(spring, 1, NEW_YORK)] == [
        "2024-03-09T00:00/2024-03-09T05:00",
        "2024-03-09T05:00/2024-03-10T05:00",
        "2024-03-10T05:00/2024-03-11T04:00",
        "2024-03-11T04:00/2024-03-12T00:00",
    ]
    autumn = Period(datetime(2024, 11, 3, 4, tzinfo=UTC), datetime(2024, 11, 5, 5, tzinfo=UTC))
    assert [piece.duration // HOUR for piece in split_days(autumn, 1, NEW_YORK)] == [25, 24]
    assert split_days(autumn, 2, NEW_YORK) == [autumn]
    with pytest.raises(ValueError, match="at least one day"):
        split_days(autumn, 0, NEW_YORK)


@pytest.mark.parametrize(
    ("found", "joined"),
    [
        ([], []),
        ([hours(3, 5), hours(0, 2)], [hours(0, 2), hours(3, 5)]),
        ([hours(0, 2), hours(2, 4)], [hours(0, 4)]),
        ([hours(0, 9), hours(2, 4), hours(8, 10)], [hours(0, 10)]),
        ([hours(0, 2), hours(0, 2)], [hours(0, 2)]),
    ],
)
def test_union_sorts_and_joins(found: list[Period], joined: list[Period]) -> None:
    """Overlapping, touching, contained and equal periods become one."""
    assert union(found) == joined


@pytest.mark.parametrize(
    ("covered", "holes"),
    [
        ([], [hours(2, 8)]),
        ([hours(0, 10)], []),
        ([hours(2, 8)], []),
        ([hours(0, 2), hours(8, 9)], [hours(2, 8)]),
        ([hours(0, 3), hours(7, 9)], [hours(3, 7)]),
        ([hours(3, 4), hours(5, 6)], [hours(2, 3), hours(4, 5), hours(6, 8)]),
        ([hours(5, 6), hours(3, 5)], [hours(2, 3), hours(6, 8)]),
        ([hours(9, 12)], [hours(2, 8)]),
    ],
)
def test_missing_is_wanted_minus_covered(covered: list[Period], holes: list[Period]) -> None:
    """The missing hours from 2 to 8 are those that no covered period has."""
    assert missing(hours(2, 8), covered) == holes


def test_split_makes_steps_from_the_start() -> None:
    """All steps have the length except the last."""
    assert split(hours(0, 5), 2 * HOUR) == [hours(0, 2), hours(2, 4), hours(4, 5)]
    assert split(hours(0, 4), 2 * HOUR) == [hours(0, 2), hours(2, 4)]
    assert split(hours(0, 1), 2 * HOUR) == [hours(0, 1)]


@pytest.mark.parametrize("step", [timedelta(0), -HOUR])
def test_split_needs_a_step_forward(step: timedelta) -> None:
    """A step that is not positive is refused."""
    with pytest.raises(ValueError, match="a step must be positive"):
        split(hours(0, 1), step)


def test_floor_goes_to_the_step_at_or_before() -> None:
    """Times are rounded down to five minutes, hours and UTC days, also before 1970."""
    moment = datetime(2024, 3, 10, 7, 59, 59, 999999, tzinfo=UTC)
    assert floor(moment, timedelta(minutes=5)) == datetime(2024, 3, 10, 7, 55, tzinfo=UTC)
    assert floor(moment, HOUR) == datetime(2024, 3, 10, 7, tzinfo=UTC)
    assert floor(moment, timedelta(days=1)) == datetime(2024, 3, 10, tzinfo=UTC)
    assert floor(at(3), HOUR) == at(3)
    assert floor(datetime(1969, 12, 31, 23, 30, tzinfo=UTC), HOUR) == datetime(1969, 12, 31, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "start", "length"),
    [
        (date(2024, 1, 15), datetime(2024, 1, 15, 5, tzinfo=UTC), 24),
        (date(2024, 3, 10), datetime(2024, 3, 10, 5, tzinfo=UTC), 23),
        (date(2024, 7, 15), datetime(2024, 7, 15, 4, tzinfo=UTC), 24),
        (date(2024, 11, 3), datetime(2024, 11, 3, 4, tzinfo=UTC), 25),
    ],
)
def test_an_operating_day_has_23_24_or_25_hours(day: date, start: datetime, length: int) -> None:
    """An operating day lasts from local midnight to local midnight."""
    assert local_midnight(day, NEW_YORK) == start
    assert local_day(day, NEW_YORK) == Period(start, start + length * HOUR)


def test_a_day_whose_midnight_the_clock_skips_starts_when_the_clock_does() -> None:
    """In Cairo the last Friday of April 2024 starts at 01:00 summer time."""
    cairo = ZoneInfo("Africa/Cairo")
    assert local_midnight(date(2024, 4, 26), cairo) == datetime(2024, 4, 25, 22, tzinfo=UTC)
    assert local_day(date(2024, 4, 26), cairo).duration == 23 * HOUR


def test_local_days_are_those_that_share_a_moment() -> None:
    """A period that ends at local midnight does not include the next day."""
    midnight = datetime(2024, 1, 2, 5, tzinfo=UTC)
    assert list(local_days(Period(at(12), midnight), NEW_YORK)) == [date(2024, 1, 1)]
    assert list(local_days(Period(at(3), midnight + HOUR), NEW_YORK)) == [
        date(2023, 12, 31),
        date(2024, 1, 1),
        date(2024, 1, 2),
    ]


@pytest.mark.parametrize(
    ("duration", "said"),
    [
        (timedelta(0), "0 s"),
        (timedelta(seconds=40.9), "40 s"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(minutes=125), "2 h 5 min"),
        (timedelta(hours=2), "2 h"),
        (timedelta(days=1), "1 day"),
        (timedelta(days=1, hours=4, minutes=59), "1 day 4 h"),
        (timedelta(days=60), "60 days"),
        (timedelta(days=400, minutes=5), "400 days"),
        (-HOUR, "0 s"),
    ],
)
def test_a_duration_is_said_in_its_largest_units(duration: timedelta, said: str) -> None:
    """A duration is described by its one or two largest units."""
    assert describe_duration(duration) == said
