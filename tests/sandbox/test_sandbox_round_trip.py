"""Each source reads from the sandbox, over HTTP, exactly the simulated values."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from gridtide.config.loading import load as load_config
from gridtide.config.loading import parse as parse_config
from gridtide.observations.identity import fingerprints, has_repeats
from gridtide.periods import Period
from gridtide.sandbox.formats import caiso_outlook, eia
from gridtide.sandbox.formats.iso_ne import LOCATIONS, draw_fuel_mix, list_readings
from gridtide.simulation import CALIFORNIA, HOUR_STEP, WEATHER, Grid, count_day_ahead_lead, list_interval_starts
from gridtide.variables import snake_case
from tests.support.upstreams.sandbox_server import assert_series, collect_observations, read_series

GRID = Grid(0)
AUTUMN = Period(datetime(2025, 11, 1, 4, tzinfo=UTC), datetime(2025, 11, 4, 5, tzinfo=UTC))
"""Three days of New York, the 25-hour one in the middle."""

BEGINS = list_interval_starts(AUTUMN.start, AUTUMN.end, timedelta(hours=1))
MIDDLES = BEGINS + HOUR_STEP // 2


def odd(name, values):
    """`values` as EIA writes them, with rare nulls and zeros."""
    one = next(one for route in eia.IMITATED_ROUTES.values() for one in route.series() if one.name == name)
    kind = eia.find_quirks(GRID, one, BEGINS + HOUR_STEP, values)
    return np.select([kind == 3, kind > 0], [0.306, np.nan], values)


def shipped(name):
    return load_config(Path(__file__).parents[2] / "api_config.json").entry(name)


async def test_eia():
    """Demand, forecast, fuels and interchange of both authorities are exact, with nulls."""
    demand, forecast, fuels, flows = [
        await collect_observations(shipped(f"eia_{name}"), AUTUMN)
        for name in ("demand", "demand_forecast", "generation", "interchange")
    ]
    for code, zone in (("ISNE", "America/New_York"), ("CISO", "America/Los_Angeles")):
        state = GRID.state_at(code, MIDDLES).whole()
        foreseen = GRID.state_at(code, MIDDLES, count_day_ahead_lead(MIDDLES, zone)).whole()
        assert_series(demand, "demand", code, BEGINS, odd(f"{code} D", state.demand))
        assert_series(forecast, "demand_forecast_day_ahead", code, BEGINS, odd(f"{code} DF", foreseen.demand))
        for fuel, output in state.generation.items():
            expected = odd(f"{code} {eia.FUEL_CODES[fuel]}", output)
            assert_series(fuels, f"generation_{fuel}", code, BEGINS, expected)
        for to, flow in state.exports.items():
            assert_series(flows, "interchange", f"{code}>{to}", BEGINS, odd(f"{code} {to}", flow))


async def test_eia_pages_and_slices():
    """Sixty days of two authorities' fuels are many answers, and every key occurs once."""
    period = Period(datetime(2025, 9, 1, tzinfo=UTC), datetime(2025, 10, 31, tzinfo=UTC))
    table = await collect_observations(shipped("eia_generation"), period)
    series_count = len(GRID.state_at("ISNE", MIDDLES[:1]).generation) + len(
        GRID.state_at("CISO", MIDDLES[:1]).generation
    )
    assert table.num_rows == 60 * 24 * series_count
    assert not has_repeats([fingerprints(table)])


async def test_iso_ne_hourly_load_and_prices():
    """A day of 25 hours has load and price of every hour."""
    load = await collect_observations(shipped("iso_ne_hourly_system_load"), AUTUMN)
    state = GRID.state_at("ISNE", MIDDLES)
    for variable, values in (
        ("load_native", state.demand),
        ("load_ard", state.pumping),
        ("load", state.demand + state.pumping),
    ):
        assert_series(load, variable, "32", BEGINS, values.round(3))
    prices = await collect_observations(shipped("iso_ne_hourly_final_lmp"), AUTUMN)
    expected = GRID.price_nodes("ISNE", ["4000"], MIDDLES, "day_ahead")["4000"]
    assert_series(prices, "lmp_day_ahead", "4000", BEGINS, expected.total)
    assert_series(prices, "lmp_day_ahead_congestion", "4000", BEGINS, expected.congestion)


