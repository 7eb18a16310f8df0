"""A simulated power grid, deterministic by seed: weather, demand, fuels, interchange and prices.

    weather ──> demand ──┐
       ├──────> solar ───┤── dispatch ──> natural gas, oil ──> price
       └──────> wind ────┘        (demand + exports = generation)

Every value is a pure function of seed, name and time, interpolated between hashed noise knots, so it never depends on
the requested period. A forecast is the same grid with the weather as forecast `lead_hours` hours ahead: its error is
zero at lead 0 and grows with the lead.

Times are `datetime64[s]` arrays, UTC, shape (T,); results are float64 of the same shape. The value of an interval is
the state of the grid at its middle.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.datetime64]
Values = NDArray[np.float64]
Market = Literal["day_ahead", "real_time", "real_time_preliminary", "five_minute"]

FUELS = ("coal", "natural_gas", "nuclear", "petroleum", "solar", "hydro", "wind", "other")
SECOND_STEP, HOUR_STEP = np.timedelta64(1, "s"), np.timedelta64(3600, "s")
SETTLED_AFTER = 72
"""Hours after which a published actual value is no longer revised."""


@dataclass(frozen=True, slots=True)
class LoadCentre:
    """A load centre: degrees north and east, and its share of the authority's demand."""

    name: str
    latitude: float
    longitude: float
    share: float


@dataclass(frozen=True, slots=True)
class Authority:
    """A balancing authority: mean demand, rooftop solar and capacity by fuel in MW, its load
    centres, and its zones' shares of demand."""

    code: str
    zone: str
    demand: float
    rooftop: float
    capacity: Mapping[str, float]
    places: tuple[LoadCentre, ...]
    zones: Mapping[str, float]

    @property
    def fuels(self) -> tuple[str, ...]:
        """The fuels of the authority."""
        return tuple(fuel for fuel in FUELS if self.capacity.get(fuel))


