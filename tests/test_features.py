"""Features against plain loops, and what they say of themselves."""

import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gridtide import features, spec
from gridtide.features import Columns, Feature
from gridtide.periods import Period

PLACE = spec.Location(name="ISNE", targets=("eia/ISNE/demand",), inputs=("eia/ISNE/*",))


def some_numbers(seed: int) -> np.ndarray:
    """Two columns of 30 rows, a part of them missing."""
    random = np.random.default_rng(seed)
    values = random.integers(-99, 100, (2, 30)).astype(float)
    values[random.random((2, 30)) < random.random()] = math.nan
    return values


numbers = st.integers(0, 2**32 - 1).map(some_numbers)


@given(values=numbers, hours=st.integers(1, 40))
def test_rolling_statistics_are_those_of_a_plain_loop(values: np.ndarray, hours: int) -> None:
    """Over what is known of the last hours, row by row."""
    found = features.rolling(values, [hours])[0]
    for column in range(2):
        for row in range(30):
            known = [v for v in values[column, max(row - hours + 1, 0) : row + 1] if not math.isnan(v)]
            expected = [np.mean(known), np.std(known), min(known), max(known)] if known else [math.nan] * 4
            np.testing.assert_allclose(found[:, column, row], expected, atol=1e-5)


@given(values=numbers, later=numbers, cut=st.integers(1, 29), hours=st.integers(1, 40))
def test_what_comes_later_changes_nothing_before_it(
    values: np.ndarray, later: np.ndarray, cut: int, hours: int
) -> None:
    """Not by one bit: whatever replaces the rows from a cut on."""
    changed = np.concatenate([values[:, :cut], later[:, cut:]], axis=1)
    pairs = [(features.lagged(values, hours), features.lagged(changed, hours))]
    pairs.append((features.rolling(values, [hours]), features.rolling(changed, [hours])))
    for one, other in pairs:
        np.testing.assert_array_equal(one[..., :cut], other[..., :cut])


@given(values=numbers, hours=st.integers(1, 40))
def test_lags_are_rows_before(values: np.ndarray, hours: int) -> None:
    """And missing where there is no such row."""
    found = features.lagged(values, hours)
    for row in range(30):
        np.testing.assert_array_equal(found[:, row], values[:, row - hours] if row >= hours else [math.nan] * 2)


def test_the_calendar_is_that_of_local_clocks() -> None:
    """Over a whole leap year in New York, hour by hour, by the standard library."""
    zone, start = ZoneInfo("America/New_York"), datetime(2024, 1, 1, 5, tzinfo=UTC)
    made = features.of_calendar(Period(start, start + timedelta(days=366)), "America/New_York")
    found = dict(zip((feature.name for feature in made.features), made.values, strict=True))
    for row in range(0, 366 * 24, 7):
        local = (start + timedelta(hours=row)).astimezone(zone)
        working = local.weekday() < 5
        expected = {
            "hour_sin": math.sin(2 * math.pi * local.hour / 24),
            "weekday_cos": math.cos(2 * math.pi * (local.weekday() + local.hour / 24) / 7),
            "year_sin": math.sin(2 * math.pi * (local.timetuple().tm_yday - 1 + local.hour / 24) / 366),
            "weekend": not working,
            "business_hour": working and 8 <= local.hour < 18,
            "peak_hour": working and 7 <= local.hour < 23,
            "winter": local.month in (12, 1, 2),
            "summer": local.month in (6, 7, 8),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(
                found[f"calendar/{name}"][row], float(value), atol=1e-9, err_msg=f"{name} {local}"
            )


def test_features_say_how_far_they_look_back() -> None:
    """From the row's own hour: the delay of the input, and what the feature adds. Forecasts get none."""
    period = Period(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 3, tzinfo=UTC))
    given_ = (
        Feature("demand-5h", "MWh", "", 5, "eia/ISNE/demand", "demand"),
        Feature("forecast+24h", "MW", "", -24, "eia/ISNE/forecast", "forecast"),
    )
    inputs = Columns(given_, np.ones((2, 48)), np.ones((2, 48), bool))
    made = features.derive(inputs, period, PLACE, spec.Features(calendar=False, lags=(24,), rolling=(3,)))
    assert {feature.name: feature.lookback for feature in made.features} == {
        "demand-5h": 5,
        "forecast+24h": -24,
        "demand-5h lag 24h": 29,
        "demand-5h mean 3h": 7,
        "demand-5h std 3h": 7,
        "demand-5h min 3h": 7,
        "demand-5h max 3h": 7,
    }
    assert all(feature.unit for feature in made.features)
