"""Of SPP, PJM, ERCOT and ENTSO-E, what lands of the days on which clocks change is the simulated grid: every value,
hour and location."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.compute as pc
import pytest

from gridtide.entries.entry import Entry
from gridtide.periods import Period, local_day
from gridtide.sandbox.formats.operators import entsoe, ercot, pjm, spp
from gridtide.sandbox.formats.operators.gateway import KEY_HEADER
from gridtide.sandbox.formats.operators.market_days import mix_fuels
from gridtide.simulation import (
    HOUR_STEP,
    MID_ATLANTIC,
    SOUTHWEST_POOL,
    Grid,
    count_day_ahead_lead,
    list_interval_starts,
)
from gridtide.variables import snake_case
from tests.support.upstreams.sandbox_server import assert_series, collect_observations, describe_entry, read_series

GRID = Grid(0)
DAYS = [date(2026, 3, 8), date(2025, 11, 2)]
"""A day of 23 and one of 25 hours."""

ONE_DAY = timedelta(days=1)

CENTRAL, EASTERN, PARIS = ZoneInfo("America/Chicago"), ZoneInfo("America/New_York"), ZoneInfo("Europe/Paris")


def hours_of(period: Period, minutes: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """The starts of the intervals of `period` and their middles."""
    starts = list_interval_starts(period.start, period.end, timedelta(minutes=minutes))
    return starts, starts + np.timedelta64(30 * minutes, "s")


def soon_after(day: date) -> datetime:
    """A moment at which the day is out, and the API of ERCOT still answers it."""
    return datetime(day.year, day.month, day.day, 20, tzinfo=UTC) + timedelta(days=5)


SPP = "https://portal.spp.org/file-browser-api/download"
SPP_PRICES = {"time": "GMTIntervalEnd", "time_format": "%m/%d/%Y %H:%M:%S", "label": "end"}
SPP_PRICES |= {"location": "Settlement Location", "value": ["LMP", "MLC", "MCC", "MEC"], "timezone": "UTC"}


def spp_entry(path: str, **keys: object) -> Entry:
    """An entry of one file; the times are read in GMT."""
    return describe_entry(f"{SPP}/{path}", **keys)


@pytest.mark.parametrize("day", DAYS)
async def test_day_ahead_prices_of_spp(day: date) -> None:
    """23 or 25 hours, and the components add up to the price."""
    period = local_day(day, CENTRAL)
    path = f"da-lmp-by-settlement-location?path=/{day:%Y}/{day:%m}/By_Day/DA-LMP-SL-{day:%Y%m%d}0100.csv"
    table = await collect_observations(spp_entry(path, **SPP_PRICES, interval="PT1H"), None)
    starts, middles = hours_of(period)
    prices = GRID.price_nodes("SWPP", list(spp.PRICED_LOCATIONS), middles, "day_ahead", 4)
    for location, price in prices.items():
        assert_series(table, "lmp", location, starts, price.total)
        assert_series(table, "mcc", location, starts, price.congestion)
        np.testing.assert_allclose(price.total, price.energy + price.congestion + price.loss, atol=1e-9)


@pytest.mark.parametrize("day", DAYS)
async def test_five_minute_prices_and_hourly_loads_of_spp(day: date) -> None:
    """A day of five-minute prices, and the loads of control zones, which name the hour's end in GMT alone."""
    period = local_day(day, CENTRAL)
    path = f"rtbm-lmp-by-location?path=/{day:%Y}/{day:%m}/By_Day/RTBM-LMP-DAILY-SL-{day:%Y%m%d}.csv"
    table = await collect_observations(spp_entry(path, **SPP_PRICES, interval="PT5M"), None)
    starts, middles = hours_of(period, 5)
    price = GRID.price_nodes("SWPP", list(spp.PRICED_LOCATIONS), middles, "five_minute", 4)["SPPNORTH_HUB"]
    assert_series(table, "lmp", "SPPNORTH_HUB", starts, price.total)
    path = f"hourly-load?path=/{day:%Y}/DAILY_HOURLY_LOAD-{day:%Y%m%d}.csv"
    keys = {"time": "MarketHour", "time_format": "%m/%d/%Y %H:%M:%S", "label": "end", "interval": "PT1H"}
    keys |= {"melt": {"columns": ["*"], "into": "location", "variable": "load"}, "unit": "MW"}
    table = await collect_observations(spp_entry(path, **keys), None)
    starts, middles = hours_of(period)
    demand = GRID.state_at("SWPP", middles).demand
    for zone, share in SOUTHWEST_POOL.zones.items():
        assert_series(table, "load", zone, starts, np.round(share * demand, 3))


