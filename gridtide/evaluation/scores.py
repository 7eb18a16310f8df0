"""Measures of forecasts: MAE, RMSE, MAPE, MASE, and of their quantiles the pinball loss and the CRPS.

Hyndman and Koehler, Another look at measures of forecast accuracy, 2006; Gneiting and Raftery, Strictly proper scoring
rules, prediction, and estimation, 2007.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from gridtide.observations.array_types import Floats, Integers, Mask

QUANTILE_LEVELS = np.arange(1, 20) / 20
"""The levels of the quantiles: 5 %, 10 %, …, 95 %."""

SEASONS = ("winter", "spring", "summer", "autumn")

MEASURES = ("mae", "rmse", "mape", "mase", "pinball", "crps")
"""MAPE is in percent and MASE a ratio, the others are in the unit of the target."""


@dataclass(frozen=True)
class PredictedCells:
    """Predicted steps, (M,) each: `truth`, `point` and `scale` (the mean error of the day before in training), and
    `quantiles` (M, Q) at `QUANTILE_LEVELS`; M is 0 for none."""

    truth: Floats
    point: Floats
    scale: Floats
    quantiles: Floats

    def where(self, chosen: Mask) -> PredictedCells:
        """Returns the chosen cells."""
        return PredictedCells(self.truth[chosen], self.point[chosen], self.scale[chosen], self.quantiles[chosen])


def score_cells(cells: PredictedCells) -> dict[str, float | int | None]:
    """Returns every measure over `cells`, and their number; None for what cannot be computed.

    MAPE leaves out cells whose truth is 0, and `mape_cells` counts the others. Without quantiles, pinball loss and CRPS
    are None. CRPS is the integral of twice the pinball loss over all levels, by the trapezoidal rule over
    `QUANTILE_LEVELS` and the levels 0 and 1, at which the loss is 0.
    """
    if not len(cells.truth):
        return {"cells": 0, "mape_cells": 0, **dict.fromkeys(MEASURES)}
    errors = np.abs(cells.point - cells.truth)
    nonzero = cells.truth != 0
    scaled_errors = errors / cells.scale
    pinball = float(np.mean(pinball_loss(cells.truth, cells.quantiles))) if cells.quantiles.size else None
    return {
        "cells": len(errors),
        "mape_cells": int(nonzero.sum()),
        "mae": float(errors.mean()),
        "rmse": float(np.sqrt(np.square(errors).mean())),
        "mape": float(100 * (errors[nonzero] / np.abs(cells.truth[nonzero])).mean()) if nonzero.any() else None,
        "mase": float(scaled_errors.mean()) if np.isfinite(scaled_errors).all() else None,
        "pinball": pinball,
        "crps": None if pinball is None else 2 * pinball * len(QUANTILE_LEVELS) / (len(QUANTILE_LEVELS) + 1),
    }


def pinball_loss(truth: Floats, quantiles: Floats) -> Floats:
    """Returns the loss of `quantiles` (M, Q) at `QUANTILE_LEVELS`, (M, Q).

    It is their distance from `truth` (M,), weighted by the level where the truth is above, and by its complement where
    it is below.
    """
    above = truth[:, None] - quantiles
    return np.asarray(np.maximum(QUANTILE_LEVELS * above, (QUANTILE_LEVELS - 1) * above))


def seasonal_scale(series: Floats, end: int, season: int) -> float:
    """Returns the mean absolute difference of `series` (T,) from the value `season` steps before, over the steps before
    `end`; NaN if there is none."""
    before = series[:end]
    differences = np.abs(before[season:] - before[:-season])
    return float(np.nanmean(differences)) if (~np.isnan(differences)).any() else np.nan


def group_cells(ahead: Integers, hour: Integers | None, month: Integers) -> Iterator[tuple[str, str, Mask]]:
    """Yields the groups of cells: all, and by steps ahead, season of the northern hemisphere, and local hour unless it
    is None, each with the mask of its cells."""
    yield "all", "", np.ones(len(ahead), bool)
    for steps in np.unique(ahead).tolist():
        yield "horizon", str(steps), ahead == steps
    season = month % 12 // 3
    for number in np.unique(season).tolist():
        yield "season", SEASONS[number], season == number
    for number in [] if hour is None else np.unique(hour).tolist():
        yield "hour", str(number), hour == number


def describe_score(score: Mapping[str, float | int | None], measure: str) -> str:
    """Returns the value of `measure` as text; a dash if there is none."""
    value = score[measure]
    if value is None:
        return "–"
    digits = 3 if measure in ("mape", "mase") else 1 if abs(value) >= 100 else 2
    return f"{value:,.{digits}f}" + (" %" if measure == "mape" else "")
