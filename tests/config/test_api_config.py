"""The shipped configuration: every upstream, schedules, descriptions, and the documented folders."""

from pathlib import Path

import pytest

from gridtide.config.loading import load

CONFIG = load(Path(__file__).parents[2] / "api_config.json")


@pytest.mark.parametrize(
    ("name", "folder", "prefix"),
    [
        ("iso_ne_seven_day_forecast", "iso_ne_current_7_day_forecast", "demand"),
        ("iso_ne_hourly_final_lmp", "hourly_final_lmp", "hourly_final_lmp"),
        ("iso_ne_fuel_mix", "iso_ne_fuel_mix", "fuel_mix"),
        ("iso_ne_morning_report", "iso_ne_morning_report", "morning_report"),
        ("iso_ne_hourly_system_load", "iso_ne_hourly_system_load", "system_load"),
    ],
)
def test_new_englands_files_are_where_they_always_were(name, folder, prefix):
    """Every ISO-NE entry has its documented folder and prefix."""
    entry = CONFIG.entry(name)
    assert (entry.output_folder, entry.file_prefix, entry.source) == (folder, prefix, "iso_ne")


def test_every_upstream_is_there():
    """The configuration has the products of EIA, CAISO, Open-Meteo and the simulation, and all markets of the US."""
    asked = {(entry.source, entry.url.rstrip("/").rsplit("/", 1)[-1]) for entry in CONFIG.apis}
    assert {("open_meteo", "archive"), ("open_meteo", "forecast"), ("synthetic", "")} <= asked
    assert {"iso_ne", "caiso", "nyiso", "miso", "spp", "pjm", "ercot"} <= {entry.source for entry in CONFIG.apis}
    eia = {(e.url.split("/")[-3], e.params.get("facets[type][]")) for e in CONFIG.apis if e.source == "eia"}
    assert eia == {
        ("region-data", ("D",)),
        ("region-data", ("DF",)),
        ("fuel-type-data", None),
        ("interchange-data", None),
    }
    outlook = {e.url.rpartition("/")[2] for e in CONFIG.apis if "/outlook/" in e.url}
    assert outlook == {"fuelsource.csv", "demand.csv", "netdemand.csv", "renewables.csv", "co2.csv"}
    oasis = {(e.params["queryname"], e.params["market_run_id"]) for e in CONFIG.apis if "/oasisapi/" in e.url}
    assert oasis == {
        ("SLD_FCST", "ACTUAL"),
        ("SLD_FCST", "DAM"),
        ("SLD_REN_FCST", "DAM"),
        ("ENE_SLRS", "DAM"),
        ("PRC_LMP", "DAM"),
    }


@pytest.mark.parametrize("operator", ["nyiso", "miso", "spp", "pjm", "ercot", "entsoe"])
def test_each_operator_has_load_generation_and_day_ahead_prices(operator):
    """The configuration has at least these three products of each operator with a preset."""
    products = {entry.product for entry in CONFIG.apis if entry.source == operator}
    assert any(product.startswith("load") for product in products)
    assert any(product.startswith("generation") for product in products)
    assert any(product.endswith("_day_ahead") for product in products)


def test_every_entry_has_a_schedule_that_says_why_it_is_when_it_is():
    """Each entry has a schedule, each schedule is used, and its description gives the reason for its time."""
    assert {entry.schedule for entry in CONFIG.apis} == set(CONFIG.schedules)
    for name, schedule in CONFIG.schedules.items():
        assert len(schedule.description) > 40, name


def test_every_entry_is_described():
    """Every entry has a description."""
    assert all(entry.description for entry in CONFIG.apis)
