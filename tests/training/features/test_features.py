"""Features, compared with plain loops, and their descriptions."""

import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtide.periods import Period
from gridtide.quality.shifting import shift_later
from gridtide.training.features import calendar, derive, power, prices, rolling, weather
from gridtide.training.features.columns import Columns, Feature, align_columns
from gridtide.training.spec import Features, Location

PLACE = Location(name="ISNE", targets=("eia/ISNE/demand",), inputs=("eia/ISNE/*",))


def some_numbers(seed: int) -> np.ndarray:
    """Two columns of 30 rows, partly missing."""
    random = np.random.default_rng(seed)
    values = random.integers(-99, 100, (2, 30)).astype(float)
    values[random.random((2, 30)) < random.random()] = math.nan
    return values


numbers = st.integers(0, 2**32 - 1).map(some_numbers)


@given(values=numbers, hours=st.integers(1, 40))
def test_rolling_statistics_are_those_of_a_plain_loop(values: np.ndarray, hours: int) -> None:
    """Each row has the statistics of the observed values of its window."""
    found = rolling.compute_rolling(values, [hours])[0]
    for column in range(2):
        for row in range(30):
            known = [v for v in values[column, max(row - hours + 1, 0) : row + 1] if not math.isnan(v)]
            expected = [np.mean(known), np.std(known), min(known), max(known)] if known else [math.nan] * 4
            np.testing.assert_allclose(found[:, column, row], expected, atol=1e-5)


@given(values=numbers, later=numbers, cut=st.integers(1, 29), hours=st.integers(1, 40))
def test_what_comes_later_changes_nothing_before_it(
    values: np.ndarray, later: np.ndarray, cut: int, hours: int
) -> None:
    """Later rows change no earlier row, not by a bit."""
    changed = np.concatenate([values[:, :cut], later[:, cut:]], axis=1)
    pairs = [(shift_later(values, hours), shift_later(changed, hours))]
    pairs.append((rolling.compute_rolling(values, [hours]), rolling.compute_rolling(changed, [hours])))
    for one, other in pairs:
        np.testing.assert_array_equal(one[..., :cut], other[..., :cut])


@given(values=numbers, hours=st.integers(1, 40))
def test_lags_are_rows_before(values: np.ndarray, hours: int) -> None:
    """A lag is the value of that many rows earlier, and missing before the first row."""
    found = shift_later(values, hours)
    for row in range(30):
        np.testing.assert_array_equal(found[:, row], values[:, row - hours] if row >= hours else [math.nan] * 2)


def test_the_calendar_is_that_of_local_clocks() -> None:
    """Calendar columns equal those of the standard library for every hour of a leap year in New York."""
    zone, start = ZoneInfo("America/New_York"), datetime(2024, 1, 1, 5, tzinfo=UTC)
    made = calendar.derive_calendar(Period(start, start + timedelta(days=366)), "America/New_York")
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
    """The look-back of a feature is the delay of its input plus that of the feature; forecasts have none."""
    period = Period(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 3, tzinfo=UTC))
    given_ = (
        Feature("demand-5h", "MWh", "", 5, "eia/ISNE/demand", "demand"),
        Feature("forecast+24h", "MW", "", -24, "eia/ISNE/forecast", "forecast"),
    )
    inputs = Columns(given_, np.ones((2, 48)), np.ones((2, 48), bool))
    made = derive.derive_columns(inputs, period, PLACE, Features(calendar=False, lags=(24,), rolling=(3,)))
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


def columns(seed: int = 0, **units: tuple[str, int, str]) -> Columns:
    """Columns of 60 rows by series (with __ for /): unit, look-back and name; a tenth is not observed."""
    random = np.random.default_rng(seed)
    made = []
    for text, (unit, lookback, key) in units.items():
        series = text.replace("__", "/")
        made.append(Feature(f"{series}{-lookback:+d}h", unit, "", lookback, series, key))
    values = random.normal(100, 20, (len(made), 60))
    observed = random.random(values.shape) > 0.1
    values[~observed & (random.random(values.shape) < 0.5)] = math.nan  # the others are filled in
    return Columns(tuple(made), values, observed)


