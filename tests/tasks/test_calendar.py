"""The monitor expects runs when Prefect makes them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prefect.server.schemas.schedules import CronSchedule

from deployments.registry.catalogue import plan_deployments
from gridtide.config.loading import parse
from gridtide.coverage.gaps import find_missed_run
from gridtide.entries.entry import Schedule
from gridtide.periods import HOUR, Period
from tasks.calendar import build_cron_schedule, find_due_runs

DAY = timedelta(days=1)
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
NEW_YORK = "America/New_York"
ZONES = (
    *(NEW_YORK, "America/Los_Angeles", "America/St_Johns", "Europe/Berlin", "Europe/London", "Australia/Adelaide"),
    *("Australia/Lord_Howe", "Pacific/Chatham", "America/Santiago", "Africa/Casablanca", "Antarctica/Troll", "UTC"),
)
CRONS = (
    *("30 2 * * *", "30 1 * * *", "45 1,2 * * *", "0 0 * * *", "0 3 * * 0", "59 23 * * *", "*/7 1-3 * * *"),
    *("12 * * * *", "*/15 * * * *", "5 */2 * * *", "30 2 8 3 *", "0 2 */2 * 1-5", "10 1 1/3 * 1/2", "* * * * *"),
    *("15 2 1 * *", "20 4 * 3,11 6-7", "40 13 * * MON-FRI"),
)
"""Around the hours that clock changes skip and repeat, and in ways that parsers of cron read differently."""

SPRING, AUTUMN = datetime(2026, 3, 8, 7, tzinfo=UTC), datetime(2026, 11, 1, 6, tzinfo=UTC)
"""When clocks change in New York."""

CHANGES = (SPRING, AUTUMN, datetime(2026, 10, 25, 1, tzinfo=UTC), datetime(2027, 4, 3, 16, tzinfo=UTC))
"""There, in Europe, and in Australia."""


async def list_dates(schedule: Schedule, period: Period) -> list[datetime]:
    """The runs that Prefect schedules in a period, requested in pieces."""
    registered = build_cron_schedule(schedule)
    dated = CronSchedule(cron=registered.cron, timezone=registered.timezone)
    dates: set[datetime] = set()
    start = period.start - DAY
    while start < period.end:
        found = await dated.get_dates(start=start, end=start + 15 * HOUR)
        dates |= {datetime.fromtimestamp(date.timestamp(), UTC) for date in found}
        start += 12 * HOUR
    return sorted(date for date in dates if period.start <= date < period.end)


@pytest.mark.slow
@settings(max_examples=40)
@given(st.sampled_from(CRONS), st.sampled_from(ZONES), st.integers(0, 2 * 365 * 24 * 60))
@example("30 2 * * *", NEW_YORK, (SPRING - FIRST) // timedelta(minutes=1))
@example("45 1,2 * * *", NEW_YORK, (SPRING - FIRST) // timedelta(minutes=1) + 20)
@example("*/7 1-3 * * *", NEW_YORK, (AUTUMN - FIRST) // timedelta(minutes=1) + 30)
@example("12 * * * *", NEW_YORK, (AUTUMN - FIRST) // timedelta(minutes=1) + 30)
async def test_the_last_run_is_the_last_that_prefect_scheduled(cron: str, zone: str, minute: int) -> None:
    """For every cron, zone and minute of two years; spacings are those between Prefect's dates."""
    schedule = Schedule(cron=cron, timezone=zone)
    now = FIRST + minute * timedelta(minutes=1)
    due = await find_due_runs(schedule, now)
    assert due.last <= now
    dates = await list_dates(schedule, Period(max(due.last, now - 2 * DAY), now + timedelta(minutes=1)))
    assert dates == ([due.last] if due.last >= now - 2 * DAY else [])
    assert await list_dates(schedule, Period(due.last, due.last + timedelta(minutes=1))) == [due.last]


async def test_spacings_are_those_of_prefect() -> None:
    """Of the latest eleven runs: on weekdays three days."""
    schedule = Schedule(cron="30 2 * * 1-5", timezone=NEW_YORK)
    dates = await list_dates(schedule, Period(SPRING - 15 * DAY, SPRING + DAY))
    assert len(dates) >= 11
    expected = max(later - earlier for earlier, later in pairwise(dates[-11:]))
    assert expected == 3 * DAY
    assert (await find_due_runs(schedule, SPRING + DAY)).longest_spacing == expected
    quarters = await find_due_runs(Schedule(cron="*/15 * * * *"), FIRST)
    assert quarters.longest_spacing == HOUR / 4


@dataclass(frozen=True)
class File:
    """What the name of a snapshot says."""

    stamp: datetime
    period: Period | None = None
    extension: str = "parquet"


@pytest.mark.parametrize("change", [SPRING, AUTUMN])
@pytest.mark.parametrize("cron", ["30 2 * * *", "30 1 * * *", "45 0,1,2 * * *", "12 * * * *"])
async def test_a_run_is_never_late_around_a_clock_change(change: datetime, cron: str) -> None:
    """Each run that Prefect makes leaves a file; looked at in every hour from six before on, none is missing."""
    schedule = Schedule(cron=cron, timezone=NEW_YORK)
    files = [File(date) for date in await list_dates(schedule, Period(change - 3 * DAY, change + DAY))]
    for look in range(-6, 18):
        now = change + (look + 1 / 3) * HOUR
        due = await find_due_runs(schedule, now - HOUR / 2)
        assert find_missed_run(due, now, [file for file in files if file.stamp <= now]) is None


@pytest.mark.parametrize("cron", ["12 * * * *", "*/20 * * * *"])
@pytest.mark.parametrize("zone", [NEW_YORK, "America/St_Johns", "Europe/Berlin", "Australia/Adelaide", "Asia/Tokyo"])
async def test_an_hourly_schedule_runs_in_every_hour(cron: str, zone: str) -> None:
    """Also in the hour that comes twice, where Prefect would lose the snapshot by a local schedule."""
    schedule = Schedule(cron=cron, timezone=zone)
    for change in CHANGES:
        dates = await list_dates(schedule, Period(change - 12 * HOUR, change + 12 * HOUR))
        assert {later - earlier for earlier, later in pairwise(dates)} == {HOUR if cron.startswith("12") else HOUR / 3}


def test_deployments_run_by_that_rule() -> None:
    """What is registered is what the monitor expects."""
    schedules = {"hourly": {"cron": "12 * * * *", "timezone": NEW_YORK}}
    api = {"name": "grid", "source": "synthetic", "output_folder": "grid", "schedule": "hourly"}
    (planned, *_) = plan_deployments(parse({"schedules": schedules, "apis": [api]}))
    assert planned.schedule is not None
    registered = build_cron_schedule(planned.schedule)
    assert (registered.cron, registered.timezone) == ("12 * * * *", "UTC")