async def test_iso_ne_fuel_mix():
    """Each reading of three days has its second and all its fuels."""
    table = await collect_observations(shipped("iso_ne_fuel_mix"), AUTUMN)
    times = np.concatenate([list_readings(GRID, date(2025, 11, day)) for day in (1, 2, 3)])
    mixed = draw_fuel_mix(GRID, times, GRID.state_at("ISNE", times).whole())
    for fuel, output in mixed.items():
        listed = ~np.isnan(output)
        if listed.any():
            assert_series(table, f"generation_{snake_case(fuel)}", "ISNE", times[listed], output[listed])
    gas, marginal = read_series(table, "marginal_natural_gas", "ISNE")
    assert len(gas) > 0.98 * len(times)
    assert set(marginal) == {1.0}


@pytest.mark.parametrize(
    ("path", "variable", "market", "step"),
    [
        ("hourlylmp/rt/final", "lmp_real_time", "real_time", 60),
        ("hourlylmp/rt/prelim", "lmp_real_time_preliminary", "real_time_preliminary", 60),
        ("fiveminutelmp", "lmp_five_minute", "five_minute", 5),
    ],
)
async def test_iso_ne_other_prices(path, variable, market, step):
    """Final, preliminary and five-minute real-time prices at a zone are exact."""
    url = f"https://webservices.iso-ne.com/api/v1.1/{path}/current/location/4001"
    [entry] = parse_config({"apis": [{"name": "p", "url": url, "output_folder": "p"}]}).apis
    begins = list_interval_starts(AUTUMN.start, AUTUMN.end, timedelta(minutes=step))
    expected = GRID.price_nodes("ISNE", ["4001"], begins + np.timedelta64(30 * step, "s"), market)["4001"]
    table = await collect_observations(entry, AUTUMN)
    assert_series(table, variable, "4001", begins, expected.total)
    assert_series(table, f"{variable}_loss", "4001", begins, expected.loss)


@pytest.mark.parametrize("name", ["iso_ne_morning_report", "iso_ne_seven_day_forecast"])
async def test_iso_ne_reports(name):
    """Peaks of each operating day are numbers, with the creation of their report."""
    table = await collect_observations(shipped(name), AUTUMN)
    variable = "morning_report_peak_load_today_mw" if "morning" in name else "seven_day_peak_load_mw"
    rows = table.filter(pc.equal(table["variable"], variable))
    assert rows.num_rows == (3 if "morning" in name else 18)
    assert 8000 < pc.min(rows["value"]).as_py() <= pc.max(rows["value"]).as_py() < 30_000
    assert rows["published_at"].null_count == 0
    assert pc.all(pc.less_equal(pc.subtract(rows["interval_end"], rows["interval_start"]), timedelta(hours=25))).as_py()


@pytest.mark.parametrize("url", ["hourlysysload", "fiveminutelmp", "genfuelmix", "hourlyloadforecast", "morningreport"])
async def test_iso_ne_snapshots(url):
    """Every `current`, in any shape, gives rows."""
    asked = f"https://webservices.iso-ne.com/api/v1.1/{url}/current"
    [entry] = parse_config({"apis": [{"name": "p", "url": asked, "output_folder": "p"}]}).apis
    table = await collect_observations(entry, None)
    assert table.num_rows >= 2
    if url == "fiveminutelmp":
        assert set(table["location"].to_pylist()) == set(LOCATIONS)


async def test_caiso_load_and_forecast():
    """Zones, and the system as their sum, are exact, actual and day-ahead."""
    for name, variable, lead in (
        ("caiso_load", "load", 0.0),
        ("caiso_load_forecast", "load_forecast_day_ahead", count_day_ahead_lead(MIDDLES, CALIFORNIA.zone)),
    ):
        table = await collect_observations(shipped(name), AUTUMN)
        demand = GRID.state_at("CISO", MIDDLES, lead).demand
        zones = {area: np.round(CALIFORNIA.zones[area] * demand) for area in ("PGAE", "SCE", "SDGE", "VEA")}
        assert_series(table, variable, "PGE-TAC", BEGINS, zones["PGAE"])
        assert_series(table, variable, "CA ISO-TAC", BEGINS, sum(zones.values()))