def at(inputs: Columns, series: str, lookback: int, row: int) -> tuple[float, bool]:
    """Value and mask of the hour `lookback` before `row`, from the column that is the latest at that look-back."""
    fitting = [(f.lookback, n) for n, f in enumerate(inputs.features) if f.series == series and f.lookback <= lookback]
    own, number = max(fitting)
    source = row - (lookback - own)
    return (inputs.values[number, source], bool(inputs.observed[number, source])) if source >= 0 else (math.nan, False)


POWER = {
    "eia__ISNE__demand": ("MWh", 2, "d"),
    "eia__ISNE__demand_forecast_day_ahead": ("MWh", -1, "f"),
    "eia__ISNE__generation_wind": ("MWh", 5, "w"),
    "eia__ISNE__generation_solar": ("MWh", 5, "s"),
    "eia__ISNE__generation_coal": ("MWh", 4, "c"),
    "eia__ISNE__net_interchange": ("MWh", 6, "i"),
}


def named(made: Columns) -> dict[str, tuple[Feature, np.ndarray, np.ndarray]]:
    """Feature, values and mask by name."""
    return {f.name: (f, v, o) for f, v, o in zip(made.features, made.values, made.observed, strict=True)}


@given(seed=st.integers(0, 2**32 - 1))
def test_power_features_are_sums_of_the_same_hour(seed: int) -> None:
    """Net load, balance, share, error and ramps use the latest hour at which all their series are available."""
    inputs = columns(seed, **POWER)
    found = named(power.derive_power(inputs))
    demand, wind, solar, coal, forecast, export = (
        f"eia/ISNE/{name}"
        for name in (
            "demand",
            "generation_wind",
            "generation_solar",
            "generation_coal",
            "demand_forecast_day_ahead",
            "net_interchange",
        )
    )
    expected = {
        "net_load-5h": (5, {demand: 1, wind: -1, solar: -1}),
        "variable_generation-5h": (5, {wind: 1, solar: 1}),
        "balance-6h": (6, {wind: 1, solar: 1, coal: 1, demand: -1, export: -1}),
        "demand_forecast_day_ahead_error-2h": (2, {demand: 1, forecast: -1}),
    }
    for name, (lookback, terms) in expected.items():
        feature, values, observed = found[f"eia/ISNE/{name}"]
        assert (feature.lookback, feature.unit) == (lookback, "MWh")
        for row in range(60):
            parts = [(sign, *at(inputs, series, lookback, row)) for series, sign in terms.items()]
            total = sum(sign * value for sign, value, _ in parts)
            np.testing.assert_allclose(values[row], total, err_msg=name)
            assert observed[row] == all(seen for *_, seen in parts)
    share, net = found["eia/ISNE/renewable_share-5h"][1], found["eia/ISNE/net_load-5h"][1]
    for row in range(60):
        w, s, c = (at(inputs, series, 5, row)[0] for series in (wind, solar, coal))
        np.testing.assert_allclose(share[row], (w + s) / (w + s + c) if w + s + c > 0 else math.nan)
        ramp = found["eia/ISNE/net_load-5h ramp 3h"][1][row]
        np.testing.assert_allclose(ramp, net[row] - net[row - 3] if row >= 3 else math.nan)
    assert found["eia/ISNE/net_load-5h ramp 3h"][0].lookback == 8


def test_power_features_are_made_by_place_where_a_source_has_several() -> None:
    """Two authorities of a source are two groups; the locations of a source with one system are one group."""
    two = columns(
        eia__ISNE__demand=("MWh", 2, ""),
        eia__ISNE__generation_wind=("MWh", 2, ""),
        eia__NYIS__demand=("MWh", 2, ""),
        eia__NYIS__generation_wind=("MWh", 2, ""),
        iso_ne__32__load=("MW", 2, ""),
        iso_ne__ISNE__generation_wind=("MW", 1, ""),
    )
    made = [f for f in power.derive_power(two).features if "net_load" in f.name and "ramp" not in f.name]
    assert [(f.name, f.key, f.formula) for f in made] == [
        (
            "eia/ISNE/net_load-2h",
            "eia/0/net_load-2h",
            "eia/ISNE/demand − eia/ISNE/generation_wind, of the row's hour -2 h",
        ),
        (
            "eia/NYIS/net_load-2h",
            "eia/1/net_load-2h",
            "eia/NYIS/demand − eia/NYIS/generation_wind, of the row's hour -2 h",
        ),
        (
            "iso_ne/32/net_load-2h",
            "iso_ne/0/net_load-2h",
            "iso_ne/32/load − iso_ne/ISNE/generation_wind, of the row's hour -2 h",
        ),
    ]


