"""What is made of the columns as they were known: calendar, lags, rolling statistics, and what grids are judged by.

Pure and causal. Every function takes and gives (columns, T) or (T,) arrays with NaN where nothing is
known, and row `t` of what it gives depends on rows up to `t` alone, to the bit: nothing is centred or
scaled by what comes later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from gridtide.hourly import HOUR, local_times, microseconds
from gridtide.periods import Period
from gridtide.spec import Features, Location

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.floating]
N = TypeVar("N", bound=Numbers)
Mask = npt.NDArray[np.bool_]

STATISTICS = ("mean", "std", "min", "max")

ABSENT = "this location has no such series"
"""The formula of a column that is there for another location's sake."""

PIECE = 8192
"""Rows that are rolled over at a time: they stay in the cache; twice as many do not, and take 1.8 times as long."""

CANCELLED = 1e-9
"""The share of its mean's square below which a variance has lost its digits as a difference of squares."""

FLOAT32 = float(np.finfo(np.float32).max)

RAMPS = (1, 3)
"""Hours over which changes are taken."""

COMFORT = {"°C": 18.0, "°F": 65.0}
"""Where neither heating nor cooling is needed."""

METRES_A_SECOND = {"m/s": 1.0, "km/h": 1 / 3.6, "mp/h": 0.44704, "kn": 0.514444}

LOADS = ("demand", "load", "load_five_minute")
"""What a place uses; the first that is there counts."""

LOAD_FORECASTS = ("demand_forecast_day_ahead", "load_forecast_day_ahead", "load_forecast")

RENEWABLE_FORECASTS = ("generation_wind_forecast_day_ahead", "generation_solar_forecast_day_ahead")

RENEWABLE = ("wind", "solar", "hydro", "geo", "wood", "refuse", "landfill_gas", "biomass")

SYSTEMS = {"iso_ne": ("32", "ISNE"), "caiso": ("CA ISO-TAC", "NP15", "SP15", "ZP26")}
"""The places of a market whose series are of one system, named differently by each of its products."""

