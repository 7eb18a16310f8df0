"""How long a series may be without new values, by its own history."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from gridtide.config.loading import parse
from gridtide.coverage.freshness.last_rows import LastRows
from gridtide.coverage.freshness.silence import (
    Candidate,
    SeriesHistory,
    find_candidates,
    is_silent,
    measure_pause,
)
from gridtide.periods import EPOCH, HOUR

DAY = 24 * HOUR
ENTRY = parse(
    {"apis": [{"name": "grid", "source": "synthetic", "output_folder": "grid", "available": {"lag": "PT2H"}}]}
).apis[0]
MONTH = range(720)


def history(hours: Sequence[int], retrieved: Sequence[float], zero_share: float = 0.0) -> SeriesHistory:
    """Hourly values that start `hours` after 1970 and were first retrieved then."""
    starts = np.array(hours, np.int64) * 3_600_000_000
    moments = (np.array(retrieved) * 3_600_000_000).astype(np.int64)
    return SeriesHistory(starts, starts + 3_600_000_000, moments, zero_share)


@pytest.mark.parametrize(
    ("hours", "retrieved", "expected"),
    [
        (MONTH, [hour + 3.2 for hour in MONTH], 3),  # as soon as it is due
        (MONTH, [hour + 51.2 for hour in MONTH], 50),  # two days later than it is due
        (MONTH, [hour // 24 * 24 + 60.2 for hour in MONTH], 59),  # a day at once, at noon of the day after the next
        (MONTH, [900.0] * 720, 3),  # a backfill, in one file
        (MONTH, [900 + hour // 24 / 60 for hour in MONTH], 3),  # a backfill, day by day
        (range(0, 720, 6), [900.0] * 120, 18),  # every six hours
        ([hour for hour in MONTH if hour % 24 < 8], [900.0] * 240, 34),  # in eight hours of a day
        ([hour for hour in MONTH if not 300 <= hour < 400], [900.0] * 620, 3),  # one outage
        ([0], [3.0], 3),
        ([], [], 3),
    ],
)
def test_the_longest_pause_is_the_series_own(hours: Sequence[int], retrieved: Sequence[float], expected: int) -> None:
    """Usual spacings, its gaps and its delays, but no single outage and no backfill; to the hour."""
    assert measure_pause(ENTRY, history(hours, retrieved)) // HOUR == expected


def test_a_series_that_is_zero_now_and_then_is_not_silent_when_it_is_zero() -> None:
    """Solar may be zero for a while; demand is silent if it is zero."""
    rows = {
        ("A", "load"): LastRows(EPOCH + 9 * DAY, EPOCH + 9 * DAY, EPOCH + 9 * DAY),
        ("B", "load"): LastRows(EPOCH + 9 * DAY, EPOCH + 9 * DAY, EPOCH + 8 * DAY),
    }
    (candidate,) = find_candidates(ENTRY, rows, EPOCH + 10 * DAY)
    assert (candidate.series.label, candidate.series.stored, candidate.behind) == (("B", "load"), "zeros", DAY)
    never = history(MONTH, [900.0] * 720)
    assert is_silent(ENTRY, candidate, never)
    nightly = history([hour for hour in MONTH if 6 <= hour % 24 < 18], [900.0] * 360, 0.5)
    assert not is_silent(ENTRY, candidate, nightly)


@pytest.mark.parametrize(
    ("zeros", "expected"),
    [([], 2), (["B"], 1), (["synthetic/*/load"], 0), (["synthetic/B/load", "synthetic/C/load"], 0), (["synthetic"], 2)],
)
def test_zeros_of_expected_locations_and_series_are_values(zeros: list[str], expected: int) -> None:
    """`expect` names where a zero is no gap; other locations with only zeros stay candidates."""
    raw = {"name": "grid", "source": "synthetic", "output_folder": "grid", "expect": {"zeros": zeros}}
    entry = parse({"apis": [raw]}).apis[0]
    rows = {("A", "load"): rows_at(230)}
    rows |= {(name, "load"): LastRows(EPOCH + 230 * HOUR, EPOCH + 230 * HOUR, EPOCH + 9 * HOUR) for name in "BC"}
    found_labels = [candidate.series.label for candidate in find_candidates(entry, rows, EPOCH + 10 * DAY)]
    assert found_labels == [("B", "load"), ("C", "load")][2 - expected :]


@pytest.mark.parametrize(
    ("hours", "observed", "expected"),
    [(MONTH, 720, True), (range(700, 720), 720, False), (range(50), 51, False), (range(0, 720, 2), 720, True)],
)
def test_a_fuel_that_is_burnt_now_and_then_is_not_silent(hours: Sequence[int], observed: int, expected: bool) -> None:
    """A variable of one location is silent only if it had values nearly always for a week."""
    rows = {("A", "oil"): rows_at(719), ("A", "gas"): rows_at(997)}
    (candidate,) = candidates_of(rows, 1000)
    before = replace(history(hours, [900.0] * len(hours)), observed_span=observed * HOUR)
    assert is_silent(ENTRY, candidate, before) == expected
    assert is_silent(ENTRY, replace(candidate, has_peers=True), before)


def candidates_of(rows: dict[tuple[str, str], LastRows], hours: int) -> list[Candidate]:
    """Those of the series with these last rows, so many hours after 1970."""
    return find_candidates(ENTRY, rows, EPOCH + hours * HOUR)


def rows_at(hour: int) -> LastRows:
    """A series whose last value starts so many hours after 1970."""
    moment = EPOCH + hour * HOUR
    return LastRows(moment, moment, moment)


def test_a_series_is_compared_with_others_of_its_variable() -> None:
    """Forecasts are not compared with measured values, and data that is not due does not count."""
    rows = {("A", "load"): rows_at(95), ("B", "load"): rows_at(91), ("A", "load_forecast"): rows_at(140)}
    assert [candidate.series.label for candidate in candidates_of(rows, 100)] == [("B", "load")]
    assert candidates_of({("A", "load"): rows_at(95), ("A", "load_forecast"): rows_at(140)}, 100) == []
    alone = candidates_of({("A", "load"): rows_at(50), ("A", "wind"): rows_at(97)}, 100)
    assert [(candidate.series.label, candidate.behind) for candidate in alone] == [(("A", "load"), 47 * HOUR)]


def test_when_all_stop_none_is_silent_by_itself() -> None:
    """If all series of an entry stop, none is silent; the entry is reported as late or with gaps."""
    assert candidates_of({("A", "load"): rows_at(50), ("B", "load"): rows_at(48)}, 1000) == []
    assert candidates_of({("A", "load"): rows_at(50)}, 1000) == []


def test_nulls_in_the_only_series_are_found() -> None:
    """Rows go on, values do not."""
    rows = {("A", "load"): LastRows(EPOCH + 97 * HOUR, EPOCH + 50 * HOUR, EPOCH + 50 * HOUR)}
    (candidate,) = candidates_of(rows, 100)
    assert (str(candidate.series), candidate.behind) == ("A/load since 1970-01-03T02:00Z (nulls)", 47 * HOUR)
