"""The runs of a schedule that are over, and schedules that lose no hour when clocks are set back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim

from gridtide.entries.entry import Schedule
from gridtide.periods import EPOCH, HOUR

FIRST_YEAR, LAST_YEAR = 2024, 2037
"""The years whose clock changes distinguish time zones; zone tables end there and continue by rule."""

EVERY_HOUR, EVERY_DAY, EVERY_MONTH, EVERY_WEEKDAY = set(range(24)), set(range(1, 32)), set(range(1, 13)), set(range(7))


@dataclass(frozen=True, slots=True)
class DueRuns:
    """The runs of a schedule that must be finished: the `last` one, and the `longest_spacing` between two of the
    latest."""

    last: datetime
    longest_spacing: timedelta

    @classmethod
    def from_moments(cls, moments: Sequence[datetime]) -> DueRuns:
        """Returns the due runs from the latest runs, oldest first, at least one."""
        return cls(moments[-1], max((later - earlier for earlier, later in pairwise(moments)), default=timedelta()))


def keep_repeated_hour(schedule: Schedule) -> Schedule:
    """Returns the schedule in UTC if it runs in every hour of every day in a zone whose clocks change.

    Prefect starts no runs in the repeated hour when clocks are set back, so the snapshots of that hour would be lost.
    UTC repeats no hour. All other schedules are returned unchanged.

    >>> keep_repeated_hour(Schedule(cron="12 * * * *", timezone="Australia/Adelaide")).cron
    '42 * * * *'
    """
    zone_minutes = find_zone_minutes(schedule.timezone)
    cron = CronSim(schedule.cron, EPOCH)
    weekdays = {weekday % 7 for weekday in cron.weekdays if isinstance(weekday, int)}
    fields = (cron.hours, cron.days, cron.months, weekdays)
    if zone_minutes is None or fields != (EVERY_HOUR, EVERY_DAY, EVERY_MONTH, EVERY_WEEKDAY):
        return schedule
    minutes = sorted({(minute - zone_minutes) % 60 for minute in cron.minutes})
    return msgspec.structs.replace(schedule, cron=f"{','.join(map(str, minutes))} * * * *", timezone="UTC")


@lru_cache
def find_zone_minutes(timezone: str) -> int | None:
    """Returns by how many minutes the clocks of a zone differ from UTC, beyond whole hours.

    Returns None if its clocks do not change, or change by less than an hour.
    """
    zone = ZoneInfo(timezone)
    days = (datetime(LAST_YEAR, 12, 31, tzinfo=UTC) - datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)).days
    moments = (datetime(FIRST_YEAR, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in range(0, days, 7))
    offsets = {moment.astimezone(zone).utcoffset() or timedelta() for moment in moments}
    minutes = {offset % HOUR // timedelta(minutes=1) for offset in offsets}
    return minutes.pop() if len(offsets) > 1 and len(minutes) == 1 else None
