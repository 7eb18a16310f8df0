"""Finds the series that an entry has since lately, or has no longer; pure."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from gridtide.observations.array_types import Mask
from gridtide.quality.daily import DayVerdict, HourlySeries
from gridtide.quality.flags import Flag

GONE_DAYS = 7
"""The days at the end without a value, from which on a series is gone."""

CAME, WENT = 1.0, -1.0
"""The values of the verdict `presence`."""


def judge_presence(hourly: HourlySeries, first_day: int) -> list[DayVerdict]:
    """Returns the verdict `presence` of the series of `hourly`, all of one entry, that are new or gone, on the first
    day with values or without them.

    A series is new if its first value is on the `first_day`-th day or later, although others have values on an earlier
    day; it is gone if it had values, and has none on the last seven days, although others have some.
    """
    cells: Mask = ~np.isnan(hourly.values)
    days_with_values: Mask = np.any(cells.reshape(len(hourly.names), -1, 24), axis=2)
    day_count = days_with_values.shape[1]
    recent = max(day_count - GONE_DAYS, 0)
    others_before, others_lately = days_with_values[:, :first_day].any(), days_with_values[:, recent:].any()
    verdicts = []
    for name, is_present in zip(hourly.names, days_with_values, strict=True):
        present_days = np.flatnonzero(is_present)
        if not present_days.size:
            continue
        first, last = int(present_days[0]), int(present_days[-1])
        if first >= first_day and others_before:
            verdicts.append(_say_presence(hourly, name, first, Flag.GOOD, CAME))
        if last < recent and others_lately:
            verdicts.append(_say_presence(hourly, name, last + 1, Flag.MISSING, WENT))
    return verdicts


def _say_presence(hourly: HourlySeries, name: str, day: int, flag: Flag, value: float) -> DayVerdict:
    return DayVerdict(name, (hourly.start + timedelta(days=day)).date(), "presence", flag, value, 0.0)
