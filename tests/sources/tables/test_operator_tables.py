"""Recorded answers of other operators, each described by keys alone and read whole.

The recordings lie beside the repository, as their licences do not let them be part of it.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gridtide.collect.checks import settle_page
from gridtide.config.loading import parse
from gridtide.errors import FormatError, UpstreamError
from gridtide.periods import Period
from gridtide.sources import generic
from gridtide.sources.contract import Request, Response
from tests.support.presets import used_skipped

OPERATORS = Path(__file__).parents[4] / "shared" / "operators"
pytestmark = pytest.mark.skipif(not OPERATORS.is_dir(), reason=f"the recordings of operators are not in {OPERATORS}")

RETRIEVED = datetime(2026, 12, 1, tzinfo=UTC)
MARKET_DAY = Period(datetime(2025, 11, 2, 5, tzinfo=UTC), datetime(2025, 11, 3, 5, tzinfo=UTC))
CLOCK_24 = "%m/%d/%Y %H:%M"

Stored = tuple[str, str, str, float]
"""A start (UTC), a location, a variable and a value."""


class Product(NamedTuple):
    """A recording: its path, the keys that describe it, how many values it holds, counted by hand, and some of them.

    `day` says that an answer is asked for day by day.
    """

    path: str
    keys: dict[str, Any]
    count: Callable[[bytes], int]
    spots: list[Stored]
    day: Period | None = None


def csv_cells(body: bytes, columns: int, before: int = 1) -> int:
    """The cells with digits in the last `columns` columns of a CSV, after `before` lines."""
    rows = list(csv.reader(io.StringIO(body.decode())))[before:]
    return sum(bool(re.search(r"\d", cell)) for row in rows for cell in row[-columns:])


def zipped_cells(body: bytes, columns: int, place: int = -1) -> int:
    """The cells of `csv_cells` in all members of a zip, in `columns` columns that end before `place`."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        members = [archive.read(name).decode() for name in archive.namelist()]
    rows = [row for text in members for row in list(csv.reader(io.StringIO(text)))[1:]]
    return sum(
        bool(cell.strip()) for row in rows for cell in row[len(row) + place + 1 - columns : len(row) + place + 1]
    )


def json_values(body: bytes, name: str) -> int:
    """The fields `name` of a JSON text that hold a number."""
    return len(re.findall(rf'"{name}"\s*:\s*"?-?[\d.]', body.decode()))


def elements(body: bytes, tag: str) -> int:
    """The elements `tag` of an XML text that hold a number."""
    return len(re.findall(rf"<{tag}>\s*-?[\d.]+\s*</{tag}>", body.decode()))


EASTERN = {"timezone": "America/New_York"}
NYISO = {**EASTERN, "time": "Time Stamp", "location": "Name"}
FUEL_MIX = {
    **EASTERN,
    "time": "Time Stamp",
    "timezone": {"column": "Time Zone", "zone": "America/New_York"},
    "variable": "Fuel Category",
    "label": "end",
}
SPP = {"time": "GMTIntervalEnd", "time_format": "%m/%d/%Y %H:%M:%S", "label": "end", "location": "Settlement Location"}
LMP_PARTS = ["LMP", "MLC", "MCC", "MEC"]
PJM = {"time": "datetime_beginning_utc", "records": "items"}
AESO = {
    "above": {"Updated": r"Last Update : (.*?)\""},
    "time": "Updated",
    "time_format": "%b %d, %Y %H:%M",
    "timezone": "America/Edmonton",
    "label": "instant",
    "unit": "MW",
}
BLOCK = {**AESO, "location": "ASSET", "value": ["MC", "TNG", "DCR"]}
ENTSOE = {"layout": "positions"}

