"""Price features: spreads between markets and between locations."""

from __future__ import annotations

from collections import defaultdict

from gridtide.training.features.columns import ColumnBuilder, Columns, Feature
from gridtide.training.features.series_table import SeriesTable, format_formula

PRICES = ("lmp_real_time", "lmp_real_time_preliminary", "lmp_five_minute")


def price_columns(inputs: Columns) -> Columns:
    """Returns, at each location, real-time less day-ahead prices, and its price less that of the first location of the
    source."""
    builder, table = ColumnBuilder(inputs.values.shape[1]), SeriesTable(inputs)
    reference_series: dict[tuple[str, str], str] = {}
    counts: dict[str, int] = defaultdict(int)
    for (source, location), names in sorted(table.places.items()):
        price_variables = [variable for variable in ("lmp_day_ahead", *PRICES) if variable in names]
        if not price_variables:
            continue
        key_prefix = f"{source}/{counts[source]}"
        counts[source] += 1
        spreads: list[tuple[str, dict[str, int], list[int]]] = []
        for variable in price_variables:
            series = names[variable]
            if variable in PRICES and "lmp_day_ahead" in names:
                difference = {series: 1, names["lmp_day_ahead"]: -1}
                spreads.append((f"{variable}_less_day_ahead", difference, [table.common(difference)]))
            reference = reference_series.setdefault((source, variable), series)
            if reference != series:
                common_lookbacks = [
                    lookback for lookback in table.lookbacks(series) if lookback in table.lookbacks(reference)
                ]
                spreads.append(
                    (f"{variable}_less_{reference.split('/')[1]}", {series: 1, reference: -1}, common_lookbacks)
                )
        for name, terms, lookbacks in spreads:
            for lookback in lookbacks:
                label = f"{name}{-lookback:+d}h"
                formula = f"{format_formula(terms)}, of the row's hour {-lookback:+d} h"
                unit = table.unit(next(iter(terms)))
                builder.add(
                    Feature(
                        f"{source}/{location}/{label}",
                        unit,
                        formula,
                        lookback,
                        None,
                        f"{key_prefix}/{label}",
                    ),
                    *table.total(terms, lookback),
                )
    return builder.build()
