"""The simulated grid: it balances, is reproducible, and its forecasts are better the nearer they are."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from gridtide.simulation import (
    FUELS,
    HOUR_STEP,
    WEATHER,
    Grid,
    count_day_ahead_lead,
    find_authority,
    find_day_ahead_issue,
    find_utc_offset,
    list_interval_starts,
    to_times,
)

GRID = Grid(7)
ONE_HOUR = timedelta(hours=1)
YEAR = list_interval_starts(datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC), ONE_HOUR)


@pytest.mark.parametrize("code", ["ISNE", "CISO", "NYIS", "any other"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_demand_and_exports_are_what_is_generated(code, seed):
    """Demand = generation + net import, as floats and in whole MW, and no generation is negative."""
    state = Grid(seed).state_at(code, YEAR[::5])
    np.testing.assert_allclose(state.demand + state.net_interchange, state.net_generation, rtol=1e-9)
    whole = state.whole()
    np.testing.assert_array_equal(whole.demand + whole.net_interchange, whole.net_generation)
    assert all(output.min() >= 0 for output in whole.generation.values())
    assert whole.demand.min() > 0
    assert set(whole.generation) <= set(FUELS)


@pytest.mark.parametrize("step", [ONE_HOUR, timedelta(minutes=5)])
def test_a_value_does_not_depend_on_the_period_asked(step):
    """A day within a month equals that day alone, for every kind of value."""
    month = list_interval_starts(datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 4, 1, tzinfo=UTC), step)
    day = list_interval_starts(datetime(2024, 3, 10, tzinfo=UTC), datetime(2024, 3, 11, tzinfo=UTC), step)
    inside = np.isin(month, day)
    long, short = GRID.state_at("CISO", month), GRID.state_at("CISO", day)
    np.testing.assert_array_equal(long.whole().demand[inside], short.whole().demand)
    for fuel, output in long.whole().generation.items():
        np.testing.assert_array_equal(output[inside], short.whole().generation[fuel])
    for market in ("day_ahead", "real_time"):
        long_price, short_price = (GRID.price_nodes("CISO", ["a", "b"], t, market)["b"] for t in (month, day))
        np.testing.assert_array_equal(long_price.total[inside], short_price.total)
    skies = [GRID.weather_at([42.36, 34.05], [-71.06, -118.24], times) for times in (month, day)]
    for measure in WEATHER.values():
        whole, part = (np.round(measure.of(sky), measure.decimals) for sky in skies)
        np.testing.assert_array_equal(whole[:, inside], part)


def test_a_point_asked_alone_has_the_weather_it_has_among_others():
    """A location has the same weather alone and with others."""
    both = GRID.weather_at([42.36, 34.05], [-71.06, -118.24], YEAR[:100]).temperature
    alone = GRID.weather_at([34.05], [-118.24], YEAR[:100]).temperature
    np.testing.assert_allclose(both[1], alone[0])


def test_seeds_are_other_grids():
    """The same seed gives the same grid, another seed another."""
    np.testing.assert_array_equal(Grid(1).state_at("ISNE", YEAR).demand, Grid(1).state_at("ISNE", YEAR).demand)
    assert np.abs(Grid(1).state_at("ISNE", YEAR).demand - Grid(2).state_at("ISNE", YEAR).demand).mean() > 100


def test_what_one_exports_its_neighbour_imports():
    """ISNE>NYIS is minus NYIS>ISNE at every hour."""
    np.testing.assert_array_equal(GRID.flows_out("ISNE", YEAR)["NYIS"], -GRID.flows_out("NYIS", YEAR)["ISNE"])
    assert set(GRID.flows_out("ISNE", YEAR)) == {"HQT", "NBSO", "NYIS"}


def test_a_forecast_is_better_the_nearer_its_time():
    """Errors of demand, wind and solar are zero now, and grow with the lead time up to 168 hours."""
    truth = GRID.state_at("CISO", YEAR)
    np.testing.assert_array_equal(GRID.state_at("CISO", YEAR, 0.0).demand, truth.demand)

    def errors(lead):
        seen = GRID.state_at("CISO", YEAR, lead)
        pairs = [(seen.demand, truth.demand), *((seen.generation[f], truth.generation[f]) for f in ("wind", "solar"))]
        return np.array([np.sqrt(np.mean((a - b) ** 2)) for a, b in pairs])

    soon, tomorrow, week = (errors(lead) for lead in (1.0, 24.0, 168.0))
    assert (soon < 0.3 * tomorrow).all()
    assert (tomorrow < 0.8 * week).all()
    assert 0.002 < tomorrow[0] / truth.demand.mean() < 0.05


def test_demand_has_its_day_week_and_year():
    """Evenings have more demand than nights, working days than weekends, and New England's summer than its spring."""
    demand = GRID.state_at("ISNE", YEAR).demand
    local = YEAR + find_utc_offset(YEAR, "America/New_York")
    hour, weekday = (
        (local - local.astype("datetime64[D]")) // HOUR_STEP,
        (local.astype("datetime64[D]").astype(int) + 3) % 7,
    )
    month = local.astype("datetime64[M]").astype(int) % 12 + 1
    assert demand[hour == 18].mean() > 1.25 * demand[hour == 3].mean()
    assert demand[weekday < 5].mean() > 1.02 * demand[weekday >= 5].mean()
    assert demand[month == 7].max() > 1.15 * demand[month == 4].max()


