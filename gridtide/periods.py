"""Half-open UTC periods and the algebra of coverage.

target    |-----------------------------|
covered       |------|        |----|
missing   |--|        |------|      |---|
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """The interval starts `[start, end)`, both aware UTC datetimes, never empty."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError(f"a period needs aware datetimes, got {self.start!r} and {self.end!r}")
        if self.end <= self.start:
            raise ValueError(f"a period must end after it starts, got {self}")

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%dT%H:%M}/{self.end:%Y-%m-%dT%H:%M}"

    @classmethod
    def parse(cls, text: str) -> Period:
        """Parses the output of `str`.

        >>> str(Period.parse("2024-01-01T00:00/2024-01-02T00:00"))
        '2024-01-01T00:00/2024-01-02T00:00'
        """
        start, end = (datetime.fromisoformat(moment).replace(tzinfo=UTC) for moment in text.split("/"))
        return cls(start, end)

    @property
    def duration(self) -> timedelta:
        """The length of the period."""
        return self.end - self.start

    def clip(self, bounds: Period) -> Period:
        """Returns the part of the period that lies in `bounds`; raises `ValueError` if there is none."""
        return Period(max(self.start, bounds.start), min(self.end, bounds.end))

    def contains(self, period: Period) -> bool:
        """Whether all of `period` lies in this period."""
        return self.start <= period.start and period.end <= self.end

    def overlaps(self, period: Period) -> bool:
        """Whether the two periods share a moment; periods that only touch do not."""
        return self.start < period.end and period.start < self.end


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

HOUR = timedelta(hours=1)

DAY = timedelta(days=1)


def describe_duration(duration: timedelta) -> str:
    """Writes `duration` in its one or two largest units.

    >>> [describe_duration(timedelta(minutes=minutes)) for minutes in (0.5, 125, 86400, 0)]
    ['30 s', '2 h 5 min', '60 days', '0 s']
    """
    seconds = max(0, int(duration.total_seconds()))
    units = ((86400, "days"), (3600, "h"), (60, "min"), (1, "s"))
    largest = next((index for index, (length, _) in enumerate(units) if seconds >= length), len(units) - 1)
    parts: list[str] = []
    for length, name in units[largest : largest + (1 if largest >= 2 else 2)]:
        count, seconds = divmod(seconds, length)
        parts += [f"{count} {'day' if (count, name) == (1, 'days') else name}"] if count or not parts else []
    return " ".join(parts)


def microseconds(moment: datetime) -> int:
    """Returns `moment` in µs since 1970, the unit of time in the table of observations."""
    return count_microseconds(moment - EPOCH)


def count_microseconds(duration: timedelta) -> int:
    """Returns `duration` in µs."""
    return duration // timedelta(microseconds=1)


def floor(moment: datetime, step: timedelta) -> datetime:
    """Returns the latest multiple of `step` since 1970 that is not after `moment`.

    >>> floor(datetime(2024, 1, 1, 5, 59, tzinfo=UTC), timedelta(hours=1)).hour
    5
    """
    return EPOCH + (moment - EPOCH) // step * step


def split(period: Period, step: timedelta) -> list[Period]:
    """Splits `period` into adjacent pieces of at most `step`, counted from its start.

    >>> hour = timedelta(hours=1)
    >>> [str(p) for p in split(Period(EPOCH, EPOCH + 3 * hour), 2 * hour)]
    ['1970-01-01T00:00/1970-01-01T02:00', '1970-01-01T02:00/1970-01-01T03:00']
    """
    if step <= timedelta(0):
        raise ValueError(f"a step must be positive, got {step}")
    pieces = []
    start = period.start
    while start < period.end:
        end = min(start + step, period.end)
        pieces.append(Period(start, end))
        start = end
    return pieces


