"""Operations on periods, compared with sets of minutes."""

from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from gridtide.periods import EPOCH, Period, floor, local_day, local_days, missing, split, split_days, union

START = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def period(bounds: tuple[int, int]) -> Period:
    """The minutes `[a, a + length)` after START."""
    start, length = bounds
    return Period(START + start * MINUTE, START + (start + length) * MINUTE)


def minutes(*periods: Period) -> set[datetime]:
    """The minutes in any of `periods`."""
    return {p.start + n * MINUTE for p in periods for n in range(p.duration // MINUTE)}


periods = st.tuples(st.integers(0, 60), st.integers(1, 30)).map(period)
many = st.lists(periods, max_size=8)


@given(many)
def test_union_is_the_same_minutes_apart_and_sorted(found: list[Period]) -> None:
    """A union has the same minutes, in sorted periods that neither overlap nor touch."""
    joined = union(found)
    assert minutes(*joined) == minutes(*found)
    assert all(a.end < b.start for a, b in pairwise(joined))


@given(periods, many)
def test_missing_is_wanted_without_covered(wanted: Period, covered: list[Period]) -> None:
    """`missing` is the set difference, in sorted periods that do not touch."""
    holes = missing(wanted, covered)
    assert minutes(*holes) == minutes(wanted) - minutes(*covered)
    assert all(a.end < b.start for a, b in pairwise(holes))


@given(periods, many)
def test_covering_what_is_missing_leaves_nothing(wanted: Period, covered: list[Period]) -> None:
    """After the missing periods are covered, nothing is missing."""
    assert missing(wanted, [*covered, *missing(wanted, covered)]) == []


@given(periods, st.integers(1, 40))
def test_split_covers_the_period_in_touching_steps(whole: Period, length: int) -> None:
    """The pieces cover the period without gaps, and all except the last have the length of the step."""
    step = length * MINUTE
    pieces = split(whole, step)
    assert union(pieces) == [whole]
    assert all(a.end == b.start for a, b in pairwise(pieces))
    assert all(p.duration == step for p in pieces[:-1])
    assert pieces[-1].duration <= step


@given(
    st.datetimes(datetime(1950, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    st.integers(1, 10_000),
)
def test_floor_is_the_last_multiple_before(moment: datetime, seconds: int) -> None:
    """`floor` gives a whole number of steps since 1970, at most one step earlier, also before 1970."""
    step = timedelta(seconds=seconds)
    found = floor(moment, step)
    assert (found - EPOCH) % step == timedelta(0)
    assert found <= moment < found + step


zones = st.sampled_from(["America/New_York", "America/Los_Angeles", "Asia/Kolkata", "Africa/Cairo", "UTC"]).map(
    ZoneInfo
)


@given(
    zones,
    st.datetimes(datetime(1850, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(lambda at: floor(at, MINUTE)),
    st.integers(1, 60 * 24 * 20),
    st.integers(1, 9),
)
def test_days_are_cut_at_local_midnights(zone: ZoneInfo, start: datetime, length: int, count: int) -> None:
    """The pieces touch at local midnights, all except the last have `count` days, and their bounds are whole
    minutes."""
    whole = Period(start, start + length * MINUTE)
    pieces = split_days(whole, count, zone)
    assert union(pieces) == [whole]
    assert all(a.end == b.start for a, b in pairwise(pieces))
    assert all(piece.start == floor(piece.start, MINUTE) for piece in pieces)
    if start.year >= 1950:  # before, clocks of some zones are seconds off the minute
        days = [list(local_days(piece, zone)) for piece in pieces]
        assert [*chain.from_iterable(days)] == list(local_days(whole, zone))
        assert [len(each) for each in days[:-1]] == [count] * (len(pieces) - 1)
        assert len(days[-1]) <= count


@given(zones, st.datetimes(datetime(2015, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)), st.integers(1, 28_800))
def test_local_days_cover_a_period_and_touch_it(zone: ZoneInfo, start: datetime, length: int) -> None:
    """The local days of a period cover it without gaps, and each overlaps it."""
    whole = Period(start, start + length * MINUTE)
    days = [local_day(day, zone) for day in local_days(whole, zone)]
    assert missing(whole, days) == []
    assert all(day.start < whole.end and whole.start < day.end for day in days)
    assert all(a.end == b.start for a, b in pairwise(days))
