"""The runs of a schedule that are over, and the runs that it loses when clocks are set back.

clocks set back     |-- 01:00 --|-- 01:00 --|-- 02:00 --|
Prefect's runs        |  |  |  |              |  |  |  |       none in the second hour
repeated runs                     |  |  |  |                   registered in addition
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim

from gridtide.entries.entry import Schedule
from gridtide.periods import EPOCH, HOUR, Period

FIRST_YEAR, LAST_YEAR = 2024, 2037
"""The years whose clock changes distinguish time zones; zone tables end there and continue by rule."""

MINUTE = timedelta(minutes=1)

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

    Prefect starts no runs in the repeated hour when clocks are set back, and UTC repeats no hour. All other schedules
    are returned unchanged; `list_repeated_runs` lists what they lose.

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


def list_repeated_runs(schedule: Schedule, period: Period) -> list[datetime]:
    """Returns the runs of `schedule` in `period` that Prefect does not start because clocks were set back, in UTC.

    A schedule with runs in only one hour of the day repeats none: it runs once a day.
    """
    if len(CronSim(schedule.cron, EPOCH).hours) < 2:
        return []
    runs = []
    for change, length in find_setbacks(schedule.timezone):
        if change <= period.end and period.start < change + length:
            local_start = change.astimezone(ZoneInfo(schedule.timezone)).replace(tzinfo=None)
            for local_run in CronSim(schedule.cron, local_start - timedelta(minutes=1)):
                if local_run >= local_start + length:
                    break
                runs.append(change + (local_run - local_start))
    return [run for run in runs if period.start <= run < period.end]


@lru_cache
def find_setbacks(timezone: str) -> Sequence[tuple[datetime, timedelta]]:
    """Returns when the clocks of a zone are set back, in UTC, and by how much, from `FIRST_YEAR` to `LAST_YEAR`."""
    zone, setbacks = ZoneInfo(timezone), []
    for week_start, week_end in pairwise(_list_weeks()):
        length = _read_offset(zone, week_start) - _read_offset(zone, week_end)
        if length > timedelta():
            minutes = range(int((week_end - week_start) / MINUTE) + 1)
            offset = _read_offset(zone, week_end)
            place = bisect_left(minutes, True, key=lambda m: _read_offset(zone, week_start + m * MINUTE) == offset)
            setbacks.append((week_start + place * MINUTE, length))
    return setbacks


@lru_cache
def find_zone_minutes(timezone: str) -> int | None:
    """Returns by how many minutes the clocks of a zone differ from UTC, beyond whole hours.

    Returns None if its clocks do not change, or change by less than an hour.
    """
    zone = ZoneInfo(timezone)
    offsets = {_read_offset(zone, week_start) for week_start in _list_weeks()}
    minutes = {offset % HOUR // MINUTE for offset in offsets}
    return minutes.pop() if len(offsets) > 1 and len(minutes) == 1 else None


def _list_weeks() -> list[datetime]:
    """Returns the starts of weeks from `FIRST_YEAR` to `LAST_YEAR`; no zone changes its clocks twice in a week."""
    first, last = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC), datetime(LAST_YEAR, 12, 31, tzinfo=UTC)
    return [first + timedelta(days=day) for day in range(0, (last - first).days, 7)]


def _read_offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()