PRICES = ("lmp_real_time", "lmp_real_time_preliminary", "lmp_five_minute")


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of a base: its name, unit, formula, and how many hours before its row it looks back.

    `series` is what it is made of, None for what is made of several or none, or where a location has no
    such series. A `lookback` below 0 is a value that was known ahead, about an hour after the row.
    `key` is the name without the place: what the columns of two locations have in common.
    """

    name: str
    unit: str
    formula: str
    lookback: int
    series: str | None
    key: str

    def then(self, suffix: str, formula: str, *, more: int = 0, unit: str = "") -> Feature:
        """What is made of this one by `formula`, looking back `more` hours further."""
        return replace(
            self,
            name=self.name + suffix,
            key=self.key + suffix,
            formula=formula,
            lookback=self.lookback + more,
            unit=unit or self.unit,
        )


@dataclass(frozen=True)
class Columns:
    """C columns over T rows: `features` (C), `values` (C, T), and `observed` (C, T), False where filled or missing.

    What is still to be worked on is float64, what is made of it float32, as bases hold it.
    """

    features: tuple[Feature, ...]
    values: Numbers
    observed: Mask

    def take(self, chosen: Sequence[bool] | Mask) -> Columns:
        """Those where `chosen` (C,)."""
        if all(chosen):
            return self
        kept = tuple(feature for feature, keep in zip(self.features, chosen, strict=True) if keep)
        where = np.asarray(chosen, bool)
        return Columns(kept, self.values[where], self.observed[where])


def aligned(places: Sequence[Columns]) -> list[Columns]:
    """The columns of each of `places`, which all have the same ones first, with those of the others between:
    all missing, called absent."""
    every = {feature.key: feature for place in places for feature in place.features}
    found = []
    for place in places:
        have = {feature.key: number for number, feature in enumerate(place.features)}
        if list(have) == list(every):
            found.append(place)
            continue
        values = np.full((len(every), place.values.shape[1]), np.nan, place.values.dtype)
        observed = np.zeros(values.shape, bool)
        features = []
        for row, (key, feature) in enumerate(every.items()):
            if key in have:
                values[row], observed[row] = place.values[have[key]], place.observed[have[key]]
                features.append(place.features[have[key]])
            else:
                features.append(replace(feature, name="absent", unit="", formula=ABSENT, series=None))
        found.append(Columns(tuple(features), values, observed))
    return found


def derive(inputs: Columns, period: Period, place: Location, asked: Features) -> Columns:
    """`inputs` over the rows of `period`, and what `asked` makes of them, by groups.

    Lags and rolling statistics are made of inputs that are not known ahead, but for the next hour's.
    """
    there = inputs.take([feature.series is not None for feature in inputs.features])
    past = there.take([f.lookback >= -1 and _any(f.series, asked.of) for f in there.features])
    parts = [_as_they_are(inputs)]
    if asked.power:
        parts.append(_as_they_are(of_power(there)))
    if asked.prices:
        parts.append(_as_they_are(of_prices(there)))
    if asked.weather:
        parts.append(_as_they_are(of_weather(there, period, place.timezone)))
    parts += [_lag(past, hours) for hours in asked.lags]
    if asked.rolling:
        parts.append(_statistics(past, asked.rolling, asked.statistics))
    if asked.calendar:
        parts.append(_as_they_are(of_calendar(period, place.timezone, place.holidays)))
    return _written(parts, inputs.values.shape[1])


_Part = tuple[tuple[Feature, ...], Callable[[Numbers, Mask], None]]
"""Features, and what writes their values and mask (C, T) to where they are to stand: copies would be gigabytes."""


def _written(parts: Sequence[_Part], steps: int) -> Columns:
    features = tuple(feature for some, _ in parts for feature in some)
    ends = np.cumsum([len(some) for some, _ in parts])
    shape = len(features), steps
    values, observed = np.empty(shape, np.float32), np.empty(shape, bool)
    for (some, into), end in zip(parts, ends, strict=True):
        rows = slice(end - len(some), end)
        into(values[rows], observed[rows])
    return Columns(features, values, observed)


def _as_they_are(columns: Columns) -> _Part:
    def write(values: Numbers, observed: Mask) -> None:
        values[:], observed[:] = columns.values, columns.observed

    return columns.features, write


def _any(series: str | None, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(series or "", pattern) for pattern in patterns)


def _lag(past: Columns, hours: int) -> _Part:
    features = tuple(f.then(f" lag {hours}h", f"{f.name} of {hours} rows before", more=hours) for f in past.features)

    def write(values: Numbers, observed: Mask) -> None:
        values[:, :hours], observed[:, :hours] = np.nan, False
        values[:, hours:], observed[:, hours:] = past.values[:, :-hours], past.observed[:, :-hours]

    return features, write


def _lagged_mask(observed: Mask, hours: int) -> Mask:
    found = np.zeros_like(observed)
    found[..., hours:] = observed[..., : max(observed.shape[-1] - hours, 0)]
    return found


def _statistics(past: Columns, windows: Sequence[int], statistics: Sequence[str]) -> _Part:
    features = tuple(
        f.then(
            f" {statistic} {hours}h",
            f"{statistic} of what is observed of {f.name} over the last {hours} rows",
            more=hours - 1,
        )
        for hours in windows
        for statistic in statistics
        for f in past.features
    )

    def write(values: Numbers, observed: Mask) -> None:
        known = np.where(past.observed, past.values, np.nan)
        rolling(known, windows, statistics, values.reshape(len(windows), len(statistics), *known.shape))
        np.logical_not(np.isnan(values, out=observed), out=observed)

    return features, write


class _Ingredients:
    """The series among columns, by source and variable and place, to be put together at the same hour."""

    def __init__(self, inputs: Columns) -> None:
        self._inputs = inputs
        self._columns: dict[str, dict[int, int]] = defaultdict(dict)
        self.places: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        for number, feature in enumerate(inputs.features):
            if feature.series is not None:
                source, rest = feature.series.split("/", 1)
                place, variable = rest.rsplit("/", 1)
                self._columns[feature.series][feature.lookback] = number
                self.places[source, place][variable] = feature.series

    def lookbacks(self, series: str) -> list[int]:
        """The lookbacks at which `series` is there, the freshest first."""
        return sorted(self._columns[series])

    def unit(self, series: str) -> str:
        """Its unit."""
        return self._inputs.features[next(iter(self._columns[series].values()))].unit

    def at(self, series: str, lookback: int) -> tuple[Floats, Mask]:
        """Values and mask (T,) of `series` for the hour `lookback` before each row, as last known by then or before."""
        nearest = max((one for one in self._columns[series] if one <= lookback), default=None)
        if nearest is None:
            raise KeyError(f"{series} is not known {lookback} hours back")
        number = self._columns[series][nearest]
        values, observed = self._inputs.values[number], self._inputs.observed[number]
        later = lookback - nearest
        return (lagged(values, later), _lagged_mask(observed, later)) if later else (values, observed)

    def total(self, terms: Mapping[str, int], lookback: int) -> tuple[Floats, Mask]:
        """The sum of series times sign at the hour `lookback` before each row, known where all are."""
        steps = self._inputs.values.shape[1]
        values, observed = np.zeros(steps), np.ones(steps, bool)
        for series, sign in terms.items():
            value, seen = self.at(series, lookback)
            values += sign * value
            observed &= seen
        return values, observed

    def common(self, series: Iterable[str]) -> int:
        """The freshest lookback at which all of `series` are there."""
        return max(self.lookbacks(one)[0] for one in series)

    def groups(self) -> dict[tuple[str, str], dict[str, tuple[str, ...]]]:
        """What belongs together, by source and place: each variable's series. A system is one place."""
        found: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {}
        for (source, place), names in sorted(self.places.items()):
            system = SYSTEMS.get(source, ())
            owner = next((one for one in found if one[0] == source and {one[1], place} <= set(system)), (source, place))
            group = found.setdefault(owner, {})
            for variable, series in names.items():
                group[variable] = (*group.get(variable, ()), series)
        return {owner: group for owner, group in found.items() if any(map(_of_grid, group))}


