"""The simulated grid as a source: names, units and intervals of EIA, ISO-NE and Open-Meteo, without requests."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from gridtide import variables
from gridtide.config.loading import parse as parse_config
from gridtide.errors import ConfigurationError
from gridtide.observations.identity import fingerprints, has_repeats
from gridtide.observations.table import SCHEMA, concat
from gridtide.periods import Period
from gridtide.simulation import (
    FUELS,
    HOUR_STEP,
    WEATHER,
    Grid,
    count_day_ahead_lead,
    find_day_ahead_issue,
    list_interval_starts,
)
from gridtide.sources import open_meteo, synthetic
from gridtide.sources.contract import Response
from gridtide.sources.registry import find_hourly_rule, get_source
from gridtide.sources.synthetic import VARIABLES

NOW = datetime(2024, 6, 1, tzinfo=UTC)
WEEK = Period(datetime(2024, 3, 8, tzinfo=UTC), datetime(2024, 3, 15, tzinfo=UTC))


def entry(**more):
    return parse_config({"apis": [{"name": "grid", "source": "synthetic", "output_folder": "grid", **more}]}).apis[0]


def collected(asked, period=WEEK):
    pages = [
        synthetic.parse_response(asked, request, Response(b"", NOW))
        for request in synthetic.build_requests(asked, period)
    ]
    assert all(page.record_count == page.total == page.observations.num_rows for page in pages)
    return concat([page.observations for page in pages])


def values(table, variable, location="ISNE"):
    mask = pc.and_(pc.equal(table["variable"], variable), pc.equal(table["location"], location))
    return table.filter(mask)


def test_without_any_parameter_new_england_is_complete():
    """By default there are all variables of ISNE for every hour, each key once, with registered units."""
    table = collected(entry())
    assert table.schema == SCHEMA
    assert not has_repeats([fingerprints(table)])
    assert set(table["source"].to_pylist()) == {"synthetic"}
    names = set(table["variable"].to_pylist())
    assert {"demand", "interchange", "load", "lmp_real_time_loss", "temperature_2m", "snowfall"} <= names
    for variable, unit in set(zip(table["variable"].to_pylist(), table["unit"].to_pylist(), strict=True)):
        expected = WEATHER[variable].unit if variable in WEATHER else variables.unit_of(VARIABLES, variable)
        assert unit == expected, variable
    assert {row for row in table["location"].to_pylist() if ">" not in row} == {"ISNE"}
    assert len(values(table, "demand")) == 7 * 24


def test_values_are_the_simulation():
    """Demand, fuels, interchange, forecast, price and weather are those of the simulated grid with this seed."""
    grid, table = Grid(3), collected(entry(params={"authority": "CISO", "seed": 3}))
    begins = list_interval_starts(WEEK.start, WEEK.end, timedelta(hours=1))
    state = grid.state_at("CISO", begins + HOUR_STEP // 2).whole()

    def column(variable, location="CISO"):
        return values(table, variable, location)["value"].to_numpy()

    np.testing.assert_array_equal(column("demand"), state.demand)
    np.testing.assert_array_equal(column("generation_wind"), state.generation["wind"])
    np.testing.assert_array_equal(column("interchange", "CISO>BPAT"), state.exports["BPAT"])
    foreseen = grid.state_at(
        "CISO", begins + HOUR_STEP // 2, count_day_ahead_lead(begins + HOUR_STEP // 2, "America/Los_Angeles")
    )
    np.testing.assert_array_equal(column("demand_forecast_day_ahead"), foreseen.whole().demand)
    price = grid.price_nodes("CISO", ["CISO"], begins + HOUR_STEP // 2, "day_ahead")["CISO"]
    np.testing.assert_array_equal(column("lmp_day_ahead"), price.total)
    np.testing.assert_array_equal(column("temperature_2m"), grid.average_weather("CISO", begins).temperature.round(1))


def test_the_table_balances():
    """Every hour, demand + net_interchange = net_generation = Σ fuels, and net_interchange = Σ neighbours."""
    table = collected(entry(params={"authority": ["CISO"]}))
    demand, made, out = (
        values(table, name, "CISO")["value"].to_numpy() for name in ("demand", "net_generation", "net_interchange")
    )
    np.testing.assert_array_equal(demand + out, made)
    fuels = [values(table, f"generation_{fuel}", "CISO")["value"].to_numpy() for fuel in FUELS]
    np.testing.assert_array_equal(sum(fuel for fuel in fuels if len(fuel)), made)
    flows = table.filter(pc.equal(table["variable"], "interchange"))
    by_hour = flows.group_by("interval_start").aggregate([("value", "sum")]).sort_by("interval_start")
    np.testing.assert_array_equal(by_hour["value_sum"].to_numpy(), out)


def test_intervals_are_those_of_the_names():
    """Energy and radiation cover their hour, and temperature is an instant at its start."""
    table = collected(entry(params={"variables": ["demand", "temperature_2m", "shortwave_radiation"]}))
    for variable, length in (("demand", 1), ("temperature_2m", 0), ("shortwave_radiation", 1)):
        rows = values(table, variable)
        assert rows["interval_start"][0].as_py() == WEEK.start
        lengths = pc.unique(pc.subtract(rows["interval_end"], rows["interval_start"])).to_pylist()
        assert lengths == [timedelta(hours=length)]


def test_which_weather_covers_its_hour_is_as_open_meteo_says():
    """The simulation and the Open-Meteo source have the same variables of the preceding hour."""
    for name, measure in WEATHER.items():
        assert measure.preceding == open_meteo.covers_preceding_hour(name), name


def test_day_ahead_products_say_when_they_were_made():
    """published_at is 10:00 local time on the day before for forecasts and day-ahead prices, and null for actual
    values."""
    table = collected(entry(params={"variables": ["demand", "demand_forecast_day_ahead", "lmp_day_ahead"]}))
    made = find_day_ahead_issue(list_interval_starts(WEEK.start, WEEK.end, timedelta(hours=1)), "America/New_York")
    for variable in ("demand_forecast_day_ahead", "lmp_day_ahead"):
        rows = values(table, variable)
        assert rows["published_at"].to_pylist() == [moment.replace(tzinfo=UTC) for moment in made.tolist()]
        assert pc.all(pc.less(rows["published_at"], rows["interval_start"])).as_py()
    assert values(table, "demand")["published_at"].null_count == 7 * 24


def test_five_minutes_of_energy_are_a_twelfth():
    """With PT5M, energy is power divided by twelve, and adds up to about that of the hour."""
    params = {"variables": ["demand"]}
    hours, minutes = (collected(entry(params=params, resolution=step)) for step in ("PT1H", "PT5M"))
    assert len(minutes) == 12 * len(hours)
    summed = minutes["value"].to_numpy().reshape(-1, 12).sum(axis=1)
    np.testing.assert_allclose(summed, hours["value"].to_numpy(), rtol=0.01)


def test_what_is_asked_alone_is_what_it_is_in_a_longer_period():
    """A day within a year equals that day requested alone."""
    asked = entry(params={"variables": ["demand", "lmp_real_time", "precipitation"]})
    year = Period(datetime(2023, 11, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC))
    assert len(synthetic.build_requests(asked, year)) == 4
    day = Period(datetime(2024, 3, 10, tzinfo=UTC), datetime(2024, 3, 11, tzinfo=UTC))
    whole, alone = collected(asked, year), collected(asked, day)
    start = whole["interval_start"]
    inside = whole.filter(pc.and_(pc.greater_equal(start, pa.scalar(day.start)), pc.less(start, pa.scalar(day.end))))
    assert inside.drop("retrieved_at").equals(alone.drop("retrieved_at").unify_dictionaries())


def test_any_authority_can_be_asked_and_lacks_only_what_it_has_not():
    """California has no rows of coal; an unknown authority has demand and no neighbours."""
    params = {"authority": ["CISO", "XYZ"], "variables": ["demand", "generation_coal", "interchange"]}
    table = collected(entry(params=params))
    assert len(values(table, "generation_coal", "CISO")) == 0
    assert len(values(table, "generation_coal", "XYZ")) == 168
    assert len(values(table, "demand", "XYZ")) == 168
    assert not any(location.startswith("XYZ>") for location in table["location"].to_pylist())


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"variables": ["demnd"]}, "params.variables: 'demnd' is not simulated"),
        ({"authorities": ["ISNE"]}, "params.authorities: is unknown"),
    ],
)
def test_what_is_not_simulated_is_refused(params, said):
    """An unknown variable or parameter is refused with the existing ones."""
    with pytest.raises(ConfigurationError, match=said) as refused:
        synthetic.build_requests(entry(params=params), WEEK)
    assert "authority" in refused.value.fix or "demand" in refused.value.fix


def test_requests_have_no_url_and_cover_the_period():
    """Requests have no URL, and their periods together are the period."""
    asked = entry()
    pieces = synthetic.build_requests(asked, WEEK)
    assert get_source("synthetic").takes_period(asked)
    assert [(r.url, r.period) for r in pieces] == [("", WEEK)]


@pytest.mark.parametrize(
    ("variable", "unit", "rule"),
    [
        ("demand", "MWh", "sum"),
        ("generation_solar", "MWh", "sum"),
        ("lmp_day_ahead_loss", "USD/MWh", "mean"),
        ("load", "MW", "mean"),
        ("temperature_2m", "°C", "start"),
    ],
)
def test_names_resolve_through_eia_then_iso_ne_then_weather(variable, unit, rule):
    """Synthetic variables have the units and hourly rules of the source that has their name."""
    assert find_hourly_rule("synthetic", variable, unit) == rule
    if variable not in WEATHER:
        assert variables.unit_of(VARIABLES, variable) == unit
