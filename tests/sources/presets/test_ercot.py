"""Texas: the flag of the repeated hour, login and key, the archive of documents, two kinds in a row, and recordings."""

from __future__ import annotations

import io
import itertools
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gridtide.collect.checks import settle_page
from gridtide.entries.auth import list_secret_names
from gridtide.errors import IncompleteError
from gridtide.periods import Period
from gridtide.sources.contract import Request, Response
from gridtide.sources.registry import get_source
from tests.support.presets import (
    RETRIEVED,
    entry_of,
    page_of,
    read_product,
    recording,
    requests_of,
    stored_of,
    used_skipped,
)


def answer(names: list[str], rows: list[list[Any]], pages: int = 1, page: int = 1) -> str:
    """An answer of the Public API with positional rows."""
    meta = {"totalRecords": len(rows), "pageSize": 100, "totalPages": pages, "currentPage": page}
    return json.dumps({"_meta": meta, "fields": [{"name": name} for name in names], "data": rows})


PRICES = ["deliveryDate", "hourEnding", "settlementPoint", "settlementPointPrice", "DSTFlag"]


def test_the_flag_marks_the_second_hour_whatever_the_order() -> None:
    """Of the two hours that end at 02:00 the flagged one is the later, first or last in the answer."""
    rows = [["2026-11-01", f"{hour:02}:00", "HB_NORTH", float(hour), False] for hour in (1, 2, 3, 24)]
    flagged = ["2026-11-01", "02:00", "HB_NORTH", -9.5, True]
    for listed in ([flagged, *rows], [*rows, flagged]):
        page = page_of(read_product("ercot", "lmp_day_ahead", answer(PRICES, listed)), "lmp_day_ahead")
        starts = [(f"{row['interval_start']:%dT%H}", row["value"]) for row in page]
        assert starts == [("01T05", 1.0), ("01T06", 2.0), ("01T07", -9.5), ("01T08", 3.0), ("02T05", 24.0)]


def test_the_order_of_columns_is_that_of_the_fields() -> None:
    """Rows are lists; a new column or another order of fields moves no value."""
    names = ["settlementPoint", "new", *PRICES[:2], "settlementPointPrice", "DSTFlag"]
    page = read_product("ercot", "lmp_day_ahead", answer(names, [["LZ_WEST", "x", "2026-01-10", "01:00", 31.5, False]]))
    assert stored_of(page) == {("2026-01-10T06:00Z", "LZ_WEST", "lmp_day_ahead"): 31.5}


def test_quarters_are_counted_within_their_hour() -> None:
    """Hour 2, interval 3 begins at 01:30 of the clock; in the repeated hour the flag says which."""
    names = [
        "deliveryDate",
        "deliveryHour",
        "deliveryInterval",
        "settlementPoint",
        "settlementPointType",
        "settlementPointPrice",
        "DSTFlag",
    ]
    rows = [
        ["2026-11-01", 2, 3, "HB_NORTH", "HU", 10.0, False],
        ["2026-11-01", 2, 3, "HB_NORTH", "HU", 11.0, True],
        ["2026-11-01", 24, 4, "HB_NORTH", "HU", 12.0, False],
    ]
    page = page_of(read_product("ercot", "lmp_fifteen_minute", answer(names, rows)), "lmp_fifteen_minute")
    assert [(f"{row['interval_start']:%dT%H:%M}", row["value"]) for row in page] == [
        ("01T06:30", 10),
        ("01T07:30", 11),
        ("02T05:45", 12),
    ]


def test_spring_has_no_hour_that_ends_at_three() -> None:
    """The clock skips 02:00 to 03:00; the hour that ends at 04:00 follows that of 02:00 without a gap."""
    rows = [["2026-03-08", f"{hour:02}:00", "HB_NORTH", float(hour), False] for hour in (1, 2, 4)]
    page = page_of(read_product("ercot", "lmp_day_ahead", answer(PRICES, rows)), "lmp_day_ahead")
    assert [f"{row['interval_start']:%H}" for row in page] == ["06", "07", "08"]


def test_actual_values_and_forecasts_of_a_row_are_two_variables() -> None:
    """A row of an hour to come has no actual value, not even a null; its forecast is a vintage of its posting."""
    names = [
        "postedDatetime",
        "deliveryDate",
        "hourEnding",
        "genSystemWide",
        "COPHSLSystemWide",
        "STPPFSystemWide",
        "DSTFlag",
    ]
    rows = [
        ["2026-01-10T10:55:00", "2026-01-10", 10, 500.5, 600, 520, False],
        ["2026-01-10T10:55:00", "2026-01-10", 12, None, 900, 880, False],
    ]
    page = read_product("ercot", "solar", answer(names, rows))
    assert stored_of(page) == {("2026-01-10T15:00Z", "ERCOT", "generation_solar"): 500.5}
    page = read_product("ercot", "solar_forecast", answer(names, rows))
    assert stored_of(page)["2026-01-10T17:00Z", "ERCOT", "generation_solar_forecast"] == 880
    assert {row["published_at"] for row in page.observations.to_pylist()} == {datetime(2026, 1, 10, 16, 55, tzinfo=UTC)}