NEW_ENGLAND = Authority(
    "ISNE",
    "America/New_York",
    demand=13_800,
    rooftop=4_200,
    capacity={
        "coal": 450,
        "natural_gas": 16_500,
        "nuclear": 3_350,
        "petroleum": 5_500,
        "solar": 900,
        "hydro": 1_900,
        "wind": 1_700,
        "other": 950,
    },
    places=(
        LoadCentre("boston", 42.36, -71.06, 0.34),
        LoadCentre("hartford", 41.77, -72.67, 0.26),
        LoadCentre("providence", 41.82, -71.41, 0.12),
        LoadCentre("worcester", 42.26, -71.80, 0.14),
        LoadCentre("portland", 43.66, -70.26, 0.14),
    ),
    zones={
        "4001": 0.09,
        "4002": 0.09,
        "4003": 0.05,
        "4004": 0.25,
        "4005": 0.06,
        "4006": 0.12,
        "4007": 0.14,
        "4008": 0.20,
    },
)
CALIFORNIA = Authority(
    "CISO",
    "America/Los_Angeles",
    demand=25_500,
    rooftop=9_000,
    capacity={
        "natural_gas": 27_000,
        "nuclear": 2_280,
        "solar": 18_500,
        "hydro": 7_200,
        "wind": 6_600,
        "other": 2_000,
    },
    places=(
        LoadCentre("los_angeles", 34.05, -118.24, 0.40),
        LoadCentre("san_diego", 32.72, -117.16, 0.10),
        LoadCentre("fresno", 36.74, -119.79, 0.14),
        LoadCentre("san_jose", 37.34, -121.89, 0.22),
        LoadCentre("sacramento", 38.58, -121.49, 0.14),
    ),
    zones={"PGAE": 0.44, "SCE": 0.46, "SDGE": 0.09, "VEA": 0.01},
)
NEW_YORK = Authority(
    "NYIS",
    "America/New_York",
    demand=17_200,
    rooftop=5_000,
    capacity={
        "natural_gas": 22_000,
        "nuclear": 3_350,
        "petroleum": 3_000,
        "solar": 500,
        "hydro": 4_700,
        "wind": 2_400,
        "other": 600,
    },
    places=(
        LoadCentre("new_york", 40.71, -74.01, 0.45),
        LoadCentre("long_island", 40.79, -73.13, 0.15),
        LoadCentre("albany", 42.65, -73.75, 0.18),
        LoadCentre("buffalo", 42.89, -78.88, 0.22),
    ),
    zones={
        "CAPITL": 0.075,
        "CENTRL": 0.1,
        "DUNWOD": 0.036,
        "GENESE": 0.063,
        "HUD VL": 0.062,
        "LONGIL": 0.13,
        "MHK VL": 0.048,
        "MILLWD": 0.018,
        "N.Y.C.": 0.328,
        "NORTH": 0.032,
        "WEST": 0.108,
    },
)
MIDCONTINENT = Authority(
    "MISO",
    "America/Chicago",
    demand=74_000,
    rooftop=3_000,
    capacity={
        "coal": 38_000,
        "natural_gas": 84_000,
        "nuclear": 12_000,
        "petroleum": 2_500,
        "solar": 14_000,
        "hydro": 2_600,
        "wind": 31_000,
        "other": 1_200,
    },
    places=(
        LoadCentre("minneapolis", 44.98, -93.27, 0.25),
        LoadCentre("chicago", 41.88, -87.63, 0.3),
        LoadCentre("detroit", 42.33, -83.05, 0.2),
        LoadCentre("new_orleans", 29.95, -90.07, 0.25),
    ),
    zones={"NORTH": 0.24, "CENTRAL": 0.48, "SOUTH": 0.28},
)
MID_ATLANTIC = Authority(
    "PJM",
    "America/New_York",
    demand=89_000,
    rooftop=9_000,
    capacity={
        "coal": 38_000,
        "natural_gas": 88_000,
        "nuclear": 33_500,
        "petroleum": 8_000,
        "solar": 13_000,
        "hydro": 5_500,
        "wind": 11_500,
        "other": 1_600,
    },
    places=(
        LoadCentre("philadelphia", 39.95, -75.17, 0.3),
        LoadCentre("chicago", 41.88, -87.63, 0.2),
        LoadCentre("columbus", 39.96, -83.0, 0.25),
        LoadCentre("richmond", 37.54, -77.44, 0.25),
    ),
    zones={
        "AE": 0.012,
        "AEP": 0.155,
        "APS": 0.06,
        "ATSI": 0.08,
        "BC": 0.04,
        "CE": 0.115,
        "DAY": 0.022,
        "DEOK": 0.033,
        "DOM": 0.16,
        "DPL": 0.024,
        "DUQ": 0.017,
        "EKPC": 0.018,
        "JC": 0.028,
        "ME": 0.021,
        "PE": 0.05,
        "PEP": 0.036,
        "PL": 0.051,
        "PN": 0.021,
        "PS": 0.054,
        "RECO": 0.003,
    },
)
TEXAS = Authority(
    "ERCO",
    "America/Chicago",
    demand=50_000,
    rooftop=3_500,
    capacity={
        "coal": 13_500,
        "natural_gas": 58_000,
        "nuclear": 5_150,
        "solar": 29_000,
        "hydro": 560,
        "wind": 39_500,
        "other": 600,
    },
    places=(
        LoadCentre("houston", 29.76, -95.37, 0.3),
        LoadCentre("dallas", 32.78, -96.8, 0.35),
        LoadCentre("austin", 30.27, -97.74, 0.2),
        LoadCentre("midland", 32.0, -102.08, 0.15),
    ),
    zones={
        "COAST": 0.24,
        "EAST": 0.032,
        "FAR_WEST": 0.155,
        "NORTH": 0.035,
        "NORTH_C": 0.275,
        "SOUTHERN": 0.085,
        "SOUTH_C": 0.148,
        "WEST": 0.03,
    },
)
SOUTHWEST_POOL = Authority(
    "SWPP",
    "America/Chicago",
    demand=31_000,
    rooftop=500,
    capacity={
        "coal": 21_000,
        "natural_gas": 32_000,
        "nuclear": 2_050,
        "petroleum": 1_200,
        "solar": 900,
        "hydro": 3_400,
        "wind": 34_500,
        "other": 300,
    },
    places=(
        LoadCentre("oklahoma_city", 35.47, -97.52, 0.4),
        LoadCentre("kansas_city", 39.1, -94.58, 0.3),
        LoadCentre("omaha", 41.26, -95.94, 0.3),
    ),
    zones={
        "CSWS": 0.21,
        "EDE": 0.024,
        "GRDA": 0.021,
        "INDN": 0.006,
        "KACY": 0.01,
        "KCPL": 0.067,
        "LES": 0.015,
        "MPS": 0.036,
        "NPPD": 0.073,
        "OKGE": 0.148,
        "OPPD": 0.058,
        "SECI": 0.025,
        "SPRM": 0.014,
        "SPS": 0.128,
        "WAUE": 0.105,
        "WFEC": 0.06,
    },
)
FRENCH_ZONE = Authority(
    "10YFR-RTE------C",
    "Europe/Paris",
    demand=50_000,
    rooftop=4_000,
    capacity={
        "coal": 1_800,
        "natural_gas": 34_000,
        "nuclear": 31_000,
        "petroleum": 3_000,
        "solar": 17_000,
        "hydro": 16_000,
        "wind": 23_000,
        "other": 1_500,
    },
    places=(LoadCentre("paris", 48.86, 2.35, 0.6), LoadCentre("lyon", 45.76, 4.84, 0.4)),
    zones={"10YFR-RTE------C": 1.0},
)
AUTHORITIES = {
    region.code: region
    for region in (
        *(NEW_ENGLAND, CALIFORNIA, NEW_YORK, MIDCONTINENT, MID_ATLANTIC, TEXAS, SOUTHWEST_POOL),
        FRENCH_ZONE,
    )
}

