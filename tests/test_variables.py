"""The variables that sources declare, and its agreement with the pages about the sources."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from gridtide import variables
from gridtide.config.loading import parse
from gridtide.entries.entry import Entry
from gridtide.entries.table_layout import GROUPS, Hours, Melt, Pages
from gridtide.periods import Period
from gridtide.sources.presets.catalogue import list_preset_names
from gridtide.sources.registry import find_hourly_rule, find_quantity, find_variable, get_source, list_sources

PAGES = Path(__file__).parents[1] / "docs" / "sources"


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("PeakLoadTodayMw", "peak_load_today_mw"),
        ("UncommitedAvailDRRMw", "uncommited_avail_drr_mw"),
        ("ExpActOp4Mw", "exp_act_op4_mw"),
        ("CSOMw", "cso_mw"),
        ("Natural Gas", "natural_gas"),
        ("NYISO AC", "nyiso_ac"),
        ("Small hydro", "small_hydro"),
        ("temperature_2m", "temperature_2m"),
        (" main.temp (°C) ", "main_temp_c"),
        ("Solar", "solar"),
        ("DAM", "dam"),
        ("", ""),
    ],
)
def test_names_are_spelled_in_snake_case(name: str, spelled: str) -> None:
    """Capitals, abbreviations, digits, spaces and signs become snake case, and snake case stays unchanged."""
    assert variables.snake_case(name) == spelled
    assert variables.snake_case(spelled) == spelled


@pytest.mark.parametrize(
    ("name", "variable", "unit"),
    [
        ("eia", "demand", "MWh"),
        ("eia", "generation_natural_gas", "MWh"),
        ("iso_ne", "generation_natural_gas", "MW"),
        ("iso_ne", "marginal_wood", "1"),
        ("iso_ne", "lmp_real_time_preliminary_loss", "USD/MWh"),
        ("iso_ne", "load_native_btm_pv_five_minute", "MW"),
        ("iso_ne", "morning_report_tie_flow_mw_nyiso_ac", "MW"),
        ("iso_ne", "morning_report_high_temperature_boston", "°F"),
        ("iso_ne", "seven_day_dew_point_f_hartford", "°F"),
        ("iso_ne", "seven_day_power_warn", "1"),
        ("caiso", "load", "MW"),
        ("caiso", "load_forecast_two_day_ahead", "MW"),
        ("caiso", "generation_wind_forecast_day_ahead", "MW"),
        ("caiso", "schedule_import_real_time", "MW"),
        ("caiso", "lmp_five_minute_ghg", "USD/MWh"),
        ("synthetic", "demand", "MWh"),
        ("synthetic", "lmp_day_ahead", "USD/MWh"),
    ],
)
def test_a_variable_has_one_unit(name: str, variable: str, unit: str) -> None:
    """A variable of a source has one unit; in another source it may have another."""
    description = find_variable(name, variable)
    assert description is not None
    assert description.unit == unit


@pytest.mark.parametrize(
    ("name", "variable"),
    [("eia", "load"), ("iso_ne", "demand"), ("generic", "load"), ("nobody", "x"), ("no.body", "x")],
)
def test_an_unknown_variable_has_no_description(name: str, variable: str) -> None:
    """A variable that its source does not describe, and any variable of an unknown source, has no description."""
    assert find_variable(name, variable) is None


def test_the_unit_of_an_unknown_variable_is_refused() -> None:
    """A source that gives an observation a name it does not describe fails, and the message has the name."""
    with pytest.raises(KeyError, match="load is not among the variables of its source"):
        variables.unit_of(get_source("eia").VARIABLES, "load")


@pytest.mark.parametrize(
    ("name", "variable", "quantity"),
    [
        ("eia", "demand", ("load", "")),
        ("iso_ne", "load_forecast", ("load_forecast", "")),
        ("iso_ne", "load_native", None),
        ("caiso", "generation_wind_forecast_day_ahead", ("generation_forecast", "wind")),
        ("caiso", "generation_wind_forecast_two_day_ahead", None),
        ("eia", "generation_landfill_gas", ("generation", "landfill_gas")),
        ("generic", "lmp_five_minute", ("real_time_price", "")),
        ("nobody", "generation_", None),
    ],
)
def test_what_a_variable_measures_follows_from_its_name(name: str, variable: str, quantity: tuple[str, str]) -> None:
    """A customary name, or `generation_` with a fuel, gives the quantity; in every source alike."""
    assert find_quantity(name, variable) == quantity


@pytest.mark.parametrize(
    ("name", "variable", "unit", "rule"),
    [
        ("eia", "demand", "MWh", "sum"),
        ("caiso", "load", "MW", "mean"),
        ("iso_ne", "seven_day_peak_load_mw", "MW", "repeat"),
        ("open_meteo", "temperature_2m", "°C", "start"),
        ("generic", "solar", "MWh", "sum"),
        ("generic", "solar", "MW", "mean"),
        ("generic", "price", "EUR/MWh", "mean"),
    ],
)
def test_how_a_value_becomes_hourly(name: str, variable: str, unit: str, rule: str) -> None:
    """The rule is that of its source, else that of the unit."""
    assert find_hourly_rule(name, variable, unit) == rule


class Documented(NamedTuple):
    """A row of the table of variables on a page: its names, unit and hourly rule."""

    names: list[str]
    unit: str
    rule: str


def page(name: str) -> str:
    """The text of the page about a source."""
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def table(name: str) -> Iterator[Documented]:
    """The rows of the table of variables on a page, with names for all endings."""
    header, _, *rows = [line for line in page(name).splitlines() if line.startswith("|")]
    assert header == "| answer | variable | unit | interval | location | to the hour |"
    for row in rows:
        _, variable, unit, _, _, rule = (cell.strip() for cell in row.strip("|").split("|"))
        found = [re.sub(r"<\w+>", "some", text) for text in re.findall(r"`([^`]+)`", variable)]
        names = [text for text in found if not text.startswith("_")]
        endings = [text for text in found if text.startswith("_")]
        yield Documented([name + ending for name in names for ending in ("", *endings)], unit, rule)


@pytest.mark.parametrize("name", [name for name in list_sources() if name not in ("generic", "sql")])
def test_the_page_of_a_source_has_units_and_rules_as_the_code_has_them(name: str) -> None:
    """Each name on a page has the unit and the hourly rule of its source."""
    for row in table(name):
        assert row.names
        for variable in row.names:
            known = find_variable(name, variable)
            assert known is None or known.unit == row.unit, variable
            assert find_hourly_rule(name, variable, row.unit) == row.rule, variable
            assert known is not None or name in ("open_meteo", "synthetic"), f"{variable} is not in the registry"


@pytest.mark.parametrize("name", [name for name in list_sources() if get_source(name).VARIABLES])
def test_no_variable_of_the_registry_is_undocumented(name: str) -> None:
    """Each row of its source matches a name on a page."""
    found = {find_variable(name, variable) for row in table(name) for variable in row.names}
    assert set(get_source(name).VARIABLES) - found == set()


def test_the_page_of_the_generic_source_names_the_keys_of_a_table() -> None:
    """The page names every key of the generic source and of its groups."""
    fields = {field.name for field in msgspec.structs.fields(Entry)}
    of_groups = {field.name for group in GROUPS.values() for field in msgspec.structs.fields(group)}
    of_tables = {field.name for group in (Hours, Melt, Pages) for field in msgspec.structs.fields(group)}
    own = {"records", "layout", "time", "time_format", "ambiguous", "label", "interval", "location", "value"}
    own |= {"melt", "pages", "hours"}
    assert own <= fields
    named = set(re.findall(r"[\"`](\w+)[\"`]", page("generic")))
    assert (own | of_groups | of_tables) - named == set()


@pytest.mark.parametrize("name", list_sources())
def test_the_entry_of_each_page_works(name: str) -> None:
    """The entry of each page is valid, belongs to its source, and sends requests for a period."""
    examples = re.findall(r"```json\n(\{\n  \"name\".*?)```", page(name), re.DOTALL)
    assert len(examples) == {"generic": 3, "open_meteo": 2}.get(name, 1)
    for example in examples:
        entry = parse({"apis": [json.loads(example)]}).apis[0]
        assert entry.source == name
        assert get_source(name).takes_period(entry)
        start = datetime(2024, 3, 9, tzinfo=UTC)
        requests = get_source(name).build_requests(entry, Period(start, start + timedelta(days=3)))
        assert requests
        assert len({request.label for request in requests}) == len(requests)


def test_the_index_names_every_source_and_host() -> None:
    """The index has a page for each source, and every host."""
    index = page("README")
    links = re.findall(r"^\| \[`(\w+)`\]\((\w+)\.md\)", index, re.MULTILINE)
    assert sorted(links) == [(name, name) for name in list_sources()]
    assert all(f"`{host}`" in index for name in list_sources() for host in get_source(name).HOSTS)
    assert {path.stem for path in PAGES.glob("*.md")} == {"README", *list_sources()}


@pytest.mark.parametrize("name", list_sources())
def test_each_page_has_the_same_parts(name: str) -> None:
    """The pages have the same headings in the same order, those of presets also the terms of their operator; that of
    the generic source has its own."""
    terms = ["Terms of use"] if name in list_preset_names() else []
    parts = ["Notable irregularities", "Limits", "History", *terms, "An entry"]
    if name == "generic":
        parts = [
            *("Records and layouts", "CSV", "Numbers", "Series: values, variables, locations", "Time", "Wide tables"),
            *("Several files", "Pages", "Requests", "Markets", "Presets", "Three entries", "Notable irregularities"),
        ]
    assert re.findall(r"^## (.*)$", page(name), re.MULTILINE) == parts


@pytest.mark.parametrize(
    ("pattern", "matching"),
    [
        ("eia/ISNE/*", {"eia/ISNE/demand", "eia/ISNE/generation_wind"}),
        ("eia/ISNE/*/*", {"eia/ISNE/4001/demand"}),
        ("eia/*/demand", {"eia/ISNE/demand", "eia/I[S]NE/demand"}),
        ("eia/ISN?/demand", {"eia/ISNE/demand"}),
        ("eia/I[S]NE/demand", {"eia/I[S]NE/demand"}),
        ("eia/ISNE/DEMAND", set()),
    ],
)
def test_only_two_characters_are_wildcards_and_neither_crosses_a_slash(pattern: str, matching: set[str]) -> None:
    """Only `*` and `?` are wildcards, neither matches a slash, and case counts."""
    names = ["eia/ISNE/demand", "eia/ISNE/generation_wind", "eia/ISNE/4001/demand", "eia/I[S]NE/demand"]
    assert {name for name in names if variables.matches_any(name, [pattern])} == matching
