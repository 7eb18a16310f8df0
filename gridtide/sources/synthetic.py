"""The simulated grid as a source: no URL, no network, any authority and period.

`params` select `"authority": ["ISNE"]`, `"variables": ["demand", "generation_wind", "temperature_2m"]` (all, if none
are named) and `"seed": 0`. Variables, units and intervals are those of EIA, ISO-NE and Open-Meteo. The location is the
authority; its weather is the mean over its load centres, weighted by their demand. Values never change: a second
request returns the same. Day-ahead products carry their time of publication.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from gridtide.entries.scope import ANY, Scope, build_scope, narrow_params
from gridtide.errors import ConfigurationError
from gridtide.periods import Period, split
from gridtide.sources.contract import Licence, Page, Request, Response
from gridtide.variables import HourlyRule, Variable, unit_of

if TYPE_CHECKING:
    import numpy as np

    from gridtide.entries.entry import Entry
    from gridtide.simulation import Authority, Grid, Market, Times, Values

LICENCE = Licence(
    "MIT",
    "Simulated values, under the licence of Gridtide",
    "https://spdx.org/licenses/MIT.html",
    "Free to use; the values are simulated and describe no real grid.",
)
NEEDS_URL = False

VARIABLES = (
    Variable("demand", "MWh", "sum", "Demand"),
    Variable("demand_forecast_day_ahead", "MWh", "sum", "Day-ahead demand forecast"),
    Variable("net_generation", "MWh", "sum", "Net generation"),
    Variable("net_interchange", "MWh", "sum", "Total net interchange"),
    Variable(r"generation_\w+", "MWh", "sum", "Net generation by fuel"),
    Variable("interchange", "MWh", "sum", "Interchange with a neighbour, `FROM>TO`"),
    Variable(r"load(_native)?", "MW", "mean", "System load, with and without pumping"),
    Variable(r"lmp_(day_ahead|real_time)(_energy|_congestion|_loss)?", "USD/MWh", "mean", "Price and its components"),
)

HOURLY_RULE: HourlyRule = "start"
"""All else is weather, whose units are those of `simulation.WEATHER`."""

PIECE = timedelta(days=60)
"""The longest period that is simulated at once, which keeps memory flat."""

COMPONENTS = {"": "total", "_energy": "energy", "_congestion": "congestion", "_loss": "loss"}


def choose_defaults(url: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the policy of hourly values that are available immediately; there is no raw body to store."""
    return {"resolution": "PT1H", "available": {"lag": "PT0S"}, "reread": "P1D", "chunk": "P365D", "raw": False}


def find_scope(entry: Entry) -> Scope:
    """Returns the authorities, the variables and the seed. No named variables mean all of them."""
    return build_scope(
        entry,
        {
            "authority": _read_param(entry, "authority", "ISNE"),
            "variables": _read_param(entry, "variables", ANY),
            "seed": _read_param(entry, "seed", "0"),
        },
    )


def narrow(entry: Entry, part: Scope) -> Sequence[Entry]:
    """Returns the entry with fewer authorities or variables."""
    entry_scope = find_scope(entry).values()
    shorter = {name: values for name, values in part.facets if values != entry_scope[name]}
    return [narrow_params(entry, shorter)] if shorter.keys() <= {"authority", "variables"} else ()


def build_requests(entry: Entry, period: Period | None) -> list[Request]:
    """Returns one request without a URL for each piece of `period`.

    Raises `ConfigurationError` for parameters or variables that do not exist.
    """
    _check_params(entry)
    if period is None:
        raise ConfigurationError(entry.name, "synthetic data are made for periods only", "Give a start and an end")
    return [
        Request("", label=f"{subperiod.start:%Y-%m-%dT%H:%M}", period=subperiod) for subperiod in split(period, PIECE)
    ]


def parse_response(entry: Entry, request: Request, response: Response) -> Page:
    """Simulates the intervals that start in the request's period; there is no body to read."""
    import numpy as np

    from gridtide.observations.table import concat, from_columns
    from gridtide.simulation import Grid, find_authority, list_interval_starts

    if request.period is None:
        raise ConfigurationError(entry.name, "synthetic data are made for periods only", "Give a start and an end")
    interval_length = np.timedelta64(int(entry.resolution.total_seconds()), "s")
    starts = list_interval_starts(request.period.start, request.period.end, entry.resolution)
    grid = Grid(int(_read_param(entry, "seed", "0")[0]))
    variables_asked = frozenset(_read_param(entry, "variables"))
    table = concat(
        [
            from_columns("synthetic", response.retrieved_at, **series.columns())
            for code in _read_param(entry, "authority", "ISNE")
            for variables, simulate in _list_products()
            if not variables_asked or variables_asked & variables
            for series in simulate(grid, find_authority(code), starts, interval_length)
            if not variables_asked or series.variable in variables_asked
        ]
    )
    return Page(table, table.num_rows, table.num_rows)


@dataclass(frozen=True, slots=True)
class SimulatedSeries:
    """One variable of one location, arrays of shape (T,)."""

    location: str
    variable: str
    unit: str
    starts: Times
    ends: Times
    values: Values
    published: Times | None = None

    def columns(self) -> dict[str, Any]:
        """Returns the arguments of `observations.from_columns`."""
        return {
            "interval_start": self.starts.astype("datetime64[us]"),
            "interval_end": self.ends.astype("datetime64[us]"),
            "location": self.location,
            "variable": self.variable,
            "unit": self.unit,
            "value": self.values,
            "published_at": None if self.published is None else self.published.astype("datetime64[us]"),
        }