def test_solar_and_wind_follow_the_weather():
    """Without sun there is no solar, and wind power rises with the wind."""
    state, sky = GRID.state_at("CISO", YEAR), GRID.average_weather("CISO", YEAR)
    assert (state.generation["solar"][sky.irradiance < 1e-6] < 1e-6).all()
    unspilled = state.spilled == 0
    assert np.corrcoef(state.generation["solar"][unspilled], sky.irradiance[unspilled])[0, 1] > 0.99
    assert np.corrcoef(state.generation["wind"][unspilled], sky.wind[unspilled])[0, 1] > 0.9


def test_weather_stays_within_what_is_possible():
    """Every variable stays within its physical limits over a year, in both regions."""
    sky = GRID.weather_at([44.5, 33.0], [-73.2, -117.0], YEAR)
    bounds = {
        "temperature_2m": (-40, 48),
        "relative_humidity_2m": (1, 100),
        "cloud_cover": (0, 100),
        "pressure_msl": (970, 1050),
        "wind_speed_10m": (0, 120),
        "wind_direction_10m": (0, 360),
        "shortwave_radiation": (0, 1100),
        "direct_radiation": (0, 1100),
        "diffuse_radiation": (0, 700),
        "precipitation": (0, 30),
        "snowfall": (0, 20),
    }
    for name, (low, high) in bounds.items():
        values = WEATHER[name].of(sky)
        assert values.min() >= low, name
        assert values.max() <= high, name
    assert (sky.dew_point <= sky.temperature).all()


def test_prices_add_up_and_are_sometimes_negative():
    """Total = energy + congestion + loss to the cent; California has some negative hours."""
    for market in ("day_ahead", "real_time"):
        price = GRID.price_nodes("CISO", ["TH_NP15_GEN-APND"], YEAR, market)["TH_NP15_GEN-APND"]
        np.testing.assert_allclose(price.total, price.energy + price.congestion + price.loss, atol=0.005)
        assert 0.001 < (price.total < 0).mean() < 0.2
        assert 15 < np.median(price.total) < 60


def test_prices_rise_with_what_gas_must_give():
    """Hours with the most gas generation are more expensive than hours with the least."""
    gas = GRID.state_at("ISNE", YEAR).generation["natural_gas"]
    total = GRID.price_nodes("ISNE", ["4000"], YEAR, "real_time")["4000"].total
    low, high = np.quantile(gas, [0.1, 0.9])
    assert total[gas > high].mean() > 1.3 * total[gas < low].mean()


def test_recent_values_are_revised_until_they_settle():
    """Values are up to 2 % off at first, less after each day, and exact after 72 hours."""
    ends, truth = YEAR[1:1001], np.full(1000, 100.0)
    now = ends[-1].astype("datetime64[s]").astype(datetime).replace(tzinfo=UTC)
    seen = GRID.publish_values("x", truth, ends, now)
    age = (ends[-1] - ends) / HOUR_STEP
    np.testing.assert_array_equal(seen[age >= 72], 100.0)
    for day, most in ((0, 2.0), (1, 4 / 3), (2, 2 / 3)):
        off = np.abs(seen[(age >= 24 * day) & (age < 24 * (day + 1))] - 100)
        assert 0 < off.max() <= most
    np.testing.assert_array_equal(seen, GRID.publish_values("x", truth, ends, now))
    assert (seen != GRID.publish_values("x", truth, ends, now + timedelta(days=1)))[age < 24].all()


@pytest.mark.parametrize("zone", ["America/New_York", "America/Los_Angeles", "Europe/Berlin", "UTC"])
def test_local_offsets_are_those_of_the_zone(zone):
    """Offsets equal those of zoneinfo at every half hour of two years."""
    times = list_interval_starts(
        datetime(2024, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), timedelta(minutes=30)
    )
    clock = ZoneInfo(zone)
    expected = [
        datetime.fromtimestamp(second, clock).utcoffset().total_seconds() for second in times.astype(int).tolist()
    ]
    assert (find_utc_offset(times, zone) / np.timedelta64(1, "s")).tolist() == expected


def test_day_ahead_forecasts_are_made_at_ten_on_the_day_before():
    """Every hour of the 25-hour day of 3 November 2024 in New York is forecast on 2 November, 14:00 UTC."""
    hours = to_times([datetime(2024, 11, 3, 4, tzinfo=UTC), datetime(2024, 11, 4, 4, tzinfo=UTC)])
    issued = find_day_ahead_issue(hours, "America/New_York")
    assert issued.tolist() == [datetime(2024, 11, 2, 14), datetime(2024, 11, 2, 14)]
    assert count_day_ahead_lead(hours, "America/New_York").tolist() == [14, 38]


def test_starts_are_aligned():
    """Starts are the multiples of the step in the period."""
    found = list_interval_starts(
        datetime(2024, 1, 1, 0, 20, tzinfo=UTC), datetime(2024, 1, 1, 3, 0, tzinfo=UTC), ONE_HOUR
    )
    assert found.tolist() == [datetime(2024, 1, 1, 1), datetime(2024, 1, 1, 2)]


def test_any_code_is_an_authority():
    """An unknown code always has the same size, location and zone; known ones have their real ones."""
    unknown = find_authority("XYZ1")
    assert unknown == find_authority("XYZ1")
    assert 400 < unknown.demand < 13_000
    assert ZoneInfo(unknown.zone)
    for code in ("ISNE", "CISO"):
        assert sum(place.share for place in find_authority(code).places) == pytest.approx(1)
        assert sum(find_authority(code).zones.values()) == pytest.approx(1)
