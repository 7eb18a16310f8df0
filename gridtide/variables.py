"""Names of series, and the terms in which a source describes its variables: unit, hourly rule, quantity.

A variable of a source is one product with one unit. Each source declares its variables in its own module, as
`VARIABLES`; `gridtide.sources.registry` looks them up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
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


QuantityKind = Literal[
    "load",
    "load_forecast",
    "generation",
    "generation_forecast",
    "net_generation",
    "net_interchange",
    "day_ahead_price",
    "real_time_price",
]
"""What training derives features from. `load_forecast` and `generation_forecast` are the forecasts of the day before;
`generation` is that of one `fuel`; `net_interchange` flows out of the location."""


class Quantity(NamedTuple):
    """What a variable measures, whatever its source calls it; `fuel` is empty except for generation."""

    kind: QuantityKind
    fuel: str = ""


CUSTOMARY_NAMES: dict[str, QuantityKind] = {
    "demand": "load",
    "load": "load",
    "load_five_minute": "load",
    "demand_forecast_day_ahead": "load_forecast",
    "load_forecast_day_ahead": "load_forecast",
    "load_forecast": "load_forecast",
    "net_generation": "net_generation",
    "net_interchange": "net_interchange",
    "lmp_day_ahead": "day_ahead_price",
    "lmp_real_time": "real_time_price",
    "lmp_real_time_preliminary": "real_time_price",
    "lmp_five_minute": "real_time_price",
}
"""The quantities of the names that sources have in common. Where a location has several of one kind, the earlier name
has precedence."""


def find_customary_quantity(variable: str) -> Quantity | None:
    """Returns the quantity that a variable of this name customarily is, or None.

    >>> find_customary_quantity("generation_wind_forecast_day_ahead")
    Quantity(kind='generation_forecast', fuel='wind')
    """
    if variable in CUSTOMARY_NAMES:
        return Quantity(CUSTOMARY_NAMES[variable])
    match = re.fullmatch(r"generation_(.+?)(_forecast.*)?", variable)
    if match is None or match[2] not in (None, "_forecast_day_ahead"):
        return None
    return Quantity("generation_forecast" if match[2] else "generation", match[1])


@dataclass(frozen=True, slots=True)
class Variable:
    """A product of a source, or several of one kind: a full-match `pattern` of names, the unit, how values become
    hourly, and the meaning in words."""

    pattern: str
    unit: str
    hourly: HourlyRule
    meaning: str
    listing_zone: str = ""
    """The time zone whose days decide when an unlisted series is 0: on a day with other series of this row, a series
    that a reading does not list is 0. Empty if an absent value is missing."""
    quantity: Quantity | None = None
    """What the variable measures, if its name does not say so as in `CUSTOMARY_NAMES` or `generation_<fuel>`."""


def match_variable(variables: Iterable[Variable], name: str) -> Variable | None:
    """Returns the first of `variables` whose pattern matches `name`, or None."""
    return next((variable for variable in variables if re.fullmatch(variable.pattern, name)), None)


def unit_of(variables: Sequence[Variable], name: str) -> str:
    """Returns the unit of `name` among the `variables` of a source; raises `KeyError` if they do not describe it."""
    variable = match_variable(variables, name)
    if variable is None:
        raise KeyError(f"{name} is not among the variables of its source")
    return variable.unit


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


HOURLY_POWER = {"power": "MW", "energy": "MWh"}
"""Units by dimension in which power and the energy of an hour have equal numbers."""


def find_hourly_conversion(unit: str, target: str) -> Conversion | None:
    """Returns how values of whole hours in `unit` become values in `target`, as `find_conversion` does; the mean power
    of an hour in MW is its energy in MWh.

    >>> find_hourly_conversion("GW", "MWh"), find_hourly_conversion("MW", "USD/MWh")
    (Conversion(factor=1000.0, offset=0.0), None)
    """
    conversion = find_conversion(unit, target)
    if conversion is not None:
        return conversion
    base, target_base = (HOURLY_POWER.get(dimension(text) or "", "") for text in (unit, target))
    to_base, from_base = find_conversion(unit, base), find_conversion(target_base, target)
    return None if to_base is None or from_base is None else Conversion(to_base.factor * from_base.factor, 0.0)


def dimension(unit: str) -> str | None:
    """Returns the dimension of `unit`, such as `power`; None for a unit that is not converted."""
    row = UNITS.get(SPELLINGS.get(unit, unit))
    return row[0] if row else None


def snake_case(name: str) -> str:
    """Converts `name` to snake case, as in the table of observations.

    >>> snake_case("UncommitedAvailDRRMw"), snake_case("Natural Gas"), snake_case("ExpActOp4Mw")
    ('uncommited_avail_drr_mw', 'natural_gas', 'exp_act_op4_mw')
    """
    words = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", words)
    return re.sub(r"[^0-9a-z]+", "_", words.lower()).strip("_")


def spell_variable(text: str) -> str:
    """Returns `text` in the spelling of variables; letters of other alphabets are kept.

    >>> spell_variable("Natural Gas"), spell_variable("énergie (MWh)"), spell_variable("需要")
    ('natural_gas', 'énergie_mwh', '需要')
    """
    if text.isascii():
        return snake_case(text) or text
    spelled = re.sub(r"([^\W\d_])(?<=[a-zà-ÿ0-9])(?=[A-ZÀ-Þ])", r"\1_", text)
    return re.sub(r"\W+", "_", spelled.lower()).strip("_") or text
