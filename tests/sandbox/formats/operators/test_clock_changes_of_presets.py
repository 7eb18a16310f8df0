"""Of every product of every operator, the days on which clocks change are stored whole: no hour is missing, none is
there twice, and prices are those of the simulated grid."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import msgspec
import pandas as pd
import pyarrow as pa
import pytest

from gridtide.entries.entry import Entry
from gridtide.periods import Period
from gridtide.sandbox.formats.operators import ercot, miso, nyiso, spp
from gridtide.simulation import Grid, Market, to_times
from gridtide.sources.presets.catalogue import list_presets
from gridtide.sources.registry import get_source
from tests.support.presets import entry_of
from tests.support.upstreams.sandbox_server import collect_observations

DAYS = {
    ("nyiso", "spring"): ("2026-03-08T05:00", 23),
    ("nyiso", "autumn"): ("2025-11-02T04:00", 25),
    ("pjm", "spring"): ("2026-03-08T05:00", 23),
    ("pjm", "autumn"): ("2025-11-02T04:00", 25),
    ("miso", "spring"): ("2026-03-08T05:00", 24),
    ("miso", "autumn"): ("2025-11-02T05:00", 24),
    ("ercot", "spring"): ("2026-03-08T06:00", 23),
    ("ercot", "autumn"): ("2025-11-02T05:00", 25),
    ("spp", "spring"): ("2026-03-08T06:00", 23),
    ("spp", "autumn"): ("2025-11-02T05:00", 25),
    ("entsoe", "spring"): ("2026-03-28T23:00", 23),
    ("entsoe", "autumn"): ("2025-10-25T22:00", 25),
}
"""The first hour of the day in UTC, and its hours: those of MISO are hours of Eastern Standard Time, always 24."""

LOCATIONS = {"pjm": ["51288"], "entsoe": ["FR"]}

SNAPSHOTS = {
    *(("miso", name) for name in ("load_five_minute", "generation", "wind_forecast", "solar_forecast")),
    *(("miso", name) for name in ("lmp_five_minute", "lmp_five_minute_latest")),
    *(("spp", name) for name in ("generation", "generation_year", "lmp_five_minute_latest")),
    *(("pjm", "load_forecast_latest"), ("ercot", "generation"), ("ercot", "load_dashboard")),
}
"""Products without periods, which have no days."""

ZIPS_OF_YEARS = {("spp", "load_history"), ("spp", "lmp_day_ahead_history")}
"""Products of closed years, of which the sandbox has no zips."""

PRODUCTS = [
    (name, product)
    for name, preset in list_presets().items()
    for product in preset.products
    if (name, product) not in SNAPSHOTS and (name, product) not in ZIPS_OF_YEARS
]

MARKETS: dict[str, Market] = {"lmp_day_ahead": "day_ahead", "lmp_real_time": "real_time"}
PRICED = {
    "nyiso": ("NYIS", list(nyiso.PRICE_POINTS), "WEST", 2),
    "miso": ("MISO", list(miso.PRICE_NODES), "ILLINOIS.HUB", 2),
    "spp": ("SWPP", list(spp.PRICED_LOCATIONS), "SPPNORTH_HUB", 4),
    "ercot": ("ERCO", list(ercot.SETTLEMENT_POINTS), "HB_NORTH", 2),
}
"""By operator, its code, its points, one of them, and the decimals of its prices."""

MARKETS_OF_OPERATORS = [(name, market) for name in PRICED for market in MARKETS if (name, market) in PRODUCTS]


def find_day(name: str, product: str, season: str) -> tuple[Period, Period]:
    """The period that is requested, and that whose hours the answer holds: MISO's report has the load of the day
    before."""
    text, hours = DAYS[name, season]
    start = datetime.fromisoformat(text).replace(tzinfo=UTC)
    day = Period(start, start + timedelta(hours=hours))
    if (name, product) == ("miso", "load"):
        return Period(day.end, day.end + timedelta(days=1)), day
    if (name, product) in (("ercot", "wind"), ("ercot", "solar")):  # a period is one of postings, which look back
        return Period(day.start + timedelta(hours=12), day.end + timedelta(hours=13)), day
    if name in ("pjm", "ercot") and product.startswith("load_forecast"):  # a period is one of issues, which look ahead
        return Period(day.start - timedelta(days=1), day.start), day
    return day, day


def without_archive(entry: Entry) -> Entry:
    """An entry that is asked for day by day, as a month of NYISO's prices takes seconds to make up."""
    return msgspec.structs.replace(entry, archive=None) if entry.source == "nyiso" else entry


