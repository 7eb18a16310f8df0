"""One table of names for all operators: the page that shows it, the presets that use it, and what training reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridtide.errors import CredentialsError
from gridtide.http.credentials import build_credentials
from gridtide.sources.presets.catalogue import list_presets
from gridtide.sources.presets.market_variables import MARKET_VARIABLES
from gridtide.sources.registry import find_entry_scope, find_quantity, find_variable, narrow_entry
from tests.support.presets import entry_of

PAGE = Path(__file__).parents[3] / "docs" / "variables.md"


ENDINGS = "(_energy|_congestion|_loss)?"
"""The end of the pattern of a price."""


def write_rows() -> list[str]:
    """The rows of the table as the page has them."""
    rows = []
    for name, row in MARKET_VARIABLES.items():
        pattern = row.pattern.removesuffix(ENDINGS).replace("|", ", ").replace(r"\w+", "…")
        ending = ", each also `_energy`, `_congestion`, `_loss`" if row.pattern.endswith(ENDINGS) else ""
        sources = ", ".join(f"`{source}`" for source, preset in list_presets().items() if name in preset.variables)
        rows.append(f"| `{name}` | `{pattern}`{ending} | {row.unit} | {row.hourly} | {row.meaning} | {sources} |")
    return rows


def test_the_page_shows_the_table() -> None:
    """docs/variables.md has each row with its unit, its hourly rule and the operators that have it, and no other."""
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert rows == write_rows()


@pytest.mark.parametrize(
    ("name", "product"), [(name, product) for name, preset in list_presets().items() for product in preset.products]
)
def test_every_name_that_a_product_writes_is_in_the_table(name: str, product: str) -> None:
    """Each variable that keys name has a row of its source, in the unit of the product."""
    described = list_presets()[name].describe(product)
    values = described.get("value")
    named = [text for text in values.values() if isinstance(text, str)] if isinstance(values, dict) else []
    named += [text.replace("*", "any") for text in described.get("names", {}).values()]
    melt = described.get("melt")
    named += [melt["variable"]] if isinstance(melt, dict) and melt.get("into") == "location" else []
    prefix = described.get("components")
    named += [f"{prefix}{end}" for end in ("", "_energy", "_congestion", "_loss")] if prefix else []
    assert named
    for variable in named:
        row = find_variable(name, variable)
        assert row is not None, variable
        assert row.unit == described["unit"], variable


@pytest.mark.parametrize(
    ("source_name", "variable", "quantity"),
    [
        ("nyiso", "load", ("load", "")),
        ("spp", "load_forecast", ("load_forecast", "")),
        ("pjm", "generation_natural_gas", ("generation", "natural_gas")),
        ("ercot", "generation_wind_forecast", ("generation_forecast", "wind")),
        ("ercot", "lmp_fifteen_minute", ("real_time_price", "")),
        ("miso", "lmp_day_ahead", ("day_ahead_price", "")),
        ("entsoe", "price_day_ahead", ("day_ahead_price", "")),
        ("entsoe", "generation_wind_onshore", ("generation", "wind")),
    ],
)
def test_training_knows_what_the_names_measure(source_name: str, variable: str, quantity: tuple[str, str]) -> None:
    """Features of power and prices find the loads, fuels and prices of every market."""
    assert find_quantity(source_name, variable) == quantity


def test_a_place_that_is_added_is_requested_alone() -> None:
    """The scope of a product is its places: files of one place cover it, and an entry with two requests the other."""
    before, after = (entry_of("spp", "lmp_day_ahead", locations=names) for names in (["A"], ["A", "B"]))
    (added,) = find_entry_scope(after).without(find_entry_scope(before))
    (narrowed,) = narrow_entry(after, added)
    assert narrowed.locations == ("B",)
    assert find_entry_scope(before).without(find_entry_scope(entry_of("spp", "lmp_day_ahead"))) == []


@pytest.mark.parametrize(
    ("source_name", "product"), [("pjm", "generation"), ("ercot", "load"), ("miso", "load_hourly"), ("entsoe", "load")]
)
def test_a_missing_key_says_where_to_get_it(source_name: str, product: str) -> None:
    """The message names the variable and the page to register at."""
    entry = entry_of(source_name, product, **({"locations": ["FR"]} if source_name == "entsoe" else {}))
    with pytest.raises(CredentialsError, match=r"is not set.*To get it: Register at https://"):
        build_credentials(
            entry,
            {"ERCOT_USERNAME": "u", "ERCOT_PASSWORD": "p"},
            {auth.identity: "t" for auth in entry.auths if hasattr(auth, "identity")},
        )