def _of_grid(variable: str) -> bool:
    return variable in (*LOADS, *LOAD_FORECASTS) or variable.startswith("generation_")


class _Made:
    """Columns in the making."""

    def __init__(self, steps: int) -> None:
        self._features: list[Feature] = []
        self._values: list[Floats] = []
        self._observed: list[Mask] = []
        self._steps = steps

    def add(self, feature: Feature, values: Floats, observed: Mask) -> None:
        """Take in `values` and `observed` (T,), but for what float32 does not hold, such as an absurd one's cube."""
        held = np.abs(values) <= FLOAT32
        self._features.append(feature)
        self._values.append(np.where(held, values, np.nan))
        self._observed.append(observed & held)

    def done(self) -> Columns:
        shape = (len(self._features), self._steps)
        return Columns(
            tuple(self._features),
            np.stack(self._values) if self._values else np.empty(shape),
            np.stack(self._observed) if self._observed else np.empty(shape, bool),
        )


def of_power(inputs: Columns) -> Columns:
    """Renewable share, net load, balance, their ramps, forecasts of net load, and how load forecasts erred."""
    made, parts = _Made(inputs.values.shape[1]), _Ingredients(inputs)
    counts: dict[str, int] = defaultdict(int)
    for (source, place), names in parts.groups().items():
        nth = counts[source]
        counts[source] += 1
        _power_of(made, parts, names, (f"{source}/{place}", f"{source}/{nth}"))
    return made.done()


