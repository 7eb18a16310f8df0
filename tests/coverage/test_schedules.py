"""Schedules that run in every hour, through clock changes."""

from datetime import UTC, datetime, timedelta

import pytest

from gridtide.coverage.schedules import DueRuns, find_zone_minutes, keep_repeated_hour
from gridtide.entries.entry import Schedule
from gridtide.periods import HOUR


@pytest.mark.parametrize(
    ("cron", "zone", "expected"),
    [
        ("12 * * * *", "America/New_York", "12 * * * *"),
        ("*/20 0-23 * * *", "Europe/Berlin", "0,20,40 * * * *"),
        ("5,50 * * 1-12 0-6", "America/St_Johns", "20,35 * * * *"),
        ("12 */2 * * *", "America/New_York", None),
        ("12 * * * 1-5", "America/New_York", None),
        ("12 * 1 * *", "America/New_York", None),
        ("12 * * * *", "UTC", None),
        ("12 * * * *", "Asia/Kolkata", None),
        ("12 * * * *", "Australia/Lord_Howe", None),
    ],
)
def test_what_runs_in_every_hour_runs_by_utc(cron: str, zone: str, expected: str | None) -> None:
    """Elsewhere, or where clocks do not change by hours, a schedule stays as it is, description included."""
    schedule = Schedule(cron=cron, timezone=zone, description="often")
    kept = keep_repeated_hour(schedule)
    assert kept == (Schedule(cron=expected, timezone="UTC", description="often") if expected else schedule)


def test_the_minutes_of_zones() -> None:
    """Beyond whole hours, east and west of Greenwich."""
    assert find_zone_minutes("Europe/London") == 0
    assert find_zone_minutes("Pacific/Chatham") == 45
    assert find_zone_minutes("America/St_Johns") == 30


def test_the_longest_spacing_of_runs() -> None:
    """From the last of them back; a single run has none."""
    moments = [datetime(2024, 3, 1, hour, tzinfo=UTC) for hour in (0, 1, 4, 6)]
    assert DueRuns.from_moments(moments) == DueRuns(moments[-1], 3 * HOUR)
    assert DueRuns.from_moments(moments[:1]) == DueRuns(moments[0], timedelta())
