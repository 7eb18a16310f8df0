"""A simulated power grid, deterministic by seed: weather, demand, fuels, interchange and prices.

    weather ──> demand ──┐
       ├──────> solar ───┤── dispatch ──> natural gas, oil ──> price
       └──────> wind ────┘        (demand + exports = generation)

Every value is a pure function of seed, name and time, made of hashed noise knots, so it never
depends on which period was asked. A forecast is the same grid under the weather as it is foreseen
`lead` hours ahead: its error is zero at lead 0 and grows with it.

Times are `datetime64[s]` arrays, UTC, shape (T,); results are float64 of the same shape. What an
interval's value is, is the grid's state at the middle of it.
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
SECOND, HOUR = np.timedelta64(1, "s"), np.timedelta64(3600, "s")
SETTLES = 72
"""Hours until a published actual value is revised no more."""


@dataclass(frozen=True, slots=True)
class Place:
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
    places: tuple[Place, ...]
    zones: Mapping[str, float]

    @property
    def fuels(self) -> tuple[str, ...]:
        """The fuels it has."""
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
        Place("boston", 42.36, -71.06, 0.34),
        Place("hartford", 41.77, -72.67, 0.26),
        Place("providence", 41.82, -71.41, 0.12),
        Place("worcester", 42.26, -71.80, 0.14),
        Place("portland", 43.66, -70.26, 0.14),
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
        Place("los_angeles", 34.05, -118.24, 0.40),
        Place("san_diego", 32.72, -117.16, 0.10),
        Place("fresno", 36.74, -119.79, 0.14),
        Place("san_jose", 37.34, -121.89, 0.22),
        Place("sacramento", 38.58, -121.49, 0.14),
    ),
    zones={"PGAE": 0.44, "SCE": 0.46, "SDGE": 0.09, "VEA": 0.01},
)
KNOWN = {known.code: known for known in (NEW_ENGLAND, CALIFORNIA)}

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
"""Who is connected to whom: mean flow from the first to the second and its spread, MW."""


@lru_cache(maxsize=256)
def authority(code: str) -> Authority:
    """The authority called `code`; one that is not known gets its size and place from its name, large
    enough for its ties."""
    if code in KNOWN:
        return KNOWN[code]
    size, latitude, longitude, *mix = _uniform(_key(0, "authority", code), np.arange(3 + len(FUELS))).tolist()
    ties = sum(abs(mean) + spread for tie, (mean, spread) in TIES.items() if code in tie)
    demand = max(round(10 ** (2.7 + 1.4 * size), -1), 4 * ties)
    place = Place(code.lower(), round(30 + 16 * latitude, 2), round(-122 + 47 * longitude, 2), 1.0)
    zones = {-114: "America/Los_Angeles", -100: "America/Denver", -86: "America/Chicago", 0: "America/New_York"}
    typical = {"coal": 0.3, "natural_gas": 1.3, "nuclear": 0.15, "petroleum": 0.3, "solar": 0.2}
    typical |= {"hydro": 0.25, "wind": 0.3, "other": 0.05}
    return Authority(
        code,
        next(zone for east, zone in zones.items() if place.longitude <= east),
        demand,
        rooftop=round(0.06 * demand),
        capacity={fuel: round(demand * typical[fuel] * (0.5 + u)) for fuel, u in zip(FUELS, mix, strict=True)},
        places=(place,),
        zones={},
    )


@dataclass(frozen=True, slots=True)
class Sky:
    """The weather, arrays (P, T) of points or (T,) of an authority: °C, cloud cover 0–1, wind in m/s
    at 10 m and degrees, W/m² on the ground, mm/h, hPa. `sun` is the sine of its elevation, 0 at night."""

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
        """Radiation straight from the sun on the ground, W/m²."""
        return self.irradiance * (1 - self.cloud) ** 1.2 * 0.85

    @property
    def humidity(self) -> Values:
        """Relative humidity in %, by Magnus' formula."""
        return np.clip(100 * _vapour(self.dew_point) / _vapour(self.temperature), 1, 100)

    @property
    def apparent(self) -> Values:
        """Felt temperature in °C, after Steadman."""
        vapour = 6.105 * self.humidity / 100 * _vapour(self.temperature)
        return self.temperature + 0.33 * vapour - 0.7 * self.wind - 4


