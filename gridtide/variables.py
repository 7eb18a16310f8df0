"""How series are called, and the registry of variables: which unit each has and how it becomes hourly.

One (source, variable) is one product with one unit. `open_meteo` and `generic` take their units
from the answer and the configuration, so they have no row here but for their hourly rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple


class SeriesName(NamedTuple):
    """What a series is called: `source/location/variable`. Locations may hold slashes, such as `UN.A/1`.

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
        """The parts of a name, or of a pattern of names; raises `ValueError` where `text` has fewer than three."""
        source, _, remainder = text.partition("/")
        location, _, variable = remainder.rpartition("/")
        if not (source and location and variable):
            raise ValueError(f'"{text}" is no series; use source/location/variable such as "eia/ISNE/generation_*"')
        return cls(source, location, variable)


WILDCARDS = {"*": "[^/]*", "?": "[^/]"}
"""What stands for any characters of a part of a name, and for any one of them; all other characters are themselves."""


def matches_any(name: str, patterns: Iterable[str]) -> bool:
    """Whether `name`, of a series or of a part of one, is as one of `patterns` says. A wildcard crosses no slash.

    >>> matches_any("eia/ISNE/demand", ["eia/*/demand"]), matches_any("eia/ISNE/4001/demand", ["eia/*/demand"])
    (True, False)
    """
    return any(_compile(pattern).fullmatch(name) for pattern in patterns)


@cache
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile("".join(WILDCARDS.get(character) or re.escape(character) for character in pattern), re.DOTALL)


HourlyRule = Literal["sum", "mean", "start", "repeat"]
"""MWh are summed, MW and prices averaged, weather taken at the start, daily values repeated."""


@dataclass(frozen=True, slots=True)
class Variable:
    """What a source calls a product: a full-match `pattern` of names, its unit, its hourly rule."""

    source: str
    pattern: str
    unit: str
    hourly: HourlyRule
    meaning: str
    listing_zone: str = ""
    """The zone of the days on which a series that a reading does not list, while it lists others of this row, is 0;
    empty where what is not reported is missing."""


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
    Variable("caiso", r"generation_\w+", "MW", "mean", "Solar and wind, actual and forecast"),
    Variable("caiso", r"schedule_\w+", "MW", "mean", "System load and resource schedules"),
    Variable("caiso", r"lmp_\w+", "USD/MWh", "mean", "Locational marginal price of a market and its components"),
)


NAMED_BY = {"synthetic": ("eia", "iso_ne")}
"""The sources whose names another source takes over, the first that has the name."""


def find_variable(source: str, variable: str) -> Variable | None:
    """The registry's row of `variable`, or None where its unit comes with the data."""
    for namer in NAMED_BY.get(source, (source,)):
        for row in REGISTRY:
            if row.source == namer and re.fullmatch(row.pattern, variable):
                return row
    return None


def unit_of(source: str, variable: str) -> str:
    """The one unit of `variable`; raises `KeyError` for a name the registry does not hold."""
    row = find_variable(source, variable)
    if row is None:
        raise KeyError(f"{source}/{variable} is not in the registry of variables")
    return row.unit


def hourly_rule(source: str, variable: str, unit: str) -> HourlyRule:
    """How `variable` becomes hourly, by the registry, else by what its unit means."""
    row = find_variable(source, variable)
    if row is not None:
        return row.hourly
    if source in ("open_meteo", "synthetic"):
        return "start"
    return {"MWh": "sum"}.get(unit, "mean")  # type: ignore[return-value]  # the literals are of Hourly


def snake_case(name: str) -> str:
    """`name` as the table spells it.

    >>> snake_case("UncommitedAvailDRRMw"), snake_case("Natural Gas"), snake_case("ExpActOp4Mw")
    ('uncommited_avail_drr_mw', 'natural_gas', 'exp_act_op4_mw')
    """
    words = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", words)
    return re.sub(r"[^0-9a-z]+", "_", words.lower()).strip("_")
