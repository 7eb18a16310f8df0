"""Brings hourly series to days of UTC.

    hours known   |x|x|x|x| … |x|      by the end of the day of the last: all 24
    day known                  d
    hours known   |x|x| |x| … |x|      not before the end of the next day: 75 % of them
    day known                          d

Energy is summed, and extrapolated to the hours that are missing; everything else is averaged. What a day shows at a
moment depends only on the hours known by then, not on whether the others will ever be. If they change later, the day
has several versions.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import numpy.typing as npt

from gridtide.observations.array_types import Floats, Mask
from gridtide.observations.availability import NEVER_KNOWN
from gridtide.periods import HOUR
from gridtide.sources.registry import find_hourly_rule
from gridtide.training.series.hourly import Hourly, Vintages
from gridtide.training.series.hourly_grid import OBSERVED
from gridtide.variables import SeriesName


def coarsen_hours(hourly: Hourly, step: timedelta) -> Hourly:
    """Returns the series of `hourly` in steps of `step`, a multiple of an hour of which its period has whole ones."""
    rows = step // HOUR
    is_summed = np.array([_is_energy(name, unit) for name, unit in zip(hourly.names, hourly.units, strict=True)], bool)
    values, known_row, is_simple = _join_hours(hourly.values, hourly.known_row, rows)
    values[is_summed] *= rows
    vintages = {}
    for number in range(len(values)):
        if number in hourly.vintages or not is_simple[number]:
            versions = _join_versions(hourly.versions(number), rows, bool(is_summed[number]))
            values[number], known_row[number] = np.nan, NEVER_KNOWN
            values[number, versions.row], known_row[number, versions.row] = versions.value, versions.known_row
            vintages[number] = versions
    refused = {
        number: hours.reshape(-1, rows).any(axis=1) & np.isnan(values[number])
        for number, hours in hourly.refused.items()
    }
    return Hourly(
        *(hourly.period, hourly.names, hourly.units, values, known_row, vintages, hourly.repeats, refused),
        corrections=hourly.corrections,
        step=step,
    )


def _is_energy(name: str, unit: str) -> bool:
    source, _, variable = SeriesName.parse(name)
    return find_hourly_rule(source, variable, unit) == "sum"


def _join_hours(
    values: Floats, known_row: npt.NDArray[np.int32], rows: int
) -> tuple[Floats, npt.NDArray[np.int32], Mask]:
    """Returns the means (C, T / rows) of every `rows` hours of `values` (C, T), the row by whose end they were known,
    and which series (C,) have no more than one version of each."""
    by_step = values.reshape(len(values), -1, rows)
    is_known = ~np.isnan(by_step)
    count, next_row = is_known.sum(axis=2), np.arange(by_step.shape[1]) + 1
    joined = np.where(
        count >= OBSERVED * rows, np.where(is_known, by_step, 0).sum(axis=2) / np.maximum(count, 1), np.nan
    )
    latest = np.where(is_known, known_row.reshape(by_step.shape) // rows, np.iinfo(np.int32).min).max(axis=2)
    is_simple = (latest <= next_row).all(axis=1)
    latest = np.where(count < rows, next_row, latest)
    return joined, np.where(np.isnan(joined), NEVER_KNOWN, latest).astype(np.int32), is_simple


def _join_versions(versions: Vintages, rows: int, is_summed: bool) -> Vintages:
    """Returns the versions of every `rows` hours: at the end of each step by which a version of one of them became
    known, the value of those known by then, if they are enough."""
    steps, hours, known_steps = versions.row // rows, versions.row % rows, versions.known_row // rows
    joined: list[tuple[int, int, float]] = []
    order = np.argsort(steps, kind="stable")  # within a step in the order in which they became known
    for of_step in np.split(order, np.flatnonzero(np.diff(steps[order])) + 1) if len(order) else ():
        step, newest = int(steps[of_step[0]]), np.full(rows, np.nan)
        for known_step in np.union1d(known_steps[of_step], [step + 1]).tolist():
            chosen = of_step[known_steps[of_step] == known_step]
            newest[hours[chosen]] = versions.value[chosen]
            is_known = ~np.isnan(newest)
            if is_known.all() or (known_step > step and is_known.sum() >= OBSERVED * rows):
                value = newest[is_known].mean() * (rows if is_summed else 1)
                joined.append((known_step, step, float(value)))
    joined.sort(key=lambda version: version[:2])
    known_column, described, value_column = np.array(joined, np.float64).reshape(-1, 3).T
    return Vintages(described.astype(np.int64), known_column.astype(np.int64), value_column)
