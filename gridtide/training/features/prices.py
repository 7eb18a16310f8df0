"""Features of prices: components and spreads."""

from __future__ import annotations

from collections import defaultdict

from gridtide.training.features.columns import ColumnBuilder, Columns, Feature
from gridtide.training.features.series_table import SeriesTable, format_formula

PRICES = ("lmp_real_time", "lmp_real_time_preliminary", "lmp_five_minute")


def price_columns(inputs: Columns) -> Columns:
    """Real-time less day-ahead prices at each place, and each place's price less that of the source's first."""
    builder, table = ColumnBuilder(inputs.values.shape[1]), SeriesTable(inputs)
    first: dict[tuple[str, str], str] = {}
    counts: dict[str, int] = defaultdict(int)
    for (source, place), names in sorted(table.places.items()):
        priced = [variable for variable in ("lmp_day_ahead", *PRICES) if variable in names]
        if not priced:
            continue
        nth = counts[source]
        counts[source] += 1
        spreads: list[tuple[str, dict[str, int], list[int]]] = []
        for variable in priced:
            series = names[variable]
            if variable in PRICES and "lmp_day_ahead" in names:
                difference = {series: 1, names["lmp_day_ahead"]: -1}
                spreads.append((f"{variable}_less_day_ahead", difference, [table.common(difference)]))
            hub = first.setdefault((source, variable), series)
            if hub != series:
                common = [back for back in table.lookbacks(series) if back in table.lookbacks(hub)]
                spreads.append((f"{variable}_less_{hub.split('/')[1]}", {series: 1, hub: -1}, common))
        for name, terms, lookbacks in spreads:
            for back in lookbacks:
                label = f"{name}{-back:+d}h"
                text = f"{format_formula(terms)}, of the row's hour {-back:+d} h"
                unit = table.unit(next(iter(terms)))
                builder.add(
                    Feature(f"{source}/{place}/{label}", unit, text, back, None, f"{source}/{nth}/{label}"),
                    *table.total(terms, back),
                )
    return builder.build()