@pytest.mark.parametrize(
    ("name", "hour"), [("202511020130", "2025-11-02T06:25"), ("202511020130d", "2025-11-02T07:25")]
)
async def test_a_file_of_the_repeated_hour_of_spp_has_a_name_of_its_own(name: str, hour: str) -> None:
    """The file whose name ends in d holds the interval an hour later."""
    path = f"rtbm-lmp-by-location?path=/2025/11/By_Interval/02/RTBM-LMP-SL-{name}.csv"
    table = await collect_observations(spp_entry(path, **SPP_PRICES, interval="PT5M"), None)
    assert set(table["interval_start"].to_numpy().astype("datetime64[m]")) == {np.datetime64(hour)}


@pytest.mark.parametrize("published", ["202511020200", "202603080400"])
async def test_forecasts_of_spp(published: str) -> None:
    """A day back with actual values and a week ahead without, over the change of the clock."""
    day = datetime.strptime(published, "%Y%m%d%H%M").replace(tzinfo=CENTRAL).astimezone(UTC)
    path = f"mtlf-vs-actual?path=/{published[:4]}/{published[4:6]}/{published[6:8]}/OP-MTLF-{published}.csv"
    keys = {"time": "GMTIntervalEnd", "time_format": "%m/%d/%Y %H:%M:%S", "label": "end", "interval": "PT1H"}
    table = await collect_observations(spp_entry(path, **keys, value=["MTLF", "Averaged Actual"], unit="MW"), None)
    starts, middles = hours_of(Period(day - timedelta(hours=24), day + timedelta(hours=168)))
    leads = np.maximum((middles - starts[24]) / HOUR_STEP, 0)
    assert_series(table, "mtlf", "x", starts, np.round(GRID.state_at("SWPP", middles, leads).demand))
    actual = np.round(GRID.state_at("SWPP", middles).demand, 3)
    read_starts, values = read_series(table, "averaged_actual", "x")
    np.testing.assert_array_equal(read_starts[~np.isnan(values)], starts[:24])
    np.testing.assert_array_equal(values[:24], actual[:24])


PJM = {
    "records": "items",
    "pages": {"next": "links[?rel=='next'].href | [0]", "total": "totalRows"},
    "auth": {"kind": "api_key", "env": "PJM_API_KEY", "name": KEY_HEADER},
    "interval": "PT1H",
}


def pjm_entry(feed: str, rows: int, day: date, **keys: object) -> Entry:
    """An entry of a feed in pages of so many rows, from midnight to midnight of Eastern prevailing time; times are read
    in UTC."""
    filters = keys.pop("filters", "datetime_beginning_ept")
    params = {"rowCount": str(rows), "startRow": "1", filters: f"{day:%m/%d/%Y} 00:00to{day + ONE_DAY:%m/%d/%Y} 00:00"}
    more = keys.pop("params", {})
    return describe_entry(f"https://api.pjm.com/api/v1/{feed}", **PJM | {"params": params | more} | keys)


