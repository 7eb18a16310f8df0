"""The pages of the operators: their examples run against the sandbox without keys, and they say what they must."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gridtide.config.loading import parse
from gridtide.entries.auth import list_secret_names
from gridtide.entries.entry import Entry
from gridtide.periods import DAY, Period
from gridtide.sources.presets.catalogue import list_presets
from tests.support.presets import entry_of
from tests.support.upstreams.sandbox_server import collect_observations

PAGES = Path(__file__).parents[2] / "docs" / "sources"
OPERATORS = list(list_presets())
SECTIONS = ["Notable irregularities", "Limits", "History", "Terms of use", "An entry"]


def page_of(operator: str) -> str:
    """The text of an operator's page."""
    return (PAGES / f"{operator}.md").read_text()


def examples_of(operator: str) -> list[Entry]:
    """The entries that a page shows."""
    texts = re.findall(r"```json\n(.*?)\n```", page_of(operator), re.DOTALL)
    return [entry for text in texts for entry in parse({"apis": [json.loads(text)]}).apis]


@pytest.mark.parametrize("operator", OPERATORS)
async def test_the_examples_of_a_page_run_against_the_sandbox(operator: str) -> None:
    """Each entry lands rows of all of its locations, with no key set."""
    entries = examples_of(operator)
    assert entries
    for entry in entries:
        start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)
        table = await collect_observations(entry, Period(start, start + DAY), now=start + timedelta(days=3))
        assert set(table["location"].to_pylist()) == set(entry.locations)
        assert table.num_rows >= 24 * len(entry.locations)


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_page_has_each_section_product_and_key(operator: str) -> None:
    """Time convention, units and vintages are in the table of its answers; terms and keys have their places."""
    text = page_of(operator)
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    missing = [product for product in list_presets()[operator].products if f"`{product}`" not in text]
    assert missing == []
    secrets = {
        name
        for product in list_presets()[operator].products
        for auth in entry_of(operator, product, locations=["A"]).auths
        for name in list_secret_names(auth)
    }
    assert {name for name in secrets if f"`{name}`" not in text} == set()
    licence = list_presets()[operator].licence
    assert licence is not None
    assert licence.url in text
