"""A fuel that a reading does not list is 0 MW, if another reading of the day lists it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from gridtide.entries.entry import Available
from gridtide.observations.table import Row, from_rows
from gridtide.periods import Period
from gridtide.training.series.hourly import Hourly
from gridtide.training.series.hourly_grid import HourlyGrid

START = datetime(2024, 11, 2, 4, tzinfo=UTC)
"""Midnight in New York; the next is 24 hours later, the one after 25 hours after that."""

RETRIEVED = START + timedelta(days=30)
AT_ONCE = Available(lag=timedelta(0))
NAN = float("nan")


def reading(minute: float, value: float | None, variable: str, unit: str = "MW") -> Row:
    """A reading of `variable`, `minute` minutes after the start."""
    moment = START + timedelta(minutes=minute)
    return Row(moment, moment, "ISNE", variable, unit, value)


def gather_hourly(
    *tables: list[Row], hours: int, source: str = "iso_ne", selects: Callable[[str], bool] = lambda name: True
) -> Hourly:
    """The hourly values of `tables`, each retrieved a day after the previous one, over the first `hours`."""
    grid = HourlyGrid(Period(START, START + timedelta(hours=hours)), selects)
    for number, rows in enumerate(tables):
        grid.add(from_rows(source, rows, RETRIEVED + number * timedelta(days=1)), AT_ONCE)
    return grid.finish()


def values_of(hourly: Hourly, variable: str) -> list[float]:
    """The hourly values of one variable."""
    return [float(value) for value in hourly.values[hourly.names.index(f"iso_ne/ISNE/{variable}")]]


NUCLEAR = [reading(minute, 3350.0, "generation_nuclear") for minute in (2, 9, 16, 23, 62, 122)]
OIL = [reading(16, 20.0, "generation_oil"), reading(23, 10.0, "generation_oil"), reading(122, 6.0, "generation_oil")]


def test_a_fuel_that_is_not_listed_is_zero() -> None:
    """Oil of 20 and 10 MW in two of four readings is 7.5 MW; in an hour that never lists it, it is 0."""
    hourly = gather_hourly(NUCLEAR + OIL, hours=4)
    assert values_of(hourly, "generation_oil")[:3] == [7.5, 0.0, 6.0]
    assert values_of(hourly, "generation_nuclear")[:3] == [3350.0] * 3
    assert np.isnan(hourly.values[:, 3]).all()  # an hour without a reading is missing


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_readings_count_whatever_series_are_chosen(order: tuple[int, int]) -> None:
    """Readings are recognised by the other fuels, even if those are not selected, in any order of tables."""
    tables = [NUCLEAR, OIL]
    hourly = gather_hourly(*(tables[n] for n in order), hours=3, selects=lambda name: name.endswith("oil"))
    assert hourly.names == ("iso_ne/ISNE/generation_oil",)
    assert values_of(hourly, "generation_oil") == [7.5, 0.0, 6.0]
    assert hourly.known_row[0].tolist() == [0, 1, 2]
    assert hourly.repeats.tolist() == [0]


def test_a_day_that_does_not_know_a_fuel_says_nothing_of_it() -> None:
    """Days are those of New York: oil of the last hour of a day is 0 before it on that day, and missing on the next
    day."""
    nuclear = [reading(60 * hour + 5, 3350.0, "generation_nuclear") for hour in (0, 22, 23, 24, 25)]
    hourly = gather_hourly([*nuclear, reading(23 * 60 + 5, 8.0, "generation_oil")], hours=26)
    np.testing.assert_array_equal(
        np.array(values_of(hourly, "generation_oil"))[[0, 1, 22, 23, 24, 25]], [0.0, NAN, 0.0, 8.0, NAN, NAN]
    )


def test_a_fuel_listed_without_a_number_is_missing() -> None:
    """A reported null is not 0; the hour is the mean of the other readings."""
    nuclear = [reading(minute, 3350.0, "generation_nuclear") for minute in (2, 9, 62)]
    oil = [reading(2, 20.0, "generation_oil"), reading(9, None, "generation_oil"), reading(62, None, "generation_oil")]
    np.testing.assert_array_equal(values_of(gather_hourly(nuclear + oil, hours=2), "generation_oil"), [20.0, NAN])


def test_a_fuel_that_is_not_listed_is_not_marginal() -> None:
    """A reading without marginal flags fills no flags."""
    flags = [reading(minute, 1.0, "marginal_nuclear", "1") for minute in (2, 9)]
    hourly = gather_hourly([*NUCLEAR, *flags, reading(2, 1.0, "marginal_oil", "1")], hours=2)
    np.testing.assert_array_equal(values_of(hourly, "marginal_oil"), [0.5, NAN])


def test_a_reading_that_came_again_counts_once() -> None:
    """If a reading is retrieved twice, the latest retrieval counts, and it fills one zero."""
    again = [reading(16, 30.0, "generation_oil"), *NUCLEAR[:4]]
    hourly = gather_hourly(NUCLEAR + OIL, again, hours=1)
    assert values_of(hourly, "generation_oil") == [10.0]
    assert hourly.repeats[hourly.names.index("iso_ne/ISNE/generation_oil")] == 1


@pytest.mark.parametrize("source", ["caiso", "generic", "synthetic"])
def test_other_sources_say_nothing_by_not_listing(source: str) -> None:
    """Values that another source does not report are missing."""
    rows = [
        reading(65, 5.0, "generation_solar"),
        reading(5, 1.0, "generation_wind"),
        reading(65, 3.0, "generation_wind"),
    ]
    hourly = gather_hourly(rows, hours=2, source=source)
    name = f"{source}/ISNE/generation_solar"
    assert np.isnan(hourly.values[hourly.names.index(name), 0])
