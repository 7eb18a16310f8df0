"""Troubles of an entry: what a notification says, and when two troubles are the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gridtide.coverage.freshness.look import SeriesLook
from gridtide.coverage.freshness.memory import SeriesMemory
from gridtide.coverage.freshness.silence import SilentSeries
from gridtide.coverage.troubles import Trouble, describe_gaps, describe_lateness, describe_silence
from gridtide.periods import Period

DAY = timedelta(days=1)
START = datetime(2026, 3, 1, tzinfo=UTC)
CHECKED = Period(START, START + 30 * DAY)


def missing_days(*days: int) -> list[str]:
    """The periods of these days, counted from `START`."""
    return [str(Period(START + day * DAY, START + (day + 1) * DAY)) for day in days]


def test_late_data_are_since_the_run_that_wrote_no_file() -> None:
    """The trouble names the run and a command for each step; every later run is the same trouble."""
    assert describe_lateness("load", "2026-03-01T12:00:00+00:00") == Trouble(
        "its scheduled run at 2026-03-01T12:00:00+00:00 wrote no file, and none could be collected since",
        "2026-03-01T12:00:00+00:00",
        "gridtide validate --probe --select load, then gridtide ingest --select load",
        "late",
    )


def test_gaps_are_filled_by_one_backfill_from_the_first_to_the_last() -> None:
    """The command covers all gaps, and the text names five of them."""
    trouble = describe_gaps("load", missing_days(0, 2, 4, 6, 8, 10, 12), CHECKED)
    assert trouble.fix == "gridtide backfill --start 2026-03-01T00:00 --end 2026-03-14T00:00 --select load"
    assert trouble.since == "2026-03-01T00:00"
    assert trouble.what.startswith("still missing: 2026-03-01T00:00/2026-03-02T00:00, ")
    assert trouble.what.endswith(", 2026-03-09T00:00/2026-03-10T00:00 and 2 more")


@pytest.mark.parametrize(("days", "same"), [((3, 5), True), ((3,), False), ((3, 5, 7), False)])
def test_gaps_are_the_same_trouble_as_long_as_they_are_the_same_periods(days: tuple[int, ...], same: bool) -> None:
    """One gap more or fewer is another trouble."""
    marks = [describe_gaps("load", missing_days(*some), CHECKED).mark for some in ((3, 5), days)]
    assert (marks[0] == marks[1]) == same


def test_silence_is_since_the_last_series_fell_silent() -> None:
    """The trouble names the silent series; without any there is no trouble."""
    memory = SeriesMemory()
    silent = [SilentSeries("A", "load", START, "nothing"), SilentSeries("B", "load", None, "nothing")]
    trouble = describe_silence("load", SeriesLook(memory, memory, silent))
    assert trouble is not None
    assert (trouble.since, trouble.mark) == ("2026-03-01T00:00:00+00:00", "A/load B/load")
    assert trouble.what.startswith("no new values of A/load")
    assert describe_silence("load", SeriesLook(memory, memory)) is None
