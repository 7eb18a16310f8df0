"""Reading local times without offsets."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from gridtide.periods import EPOCH, local_day
from gridtide.sources.formats import clocks
from gridtide.sources.formats.clocks import Clock, LabelError, parse_label, propose_formats

NEW_YORK = ZoneInfo("America/New_York")


def to_utc(times: Sequence[datetime], zone: ZoneInfo, ambiguous: str = "refuse") -> list[datetime]:
    """The local `times` of one series in UTC."""
    local_times = [(time.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1) for time in times]
    moments = clocks.to_utc(np.array(local_times, np.int64), np.zeros(len(times), np.int64), Clock(zone, ambiguous))
    assert not moments.skipped.any()
    return [EPOCH + timedelta(microseconds=int(moment)) for moment in moments.utc]


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
    """The half-hours of a day of 25 hours, in either order, become 50 continuous times."""
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


@pytest.mark.parametrize(("count", "times"), [(1, "once"), (3, "3 times")])
def test_an_hour_that_comes_twice_but_stands_once_is_not_guessed(count: int, times: str) -> None:
    """A time in the repeated hour that occurs once is refused, and the message says why."""
    with pytest.raises(LabelError, match=rf"2024-11-03T01:30 comes twice in America/New_York, .* but {times} in"):
        to_utc([local("11-03T00:30"), *[local("11-03T01:30")] * count], NEW_YORK)


@pytest.mark.parametrize(("ambiguous", "hour"), [("first", 5), ("second", 6)])
def test_an_hour_that_stands_once_is_the_one_that_the_entry_says(ambiguous: str, hour: int) -> None:
    """It is of the pass that the key names."""
    times = [local("11-03T00:30"), local("11-03T01:30"), local("11-03T02:30")]
    assert to_utc(times, NEW_YORK, ambiguous)[1].hour == hour


@pytest.mark.parametrize("is_descending", [False, True])
def test_order_tells_nothing_of_an_hour_that_stands_once(is_descending: bool) -> None:
    """With the hour after it, either of the two may be missing, which is refused; a night that is not over yet has had
    the first."""
    labels = ["00:30", "01:00", "01:30", "02:30"]
    for shown in (labels, labels[1:], ["01:30", "03:30"]):
        times = [local(f"11-03T{label}") for label in shown]
        with pytest.raises(LabelError, match=r"comes twice in America/New_York, .* but once in"):
            to_utc(times[::-1] if is_descending else times, NEW_YORK, "order")
    times = [local(f"11-03T{label}") for label in labels[:3]]
    moments = to_utc(times[::-1] if is_descending else times, NEW_YORK, "order")
    assert sorted(f"{moment:%H:%M}" for moment in moments) == ["04:30", "05:00", "05:30"]


def test_rows_after_the_clock_was_turned_back_are_of_the_second_pass() -> None:
    """By `order`, times after the clock was turned back are in the second pass, even if not all times occur twice."""
    labels = ("00:30", "01:00", "01:40", "01:00", "01:20", "01:40", "02:00")
    moments = to_utc([local(f"11-03T{label}") for label in labels], NEW_YORK, "order")
    assert [f"{moment:%H:%M}" for moment in moments] == ["04:30", "05:00", "05:40", "06:00", "06:20", "06:40", "07:00"]


def test_an_hour_that_the_clock_skips_is_marked() -> None:
    """02:30 on the day of the spring change is marked as not existing."""
    skipped = (local("03-10T02:30").replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
    assert clocks.to_utc(np.array([skipped]), np.zeros(1, np.int64), Clock(NEW_YORK)).skipped.tolist() == [True]


@pytest.mark.parametrize(
    ("zone", "hour"), [("EST", 6), ("EDT", 5), ("-05:00", 6), ("UTC-4", 5), ("America/Chicago", 7), ("MESZ", 23)]
)
def test_a_zone_beside_a_label_says_which_clock_it_is_of(zone: str, hour: int) -> None:
    """A short name, an offset or an IANA zone beside a time determines its offset."""
    label = (local("01-20T01:00").replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
    moment = clocks.to_utc(np.array([label]), np.zeros(1, np.int64), Clock(NEW_YORK, zones=[zone])).utc[0]
    assert (EPOCH + timedelta(microseconds=int(moment))).hour == hour


@pytest.mark.parametrize(
    ("text", "time_format", "utc"),
    [
        ("2026-01-10T24:00", None, "2026-01-11T00:00"),
        ("2026-01-10 24:00:00", None, "2026-01-11T00:00"),
        ("24.01.2026 24:00", "%d.%m.%Y %H:%M", "2026-01-25T00:00"),
        ("2026011024", "%Y%m%d%H", "2026-01-11T00:00"),
        ("20260110 100", "%Y%m%d %H%M", "2026-01-10T01:00"),
        ("20260110 2400", "%Y%m%d %H%M", "2026-01-11T00:00"),
        ("1768003200", "unix", "2026-01-10T00:00"),
        ("1768003200000", "unix_ms", "2026-01-10T00:00"),
        ("/Date(1768003200000-0400)/", "dotnet", "2026-01-10T00:00"),
        ("10-Mar-2025 - Interval 04:00 EST", "%d-%b-%Y - Interval %H:%M EST", "2025-03-10T04:00"),
        ("10-Mar-2025 - Interval 04:00 EST 03:55", "%d-%b-%Y * %H:%M", "2025-03-10T03:55"),
        ("10-Mar-2025 - Interval 04:00 EST 24:00", "%d-%b-%Y*%H:%M", "2025-03-11T00:00"),
    ],
)
def test_labels_are_read_by_their_format(text: str, time_format: str | None, utc: str) -> None:
    """The hour 24 is the next midnight, and `%H%M` may lack a zero."""
    assert EPOCH + timedelta(microseconds=parse_label(text, time_format, None).moment) == datetime.fromisoformat(
        f"{utc}+00:00"
    )


NO_TIMES = ["2026-01-10T25:00", "2026-01-10T24:30", "tomorrow", "9999-01-01", "1"]


@pytest.mark.parametrize("text", [*NO_TIMES, "2026011000", "2026011024", "202601100005", "2601100005"])
def test_what_is_no_time_is_none(text: str) -> None:
    """Nor are digits that may be a date with an hour or a number since 1970, until the entry says which."""
    with pytest.raises(ValueError, match=r"."):
        parse_label(text, None, None)


def test_formats_are_proposed_only_where_they_read_every_label() -> None:
    """Only formats that read all times are proposed; an ambiguous day leaves both orders."""
    assert propose_formats(["01/31/2026 00:00"]) == ["%m/%d/%Y %H:%M"]
    assert propose_formats(["01/10/2026 00:00"]) == ["%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M"]
    assert propose_formats(["01/31/2026 00:00", "Total"]) == []
    assert propose_formats(["2026011000", "2026011023"]) == ["%Y%m%d%H"]
    assert propose_formats(["202601100005"]) == ["%Y%m%d%H%M"]
    assert propose_formats(["2601100005"]) == ["%y%m%d%H%M"]
    assert propose_formats(["2026011000", "2026014600"]) == ["unix"]


def test_equal_times_of_other_hours_stay_equal() -> None:
    """Duplicate times outside the repeated hour stay equal."""
    assert to_utc([local("01-01T00:00")] * 3, NEW_YORK) == [datetime(2024, 1, 1, 5, tzinfo=UTC)] * 3


def test_no_times_are_no_moments() -> None:
    """An empty series gives an empty result."""
    assert to_utc([], NEW_YORK) == []
