"""Names of series, and the registry of variables: their units and how they become hourly.

A variable of a source is one product with one unit. `open_meteo` and `generic` take their units from the answer and the
configuration, so they have no rows here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple


class SeriesName(NamedTuple):
    """The name of a series: `source/location/variable`. Locations may contain slashes, such as `UN.A/1`.

    >>> SeriesName.parse("iso_ne/UN.A/1/lmp_day_ahead").location
    'UN.A/1'
    """

    source: str
    location: str
    variable: str

    def __str__(self) -> str:
        return "/".join(self)

    @classmethod
    def parse(cls, text: str) -> SeriesName:
        """Splits a name, or a pattern of names, into its parts; raises `ValueError` if there are fewer than three."""
        source, _, remainder = text.partition("/")
        location, _, variable = remainder.rpartition("/")
        if not (source and location and variable):
            raise ValueError(f'"{text}" is not a series; use source/location/variable such as "eia/ISNE/generation_*"')
        return cls(source, location, variable)


WILDCARDS = {"*": "[^/]*", "?": "[^/]"}
"""`*` matches any characters within one part of a name, `?` exactly one; all other characters match themselves."""


def matches_any(name: str, patterns: Iterable[str]) -> bool:
    """Whether `name`, of a series or a part of one, matches one of `patterns`. A wildcard does not match a slash.

    >>> matches_any("eia/ISNE/demand", ["eia/*/demand"]), matches_any("eia/ISNE/4001/demand", ["eia/*/demand"])
    (True, False)
    """
    return any(_compile(pattern).fullmatch(name) for pattern in patterns)


@cache
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile("".join(WILDCARDS.get(character) or re.escape(character) for character in pattern), re.DOTALL)


HourlyRule = Literal["sum", "mean", "start", "repeat"]
"""Energy (MWh) is summed, MW and prices averaged, weather taken at the start, daily values repeated."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A product of a source: a full-match `pattern` of names, its unit, its hourly rule."""

    source: str
    pattern: str
    unit: str
    hourly: HourlyRule
    meaning: str
    listing_zone: str = ""
    """The time zone whose days decide when an unlisted series is 0: on a day with other series of this row, a series
    that a reading does not list is 0. Empty if an absent value is missing."""


REGISTRY: tuple[Variable, ...] = (
    Variable("eia", "demand", "MWh", "sum", "Demand"),
    Variable("eia", "demand_forecast_day_ahead", "MWh", "sum", "Day-ahead demand forecast"),
    Variable("eia", "net_generation", "MWh", "sum", "Net generation"),
    Variable("eia", "net_interchange", "MWh", "sum", "Total net interchange"),
    Variable("eia", r"generation_\w+", "MWh", "sum", "Net generation by fuel"),
    Variable("eia", "interchange", "MWh", "sum", "Interchange with a neighbour, `FROMBA>TOBA`"),
    Variable("iso_ne", r"generation_\w+", "MW", "mean", "Output of a fuel category", "America/New_York"),
    Variable("iso_ne", r"marginal_\w+", "1", "mean", "1 where the fuel category is marginal", "America/New_York"),
    Variable(
        "iso_ne",
        r"lmp_(day_ahead|real_time(_preliminary)?|(five|fifteen)_minute(_final|_preliminary)?)(_energy|_congestion|_loss)?",
        "USD/MWh",
        "mean",
        "Locational marginal price and its components",
    ),
    Variable("iso_ne", r"load(_native|_ard|_btm_pv|_native_btm_pv)?(_five_minute)?", "MW", "mean", "System load"),
    Variable("iso_ne", r"(net_)?load_forecast", "MW", "mean", "Load forecast, a vintage per creation"),
    Variable("iso_ne", r"demand_(real_time|day_ahead)", "MW", "mean", "Hourly demand of a location"),
    Variable(
        "iso_ne",
        r"(morning_report|seven_day)_\w*(temp_f|temperature|dew_point_f)(_\w+)?",
        "°F",
        "repeat",
        "City weather",
    ),
    Variable("iso_ne", r"(morning_report|seven_day)_\w*mw(_\w+)?", "MW", "repeat", "Daily capacity figures"),
    Variable("iso_ne", r"(morning_report|seven_day)_\w+", "1", "repeat", "Daily counts and flags"),
    Variable("caiso", "load", "MW", "mean", "Actual load"),
    Variable("caiso", r"load_forecast_\w+", "MW", "mean", "Load forecast of a market"),
    Variable("caiso", r"generation_\w+", "MW", "mean", "Solar and wind, actual and forecast; all fuels of the outlook"),
    Variable("caiso", "imports", "MW", "mean", "Net imports"),
    Variable(
        "caiso", r"(net_)?demand(_\w+)?", "MW", "mean", "Demand and net demand of the outlook, with its forecasts"
    ),
    Variable("caiso", r"co2_\w+", "t/h", "mean", "Emissions of carbon dioxide, by fuel"),
    Variable("caiso", r"schedule_\w+", "MW", "mean", "System load and resource schedules"),
    Variable("caiso", r"lmp_\w+", "USD/MWh", "mean", "Locational marginal price of a market and its components"),
)


