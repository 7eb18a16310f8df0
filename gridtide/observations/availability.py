"""When the values of observations are available, and until when they are due: one rule in both directions.

lag             start |----interval----| end ----lag----> available
day_before      |---the day before---|---operating day---|
                           ^ 13:00: all of the operating day is available
                             (of a forecast with `days`: 13:00 on that many days before)
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from gridtide.entries.entry import Available, Entry
from gridtide.periods import count_microseconds, floor, local_midnight, microseconds

if TYPE_CHECKING:
    from gridtide.observations.array_types import Integers

NEVER_KNOWN = 2**31 - 1
"""The `known_row` of a missing value: the largest 32-bit integer."""


def available_at(rule: Available, start: Integers, end: Integers) -> Integers:
    """Returns when values over `[start, end)` are available by `rule`; all in µs since 1970, shape (N,)."""
    if rule.lag is not None:
        return end + count_microseconds(rule.lag)
    # Imported here, so that commands that only need due times start without Arrow.
    import numpy as np

    from gridtide.observations.times import local_times

    days = local_times(start, rule.timezone).astype("datetime64[D]")
    distinct_days, unique_index = np.unique(days, return_inverse=True)
    return np.array([microseconds(_find_opening(rule, day)) for day in distinct_days.tolist()], np.int64)[unique_index]


def find_due_end(entry: Entry, now: datetime) -> datetime:
    """Returns the end of the latest interval of `entry` that can be available at `now`, aligned to its resolution;
    UTC."""
    rule = entry.available
    if rule.lag is not None:
        return floor(now - rule.lag, entry.resolution)
    time_zone = ZoneInfo(rule.timezone)
    furthest = now.astimezone(time_zone).date() + timedelta(days=rule.days)
    after_last = furthest + timedelta(days=1) if _find_opening(rule, furthest) <= now else furthest
    return local_midnight(after_last, time_zone)


def latest_opening(rule: Available, now: datetime) -> datetime | None:
    """Returns the last moment up to `now` at which `rule` made an operating day available; UTC, None for a lag."""
    if rule.day_before is None:
        return None
    today = now.astimezone(ZoneInfo(rule.timezone)).date()
    openings = [_find_opening(rule, today + timedelta(days=rule.days - back)) for back in range(3)]
    return next(opening for opening in openings if opening <= now)


def _find_opening(rule: Available, operating_day: date) -> datetime:
    """Returns when `rule` makes the values of `operating_day` available; the first time if clocks show it twice."""
    opening_time = time.fromisoformat(rule.day_before or "")
    issue_day = operating_day - timedelta(days=rule.days)
    return datetime.combine(issue_day, opening_time, ZoneInfo(rule.timezone)).astimezone(UTC)
