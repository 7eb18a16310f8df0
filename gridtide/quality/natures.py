"""The nature of each kind of series: its plausible values, and how they change."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from gridtide.variables import find_conversion


@dataclass(frozen=True, slots=True)
class Nature:
    """The nature of a variable: its range `[low, high]`, whether it `changes` from hour to hour (unless 0), whether it
    is `smooth`, without jumps, whether it is an `aggregate` of so many consumers that it is never 0, and never equal to
    a day of the week before for most of a day, and whether it is `metered`: an aggregate that is measured, so that no
    three hours in a row are equal, and whose hours are like those of the days before."""

    variable: str
    units: tuple[str, ...]
    low: float
    high: float
    changes: bool = False
    smooth: bool = False
    aggregate: bool = False
    metered: bool = False


POWER = ("MW", "MWh")


LARGEST_POWER = 1_000_000
"""In MW; the peak of the contiguous United States is about 760,000 MW."""


STATION_USE = -500
"""In MW; a plant that generates nothing consumes a little."""


NATURES = (
    Nature(r"load_(ard|btm_pv)\w*", POWER, 0, LARGEST_POWER),
    Nature(
        r"(demand|load)_(\w*forecast\w*|day_ahead)", POWER, 0, LARGEST_POWER, changes=True, smooth=True, aggregate=True
    ),
    Nature(r"(demand|load)(_\w+)?", POWER, 0, LARGEST_POWER, changes=True, smooth=True, aggregate=True, metered=True),
    Nature(r"net_load_forecast", POWER, -LARGEST_POWER, LARGEST_POWER, changes=True, smooth=True),
    Nature(r"generation_(coal|natural_gas|nuclear|oil|petroleum|solar|wind)(_\w+)?", POWER, STATION_USE, LARGEST_POWER),
    Nature(r"\w+", POWER, -LARGEST_POWER, LARGEST_POWER),
    Nature(r"marginal_\w+", ("1",), 0, 1),
    Nature(r"lmp_(day_ahead|real_time|real_time_preliminary|five_minute)", ("USD/MWh",), -10_000, 20_000, changes=True),
    Nature(r"\w+", ("USD/MWh",), -10_000, 20_000),
    Nature(r"\w+", ("EUR/MWh", "GBP/MWh"), -100_000, 100_000),  # balancing: 24,455 EUR/MWh in Germany in 2017
    Nature(r"(apparent_)?temperature_2m(_forecast)?", ("°C",), -95, 65, changes=True, smooth=True),
    Nature(r"(apparent_)?temperature_2m(_forecast)?", ("°F",), -140, 150, changes=True, smooth=True),
    Nature(r"\w+", ("°C",), -95, 85),  # bare ground gets hotter than the air
    Nature(r"\w+", ("°F",), -140, 185),
    Nature(r"\w+", ("hPa",), 300, 1100, changes=True, smooth=True),
    Nature(r"\w+", ("%",), 0, 100),
    Nature(r"\w+", ("°",), 0, 360),
    Nature(r"wind_\w+", ("km/h",), 0, 450),  # the strongest gust measured: 408 km/h, Barrow Island 1996
    Nature(r"wind_\w+", ("m/s",), 0, 125),
    Nature(r"wind_\w+", ("mp/h",), 0, 280),
    Nature(r"wind_\w+", ("kn",), 0, 243),
    Nature(r"\w*(radiation|irradiance)\w*", ("W/m²",), 0, 1500),
    Nature(r"(precipitation|rain|showers)\w*", ("mm",), 0, 500),
)
"""The first row that matches variable and unit applies; without any, the first of its dimension, with its range in that
unit."""


FLOAT32_LIMIT = 1e37
"""The largest accepted value of any unit: float32, and so the file, can hold it and sums and differences of a few."""


UNBOUNDED = Nature(r"\w+", (), -FLOAT32_LIMIT, FLOAT32_LIMIT)


def find_nature(variable: str, unit: str) -> Nature:
    """Returns the nature of `variable` in `unit`; without a matching row, any value that float32 holds.

    >>> find_nature("demand", "GW").high, round(find_nature("temperature_2m", "K").low, 1)
    (1000.0, 178.1)
    """
    natures = [nature for nature in NATURES if re.fullmatch(nature.variable, variable)]
    exact = next((nature for nature in natures if unit in nature.units), None)
    if exact is not None:
        return exact
    converted = (_convert_nature(nature, own_unit, unit) for nature in natures for own_unit in nature.units)
    return next((nature for nature in converted if nature is not None), UNBOUNDED)


def _convert_nature(nature: Nature, own_unit: str, unit: str) -> Nature | None:
    """Returns `nature`, whose range is in `own_unit`, with its range in `unit`; None without a conversion."""
    conversion = find_conversion(own_unit, unit)
    if conversion is None:
        return None
    low, high = (limit * conversion.factor + conversion.offset for limit in (nature.low, nature.high))
    return replace(nature, units=(unit,), low=low, high=high)
