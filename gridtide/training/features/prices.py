"""Price features: spreads between markets and between locations."""

from __future__ import annotations

from collections import defaultdict

from gridtide.training.features.columns import ColumnBuilder, Columns, Feature
from gridtide.training.features.series_table import SeriesTable, format_formula, list_of_kind
from gridtide.training.series.steps import describe_row, format_shift


def derive_prices(inputs: Columns) -> Columns:
    """Returns, at each location, real-time less day-ahead prices, and its price less that of the first location of the
    source."""
    builder, table = ColumnBuilder(inputs.values.shape[1]), SeriesTable(inputs)
    reference_series: dict[tuple[str, str], str] = {}
    counts: dict[str, int] = defaultdict(int)
    for (source, location), names in sorted(table.places.items()):
        day_ahead, real_time = (list_of_kind(source, names, kind) for kind in ("day_ahead_price", "real_time_price"))
        if not (day_ahead or real_time):
            continue
        key_prefix = f"{source}/{counts[source]}"
        counts[source] += 1
        spreads: list[tuple[str, dict[str, int], list[int]]] = []
        for variable in (*day_ahead, *real_time):
            series = names[variable]
            if variable in real_time and day_ahead:
                difference = {series: 1, names[day_ahead[0]]: -1}
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
                label = f"{name}{format_shift(-lookback, table.step)}"
                formula = f"{format_formula(terms)}, of {describe_row(-lookback, table.step)}"
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
