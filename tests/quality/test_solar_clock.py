"""The clock of solar series, from a simulated sun and from ten days of EIA-930."""

import csv
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from gridtide.quality.solar_clock import check_clocks, equation_of_time, find_changes, measure_solar_offset
from gridtide.sources.registry import find_longitude
from tests.support.shared import SHARED, needs_shared

START = datetime(2021, 3, 1, 5, tzinfo=UTC)


def solar_generation(days: int, longitude: float, seed: int = 0) -> np.ndarray:
    """Generation by hours of UTC from `START` on, highest at solar noon, with clouds that are thicker in the
    afternoon."""
    random = np.random.default_rng(seed)
    middles = START.hour + np.arange(days * 24) + 0.5
    hours_from_noon = (middles + longitude / 15 + equation_of_time(START) / 60) % 24 - 12
    clear = 1000 * np.maximum(np.cos(hours_from_noon / 12 * np.pi), 0)
    clouds = np.repeat(random.random(days) < 0.6, 24) * random.random(days * 24)
    return clear * (1 - np.where(hours_from_noon > 0, 0.8, 0.3) * clouds)


@pytest.mark.parametrize("longitude", [-122.0, -75.0, 0.0, 15.0, 139.7, 178.0, -178.0])
def test_clouds_and_places_do_not_move_the_middle_of_the_day(longitude: float) -> None:
    """The offset is near 0 all around the earth, and follows labels that are an hour early or late."""
    values = solar_generation(30, longitude)
    assert abs(measure_solar_offset(values, START, longitude)) < 0.2
    for hours in (-1, 1):
        shifted = measure_solar_offset(values, START + timedelta(hours=hours), longitude)
        assert abs(shifted - hours) < 0.2


def test_a_clock_that_changes_is_flagged_from_then_on() -> None:
    """Of 120 days, the last 40 are an hour early: their windows are flagged, and the change is found."""
    values = solar_generation(120, -77.0)
    values[80 * 24 : -1] = values[80 * 24 + 1 :].copy()
    check = check_clocks(values[None], START, [-77.0])
    assert check.shifted[0].tolist() == [False] * 8 + [True] * 4
    assert check.changes == ((8,),)
    assert check.starts[8] == START + timedelta(days=80)
    assert abs(check.usual[0]) < 0.2
    late = check_clocks(np.roll(values, 1)[None], START, [-77.0])
    assert late.changes == ((8,),)


def test_without_a_longitude_windows_are_compared_with_each_other() -> None:
    """A series whose place is not known is flagged where it leaves its usual place, and never for being before noon."""
    values = solar_generation(120, 139.0)
    assert not check_clocks(np.roll(values, -2)[None], START, [math.nan]).shifted.any()
    values[80 * 24 : -1] = values[80 * 24 + 1 :].copy()
    assert check_clocks(values[None], START, [math.nan]).shifted[0].tolist() == [False] * 8 + [True] * 4


def test_what_says_nothing_about_the_sun_is_not_flagged() -> None:
    """Empty, tiny, night-only and constant zero series have no offset; short windows are refused."""
    values = np.stack([np.full(240, np.nan), np.zeros(240), np.full(240, -3.0), solar_generation(10, -77.0) / 100])
    check = check_clocks(values, START, [-77.0] * 4)
    assert np.isnan(check.offsets).all()
    assert not check.shifted.any()
    assert check_clocks(values[:, :200], START, [-77.0] * 4).offsets.shape == (4, 0)
    with pytest.raises(ValueError, match="a window of 9 days is too short"):
        check_clocks(values, START, [-77.0] * 4, window_days=9)


def test_the_equation_of_time_is_that_of_almanacs() -> None:
    """The sun is late in February, ahead in November, on time at the solstices of June and December."""
    almanac = {(2, 11): -14.2, (5, 14): 3.7, (7, 26): -6.5, (11, 3): 16.4, (6, 13): 0.0, (12, 25): 0.0}
    for (month, day), minutes in almanac.items():
        assert abs(equation_of_time(datetime(2021, month, day, tzinfo=UTC)) - minutes) < 0.7


def test_changes_of_a_clock_are_found_and_single_windows_are_not() -> None:
    """Two lasting changes are found in noise, one odd window is no change, and gaps keep their numbers."""
    noise = np.random.default_rng(0).normal(0, 0.05, 24)
    offsets = np.repeat([0.0, -1.0, 0.0], 8) + noise
    assert find_changes(offsets) == [8, 16]
    lone = noise.copy()
    lone[12] = -1
    assert find_changes(lone) == []
    gaps = offsets.copy()
    gaps[3:6] = np.nan
    assert find_changes(gaps) == [8, 16]
    assert find_changes(np.full(5, np.nan)) == []


@needs_shared
def test_of_the_authorities_of_july_2021_those_are_shifted_that_are_known_to_be() -> None:
    """PJM, CISO and TEPC were labelled an hour early, and no other of the authorities with solar generation was."""
    with (SHARED / "screening" / "E_raw_2021-07-10_2021-07-20.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = sorted(name.split("_")[1] for name in rows[0] if name.endswith("_SUN"))
    values = np.array([[float(row[f"E_{name}_SUN"] or "nan") for row in rows] for name in names])
    first_hour = datetime.fromisoformat(rows[0]["period"]).replace(tzinfo=UTC) - timedelta(hours=1)
    longitudes = [find_longitude("eia", name) for name in names]
    check = check_clocks(values, first_hour, longitudes)
    judged = ~np.isnan(check.offsets[:, 0]) & ~np.isnan(longitudes)
    assert judged.sum() == 34
    assert [name for name, shifted in zip(names, check.shifted, strict=True) if shifted.any()] == [
        "CISO",
        "PJM",
        "TEPC",
    ]