def test_the_model_in_use_is_stored() -> None:
    """Forecasts of other models are counted and not stored."""
    names = ["postedDatetime", "deliveryDate", "hourEnding", "coast", "systemTotal", "model", "inUseFlag", "DSTFlag"]
    rows = [
        ["2026-01-10T10:30:00", "2026-01-11", "01:00", 9.5, 40000, model, model == "E", False] for model in ("A", "E")
    ]
    page = read_product("ercot", "load_forecast", answer(names, rows))
    assert {key[1]: value for key, value in stored_of(page).items()} == {"COAST": 9.5, "ERCOT": 40000}
    assert sum(item.count for item in page.skipped if "inUseFlag" in item.reason) == 2


def test_a_request_needs_a_login_and_a_key() -> None:
    """The entry names all three secrets; dashboards need none."""
    entry = entry_of("ercot", "lmp_day_ahead")
    assert [name for auth in entry.auths for name in list_secret_names(auth)] == [
        "ERCOT_USERNAME",
        "ERCOT_PASSWORD",
        "ERCOT_API_KEY",
    ]
    assert [list_secret_names(auth) for auth in entry_of("ercot", "generation").auths] == [[]]


def test_points_are_requested_one_by_one_or_all() -> None:
    """The API takes one settlement point; without places the parameter is not sent."""
    start = datetime.now(UTC) - timedelta(days=3)
    asked = requests_of("ercot", "lmp_day_ahead", start, start + timedelta(hours=1), locations=["HB_NORTH", "LZ_WEST"])
    assert [dict(request.params)["settlementPoint"] for request in asked] == ["HB_NORTH", "LZ_WEST"]
    assert len({request.label for request in asked}) == 2
    (whole,) = requests_of("ercot", "lmp_day_ahead", start, start + timedelta(hours=1))
    assert "settlementPoint" not in dict(whole.params)


