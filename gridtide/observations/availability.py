"""When the values of observations can be known, and up to where they are due; one rule, read in both directions.

lag             start |----interval----| end ----lag----> available
day_before      |---the day before---|---operating day---|
                           ^ 13:00: all of the operating day is available
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from gridtide.entries.entry import Available, Entry
from gridtide.periods import floor, local_midnight, microseconds

if TYPE_CHECKING:
    from gridtide.observations.array_types import Integers

NEVER_KNOWN = 2**31 - 1
"""The `known` row of a value that is not there: the largest of 32 bits."""


def available_at(rule: Available, start: Integers, end: Integers) -> Integers:
    """When values over `[start, end)` can be known by `rule`; all in µs since 1970, shape (N,)."""
    if rule.lag is not None:
        return end + rule.lag // timedelta(microseconds=1)
    # Imported here: the commands that only ask what is due start without Arrow.
    import numpy as np

    from gridtide.observations.times import local_times

    days = local_times(start, rule.timezone).astype("datetime64[D]")
    unique, places = np.unique(days, return_inverse=True)
    return np.array([microseconds(_find_opening(rule, day)) for day in unique.tolist()], np.int64)[places]


def find_due_end(entry: Entry, now: datetime) -> datetime:
    """The end of the latest interval of `entry` that can be available at `now`, aligned to its resolution; UTC."""
    rule = entry.available
    if rule.lag is not None:
        return floor(now - rule.lag, entry.resolution)
    zone = ZoneInfo(rule.timezone)
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    after_last = tomorrow + timedelta(days=1) if _find_opening(rule, tomorrow) <= now else tomorrow
    return local_midnight(after_last, zone)


def _find_opening(rule: Available, operating_day: date) -> datetime:
    """When `rule` makes the values of `operating_day` available; the first where clocks show that time twice."""
    moment = time.fromisoformat(rule.day_before or "")
    before = operating_day - timedelta(days=1)
    return datetime.combine(before, moment, ZoneInfo(rule.timezone)).astimezone(UTC)
