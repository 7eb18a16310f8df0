"""Pairs of series that should say the same: which are found, and what is said of their months."""

from datetime import UTC, date, datetime

import numpy as np
import pytest

from gridtide.entries.expect.checks import CompareRule
from gridtide.quality.daily import HourlySeries, find_bad_series
from gridtide.quality.flags import Flag
from gridtide.quality.relations.pair_verdicts import judge_pairs
from gridtide.quality.relations.pairs import SeriesPair, find_known_pairs, find_ruled_pairs
from tests.quality.test_screening import demand_wave

START = datetime(2024, 1, 1, tzinfo=UTC)
JANUARY = 31 * 24
FEBRUARY = 29 * 24


def as_names(pairs: list[SeriesPair]) -> set[tuple[str, str]]:
    """The names of series and reference of each pair."""
    return {(pair.series, pair.reference) for pair in pairs}


def test_operators_and_forecasts_are_paired_by_what_they_measure() -> None:
    """EIA's regions are compared with their operators' own load and fuels, and forecasts with what came; zones, hubs
    and other regions are not."""
    names = [
        *("eia/ISNE/demand", "eia/ISNE/demand_forecast_day_ahead", "eia/CISO/demand", "eia/BPAT/demand"),
        *("iso_ne/32/load", "iso_ne/ISNE/load_five_minute", "iso_ne/.Z.MAINE/load", "iso_ne/32/load_forecast"),
        *("caiso/CA ISO-TAC/load", "caiso/PGE-TAC/load", "caiso/CAISO/generation_solar"),
        *("caiso/NP15/generation_solar_forecast_day_ahead", "eia/CISO/generation_solar"),
        *("ercot/ERCOT/generation_wind_forecast", "ercot/ERCOT/generation_wind", "eia/ISNE/generation_wind"),
    ]
    pairs = find_known_pairs(names)
    assert as_names(pairs) == {
        ("eia/ISNE/demand", "iso_ne/32/load"),
        ("eia/ISNE/demand_forecast_day_ahead", "eia/ISNE/demand"),
        ("iso_ne/32/load_forecast", "iso_ne/32/load"),
        ("eia/CISO/demand", "caiso/CA ISO-TAC/load"),
        ("eia/CISO/generation_solar", "caiso/CAISO/generation_solar"),
        ("ercot/ERCOT/generation_wind_forecast", "ercot/ERCOT/generation_wind"),
    }
    assert {pair.series for pair in pairs if pair.is_forecast} == {
        "eia/ISNE/demand_forecast_day_ahead",
        "iso_ne/32/load_forecast",
        "ercot/ERCOT/generation_wind_forecast",
    }


def test_a_check_pairs_what_it_names() -> None:
    """A reference without wildcards is that of all series; with one, each series has that of its location."""
    names = ["our/A/load", "our/B/load", "their/A/load", "their/C/load"]
    rule = CompareRule(kind="compare", series="our/*/load", reference="their/*/load")
    assert as_names(find_ruled_pairs(names, rule)) == {("our/A/load", "their/A/load")}
    rule = CompareRule(kind="compare", series="our/*/load", reference="their/C/load", bias=0.2)
    pairs = find_ruled_pairs(names, rule)
    assert as_names(pairs) == {("our/A/load", "their/C/load"), ("our/B/load", "their/C/load")}
    assert {pair.limits.bias for pair in pairs} == {0.2}
    assert find_ruled_pairs(names, CompareRule(kind="compare", series="no/A/load", reference="their/C/load")) == []


def judge(series: np.ndarray, reference: np.ndarray, units: tuple[str, str] = ("MWh", "MW"), **keys: bool) -> dict:
    """The verdicts of February on a pair, by measure."""
    names = ("eia/ISNE/demand", "iso_ne/32/load")
    hourly = HourlySeries(names, units, np.stack([series, reference]), START)
    pair = find_known_pairs(names)[0] if not keys else SeriesPair(*names, find_known_pairs(names)[0].limits, **keys)
    verdicts, problems = judge_pairs(hourly, [pair], date(2024, 2, 1))
    assert {(v.series, v.day) for v in verdicts} <= {(names[0], date(2024, 2, 1))}
    return {v.check.split(".")[1]: v for v in verdicts} | ({"problems": problems} if problems else {})


def test_a_month_is_judged_by_bias_correlation_lag_and_drift() -> None:
    """Equal months are good; a bias that begins is bias and drift; an hour late is a lag, which makes a series bad."""
    reference = demand_wave(JANUARY + FEBRUARY)
    equal = judge(reference, reference)
    assert {measure: v.flag for measure, v in equal.items()} == dict.fromkeys(
        ("bias", "correlation", "lag", "drift"), Flag.GOOD
    )
    biased = reference.copy()
    biased[JANUARY:] *= 1.08
    measured = judge(biased, reference)
    assert {measure for measure, v in measured.items() if v.flag == Flag.SUSPECT} == {"bias", "drift"}
    assert measured["bias"].value == pytest.approx(0.08)
    assert measured["drift"].value == pytest.approx(0.08)
    late = reference.copy()
    late[JANUARY:] = reference[JANUARY - 1 : -1]
    measured = judge(late, reference)
    assert measured["lag"][3:] == (Flag.SUSPECT, 1.0, 0.0)
    assert list(find_bad_series(list(measured.values()))) == ["eia/ISNE/demand"]
    as_forecast = judge(late, reference, is_forecast=True)
    assert as_forecast["lag"].check == "forecast.lag.iso_ne/32/load"
    assert find_bad_series(list(as_forecast.values())) == {}


def test_units_are_converted_or_said_to_be_unlike() -> None:
    """The energy of an hour in GWh is compared with power in MW; a temperature is not."""
    reference = demand_wave(JANUARY + FEBRUARY)
    assert judge(reference / 1000, reference, ("GWh", "MW"))["bias"].value == pytest.approx(0)
    assert judge(reference, reference, ("MWh", "°C")) == {
        "problems": ["eia/ISNE/demand and iso_ne/32/load are in MWh and °C, which cannot be compared"]
    }


def test_too_few_hours_are_not_judged() -> None:
    """A month with less than two days of common hours has no verdict, not a good one."""
    series, reference = demand_wave(JANUARY + FEBRUARY), demand_wave(JANUARY + FEBRUARY)
    series[JANUARY + 47 :] = np.nan
    assert judge(series, reference) == {}
