"""The periods that files cover if clocks were wrong, and if the values are forecasts."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtide.config.loading import parse
from gridtide.coverage.answered import describe_future_files, join_answered
from gridtide.coverage.failed_periods import Failure
from gridtide.coverage.findings import find_lacking
from gridtide.coverage.gaps import find_missed_run
from gridtide.coverage.picture import measure_coverage
from gridtide.coverage.plan import plan_chunks
from gridtide.coverage.schedules import DueRuns
from gridtide.entries.entry import Entry
from gridtide.lake import Draft, Lake, Provenance
from gridtide.observations.availability import available_at
from gridtide.periods import HOUR, Period, microseconds

DAY = timedelta(days=1)
TODAY = datetime(2024, 3, 10, tzinfo=UTC)
RULES: list[dict[str, str]] = [
    *({"lag": lag} for lag in ("PT0S", "PT2H", "P5D", "-PT36H")),
    {"day_before": "13:00", "timezone": "America/New_York"},
]


def entry_with(rule: dict[str, str], **keys: Any) -> Entry:
    """An hourly entry whose values are available by `rule`."""
    api = {"name": "grid", "source": "synthetic", "output_folder": "grid", "available": rule, **keys}
    return parse({"apis": [api]}).apis[0]


@dataclass(frozen=True)
class File:
    """The contents of a file name."""

    stamp: datetime
    period: Period | None
    extension: str = "parquet"
    path: str = "grid/file.parquet"


@given(
    st.sampled_from(RULES),
    st.lists(st.tuples(st.integers(-60, 60), st.integers(-90, 60), st.integers(1, 80)), max_size=4),
    st.integers(-60, 60),
)
def test_a_file_covers_what_was_available_when_it_was_made(
    rule: dict[str, str], files: list[tuple[int, int, int]], now: int
) -> None:
    """A file covers the hours that were available when it was written, by the rule that training uses."""
    entry = entry_with(rule)
    named = [
        File(TODAY + stamp * HOUR, Period(TODAY + first * HOUR, TODAY + (first + hours) * HOUR))
        for stamp, first, hours in files
    ]
    covered = join_answered(entry, named, TODAY + now * HOUR)
    for hour in range(-95, 145):
        start = microseconds(TODAY + hour * HOUR)
        available = int(available_at(entry.available, *(read_array(start + n * 3_600_000_000) for n in (0, 1)))[0])
        expected = any(
            first <= hour < first + hours and stamp <= now and available <= microseconds(TODAY + stamp * HOUR)
            for stamp, first, hours in files
        )
        moment = TODAY + hour * HOUR
        assert any(period.start <= moment < period.end for period in covered) == expected


def read_array(value: int) -> Any:
    """An array of one integer."""
    import numpy as np

    return np.array([value], np.int64)


async def put_empty(lake: Lake, entry: Entry, stamp: datetime, period: Period) -> None:
    """Write a file without rows that covers `period`."""
    with Draft("parquet", Provenance(entry.name, period, entry.fingerprint)) as draft:
        await lake.put_draft(draft, entry.output_folder, entry.file_prefix, stamp)


async def test_after_the_clock_is_set_back_the_future_is_open(tmp_path: Path) -> None:
    """Days that a run with a clock 20 days ahead covered are requested when they come, reported, and shown as
    missing."""
    lake, entry = Lake.open(str(tmp_path)), entry_with({"lag": "PT0S"})
    ahead = TODAY + 20 * DAY
    await put_empty(lake, entry, ahead, Period(TODAY - 10 * DAY, ahead))
    for days in (0, 5, 19):
        now = TODAY + days * DAY
        period = Period(TODAY - 10 * DAY, now)
        plan = await plan_chunks(entry, period, now, lake)
        assert sum((chunk.duration for _, chunk in plan.chunks), timedelta()) == period.duration
        assert "1 file was made while the clock was ahead" in plan.warnings[-1]
        finding = await find_lacking(entry, None, period, now, lake)
        assert [part.period for part in finding.gaps] == [period]
        assert list(finding.warnings) == [plan.warnings[-1]]
        coverage = await measure_coverage(lake, entry, period, now)
        assert coverage is not None
        assert coverage.share == 0


async def test_hours_that_had_not_come_are_open_when_they_come(tmp_path: Path) -> None:
    """A file of today and tomorrow that was written at noon covers half a day; the other hours are requested when
    they are due."""
    lake, entry = Lake.open(str(tmp_path)), entry_with({"lag": "PT0S"})
    noon, whole = TODAY + 12 * HOUR, Period(TODAY, TODAY + 2 * DAY)
    await put_empty(lake, entry, noon, whole)
    assert (await plan_chunks(entry, whole, noon, lake)).chunks == []
    assert (await plan_chunks(entry, whole, whole.end, lake)).chunks == [(entry, Period(noon, whole.end))]


def test_files_of_the_future_do_not_hide_that_a_schedule_stands_still() -> None:
    """Files with stamps in the future are not evidence of a run; a few seconds do not count as future."""
    due = DueRuns(TODAY + HOUR / 5, HOUR)
    early = File(TODAY + 20 * DAY, None)
    assert find_missed_run(due, TODAY + HOUR, [early]) == TODAY + HOUR / 5
    assert find_missed_run(due, TODAY + HOUR, [early, File(TODAY + HOUR + HOUR / 60, None)]) is None


def test_a_failure_of_the_future_is_asked_again_now() -> None:
    """A failure with a time in the future is retried at once."""
    failure = Failure(Period(TODAY, TODAY + DAY), 1, TODAY, "down")
    assert failure.is_waiting(TODAY + HOUR / 2)
    assert not replace(failure, last=TODAY + 20 * DAY).is_waiting(TODAY + HOUR / 2)


@pytest.mark.parametrize(("count", "named"), [(0, ""), (1, "1 file was"), (5, "5 files were")])
def test_files_of_the_future_are_named_in_one_warning(count: int, named: str) -> None:
    """One warning names the first three files with stamps in the future."""
    files = [File(TODAY + DAY, None, path=f"grid/{number}") for number in range(count)]
    warnings = describe_future_files([*files, File(TODAY, None)], TODAY)
    assert len(warnings) == (count > 0)
    assert all(text.startswith(named) and ("grid/2 and " in text) == (count > 3) for text in warnings)
