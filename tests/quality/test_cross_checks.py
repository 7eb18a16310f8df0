"""Comparisons of series that should agree, against differences that were put in."""

from datetime import UTC, datetime

import numpy as np
import pytest

from gridtide.quality.cross_checks import compare_months, sum_residuals
from tests.quality.test_screening import demand_wave

START = datetime(2023, 1, 1, tzinfo=UTC)
HOURS = (31 + 28 + 31) * 24


def test_each_month_has_its_bias_lag_and_drift() -> None:
    """An equal month, one of 5 % more, and one that is two hours late are told apart."""
    reference = demand_wave(HOURS)
    series = reference.copy()
    february, march = slice(744, 744 + 672), slice(744 + 672, HOURS)
    series[february] *= 1.05
    series[march] = reference[744 + 672 - 2 : HOURS - 2]
    compared = compare_months(series, reference, START)
    assert [str(month) for month in compared.months] == ["2023-01", "2023-02", "2023-03"]
    assert compared.hours.tolist() == [744, 672, 744]
    assert compared.lag.tolist() == [0, 0, 2]
    np.testing.assert_allclose(compared.bias[0], 0, atol=1e-9)
    np.testing.assert_allclose(compared.bias[1], 0.05 * reference[february].mean())
    np.testing.assert_allclose(compared.relative_bias[:2], [0, 0.05], atol=1e-12)
    np.testing.assert_allclose(compared.correlation[:2], [1, 1])
    assert compared.correlation[2] < 0.95
    assert np.isnan(compared.drift[0])
    np.testing.assert_allclose(compared.drift[1], 0.05)


@pytest.mark.filterwarnings("error")
def test_months_that_cannot_be_compared_say_so() -> None:
    """Too few common hours, and a series that does not vary, have no correlation; other lengths are refused."""
    reference, series = demand_wave(HOURS), demand_wave(HOURS, 1)
    series[47:744] = np.nan
    reference[744 : 744 + 672] = 5.0
    compared = compare_months(series, reference, START)
    assert compared.hours.tolist() == [47, 672, 744]
    assert np.isnan(compared.bias).tolist() == [True, False, False]
    assert np.isnan(compared.correlation).tolist() == [True, True, False]
    assert compared.lag[:2].tolist() == [0, 0]
    with pytest.raises(ValueError, match="10 and 11 hours cannot be compared"):
        compare_months(series[:10], reference[:11], START)


def test_residuals_are_what_a_sum_lacks() -> None:
    """Demand = net generation − interchange holds but for one hour, and is not known where a part is missing."""
    generation, interchange = demand_wave(100), demand_wave(100, 3) / 10
    demand = generation - interchange
    demand[40] += 7
    interchange[50] = np.nan
    residuals = sum_residuals(np.stack([generation, interchange]), np.array([1.0, -1.0]), demand)
    assert np.isnan(residuals).nonzero()[0].tolist() == [50]
    np.testing.assert_allclose(residuals[40], -7)
    np.testing.assert_allclose(np.delete(residuals, [40, 50]), 0, atol=1e-9)