@dataclass(frozen=True, slots=True)
class Measure:
    """A weather variable as Open-Meteo names it: unit, decimals, and whether it stands for the
    hour before its label (else for the moment)."""

    unit: str
    decimals: int
    preceding: bool
    of: Callable[[Sky], Values]


WEATHER: Mapping[str, Measure] = {
    "temperature_2m": Measure("°C", 1, False, lambda sky: sky.temperature),
    "apparent_temperature": Measure("°C", 1, False, lambda sky: sky.apparent),
    "dew_point_2m": Measure("°C", 1, False, lambda sky: sky.dew_point),
    "relative_humidity_2m": Measure("%", 0, False, lambda sky: sky.humidity),
    "cloud_cover": Measure("%", 0, False, lambda sky: 100 * sky.cloud),
    "pressure_msl": Measure("hPa", 1, False, lambda sky: sky.pressure),
    "surface_pressure": Measure("hPa", 1, False, lambda sky: sky.pressure - 5),
    "wind_speed_10m": Measure("km/h", 1, False, lambda sky: 3.6 * sky.wind),
    "wind_speed_100m": Measure("km/h", 1, False, lambda sky: 3.6 * 1.6 * sky.wind),
    "wind_gusts_10m": Measure("km/h", 1, False, lambda sky: 3.6 * 1.9 * sky.wind),
    "wind_direction_10m": Measure("°", 0, False, lambda sky: sky.direction),
    "shortwave_radiation": Measure("W/m²", 1, True, lambda sky: sky.irradiance),
    "direct_radiation": Measure("W/m²", 1, True, lambda sky: sky.direct),
    "diffuse_radiation": Measure("W/m²", 1, True, lambda sky: sky.irradiance - sky.direct),
    "direct_normal_irradiance": Measure("W/m²", 1, True, lambda sky: sky.direct / np.maximum(sky.sun, 0.05)),
    "precipitation": Measure("mm", 1, True, lambda sky: sky.rain),
    "rain": Measure("mm", 1, True, lambda sky: np.where(sky.temperature > 0.5, sky.rain, 0.0)),
    "snowfall": Measure("cm", 2, True, lambda sky: np.where(sky.temperature > 0.5, 0.0, 0.7 * sky.rain)),
}


