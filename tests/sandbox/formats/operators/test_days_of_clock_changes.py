"""Of NYISO and MISO, what lands of the days on which clocks change is the simulated grid: every value, hour and
location."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from gridtide.entries.entry import Entry
from gridtide.periods import Period, local_day
from gridtide.sandbox.formats.operators import nyiso
from gridtide.sandbox.formats.operators.market_days import mix_fuels
from gridtide.sandbox.formats.operators.miso import MISO_FUELS, PRICE_NODES
from gridtide.simulation import (
    HOUR_STEP,
    MIDCONTINENT,
    NEW_YORK,
    Grid,
    list_interval_starts,
)
from gridtide.variables import snake_case
from tests.support.upstreams.sandbox_server import assert_series, collect_observations, describe_entry, read_series

GRID = Grid(0)
EASTERN = ZoneInfo("America/New_York")
DAYS = [date(2026, 3, 8), date(2025, 11, 2)]
"""A day of 23 and one of 25 hours."""


def noon_after(day: date) -> datetime:
    """A moment at which the files of `day` are still listed."""
    return datetime(day.year, day.month, day.day, 16, tzinfo=UTC) + timedelta(days=5)


NYISO = "http://mis.nyiso.com/public/csv"
PLAIN, SECONDS = "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S"
LBMP = {
    "LBMP ($/MWHr)": "price",
    "Marginal Cost Losses ($/MWHr)": "loss",
    "Marginal Cost Congestion ($/MWHr)": "congestion",
}
NAMED_CLOCK = {"timezone": {"column": "Time Zone", "zone": "America/New_York"}}
STAMPED = {"time": "Time Stamp", "timezone": "America/New_York", "resolution": "PT5M"}


def nyiso_entry(dataset: str, file: str, archived: bool, **keys: object) -> Entry:
    """An entry of days, or of months, of a dataset."""
    if archived:
        where = {"url": f"{NYISO}/{dataset}/{{start:%Y%m}}01{file}_csv.zip", "per": "month"}
    else:
        where = {"url": f"{NYISO}/{dataset}/{{start:%Y%m%d}}{file}.csv"}
    return describe_entry(**where, **STAMPED | keys)


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("day", DAYS)
async def test_prices_of_nyiso(day: date, archived: bool) -> None:
    """Day-ahead prices without named clocks, by the order of rows; congestion has the opposite sign."""
    keys = {"time_format": PLAIN, "ambiguous": "order", "interval": "PT1H", "location": "Name", "value": LBMP}
    period = local_day(day, EASTERN)
    entry = nyiso_entry("damlbmp", "damlbmp_zone", archived, **keys)
    table = await collect_observations(entry, period, now=noon_after(day))
    month = local_day(day.replace(day=1), EASTERN).start
    starts = list_interval_starts(month if archived else period.start, noon_after(day), timedelta(hours=1))
    starts = starts if archived else starts[: int(period.duration / timedelta(hours=1))]
    prices = GRID.price_nodes("NYIS", list(nyiso.PRICE_POINTS), starts + HOUR_STEP // 2, "day_ahead")
    for name, price in prices.items():
        read_starts, values = read_series(table, "price", name)
        np.testing.assert_array_equal(read_starts[: len(starts)], starts)
        np.testing.assert_array_equal(values[: len(starts)], price.total)
        np.testing.assert_array_equal(read_series(table, "loss", name)[1][: len(starts)], price.loss)
        np.testing.assert_array_equal(read_series(table, "congestion", name)[1][: len(starts)], 0.0 - price.congestion)


@pytest.mark.parametrize("day", DAYS)
async def test_five_minute_loads_and_prices_of_nyiso(day: date) -> None:
    """Stamps off the grid and those of the repeated hour are values of their own; prices name no clock."""
    period, now = local_day(day, EASTERN), noon_after(day)
    keys = {**NAMED_CLOCK, "time_format": SECONDS, "location": "Name", "interval": "gaps"}
    load = await collect_observations(nyiso_entry("pal", "pal", False, **keys, value="Load"), period, now=now)
    stamps = nyiso.list_stamps(GRID, nyiso.IMITATED_FILES["pal", "pal"], day)
    assert len(stamps) > 12 * (period.duration // timedelta(hours=1)), "the day has a stamp off the grid"
    demand = GRID.state_at("NYIS", stamps).demand
    for zone, share in NEW_YORK.zones.items():
        assert_series(load, "load", zone, stamps, np.round(share * demand, 1))
    keys = {"time_format": SECONDS, "location": "Name", "interval": "gaps", "label": "end", "value": LBMP}
    entry = nyiso_entry("realtime", "realtime_zone", False, **keys, ambiguous="order")
    prices = await collect_observations(entry, period, now=now)
    ends = nyiso.list_stamps(GRID, nyiso.IMITATED_FILES["realtime", "realtime_zone"], day)
    middles = ends - np.timedelta64(150, "s")
    expected = GRID.price_nodes("NYIS", list(nyiso.PRICE_POINTS), middles, "five_minute")
    starts = np.concatenate([ends[:1] - np.timedelta64(300, "s"), ends[:-1]])
    for name, price in expected.items():
        assert_series(prices, "price", name, starts, price.total)


@pytest.mark.parametrize("day", DAYS)
async def test_hourly_loads_mixes_and_forecasts_of_nyiso(day: date) -> None:
    """Hourly loads, fuels by their category, and the forecast of each zone for six days."""
    period, now = local_day(day, EASTERN), noon_after(day)
    hours = list_interval_starts(period.start, period.end, timedelta(hours=1))
    keys = {"time_format": SECONDS, "location": "Name", "interval": "PT1H", "value": "Integrated Load"}
    load = nyiso_entry("palIntegrated", "palIntegrated", False, **NAMED_CLOCK, **keys)
    load = await collect_observations(load, period, now=now)
    demand = GRID.state_at("NYIS", hours + HOUR_STEP // 2).demand
    for zone, share in NEW_YORK.zones.items():
        assert_series(load, "integrated_load", zone, hours, np.round(share * demand, 4))
    keys = {"time_format": SECONDS, "variable": "Fuel Category", "value": "Gen MW", "label": "end", "interval": "gaps"}
    fuels = nyiso_entry("rtfuelmix", "rtfuelmix", False, **NAMED_CLOCK, **keys, location="NYISO")
    fuels = await collect_observations(fuels, period, now=now)
    ends = nyiso.list_stamps(GRID, nyiso.IMITATED_FILES["rtfuelmix", "rtfuelmix"], day)
    mix = mix_fuels(GRID.state_at("NYIS", ends - np.timedelta64(150, "s")), nyiso.NYISO_FUELS)
    starts = np.concatenate([ends[:1] - np.timedelta64(300, "s"), ends[:-1]])
    for category, output in mix.items():
        assert_series(fuels, snake_case(category), "NYISO", starts, np.round(output))
    keys = {"time_format": PLAIN, "melt": {"columns": ["*"], "into": "location", "variable": "foreseen"}}
    foreseen = nyiso_entry("isolf", "isolf", False, **keys, interval="PT1H")
    foreseen = await collect_observations(foreseen, period, now=now)
    six_days = Period(period.start, local_day(day + timedelta(days=5), EASTERN).end)
    hours = list_interval_starts(six_days.start, six_days.end, timedelta(hours=1))
    leads = np.maximum((hours + HOUR_STEP // 2 - hours[0]) / HOUR_STEP - 7 - 50 / 60, 0)
    demand = GRID.state_at("NYIS", hours + HOUR_STEP // 2, leads).demand
    zones = {zone: np.round(share * demand) for zone, share in NEW_YORK.zones.items()}
    assert_series(foreseen, "foreseen", "Hud Vl", hours, zones["HUD VL"])
    assert_series(foreseen, "foreseen", "NYISO", hours, sum(zones.values()))


MISO_DAY = {"timezone": "EST", "resolution": "PT1H"}


@pytest.mark.parametrize("report", ["da_expost_lmp", "rt_lmp_final"])
@pytest.mark.parametrize("day", DAYS)
async def test_price_reports_of_miso(day: date, report: str) -> None:
    """24 hours of Eastern Standard Time on every day; LMP = energy + congestion + loss."""
    keys = {"skip": "until:Node", "location": "Node", "variable": "Value", **MISO_DAY}
    keys |= {"hours": {"columns": "HE {hour}", "label": "end"}}
    entry = describe_entry(f"https://docs.misoenergy.org/marketreports/{{start:%Y%m%d}}_{report}.csv", **keys)
    period = local_day(day, ZoneInfo("EST"))
    table = await collect_observations(entry, period)
    hours = list_interval_starts(period.start, period.end, timedelta(hours=1))
    assert len(hours) == 24
    market = "day_ahead" if report.startswith("da") else "real_time"
    prices = GRID.price_nodes("MISO", list(PRICE_NODES), hours + HOUR_STEP // 2, market)
    for node, price in prices.items():
        assert_series(table, "lmp", node, hours, price.total)
        assert_series(table, "mcc", node, hours, price.congestion)
        assert_series(table, "mlc", node, hours, price.loss)
        np.testing.assert_allclose(price.total, price.energy + price.congestion + price.loss, atol=1e-9)


EXCHANGE = {
    **MISO_DAY,
    "records": "data",
    "time": "timeInterval.start",
    "interval": "timeInterval.end",
    "pages": {"page": "pageNumber", "last": "page.totalPages", "total": "page.totalElements"},
}


def exchange_entry(path: str, key: str, **keys: object) -> Entry:
    """An entry of a table of MISO's Data Exchange, with the product's key."""
    auth = {"kind": "api_key", "env": key, "name": "Ocp-Apim-Subscription-Key"}
    return describe_entry(f"https://apim.misoenergy.org/{path}", **EXCHANGE | {"auth": auth} | keys)


@pytest.mark.parametrize("day", DAYS)
async def test_the_data_exchange_of_miso(day: date) -> None:
    """Loads, fuels and prices come in pages, and all of them land."""
    period = local_day(day, ZoneInfo("EST"))
    hours = list_interval_starts(period.start, period.end, timedelta(hours=1))
    state = GRID.state_at("MISO", hours + HOUR_STEP // 2)
    load = "lgi/v1/real-time/{start:%Y-%m-%d}/demand/actual"
    load = exchange_entry(load, "MISO_LOAD_GENERATION_KEY", location="region", value="load")
    load = await collect_observations(load, period)
    fuels = "lgi/v1/real-time/{start:%Y-%m-%d}/generation/fuel-type"
    columns = [f"fuelTypes.{fuel}" for fuel in MISO_FUELS]
    fuels = exchange_entry(fuels, "MISO_LOAD_GENERATION_KEY", location="region", value=columns)
    fuels = await collect_observations(fuels, period)
    for region, share in MIDCONTINENT.zones.items():
        assert_series(load, "load", region, hours, np.round(share * state.demand, 1))
        for fuel, output in mix_fuels(state, MISO_FUELS).items():
            variable = snake_case(f"fuelTypes.{fuel}")
            assert_series(fuels, variable, region, hours, np.round(share * output, 1), atol=0.051)
    prices = "pricing/v1/day-ahead/{start:%Y-%m-%d}/lmp-expost"
    prices = exchange_entry(prices, "MISO_PRICING_KEY", location="node", value=["lmp", "mcc", "mec", "mlc"])
    prices = await collect_observations(prices, period)
    expected = GRID.price_nodes("MISO", list(PRICE_NODES), hours + HOUR_STEP // 2, "day_ahead")
    for node, price in expected.items():
        assert_series(prices, "mec", node, hours, price.energy)
        assert_series(prices, "lmp", node, hours, price.total)