def test_a_system_is_one_place_whatever_its_products_call_it() -> None:
    """California's forecast net load is computed at each lead at which all its series are available."""
    caiso = {
        "caiso__CA ISO-TAC__load_forecast_day_ahead": ("MW", -24, ""),
        "caiso__NP15__generation_solar_forecast_day_ahead": ("MW", -24, ""),
        "caiso__SP15__generation_solar_forecast_day_ahead": ("MW", -24, ""),
        "caiso__PGE-TAC__load_forecast_day_ahead": ("MW", -24, ""),
    }
    inputs = columns(**caiso)
    ((feature, values, _),) = named(power.derive_power(inputs)).values()
    assert feature.name == "caiso/CA ISO-TAC/net_load_forecast_day_ahead+24h"
    assert feature.lookback == -24
    np.testing.assert_allclose(values, inputs.values[0] - inputs.values[1] - inputs.values[2])


@given(seed=st.integers(0, 2**32 - 1))
def test_price_spreads_are_differences_of_the_same_hour(seed: int) -> None:
    """Spreads are real time less day ahead per location, and each location less the first."""
    inputs = columns(
        seed,
        iso_ne__4000__lmp_day_ahead=("USD/MWh", -24, ""),
        iso_ne__4000__lmp_real_time=("USD/MWh", 3, ""),
        iso_ne__4001__lmp_day_ahead=("USD/MWh", -24, ""),
        iso_ne__4001__lmp_real_time=("USD/MWh", 3, ""),
    )
    found = named(prices.derive_prices(inputs))
    expected = {
        "4000/lmp_real_time_less_day_ahead-3h": ("4000/lmp_real_time", "4000/lmp_day_ahead", 3),
        "4001/lmp_day_ahead_less_4000+24h": ("4001/lmp_day_ahead", "4000/lmp_day_ahead", -24),
        "4001/lmp_real_time_less_day_ahead-3h": ("4001/lmp_real_time", "4001/lmp_day_ahead", 3),
        "4001/lmp_real_time_less_4000-3h": ("4001/lmp_real_time", "4000/lmp_real_time", 3),
    }
    assert set(found) == {f"iso_ne/{name}" for name in expected}
    for name, (one, other, lookback) in expected.items():
        _, values, observed = found[f"iso_ne/{name}"]
        for row in range(60):
            (first, seen), (second, known) = (at(inputs, f"iso_ne/{s}", lookback, row) for s in (one, other))
            np.testing.assert_allclose(values[row], first - second)
            assert observed[row] == (seen and known)


@given(seed=st.integers(0, 2**32 - 1))
def test_weather_features_are_those_of_plain_pandas(seed: int) -> None:
    """Degree hours, degree days, means, temperature by local hour and cubed wind equal those of pandas."""
    inputs = columns(
        seed, open_meteo__boston__temperature_2m=("°C", 1, ""), open_meteo__boston__wind_speed_10m=("km/h", 1, "")
    )
    start = datetime(2024, 3, 9, tzinfo=UTC)  # over the night in which clocks go forward
    period = Period(start, start + timedelta(hours=60))
    found = named(weather.derive_weather(inputs, period, "America/New_York"))
    place = "open_meteo/boston"
    warmth = pd.Series(inputs.values[0])
    known = pd.Series(np.where(inputs.observed[0], inputs.values[0], np.nan))
    hours = pd.date_range(start - timedelta(hours=1), periods=60, freq="h").tz_convert("America/New_York").hour
    cooling = (known - 18).clip(lower=0)
    for name, expected in {
        "temperature_2m-1h heating": (18 - warmth).clip(lower=0),
        "temperature_2m-1h cooling": (warmth - 18).clip(lower=0),
        "temperature_2m-1h cooling 24h": cooling.rolling(24, min_periods=1).mean(),
        "temperature_2m-1h past 72h": known.rolling(72, min_periods=1).mean(),
        "temperature_2m-1h × hour_sin": warmth * np.sin(2 * np.pi * hours / 24),
        "wind_speed_10m-1h cubed": (pd.Series(inputs.values[1]) / 3.6) ** 3,
    }.items():
        np.testing.assert_allclose(found[f"{place}/{name}"][1], expected, rtol=1e-6, atol=1e-6, err_msg=name)
    assert found[f"{place}/wind_speed_10m-1h cubed"][0].unit == "m³/s³"