PRODUCTS = {
    "nyiso_load": Product(
        "nyiso/20171122pal.csv",
        {**NYISO, "time_format": "%m/%d/%Y %H:%M:%S", "value": "Load", "interval": "gaps", "resolution": "PT5M"}
        | {"timezone": {"column": "Time Zone", "zone": "America/New_York"}},
        partial(csv_cells, columns=1),
        [("2017-11-22T05:00Z", "CAPITL", "load", 1140.5), ("2017-11-23T04:55Z", "WEST", "load", 1678.2)],
    ),
    "nyiso_hourly_load": Product(
        "nyiso/nyiso_20250309palIntegrated_sample.csv",
        {**NYISO, "time_format": "%m/%d/%Y %H:%M:%S", "value": "Integrated Load", "interval": "PT1H"},
        partial(csv_cells, columns=1),
        [("2025-03-09T07:00Z", "CAPITL", "integrated_load", 1242.5531)],  # 03:00 EDT follows 01:00 EST
    ),
    "nyiso_fuel_mix": Product(
        "nyiso/20160119rtfuelmix.csv",
        {**FUEL_MIX, "time_format": CLOCK_24, "value": "Gen MWh", "interval": "gaps", "resolution": "PT5M"},
        partial(csv_cells, columns=1),
        [("2016-01-19T05:00Z", "x", "dual_fuel", 2678.0), ("2016-01-20T04:55Z", "x", "wind", 1232.0)],
    ),
    "nyiso_fuel_mix_month": Product(
        "nyiso/20250201rtfuelmix_csv.zip",
        {**FUEL_MIX, "time_format": "%m/%d/%Y %H:%M:%S", "value": "Gen MW", "interval": "gaps", "resolution": "PT5M"},
        partial(zipped_cells, columns=1),
        [("2025-02-01T05:00Z", "x", "natural_gas", 3487.0)],
    ),
    "nyiso_load_forecast": Product(
        "nyiso/20171122isolf.csv",
        {**EASTERN, "time": "Time Stamp", "time_format": CLOCK_24, "interval": "PT1H"}
        | {"melt": {"columns": ["*"], "into": "location", "variable": "load_forecast"}},
        partial(csv_cells, columns=12),
        [("2017-11-22T05:00Z", "N.Y.C.", "load_forecast", 4573.0)],
    ),
    "nyiso_day_ahead_price": Product(
        "nyiso/nyiso_20251102damlbmp_zone_sample.csv",
        {**NYISO, "time_format": CLOCK_24, "ambiguous": "order", "interval": "PT1H"}
        | {
            "value": {
                "LBMP ($/MWHr)": "price",
                "Marginal Cost Losses ($/MWHr)": "losses",
                "Marginal Cost Congestion ($/MWHr)": "congestion",
            }
        },
        partial(csv_cells, columns=3),
        [("2025-11-02T05:00Z", "N.Y.C.", "price", 53.65), ("2025-11-02T06:00Z", "N.Y.C.", "price", 52.59)],
    ),
    "miso_day_ahead_price": Product(
        "miso/miso-2025-11-02.csv",
        {"skip": "until:Node", "timezone": "EST", "location": "Node", "variable": "Value"}
        | {"hours": {"columns": "HE {hour}", "label": "end"}},
        partial(csv_cells, columns=24, before=4),
        [("2025-11-02T05:00Z", "AECI", "lmp", 33.04), ("2025-11-03T04:00Z", "AECI.AMMO", "lmp", 28.19)],
        MARKET_DAY,
    ),
    "miso_wind_forecast": Product(
        "miso/DataBrokerServicesgetWindForecast.asmx.json",
        {"records": "Forecast", "time": "DateTimeEST", "time_format": "%Y-%m-%d %I:%M:%S %p", "timezone": "EST"}
        | {"value": {"Value": "wind_forecast"}, "interval": "PT1H"},
        partial(json_values, name="Value"),
        [("2025-03-10T06:00Z", "x", "wind_forecast", 17168.0)],
    ),
    "pjm_generation": Product(
        "pjm/gen_by_fuel.json",
        {**PJM, "variable": "fuel_type", "value": "mw", "interval": "PT1H"},
        partial(json_values, name="mw"),
        [("2025-02-09T00:00Z", "x", "gas", 47280.0), ("2025-02-09T21:00Z", "x", "wind", 1341.0)],
    ),
    "pjm_load_forecast": Product(
        "pjm/load_frcstd_7_day_2025-03-19.json",
        {"time": "forecast_datetime_beginning_utc", "location": "forecast_area", "value": "forecast_load_mw"}
        | {"published": "evaluated_at_datetime_utc", "interval": "PT1H"},
        partial(json_values, name="forecast_load_mw"),
        [("2025-03-19T04:00Z", "RTO_COMBINED", "forecast_load_mw", 76305.0)],
    ),
    "pjm_marginal_value": Product(
        "pjm/marginal_value_day_ahead_hourly_2023-11-05_2023-11-07.json",
        {**PJM, "interval": "datetime_ending_utc", "location": ["monitored_facility", "contingency_facility"]}
        | {"value": "shadow_price"},
        partial(json_values, name="shadow_price"),
        [("2023-11-05T04:00Z", "CHESWICK138 KV  CHE-LF53 138.Cheswick-Logans Ferry.Z-52", "shadow_price", -14.01)],
    ),
    "pjm_constraints": Product(
        "pjm/transmission_constraints_day_ahead_hourly_2024-09-02_2024-09-04.json",
        {**PJM, "interval": "datetime_ending_utc", "location": ["monitored_facility", "contingency_facility"]}
        | {"value": "duration"},
        partial(json_values, name="duration"),
        [("2024-09-02T18:00Z", "12 DRESDEN  45TR81 CT       H  345 KV L345.Lockport-Kendall.10805", "duration", 7.0)],
    ),
    "pjm_solar_forecast": Product(
        "pjm/pjm_5min_solar_forecast_response.json",
        {
            **PJM,
            "pages": {"single": True},
            "published": "evaluated_at_utc",
            "value": ["solar_forecast_mwh", "solar_forecast_btm_mwh"],
        }
        | {"interval": "PT5M"},
        lambda body: json_values(body, "solar_forecast_mwh") + json_values(body, "solar_forecast_btm_mwh"),
        [("2024-10-02T09:45Z", "x", "solar_forecast_mwh", 0.0)],
    ),
    "ercot_day_ahead_price": Product(
        "ercot/ercot-2025-11-02.json",
        {"records": "data", "layout": "rows", "header": "fields[].name", "time": ["deliveryDate", "hourEnding"]}
        | {"timezone": "America/Chicago", "label": "end", "interval": "PT1H", "ambiguous": "DSTFlag"}
        | {"location": "settlementPoint", "value": "settlementPointPrice"},
        lambda body: len(json.loads(body)["data"]),
        [
            ("2025-11-02T06:00Z", "HB_HUBAVG", "settlement_point_price", 46.44),  # 02:00, the first of two
            ("2025-11-02T07:00Z", "HB_HUBAVG", "settlement_point_price", 48.25),  # flagged
        ],
    ),
    "ercot_native_load": Product(
        "ercot/ercot_native_load_2025_sample.csv",
        {"time": "Hour Ending", "time_format": CLOCK_24, "timezone": "America/Chicago", "label": "end"}
        | {"interval": "PT1H", "melt": {"columns": ["*"], "into": "location", "variable": "load"}},
        partial(csv_cells, columns=9),
        [("2025-03-09T08:00Z", "COAST", "load", 10214.514406)],  # 04:00 CDT, an hour after 02:00 CST
    ),
    "ercot_load_forecast": Product(
        "ercot/load_forecast_specific_reportid.zip",
        {"time": ["DeliveryDate", "HourEnding"], "time_format": CLOCK_24, "timezone": "America/Chicago"}
        | {"label": "end", "interval": "PT1H", "ambiguous": "DSTFlag"}
        | {"melt": {"columns": ["*"], "into": "location", "variable": "load_forecast"}},
        partial(zipped_cells, columns=5, place=-2),
        [("2025-03-13T05:00Z", "North", "load_forecast", 13005.493749755861875)],
    ),
    "ercot_solar": Product(
        "ercot/solar_specific_reportid.zip",
        {"time": ["DELIVERY_DATE", "HOUR_ENDING"], "time_format": "%m/%d/%Y", "timezone": "America/Chicago"}
        | {"label": "end", "interval": "PT1H", "ambiguous": "DSTFlag", "melt": "*"},
        partial(zipped_cells, columns=5, place=-2),
        [("2025-03-11T18:00Z", "x", "system_wide_gen", 19440.92)],
    ),
    "ercot_demand": Product(
        "ercot/ERCOT_demand.json",
        {"records": "[previousDay, currentDay, nextDay][].data[]", "time": "epoch", "time_format": "unix_ms"}
        | {"label": "end", "interval": "PT1H", "value": ["systemLoad", "currentLoadForecast", "dayAheadForecast"]},
        lambda body: sum(json_values(body, name) for name in ("systemLoad", "currentLoadForecast", "dayAheadForecast")),
        [("2024-11-24T06:00Z", "x", "system_load", 42015.44)],
    ),
    "spp_day_ahead_price": Product(
        "spp/spp-2026-03-08.csv",
        {**SPP, "interval": "PT1H", "value": LMP_PARTS},
        partial(csv_cells, columns=4),
        [("2026-03-08T06:00Z", "AEC", "lmp", 21.421)],
    ),
    "spp_real_time_price": Product(
        "spp/RTBM-LMP-SL-202503310840.csv",
        {**SPP, "interval": "PT5M", "location": ["Settlement Location", "Pnode"], "value": LMP_PARTS},
        partial(csv_cells, columns=4),
        [("2025-03-31T13:35Z", "AEC SOUC", "mcc", -247.3823)],
    ),
    "spp_interchange": Product(
        "spp/interchange-trend-swpw.csv",
        {"time": "GMTTime", "interval": "PT1M", "melt": "*"},
        partial(csv_cells, columns=10),
        [("2026-04-01T16:56Z", "x", "pace", 844.48)],
    ),
    "ieso_generation": Product(
        "ieso/reduced_GenOutputbyFuelHourly_2016.xml",
        {"records": "FuelTotal", "time": ["Day", "Hour"], "timezone": "EST", "label": "end", "interval": "PT1H"}
        | {"variable": "Fuel", "value": {"EnergyValue.Output": {"unit": "MW"}}},
        partial(elements, tag="Output"),
        [("2016-01-01T05:00Z", "x", "nuclear", 11188.0)],
    ),
    "ieso_price": Product(
        "ieso/PUB_PriceHOEPPredispOR_2023.csv",
        {
            "comment": "\\\\",
            "time": ["Date", "Hour"],
            "timezone": "EST",
            "label": "end",
            "interval": "PT1H",
            "melt": "*",
        },
        partial(csv_cells, columns=7, before=4),
        [("2023-01-01T05:00Z", "x", "hoep", 14.42), ("2023-04-02T16:00Z", "x", "or_10_min_non_sync", 0.14)],
    ),
    "aeso_summary": Product(
        "aeso/latest_electricity_market_report.csv",
        {**AESO, "skip": 'until:"Alberta Total', "header": ["name", "MW"], "footer": "blank", "variable": "name"}
        | {"value": "MW"},
        lambda _: 10,
        [("2017-07-14T01:26Z", "x", "alberta_total_net_generation", 10054.0)],
    ),
    "aeso_fuels": Product(
        "aeso/latest_electricity_market_report.csv",
        {**BLOCK, "skip": 'until:"COAL"', "header": ["ASSET", "MC", "TNG", "DCR"], "footer": "blank"},
        lambda _: 6 * 3,
        [("2017-07-14T01:26Z", "WIND", "tng", 542.0)],
    ),
    "aeso_gas": Product(
        "aeso/latest_electricity_market_report.csv",
        {**BLOCK, "skip": 'until:"ASSET"', "comment": ['"<center>', '"ASSET"'], "footer": "blank"}
        | {"header": ["ASSET", "MC", "TNG", "DCR"]},
        lambda body: 3 * len(re.search(r"Simple Cycle(.*?)\r?\n\r?\n", body.decode(), re.S)[1].split("\n")[2:]) - 12,  # type: ignore[index]
        [("2017-07-14T01:26Z", "Cloverbar #2 (ENC2)", "tng", 98.0)],
    ),
    "aeso_wind_forecast": Product(
        "aeso/wind_rpt_longterm.csv",
        {"time": "Forecast Transaction Date", "timezone": "America/Edmonton", "interval": "PT1H", "melt": "*"},
        partial(csv_cells, columns=8),
        [("2025-03-18T10:00Z", "x", "actual", 2210.66)],
    ),
    "entsoe_load": Product(
        "entsoe/load_FR_20210101.xml",
        {**ENTSOE, "location": "outBiddingZone_Domain.mRID", "value": {"quantity": {"variable": "load", "unit": "MW"}}},
        partial(elements, tag="quantity"),
        [("2021-01-01T00:00Z", "10YFR-RTE------C", "load", 64139.0)],
    ),
    "entsoe_price": Product(
        "entsoe/FR_prices.xml",
        {**ENTSOE, "location": "in_Domain.mRID", "value": {"price.amount": "price"}},
        partial(elements, tag="price.amount"),
        [("2023-05-06T22:00Z", "10YFR-RTE------C", "price", 106.78)],
    ),
    "entsoe_price_that_repeats": Product(
        "entsoe/prices_PT_20241229_A03.xml",
        {**ENTSOE, "location": "in_Domain.mRID", "value": {"price.amount": "price"}},
        lambda body: elements(body, "price.amount") + 1,  # of 24 hours 23 are written
        [
            ("2024-12-28T23:00Z", "10YPT-REN------W", "price", 146.28),
            ("2024-12-29T22:00Z", "10YPT-REN------W", "price", 148.19),
        ],
    ),
    "entsoe_nothing": Product("entsoe/load_FR_2050_no_data.xml", ENTSOE, lambda _: 0, []),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_an_answer_of_an_operator_is_read_whole(name: str) -> None:
    """As many values as an independent count finds, none counted as not stored, and some as they are written."""
    product = PRODUCTS[name]
    url = "https://grid.example/{start:%Y%m%d}.csv" if product.day else "https://grid.example/table"
    raw = {"name": "x", "url": url, "output_folder": "x"} | product.keys
    entry = parse({"apis": [raw]}).apis[0]
    body = (OPERATORS / product.path).read_bytes()
    request = Request("https://grid.example/table", period=product.day)
    settled = settle_page(generic.parse_response(entry, request, Response(body, RETRIEVED)), entry, request, None)
    assert (*used_skipped(settled.page), *settled.skipped, settled.repeat_count) == (0,)
    rows = settled.page.observations.to_pylist()
    stored = {
        (f"{row['interval_start']:%Y-%m-%dT%H:%MZ}", row["location"], row["variable"]): row["value"] for row in rows
    }
    assert sum(row["value"] is not None for row in rows) == product.count(body)
    for start, location, variable, value in product.spots:
        assert stored[start, location, variable] == value


@pytest.mark.parametrize(
    ("path", "keys", "error", "says"),
    [
        ("pjm/settings.json", {}, FormatError, "the column of the times is not clear"),
        ("ercot/archive_np3-911-er_list.json", {"records": "archives"}, FormatError, 'docId.*"value"'),
        ("miso/20250310_df_al.xls", {}, FormatError, "header is line 5|no header|the column of the times is not clear"),
        ("spp/RTBM-LMP-SL-202503310845.csv", SPP | {"interval": "PT5M"}, UpstreamError, "the body is empty"),
    ],
)
def test_what_is_no_table_fails(path: str, keys: dict[str, Any], error: type[Exception], says: str) -> None:
    """The message says what it is instead of reading something of it."""
    entry = parse({"apis": [{"name": "x", "url": "https://grid.example/table", "output_folder": "x"} | keys]}).apis[0]
    with pytest.raises(error, match=says):
        generic.parse_response(entry, Request(entry.url), Response((OPERATORS / path).read_bytes(), RETRIEVED))