def zipped(name: str, content: bytes) -> bytes:
    """A zip of one member."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def test_older_days_come_as_documents_of_the_archive() -> None:
    """The list of documents leads to a download for each and to the next page; a zip in a zip is a table."""
    period = Period(datetime(2025, 11, 2, 5, tzinfo=UTC), datetime(2025, 11, 3, 6, tzinfo=UTC))
    entry = entry_of("ercot", "lmp_day_ahead", locations=["HB_NORTH"])
    (listing,) = get_source("ercot").build_requests(entry, period)
    assert listing.url.endswith("/archive/np4-190-cd")
    assert dict(listing.params)["postDatetimeFrom"] == "2025-11-01T00:00"
    body = json.dumps({"_meta": {"totalPages": 2, "currentPage": 1}, "archives": [{"docId": 1}, {"docId": 2}]}).encode()
    page = get_source("ercot").parse_response(entry, listing, Response(body, RETRIEVED))
    assert [dict(request.params).get("download") for request in page.next_requests] == [None, "1", "2"]
    assert (page.observations.num_rows, page.total) == (0, None)
    text = b"DeliveryDate,HourEnding,SettlementPoint,SettlementPointPrice,DSTFlag\n" + b"".join(
        f"11/02/2025,{hour},{point},{price},{flag}\n".encode()
        for hour, price, flag in (("01:00", 1, "N"), ("02:00", 3, "Y"), ("02:00", 2, "N"))
        for point in ("HB_NORTH", "HB_WEST")
    )
    document = zipped("a.zip", zipped("b.csv", text))
    page = get_source("ercot").parse_response(entry, page.next_requests[1], Response(document, RETRIEVED))
    assert sorted(stored_of(page).items()) == [
        (("2025-11-02T05:00Z", "HB_NORTH", "lmp_day_ahead"), 1),
        (("2025-11-02T06:00Z", "HB_NORTH", "lmp_day_ahead"), 2),
        (("2025-11-02T07:00Z", "HB_NORTH", "lmp_day_ahead"), 3),
    ]


def test_archived_forecasts_are_the_documents_posted_in_the_period() -> None:
    """Forecasts and output are listed by their postings alone, with the time of posting from the zip."""
    start, end = datetime(2025, 7, 2, 5, tzinfo=UTC), datetime(2025, 7, 3, 5, tzinfo=UTC)
    for product, emil in (("wind_forecast", "np4-732-cd"), ("solar", "np4-737-cd"), ("load_forecast", "np3-565-cd")):
        (listing,) = requests_of("ercot", product, start, end)
        assert listing.url.endswith(f"/archive/{emil}")
        span = {name: text for name, text in listing.params if name.startswith("post")}
        assert span == {"postDatetimeFrom": "2025-07-02T00:00", "postDatetimeTo": "2025-07-03T00:00"}
    text = b"DELIVERY_DATE,HOUR_ENDING,ACTUAL_SYSTEM_WIDE,COP_HSL_SYSTEM_WIDE,STWPF_SYSTEM_WIDE,WGRPP,DSTFlag\n"
    text += b"07/02/2025,1,9000.5,9100,9050,8000,N\n07/02/2025,24,,9100,9300,8000,N\n"
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr(zipfile.ZipInfo("cdr.csv", (2025, 7, 2, 1, 55, 0)), text)
    page = read_product("ercot", "wind_forecast", sink.getvalue())
    assert stored_of(page) == {
        ("2025-07-02T05:00Z", "ERCOT", "generation_wind_forecast"): 9050,
        ("2025-07-03T04:00Z", "ERCOT", "generation_wind_forecast"): 9300,
    }
    assert {row["published_at"] for row in page.observations.to_pylist()} == {datetime(2025, 7, 2, 6, 55, tzinfo=UTC)}
    page = read_product("ercot", "wind", sink.getvalue())
    assert stored_of(page) == {("2025-07-02T05:00Z", "ERCOT", "generation_wind"): 9000.5}


def test_declared_totals_are_those_of_the_answer() -> None:
    """A page says how many rows there are in all; a list of documents that is shorter than it says is refused."""
    rows = [["2026-01-10", "01:00", "A", 1.0, False]]
    assert read_product("ercot", "lmp_day_ahead", answer(PRICES, rows)).total == 1
    entry = entry_of("ercot", "lmp_day_ahead")
    request = Request("https://api.ercot.com/api/public-reports/archive/np4-190-cd", (("size", "1000"),))
    body = {"_meta": {"totalRecords": 3, "totalPages": 1, "currentPage": 1}, "archives": [{"docId": 1}, {"docId": 2}]}
    with pytest.raises(IncompleteError, match="the list of documents has 2 of the 3 that it declares"):
        get_source("ercot").parse_response(entry, request, Response(json.dumps(body).encode(), RETRIEVED))
    page = get_source("ercot").parse_response(
        entry, request, Response(recording("ercot/archive_np3-911-er_list.json"), RETRIEVED)
    )
    assert page.next_requests


@pytest.mark.parametrize("header", ["OperDay,HourEnding,COAST,TOTAL", "OperatingDay,HourEnding,Coast,Total"])
def test_documents_of_loads_have_the_zones_of_the_api(header: str) -> None:
    """Whatever a document calls its columns, its zones are those of the API."""
    document = zipped("a.csv", f"{header},DSTFlag\n01/10/2026,24:00,10.5,42000,N\n".encode())
    expected = {("2026-01-11T05:00Z", "COAST", "load"): 10.5, ("2026-01-11T05:00Z", "ERCOT", "load"): 42000}
    assert stored_of(read_product("ercot", "load", document)) == expected


def test_the_dashboard_of_fuels_is_keyed_by_stamps() -> None:
    """Two days of stamps with an offset; a stamp may lack fuels that another one has."""
    data = {
        "2026-01-09": {"2026-01-09 23:59:56-0600": {"Coal and Lignite": {"gen": 8000.1}, "Wind": {"gen": 5}}},
        "2026-01-10": {
            "2026-01-10 00:04:56-0600": {"Wind": {"gen": 6}},
            "2026-01-10 00:04:57-0600": {"Power Storage": {"gen": -7}},
        },
    }
    page = read_product("ercot", "generation", json.dumps({"lastUpdated": "x", "data": data}))
    values = {
        (f"{row['interval_start']:%H:%M:%S}", row["variable"]): row["value"] for row in page.observations.to_pylist()
    }
    assert {key: value for key, value in values.items() if value is not None} == {
        ("05:59:56", "generation_coal"): 8000.1,
        ("05:59:56", "generation_wind"): 5,
        ("06:04:56", "generation_wind"): 6,
        ("06:04:57", "generation_storage"): -7,
    }


def test_a_page_asks_for_the_next_one() -> None:
    """Page numbers go up to those that the answer declares."""
    entry = entry_of("ercot", "lmp_day_ahead")
    request = Request(entry.url, (("page", "1"),), label="x")
    body = answer(PRICES, [["2026-01-10", "01:00", "A", 1.0, False]], pages=2).encode()
    page = get_source("ercot").parse_response(entry, request, Response(body, RETRIEVED))
    assert [dict(following.params)["page"] for following in page.next_requests] == ["2"]


def test_recordings_are_read_whole() -> None:
    """The autumn day of 2025 by the API, and forecasts and solar power as zipped documents."""
    page = read_product("ercot", "lmp_day_ahead", recording("ercot/ercot-2025-11-02.json"))
    assert page.observations.num_rows == 25
    assert stored_of(page)["2025-11-02T07:00Z", "HB_HUBAVG", "lmp_day_ahead"] == 48.25
    page = read_product("ercot", "load_forecast_zones", recording("ercot/load_forecast_specific_reportid.zip"))
    assert (page.observations.num_rows, used_skipped(page)) == (960, [])
    assert {row["published_at"] for row in page.observations.to_pylist()} == {datetime(2025, 3, 13, 17, 30, tzinfo=UTC)}
    solar = recording("ercot/solar_specific_reportid.zip")
    assert (
        stored_of(read_product("ercot", "solar", solar))["2025-03-11T18:00Z", "ERCOT", "generation_solar"] == 19440.92
    )
    assert read_product("ercot", "solar_forecast", solar).observations.num_rows == 216
    page = read_product("ercot", "load_dashboard", recording("ercot/ERCOT_demand.json"))
    assert stored_of(page)["2024-11-24T06:00Z", "ERCOT", "load"] == 42015.44


def orders_of_two_hours(rows: list[list[Any]]) -> Iterator[list[list[Any]]]:
    """Every order of the rows of each hour, with every way to put the rows of two hours among each other. All orders of
    seven rows would be 35 times as many, of which each repeats orders within the hours."""
    first, second = ([row for row in rows if row[2] == hour] for hour in (1, 2))
    orders_by_hour = itertools.product(itertools.permutations(first), itertools.permutations(second))
    ways = itertools.cycle(itertools.combinations(range(len(rows)), len(first)))
    for orders, places in zip(orders_by_hour, ways, strict=False):
        first_rows, second_rows = map(iter, orders)
        yield [next(first_rows if place in places else second_rows) for place in range(len(rows))]


def test_what_was_generated_is_repeated_by_each_posting_and_lands_once() -> None:
    """Several postings hold the same hour; the value of the latest one counts, whatever the order of the rows, and a
    posting without a value does not undo an earlier one."""
    names = ["postedDatetime", "deliveryDate", "hourEnding", "genSystemWide", "STWPFSystemWide", "DSTFlag"]
    rows = [
        [f"2026-01-11T{posted:02}:55:01", "2026-01-10", hour, 100.0 * hour + (posted == 3), posted, False]
        for posted in (1, 2, 3)
        for hour in (1, 2)
    ]
    rows.append(["2026-01-11T04:55:01", "2026-01-10", 1, None, 4, False])
    for order in orders_of_two_hours(rows):
        page = read_product("ercot", "wind", answer(names, [list(row) for row in order]))
        stored = page_of(page, "generation_wind")
        assert [(f"{row['interval_start']:%dT%H}", row["value"]) for row in stored] == [("10T06", 101), ("10T07", 201)]
        assert {item.reason: item.count for item in used_skipped(page)} == {
            "empty cells of genSystemWide, not measured yet": 1,
            "earlier versions of a value, of which the latest is stored": 4,
        }


def test_two_values_of_one_posting_are_none() -> None:
    """Rows of one hour in one posting contradict each other, although an earlier posting has a value."""
    names = ["postedDatetime", "deliveryDate", "hourEnding", "genSystemWide", "DSTFlag"]
    rows = [[f"2026-01-11T0{posted}:55:01", "2026-01-10", 1, load, False] for posted, load in ((1, 5), (2, 6), (2, 7))]
    entry = entry_of("ercot", "wind")
    request = Request(entry.url)
    page = get_source("ercot").parse_response(entry, request, Response(answer(names, rows).encode(), RETRIEVED))
    settled = settle_page(page, entry, request, None)
    assert settled.page.observations.num_rows == 0
    assert [item.count for item in settled.skipped] == [1, 2]


def test_the_native_load_of_a_year_is_read_as_the_load() -> None:
    """The recorded file has a time in one column, other names of zones, and its `02:00 DST` is the second hour."""
    page = read_product("ercot", "load", recording("ercot/ercot_native_load_2025_sample.csv"))
    assert used_skipped(page) == []
    stored = stored_of(page)
    assert len(stored) == 16 * 9
    assert stored["2025-03-09T05:00Z", "FAR_WEST", "load"] == 7156.877141
    assert stored["2025-03-09T08:00Z", "ERCOT", "load"] == 41982.295267
    night = [stored[f"2025-11-02T0{hour}:00Z", "ERCOT", "load"] for hour in (6, 7, 8)]
    assert night == [40309.206275, 39670.106541, 39103.540726]