TIES: Mapping[tuple[str, str], tuple[float, float]] = {
    ("ISNE", "HQT"): (-1300, 350),
    ("ISNE", "NBSO"): (-250, 150),
    ("ISNE", "NYIS"): (150, 500),
    ("CISO", "AZPS"): (-600, 400),
    ("CISO", "BANC"): (300, 250),
    ("CISO", "BPAT"): (-900, 600),
    ("CISO", "CEN"): (-50, 90),
    ("CISO", "IID"): (-350, 150),
    ("CISO", "LDWP"): (200, 350),
    ("CISO", "NEVP"): (-700, 450),
    ("CISO", "PACW"): (-150, 150),
    ("CISO", "SRP"): (-900, 300),
    ("CISO", "TIDC"): (60, 40),
    ("CISO", "WALC"): (-200, 150),
    ("NYIS", "HQT"): (-900, 300),
    ("NYIS", "PJM"): (-900, 450),
    ("PJM", "MISO"): (300, 900),
    ("MISO", "SWPP"): (200, 600),
    ("ERCO", "SWPP"): (-150, 250),
}
"""The connections: mean flow from the first authority to the second and its spread, MW."""


@lru_cache(maxsize=256)
def find_authority(authority_code: str) -> Authority:
    """Returns the authority `authority_code`; an unknown one gets its size and location from its name, large enough for
    its ties."""
    if authority_code in AUTHORITIES:
        return AUTHORITIES[authority_code]
    size, latitude, longitude, *fuel_draws = _hash_uniform(
        _hash_key(0, "authority", authority_code), np.arange(3 + len(FUELS))
    ).tolist()
    tie_capacity = sum(
        abs(mean) + spread for connection, (mean, spread) in TIES.items() if authority_code in connection
    )
    demand = max(round(10 ** (2.7 + 1.4 * size), -1), 4 * tie_capacity)
    load_centre = LoadCentre(authority_code.lower(), round(30 + 16 * latitude, 2), round(-122 + 47 * longitude, 2), 1.0)
    zones = {-114: "America/Los_Angeles", -100: "America/Denver", -86: "America/Chicago", 0: "America/New_York"}
    typical_shares = {"coal": 0.3, "natural_gas": 1.3, "nuclear": 0.15, "petroleum": 0.3, "solar": 0.2}
    typical_shares |= {"hydro": 0.25, "wind": 0.3, "other": 0.05}
    return Authority(
        authority_code,
        next(zone for east, zone in zones.items() if load_centre.longitude <= east),
        demand,
        rooftop=round(0.06 * demand),
        capacity={
            fuel: round(demand * typical_shares[fuel] * (0.5 + draw))
            for fuel, draw in zip(FUELS, fuel_draws, strict=True)
        },
        places=(load_centre,),
        zones={},
    )


@dataclass(frozen=True, slots=True)
class Weather:
    """The weather, arrays (P, T) of points or (T,) of an authority: °C, cloud cover 0–1, wind in m/s at 10 m and
    degrees, W/m² on the ground, mm/h, hPa. `sun` is the sine of its elevation, 0 at night."""

    temperature: Values
    dew_point: Values
    cloud: Values
    wind: Values
    direction: Values
    sun: Values
    irradiance: Values
    rain: Values
    pressure: Values

    @property
    def direct(self) -> Values:
        """Direct solar radiation on the ground, W/m²."""
        return self.irradiance * (1 - self.cloud) ** 1.2 * 0.85

    @property
    def humidity(self) -> Values:
        """Relative humidity in %, by the Magnus formula."""
        return np.clip(100 * _vapour_pressure(self.dew_point) / _vapour_pressure(self.temperature), 1, 100)

    @property
    def apparent(self) -> Values:
        """Apparent temperature in °C, after Steadman."""
        vapour = 6.105 * self.humidity / 100 * _vapour_pressure(self.temperature)
        return self.temperature + 0.33 * vapour - 0.7 * self.wind - 4