SERIES = ["location", "variable", "published_at"]
"""The columns that tell a series in one publication."""


def list_intervals(table: pa.Table) -> pd.DataFrame:
    """The intervals of each series in one publication, in order; as columns, as answers about a year have a million."""
    columns = [*SERIES, "interval_start", "interval_end"]
    intervals = table.select(columns).to_pandas(strings_to_categorical=True)
    intervals["published_at"] = intervals["published_at"].fillna(pd.Timestamp(0, tz="UTC"))
    return intervals.sort_values(columns, ignore_index=True)


def find_overlaps(intervals: pd.DataFrame) -> pd.DataFrame:
    """The intervals that begin before the one before them in their series ends."""
    earlier = intervals.shift()
    of_one_series = (intervals[SERIES] == earlier[SERIES]).all(axis=1)
    return intervals[of_one_series & (intervals["interval_start"] < earlier["interval_end"])]


@pytest.mark.parametrize("season", ["spring", "autumn"])
@pytest.mark.parametrize(("name", "product"), PRODUCTS)
async def test_a_day_of_a_clock_change_is_stored_whole(name: str, product: str, season: str) -> None:
    """The intervals of each series lie end to end from the first hour of the day to its last."""
    asked, day = find_day(name, product, season)
    keys = {"locations": LOCATIONS[name]} if name in LOCATIONS and (name != "pjm" or "lmp" in product) else {}
    entry = without_archive(entry_of(name, product, **keys))
    now = asked.end + timedelta(days=4)
    table = await collect_observations(entry, asked, now=now)
    intervals = list_intervals(table)
    assert entry.past or not intervals.duplicated().any(), "only what was generated is repeated, by each posting"
    assert find_overlaps(intervals.drop_duplicates()).empty
    within_day = intervals[intervals["interval_start"].between(day.start, day.end, inclusive="left")]
    assert set(zip(within_day["location"], within_day["variable"], strict=True)) == set(
        zip(intervals["location"], intervals["variable"], strict=True)
    )
    for series, rows in within_day.groupby(["location", "variable"], observed=True):
        starts = sorted(rows["interval_start"].unique())
        step = min(later - earlier for earlier, later in pairwise(starts))
        hours = {start.replace(minute=0, second=0, microsecond=0) for start in starts}
        assert len(hours) == day.duration // timedelta(hours=1), series
        if entry.interval_from is None and entry.label != "instant":
            expected_step = (
                timedelta(minutes=15)
                if (name, product) == ("entsoe", "price_day_ahead")
                else entry.interval or timedelta(hours=1)
            )
            assert step == expected_step
            assert starts == [day.start + number * step for number in range(day.duration // step)], series


@pytest.mark.parametrize("season", ["spring", "autumn"])
@pytest.mark.parametrize(("name", "product"), MARKETS_OF_OPERATORS)
async def test_prices_are_those_of_the_grid(name: str, product: str, season: str) -> None:
    """Each hour has the price of its own time, and it is the sum of energy, congestion and loss."""
    asked, day = find_day(name, product, season)
    code, points, location, decimals = PRICED[name]
    entry = without_archive(entry_of(name, product, locations=[location]))
    table = await collect_observations(entry, asked, now=asked.end + timedelta(days=8))
    rows = {(row["interval_start"], row["variable"]): row["value"] for row in table.to_pylist()}
    starts = [day.start + timedelta(hours=number) for number in range(day.duration // timedelta(hours=1))]
    middles = to_times([start + timedelta(minutes=30) for start in starts])
    price = Grid(0).price_nodes(code, points, middles, MARKETS[product], decimals)[location]
    assert [rows[start, product] for start in starts] == pytest.approx(price.total.tolist(), abs=1e-9)
    parts = [
        [rows.get((start, f"{product}_{part}"), 0) for part in ("energy", "congestion", "loss")] for start in starts
    ]
    if name != "ercot":  # whose prices have no components
        assert [sum(three) for three in parts] == pytest.approx(price.total.tolist(), abs=0.0205)
        assert [three[1] for three in parts] == pytest.approx(price.congestion.tolist(), abs=1e-9)


def test_no_other_product_has_no_period() -> None:
    """The products without a day are those that are listed here."""
    for name, preset in list_presets().items():
        for product in preset.products:
            keys = {"locations": LOCATIONS.get(name, [])}
            takes_period = get_source(name).takes_period(entry_of(name, product, **keys))
            assert takes_period == ((name, product) not in SNAPSHOTS), (name, product)
