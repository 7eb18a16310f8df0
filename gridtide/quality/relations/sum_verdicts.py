"""Judges sums across series, by hour and by day; pure.

relation ─► residual of each hour ─┬─► consistency.RELATION   by day: what the sum lacks, as a share of it
                                   ├─► consistency            by day: the worst of these
                                   └─► Residuals              every hour that was judged
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from gridtide.observations.array_types import Floats, Integers
from gridtide.quality.cross_checks import sum_residuals
from gridtide.quality.daily import DAILY_LIMITS, DailyLimits, DayVerdict, HourlySeries
from gridtide.quality.flags import Flag
from gridtide.quality.relations.equations import Relation
from gridtide.variables import find_hourly_conversion

HOURS_PER_DAY = 24

CONSISTENCY = "consistency"
"""The check that says the worst of all sums of a series."""


@dataclass(frozen=True)
class RelationResiduals:
    """What the sum `relation` of `series` lacks: the `hours` (N,), counted from the start of the series, its `totals`
    (N,), and its `residuals` (N,): the sum of the parts less the total."""

    series: str
    relation: str
    hours: Integers
    totals: Floats
    residuals: Floats


def judge_relations(
    hourly: HourlySeries, relations: Sequence[Relation], first_day: int, limits: DailyLimits = DAILY_LIMITS
) -> tuple[list[DayVerdict], list[RelationResiduals], list[str]]:
    """Judges the days of `relations` among the series of `hourly` from the `first_day`-th on; the days before it only
    show what is usual.

    Returns the verdicts of each relation and, as `consistency`, the worst of those of each series and day; the
    residuals of all judged hours, in the unit of their total; and a sentence for each relation whose units cannot be
    added.
    """
    verdicts: list[DayVerdict] = []
    residuals_by_relation = []
    problems = []
    for relation in relations:
        signs = _convert_signs(hourly, relation)
        if signs is None:
            units = ", ".join(sorted({hourly.units[number] for number in relation.signs}))
            total_unit = hourly.units[relation.total]
            problems.append(
                f"the sum {relation.name} of {hourly.names[relation.total]}: parts in {units} are no {total_unit}"
            )
            continue
        total = hourly.values[relation.total]
        residuals = sum_residuals(hourly.values[list(relation.signs)], signs, total)
        verdicts += _judge_relation(hourly, relation, residuals, first_day, limits)
        hours = first_day * HOURS_PER_DAY + np.flatnonzero(~np.isnan(residuals[first_day * HOURS_PER_DAY :]))
        residuals_by_relation.append(
            RelationResiduals(hourly.names[relation.total], relation.name, hours, total[hours], residuals[hours])
        )
    return [*find_worst_relations(verdicts), *verdicts], residuals_by_relation, problems


def _convert_signs(hourly: HourlySeries, relation: Relation) -> Floats | None:
    """Returns the sign of each part of `relation`, times what its unit is of that of the total, (parts,); None if the
    unit of a part is none of the total's."""
    unit = hourly.units[relation.total]
    conversions = [find_hourly_conversion(hourly.units[part], unit) for part in relation.signs]
    factors = [conversion.factor for conversion in conversions if conversion and not conversion.offset]
    if len(factors) < len(conversions):
        return None
    signs: Floats = np.array(list(relation.signs.values()), np.float64) * np.array(factors)
    return signs


def _judge_relation(
    hourly: HourlySeries, relation: Relation, residuals: Floats, first_day: int, limits: DailyLimits
) -> Iterator[DayVerdict]:
    sizes = np.abs(residuals).reshape(-1, HOURS_PER_DAY)
    totals = np.abs(hourly.values[relation.total]).reshape(-1, HOURS_PER_DAY)
    judge = _judge_by_custom if relation.share is None else _judge_by_rule
    for day, flag, value, threshold in judge(relation, sizes, totals, limits):
        if day >= first_day:
            moment = _date_day(hourly, day)
            yield DayVerdict(
                hourly.names[relation.total], moment, f"consistency.{relation.name}", flag, value, threshold
            )


_DayJudgement = tuple[int, Flag, float, float]
"""The number of a day, its flag, what its sum lacks as a share, and the threshold."""


def _judge_by_custom(relation: Relation, sizes: Floats, totals: Floats, limits: DailyLimits) -> Iterator[_DayJudgement]:
    """Yields the days with a residual in `sizes` (days, 24): the median residual as a share of the mean of `totals`
    (days, 24); suspect above the limit and twice what is usual."""
    shares = np.full(len(sizes), np.nan)
    days = np.flatnonzero((~np.isnan(sizes)).any(axis=1))
    mean_totals = np.nanmean(np.where(np.isnan(sizes[days]), np.nan, totals[days]), axis=1)
    medians = np.nanmedian(sizes[days], axis=1) if days.size else mean_totals
    shares[days] = np.divide(medians, mean_totals, out=np.full(len(days), np.nan), where=mean_totals > 0)
    judged_days = np.flatnonzero(~np.isnan(shares))
    threshold = max(limits.residual, 2 * float(np.median(shares[judged_days]))) if judged_days.size else limits.residual
    for day in judged_days:
        flag = Flag.SUSPECT if shares[day] > threshold else Flag.GOOD
        yield int(day), flag, float(shares[day]), threshold


FLOAT_NOISE = 1e-9
"""The share of a total by which a sum of floats may miss it."""


def _judge_by_rule(relation: Relation, sizes: Floats, totals: Floats, _: DailyLimits) -> Iterator[_DayJudgement]:
    """Yields the days with a residual in `sizes` (days, 24): that of the hour that breaks the rule most, or comes
    nearest to it, as a share of its total in `totals` (days, 24); suspect if it breaks the rule."""
    largest_sizes = relation.tolerance + ((relation.share or 0.0) + FLOAT_NOISE) * totals
    for day in np.flatnonzero((~np.isnan(sizes)).any(axis=1)):
        hour = int(np.nanargmax(sizes[day] - largest_sizes[day]))
        size, limit, total = (float(hours[day, hour]) for hours in (sizes, largest_sizes, totals))
        scale = total or float(np.nanmean(totals[day])) or 1.0
        yield int(day), Flag.SUSPECT if size > limit else Flag.GOOD, size / scale, limit / scale


def find_worst_relations(verdicts: Sequence[DayVerdict]) -> list[DayVerdict]:
    """Returns, as `consistency`, the worst verdict of each series and day: the suspect one, or the one that is nearest
    to its threshold."""
    worst: dict[tuple[str, date], DayVerdict] = {}
    for verdict in verdicts:
        key = verdict.series, verdict.day
        worst[key] = max(worst.get(key, verdict), verdict, key=_measure_gravity)
    return [verdict._replace(check=CONSISTENCY) for verdict in worst.values()]


def _measure_gravity(verdict: DayVerdict) -> tuple[bool, float]:
    return verdict.flag != Flag.GOOD, verdict.value / verdict.threshold if verdict.threshold else verdict.value


def _date_day(hourly: HourlySeries, number: int) -> date:
    return (hourly.start + timedelta(days=number)).date()