def _power_of(made: _Made, parts: _Ingredients, names: Mapping[str, tuple[str, ...]], label: tuple[str, str]) -> None:
    """Add what can be made of `names` (variable → series) of one place, called `label` in name and key."""

    def feature(name: str, unit: str, terms: Mapping[str, int], lookback: int) -> Feature:
        full, key = (f"{one}/{name}{-lookback:+d}h" for one in label)
        return Feature(full, unit, f"{_formula(terms)}, of the row's hour {-lookback:+d} h", lookback, None, key)

    def add(name: str, terms: Mapping[str, int], *, ramps: bool = False, back: int | None = None) -> None:
        back = parts.common(terms) if back is None else back
        values, observed = parts.total(terms, back)
        made_of = feature(name, parts.unit(next(iter(terms))), terms, back)
        if len(terms) > 1:
            made.add(made_of, values, observed)
        for hours in RAMPS if ramps else ():
            text = f"change of ({_formula(terms)}) over {hours} h, of the row's hour {-back:+d} h"
            ramp = made_of.then(f" ramp {hours}h", text, more=hours)
            made.add(ramp, values - lagged(values, hours), observed & _lagged_mask(observed, hours))

    fuels = {v: all_ for v, all_ in names.items() if v.startswith("generation_") and "_forecast" not in v}
    weather_made = _signed(1, *(fuels.get(f"generation_{fuel}", ()) for fuel in ("wind", "solar")))
    load = _signed(1, next((names[one][:1] for one in LOADS if one in names), ()))
    if len(fuels) > 1:
        _share(made, parts, fuels, feature)
    if weather_made:
        add("variable_generation", weather_made, ramps=True)
    if load:
        add("load", load, ramps=True)
    if load and weather_made:
        add("net_load", load | _signed(-1, weather_made), ramps=True)
    generation = _signed(1, names["net_generation"]) if "net_generation" in names else _signed(1, *fuels.values())
    if load and ("net_generation" in names or len(fuels) > 1):
        add("balance", generation | _signed(-1, load, names.get("net_interchange", ())))
    for forecast in (one for one in LOAD_FORECASTS if one in names):
        expected = names[forecast][:1]
        if load:
            add(f"{forecast}_error", load | _signed(-1, expected))
        renewable = _signed(-1, *(names.get(one, ()) for one in RENEWABLE_FORECASTS))
        terms = _signed(1, expected) | renewable
        for back in parts.lookbacks(expected[0]) if renewable else ():
            if back >= parts.common(terms):
                add(f"net_{forecast}", terms, back=back)


def _signed(sign: int, *series: Iterable[str]) -> dict[str, int]:
    return {one: sign for some in series for one in some}


def _share(
    made: _Made,
    parts: _Ingredients,
    fuels: Mapping[str, tuple[str, ...]],
    feature: Callable[[str, str, Mapping[str, int], int], Feature],
) -> None:
    """Add which share of the generation by `fuels` is renewable, NaN where there is none."""
    renewable = _signed(1, *(some for v, some in fuels.items() if v.removeprefix("generation_") in RENEWABLE))
    every = _signed(1, *fuels.values())
    if not renewable:
        return
    back = parts.common(every)
    (some, _), (total, observed) = parts.total(renewable, back), parts.total(every, back)
    share = np.divide(some, total, out=np.full_like(total, np.nan), where=total > 0)
    text = f"({_formula(renewable)}) / ({_formula(every)}), of the row's hour {-back:+d} h"
    made.add(replace(feature("renewable_share", "1", every, back), formula=text), share, observed)


def _formula(terms: Mapping[str, int]) -> str:
    text = " ".join(f"{'+' if sign > 0 else '−'} {series}" for series, sign in terms.items())
    return text.removeprefix("+ ")


