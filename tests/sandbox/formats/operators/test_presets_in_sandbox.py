"""The sandbox serves every product of every preset: what a scheduled run asks for now is stored whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from gridtide.collect.collection import collect
from gridtide.config.loading import load, parse
from gridtide.entries.entry import Config, Entry
from gridtide.http.client import Http
from gridtide.lake import Lake
from gridtide.periods import Period
from gridtide.sandbox import redirect
from gridtide.sandbox.upstreams import list_secrets
from gridtide.sources.presets.catalogue import list_presets
from gridtide.sources.registry import get_source
from tests.support.source_tree import ROOT
from tests.support.upstreams.sandbox_server import NOW, collect_observations, serving

LOCATIONS = {"pjm": ["51288", "51217"], "entsoe": ["FR"]}
"""Of products that are asked for at a location."""

PAST = {"spp": {"load_until_2026"}}
"""Products of days that are over."""

LARGE = {"spp": {"generation_year", "generation_history", "load_history", "lmp_day_ahead_history"}}
"""A year of five minutes takes some seconds, and the sandbox has no zips of years."""


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


@pytest.mark.slow
@pytest.mark.parametrize("hour", range(2, 24, 4))
async def test_at_any_time_of_day_all_that_is_due_is_there(hour: int, tmp_path: Path) -> None:
    """Whatever the time of day, a run of a shipped entry of a preset asks for nothing that its upstream has not yet."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    now = midnight + timedelta(hours=hour - 24, minutes=1)
    entries = [entry for entry in load(ROOT / "api_config.json").apis if entry.source in list_presets()]
    async with serving(now=now) as client, Http(list_secrets()) as http:
        for entry in redirect(Config(apis=tuple(entries)), str(client.make_url("/"))).apis:
            period = get_source(entry.source).find_due_period(entry, now)
            lake = Lake.open(str(tmp_path / entry.name))
            collected = await collect(entry, lake=lake, http=http, stamp=now, period=period)
            assert collected.holes == (), entry.name


async def list_published(entry: Entry, period: Period) -> set[datetime]:
    """When the rows were published that the sandbox of a week later gives for `period`."""
    table = await collect_observations(entry, period, now=NOW + timedelta(days=7))
    return set(table["published_at"].to_pylist())


async def test_every_posting_of_a_day_is_requested_on_that_day() -> None:
    """The sandbox heeds the bounds of postings: those of a day, five minutes before noon and midnight of Chicago, come
    with the day's request, and a request that ends with the last hour's start, as in old presets, misses one."""
    day = Period(datetime(2026, 6, 10, 5, tzinfo=UTC), datetime(2026, 6, 11, 5, tzinfo=UTC))
    whole = {datetime(2026, 6, 10, 16, 55, tzinfo=UTC), datetime(2026, 6, 11, 4, 55, tzinfo=UTC)}
    entry = msgspec.structs.replace(entry_of("ercot", "load_forecast_zones"), archive=None)
    assert await list_published(entry, day) == whole
    old = {**entry.params, "postedDatetimeTo": "{last:%Y-%m-%dT%H:%M:%S}"}
    assert await list_published(msgspec.structs.replace(entry, params=old), day) == {min(whole)}
