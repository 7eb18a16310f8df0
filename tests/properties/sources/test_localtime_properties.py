"""Local times without an offset, around every kind of time change."""

from datetime import UTC, date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gridtide.periods import local_day, microseconds
from gridtide.sources.formats.clocks import Clock, to_utc

CHANGES = (
    ("America/New_York", date(2024, 3, 10)),
    ("America/New_York", date(2024, 11, 3)),
    ("America/Los_Angeles", date(2025, 11, 2)),
    ("Europe/Berlin", date(2024, 3, 31)),
    ("Europe/Berlin", date(2024, 10, 27)),
    ("Africa/Cairo", date(2024, 4, 26)),
    ("Africa/Cairo", date(2024, 10, 31)),
    ("Australia/Lord_Howe", date(2024, 4, 7)),
    ("Australia/Lord_Howe", date(2024, 10, 6)),
    ("America/Phoenix", date(2024, 3, 10)),
)
"""Days on which clocks turn by an hour, at midnight, by half an hour, or not."""


@given(
    change=st.sampled_from(CHANGES),
    before=st.integers(0, 2),
    after=st.integers(0, 2),
    minutes=st.sampled_from([10, 15, 30]),
    backward=st.booleans(),
)
def test_what_a_clock_showed_is_told_back(
    change: tuple[str, date], before: int, after: int, minutes: int, backward: bool
) -> None:
    """Times of whole local days, written without offsets, are read as the same times."""
    zone, day = ZoneInfo(change[0]), change[1]
    start = local_day(day - timedelta(days=before), zone).start
    end = local_day(day + timedelta(days=after), zone).end
    step = timedelta(minutes=minutes)
    moments = [start + n * step for n in range((end - start) // step)]
    if backward:
        moments.reverse()
    shown = [moment.astimezone(zone).replace(tzinfo=None, fold=0) for moment in moments]
    local = np.array(shown, "datetime64[us]").astype(np.int64)
    told = to_utc(local, np.zeros(len(local), np.int64), Clock(zone))
    assert told.utc.tolist() == [microseconds(moment.astimezone(UTC)) for moment in moments]
    assert not told.skipped.any()