def of_prices(inputs: Columns) -> Columns:
    """Real-time less day-ahead prices at each place, and each place's price less that of the source's first."""
    made, parts = _Made(inputs.values.shape[1]), _Ingredients(inputs)
    first: dict[tuple[str, str], str] = {}
    counts: dict[str, int] = defaultdict(int)
    for (source, place), names in sorted(parts.places.items()):
        priced = [variable for variable in ("lmp_day_ahead", *PRICES) if variable in names]
        if not priced:
            continue
        nth = counts[source]
        counts[source] += 1
        spreads: list[tuple[str, dict[str, int], list[int]]] = []
        for variable in priced:
            series = names[variable]
            if variable in PRICES and "lmp_day_ahead" in names:
                both = {series: 1, names["lmp_day_ahead"]: -1}
                spreads.append((f"{variable}_less_day_ahead", both, [parts.common(both)]))
            hub = first.setdefault((source, variable), series)
            if hub != series:
                common = [back for back in parts.lookbacks(series) if back in parts.lookbacks(hub)]
                spreads.append((f"{variable}_less_{hub.split('/')[1]}", {series: 1, hub: -1}, common))
        for name, terms, lookbacks in spreads:
            for back in lookbacks:
                label = f"{name}{-back:+d}h"
                text = f"{_formula(terms)}, of the row's hour {-back:+d} h"
                unit = parts.unit(next(iter(terms)))
                made.add(
                    Feature(f"{source}/{place}/{label}", unit, text, back, None, f"{source}/{nth}/{label}"),
                    *parts.total(terms, back),
                )
    return made.done()


def of_weather(inputs: Columns, period: Period, timezone: str) -> Columns:
    """Of temperatures: degrees of heating and cooling, by hour and by day, means of a day and three, and how they
    meet the hour of the day; of wind speeds: the cube, which the power in the wind follows."""
    made = _Made(inputs.values.shape[1])
    for feature, values, observed in zip(inputs.features, inputs.values, inputs.observed, strict=True):
        variable = (feature.series or "").rsplit("/", 1)[-1]
        if variable.startswith("wind_speed") and feature.unit in METRES_A_SECOND:
            cube = (values * METRES_A_SECOND[feature.unit]) ** 3
            made.add(feature.then(" cubed", f"({feature.name} in m/s)³", unit="m³/s³"), cube, observed)
        if variable.startswith("temperature_") and feature.unit in COMFORT:
            _temperature(made, feature, values, observed, _local_hour(period, timezone, -feature.lookback))
    return made.done()


def _temperature(made: _Made, feature: Feature, values: Floats, observed: Mask, hour: Floats) -> None:
    comfort, unit = COMFORT[feature.unit], feature.unit
    degrees = {
        "heating": (f"max({comfort:g} {unit} − {feature.name}, 0)", np.maximum(comfort - values, 0)),
        "cooling": (f"max({feature.name} − {comfort:g} {unit}, 0)", np.maximum(values - comfort, 0)),
    }
    known = np.where(observed, values, np.nan)
    for name, (text, found) in degrees.items():
        made.add(feature.then(f" {name}", text), found, observed)
        day = rolling(np.where(observed, found, np.nan)[None], (24,), ("mean",))[0, 0, 0]
        text = f"mean of {text} over the last 24 rows: degree days"
        made.add(feature.then(f" {name} 24h", text, more=23), day, ~np.isnan(day))
    for hours, (mean,) in zip((24, 72), rolling(known[None], (24, 72), ("mean",)), strict=True):
        text = f"mean of what is observed of {feature.name} over the last {hours} rows"
        made.add(feature.then(f" past {hours}h", text, more=hours - 1), mean[0], ~np.isnan(mean[0]))
    for function in (np.sin, np.cos):
        text = f"{feature.name} · {function.__name__}(2π · local hour / 24), of the hour it speaks of"
        by_hour = values * function(2 * np.pi * hour / 24)
        made.add(feature.then(f" × hour_{function.__name__}", text), by_hour, observed)


def _local(period: Period, timezone: str, shift: int = 0) -> npt.NDArray[np.datetime64]:
    """What clocks show at the start of the hour `shift` after each row of `period`, (T,)."""
    steps = period.duration // timedelta(hours=1)
    return local_times(microseconds(period.start) + (np.arange(steps) + shift) * HOUR, timezone)


def _local_hour(period: Period, timezone: str, shift: int) -> Floats:
    local = _local(period, timezone, shift)
    hours: Floats = (local - local.astype("datetime64[D]")) / np.timedelta64(1, "h")
    return hours