@dataclass(frozen=True, slots=True)
class State:
    """An authority at instants, MW: demand + Σ exports = Σ generation.

    `pumping` is what storage takes beside the demand, `rooftop` what customers make behind their
    meters, `spilled` the share of solar and wind that found no use, 0–1.
    """

    demand: Values
    rooftop: Values
    pumping: Values
    generation: Mapping[str, Values]
    exports: Mapping[str, Values]
    spilled: Values

    @property
    def net_generation(self) -> Values:
        """All fuels together, MW."""
        return np.asarray(sum(self.generation.values()))

    @property
    def net_interchange(self) -> Values:
        """What flows out less what flows in, MW."""
        return sum(self.exports.values(), np.zeros_like(self.demand))

    def whole(self) -> State:
        """Rounded to whole MW and balanced still: natural gas takes the difference."""
        demand, exports = np.round(self.demand), {to: np.round(flow) for to, flow in self.exports.items()}
        generation = {fuel: np.round(output) for fuel, output in self.generation.items()}
        others = sum((output for fuel, output in generation.items() if fuel != "natural_gas"), np.zeros_like(demand))
        generation["natural_gas"] = demand + sum(exports.values(), np.zeros_like(demand)) - others
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
    """The simulated grid of one seed."""

    seed: int = 0

    def sky(self, latitude: Sequence[float], longitude: Sequence[float], times: Times, lead: Values | float = 0) -> Sky:
        """The weather at points, as foreseen `lead` hours ahead (a number or shape (T,)): arrays (P, T)."""
        north, east = np.array(latitude, np.float64)[:, None], np.array(longitude, np.float64)[:, None]
        hours = _hours(times)
        noon = hours % 24 + east / 15 - 12
        afternoon = np.cos(2 * np.pi * (noon - 3) / 24)
        season = np.sin(2 * np.pi * (hours / 24 - 110) / 365.2425) * np.sign(north)  # 1 in midsummer
        fronts = self._fronts(("cloud", "temperature", "wind"), north, east, hours, lead)
        cloud = 1 / (1 + np.exp(-1.6 * fronts[0]))
        warmth = (6 - 3 * cloud) * afternoon
        temperature = 27 + (np.abs(north) - 25) * (0.75 * season - 0.9) + warmth + 4.2 * fronts[1]
        shower, turn = self._noises(("rain",), hours, 3), self._noises(("direction",), hours, 40)
        sun = _sun(north, hours, noon)
        return Sky(
            temperature=temperature,
            dew_point=temperature - np.maximum(0.3, 14 * (1 - cloud) + 0.5 * warmth),
            cloud=cloud,
            wind=4.2 * np.exp(0.45 * fronts[2]) * (1 + 0.12 * afternoon),
            direction=(250 + 80 * turn + 0 * north) % 360,
            sun=sun,
            irradiance=1098 * sun * np.exp(-0.057 / np.maximum(sun, 0.01)) * (1 - 0.75 * cloud**3.4),
            rain=6 * np.maximum(0, cloud - 0.72) * np.maximum(0, 1.2 + shower),
            pressure=1015 - 9 * (cloud - 0.5) - 5 * fronts[1],
        )

    def climate(self, code: str, times: Times, lead: Values | float = 0) -> Sky:
        """The weather that the authority's load centres have between them, by their shares: arrays (T,)."""
        places = authority(code).places
        sky = self.sky([place.latitude for place in places], [place.longitude for place in places], times, lead)
        share = np.array([[place.share] for place in places])
        return Sky(**{field.name: (share * getattr(sky, field.name)).sum(axis=0) for field in fields(Sky)})

    def state(self, code: str, times: Times, lead: Values | float = 0) -> State:
        """The authority `code` at `times`, as foreseen `lead` hours ahead."""
        known, hours, sky = authority(code), _hours(times), self.climate(code, times, lead)
        local = _hours(times + utc_offset(times, known.zone))
        whims = self._noises((f"{code} demand", f"{code} demand error"), hours, 7)
        flicker = self._noises((f"{code} flicker",), hours, 0.5)[0]
        rooftop = 0.0008 * known.rooftop * sky.irradiance
        whim = 1 + 0.012 * whims[0] + 0.003 * flicker + 0.02 * _blur(lead, 24) * whims[1]
        gross = known.demand * _appetite(local, sky.temperature) * whim
        demand = np.maximum(gross - rooftop, 0.25 * known.demand)
        exports = self.exports(code, times)
        free = {
            "solar": 0.00085 * known.capacity.get("solar", 0) * sky.irradiance,
            "wind": known.capacity.get("wind", 0) * _turbine(sky.wind),
        }
        needed = demand + sum(exports.values(), np.zeros_like(hours))
        generation, spilled = _dispatch(known, needed, self._steady(known, hours, local), free)
        night = np.clip(np.cos(2 * np.pi * (local - 3.5) / 24) - 0.5, 0, 1)
        pumping = 12 + 0.35 * known.capacity.get("hydro", 0) * night * (1 + 0.2 * flicker)
        return State(demand, rooftop, pumping, generation, exports, spilled)

    def exports(self, code: str, times: Times) -> dict[str, Values]:
        """What flows from `code` to each of its neighbours, MW; the neighbour sees the negative."""
        hours, ties = _hours(times), [tie for tie in TIES if code in tie]
        names = [">".join(tie) for tie in ties]
        noise = self._noises(names, hours, 9) + self._noises([f"{name} slow" for name in names], hours, 70)
        day = np.cos(2 * np.pi * (hours - 20) / 24)  # most at midday in the west, where solar is plenty
        flows = {}
        for (first, second), bump in zip(ties, noise, strict=True):
            mean, spread = TIES[first, second]
            flow = mean + spread * (0.5 * bump + 0.5 * day)
            flows[second if code == first else first] = flow if code == first else -flow
        return dict(sorted(flows.items()))

    def prices(
        self, code: str, nodes: Sequence[str], times: Times, market: Market, decimals: int = 2
    ) -> dict[str, Price]:
        """The prices at `nodes` of the authority; day-ahead ones come from the day-ahead forecast."""
        known, hours = authority(code), _hours(times)
        lead = day_ahead_lead(times, known.zone) if market == "day_ahead" else 0.0
        energy = self._energy_price(known, self.state(code, times, lead), hours)
        if market != "day_ahead":
            energy = energy + 2.5 * self._noises((f"{code} balancing",), hours, 0.7)[0]
            energy = energy + 90 * np.maximum(0, self._noises((f"{code} scarcity",), hours, 5)[0] - 1.4)
        if market == "real_time_preliminary":
            energy = energy + 0.3 * self._noises((f"{code} correction",), hours, 1)[0]
        energy = np.round(energy, decimals) + 0.0  # no -0
        strains = self._noises((f"{code} strain", *(f"{code} {node} strain" for node in nodes)), hours, 6)
        return {
            node: self._price(code, node, energy, strains[0] + 0.3 * strain, decimals)
            for node, strain in zip(nodes, strains[1:], strict=True)
        }

    def _price(self, code: str, node: str, energy: Values, strain: Values, decimals: int) -> Price:
        """The price at a node that feels the network's strain and its losses in its own measure."""
        exposure, losses = _uniform(_key(self.seed, code, node), np.arange(2)).tolist()
        congestion = 14 * (exposure - 0.4) * np.sign(strain) * np.maximum(0, np.abs(strain) - 1.2)
        congestion = np.round(congestion, decimals) + 0.0
        loss = np.round(energy * 0.06 * (losses - 0.5), decimals) + 0.0
        return Price(np.round(energy + congestion + loss, decimals) + 0.0, energy, congestion, loss)

    def as_seen(self, name: str, values: Values, ends: Times, now: datetime) -> Values:
        """Actual `values` of intervals with these ends as they are published at `now`: up to 2 % off
        at first, nearer after each day, and what they stay after `SETTLES` hours."""
        stage = np.clip((_hours(moments([now])) - _hours(ends)) // 24, 0, SETTLES // 24)
        error = 2 * self.chance(f"{name} revision", ends + stage.astype(np.int64) * SECOND) - 1
        return values * (1 + 0.02 * (1 - stage * 24 / SETTLES) * error)

    def chance(self, name: str, times: Times) -> Values:
        """Numbers in [0, 1), independent for each name and time."""
        return _uniform(_key(self.seed, name), times.astype("datetime64[s]").astype(np.int64))

    def _noises(self, names: Sequence[str], hours: Values, step: float) -> Values:
        """Smooth noise for each of `names`, shape (names, T)."""
        keys = np.array([_key(self.seed, name) for name in names], np.uint64)
        return _joined(_knots(keys, hours / step), hours / step)

    def _fronts(
        self, kinds: tuple[str, ...], north: Values, east: Values, hours: Values, lead: Values | float
    ) -> Values:
        """Weather systems, shape (kinds, P, T): smooth in time and space, variance about 1.

        They drift east, two hours a degree, in bands of six degrees of latitude.
        """
        if np.any(lead):
            truth, error = np.split(
                self._fronts((*kinds, *(f"{kind} error" for kind in kinds)), north, east, hours, 0), 2
            )
            return truth + 0.9 * _blur(lead, 120) * error
        band = np.floor(north / 6)
        near = north / 6 - band
        fronts = np.zeros((len(kinds), len(north), len(hours)))
        for pace, step, weight in (("slow", 58, 0.95), ("fast", 8, 0.4)):
            x = (hours - 2 * east) / step
            low, high = (
                _knots(np.array([[_key(self.seed, k, pace, f"{b:.0f}") for b in row] for k in kinds], np.uint64), x)
                for row in (band[:, 0], band[:, 0] + 1)
            )
            fronts += weight * _joined(low + near * (high - low), x)
        return fronts

    def _steady(self, known: Authority, hours: Values, local: Values) -> dict[str, Values]:
        """What runs whatever the weather, MW by fuel."""
        spring = np.cos(2 * np.pi * (hours / 24 - 130) / 365.2425)
        evening = np.cos(2 * np.pi * (local - 19) / 24)
        coal, hydro, other = self._noises([f"{known.code} {fuel}" for fuel in ("coal", "hydro", "other")], hours, 60)
        share = {
            "coal": 0.4 + 0.1 * evening + 0.1 * coal,
            "nuclear": 0.94 + 0.03 * self._noises((f"{known.code} nuclear",), hours, 400)[0],
            "hydro": 0.4 + 0.14 * spring + 0.1 * evening + 0.06 * hydro,
            "other": 0.8 + 0.05 * other,
        }
        return {fuel: known.capacity.get(fuel, 0) * part for fuel, part in share.items()}

    def _energy_price(self, known: Authority, state: State, hours: Values) -> Values:
        """Gas price times the heat rate of the marginal unit; oil is dear, spilling turns it negative."""
        winter = np.cos(2 * np.pi * (hours / 24 - 15) / 365.2425)
        gas = np.maximum(1.6, 3.6 + 1.1 * winter + 0.9 * self._noises(("gas price",), hours, 700)[0])
        used = state.generation["natural_gas"] / known.capacity["natural_gas"]
        oil = state.generation.get("petroleum", np.zeros_like(hours)) / max(known.capacity.get("petroleum", 0), 1)
        glut = 28 * np.clip(0.12 - used, 0, 0.12) / 0.12 + 45 * state.spilled
        price: Values = gas * (6.5 + 3 * used + 7 * used**4) + 180 * oil - glut
        return price


def moments(times: list[datetime]) -> Times:
    """Aware datetimes as UTC `datetime64[s]`."""
    return np.array([moment.astimezone(UTC).replace(tzinfo=None) for moment in times], "datetime64[s]")


def starts(start: datetime, end: datetime, step: timedelta) -> Times:
    """The multiples of `step` since 1970 in [start, end), UTC: where intervals of that length start."""
    first, last = moments([start, end])
    length = int(step.total_seconds())
    number = np.arange(-(-first.astype(np.int64) // length), -(-last.astype(np.int64) // length))
    return (number * length).astype("datetime64[s]")


def utc_offset(times: Times, zone: str) -> NDArray[np.timedelta64]:
    """What to add to UTC `times` for the local clock of `zone`, shape (T,)."""
    days, place = np.unique(times.astype("datetime64[D]"), return_inverse=True)
    before, after = _offsets(days, zone), _offsets(days + 1, zone)
    offset = before[place]
    for day in days[before != after]:
        within = times.astype("datetime64[D]") == day
        offset[within] = _offsets(times[within].astype("datetime64[h]"), zone)
    return offset


def _offsets(times: Times, zone: str) -> NDArray[np.timedelta64]:
    clock = ZoneInfo(zone)
    seconds = times.astype("datetime64[s]").astype(np.int64).tolist()
    return np.array([datetime.fromtimestamp(second, clock).utcoffset() for second in seconds], "timedelta64[s]")


def day_ahead_issue(times: Times, zone: str) -> Times:
    """When the day-ahead forecast of each time is made: 10:00 local on the day before, as UTC."""
    days, place = np.unique((times + utc_offset(times, zone)).astype("datetime64[D]"), return_inverse=True)
    clock = ZoneInfo(zone)
    eves = [datetime.combine(day, datetime.min.time(), clock) - timedelta(hours=14) for day in days.tolist()]
    return moments(eves)[place]


def day_ahead_lead(times: Times, zone: str) -> Values:
    """Hours from the day-ahead forecast to the time it is for: 14 to 38, an hour off at clock changes."""
    return _hours(times) - _hours(day_ahead_issue(times, zone))


def _dispatch(
    known: Authority, needed: Values, steady: dict[str, Values], free: dict[str, Values]
) -> tuple[dict[str, Values], Values]:
    """Output by fuel, MW, that sums to `needed`, and the share of solar and wind spilled.

    Gas never goes below a floor; steady plants give way only when there is no other room.
    """
    floor = 0.02 * known.capacity["natural_gas"]
    keep = np.clip((needed - floor) / np.maximum(sum(steady.values()), 1), 0, 1)
    steady = {fuel: output * keep for fuel, output in steady.items()}
    room = needed - floor - sum(steady.values())
    offered = np.maximum(sum(free.values()), 1e-9)
    used = np.clip(room / offered, 0, 1)
    free = {fuel: output * used for fuel, output in free.items()}
    rest = needed - sum(steady.values()) - sum(free.values())
    oil = np.clip(rest - 0.78 * known.capacity["natural_gas"], 0, known.capacity.get("petroleum", 0))
    generation = {**steady, **free, "petroleum": oil, "natural_gas": rest - oil}
    return {fuel: generation[fuel] for fuel in known.fuels}, np.where(offered > 1, 1 - used, 0.0)


_DAY = np.array(
    [6, 2, 0, 0, 2, 8, 20, 32, 38, 40, 41, 42, 42, 42, 42, 44, 48, 54, 56, 52, 46, 36, 24, 13, 6], np.float64
)


def _appetite(local: Values, warmth: Values) -> Values:
    """Demand over its mean from local hours since 1970 and °C: people's day, week, heating and cooling."""
    day = np.interp(local % 24, np.arange(25), _DAY) / 100
    weekend = np.isin(local // 24 % 7, (2, 3))  # 1970-01-01 was a Thursday
    growth = 1 + 0.004 * (local / 8766 - 49)
    climate = 0.009 * np.maximum(0, 14 - warmth) + 0.03 * np.maximum(0, warmth - 21)
    appetite: Values = growth * (0.7 + day * np.where(weekend, 0.86, 1) + climate)
    return appetite


def _turbine(wind: Values) -> Values:
    """Output over capacity from m/s at 10 m: cubic between 3 and 12 m/s at the hub."""
    output: Values = np.clip(((1.7 * wind) ** 3 - 27) / (1728 - 27), 0, 1)
    return output


def _sun(north: Values, hours: Values, noon: Values) -> Values:
    """The sine of the sun's elevation, 0 at night, `noon` hours after solar noon."""
    tilt = np.radians(-23.44) * np.cos(2 * np.pi * (hours / 24 + 10) / 365.2425)
    phi = np.radians(north)
    height: Values = np.sin(phi) * np.sin(tilt) + np.cos(phi) * np.cos(tilt) * np.cos(np.pi * noon / 12)
    return np.maximum(0, height)


def _vapour(celsius: Values) -> Values:
    return np.exp(17.27 * celsius / (237.3 + celsius))


def _blur(lead: Values | float, scale: float) -> Values:
    """How much of a forecast is error, 0 now to 1 far ahead."""
    return 1 - np.exp(-np.asarray(lead, np.float64) / scale)


def _hours(times: Times) -> Values:
    return (times - np.datetime64(0, "s")) / HOUR


@lru_cache(maxsize=8192)
def _key(seed: int, *names: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/{'/'.join(names)}".encode(), digest_size=8).digest(), "little")


def _uniform(key: int | NDArray[np.uint64], numbers: NDArray[np.int64]) -> Values:
    """[0, 1) by SplitMix64 of key and number: each independent of all others."""
    mixed = (np.asarray(numbers).astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _knots(keys: NDArray[np.uint64], x: Values) -> Values:
    """Independent values of unit variance, within ±√3, at the whole numbers about `x`: (keys…, W)."""
    if not x.size:
        return np.zeros((*keys.shape, 2))
    numbers = np.arange(np.floor(x.min()), np.floor(x.max()) + 2).astype(np.int64)
    return math.sqrt(12) * (_uniform(keys[..., None], numbers) - 0.5)


def _joined(knots: Values, x: Values) -> Values:
    """`knots` smoothly joined by 3f² − 2f³ at `x`, which broadcasts to (keys…, T)."""
    whole = np.floor(x)
    left = (whole - whole.min(initial=np.inf)).astype(np.int64)
    part = x - whole
    left = left[(None,) * (knots.ndim - left.ndim)]
    start, stop = (np.take_along_axis(knots, left + step, axis=-1) for step in (0, 1))
    joined: Values = start + part * part * (3 - 2 * part) * (stop - start)
    return joined