@pytest.mark.parametrize("day", DAYS)
async def test_feeds_of_pjm(day: date) -> None:
    """Several pages of prices, loads and fuels; the hour that the end includes is the next day's first."""
    period = local_day(day, EASTERN)
    starts, middles = hours_of(Period(period.start, period.end + timedelta(hours=1)))
    values = ["total_lmp_da", "system_energy_price_da", "congestion_price_da", "marginal_loss_price_da"]
    keys = {"time": "datetime_beginning_utc"}
    current = {"params": {"row_is_current": "TRUE"}, "location": "pnode_name", "value": values}
    table = await collect_observations(pjm_entry("da_hrl_lmps", 100, day, **current, **keys), None)
    expected = GRID.price_nodes("PJM", list(pjm.PNODES), middles, "day_ahead", 6)
    corrected = 0
    for node, price in expected.items():
        read_starts, read_values = read_series(table, "total_lmp_da", node)
        np.testing.assert_array_equal(read_starts, starts)
        differences = np.round(read_values - price.total, 6)
        assert set(differences.tolist()) <= {0.0, 1.0}
        corrected += int(differences.sum())
        assert_series(table, "congestion_price_da", node, starts, price.congestion)
        energy = read_series(table, "system_energy_price_da", node)[1]
        np.testing.assert_allclose(energy + price.congestion + price.loss, read_values, atol=2e-6)
    assert 0 < corrected < 30
    load = pjm_entry("hrl_load_metered", 200, day, location="load_area", value="mw", **keys)
    table = await collect_observations(load, None)
    state = GRID.state_at("PJM", middles)
    for area, share in {**MID_ATLANTIC.zones, "RTO": 1.0}.items():
        assert_series(table, "mw", area, starts, np.round(share * state.demand, 3))
    fuels = pjm_entry("gen_by_fuel", 50, day, variable="fuel_type", value="mw", **keys)
    fuels = await collect_observations(fuels, None)
    for fuel, output in mix_fuels(state, pjm.PJM_FUELS).items():
        assert_series(fuels, snake_case(fuel), "x", starts, np.round(output))


