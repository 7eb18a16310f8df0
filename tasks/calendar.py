"""The times at which Prefect starts the runs of a schedule, for registering schedules and for finding missed runs.

Schedulers differ in the hours that a clock change skips or repeats, so the times come from Prefect's own code. Prefect
starts no runs in the second pass of a repeated hour; these are registered as a second schedule, a list of dates.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from prefect.client.schemas.schedules import CronSchedule, RRuleSchedule

from gridtide.coverage.schedules import LAST_YEAR, DueRuns, keep_repeated_hour, list_repeated_runs
from gridtide.entries.entry import Schedule
from gridtide.periods import HOUR, Period

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

MOST_REPEATED_RUNS = 360
"""The most dates that fit into a rule of 6,500 characters, which Prefect accepts; a deploy lists the coming ones."""

RULE_START = "DTSTART:20200101T000000"
"""The anchor of rules that the server adds to a rule without one, so that a rule with it is stored unchanged."""


def build_cron_schedule(schedule: Schedule) -> CronSchedule:
    """The schedule to register with Prefect for `schedule`."""
    runs_schedule = keep_repeated_hour(schedule)
    return CronSchedule(cron=runs_schedule.cron, timezone=runs_schedule.timezone)


def build_repeated_schedule(schedule: Schedule, now: datetime) -> RRuleSchedule | None:
    """The second schedule to register for `schedule`: its runs in hours that clock changes repeat, from the year of
    `now` on; None if it has none."""
    coming_years = Period(datetime(now.year, 1, 1, tzinfo=UTC), datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC))
    runs = list_repeated_runs(keep_repeated_hour(schedule), coming_years)[:MOST_REPEATED_RUNS]
    dates = ",".join(f"{run:%Y%m%dT%H%M%SZ}" for run in runs)
    return RRuleSchedule(rrule=f"{RULE_START}\nRDATE:{dates}", timezone="UTC") if runs else None


async def find_due_runs(schedule: Schedule, before: datetime) -> DueRuns:
    """The latest runs of `schedule` at or before `before`, as Prefect schedules them with both of its schedules."""
    from prefect.server.schemas.schedules import CronSchedule as DatedSchedule  # loads the models of the server

    runs_schedule = build_cron_schedule(schedule)
    dated = DatedSchedule(cron=runs_schedule.cron, timezone=runs_schedule.timezone)
    span, moments = HOUR, list[datetime]()
    while len(moments) < LATEST_RUNS and span < LONGEST_LOOKBACK:
        span *= 16
        searched = Period(before - span, before + timedelta.resolution)
        repeated_runs = list_repeated_runs(keep_repeated_hour(schedule), searched)
        moments = sorted({*await _list_moments(dated, before - span, before), *repeated_runs})
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
