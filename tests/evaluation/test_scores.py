"""Measures, compared with their definitions one value at a time."""

from itertools import product

import numpy as np
import pytest

from gridtide.evaluation.scores import (
    QUANTILE_LEVELS,
    PredictedCells,
    group_cells,
    pinball_loss,
    score_cells,
    seasonal_scale,
)


def some_cells() -> PredictedCells:
    """Five steps, one of them 0, with quantiles around their points."""
    truth, point = np.array([100.0, 50.0, 0.0, -20.0, 10.0]), np.array([90.0, 55.0, 5.0, -25.0, 10.0])
    quantiles = point[:, None] + 10 * (QUANTILE_LEVELS - 0.5)
    return PredictedCells(truth, point, np.array([10.0, 10.0, 5.0, 5.0, 10.0]), quantiles)


def test_point_measures_are_their_definitions() -> None:
    """The measures are those of the definitions; MAPE leaves out the step whose value is 0."""
    score = score_cells(some_cells())
    assert (score["cells"], score["mape_cells"]) == (5, 4)
    assert score["mae"] == pytest.approx((10 + 5 + 5 + 5 + 0) / 5)
    assert score["rmse"] == pytest.approx(((100 + 25 + 25 + 25 + 0) / 5) ** 0.5)
    assert score["mape"] == pytest.approx(100 * (0.1 + 0.1 + 0.25 + 0) / 4)
    assert score["mase"] == pytest.approx((1 + 0.5 + 1 + 1 + 0) / 5)


def test_quantile_measures_are_their_definitions() -> None:
    """The pinball loss weighs errors by the level; the CRPS of quantiles agrees with the integral of the squared
    difference of the distribution function, wherever the truth lies."""
    cells = some_cells()
    total = 0.0
    for truth, row in zip(cells.truth, cells.quantiles, strict=True):
        for level, quantile in zip(QUANTILE_LEVELS, row, strict=True):
            total += level * (truth - quantile) if truth >= quantile else (1 - level) * (quantile - truth)
    assert score_cells(cells)["pinball"] == pytest.approx(total / cells.quantiles.size)
    grid = np.linspace(-60, 60, 60_001)
    uniform = np.clip((grid + 10) / 20, 0, 1)
    logistic = 1 / (1 + np.exp(-grid / 3))
    for distribution, truth in product((uniform, logistic), (-12.0, -4.0, 0.0, 3.0, 9.0)):
        quantiles = np.interp(QUANTILE_LEVELS, distribution, grid)
        integral = float(((distribution - (grid >= truth)) ** 2).sum() * (grid[1] - grid[0]))
        score = score_cells(PredictedCells(np.array([truth]), np.array([0.0]), np.ones(1), quantiles[None]))
        assert score["crps"] == pytest.approx(integral, rel=0.025)
    assert (pinball_loss(cells.truth, np.repeat(cells.truth[:, None], len(QUANTILE_LEVELS), axis=1)) == 0).all()


def test_without_quantiles_or_cells_there_is_no_measure_of_them() -> None:
    """Without quantiles, pinball loss and CRPS are None; without cells, everything is."""
    cells = some_cells()
    points = PredictedCells(cells.truth, cells.point, cells.scale, np.empty((5, 0)))
    assert (score_cells(points)["pinball"], score_cells(points)["crps"]) == (None, None)
    assert score_cells(cells.where(np.zeros(5, bool)))["mae"] is None


def test_the_scale_of_mase_is_the_error_of_the_day_before_in_training() -> None:
    """Values after the end of training do not count, and missing ones are left out."""
    series = np.array([1.0, 2.0, 4.0, np.nan, 8.0, 100.0])
    assert seasonal_scale(series, 5, 2) == pytest.approx((3 + 4) / 2)


def test_groups_cover_every_cell_once() -> None:
    """Each kind of group divides the cells; December belongs to winter."""
    ahead, hour, month = np.array([1, 2, 1]), np.array([0, 1, 5]), np.array([12, 1, 7])
    totals: dict[str, np.ndarray] = {}
    for group, key, mask in group_cells(ahead, hour, month):
        totals[group] = totals.get(group, np.zeros(3)) + mask
        if (group, key) == ("season", "winter"):
            assert mask.tolist() == [True, True, False]
    assert set(totals) == {"all", "horizon", "season", "hour"}
    assert all(total.tolist() == [1, 1, 1] for total in totals.values())