@pytest.mark.parametrize("day", DAYS)
async def test_vintages_of_pjm(day: date) -> None:
    """Each hour has the forecasts of the two days before, each published when it was evaluated."""
    period = local_day(day, EASTERN)
    keys = {"time": "forecast_hour_beginning_utc", "published": "evaluated_at_utc", "location": "forecast_area"}
    keys |= {"value": "forecast_load_mw", "filters": "forecast_hour_beginning_ept"}
    table = await collect_observations(pjm_entry("load_frcstd_hist", 50_000, day, **keys), None)
    rows = table.filter(pc.equal(table["location"], "RTO_COMBINED")).sort_by("published_at")
    targets = rows["interval_start"].to_numpy().astype("datetime64[s]")
    issues = rows["published_at"].to_numpy().astype("datetime64[s]")
    leads = np.maximum((targets + HOUR_STEP // 2 - issues) / HOUR_STEP, 0)
    expected = np.round(GRID.state_at("PJM", targets + HOUR_STEP // 2, leads).demand)
    np.testing.assert_array_equal(rows["value"].to_numpy(), expected)
    counts = np.unique(targets, return_counts=True)[1]
    assert set(counts.tolist()) == {8}
    assert len(counts) == period.duration // timedelta(hours=1) + 1


ERCOT_AUTH = [
    {"kind": "api_key", "env": "ERCOT_API_KEY", "name": KEY_HEADER},
    {
        "kind": "oauth",
        "url": "https://ercotb2c.b2clogin.com/ercotb2c.onmicrosoft.com/B2C_1_PUBAPI-ROPC-FLOW/oauth2/v2.0/token",
        "grant": "password",
        "client_id": "sandbox",
        "username_env": "ERCOT_USERNAME",
        "password_env": "ERCOT_PASSWORD",
        "client_in": "body",
    },
]


def ercot_entry(report: str, day: str, **keys: object) -> Entry:
    """An entry of a report of the Public API by the day, with its login."""
    params = {f"{day}From": "{start:%Y-%m-%d}", f"{day}To": "{start:%Y-%m-%d}", "size": "100"}
    described = {"records": "data", "layout": "rows", "header": "fields[].name", "auth": ERCOT_AUTH, "label": "end"}
    described |= {"timezone": "America/Chicago", "ambiguous": "DSTFlag", "interval": "PT1H", "resolution": "PT1H"}
    described |= {"pages": {"page": "page", "last": "_meta.totalPages", "total": "_meta.totalRecords"}}
    return describe_entry(f"https://api.ercot.com/api/public-reports/{report}", params=params, **described | keys)


@pytest.mark.parametrize("day", DAYS)
async def test_reports_of_ercot(day: date) -> None:
    """After the login, pages of prices and loads; the flagged hour is the second one although it stands first."""
    period, now = local_day(day, CENTRAL), soon_after(day)
    starts, middles = hours_of(period)
    keys = {"time": ["deliveryDate", "hourEnding"], "location": "settlementPoint", "value": "settlementPointPrice"}
    entry = ercot_entry("np4-190-cd/dam_stlmnt_pnt_prices", "deliveryDate", **keys)
    table = await collect_observations(entry, period, now=now)
    prices = GRID.price_nodes("ERCO", list(ercot.SETTLEMENT_POINTS), middles, "day_ahead")
    for point, price in prices.items():
        assert_series(table, "settlement_point_price", point, starts, price.total)
    keys = {"time": ["operatingDay", "hourEnding"], "unit": "MW"}
    keys["melt"] = {"columns": [*ercot.WEATHER_ZONES, "total"], "into": "location", "variable": "load"}
    entry = ercot_entry("np6-345-cd/act_sys_load_by_wzn", "operatingDay", **keys)
    table = await collect_observations(entry, period, now=now)
    demand = GRID.state_at("ERCO", middles).demand
    for zone, share in ercot.WEATHER_ZONES.items():
        assert_series(table, "load", zone, starts, np.round(share * demand, 2))


@pytest.mark.parametrize("day", [date(2025, 3, 30), date(2025, 10, 26)])
async def test_documents_of_entsoe(day: date) -> None:
    """Loads, generation by type, consumption apart, and prices, which have quarter hours since October 2025."""
    period = local_day(day, PARIS)
    starts, middles = hours_of(period)
    zone = "10YFR-RTE------C"
    bounds = {"periodStart": "{start:%Y%m%d%H%M}", "periodEnd": "{end:%Y%m%d%H%M}"}
    auth = {"kind": "api_key", "env": "ENTSOE_TOKEN", "in": "query", "name": "securityToken"}

    def entry(value: dict[str, object], params: dict[str, str], **keys: object) -> Entry:
        described = {"layout": "positions", "auth": auth, "value": value, "resolution": "PT1H", **keys}
        return describe_entry("https://web-api.tp.entsoe.eu/api", params={**params, **bounds}, **described)

    load = {"documentType": "A65", "processType": "A16", "outBiddingZone_Domain": zone}
    load = entry({"quantity": {"variable": "load"}}, load, location=zone)
    state = GRID.state_at(zone, middles)
    assert_series(await collect_observations(load, period), "load", zone, starts, np.round(state.demand))
    fuels = {"documentType": "A75", "processType": "A16", "in_Domain": zone}
    names = ["MktPSRType.psrType", "outBiddingZone_Domain.mRID"]
    fuels = entry({"quantity": {"unit": "MW"}}, fuels, variable=names, location=zone)
    table = await collect_observations(fuels, period)
    for kind, output in mix_fuels(state, entsoe.PRODUCTION_TYPES).items():
        assert_series(table, snake_case(kind), zone, starts, np.round(output))
    prices = {"documentType": "A44", "in_Domain": zone, "out_Domain": zone}
    prices = entry({"price.amount": {"variable": "price"}}, prices, location=zone)
    table = await collect_observations(prices, period)
    starts, middles = hours_of(period, 15 if day.month == 10 else 60)
    assert_series(table, "price", zone, starts, GRID.price_nodes(zone, [zone], middles, "day_ahead")[zone].energy)


async def test_a_forecast_of_a_day_ahead_is_that_of_the_day_before() -> None:
    """The load that ENTSO-E lists for tomorrow is the forecast of ten o'clock in Paris on the day before."""
    zone, period = "10YFR-RTE------C", local_day(date(2026, 6, 10), PARIS)
    params = {"documentType": "A65", "processType": "A01", "outBiddingZone_Domain": zone}
    params |= {"periodStart": "{start:%Y%m%d%H%M}", "periodEnd": "{end:%Y%m%d%H%M}"}
    auth = {"kind": "api_key", "env": "ENTSOE_TOKEN", "in": "query", "name": "securityToken"}
    keys = {"layout": "positions", "value": {"quantity": {"variable": "load"}}, "location": zone, "auth": auth}
    table = await collect_observations(
        describe_entry("https://web-api.tp.entsoe.eu/api", params=params, **keys), period
    )
    starts, middles = hours_of(period)
    demand = GRID.state_at(zone, middles, count_day_ahead_lead(middles, "Europe/Paris")).demand
    assert_series(table, "load", zone, starts, np.round(demand))
