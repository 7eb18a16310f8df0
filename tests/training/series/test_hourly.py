"""Observations of any interval become hourly, and are hidden until they are available."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from gridtide.entries.entry import Available
from gridtide.observations.availability import available_at
from gridtide.observations.constant_columns import ConstantColumns
from gridtide.observations.series import SeriesNumbers
from gridtide.observations.table import SCHEMA, Row, empty, from_rows
from gridtide.periods import Period, microseconds
from gridtide.training.series.hourly import Hourly
from gridtide.training.series.hourly_grid import HourlyGrid

START = datetime(2024, 3, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
AT_ONCE = Available(lag=timedelta(0))
NAN = float("nan")


def made(
    source: str,
    *rows: Row,
    hours: int = 6,
    available: Available = AT_ONCE,
    retrieved: datetime = START + timedelta(days=30),
) -> Hourly:
    """The hourly values of `rows` of `source` over the first `hours`."""
    grid = HourlyGrid(Period(START, START + hours * HOUR), lambda name: True)
    grid.add(from_rows(source, rows, retrieved), available)
    return grid.finish()


def row(minute: float, length: float, value: float | None, variable: str, unit: str = "MW") -> Row:
    """A value over `length` minutes from `minute` after the start."""
    start = START + minute * MINUTE
    return Row(start, start + length * MINUTE, "here", variable, unit, value)


def test_whole_hours_stay_what_they_are() -> None:
    """An hourly value stays unchanged; a reported null is missing."""
    hourly = made("eia", row(60, 60, 5.0, "demand", "MWh"), row(120, 60, None, "demand", "MWh"), hours=3)
    np.testing.assert_array_equal(hourly.values, [[NAN, 5.0, NAN]])
    assert hourly.names == ("eia/here/demand",)
    assert hourly.units == ("MWh",)


def test_repeats_of_a_key_are_counted() -> None:
    """Repeats of a key are counted, for hours and for shorter intervals; single observations are not."""
    grid = HourlyGrid(Period(START, START + 2 * HOUR), lambda name: True)
    rows = [row(0, 60, 5.0, "demand", "MWh"), row(60, 60, 6.0, "demand", "MWh")]
    short = [row(5 * n, 5, 1.0, "load_five_minute") for n in range(12)]
    for source, some in (("eia", rows), ("eia", rows[:1]), ("eia", rows), ("iso_ne", short), ("iso_ne", short[:7])):
        grid.add(from_rows(source, some, START + timedelta(days=30)), AT_ONCE)
    assert grid.finish().repeats.tolist() == [3, 7]


def test_five_minute_power_is_averaged_when_three_quarters_are_there() -> None:
    """Nine of twelve five-minute values give an hour, eight do not."""
    nine = [row(5 * n, 5, float(n), "load_five_minute") for n in range(9)]
    eight = [row(60 + 5 * n, 5, float(n), "load_five_minute") for n in range(8)]
    np.testing.assert_array_equal(made("iso_ne", *nine, *eight, hours=2).values, [[4.0, NAN]])


def test_a_null_does_not_count_as_observed() -> None:
    """Eight values and four nulls count as eight values."""
    rows = [row(5 * n, 5, float(n) if n < 8 else None, "load_five_minute") for n in range(12)]
    assert np.isnan(made("iso_ne", *rows, hours=1).values).all()


def test_energy_is_summed() -> None:
    """Quarters of an hour in MWh are summed; if one is missing, the sum is scaled to the whole hour."""
    quarters = [row(15 * n, 15, 2.0, "demand", "MWh") for n in range(4)]
    three = [row(60 + 15 * n, 15, 2.0, "demand", "MWh") for n in range(3)]
    np.testing.assert_array_equal(made("eia", *quarters, *three, hours=2).values, [[8.0, 8.0]])


def test_instants_are_averaged_within_their_hour() -> None:
    """Readings at 00:00, 00:59 and 01:00 belong to the hours 0, 0 and 1."""
    rows = [row(0, 0, 1.0, "generation_wind"), row(59, 0, 3.0, "generation_wind"), row(60, 0, 9.0, "generation_wind")]
    np.testing.assert_array_equal(made("iso_ne", *rows, hours=3).values, [[2.0, 9.0, NAN]])


def test_weather_is_that_of_the_start_of_the_hour() -> None:
    """Of readings at :00 and :30 the first counts, and a preceding-hour sum belongs to the hour that it covers."""
    rows = [row(60, 0, 1.0, "temperature_2m", "°C"), row(90, 0, 7.0, "temperature_2m", "°C")]
    rain = [row(60, 60, 0.5, "precipitation", "mm")]
    hourly = made("open_meteo", *rows, *rain, hours=3)
    np.testing.assert_array_equal(hourly.values, [[NAN, 1.0, NAN], [NAN, 0.5, NAN]])


def test_daily_values_repeat_over_their_day() -> None:
    """A value of a day of 23 hours fills 23 rows."""
    start = START + 5 * HOUR  # midnight in New York
    day = Row(start, start + 23 * HOUR, "ISNE", "morning_report_peak_load_today_mw", "MW", 17.0)
    values = made("iso_ne", day, hours=40).values[0]
    assert np.flatnonzero(values == 17.0).tolist() == list(range(5, 28))


def test_the_latest_retrieval_wins_in_any_order() -> None:
    """The latest retrieval counts, in any order of the files."""
    grid = HourlyGrid(Period(START, START + HOUR), lambda name: True)
    newer, older = START + timedelta(days=2), START + timedelta(days=1)
    for retrieved, value in ((newer, 2.0), (older, 1.0)):
        grid.add(from_rows("eia", [row(0, 60, value, "demand", "MWh")], retrieved), AT_ONCE)
        grid.add(from_rows("iso_ne", [row(0, 0, value, "generation_wind")], retrieved), AT_ONCE)
    np.testing.assert_array_equal(grid.finish().values, [[2.0], [2.0]])


HOURLY = [row(60 * n, 60, float(n), "demand", "MWh") for n in range(4)]
FIVE_MINUTES = [row(5 * n, 5, float(n), "load_five_minute") for n in range(40)]
FORECAST = [row(60 * n, 60, float(n), "load_forecast")._replace(published_at=START - HOUR) for n in range(4)]
WEATHER = [row(60 * n, 0, float(n), "temperature_2m", "°C") for n in range(4)]


@pytest.mark.parametrize("rows", [HOURLY, FIVE_MINUTES, FORECAST, WEATHER, HOURLY[:1], HOURLY + FIVE_MINUTES, []])
def test_what_is_constant_need_not_be_a_column(rows: list[Row]) -> None:
    """A table without its constant columns gives the same result, in any order of tables."""
    whole = from_rows("iso_ne", rows, START + timedelta(days=30))
    older = from_rows("iso_ne", [one._replace(value=-1.0) for one in rows], START)
    constants = ConstantColumns.find(whole)
    bare = constants.attach(whole.select(constants.drop_from(SCHEMA).names))
    assert not rows or bare.num_columns < whole.num_columns
    made = []
    for tables in ((whole,), (bare,), (older, bare), (bare, older)):
        grid = HourlyGrid(Period(START, START + 4 * HOUR), lambda name: True)
        for table in tables:
            grid.add(table, AT_ONCE)
        made.append(grid.finish())
    for one in made[1:]:
        np.testing.assert_array_equal(one.values, made[0].values)
        np.testing.assert_array_equal(one.known_row, made[0].known_row)
        assert one.names == made[0].names


def test_series_are_asked_for_once_and_only_if_they_occur() -> None:
    """Each series is looked up once, however many tables it is in, and again after a table with very different
    labels."""
    asked: list[str] = []

    def number(source: str, location: str, variable: str, unit: str) -> int:
        asked.append(f"{source}/{location}/{variable}/{unit}")
        return len(variable)

    numbers = SeriesNumbers(number)
    both = from_rows("eia", [row(0, 60, 1.0, "load", "MWh"), row(0, 60, 1.0, "demand", "MWh")], START)
    other = from_rows("eia", [row(0, 60, 1.0, "load", "MW")], START)
    assert numbers.of(empty()).tolist() == []
    assert numbers.of(both.slice(0, 1)).tolist() == [4]
    assert numbers.of(both).tolist() == [4, 6]
    assert numbers.of(both).tolist() == [4, 6]
    assert asked == ["eia/here/load/MWh", "eia/here/demand/MWh"]
    assert numbers.of(other).tolist() == [4]
    assert numbers.of(both).tolist() == [4, 6]
    assert asked[2:] == ["eia/here/load/MW"]
    many = from_rows("iso_ne", [row(0, 60, 1.0, f"load {number}", f"u{number}") for number in range(9)], START)
    assert numbers.of(many).tolist() == [6] * 9
    assert len(asked) == 12
    assert numbers.of(both).tolist() == [4, 6]
    assert asked[12:] in ([], ["eia/here/load/MWh", "eia/here/demand/MWh"])


def test_a_lag_hides_a_value_until_it_has_passed() -> None:
    """With a lag of 90 minutes, hour 0 is available by the end of hour 2."""
    rows = [row(60 * n, 60, float(n), "demand", "MWh") for n in range(6)]
    hourly = made("eia", *rows, available=Available(lag=timedelta(minutes=90)))
    assert hourly.delay(0).longest == 2
    np.testing.assert_array_equal(hourly.as_known(0, -2), [NAN, NAN, 0.0, 1.0, 2.0, 3.0])
    assert np.isnan(hourly.as_known(0, -1)).all()


def test_weather_of_an_instant_is_known_at_that_instant() -> None:
    """A reading at the end of an hour is available by the end of that hour."""
    rows = [row(60 * n, 0, float(n), "temperature_2m", "°C") for n in range(4)]
    hourly = made("open_meteo", *rows, hours=4)
    assert hourly.delay(0).longest == -1
    np.testing.assert_array_equal(hourly.as_known(0, 1), [1.0, 2.0, 3.0, NAN])


def test_vintages_show_what_was_published_by_then() -> None:
    """Each row has the vintage of a forecast that was published by its end."""
    hour_4 = row(240, 60, 10.0, "load_forecast")
    first = hour_4._replace(published_at=START + 90 * MINUTE)
    second = hour_4._replace(published_at=START + 180 * MINUTE, value=11.0)
    hourly = made("iso_ne", second, first)
    np.testing.assert_array_equal(hourly.values[0], [NAN, NAN, NAN, NAN, 11.0, NAN])
    shown = [hourly.as_known(0, shift)[4 - shift] for shift in range(5)]  # seen from rows 4, 3, 2, 1, 0
    np.testing.assert_array_equal(shown, [11.0, 11.0, 11.0, 10.0, NAN])


def test_a_day_ahead_rule_counts_in_local_time() -> None:
    """A value of 13:00 in New York is available at 18:00 UTC in winter and 17:00 UTC in summer."""
    rule = Available(day_before="13:00", timezone="America/New_York")
    hours = [
        datetime(2024, 3, 10, 4, tzinfo=UTC),
        datetime(2024, 3, 10, 5, tzinfo=UTC),
        datetime(2024, 3, 12, 4, tzinfo=UTC),
    ]
    start = np.array([microseconds(hour) for hour in hours])
    expected = [
        datetime(2024, 3, 8, 18, tzinfo=UTC),  # 23:00 of March 9
        datetime(2024, 3, 9, 18, tzinfo=UTC),  # 00:00 of March 10
        datetime(2024, 3, 11, 17, tzinfo=UTC),  # 00:00 of March 12, after the change
    ]
    assert available_at(rule, start, start).tolist() == [microseconds(moment) for moment in expected]


def test_units_of_one_dimension_are_converted_to_that_of_the_earliest_hour() -> None:
    """Whichever comes first, whole hours and shorter intervals."""
    rows = [
        row(0, 60, 2000.0, "power", "kW"),
        row(60, 60, 3.0, "power", "MW"),
        *(row(120 + 15 * n, 15, 0.004, "power", "GW") for n in range(4)),
    ]
    for order in (rows, rows[::-1]):
        result = made("generic", *order, hours=3)
        assert (result.names, result.units) == (("generic/here/power",), ("kW",))
        np.testing.assert_allclose(result.values, [[2000, 3000, 4000]])
        assert result.refused == {}


def test_energy_in_any_unit_is_summed() -> None:
    """An hour of kWh and of MWh is the sum of its quarters."""
    result = made("generic", *(row(15 * n, 15, 250.0, "load", "kWh") for n in range(4)), hours=1)
    assert result.values.tolist() == [[1000.0]]


def test_the_unit_of_the_registry_goes_first() -> None:
    """EIA's demand is in MWh, also where all of it comes in GWh."""
    result = made("eia", row(0, 60, 2.0, "demand", "GWh"), hours=1)
    assert (result.units, result.values.tolist()) == (("MWh",), [[2000.0]])


