"""This machine's clock, held against others: ahead, behind, and after a sleep."""

from datetime import timedelta

import pytest

from gridtide.clock import CLOCK_TOLERANCE, check_run_start, check_store_clock, describe_offset, measure_offset
from gridtide.errors import ClockError
from gridtide.periods import EPOCH, HOUR


@pytest.mark.parametrize(
    ("moment", "offset"),
    [(0, 3), (2, 1), (3, 0), (5, 0), (9, 0), (10, -1), (30, -21)],
)
def test_the_offset_is_from_the_nearer_end_of_the_request(moment: int, offset: int) -> None:
    """A request from hour 3 to 9, as a machine slept: a clock that shows an hour between them agrees."""
    assert measure_offset(EPOCH + moment * HOUR, EPOCH + 3 * HOUR, EPOCH + 9 * HOUR) == offset * HOUR


def test_an_offset_in_words() -> None:
    """It says how much, and in which direction."""
    assert describe_offset(timedelta(days=20)) == "20 days ahead of"
    assert describe_offset(timedelta(minutes=-90)) == "1 h 30 min behind"


def test_a_run_that_began_in_the_future_is_refused() -> None:
    """The clock was set back since; a run that began long ago, or seconds ahead by another machine, goes on."""
    check_run_start("grid", EPOCH, EPOCH + 1000 * HOUR)
    check_run_start("grid", EPOCH + CLOCK_TOLERANCE, EPOCH)
    with pytest.raises(ClockError, match=r"grid: the run began at 1970-01-01T03:00:00Z.*says 1970-01-01T00:00:00Z"):
        check_run_start("grid", EPOCH + 3 * HOUR, EPOCH)


def test_nothing_is_removed_by_a_clock_that_is_ahead_of_the_store() -> None:
    """Bodies would seem older than they are; a clock that is behind keeps them longer, which does no harm."""
    for offset in (timedelta(days=-20), timedelta(), CLOCK_TOLERANCE):
        check_store_clock("retention", "s3.example", offset)
    with pytest.raises(ClockError, match=r"20 days ahead of that of s3.example; nothing is removed"):
        check_store_clock("retention", "s3.example", timedelta(days=20))
