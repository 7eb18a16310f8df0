"""Rules of cleaning, compared with plain loops."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtide.errors import TrainingError
from gridtide.quality import checks, natures
from gridtide.quality.natures import Nature
from gridtide.training.series import cleaning
from gridtide.training.series.cleaning import IMPUTED, MISSING, REJECTED, REPORTED
from gridtide.training.spec import Cleaning, Quality

DEMAND = natures.find_nature("demand", "MWh")
PRICE = natures.find_nature("lmp_real_time", "USD/MWh")
FITTED = Cleaning(outliers="isolation_forest_fitted_on_train", outlier_share=0.01)


def wave(hours: int, seed: int = 0) -> np.ndarray:
    """A daily rhythm around 1,000 with a little noise."""
    return 1000 + 200 * np.sin(np.arange(hours) * 2 * np.pi / 24) + np.random.default_rng(seed).normal(0, 5, hours)


def some(seed: int) -> np.ndarray:
    """Twelve days with gaps, runs of equal values and jumps."""
    random = np.random.default_rng(seed)
    values = np.round(wave(288, seed) / 20) * 20
    for _ in range(random.integers(0, 8)):
        at = random.integers(0, 288)
        values[at : at + random.integers(1, 6)] *= random.choice([-1, 0, 0.2, 4, 50])
    values[random.random(288) < random.random() * 0.3] = math.nan
    return values


series = st.integers(0, 2**32 - 1).map(some)


@pytest.mark.parametrize(
    ("variable", "unit", "value", "possible"),
    [
        ("demand", "MWh", 0, True),
        ("demand", "MWh", -1, False),
        ("load_forecast", "MW", 2e6, False),
        ("net_interchange", "MWh", -900, True),
        ("generation_solar", "MWh", -3, True),
        ("generation_solar", "MWh", -900, False),
        ("generation_hydro", "MWh", -900, True),
        ("marginal_wind", "1", 1.5, False),
        ("lmp_day_ahead", "USD/MWh", -150, True),
        ("lmp_day_ahead", "USD/MWh", 1e6, False),
        ("temperature_2m", "°C", -40, True),
        ("temperature_2m", "°C", 300, False),
        ("temperature_2m", "°F", 110, True),
        ("relative_humidity_2m", "%", 101, False),
        ("wind_speed_10m", "km/h", -1, False),
        ("shortwave_radiation", "W/m²", 5000, False),
        ("unheard_of", "furlongs", 1e36, True),
        ("unheard_of", "furlongs", 1e38, False),
        ("unheard_of", "furlongs", math.inf, False),
    ],
)
def test_what_a_variable_can_be(variable: str, unit: str, value: float, possible: bool) -> None:
    """Signs and limits depend on variable and unit; values outside the range of float32 are never possible."""
    assert checks.find_impossible(np.array([value]), natures.find_nature(variable, unit)).tolist() == [not possible]


@given(values=series, run=st.integers(1, 30))
def test_stale_values_are_those_of_a_plain_loop(values: np.ndarray, run: int) -> None:
    """From the `run`-th equal value on, values are stale, except zeros."""
    expected, length = [], 0
    for at, value in enumerate(values):
        length = length + 1 if at and value == values[at - 1] else 1
        expected.append(length >= run and value != 0 and not math.isnan(value))
    assert checks.find_stale(values, run).tolist() == expected


def spikes_by_loop(values: np.ndarray, times: float) -> list[bool]:
    """The rule of its docstring as a plain loop."""
    found = []
    for at, value in enumerate(values):
        days = []
        for day in range(at // 24 - 7, at // 24):
            steps = [
                abs(values[t] - values[t - 1])
                for t in range(max(day * 24, 1), day * 24 + 24)
                if day >= 0 and not math.isnan(values[t] - values[t - 1])
            ]
            days += [max(steps)] if steps else []
        usual = statistics.median(days) if len(days) >= 3 else 0
        around = [values[at - back] if at >= back else math.nan for back in (1, 2, 3, 24, 168)]
        judged = not any(math.isnan(one) for one in around[:3])
        around = [around[0] if math.isnan(one) else one for one in around]
        found.append(judged and usual > 0 and abs(value - statistics.median(around)) > times * usual)
    return found


@pytest.mark.slow
@given(values=series, times=st.sampled_from([1.0, 2.0, 5.0]), length=st.integers(1, 288))
def test_spikes_are_those_of_a_plain_loop(values: np.ndarray, times: float, length: int) -> None:
    """Spikes equal those of a plain loop, also if the rows are not whole days."""
    assert checks.find_spikes(values[:length], times).tolist() == spikes_by_loop(values[:length], times)


def test_a_spike_in_the_last_row_need_not_end_a_day() -> None:
    """A spike in the last row is found at any hour."""
    for hours in range(240, 265):
        values = wave(hours)
        values[-1] *= 9
        assert np.flatnonzero(checks.find_spikes(values, 5.0)).tolist() == [hours - 1]


def test_a_spike_of_two_hours_goes_and_what_follows_it_stays() -> None:
    """A spike of two hours is rejected; a step to another level is accepted after three hours."""
    values = wave(24 * 20)
    values[300:302] *= 9
    values[400:] += 5000
    assert np.flatnonzero(checks.find_spikes(values, 5.0)).tolist() == [300, 301, 400, 401, 402]


def test_zeros_of_demand_are_no_values() -> None:
    """Two days of zeros amid a month are rejected from the first hour on, and neither filled nor taken for a spike."""
    values = wave(720)
    values[300:348] = 0
    made = cleaning.clean_columns(values[None], [DEMAND], Cleaning(fill_limit=0), slice(0))
    assert np.flatnonzero(made.quality[0] == REJECTED).tolist() == list(range(300, 348))
    assert int(made.rejected["zero"].sum()) == 48
    kept = cleaning.clean_columns(values[None], [DEMAND], Cleaning(zeros=False, stale=0, spike=0), slice(0))
    assert (kept.quality == REPORTED).all()


@given(
    days=st.lists(st.integers(0, 2), min_size=1, max_size=30),
    noise=st.lists(st.integers(0, 719), max_size=5),
    run=st.integers(1, 30),
)
def test_repeated_days_are_those_of_a_plain_loop(days: list[int], noise: list[int], run: int) -> None:
    """From the `run`-th hour on that equals those of 1 to 7 days before, where a value of the last 13 days, or of as
    many as 15 days of history leave, differs from its own so many days before."""
    values = np.concatenate([wave(24, seed) for seed in days])
    values[[at for at in noise if at < len(values)]] += 1
    expected = [False] * len(values)
    for lag in range(24, 169, 24):
        length, window = 0, min(312, 360 - lag)
        for at, value in enumerate(values):
            length = length + 1 if at >= lag and value == values[at - lag] else 0
            varied = any(values[t] != values[t - lag] for t in range(max(lag, at - window + 1), at + 1))
            expected[at] |= length >= run and varied
    assert checks.find_repeats(values, run).tolist() == expected


def test_ten_repeated_days_are_no_truth() -> None:
    """All but the first hours of an input, which cannot know; all of a target; ten days that differ stay."""
    values = wave(720)
    values[240:480] = np.tile(values[216:240], 10)
    made = cleaning.clean_columns(values[None], [DEMAND], Cleaning(), slice(0))
    assert np.flatnonzero(made.rejected["repeat"][0]).tolist() == list(range(259, 480))
    extended = checks.extend_repeats(made.rejected["repeat"], 20)
    assert np.flatnonzero(extended[0]).tolist() == list(range(240, 480))


def test_a_week_that_is_sent_again_is_no_truth() -> None:
    """All but the first hours of an input, which cannot know, and all of a target; the weeks around it stay."""
    values = wave(1200)
    values[504:672] = values[336:504]
    cleaned = cleaning.clean_columns(values[None], [DEMAND], Cleaning(), slice(0))
    assert np.flatnonzero(cleaned.rejected["repeat"][0]).tolist() == list(range(523, 672))
    extended = checks.extend_repeats(cleaned.rejected["repeat"], 20)
    assert np.flatnonzero(extended[0]).tolist() == list(range(504, 672))


def test_a_series_whose_weeks_are_all_the_same_is_kept() -> None:
    """Profiles of working days and weekends repeat by nature."""
    cleaned = cleaning.clean_columns(np.tile(wave(168), 10)[None], [DEMAND], Cleaning(spike=0), slice(0))
    assert not cleaned.rejected["repeat"].any()


def test_a_series_whose_days_are_all_the_same_is_kept() -> None:
    """Profiles and simulations repeat by nature."""
    made = cleaning.clean_columns(np.tile(wave(24), 60)[None], [DEMAND], Cleaning(spike=0), slice(0))
    assert (made.quality == REPORTED).all()


@given(values=series, later=series, cut=st.integers(1, 287))
def test_no_default_rule_sees_what_comes_later(values: np.ndarray, later: np.ndarray, cut: int) -> None:
    """Values and quality up to a row do not depend on later rows, not by a bit."""
    changed = np.concatenate([values[:cut], later[cut:]])
    first, *others = (
        cleaning.clean_columns(v[None], [DEMAND], Cleaning(), slice(0)) for v in (values, changed, values[:cut])
    )
    for other in others:
        np.testing.assert_array_equal(first.values[:, :cut], other.values[:, :cut])
        np.testing.assert_array_equal(first.quality[:, :cut], other.quality[:, :cut])


def test_every_cell_is_counted_by_what_was_done_to_it() -> None:
    """Rejected, imputed, missing and reported cells are counted by rule."""
    demand, price = wave(240), wave(240, 1)
    demand[50] = -4
    demand[100:108] = math.nan
    price[60:90] = 7
    made = cleaning.clean_columns(np.stack([demand, price]), [DEMAND, PRICE], Cleaning(), slice(0))
    assert {rule: cells.sum(axis=1).tolist() for rule, cells in made.rejected.items()} == {
        "absurd": [0, 0],
        "range": [1, 0],
        "zero": [0, 0],
        "run": [0, 7],
        "level": [0, 0],
        "repeat": [0, 0],
        "step": [0, 0],
        "spike": [0, 0],
        "template": [0, 0],
        "region": [0, 0],
    }
    counts = [[int((row == code).sum()) for code in (REPORTED, IMPUTED, REJECTED, MISSING)] for row in made.quality]
    assert counts == [[231, 6, 1, 2], [233, 0, 7, 0]]
    assert made.values[0, 50] == demand[49]
    np.testing.assert_array_equal(made.values[1, 83:90], [7, 7, 7, 7, 7, 7, math.nan])


def test_screening_takes_the_place_of_the_thresholds() -> None:
    """By default, the third of three equal hours goes; with thresholds it stays, as before. Both reject a jump."""
    values = wave(720)
    values[300:304], values[500] = values[300], values[500] * 0.6
    screened = cleaning.clean_columns(values[None], [DEMAND], Cleaning(), slice(0))
    assert np.flatnonzero(screened.quality[0] == REJECTED).tolist() == [302, 303, 500]
    by_thresholds = cleaning.clean_columns(values[None], [DEMAND], Cleaning(screening="off"), slice(0))
    assert np.flatnonzero(by_thresholds.quality[0] == REJECTED).tolist() == [500]
    assert set(by_thresholds.rejected) == {"impossible", "absurd", "zero", "stale", "repeat", "spike"}


def test_a_spec_that_names_a_threshold_is_cleaned_as_before() -> None:
    """A threshold without `screening` turns the screening off; other keys do not; both at once are refused."""
    for keys in ({"stale": 24}, {"zeros": True}, {"spike": 3}, {"repeat": 0}, {"impossible": True}):
        assert not Cleaning.model_validate(keys).is_screened
    for keys in ({}, {"fill_limit": 3}, {"absurd": 50}, Cleaning().model_dump()):
        assert Cleaning.model_validate(keys).is_screened
    with pytest.raises(ValueError, match='spike: not used by the screening; leave out, or add "screening": "off"'):
        Cleaning.model_validate({"screening": "causal", "spike": 3})


def test_the_minimum_of_quality_decides_which_flags_are_rejected() -> None:
    """Of a metered series with a negative, three equal and a first few unjudged hours, `good` leaves only judged ones,
    `suspect` all that are possible; of a series of unknown nature nothing is good."""
    values = wave(720)
    values[400], values[500:503] = -5, values[500]
    columns, kinds = np.stack([values, wave(720, 1)]), [DEMAND, natures.find_nature("frequency", "Hz")]
    rows: dict[str, list[list[int]]] = {}
    for minimum in ("good", "not_evaluated", "suspect"):
        made = cleaning.clean_columns(
            columns, kinds, Cleaning(fill_limit=0), slice(0), requirement=Quality.model_validate({"minimum": minimum})
        )
        np.testing.assert_array_equal(np.isnan(made.values), made.quality == REJECTED)
        rows[minimum] = [np.flatnonzero(column == REJECTED).tolist() for column in made.quality]
        assert sum(int(cells.sum()) for cells in made.rejected.values()) == sum(map(len, rows[minimum]))
        assert ("not_evaluated" in made.rejected) == (minimum == "good")
    assert rows == {
        "good": [[*range(72), 400, 502], list(range(720))],
        "not_evaluated": [[400, 502], []],
        "suspect": [[400], []],
    }


@given(series, st.integers(200, 280), st.sampled_from(["good", "suspect"]))
def test_the_minimum_of_quality_does_not_look_ahead(values: np.ndarray, cut: int, minimum: str) -> None:
    """If the values from a row on change, no cell before it does, not by a bit, whatever minimum is asked for."""
    changed = values.copy()
    changed[cut:] = np.random.default_rng(cut).normal(1000, 500, len(values) - cut)
    requirement = Quality.model_validate({"minimum": minimum})
    before, after = (
        cleaning.clean_columns(v[None], [DEMAND], Cleaning(), slice(0), requirement=requirement)
        for v in (values, changed)
    )
    np.testing.assert_array_equal(before.values[0, :cut], after.values[0, :cut])
    np.testing.assert_array_equal(before.quality[0, :cut], after.quality[0, :cut])


def test_rules_can_be_left_out() -> None:
    """With all rules off and a limit of 0, only values outside the range of float32 are rejected."""
    values = some(3)[None]
    values[0, 5:8] = -5, 1e36, math.inf
    off = Cleaning(impossible=False, zeros=False, stale=0, repeat=0, spike=0, fill_limit=0)
    made = cleaning.clean_columns(values, [DEMAND], off, slice(0))
    np.testing.assert_array_equal(made.values, np.where(np.isinf(values), np.nan, values))
    assert {rule: int(cells.sum()) for rule, cells in made.rejected.items()} == {
        "impossible": 1,
        "absurd": 0,
        "zero": 0,
        "stale": 0,
        "repeat": 0,
        "spike": 0,
    }


def test_zeros_and_repeated_values_of_a_day_are_not_stale() -> None:
    """Solar nights, daily values and variables that may be constant are not stale."""
    solar = natures.find_nature("generation_solar", "MWh")
    made = cleaning.clean_columns(np.zeros((1, 99)), [solar], Cleaning(), slice(0))
    assert (made.quality == REPORTED).all()
    daily = natures.find_nature("morning_report_peak_load_today_mw", "MW")
    made = cleaning.clean_columns(np.full((1, 99), 5.0), [daily], Cleaning(), slice(0))
    assert (made.quality == REPORTED).all()


@pytest.mark.slow
def test_an_isolation_forest_is_fitted_on_train_alone() -> None:
    """The forest rejects distant values, and later values do not change its results on train rows."""
    values = np.stack([wave(1000)])
    values[0, [200, 900]] = 9000
    free = [Nature("x", (), -math.inf, math.inf)]
    made = cleaning.clean_columns(values, free, FITTED, slice(0, 700))
    assert made.rejected["outlier"][0, [200, 900]].all()
    assert made.rejected["outlier"].sum() < 30
    changed = values.copy()
    changed[0, 800:] = 5
    again = cleaning.clean_columns(changed, free, FITTED, slice(0, 700))
    np.testing.assert_array_equal(made.values[:, :800], again.values[:, :800])


def test_interpolation_reads_both_sides_of_a_gap() -> None:
    """With less than 5 % missing, gaps are interpolated in time, otherwise from other columns; a column without
    train values stays empty."""
    first, second = wave(1000), 2 * wave(1000) + 10
    third = np.full(1000, math.nan)
    first[100:103], truth = math.nan, second.copy()
    second[::10] = math.nan
    rules = Cleaning(gaps="interpolate_from_the_future", spike=0)
    made = cleaning.clean_columns(np.stack([first, second, third]), [DEMAND] * 3, rules, slice(0, 700))
    np.testing.assert_allclose(made.values[0, 100:103], np.interp([1, 2, 3], [0, 4], [first[99], first[103]]))
    np.testing.assert_allclose(made.values[1, 200:], truth[200:], atol=0.001 * truth.max())
    assert np.isnan(made.values[2]).all()
    assert (made.quality[1, ::10] == IMPUTED).all()


def test_a_rule_that_learns_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without scikit-learn, the error names the extra to install."""
    monkeypatch.setitem(__import__("sys").modules, "sklearn.ensemble", None)
    with pytest.raises(TrainingError, match=r"Install gridtide\[learn\]"):
        cleaning.clean_columns(wave(100)[None], [DEMAND], FITTED, slice(0, 90))


