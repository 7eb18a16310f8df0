"""The sandbox serves every product of every preset: what a scheduled run asks for now is stored whole."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gridtide.collect.collection import collect
from gridtide.config.loading import parse
from gridtide.entries.entry import Config, Entry
from gridtide.http.client import Http
from gridtide.lake import Lake
from gridtide.sandbox import redirect
from gridtide.sandbox.upstreams import list_secrets
from gridtide.sources.presets.catalogue import list_presets
from gridtide.sources.registry import get_source
from tests.support.upstreams.sandbox_server import serving

LOCATIONS = {"pjm": ["51288", "51217"], "entsoe": ["FR"]}
"""Of products that are asked for at a location."""

PAST = {"spp": {"load_until_2026"}}
"""Products of days that are over."""

LARGE = {"spp": {"generation_year"}}
"""A year of five minutes takes some seconds."""


def entry_of(name: str, product: str) -> Entry:
    """The entry of a product with nothing else than it needs."""
    raw = {"name": f"{name}_{product}", "source": name, "product": product, "output_folder": product}
    if name in LOCATIONS and (name != "pjm" or "lmp" in product):
        raw["locations"] = LOCATIONS[name]
    [entry] = parse({"apis": [raw]}).apis
    return entry


@pytest.mark.slow
@pytest.mark.parametrize("name", list_presets())
async def test_every_product_of_a_preset_lands_from_the_sandbox(name: str, tmp_path: Path) -> None:
    """Rows of each product land for the period of a scheduled run, and none conflicts with another."""
    left_out = PAST.get(name, set()) | LARGE.get(name, set())
    now = datetime.now(UTC)
    async with serving(now=None) as client, Http(list_secrets()) as http:
        for product in list_presets()[name].products.keys() - left_out:
            entry = entry_of(name, product)
            [moved] = redirect(Config(apis=(entry,)), str(client.make_url("/"))).apis
            period = get_source(name).find_due_period(moved, now)
            lake = Lake.open(str(tmp_path / product))
            collected = await collect(moved, lake=lake, http=http, stamp=now, period=period)
            assert collected.rows > 0, product
            reasons = [item.reason for item in collected.skipped if not item.expected]
            assert [reason for reason in reasons if "one key" in reason or "inconsistent" in reason] == [], product
