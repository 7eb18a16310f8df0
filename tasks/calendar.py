"""The times at which Prefect starts the runs of a schedule, for registering schedules and for finding missed runs.

Schedulers differ in the hours that a clock change skips or repeats, so the times come from Prefect's own code.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from prefect.client.schemas.schedules import CronSchedule

from gridtide.coverage.schedules import DueRuns, keep_repeated_hour
from gridtide.entries.entry import Schedule
from gridtide.periods import HOUR

if TYPE_CHECKING:
    from prefect.server.schemas import schedules as server_schedules

LATEST_RUNS = 11
"""The number of runs among which the longest spacing is found."""

LONGEST_LOOKBACK = timedelta(days=10 * 366)
"""The longest period in which runs are searched; every cron has a run within it."""

DATES_AT_ONCE = 1000
"""The minimum number of dates that Prefect returns, if there are so many."""

LONGEST_SHIFT = timedelta(hours=3)
"""The longest time by which a clock change may disturb the order of the dates."""


def build_cron_schedule(schedule: Schedule) -> CronSchedule:
    """The schedule to register with Prefect for `schedule`."""
    registered = keep_repeated_hour(schedule)
    return CronSchedule(cron=registered.cron, timezone=registered.timezone)


async def find_due_runs(schedule: Schedule, before: datetime) -> DueRuns:
    """The latest runs of `schedule` at or before `before`, as Prefect schedules them."""
    from prefect.server.schemas.schedules import CronSchedule as DatedSchedule  # loads the models of the server

    registered = build_cron_schedule(schedule)
    dated = DatedSchedule(cron=registered.cron, timezone=registered.timezone)
    span, moments = HOUR, list[datetime]()
    while len(moments) < LATEST_RUNS and span < LONGEST_LOOKBACK:
        span *= 16
        moments = await _list_moments(dated, before - span, before)
    return DueRuns.from_moments(moments[-LATEST_RUNS:])


async def _list_moments(dated: server_schedules.CronSchedule, start: datetime, end: datetime) -> list[datetime]:
    """All dates of a schedule from `start` to `end`, in UTC and in order."""
    moments: set[datetime] = set()
    while True:
        dates = await dated.get_dates(start=start, end=end + LONGEST_SHIFT)
        moments |= {datetime.fromtimestamp(date.timestamp(), UTC) for date in dates}
        if len(dates) < DATES_AT_ONCE:
            return sorted(moment for moment in moments if moment <= end)
        start = max(moments) + timedelta(seconds=1)
