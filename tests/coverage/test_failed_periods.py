"""Failed periods are recorded, requested at growing intervals, and removed when they are answered."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gridtide.coverage import failed_periods
from gridtide.coverage.failed_periods import Failure, PeriodAnswer
from gridtide.lake import Lake
from gridtide.periods import Period
from tests.support.lakes import entry

HOUR = timedelta(hours=1)
START = datetime(2024, 3, 1, tzinfo=UTC)


def period(start: int, end: int) -> Period:
    """A period of hours after the start."""
    return Period(START + start * HOUR, START + end * HOUR)


def test_each_attempt_doubles_the_wait() -> None:
    """The waits are 1, 2, 4 … hours: ten attempts in a month, and never a time beyond the calendar."""
    waits = [Failure(period(0, 1), n, START, "").next - START for n in (1, 2, 3, 10)]
    assert waits == [HOUR, 2 * HOUR, 4 * HOUR, 512 * HOUR]
    assert Failure(period(0, 1), 10_000, START, "").next > START


def test_a_run_adds_to_what_failed_and_takes_away_what_it_made_good() -> None:
    """Overlapping failures add up, whatever the chunks; if half of a period is answered, the other half stays."""
    before = [Failure(period(0, 10), 3, START, "old"), Failure(period(20, 30), 1, START, "old")]
    now = START + 40 * HOUR
    answers = [PeriodAnswer(period(20, 25)), PeriodAnswer(period(8, 12), "new", is_lasting=True)]
    found = failed_periods.after_run(before, answers, now, "0123")
    assert found == [
        Failure(period(0, 8), 3, START, "old"),
        Failure(period(8, 12), 4, now, "new", is_lasting=True, fingerprint="0123"),
        Failure(period(25, 30), 1, START, "old"),
    ]


def test_only_what_lasts_waits_and_only_while_the_entry_is_as_it_was() -> None:
    """After an outage a period is requested at once; a malformed day waits, unless its entry was changed since."""
    of = entry()
    lasting = Failure(period(0, 1), 1, START, "cut", is_lasting=True, fingerprint=of.fingerprint)
    assert lasting.waits(of, START)
    assert not lasting.waits(of, lasting.next)
    assert not replace(lasting, is_lasting=False).waits(of, START)
    assert not replace(lasting, fingerprint="another").waits(of, START)


async def test_it_is_kept_in_the_lake(caplog: pytest.LogCaptureFixture) -> None:
    """Recorded failures are read back, an entry without failures has none, and a damaged record is named."""
    lake, of = Lake.open("memory://"), entry()
    assert await failed_periods.recall_failures(lake, of) == []
    failures = [Failure(period(0, 1), 2, START, "demand: HTTP 500")]
    await failed_periods.remember_failures(lake, of, failures)
    assert await failed_periods.recall_failures(lake, of) == failures
    await lake.store.put("failed/demand/demand.json", b"{", replace=True)
    assert await failed_periods.recall_failures(lake, of) == []
    assert "failed/demand/demand.json: is damaged" in caplog.text
