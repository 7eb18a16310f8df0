"""When a schedule was last due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from cronsim import CronSim

from gridtide.entries.entry import Schedule
from gridtide.periods import floor

if TYPE_CHECKING:
    pass


MINUTE = timedelta(minutes=1)


def last_run(schedule: Schedule, before: datetime) -> datetime:
    """When `schedule` was last due, at `before` or earlier.

    >>> str(last_run(Schedule(cron="12 * * * *"), EPOCH + timedelta(minutes=11)))
    '1969-12-31 23:12:00+00:00'
    """
    local = floor(before + MINUTE, MINUTE).astimezone(ZoneInfo(schedule.timezone))
    return next(CronSim(schedule.cron, local, reverse=True)).astimezone(UTC)


def longest_spacing(schedule: Schedule, before: datetime, runs: int = 10) -> timedelta:
    """The longest time between two of the last `runs` of `schedule`."""
    moments = [last_run(schedule, before)]
    for _ in range(runs):
        moments.append(last_run(schedule, moments[-1] - MINUTE))
    return max(after - earlier for after, earlier in pairwise(moments))