@dataclass(frozen=True, slots=True)
class Measure:
    """A weather variable as Open-Meteo names it: unit, decimals, and whether it covers the hour before its label
    instead of the moment."""

    unit: str
    decimals: int
    preceding: bool
    of: Callable[[Weather], Values]


WEATHER: Mapping[str, Measure] = {
    "temperature_2m": Measure("°C", 1, False, lambda weather: weather.temperature),
    "apparent_temperature": Measure("°C", 1, False, lambda weather: weather.apparent),
    "dew_point_2m": Measure("°C", 1, False, lambda weather: weather.dew_point),
    "relative_humidity_2m": Measure("%", 0, False, lambda weather: weather.humidity),
    "cloud_cover": Measure("%", 0, False, lambda weather: 100 * weather.cloud),
    "pressure_msl": Measure("hPa", 1, False, lambda weather: weather.pressure),
    "surface_pressure": Measure("hPa", 1, False, lambda weather: weather.pressure - 5),
    "wind_speed_10m": Measure("km/h", 1, False, lambda weather: 3.6 * weather.wind),
    "wind_speed_100m": Measure("km/h", 1, False, lambda weather: 3.6 * 1.6 * weather.wind),
    "wind_gusts_10m": Measure("km/h", 1, False, lambda weather: 3.6 * 1.9 * weather.wind),
    "wind_direction_10m": Measure("°", 0, False, lambda weather: weather.direction),
    "shortwave_radiation": Measure("W/m²", 1, True, lambda weather: weather.irradiance),
    "direct_radiation": Measure("W/m²", 1, True, lambda weather: weather.direct),
    "diffuse_radiation": Measure("W/m²", 1, True, lambda weather: weather.irradiance - weather.direct),
    "direct_normal_irradiance": Measure(
        "W/m²", 1, True, lambda weather: weather.direct / np.maximum(weather.sun, 0.05)
    ),
    "precipitation": Measure("mm", 1, True, lambda weather: weather.rain),
    "rain": Measure("mm", 1, True, lambda weather: np.where(weather.temperature > 0.5, weather.rain, 0.0)),
    "snowfall": Measure("cm", 2, True, lambda weather: np.where(weather.temperature > 0.5, 0.0, 0.7 * weather.rain)),
}


@dataclass(frozen=True, slots=True)
class GridState:
    """The state of an authority at instants, MW: demand + Σ exports = Σ generation.

    `pumping` is the load of storage, in addition to demand; `rooftop` is the generation behind customers' meters;
    `spilled` is the curtailed share of solar and wind, 0–1.
    """

    demand: Values
    rooftop: Values
    pumping: Values
    generation: Mapping[str, Values]
    exports: Mapping[str, Values]
    spilled: Values

    @property
    def net_generation(self) -> Values:
        """The generation of all fuels, MW."""
        return np.asarray(sum(self.generation.values()))

    @property
    def net_interchange(self) -> Values:
        """Exports less imports, MW."""
        return sum(self.exports.values(), np.zeros_like(self.demand))

    def whole(self) -> GridState:
        """Returns the state rounded to whole MW and still balanced: natural gas takes the difference."""
        demand, exports = np.round(self.demand), {neighbour: np.round(flow) for neighbour, flow in self.exports.items()}
        generation = {fuel: np.round(output) for fuel, output in self.generation.items()}
        other_output = sum(
            (output for fuel, output in generation.items() if fuel != "natural_gas"), np.zeros_like(demand)
        )
        generation["natural_gas"] = demand + sum(exports.values(), np.zeros_like(demand)) - other_output
        return replace(self, demand=demand, exports=exports, generation=generation)


@dataclass(frozen=True, slots=True)
class Price:
    """A locational marginal price, USD/MWh: total = energy + congestion + loss."""

    total: Values
    energy: Values
    congestion: Values
    loss: Values