def of_calendar(period: Period, timezone: str, region: str | None = None) -> Columns:
    """Place of each row's hour in the day, week and year of local time, and the holidays of `region`."""
    local = _local(period, timezone)
    day = local.astype("datetime64[D]")
    hour = (local - day) / np.timedelta64(1, "h")
    weekday = (day.astype(np.int64) + 3) % 7  # 1970 began on a Thursday
    first, following = (day.astype("datetime64[Y]") + n for n in (0, 1))
    year = (following.astype("datetime64[D]") - first.astype("datetime64[D]")).astype(np.int64)
    place = (local - first) / np.timedelta64(1, "D")
    month = local.astype("datetime64[M]").astype(np.int64) % 12 + 1
    columns: dict[str, tuple[str, npt.NDArray[np.generic]]] = {}
    for name, value, round_, text in (
        ("hour", hour, 24, "hour / 24"),
        ("weekday", weekday + hour / 24, 7, "(weekday + hour / 24) / 7"),
        ("month", month - 1, 12, "(month − 1) / 12"),
        ("year", place, year, "day of year / days of the year"),
    ):
        for function in (np.sin, np.cos):
            columns[f"{name}_{function.__name__}"] = (
                f"{function.__name__}(2π · {text})",
                function(2 * np.pi * value / round_),
            )
    workday = weekday < 5
    columns["weekend"] = ("1 on Saturday and Sunday", ~workday)
    columns["business_hour"] = ("1 from 8 to 18 on Monday to Friday", workday & (hour >= 8) & (hour < 18))
    columns["peak_hour"] = ("1 from 7 to 23 on Monday to Friday (NERC on-peak)", workday & (hour >= 7) & (hour < 23))
    for season, months in (
        ("winter", (12, 1, 2)),
        ("spring", (3, 4, 5)),
        ("summer", (6, 7, 8)),
        ("autumn", (9, 10, 11)),
    ):
        columns[season] = (f"1 in the months {', '.join(map(str, months))}", np.isin(month, months))
    if region:
        free = _holidays(region, day)
        for name, days, text in (
            ("holiday", 0, "on"),
            ("day_before_holiday", 1, "on the day before"),
            ("day_after_holiday", -1, "on the day after"),
        ):
            columns[name] = (f"1 {text} a public holiday of {region}", np.isin(day + days, free))
    features = [
        Feature(f"calendar/{name}", "1", text, 0, None, f"calendar/{name}") for name, (text, _) in columns.items()
    ]
    found = np.stack([values.astype(np.float64) for _, values in columns.values()])
    return Columns(tuple(features), found, np.ones_like(found, bool))


def _holidays(region: str, days: npt.NDArray[np.datetime64]) -> npt.NDArray[np.datetime64]:
    """The public holidays of `region` in the years of `days` and those beside them."""
    import holidays

    country, _, part = region.partition("-")
    years = range(int(str(days[0])[:4]) - 1, int(str(days[-1])[:4]) + 2)
    return np.array(sorted(holidays.country_holidays(country, subdiv=part or None, years=years)), "datetime64[D]")


def lagged(values: Floats, hours: int) -> Floats:
    """`values` (…, T) of `hours` rows before."""
    found = np.full_like(values, np.nan)
    found[..., hours:] = values[..., : max(values.shape[-1] - hours, 0)]
    return found


def rolling(
    values: Floats, windows: Sequence[int], statistics: Sequence[str] = STATISTICS, out: Numbers | None = None
) -> Numbers:
    """`statistics` over the last rows up to each, of what is known there, for each of `windows` (in rows).

    `values` (C, T) give (windows, statistics, C, T) in float32, or in `out` if that is given. The deviation
    is that of the population.
    """
    found = np.empty((len(windows), len(statistics), *values.shape), np.float32) if out is None else out
    earlier = max(windows) - 1
    for column in range(len(values)):
        for first in range(0, values.shape[1], PIECE):
            begin = max(first - earlier, 0)
            piece = values[column, begin : first + PIECE]
            made = np.empty((len(windows), len(statistics), len(piece)), found.dtype)
            _rolling_of(piece, windows, statistics, made)
            found[:, :, column, first : first + PIECE] = made[:, :, first - begin :]
    return found