SeriesSimulator = Callable[["Grid", "Authority", "Times", "np.timedelta64"], Iterator[SimulatedSeries]]


def _simulate_energy(
    grid: Grid, authority: Authority, starts: Times, interval_length: np.timedelta64
) -> Iterator[SimulatedSeries]:
    """Yields demand, generation and interchange in MWh and load in MW, simulated at the middle of each interval."""
    from gridtide.simulation import HOUR_STEP

    state, ends, hours = (
        grid.state_at(authority.code, starts + interval_length // 2).whole(),
        starts + interval_length,
        float(interval_length / HOUR_STEP),
    )
    power = {
        "demand": state.demand,
        "net_generation": state.net_generation,
        "net_interchange": state.net_interchange,
        **{f"generation_{fuel}": output for fuel, output in state.generation.items()},
    }
    for variable, values in power.items():
        yield SimulatedSeries(authority.code, variable, unit_of(VARIABLES, variable), starts, ends, values * hours)
    for neighbour, flow in state.exports.items():
        yield SimulatedSeries(f"{authority.code}>{neighbour}", "interchange", "MWh", starts, ends, flow * hours)
    yield SimulatedSeries(authority.code, "load_native", "MW", starts, ends, state.demand)
    yield SimulatedSeries(authority.code, "load", "MW", starts, ends, (state.demand + state.pumping).round(3))


def _simulate_forecast(
    grid: Grid, authority: Authority, starts: Times, interval_length: np.timedelta64
) -> Iterator[SimulatedSeries]:
    from gridtide.simulation import HOUR_STEP, count_day_ahead_lead, find_day_ahead_issue

    middles = starts + interval_length // 2
    energy = grid.state_at(
        authority.code, middles, count_day_ahead_lead(middles, authority.zone)
    ).whole().demand * float(interval_length / HOUR_STEP)
    issued = find_day_ahead_issue(middles, authority.zone)
    yield SimulatedSeries(
        authority.code, "demand_forecast_day_ahead", "MWh", starts, starts + interval_length, energy, issued
    )


def _simulate_prices(
    grid: Grid, authority: Authority, starts: Times, interval_length: np.timedelta64
) -> Iterator[SimulatedSeries]:
    from gridtide.simulation import find_day_ahead_issue

    middles, ends = starts + interval_length // 2, starts + interval_length
    markets: dict[Market, Times | None] = {
        "day_ahead": find_day_ahead_issue(middles, authority.zone),
        "real_time": None,
    }
    for market, issued in markets.items():
        price = grid.price_nodes(authority.code, [authority.code], middles, market)[authority.code]
        for suffix, part in COMPONENTS.items():
            variable = f"lmp_{market}{suffix}"
            yield SimulatedSeries(authority.code, variable, "USD/MWh", starts, ends, getattr(price, part), issued)


def _simulate_weather(
    grid: Grid, authority: Authority, starts: Times, interval_length: np.timedelta64
) -> Iterator[SimulatedSeries]:
    """Instants at the intervals' starts; sums and means of an hour stand for the interval."""
    from gridtide.simulation import WEATHER

    skies = {
        True: grid.average_weather(authority.code, starts + interval_length // 2),
        False: grid.average_weather(authority.code, starts),
    }
    for variable, measure in WEATHER.items():
        values = measure.of(skies[measure.preceding]).round(measure.decimals) + 0.0  # no -0
        ends = starts + interval_length if measure.preceding else starts
        yield SimulatedSeries(authority.code, variable, measure.unit, starts, ends, values)


def _list_products() -> list[tuple[frozenset[str], SeriesSimulator]]:
    """Lists the variables that are simulated together, with the function that simulates them."""
    from gridtide.simulation import FUELS, WEATHER

    fuels = (f"generation_{fuel}" for fuel in FUELS)
    prices = (f"lmp_{market}{suffix}" for market in ("day_ahead", "real_time") for suffix in COMPONENTS)
    power = ("demand", "net_generation", "net_interchange", "interchange", "load", "load_native", *fuels)
    return [
        (frozenset(power), _simulate_energy),
        (frozenset(("demand_forecast_day_ahead",)), _simulate_forecast),
        (frozenset(prices), _simulate_prices),
        (frozenset(WEATHER), _simulate_weather),
    ]


def _check_params(entry: Entry) -> None:
    unknown_params = set(entry.params) - {"authority", "variables", "seed"}
    if unknown_params:
        raise ConfigurationError(
            entry.name,
            f"params.{min(unknown_params)}: is unknown",
            "The simulated grid knows authority, variables and seed",
        )
    simulated = frozenset().union(*(simulated_names for simulated_names, _ in _list_products()))
    unknown_variables = set(_read_param(entry, "variables")) - simulated
    if unknown_variables:
        raise ConfigurationError(
            entry.name,
            f"params.variables: {min(unknown_variables)!r} is not simulated",
            f"There are: {', '.join(sorted(simulated))}",
        )


def _read_param(entry: Entry, parameter: str, *otherwise: str) -> tuple[str, ...]:
    """Returns the values of the parameter `parameter`, of which there may be several."""
    setting = entry.params.get(parameter, otherwise)
    return tuple(map(str, setting if isinstance(setting, tuple | list) else (setting,)))