@dataclass(frozen=True, slots=True)
class Grid:
    """The simulated grid of a seed."""

    seed: int = 0

    def weather_at(
        self, latitude: Sequence[float], longitude: Sequence[float], times: Times, lead_hours: Values | float = 0
    ) -> Weather:
        """Returns the weather at points, as forecast `lead_hours` hours ahead (a number or shape (T,)): arrays (P,
        T)."""
        north, east = np.array(latitude, np.float64)[:, None], np.array(longitude, np.float64)[:, None]
        hours = _to_hours(times)
        noon = hours % 24 + east / 15 - 12
        afternoon = np.cos(2 * np.pi * (noon - 3) / 24)
        season = np.sin(2 * np.pi * (hours / 24 - 110) / 365.2425) * np.sign(north)  # 1 in midsummer
        fronts = self._draw_fronts(("cloud", "temperature", "wind"), north, east, hours, lead_hours)
        cloud = 1 / (1 + np.exp(-1.6 * fronts[0]))
        warmth = (6 - 3 * cloud) * afternoon
        temperature = 27 + (np.abs(north) - 25) * (0.75 * season - 0.9) + warmth + 4.2 * fronts[1]
        rain_noise, direction_noise = self._draw_noise(("rain",), hours, 3), self._draw_noise(("direction",), hours, 40)
        sun = _sun_elevation(north, hours, noon)
        return Weather(
            temperature=temperature,
            dew_point=temperature - np.maximum(0.3, 14 * (1 - cloud) + 0.5 * warmth),
            cloud=cloud,
            wind=4.2 * np.exp(0.45 * fronts[2]) * (1 + 0.12 * afternoon),
            direction=(250 + 80 * direction_noise + 0 * north) % 360,
            sun=sun,
            irradiance=1098 * sun * np.exp(-0.057 / np.maximum(sun, 0.01)) * (1 - 0.75 * cloud**3.4),
            rain=6 * np.maximum(0, cloud - 0.72) * np.maximum(0, 1.2 + rain_noise),
            pressure=1015 - 9 * (cloud - 0.5) - 5 * fronts[1],
        )

    def average_weather(self, authority_code: str, times: Times, lead_hours: Values | float = 0) -> Weather:
        """Returns the mean weather of the authority's load centres, weighted by their shares: arrays (T,)."""
        places = find_authority(authority_code).places
        weather = self.weather_at(
            [place.latitude for place in places], [place.longitude for place in places], times, lead_hours
        )
        shares = np.array([[place.share] for place in places])
        return Weather(**{field.name: (shares * getattr(weather, field.name)).sum(axis=0) for field in fields(Weather)})

    def state_at(self, authority_code: str, times: Times, lead_hours: Values | float = 0) -> GridState:
        """Returns the state of `authority_code` at `times`, as forecast `lead_hours` hours ahead."""
        region, hours, weather = (
            find_authority(authority_code),
            _to_hours(times),
            self.average_weather(authority_code, times, lead_hours),
        )
        local_hours = _to_hours(times + find_utc_offset(times, region.zone))
        demand_noise = self._draw_noise((f"{authority_code} demand", f"{authority_code} demand error"), hours, 7)
        flicker = self._draw_noise((f"{authority_code} flicker",), hours, 0.5)[0]
        rooftop = 0.0008 * region.rooftop * weather.irradiance
        demand_factor = (
            1 + 0.012 * demand_noise[0] + 0.003 * flicker + 0.02 * _error_share(lead_hours, 24) * demand_noise[1]
        )
        gross_demand = region.demand * _demand_factor(local_hours, weather.temperature) * demand_factor
        demand = np.maximum(gross_demand - rooftop, 0.25 * region.demand)
        exports = self.flows_out(authority_code, times)
        weather_driven = {
            "solar": 0.00085 * region.capacity.get("solar", 0) * weather.irradiance,
            "wind": region.capacity.get("wind", 0) * _wind_output(weather.wind),
        }
        supply_needed = demand + sum(exports.values(), np.zeros_like(hours))
        generation, spilled = _dispatch(
            region, supply_needed, self._run_steady_plants(region, hours, local_hours), weather_driven
        )
        night = np.clip(np.cos(2 * np.pi * (local_hours - 3.5) / 24) - 0.5, 0, 1)
        pumping = 12 + 0.35 * region.capacity.get("hydro", 0) * night * (1 + 0.2 * flicker)
        return GridState(demand, rooftop, pumping, generation, exports, spilled)

    def flows_out(self, authority_code: str, times: Times) -> dict[str, Values]:
        """Returns the flow from `authority_code` to each of its neighbours, MW; the neighbour has the negative."""
        hours, ties = _to_hours(times), [connection for connection in TIES if authority_code in connection]
        names = [">".join(connection) for connection in ties]
        noise = self._draw_noise(names, hours, 9) + self._draw_noise([f"{name} slow" for name in names], hours, 70)
        midday_peak = np.cos(2 * np.pi * (hours - 20) / 24)  # highest at midday in the west, where there is much solar
        flows = {}
        for (first, second), tie_noise in zip(ties, noise, strict=True):
            mean, spread = TIES[first, second]
            flow = mean + spread * (0.5 * tie_noise + 0.5 * midday_peak)
            flows[second if authority_code == first else first] = flow if authority_code == first else -flow
        return dict(sorted(flows.items()))

    def price_nodes(
        self, authority_code: str, nodes: Sequence[str], times: Times, market: Market, decimals: int = 2
    ) -> dict[str, Price]:
        """Returns the prices at `nodes` of the authority; day-ahead prices are those of the day-ahead forecast."""
        region, hours = find_authority(authority_code), _to_hours(times)
        lead_hours = count_day_ahead_lead(times, region.zone) if market == "day_ahead" else 0.0
        energy = self._price_energy(region, self.state_at(authority_code, times, lead_hours), hours)
        if market != "day_ahead":
            energy = energy + 2.5 * self._draw_noise((f"{authority_code} balancing",), hours, 0.7)[0]
            energy = energy + 90 * np.maximum(0, self._draw_noise((f"{authority_code} scarcity",), hours, 5)[0] - 1.4)
        if market == "real_time_preliminary":
            energy = energy + 0.3 * self._draw_noise((f"{authority_code} correction",), hours, 1)[0]
        energy = np.round(energy, decimals) + 0.0  # no -0
        strains = self._draw_noise(
            (f"{authority_code} strain", *(f"{authority_code} {node} strain" for node in nodes)), hours, 6
        )
        return {
            node: self._price_node(authority_code, node, energy, strains[0] + 0.3 * strain, decimals)
            for node, strain in zip(nodes, strains[1:], strict=True)
        }

    def _price_node(self, authority_code: str, node: str, energy: Values, strain: Values, decimals: int) -> Price:
        """Returns the price at a node, whose congestion and losses scale with factors of its own."""
        exposure, losses = _hash_uniform(_hash_key(self.seed, authority_code, node), np.arange(2)).tolist()
        congestion = 14 * (exposure - 0.4) * np.sign(strain) * np.maximum(0, np.abs(strain) - 1.2)
        congestion = np.round(congestion, decimals) + 0.0
        loss = np.round(energy * 0.06 * (losses - 0.5), decimals) + 0.0
        return Price(np.round(energy + congestion + loss, decimals) + 0.0, energy, congestion, loss)

    def publish_values(self, name: str, values: Values, ends: Times, now: datetime) -> Values:
        """Returns actual `values` of intervals with these ends as published at `now`: at first up to 2 % off, closer
        after each day, and final after `SETTLED_AFTER` hours."""
        revision_days = np.clip((_to_hours(to_times([now])) - _to_hours(ends)) // 24, 0, SETTLED_AFTER // 24)
        error = 2 * self.draw_uniform(f"{name} revision", ends + revision_days.astype(np.int64) * SECOND_STEP) - 1
        return values * (1 + 0.02 * (1 - revision_days * 24 / SETTLED_AFTER) * error)

    def draw_uniform(self, name: str, times: Times) -> Values:
        """Returns numbers in [0, 1), independent for each name and time."""
        return _hash_uniform(_hash_key(self.seed, name), times.astype("datetime64[s]").astype(np.int64))

    def _draw_noise(self, names: Sequence[str], hours: Values, step: float) -> Values:
        """Returns smooth noise for each of `names`, shape (names, T)."""
        keys = np.array([_hash_key(self.seed, name) for name in names], np.uint64)
        return _join_smoothly(_place_knots(keys, hours / step), hours / step)

    def _draw_fronts(
        self, kinds: tuple[str, ...], north: Values, east: Values, hours: Values, lead_hours: Values | float
    ) -> Values:
        """Returns weather systems, shape (kinds, P, T): smooth in time and space, with a variance of about 1.

        They drift east, two hours per degree, in bands of six degrees of latitude.
        """
        if np.any(lead_hours):
            truth, error = np.split(
                self._draw_fronts((*kinds, *(f"{kind} error" for kind in kinds)), north, east, hours, 0), 2
            )
            return truth + 0.9 * _error_share(lead_hours, 120) * error
        band = np.floor(north / 6)
        band_fraction = north / 6 - band
        fronts = np.zeros((len(kinds), len(north), len(hours)))
        for pace, step, weight in (("slow", 58, 0.95), ("fast", 8, 0.4)):
            steps = (hours - 2 * east) / step
            low, high = (
                _place_knots(
                    np.array(
                        [[_hash_key(self.seed, kind, pace, f"{b:.0f}") for b in row] for kind in kinds], np.uint64
                    ),
                    steps,
                )
                for row in (band[:, 0], band[:, 0] + 1)
            )
            fronts += weight * _join_smoothly(low + band_fraction * (high - low), steps)
        return fronts

    def _run_steady_plants(self, region: Authority, hours: Values, local_hours: Values) -> dict[str, Values]:
        """Returns the output, MW by fuel, that does not depend on the weather."""
        spring = np.cos(2 * np.pi * (hours / 24 - 130) / 365.2425)
        evening = np.cos(2 * np.pi * (local_hours - 19) / 24)
        coal, hydro, other_fuel = self._draw_noise(
            [f"{region.code} {fuel}" for fuel in ("coal", "hydro", "other")], hours, 60
        )
        share = {
            "coal": 0.4 + 0.1 * evening + 0.1 * coal,
            "nuclear": 0.94 + 0.03 * self._draw_noise((f"{region.code} nuclear",), hours, 400)[0],
            "hydro": 0.4 + 0.14 * spring + 0.1 * evening + 0.06 * hydro,
            "other": 0.8 + 0.05 * other_fuel,
        }
        return {fuel: region.capacity.get(fuel, 0) * fraction for fuel, fraction in share.items()}

    def _price_energy(self, region: Authority, state: GridState, hours: Values) -> Values:
        """Returns the gas price times the heat rate of the marginal unit; oil raises the price, curtailment makes it
        negative."""
        winter_factor = np.cos(2 * np.pi * (hours / 24 - 15) / 365.2425)
        gas_price = np.maximum(1.6, 3.6 + 1.1 * winter_factor + 0.9 * self._draw_noise(("gas price",), hours, 700)[0])
        gas_use = state.generation["natural_gas"] / region.capacity["natural_gas"]
        oil_use = state.generation.get("petroleum", np.zeros_like(hours)) / max(region.capacity.get("petroleum", 0), 1)
        surplus_discount = 28 * np.clip(0.12 - gas_use, 0, 0.12) / 0.12 + 45 * state.spilled
        price: Values = gas_price * (6.5 + 3 * gas_use + 7 * gas_use**4) + 180 * oil_use - surplus_discount
        return price


def to_times(times: list[datetime]) -> Times:
    """Converts aware datetimes to UTC `datetime64[s]`."""
    return np.array([moment.astimezone(UTC).replace(tzinfo=None) for moment in times], "datetime64[s]")


def list_interval_starts(start: datetime, end: datetime, step: timedelta) -> Times:
    """Returns the multiples of `step` since 1970 in [start, end), UTC: the starts of intervals of that length."""
    start_time, end_time = to_times([start, end])
    step_seconds = int(step.total_seconds())
    step_numbers = np.arange(
        -(-start_time.astype(np.int64) // step_seconds), -(-end_time.astype(np.int64) // step_seconds)
    )
    return (step_numbers * step_seconds).astype("datetime64[s]")


def find_utc_offset(times: Times, zone: str) -> NDArray[np.timedelta64]:
    """Returns the offset of local time in `zone` from UTC at `times`, shape (T,)."""
    days, position = np.unique(times.astype("datetime64[D]"), return_inverse=True)
    offset_before, offset_after = _zone_offsets(days, zone), _zone_offsets(days + 1, zone)
    offsets = offset_before[position]
    for day in days[offset_before != offset_after]:
        is_in_day = times.astype("datetime64[D]") == day
        offsets[is_in_day] = _zone_offsets(times[is_in_day].astype("datetime64[h]"), zone)
    return offsets


def _zone_offsets(times: Times, zone: str) -> NDArray[np.timedelta64]:
    clock = ZoneInfo(zone)
    seconds = times.astype("datetime64[s]").astype(np.int64).tolist()
    return np.array([datetime.fromtimestamp(second, clock).utcoffset() for second in seconds], "timedelta64[s]")


def find_day_ahead_issue(times: Times, zone: str) -> Times:
    """Returns when the day-ahead forecast for each time is made: 10:00 local on the day before, in UTC."""
    days, position = np.unique((times + find_utc_offset(times, zone)).astype("datetime64[D]"), return_inverse=True)
    time_zone = ZoneInfo(zone)
    issue_times = [datetime.combine(day, datetime.min.time(), time_zone) - timedelta(hours=14) for day in days.tolist()]
    return to_times(issue_times)[position]


def count_day_ahead_lead(times: Times, zone: str) -> Values:
    """Returns the hours from the day-ahead forecast to the time that it is for: 14 to 38, an hour off at clock
    changes."""
    return _to_hours(times) - _to_hours(find_day_ahead_issue(times, zone))


def _dispatch(
    region: Authority, supply_needed: Values, steady: dict[str, Values], weather_driven: dict[str, Values]
) -> tuple[dict[str, Values], Values]:
    """Returns the output by fuel, MW, that sums to `supply_needed`, and the curtailed share of solar and wind.

    Gas never goes below a floor; steady plants are reduced only if there is no other room.
    """
    floor = 0.02 * region.capacity["natural_gas"]
    kept_share = np.clip((supply_needed - floor) / np.maximum(sum(steady.values()), 1), 0, 1)
    steady = {fuel: output * kept_share for fuel, output in steady.items()}
    remaining_need = supply_needed - floor - sum(steady.values())
    offered = np.maximum(sum(weather_driven.values()), 1e-9)
    used_share = np.clip(remaining_need / offered, 0, 1)
    weather_driven = {fuel: output * used_share for fuel, output in weather_driven.items()}
    residual = supply_needed - sum(steady.values()) - sum(weather_driven.values())
    oil_output = np.clip(residual - 0.78 * region.capacity["natural_gas"], 0, region.capacity.get("petroleum", 0))
    generation = {**steady, **weather_driven, "petroleum": oil_output, "natural_gas": residual - oil_output}
    return {fuel: generation[fuel] for fuel in region.fuels}, np.where(offered > 1, 1 - used_share, 0.0)


_DAY = np.array(
    [6, 2, 0, 0, 2, 8, 20, 32, 38, 40, 41, 42, 42, 42, 42, 44, 48, 54, 56, 52, 46, 36, 24, 13, 6], np.float64
)


def _demand_factor(local_hours: Values, warmth: Values) -> Values:
    """Returns demand over its mean, from local hours since 1970 and °C: daily and weekly patterns, heating and
    cooling."""
    day_pattern = np.interp(local_hours % 24, np.arange(25), _DAY) / 100
    is_weekend = np.isin(local_hours // 24 % 7, (2, 3))  # 1970-01-01 was a Thursday
    growth = 1 + 0.004 * (local_hours / 8766 - 49)
    weather_factor = 0.009 * np.maximum(0, 14 - warmth) + 0.03 * np.maximum(0, warmth - 21)
    factor: Values = growth * (0.7 + day_pattern * np.where(is_weekend, 0.86, 1) + weather_factor)
    return factor


def _wind_output(wind: Values) -> Values:
    """Returns output over capacity from m/s at 10 m: cubic between 3 and 12 m/s at the hub."""
    output: Values = np.clip(((1.7 * wind) ** 3 - 27) / (1728 - 27), 0, 1)
    return output


def _sun_elevation(north: Values, hours: Values, noon: Values) -> Values:
    """Returns the sine of the sun's elevation, 0 at night, `noon` hours after solar noon."""
    declination = np.radians(-23.44) * np.cos(2 * np.pi * (hours / 24 + 10) / 365.2425)
    latitude = np.radians(north)
    height: Values = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(
        np.pi * noon / 12
    )
    return np.maximum(0, height)


def _vapour_pressure(celsius: Values) -> Values:
    return np.exp(17.27 * celsius / (237.3 + celsius))


def _error_share(lead_hours: Values | float, scale: float) -> Values:
    """Returns the error share of a forecast, from 0 now to 1 far ahead."""
    return 1 - np.exp(-np.asarray(lead_hours, np.float64) / scale)


def _to_hours(times: Times) -> Values:
    return (times - np.datetime64(0, "s")) / HOUR_STEP


@lru_cache(maxsize=8192)
def _hash_key(seed: int, *names: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/{'/'.join(names)}".encode(), digest_size=8).digest(), "little")


def _hash_uniform(key: int | NDArray[np.uint64], numbers: NDArray[np.int64]) -> Values:
    """Returns numbers in [0, 1) by SplitMix64 of key and number, all independent."""
    hashed = (np.asarray(numbers).astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        hashed = (hashed ^ (hashed >> np.uint64(shift))) * np.uint64(factor)
    return ((hashed ^ (hashed >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _place_knots(keys: NDArray[np.uint64], steps: Values) -> Values:
    """Returns independent values of unit variance, within ±√3, at the whole numbers around `steps`: (keys…, W)."""
    if not steps.size:
        return np.zeros((*keys.shape, 2))
    numbers = np.arange(np.floor(steps.min()), np.floor(steps.max()) + 2).astype(np.int64)
    return math.sqrt(12) * (_hash_uniform(keys[..., None], numbers) - 0.5)


def _join_smoothly(knots: Values, steps: Values) -> Values:
    """Joins `knots` smoothly by 3f² − 2f³ at `steps`, which broadcasts to (keys…, T)."""
    whole_steps = np.floor(steps)
    offset = (whole_steps - whole_steps.min(initial=np.inf)).astype(np.int64)
    fraction = steps - whole_steps
    offset = offset[(None,) * (knots.ndim - offset.ndim)]
    start, stop = (np.take_along_axis(knots, offset + step, axis=-1) for step in (0, 1))
    blend: Values = start + fraction * fraction * (3 - 2 * fraction) * (stop - start)
    return blend
