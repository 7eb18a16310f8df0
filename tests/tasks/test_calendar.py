"""The monitor expects runs when Prefect makes them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prefect.client.schemas.schedules import CronSchedule as CronClientSchedule
from prefect.client.schemas.schedules import RRuleSchedule as RRuleClientSchedule
from prefect.server.schemas.schedules import CronSchedule, RRuleSchedule

from deployments.registry.catalogue import build_deployments
from deployments.registry.prefect_yaml import render_prefect_yaml
from gridtide.config.loading import parse
from gridtide.coverage.gaps import find_missed_run
from gridtide.entries.entry import Schedule
from gridtide.periods import HOUR, Period
from tasks.calendar import build_cron_schedule, build_repeated_schedule, find_due_runs

DAY = timedelta(days=1)
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
NEW_YORK = "America/New_York"
ZONES = (
    *(NEW_YORK, "America/Los_Angeles", "America/St_Johns", "Europe/Berlin", "Europe/London", "Australia/Adelaide"),
    *("Australia/Lord_Howe", "Pacific/Chatham", "America/Santiago", "Africa/Casablanca", "Antarctica/Troll", "UTC"),
    *("America/Havana", "Africa/Cairo", "Europe/Dublin"),
)
CRONS = (
    *("30 2 * * *", "30 1 * * *", "45 1,2 * * *", "0 0 * * *", "0 3 * * 0", "59 23 * * *", "*/7 1-3 * * *"),
    *("12 * * * *", "*/15 * * * *", "5 */2 * * *", "30 2 8 3 *", "0 2 */2 * 1-5", "10 1 1/3 * 1/2", "* * * * *"),
    *("15 2 1 * *", "20 4 * 3,11 6-7", "40 13 * * MON-FRI", "30 0 * * *", "0 0 29 2 *", "0,30 0-1 * * 5-7"),
)
"""Around the hours that clock changes skip and repeat, and in ways that parsers of cron read differently."""

SPRING, AUTUMN = datetime(2026, 3, 8, 7, tzinfo=UTC), datetime(2026, 11, 1, 6, tzinfo=UTC)
"""When clocks change in New York."""

CHANGES = (SPRING, AUTUMN, datetime(2026, 10, 25, 1, tzinfo=UTC), datetime(2027, 4, 3, 16, tzinfo=UTC))
"""There, in Europe, and in Australia."""


async def list_dates(schedule: Schedule, period: Period) -> list[datetime]:
    """The runs that Prefect starts in a period by all registered schedules, requested in pieces."""
    registered = build_cron_schedule(schedule)
    dates = await request_dates(CronSchedule(cron=registered.cron, timezone=registered.timezone), period)
    if repeated := build_repeated_schedule(schedule, FIRST):
        repeated_dates = await request_dates(RRuleSchedule(rrule=repeated.rrule, timezone=repeated.timezone), period)
        assert not dates & repeated_dates
        dates |= repeated_dates
    return sorted(date for date in dates if period.start <= date < period.end)


async def request_dates(dated: CronSchedule | RRuleSchedule, period: Period) -> set[datetime]:
    """The dates of one schedule around a period."""
    dates: set[datetime] = set()
    start = period.start - DAY
    while start < period.end:
        piece = await dated.get_dates(start=start, end=start + 15 * HOUR)
        dates |= {datetime.fromtimestamp(date.timestamp(), UTC) for date in piece}
        start += 12 * HOUR
    return dates


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


SETBACKS = {
    NEW_YORK: (AUTUMN, HOUR),
    "Europe/Berlin": (datetime(2026, 10, 25, 1, tzinfo=UTC), HOUR),
    "Atlantic/Azores": (datetime(2026, 10, 25, 1, tzinfo=UTC), HOUR),
    "Australia/Adelaide": (datetime(2027, 4, 3, 16, 30, tzinfo=UTC), HOUR),
    "Australia/Lord_Howe": (datetime(2027, 4, 3, 15, tzinfo=UTC), HOUR / 2),
    "America/Santiago": (datetime(2027, 4, 4, 3, tzinfo=UTC), HOUR),
    "Africa/Casablanca": (datetime(2027, 2, 7, 2, tzinfo=UTC), HOUR),
}
"""When clocks are set back, and by how much: at night, at midnight, by half an hour, by the moon."""


@pytest.mark.parametrize("zone", SETBACKS)
@pytest.mark.parametrize("cron", [*CRONS, "*/15 0-6 * * *", "12 0-22 * * *", "*/10 * * * 6,0", "5 0,23 * 1-12 *"])
async def test_a_repeated_hour_has_the_runs_of_the_first_pass(cron: str, zone: str) -> None:
    """No snapshot is lost; a schedule with runs in only one hour of the day starts once a day."""
    change, length = SETBACKS[zone]
    schedule = Schedule(cron=cron, timezone=zone)
    first_pass = await list_dates(schedule, Period(change - length, change))
    second_pass = await list_dates(schedule, Period(change, change + length))
    one_hour_a_day = cron.split()[1].isdecimal()
    assert second_pass == ([] if one_hour_a_day else [run + length for run in first_pass])


async def test_a_zone_without_clock_changes_repeats_no_run() -> None:
    """Nor one where clocks change, for a schedule that runs once a day."""
    for cron, zone in (("*/15 0-6 * * *", "Asia/Tokyo"), ("30 1 * * *", NEW_YORK), ("12 * * * *", NEW_YORK)):
        assert build_repeated_schedule(Schedule(cron=cron, timezone=zone), FIRST) is None


def test_the_coming_years_of_any_schedule_are_accepted() -> None:
    """Prefect accepts rules of limited length; six clock changes are listed even of a run in every minute."""
    schedule = build_repeated_schedule(Schedule(cron="* 0-22 * * *", timezone=NEW_YORK), AUTUMN)
    assert schedule is not None
    dates = schedule.rrule.partition("RDATE:")[2].split(",")
    assert (dates[0], dates[-1]) == ("20261101T060000Z", "20311102T065900Z")


def test_deployments_run_by_that_rule() -> None:
    """What is registered is what the monitor expects: a schedule in UTC, or two of them."""
    schedules = {
        "hourly": {"cron": "12 * * * *", "timezone": NEW_YORK},
        "nightly": {"cron": "*/30 0-6 * * *", "timezone": NEW_YORK},
    }
    apis = [{"name": name, "source": "synthetic", "output_folder": name, "schedule": name} for name in schedules]
    config = parse({"schedules": schedules, "apis": apis})
    hourly, nightly, *_ = (item.schedules or [] for item in build_deployments(config, "api_config.json", None, False))
    assert [item.schedule for item in hourly] == [CronClientSchedule(cron="12 * * * *", timezone="UTC")]
    local, repeated = nightly
    assert local.schedule == CronClientSchedule(cron="*/30 0-6 * * *", timezone=NEW_YORK)
    assert isinstance(repeated.schedule, RRuleClientSchedule)
    assert repeated.slug == "nightly-repeated-hour"
    assert len(repeated.schedule.rrule.split(",")) >= 4
    assert "rrule: " in render_prefect_yaml(config, "api_config.json", None, False)