@pytest.mark.parametrize("share", [0.005, 0.02, 0.2])
@pytest.mark.parametrize("sentinels", [(99_999.0,), (-9_999.0,), (-9_999.0, 99_999.0)])
def test_limits_are_those_without_the_sentinels(sentinels: tuple[float, ...], share: float) -> None:
    """However many hours a sentinel takes, it lies outside the limits; few move them by little, many by nothing."""
    random = np.random.default_rng(0)
    clean = random.normal(50, 10, 2000)
    spoilt = np.concatenate([clean, *(np.full(int(share * 2000), sentinel) for sentinel in sentinels)])
    random.shuffle(spoilt)
    ((low, high),) = cleaning.fit_limits(spoilt[None], 100)
    assert all(not low <= sentinel <= high for sentinel in sentinels)
    tolerance = 0.2 if share < 0.01 else 0
    np.testing.assert_allclose([[low, high]], cleaning.fit_limits(clean[None], 100), rtol=tolerance)


def test_a_value_that_is_often_the_least_or_greatest_belongs_to_the_series() -> None:
    """The nights of a solar park, and a plant at its capacity on a tenth of the hours, are accepted, and count."""
    sun = np.maximum(np.sin(np.arange(2400) * 2 * np.pi / 24), 0) * 300
    plant = np.where(np.arange(2400) % 10 == 0, 500.0, np.arange(2400) % 7)
    limits = cleaning.fit_limits(np.stack([sun, plant]), 100)
    assert (limits[:, 0] < 0).all()
    assert (limits[:, 1] >= [300, 500]).all()
    quantiles = np.quantile(sun, [0.01, 0.99])
    assert limits[0, 1] - limits[0, 0] == pytest.approx(200 * (quantiles[1] - quantiles[0]))
