"""The checks after the fact, compared with plain loops and with the published categories."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtide.quality import Flag, find_nature, screen_afterwards
from gridtide.quality.afterwards import TWO_SIDED_LIMITS, _find_regions, _find_single_steps, _measure_usual
from tests.quality.test_screening import DEMAND, corrupt, demand_wave
from tests.support.screened_years import load_screened_years, needs_screened_years

CHECK_OF_CATEGORY = {
    "NEG_OR_ZERO": "negative_or_zero",
    "IDENTICAL_RUN": "identical_run",
    "GLOBAL_DEM": "global",
    "GLOBAL_DEM_PLUS_MINUS": "global",
    "LOCAL_DEM_UP": "local",
    "LOCAL_DEM_DOWN": "local",
    "DELTA": "double_step",
    "SINGLE_DELTA": "single_step",
    "ANOMALOUS_REGION": "region",
}


@pytest.mark.parametrize(
    ("change", "check", "expected"),
    [
        ({500: 0.0, 501: -5.0}, "negative_or_zero", [500, 501]),
        ({500: 900.0, 501: 900.0, 502: 900.0, 503: 900.0}, "identical_run", [502, 503]),
        ({500: 40_000.0}, "global", [499, 500, 501]),
        ({500: 100.0}, "local", [500]),
        ({500: 3000.0}, "local", [500]),
    ],
)
def test_each_check_flags_its_hours(change: dict[int, float], check: str, expected: list[int]) -> None:
    """A sign, a run, an absurd level with both its neighbours, and values off their template are flagged."""
    values = demand_wave(900)
    for row, value in change.items():
        values[row] = value
    screened = screen_afterwards(values[None], [DEMAND])
    assert np.flatnonzero(screened.checks[check][0]).tolist() == expected
    assert (screened.flags[0, expected] == (Flag.FAIL if check == "negative_or_zero" else Flag.SUSPECT)).all()


def test_a_day_that_is_sent_again_is_flagged_as_a_whole() -> None:
    """Demand and temperature that repeat, or stand still, are flagged from the first hour of it on."""
    values = demand_wave(900)
    values[480:504] = values[456:480]
    assert np.flatnonzero(screen_afterwards(values[None], [DEMAND]).flagged[0]).tolist() == list(range(480, 504))
    temperature = demand_wave(900) / 50
    temperature[300:340] = 7.5
    screened = screen_afterwards(temperature[None], [find_nature("temperature_2m", "°C")])
    assert np.flatnonzero(screened.checks["run"][0]).tolist() == list(range(300, 340))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("hours", [0, 1, 2, 23, 24, 25, 48, 49, 50, 500])
@pytest.mark.parametrize("missing", [False, True])
def test_short_and_empty_series_are_judged(hours: int, missing: bool) -> None:
    """Series of any length, also without a value, get flags without a warning."""
    values = np.full(hours, math.nan) if missing else demand_wave(hours)
    flags = screen_afterwards(values[None], [DEMAND]).flags
    assert flags.shape == (1, hours)
    assert (flags == Flag.MISSING).all() == (missing or not hours)


def regions_by_loop(flagged: np.ndarray, good_share: float) -> list[bool]:
    """The rule of the paper for good hours amid flagged ones, as a plain loop."""
    steps, good, regions = len(flagged), [not cell for cell in flagged], []
    for row in range(steps):
        windows = [good[max(center - 24, 0) : center + 25] for center in range(max(row - 23, 0), min(row + 25, steps))]
        near_bad = any(sum(window) / len(window) <= good_share for window in windows)
        before, after = all(good[max(row - 24, 0) : row + 1]), all(good[row : row + 25])
        begin = end = row
        while begin > 0 and good[begin - 1]:
            begin -= 1
        while end + 1 < steps and good[end + 1]:
            end += 1
        long_run = end - begin + 1 > 24
        regions.append(bool(good[row] and near_bad and not before and not after and not long_run))
    return regions


@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(0, 200), share=st.floats(0, 0.6))
def test_regions_are_those_of_a_plain_loop(seed: int, steps: int, share: float) -> None:
    """Good hours amid flagged ones are those of a plain loop."""
    flagged = np.random.default_rng(seed).random(steps) < share
    assert _find_regions(flagged, 0.85).tolist() == regions_by_loop(flagged, 0.85)


@given(seed=st.integers(0, 2**32 - 1), forward=st.booleans())
def test_single_steps_are_those_of_a_plain_loop(seed: int, forward: bool) -> None:
    """Large steps from the last good hour are those of a plain loop, in both directions."""
    values = corrupt(demand_wave(700, seed), seed)
    values[values <= 0] = np.nan
    usual = _measure_usual(values)
    good, expected = None, []
    rows = [row for row in range(700) if not math.isnan(values[row])]
    for row in rows if forward else reversed(rows):
        good = row if good is None else good
        far = abs(values[good] - values[row]) > 5 * usual.step_spread[row]
        unlike = abs(usual.share[good] - usual.share[row]) > 15 * usual.share_spread
        off = [max(abs(1 - usual.share[at]), abs(1 - usual.long_share[at])) for at in (row, good)]
        if far and unlike and not (forward and off[0] < off[1]):
            expected.append(row)
        else:
            good = row
    found_rows = np.flatnonzero(_find_single_steps(values, usual, TWO_SIDED_LIMITS, forward=forward))
    assert found_rows.tolist() == sorted(expected)


@pytest.mark.slow
@needs_screened_years
def test_the_published_categories_are_reproduced() -> None:
    """Nearly every anomaly of the published screening is flagged by the check of its category, and little else apart
    from days that are sent again."""
    years = load_screened_years(every=3)
    screened = screen_afterwards(years.values, [DEMAND] * len(years.values))
    for category, check in CHECK_OF_CATEGORY.items():
        cells = years.category == category
        cells[:, -49:] &= check != "region"  # the published method counts hours after the end as bad
        assert screened.checks[check][cells].mean() >= 0.999, category
    assert (screened.flagged & ~screened.checks["repeat"] & ~years.anomalous).sum() <= 0.001 * years.anomalous.sum()
