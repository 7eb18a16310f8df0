"""Power features: net load, ramps, shares of renewable generation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from itertools import chain
from typing import NamedTuple

import numpy as np

from gridtide.periods import HOUR
from gridtide.quality.shifting import shift_later, shift_mask_later
from gridtide.sources.registry import find_quantity
from gridtide.training.features.columns import ColumnBuilder, Columns, Feature
from gridtide.training.features.series_table import SeriesTable, format_formula, list_of_kind
from gridtide.training.series.steps import describe_row, format_shift
from gridtide.variables import QuantityKind

RAMPS = (1, 3)
"""The hours over which changes are computed."""


VARIABLE_FUELS = ("wind", "solar")


RENEWABLE = ("wind", "solar", "hydro", "geo", "wood", "refuse", "landfill_gas", "biomass")


class PowerSum(NamedTuple):
    """A feature that is the sum of the parts `plus` less the parts `minus` (see `_find_power_parts`), for a location
    that has them all.

    `ramps`: the hours over which its changes are features too. `every_lookback`: whether it is computed at every
    lookback of its first series, or only at the freshest lookback that all its series have.
    """

    name: str
    plus: str
    minus: str = ""
    ramps: tuple[int, ...] = ()
    every_lookback: bool = False


POWER_SUMS = (
    PowerSum("variable_generation", "variable_generation", ramps=RAMPS),
    PowerSum("load", "load", ramps=RAMPS),
    PowerSum("net_load", "load", "variable_generation", ramps=RAMPS),
    PowerSum("balance", "generation", "load_and_interchange"),
)
"""The sums of power of a location, in the order of their columns. Those of its load forecasts follow."""


def _list_forecast_sums(forecast: str) -> tuple[PowerSum, ...]:
    """Returns the sums with the load forecast of this name: its error, and the forecast of net load."""
    return (
        PowerSum(f"{forecast}_error", "load", forecast),
        PowerSum(f"net_{forecast}", forecast, "renewable_forecast", every_lookback=True),
    )


class Labels(NamedTuple):
    """The prefixes of the features of a location, in their name and in their key."""

    name: str
    key: str


def derive_power(inputs: Columns) -> Columns:
    """Returns the renewable share, net load, balance, their ramps, net-load forecasts, and errors of load forecasts."""
    builder, table = ColumnBuilder(inputs.values.shape[1]), SeriesTable(inputs)
    counts: dict[str, int] = defaultdict(int)
    for (source, location), names in table.groups().items():
        labels = Labels(f"{source}/{location}", f"{source}/{counts[source]}")
        counts[source] += 1
        forecasts = list_of_kind(source, names, "load_forecast")
        parts = _find_power_parts(source, names) | {forecast: names[forecast][:1] for forecast in forecasts}
        _add_share(builder, table, parts, labels)
        for power_sum in (*POWER_SUMS, *chain.from_iterable(map(_list_forecast_sums, forecasts))):
            _add_sum(builder, table, power_sum, parts, labels)
    return builder.build()


def _find_power_parts(source: str, names: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Returns the series of each part of a location's power; `names` are its series by variable. A missing part is
    empty."""
    generation = _group_by_fuel(source, names, "generation")
    forecasts = _group_by_fuel(source, names, "generation_forecast")
    load_series = _find_first_of_kind(source, names, "load")[:1]
    mix_series = _join(generation.values()) if len(generation) > 1 else ()
    renewable = (series for fuel, series in generation.items() if fuel in RENEWABLE)
    return {
        "load": load_series,
        "load_and_interchange": load_series and load_series + _find_first_of_kind(source, names, "net_interchange"),
        "variable_generation": _join(generation.get(fuel, ()) for fuel in VARIABLE_FUELS),
        "mix": mix_series,
        "renewable_mix": _join(renewable) if mix_series else (),
        "generation": _find_first_of_kind(source, names, "net_generation") or mix_series,
        "renewable_forecast": _join(forecasts.get(fuel, ()) for fuel in VARIABLE_FUELS),
    }


def _find_first_of_kind(source: str, names: Mapping[str, tuple[str, ...]], kind: QuantityKind) -> tuple[str, ...]:
    """Returns the series of the first variable of this `kind`; empty if there is none."""
    return next((names[variable] for variable in list_of_kind(source, names, kind)), ())


def _group_by_fuel(source: str, names: Mapping[str, tuple[str, ...]], kind: QuantityKind) -> dict[str, tuple[str, ...]]:
    """Returns the series of generation of this `kind`, by fuel."""
    fuels: dict[str, tuple[str, ...]] = {}
    for variable, series in names.items():
        quantity = find_quantity(source, variable)
        if quantity is not None and quantity.kind == kind:
            fuels[quantity.fuel] = (*fuels.get(quantity.fuel, ()), *series)
    return fuels


def _join(series: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(chain.from_iterable(series))


def _add_sum(
    builder: ColumnBuilder,
    table: SeriesTable,
    power_sum: PowerSum,
    parts: Mapping[str, tuple[str, ...]],
    labels: Labels,
) -> None:
    """Adds `power_sum` and its ramps if the location has all of its parts. A sum of a single series is not added as a
    column."""
    plus, minus = parts[power_sum.plus], parts[power_sum.minus] if power_sum.minus else ()
    if not plus or (power_sum.minus and not minus):
        return
    terms = dict.fromkeys(plus, 1) | dict.fromkeys(minus, -1)
    freshest = table.common(terms)
    lookbacks = table.lookbacks(plus[0]) if power_sum.every_lookback else [freshest]
    for lookback in (hours for hours in lookbacks if hours >= freshest):
        values, observed = table.total(terms, lookback)
        formula = format_formula(terms)
        feature = _describe(labels, power_sum.name, table.unit(plus[0]), formula, lookback, table.step)
        if len(terms) > 1:
            builder.add(feature, values, observed)
        for hours in power_sum.ramps:
            rows = hours * HOUR // table.step
            if not rows:
                continue  # a step of a day contains the ramp
            ramp_formula = f"change of ({formula}) over {hours} h, of {describe_row(-lookback, table.step)}"
            ramp = feature.then(f" ramp {hours}h", ramp_formula, more=rows)
            builder.add(ramp, values - shift_later(values, rows), observed & shift_mask_later(observed, rows))


def _add_share(
    builder: ColumnBuilder, table: SeriesTable, parts: Mapping[str, tuple[str, ...]], labels: Labels
) -> None:
    """Adds the renewable share of the generation mix, NaN where nothing is generated."""
    renewable, mix = (dict.fromkeys(parts[part], 1) for part in ("renewable_mix", "mix"))
    if not renewable:
        return
    lookback = table.common(mix)
    (renewable_power, _), (total_power, observed) = table.total(renewable, lookback), table.total(mix, lookback)
    share = np.divide(renewable_power, total_power, out=np.full_like(total_power, np.nan), where=total_power > 0)
    formula = f"({format_formula(renewable)}) / ({format_formula(mix)})"
    builder.add(_describe(labels, "renewable_share", "1", formula, lookback, table.step), share, observed)


def _describe(labels: Labels, name: str, unit: str, formula: str, lookback: int, step: timedelta) -> Feature:
    full_name, key = (f"{label}/{name}{format_shift(-lookback, step)}" for label in labels)
    return Feature(full_name, unit, f"{formula}, of {describe_row(-lookback, step)}", lookback, None, key)
