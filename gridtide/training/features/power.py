"""Features of power: net load, ramps, shares of renewable generation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np

from gridtide.training.features.columns import ColumnBuilder, Columns, Feature, shift_later, shift_mask_later
from gridtide.training.features.series_table import LOAD_FORECASTS, LOADS, SeriesTable, format_formula

RAMPS = (1, 3)
"""Hours over which changes are taken."""


RENEWABLE_FORECASTS = ("generation_wind_forecast_day_ahead", "generation_solar_forecast_day_ahead")


RENEWABLE = ("wind", "solar", "hydro", "geo", "wood", "refuse", "landfill_gas", "biomass")


def power_columns(inputs: Columns) -> Columns:
    """Renewable share, net load, balance, their ramps, forecasts of net load, and how load forecasts erred."""
    builder, table = ColumnBuilder(inputs.values.shape[1]), SeriesTable(inputs)
    counts: dict[str, int] = defaultdict(int)
    for (source, place), names in table.groups().items():
        nth = counts[source]
        counts[source] += 1
        _power_of(builder, table, names, (f"{source}/{place}", f"{source}/{nth}"))
    return builder.build()


def _power_of(
    builder: ColumnBuilder, table: SeriesTable, names: Mapping[str, tuple[str, ...]], label: tuple[str, str]
) -> None:
    """Add what can be made of `names` (variable → series) of one place, called `label` in name and key."""

    def feature(name: str, unit: str, terms: Mapping[str, int], lookback: int) -> Feature:
        full, key = (f"{prefix}/{name}{-lookback:+d}h" for prefix in label)
        return Feature(full, unit, f"{format_formula(terms)}, of the row's hour {-lookback:+d} h", lookback, None, key)

    def add(name: str, terms: Mapping[str, int], *, ramps: bool = False, back: int | None = None) -> None:
        back = table.common(terms) if back is None else back
        values, observed = table.total(terms, back)
        made_of = feature(name, table.unit(next(iter(terms))), terms, back)
        if len(terms) > 1:
            builder.add(made_of, values, observed)
        for hours in RAMPS if ramps else ():
            text = f"change of ({format_formula(terms)}) over {hours} h, of the row's hour {-back:+d} h"
            ramp = made_of.then(f" ramp {hours}h", text, more=hours)
            builder.add(ramp, values - shift_later(values, hours), observed & shift_mask_later(observed, hours))

    fuels = {v: all_ for v, all_ in names.items() if v.startswith("generation_") and "_forecast" not in v}
    weather_made = _signed(1, *(fuels.get(f"generation_{fuel}", ()) for fuel in ("wind", "solar")))
    load = _signed(1, next((names[variable][:1] for variable in LOADS if variable in names), ()))
    if len(fuels) > 1:
        _share(builder, table, fuels, feature)
    if weather_made:
        add("variable_generation", weather_made, ramps=True)
    if load:
        add("load", load, ramps=True)
    if load and weather_made:
        add("net_load", load | _signed(-1, weather_made), ramps=True)
    generation = _signed(1, names["net_generation"]) if "net_generation" in names else _signed(1, *fuels.values())
    if load and ("net_generation" in names or len(fuels) > 1):
        add("balance", generation | _signed(-1, load, names.get("net_interchange", ())))
    for forecast in (variable for variable in LOAD_FORECASTS if variable in names):
        expected = names[forecast][:1]
        if load:
            add(f"{forecast}_error", load | _signed(-1, expected))
        renewable = _signed(-1, *(names.get(variable, ()) for variable in RENEWABLE_FORECASTS))
        terms = _signed(1, expected) | renewable
        for back in table.lookbacks(expected[0]) if renewable else ():
            if back >= table.common(terms):
                add(f"net_{forecast}", terms, back=back)


def _signed(sign: int, *series: Iterable[str]) -> dict[str, int]:
    return {name: sign for names in series for name in names}


def _share(
    builder: ColumnBuilder,
    table: SeriesTable,
    fuels: Mapping[str, tuple[str, ...]],
    feature: Callable[[str, str, Mapping[str, int], int], Feature],
) -> None:
    """Add which share of the generation by `fuels` is renewable, NaN where there is none."""
    renewable = _signed(1, *(series for v, series in fuels.items() if v.removeprefix("generation_") in RENEWABLE))
    every = _signed(1, *fuels.values())
    if not renewable:
        return
    back = table.common(every)
    (renewable_power, _), (total, observed) = table.total(renewable, back), table.total(every, back)
    share = np.divide(renewable_power, total, out=np.full_like(total, np.nan), where=total > 0)
    text = f"({format_formula(renewable)}) / ({format_formula(every)}), of the row's hour {-back:+d} h"
    builder.add(replace(feature("renewable_share", "1", every, back), formula=text), share, observed)