def _rolling_of(values: Floats, windows: Sequence[int], statistics: Sequence[str], found: Numbers) -> None:
    """Write the statistics of one column `values` (T,) to `found` (windows, statistics, T).

    Sums are put together of runs of 2ᵏ rows, all in the window: an absurd value before it takes no digit from them.
    """
    known, longest, asked = ~np.isnan(values), max(windows), set(statistics)
    plain = np.where(known, values, 0.0)
    totals = _doubling(plain, longest, np.add) if asked & {"mean", "std"} else []
    squares = _doubling(plain * plain, longest, np.add) if "std" in asked else []
    lows = _doubling(np.where(known, values, np.inf), longest, np.minimum) if asked & {"min", "std"} else []
    highs = _doubling(np.where(known, values, -np.inf), longest, np.maximum) if asked & {"max", "std"} else []
    for window, into in zip(windows, found, strict=True):
        number = _count(known, window)
        mean = _total(totals, window) / number if totals else number
        for statistic, out in zip(statistics, into, strict=True):
            if statistic == "mean":
                out[:] = mean
            elif statistic == "std":
                variance = _total(squares, window)
                variance /= number
                variance -= mean**2
                close = np.flatnonzero(variance < CANCELLED * mean**2)
                _mend(variance, close[number[close] > 1], values, window, lows, highs)
                np.sqrt(variance, out=out)
            else:
                extreme, steps = (np.minimum, lows) if statistic == "min" else (np.maximum, highs)
                _extreme(steps, window, extreme, out)
                out[np.isnan(number)] = np.nan


def _mend(
    variance: Floats,
    close: npt.NDArray[np.int64],
    values: Floats,
    window: int,
    lows: Sequence[Floats],
    highs: Sequence[Floats],
) -> None:
    """Write to `variance` (T,) at the rows `close` that of the last `window` of `values` (T,) by their distances from
    their mean; 0 where all are equal."""
    if not close.size:
        return
    least, most = (
        _extreme(steps, window, extreme, np.empty_like(values))
        for steps, extreme in ((lows, np.minimum), (highs, np.maximum))
    )
    variance[close] = 0.0
    rows = close[least[close] < most[close]]
    before = np.concatenate([np.full(window - 1, np.nan), values])
    variance[rows] = np.nanvar(np.lib.stride_tricks.sliding_window_view(before, window)[rows], axis=1)


def _count(known: Mask, window: int) -> Floats:
    """How many of the last `window` rows are `known` (T,), NaN where none is."""
    counts: Floats = np.cumsum(known, dtype=np.float64)
    counts[window:] -= counts[: max(len(counts) - window, 0)].copy()
    counts[counts == 0] = np.nan
    return counts


def _total(steps: Sequence[Floats], window: int) -> Floats:
    """The sums over the last `window` rows: those of runs of 2ᵏ rows, one after the other."""
    powers = [power for power in range(window.bit_length()) if window >> power & 1]
    found, length = steps[powers[0]].copy(), 2 ** powers[0]
    for power in powers[1:]:
        found[length:] += steps[power][: max(len(found) - length, 0)]
        length += 2**power
    return found


def _doubling(values: Floats, longest: int, extreme: np.ufunc) -> list[Floats]:
    """The extremes, or sums, over the last 1, 2, 4, … rows, up to `longest`."""
    found = [values]
    while (length := 2 ** len(found)) <= longest:
        found.append(_with_earlier(found[-1], length // 2, extreme, np.empty_like(values)))
    return found


def _extreme(steps: Sequence[Floats], window: int, extreme: np.ufunc, out: N) -> N:
    """The extremes over the last `window` rows, in `out`: those of two runs of 2ᵏ rows that overlap."""
    power = window.bit_length() - 1
    return _with_earlier(steps[power], window - 2**power, extreme, out)


def _with_earlier(values: Floats, rows: int, extreme: np.ufunc, out: N) -> N:
    """`extreme` of each of `values` (T,) and the one `rows` before it, where there is one, in `out`."""
    out[:rows] = values[:rows]
    if rows < len(values):
        extreme(values[rows:], values[: len(values) - rows], out=out[rows:])
    return out