async def test_caiso_renewables_schedules_and_prices():
    """Hub forecasts, total schedules and components of prices are exact."""
    foreseen = GRID.state_at("CISO", MIDDLES, count_day_ahead_lead(MIDDLES, CALIFORNIA.zone))
    hubs = await collect_observations(shipped("caiso_renewables_forecast"), AUTUMN)
    assert_series(
        hubs, "generation_solar_forecast_day_ahead", "SP15", BEGINS, (0.72 * foreseen.generation["solar"]).round(2)
    )
    assert_series(
        hubs, "generation_wind_forecast_day_ahead", "NP15", BEGINS, (0.35 * foreseen.generation["wind"]).round(2)
    )
    schedules = await collect_observations(shipped("caiso_schedules"), AUTUMN)
    assert_series(schedules, "schedule_load_day_ahead", "Caiso_Totals", BEGINS, foreseen.demand.round(2))
    node = "TH_SP15_GEN-APND"
    price = GRID.price_nodes("CISO", [node], MIDDLES, "day_ahead", 5)[node]
    prices = await collect_observations(shipped("caiso_lmp"), AUTUMN)
    for suffix, values in (
        ("", price.total),
        ("_energy", price.energy),
        ("_congestion", price.congestion),
        ("_loss", price.loss),
        ("_ghg", np.zeros(len(BEGINS))),
    ):
        assert_series(prices, f"lmp_day_ahead{suffix}", node, BEGINS, values)


async def test_open_meteo_history():
    """Temperature at its instants and radiation over its hours are exact, for each named location."""
    entry = shipped("open_meteo_history")
    table = await collect_observations(entry, AUTUMN)
    for number in (0, 5):
        point = [float(entry.params[key][number]) for key in ("latitude", "longitude")]
        for variable in ("temperature_2m", "shortwave_radiation", "precipitation"):
            begins, read = read_series(table, variable, entry.location[number])
            measure = WEATHER[variable]
            moments = begins + HOUR_STEP // 2 if measure.preceding else begins
            sky = GRID.weather_at([point[0]], [point[1]], moments)
            np.testing.assert_array_equal(read, measure.of(sky)[0].round(measure.decimals))
            assert set(BEGINS) <= set(begins)


async def test_open_meteo_forecast():
    """A week for ten locations has `…_forecast` names."""
    entry = shipped("open_meteo_forecast")
    table = await collect_observations(entry, None)
    assert set(table["location"].to_pylist()) == set(entry.location)
    assert set(table["variable"].to_pylist()) == {f"{name}_forecast" for name in entry.params["hourly"]}
    assert table.num_rows == 7 * 24 * len(entry.location) * len(entry.params["hourly"])


@pytest.mark.parametrize(
    ("name", "report", "columns"),
    [
        ("caiso_fuel_mix", "fuelsource", {"generation_large_hydro": "Large Hydro", "imports": "Imports"}),
        ("caiso_renewables", "renewables", {"generation_solar": "Solar"}),
        ("caiso_demand", "demand", {"demand": "Current demand", "demand_forecast_day_ahead": "Day ahead forecast"}),
        ("caiso_net_demand", "netdemand", {"net_demand": "Net demand"}),
        ("caiso_co2", "co2", {"co2_natural_gas": "Natural Gas CO2"}),
    ],
)
async def test_caiso_outlook(name, report, columns):
    """Three days of five minutes, of which the autumn hour that the clock shows twice is not told apart."""
    period = Period(datetime(2025, 11, 1, 7, tzinfo=UTC), datetime(2025, 11, 4, 8, tzinfo=UTC))
    table = await collect_observations(shipped(name), period)
    begins = list_interval_starts(period.start, period.end, timedelta(minutes=5))
    twice = (begins >= np.datetime64("2025-11-02T08:00")) & (begins < np.datetime64("2025-11-02T10:00"))
    made = caiso_outlook.make_columns(GRID, report, begins)
    for variable, column in columns.items():
        assert_series(table, variable, "CAISO", begins[~twice], np.round(made[column])[~twice])