UNITS: dict[str, tuple[str, float, float]] = {
    **{unit: ("power", factor, 0.0) for unit, factor in (("W", 1e-6), ("kW", 1e-3), ("MW", 1.0), ("GW", 1e3))},
    **{
        unit: ("energy", factor, 0.0)
        for unit, factor in (("Wh", 1e-6), ("kWh", 1e-3), ("MWh", 1.0), ("GWh", 1e3), ("TWh", 1e6))
    },
    "°C": ("temperature", 1.0, 0.0),
    "K": ("temperature", 1.0, -273.15),
    "°F": ("temperature", 5 / 9, -160 / 9),
    **{unit: ("speed", factor, 0.0) for unit, factor in (("m/s", 1.0), ("km/h", 1 / 3.6), ("mp/h", 0.44704))},
    **{f"{money}/MWh": (f"price in {money}", 1.0, 0.0) for money in ("USD", "EUR", "GBP")},
    **{f"{money}/kWh": (f"price in {money}", 1e3, 0.0) for money in ("USD", "EUR", "GBP")},
    **{unit: ("pressure", factor, 0.0) for unit, factor in (("Pa", 1.0), ("hPa", 1e2), ("kPa", 1e3))},
    **{unit: ("length", factor, 0.0) for unit, factor in (("mm", 1.0), ("cm", 10.0), ("inch", 25.4))},
}
"""Units that can be converted: the dimension of each, and factor and offset to the base unit of the dimension. A value
in the base unit is `value * factor + offset`."""


SPELLINGS = {"degC": "°C", "C": "°C", "degF": "°F", "F": "°F", "mph": "mp/h", "kmh": "km/h"}
"""Other spellings of units in `UNITS`."""


class Conversion(NamedTuple):
    """Converts one unit to another: `value * factor + offset`."""

    factor: float
    offset: float


def find_conversion(unit: str, target: str) -> Conversion | None:
    """Returns how values in `unit` become values in `target`; None if the two have no dimension in common.

    >>> find_conversion("GW", "MW"), find_conversion("MW", "MWh")
    (Conversion(factor=1000.0, offset=0.0), None)
    """
    if unit == target:
        return Conversion(1.0, 0.0)
    row, target_row = UNITS.get(SPELLINGS.get(unit, unit)), UNITS.get(SPELLINGS.get(target, target))
    if row is None or target_row is None or row[0] != target_row[0]:
        return None
    (_, factor, offset), (_, target_factor, target_offset) = row, target_row
    return Conversion(factor / target_factor, (offset - target_offset) / target_factor)


def dimension(unit: str) -> str | None:
    """Returns the dimension of `unit`, such as `power`; None for a unit that is not converted."""
    row = UNITS.get(SPELLINGS.get(unit, unit))
    return row[0] if row else None


NAMED_BY = {"synthetic": ("eia", "iso_ne")}
"""Sources that use the variable names of other sources; the first one with the name applies."""


def find_variable(source: str, variable: str) -> Variable | None:
    """Returns the registry's row of `variable`, or None if its unit comes with the data."""
    for namer in NAMED_BY.get(source, (source,)):
        for row in REGISTRY:
            if row.source == namer and re.fullmatch(row.pattern, variable):
                return row
    return None


def unit_of(source: str, variable: str) -> str:
    """Returns the unit of `variable`; raises `KeyError` for a name that is not in the registry."""
    row = find_variable(source, variable)
    if row is None:
        raise KeyError(f"{source}/{variable} is not in the registry of variables")
    return row.unit


def hourly_rule(source: str, variable: str, unit: str) -> HourlyRule:
    """Returns how `variable` becomes hourly: by the registry, or else by its unit."""
    row = find_variable(source, variable)
    if row is not None:
        return row.hourly
    if source in ("open_meteo", "synthetic"):
        return "start"
    return "sum" if dimension(unit) == "energy" else "mean"


def snake_case(name: str) -> str:
    """Converts `name` to snake case, as in the table of observations.

    >>> snake_case("UncommitedAvailDRRMw"), snake_case("Natural Gas"), snake_case("ExpActOp4Mw")
    ('uncommited_avail_drr_mw', 'natural_gas', 'exp_act_op4_mw')
    """
    words = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", words)
    return re.sub(r"[^0-9a-z]+", "_", words.lower()).strip("_")
