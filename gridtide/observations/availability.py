"""When the values of observations could be known."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np

from gridtide.entries.entry import Available
from gridtide.observations.times import Integers, local_times, microseconds
from gridtide.periods import local_midnight

NEVER = np.iinfo(np.int32).max
"""The `known` row of a value that is not there."""


def available_at(rule: Available, start: Integers, end: Integers) -> Integers:
    """When values over `[start, end)` could be known by `rule`; all in µs since 1970, shape (N,)."""
    if rule.lag is not None:
        return end + rule.lag // timedelta(microseconds=1)
    zone = ZoneInfo(rule.timezone)
    days = local_times(start, rule.timezone).astype("datetime64[D]")
    unique, where = np.unique(days, return_inverse=True)
    hours, minutes = (int(part) for part in (rule.day_before or "").split(":"))
    moments = []
    for day in unique.tolist():
        before = local_midnight(day - timedelta(days=1), zone).astimezone(zone)
        moments.append(microseconds(before.replace(hour=hours, minute=minutes)))
    return np.array(moments, np.int64)[where]