def test_hours_in_a_unit_of_another_dimension_are_missing_and_counted() -> None:
    """They alone, whichever comes first; an observation in the right unit that is newer counts."""
    rows = [row(0, 60, 1.0, "power", "MW"), row(60, 60, 2.0, "power", "MWh"), row(120, 60, 3.0, "power", "MW")]
    for order in (rows, rows[::-1]):
        result = made("generic", *order, hours=3)
        assert result.units == ("MW",)
        np.testing.assert_array_equal(result.values, [[1, np.nan, 3]])
        assert result.refused[0].tolist() == [False, True, False]


def test_quarters_in_a_unit_of_another_dimension_are_counted_too() -> None:
    """As whole hours are."""
    quarters = (row(60 + 15 * n, 15, 2.0, "power", "MWh") for n in range(4))
    result = made("generic", row(0, 60, 1.0, "power", "MW"), *quarters, hours=2)
    np.testing.assert_array_equal(result.values, [[1, np.nan]])
    assert result.refused[0].tolist() == [False, True]


def test_a_unit_outside_the_hours_touches_none() -> None:
    """Rows before and after the period are as if they were not."""
    rows = [row(-60, 60, 9.0, "power", "MWh"), row(0, 60, 1.0, "power", "MW"), row(60, 60, 9.0, "power", "GW")]
    result = made("generic", *rows, hours=1)
    assert (result.units, result.values.tolist(), result.refused) == (("MW",), [[1.0]], {})


def test_temperatures_are_converted_with_their_zero() -> None:
    """Of °F and K to °C."""
    rows = [row(0, 60, 20.0, "t", "°C"), row(60, 60, 68.0, "t", "°F"), row(120, 60, 293.15, "t", "K")]
    np.testing.assert_allclose(made("generic", *rows, hours=3).values, [[20.0, 20.0, 20.0]])


def test_only_wanted_series_are_gathered_but_all_are_seen() -> None:
    """Series that are not selected take no memory, and can be named in errors."""
    grid = HourlyGrid(Period(START, START + HOUR), lambda name: name.endswith("demand"))
    rows = [row(0, 60, 1.0, "net_generation", "MWh"), row(0, 60, 2.0, "demand", "MWh")]
    grid.add(from_rows("eia", rows, START), AT_ONCE)
    assert grid.finish().names == ("eia/here/demand",)
    assert grid.names_read == {"eia/here/demand", "eia/here/net_generation"}
