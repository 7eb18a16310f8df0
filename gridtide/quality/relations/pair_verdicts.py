"""Judges, month by month, how far series agree with others; pure.

    agreement.bias.REFERENCE, .correlation., .lag., .drift.     a quantity from two sources
    forecast.bias.REFERENCE, …                                  a forecast and what came

The verdicts of a month have its first day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import Any

import numpy as np

from gridtide.quality.cross_checks import Comparison, compare_months
from gridtide.quality.daily import DayVerdict, HourlySeries
from gridtide.quality.flags import Flag, find_worst
from gridtide.quality.relations.pairs import SeriesPair
from gridtide.quality.table import is_monthly
from gridtide.variables import find_hourly_conversion


def judge_pairs(
    hourly: HourlySeries, pairs: Sequence[SeriesPair], first_month: date
) -> tuple[list[DayVerdict], list[str]]:
    """Judges `pairs` among the series of `hourly` in each month from `first_month` on; months before it only give the
    drift.

    Returns the verdicts, and a sentence for each pair whose units cannot be compared. Pairs of series that `hourly`
    does not have are left out.
    """
    numbers = {name: number for number, name in enumerate(hourly.names)}
    verdicts: list[DayVerdict] = []
    problems = []
    for pair in pairs:
        if pair.series not in numbers or pair.reference not in numbers:
            continue
        series, reference = numbers[pair.series], numbers[pair.reference]
        conversion = find_hourly_conversion(hourly.units[reference], hourly.units[series])
        if conversion is None:
            units = f"{hourly.units[series]} and {hourly.units[reference]}"
            problems.append(f"{pair.series} and {pair.reference} are in {units}, which cannot be compared")
            continue
        converted_values = hourly.values[reference] * conversion.factor + conversion.offset
        comparison = compare_months(hourly.values[series], converted_values, hourly.start)
        verdicts += _judge_comparison(pair, comparison, first_month)
    return verdicts, problems


def _judge_comparison(pair: SeriesPair, comparison: Comparison, first_month: date) -> Iterator[DayVerdict]:
    """Yields the verdicts of each month with a bias: one for each measure that could be taken."""
    family = "forecast" if pair.is_forecast else "agreement"
    limits = pair.limits
    for number, month in enumerate(comparison.months.astype("datetime64[D]").tolist()):
        if month < first_month or np.isnan(comparison.bias[number]):
            continue
        correlation, lag = float(comparison.correlation[number]), float(comparison.lag[number])
        bias, drift = float(comparison.relative_bias[number]), float(comparison.drift[number])
        has_lag = not np.isnan(correlation)
        measures = (
            ("bias", bias, limits.bias, abs(bias) > limits.bias),
            ("correlation", correlation, limits.correlation, correlation < limits.correlation),
            ("lag", lag if has_lag else float("nan"), 0.0, lag != 0),
            ("drift", drift, limits.drift, abs(drift) > limits.drift),
        )
        for measure, value, threshold, is_suspect in measures:
            if not np.isnan(value):
                flag = Flag.SUSPECT if is_suspect else Flag.GOOD
                yield DayVerdict(pair.series, month, f"{family}.{measure}.{pair.reference}", flag, value, threshold)


PAIR_MEASURES = ("bias", "correlation", "lag", "drift")
"""What is measured of a pair in a month."""


def tabulate_months(verdicts: Iterable[DayVerdict]) -> list[dict[str, Any]]:
    """Returns a row for each pair and month in `verdicts`, sorted: `series`, `reference`, `month`, each of
    `PAIR_MEASURES` (None if it could not be taken), and the worst `flag`."""
    verdicts_by_pair: dict[tuple[str, str, date], dict[str, DayVerdict]] = defaultdict(dict)
    for verdict in verdicts:
        if is_monthly(verdict.check):
            _, measure, reference = verdict.check.split(".", 2)
            verdicts_by_pair[verdict.series, reference, verdict.day][measure] = verdict
    return [
        {
            "series": series,
            "reference": reference,
            "month": f"{month:%Y-%m}",
            **{measure: of_pair[measure].value if measure in of_pair else None for measure in PAIR_MEASURES},
            "flag": find_worst([verdict.flag for verdict in of_pair.values()]).name.lower(),
        }
        for (series, reference, month), of_pair in sorted(verdicts_by_pair.items())
    ]