@given(values=numbers, windows=st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_rolling_statistics_are_those_of_plain_pandas(values: np.ndarray, windows: list[int]) -> None:
    """Several windows computed together equal those of pandas."""
    found = rolling.compute_rolling(values, windows)
    for number, hours in enumerate(windows):
        rolled = pd.DataFrame(values.T).rolling(hours, min_periods=1)
        for name, shown in zip(rolling.ROLLING_STATISTICS, found[number], strict=True):
            expected = rolled.std(ddof=0) if name == "std" else getattr(rolled, name)()
            np.testing.assert_allclose(shown, expected.to_numpy().T, atol=1e-5)


def test_rolling_statistics_of_many_rows_are_those_of_plain_pandas() -> None:
    """Statistics equal those of pandas also over many rows, where running sums are restarted."""
    random = np.random.default_rng(0)
    values = random.normal(1000, 10, 2 * rolling.ROLLED_ROWS + 7)
    values[random.random(len(values)) < 0.1] = math.nan
    found = rolling.compute_rolling(values[None], (3, 336))[:, :, 0]
    for hours, shown in zip((3, 336), found, strict=True):
        rolled = pd.Series(values).rolling(hours, min_periods=1)
        for name, one in zip(rolling.ROLLING_STATISTICS, shown, strict=True):
            expected = rolled.std(ddof=0) if name == "std" else getattr(rolled, name)()
            np.testing.assert_allclose(one, expected, rtol=1e-6, atol=1e-4)


@given(
    seed=st.integers(0, 2**32 - 1),
    level=st.sampled_from([0.0, 3.5, 1000.0, -1e9]),
    width=st.sampled_from([0.0, 1e-6, 0.1, 50.0]),
    absurd=st.lists(st.tuples(st.integers(0, 199), st.sampled_from([1e7, -1e12, 1e30, 3e38])), max_size=3),
    window=st.sampled_from([1, 2, 3, 24, 100, 168, 336]),
)
def test_statistics_have_the_digits_of_what_is_in_their_window(
    seed: int, level: float, width: float, absurd: list[tuple[int, float]], window: int
) -> None:
    """An extreme value before a window does not reduce the precision in it; equal values have a deviation of 0."""
    random = np.random.default_rng(seed)
    values = level + width * random.normal(size=200)
    for row, value in absurd:
        values[row] = value
    values[random.random(200) < 0.1] = math.nan
    mean, deviation, least, most = rolling.compute_rolling(values[None], [window], out=np.empty((1, 4, 1, 200)))[
        0, :, 0
    ]
    for row in range(200):
        known = values[max(row - window + 1, 0) : row + 1]
        known = known[~np.isnan(known)]
        if not known.size:
            assert np.isnan([mean[row], deviation[row], least[row], most[row]]).all()
            continue
        size = np.abs(known).max()
        exact = math.fsum(known) / known.size
        distance = math.sqrt(math.fsum((known - exact) ** 2) / known.size)
        np.testing.assert_allclose(mean[row], exact, rtol=1e-12, atol=1e-14 * size)
        np.testing.assert_allclose(deviation[row], distance, rtol=1e-5, atol=1e-14 * size)
        assert (least[row], most[row]) == (known.min(), known.max())
        assert deviation[row] == 0 or least[row] < most[row]


def test_holidays_are_those_of_the_region() -> None:
    """Patriots' Day is a holiday only in Massachusetts; the days beside a holiday are marked; without a region there
    are none."""
    period = Period(datetime(2024, 4, 12, tzinfo=UTC), datetime(2024, 4, 20, tzinfo=UTC))

    def days(region: str | None, name: str) -> set[int]:
        made = calendar.derive_calendar(period, "UTC", region)
        rows = dict(zip((f.name for f in made.features), made.values, strict=True))[f"calendar/{name}"]
        return {12 + row // 24 for row in np.flatnonzero(rows).tolist()}

    assert days("US-MA", "holiday") == {15}
    assert days("US-MA", "day_before_holiday") == {14}
    assert days("US-MA", "day_after_holiday") == {16}
    assert days("US", "holiday") == set()
    assert not any("holiday" in f.name for f in calendar.derive_calendar(period, "UTC", None).features)


def test_all_groups_make_about_25_columns_of_each_series() -> None:
    """All groups give about 25 columns per series, each with formula, unit and look-back, and with different names."""
    series = POWER | {
        "iso_ne__4000__lmp_day_ahead": ("USD/MWh", -1, "p"),
        "iso_ne__4000__lmp_real_time": ("USD/MWh", 3, "q"),
        "open_meteo__boston__temperature_2m": ("°C", 1, "t"),
        "open_meteo__boston__wind_speed_10m": ("km/h", 1, "v"),
    }
    asked = Features(power=True, prices=True, weather=True, lags=(24, 168), rolling=(3, 6, 12, 24, 168))
    period = Period(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 3, 12, tzinfo=UTC))
    made = derive.derive_columns(columns(**series), period, PLACE, asked).features
    assert 23 <= len(made) / len(series) <= 32
    assert len({feature.name for feature in made}) == len({feature.key for feature in made}) == len(made)
    derived = made[len(series) :]
    assert all(feature.formula and feature.unit for feature in derived)
    assert max(feature.lookback for feature in derived) == 5 + 168 + 1


def test_columns_of_places_are_aligned() -> None:
    """Columns that a location lacks are missing there; the order is that of the first location."""
    one = columns(eia__ISNE__demand=("MWh", 2, "demand"), eia__ISNE__generation_wind=("MWh", 2, "wind"))
    other = columns(eia__NYIS__demand=("MWh", 2, "demand"), eia__NYIS__generation_coal=("MWh", 2, "coal"))
    first, second = align_columns([one, other])
    assert [f.name for f in first.features] == ["eia/ISNE/demand-2h", "eia/ISNE/generation_wind-2h", "absent"]
    assert [f.name for f in second.features] == ["eia/NYIS/demand-2h", "absent", "eia/NYIS/generation_coal-2h"]
    np.testing.assert_array_equal(second.values[[0, 2]], other.values)
    assert np.isnan(second.values[1]).all()
    assert not second.observed[1].any()


@pytest.mark.parametrize("window", [3, 24, 168])
def test_a_statistic_of_too_few_rows_is_missing(window: int) -> None:
    """A statistic exists if at least the given share of its rows is observed."""
    values = np.where(np.arange(400) % 24 < 3, 1.0 * np.arange(400), np.nan)
    rolled = rolling.compute_rolling(values[None], [window], ["mean"], known_share=0.1)[0, 0, 0]
    for row in range(400):
        known_values = [value for value in values[max(row - window + 1, 0) : row + 1] if not np.isnan(value)]
        assert np.isnan(rolled[row]) == (len(known_values) < max(1, 0.1 * window)), row


@pytest.mark.parametrize(
    "zone",
    [
        *("America/New_York", "America/St_Johns", "Europe/London", "Asia/Kolkata", "Asia/Kathmandu"),
        *("Australia/Lord_Howe", "Pacific/Chatham", "America/Phoenix", "UTC"),
    ],
)
def test_calendar_columns_follow_the_local_clock(zone: str) -> None:
    """Hour, weekday and month are those of the wall clock at the start of each hour, on days of changes too."""
    for start in (
        datetime(2024, 3, 8, tzinfo=UTC),
        datetime(2024, 4, 5, tzinfo=UTC),
        datetime(2024, 10, 30, tzinfo=UTC),
    ):
        hours = [start + number * timedelta(hours=1) for number in range(120)]
        columns = calendar.derive_calendar(Period(start, hours[-1] + timedelta(hours=1)), zone)
        clock = [moment.astimezone(ZoneInfo(zone)) for moment in hours]
        parts = {
            "hour": [(moment.hour + moment.minute / 60) / 24 for moment in clock],
            "weekday": [(moment.weekday() + (moment.hour + moment.minute / 60) / 24) / 7 for moment in clock],
            "month": [(moment.month - 1) / 12 for moment in clock],
        }
        rows = {feature.name: values for feature, values in zip(columns.features, columns.values, strict=True)}
        for name, turns in parts.items():
            expected = [math.sin(2 * math.pi * turn) for turn in turns]
            np.testing.assert_allclose(rows[f"calendar/{name}_sin"], expected, atol=1e-9)
