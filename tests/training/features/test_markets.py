"""One spec, moved from one market to the other by its locations, makes the same features of power and prices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import pytest

from gridtide.entries.entry import Available
from gridtide.observations.table import Row
from gridtide.periods import Period
from gridtide.sources.registry import find_variable
from gridtide.training.features.bases import Base, build_bases
from gridtide.training.series.hourly_grid import HourlyGrid
from gridtide.training.spec import load_spec
from tests.support.grids import HOUR, START, tables

DAYS = 6
PERIOD = Period(START + timedelta(days=1), START + timedelta(days=DAYS))


class Market(NamedTuple):
    """A market: the locations of its load, of its load forecast, of its generation and of a price, and the name of its
    real-time price."""

    load: str
    forecast: str
    generation: str
    point: str
    real_time: str = "lmp_real_time"


MARKETS = {
    "nyiso": Market("NYISO", "NYISO", "NYISO", "N.Y.C."),
    "miso": Market("MISO", "MISO", "MISO", "ILLINOIS.HUB"),
    "pjm": Market("RTO", "RTO_COMBINED", "PJM", "51288"),
    "ercot": Market("ERCOT", "ERCOT", "ERCOT", "HB_NORTH", "lmp_fifteen_minute"),
    "spp": Market("SPP", "SPP", "SPP", "SPPNORTH_HUB", "lmp_five_minute"),
}
LEVELS = {"load": 1000, "load_forecast": 990, "generation_wind": 200, "generation_solar": 100}
LEVELS |= {"generation_natural_gas": 600, "lmp_day_ahead": 30, "real_time": 35}


def spec_of(source: str, market: Market) -> dict[str, Any]:
    """The spec, of which only the locations name the market."""
    places = dict.fromkeys((market.load, market.forecast, market.generation, market.point))
    location = {
        "name": "market",
        "timezone": "America/New_York",
        "targets": [f"{source}/{market.load}/load"],
        "inputs": [f"{source}/{place}/*" for place in places],
    }
    features = {"calendar": False, "power": True, "prices": True}
    return {"name": "market", "locations": [location], "seq_len": 24, "horizon": 24, "leads": [1], "features": features}


def value_at(level: int) -> Callable[[int], float]:
    """A value of an hour, different at each level."""
    return lambda hour: level + 10 * np.sin(hour / (3 + level % 7))


def base_of(source: str, market: Market) -> Base:
    """The base of the spec, from hourly values of each of the series."""
    places = {"load": market.load, "load_forecast": market.forecast}
    names = {"real_time": market.real_time}
    lag, at_once = Available(lag=2 * HOUR), Available(lag=timedelta(days=-2))
    kinds: dict[str, tuple[str, Available, Sequence[Row]]] = {}
    for name, level in LEVELS.items():
        variable = names.get(name, name)
        place = market.point if "lmp" in variable else places.get(name, market.generation)
        described = find_variable(source, variable)
        assert described is not None
        times = [START + hour * HOUR for hour in range(24 * DAYS)]
        rows = [
            Row(time, time + HOUR, place, variable, described.unit, float(value_at(level)(hour)))
            for hour, time in enumerate(times)
        ]
        kinds[name] = (source, at_once if name in ("load_forecast", "lmp_day_ahead") else lag, rows)
    grid = HourlyGrid(Period(START, START + timedelta(days=DAYS + 2)), lambda name: True)
    for rule, table in tables(kinds):
        grid.add(table, rule)
    return build_bases(load_spec(spec_of(source, market)), grid.finish(), PERIOD, grid.names_read)[0]


def features_of(source: str, market: Market) -> dict[str, str]:
    """The names of the derived columns, without the market's own: by their plain name, the name in the base."""
    names = [column.name for column in base_of(source, market).columns if "/" in column.name]
    plain = {}
    for name in names:
        text = name.replace(market.real_time, "real_time")
        for place in sorted({*market[:4]}, key=len, reverse=True):
            text = text.replace(f"{source}/{place}/", "")
        plain[text] = name
    return plain


FEATURES = {
    *("load-2h", "load-2h ramp 1h", "load-2h ramp 3h", "load_forecast+1h", "load_forecast_error-2h"),
    *("generation_natural_gas-2h", "generation_solar-2h", "generation_wind-2h", "renewable_share-2h", "balance-2h"),
    *("variable_generation-2h", "variable_generation-2h ramp 1h", "variable_generation-2h ramp 3h"),
    *("net_load-2h", "net_load-2h ramp 1h", "net_load-2h ramp 3h"),
    *("lmp_day_ahead+1h", "real_time-2h", "real_time_less_day_ahead-2h"),
}


@pytest.mark.parametrize("source", MARKETS)
def test_the_spec_makes_the_same_features_in_each_market(source: str) -> None:
    """Load, its forecast, the mix and the prices are found under the names of any operator."""
    assert set(features_of(source, MARKETS[source])) == FEATURES


@pytest.mark.parametrize("source", MARKETS)
def test_net_load_and_spread_are_those_of_the_market(source: str) -> None:
    """Net load is load less wind and sun, the spread the real-time price less that of the day ahead, hour by hour."""
    base, names = base_of(source, MARKETS[source]), features_of(source, MARKETS[source])
    columns = [column.name for column in base.columns]
    hours = range(24 - 2, 24 * DAYS - 2)  # two hours before each of the rows

    def values_of(name: str) -> np.ndarray:
        return np.array([value_at(LEVELS[name])(hour) for hour in hours])

    net_load = values_of("load") - values_of("generation_wind") - values_of("generation_solar")
    for name, expected in (
        ("net_load-2h", net_load),
        ("load_forecast_error-2h", values_of("load") - values_of("load_forecast")),
        ("real_time_less_day_ahead-2h", values_of("real_time") - values_of("lmp_day_ahead")),
    ):
        np.testing.assert_allclose(base.values[:, columns.index(names[name])], expected, rtol=1e-6)