def split_days(period: Period, count: int, zone: ZoneInfo) -> list[Period]:
    """Splits `period` into adjacent pieces of at most `count` calendar days of `zone`, cut at its midnights.

    >>> spring = Period(datetime(2024, 3, 9, 12, tzinfo=UTC), datetime(2024, 3, 12, tzinfo=UTC))
    >>> [str(p) for p in split_days(spring, 1, ZoneInfo("America/New_York"))][:2]
    ['2024-03-09T12:00/2024-03-10T05:00', '2024-03-10T05:00/2024-03-11T04:00']
    """
    if count < 1:
        raise ValueError(f"a piece must hold at least one day, got {count}")
    midnights = [local_midnight(day, zone) for day in [*local_days(period, zone)][count::count]]
    minute = timedelta(minutes=1)  # before 1900 midnights have seconds; bounds in file names do not
    bounds = sorted({period.start, *(floor(midnight, minute) for midnight in midnights), period.end})
    return [Period(start, end) for start, end in pairwise(bounds)]


def split_calendar_months(period: Period, count: int, zone: ZoneInfo) -> list[Period]:
    """Splits `period` into adjacent pieces of at most `count` calendar months of `zone`, of which the first is counted
    from a January.

    >>> winter = Period(datetime(2023, 12, 20, tzinfo=UTC), datetime(2024, 2, 10, tzinfo=UTC))
    >>> [str(p) for p in split_calendar_months(winter, 1, ZoneInfo("UTC"))][:2]
    ['2023-12-20T00:00/2024-01-01T00:00', '2024-01-01T00:00/2024-02-01T00:00']
    """
    if count < 1:
        raise ValueError(f"a piece must hold at least one month, got {count}")
    firsts = [day for day in local_days(period, zone) if day.day == 1 and (day.month - 1) % count == 0]
    midnights = [local_midnight(day, zone) for day in firsts]
    minute = timedelta(minutes=1)
    inner = {floor(midnight, minute) for midnight in midnights if period.start < midnight < period.end}
    return [Period(start, end) for start, end in pairwise(sorted({period.start, *inner, period.end}))]


def union(periods: Iterable[Period]) -> list[Period]:
    """Joins `periods` that overlap or touch; returns the joined ones, sorted."""
    merged_periods: list[Period] = []
    for period in sorted(periods):
        if merged_periods and period.start <= merged_periods[-1].end:
            if period.end > merged_periods[-1].end:
                merged_periods[-1] = Period(merged_periods[-1].start, period.end)
        else:
            merged_periods.append(period)
    return merged_periods


def missing(target: Period, covered: Iterable[Period]) -> list[Period]:
    """Returns the parts of `target` that no period of `covered` overlaps: target − covered."""
    gaps = []
    start = target.start
    for period in union(covered):
        if period.start >= target.end:
            break
        if period.start > start:
            gaps.append(Period(start, period.start))
        start = max(start, period.end)
    if start < target.end:
        gaps.append(Period(start, target.end))
    return gaps


def local_days(period: Period, zone: ZoneInfo) -> Iterator[date]:
    """Yields the calendar days of `zone` that share a moment with `period`."""
    day = period.start.astimezone(zone).date()
    last_day = (period.end - timedelta(microseconds=1)).astimezone(zone).date()
    while day <= last_day:
        yield day
        day += timedelta(days=1)


def local_midnight(day: date, zone: ZoneInfo) -> datetime:
    """Returns the start of the local day `day` in UTC; local days are 23, 24 or 25 hours long."""
    # Where a clock change skips midnight, this is the moment of the change; where it repeats it, the first of the two.
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def local_day(day: date, zone: ZoneInfo) -> Period:
    """Returns the operating day `day`, from local midnight to local midnight, in UTC.

    >>> local_day(date(2024, 11, 3), ZoneInfo("America/New_York")).duration
    datetime.timedelta(days=1, seconds=3600)
    """
    return Period(local_midnight(day, zone), local_midnight(day + timedelta(days=1), zone))
