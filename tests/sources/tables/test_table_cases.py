"""Tables like those of public reports, with the keys that read them and the expected values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from gridtide.config.loading import parse
from gridtide.errors import FormatError, IncompleteError
from gridtide.periods import local_day
from gridtide.sources import generic
from gridtide.sources.contract import Page, Request, Response
from tests.support.presets import used_skipped
from tests.support.shared import SHARED

CASES = SHARED / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not beside the project")

RETRIEVED = datetime(2026, 12, 1, tzinfo=UTC)


NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Case(NamedTuple):
    """A body or a file; the keys of an entry; the expected values at their starts (month-day, hour); and the number
    of counted cells."""

    body: str
    keys: dict[str, Any]
    values: list[tuple[str, float | None]]
    counted: int = 0
    headers: Mapping[str, str] = NO_HEADERS


def read(body: str, keys: dict[str, Any], headers: Mapping[str, str] = NO_HEADERS, day: date | None = None) -> Page:
    """The page of the file of a case, or of `body`, for an entry with `keys`."""
    whole = {"name": "table", "url": "https://grid.example/table", "output_folder": "table"} | keys
    entry = parse({"apis": [whole]}).apis[0]
    request = Request(entry.url)
    if day is not None:
        (request,) = generic.build_requests(entry, local_day(day, ZoneInfo(entry.timezone)))
    path = next(iter(CASES.glob(body)), None) if "\n" not in body and body[:1] not in '[{n"%' else None
    content = path.read_bytes() if path else body.encode()
    return generic.parse_response(entry, request, Response(content, RETRIEVED, headers=headers))


def stored(page: Page) -> list[tuple[str, float | None]]:
    """The starts and values of `page`, in order."""
    rows = page.observations.to_pylist()
    return [(f"{row['interval_start']:%m-%d %H:%M}", row["value"]) for row in rows]


US = {"time": "Time Stamp", "location": "Name", "timezone": "America/New_York", "time_format": "%m/%d/%Y %H:%M:%S"}
TWO_LOADS: list[tuple[str, float | None]] = [("01-10 00:00", 1310.2), ("01-10 01:00", 1301.9)]
ERCOT = {"time": ["DeliveryDate", "HourEnding"], "timezone": "America/Chicago", "label": "end", "interval": "PT1H"}
ENERGY: list[tuple[str, float | None]] = [("01-10 00:00", 2102.0), ("01-10 01:00", 2080.0)]
PRICES: list[tuple[str, float | None]] = [
    *[("01-09 23:00", 85.1), ("01-10 00:00", 79.3), ("01-10 01:00", 79.3), ("01-10 02:00", 81.0)],
    *[(f"01-10 {hour:02}:00", 81.0) for hour in range(3, 23)],
]
POSITIONS = {"layout": "positions", "value": "price.amount"}
TWO_ROWS = '[{"t":"2026-01-10T00:00Z","price":1.5,"volume":3},{"t":"2026-01-10T01:00Z","price":Infinity,"volume":3}]'

READ = {
    "c01": Case(
        "c01-*/load.csv",
        {"value": "load", "thousands": ","},
        [("01-10 00:00", 1204.5), ("01-10 01:00", 1187.0), ("01-10 02:00", 998.2)],
    ),
    "c02 us": Case("c02-*/us.csv", {**US, "value": "Load"}, [("01-10 05:00", 1310.2), ("01-10 05:05", 1301.9)]),
    "c02 am and pm": Case(
        "c02-*/ampm.csv",
        {"time": "GMTIntervalEnd", "time_format": "%m/%d/%Y %I:%M:%S %p", "label": "end", "interval": "PT5M"},
        [("01-10 13:00", 1310.2), ("01-10 13:05", 1301.9)],
    ),
    "c02 slashes": Case(
        "c02-*/slash.csv",
        {"time": "Date", "timezone": "Asia/Tokyo", "time_format": "%Y/%m/%d %H:%M"},
        [("01-09 15:00", 1310.2), ("01-09 15:05", 1301.9)],
    ),
    "c02 hour 24": Case("c02-*/h24.csv", {"time": "time"}, [("01-10 23:00", 1310.2), ("01-11 00:00", 1301.9)]),
    "c02 dotnet": Case("c02-*/ms.json", {"time": "datetime", "time_format": "dotnet"}, [("01-10 00:00", 1310.2)]),
    "c02 dots": Case(
        "c02-*/eu.csv",
        {"time": "Zeit", "timezone": "Europe/Berlin", "time_format": "%d.%m.%Y %H:%M"},
        [("01-09 23:00", 1310.2), ("01-09 23:15", 1301.9)],
    ),
    "c02 epoch": Case("c02-*/epoch.json", {"time": "ts"}, [("01-10 00:00", 1310.2), ("01-10 00:05", 1301.9)]),
    "c02 compact": Case("c02-*/compact.csv", {"time": "period"}, [("01-10 00:00", 1.0), ("01-10 01:00", 2.0)]),
    "c03 preamble": Case("c03-*/preamble.csv", {"skip": "until:time"}, TWO_LOADS),
    "c03 hashes": Case("c03-*/hashes.csv", {"comment": "#"}, TWO_LOADS),
    "c03 footer": Case("c03-*/footer.csv", {"footer": 1}, TWO_LOADS),
    "c03 star": Case("c03-*/footer_star.csv", {"footer": 1}, TWO_LOADS),
    "c03 units": Case("c03-*/units_row.csv", {"header": 2}, TWO_LOADS),
    "c03 comma": Case("c03-*/trailing_comma.csv", {"time": "time", "value": "load"}, TWO_LOADS),
    "c03 short row": Case("c03-*/short_row.csv", {"time": "time", "value": "load"}, TWO_LOADS, counted=1),
    "c03 record types": Case(
        "c03-*/record_types.csv",
        {
            "skip": 2,
            "header": 2,
            "footer": 1,
            "time": ["Date", "Hour"],
            "value": "MW",
            "label": "end",
            "interval": "PT1H",
        },
        [("01-10 00:00", 512.0), ("01-10 01:00", 498.0)],
    ),
    "c04": Case(
        "c04-*/wide.csv",
        {
            "time": "DATE",
            "timezone": "America/New_York",
            "location": "ZONE",
            "hours": {"columns": "HE{hour:02}", "label": "end", "repeated": "HE25"},
        },
        [
            *[("11-01 04:00", 901.0), ("11-01 05:00", 902.0)],
            *[(f"11-01 {hour + 4:02}:00", 900.0 + hour) for hour in range(3, 20)],
            *[(f"11-02 {hour - 20:02}:00", 900.0 + hour) for hour in range(20, 25)],
            ("11-01 06:00", 925.0),
            *[(f"11-02 {hour + 4:02}:00", 800.0 + hour) for hour in range(1, 20)],
            *[(f"11-03 {hour - 20:02}:00", 800.0 + hour) for hour in range(20, 25)],
        ],
    ),
    "c05 hours": Case(
        "c05-*/two.csv",
        {**ERCOT, "ambiguous": "DSTFlag", "value": "Load"},
        [("11-01 05:00", 101), ("11-01 06:00", 102), ("11-01 07:00", 103), ("11-01 08:00", 104), ("11-02 05:00", 125)],
    ),
    "c05 settlement periods": Case(
        "c05-*/period.json",
        {
            "records": "data",
            "time": ["settlementDate", "settlementPeriod"],
            "value": "demand",
            "timezone": "Europe/London",
            "label": "end",
            "interval": "PT30M",
        },
        [
            (f"{datetime(2026, 10, 24, 23) + timedelta(minutes=30 * number):%m-%d %H:%M}", 20001.0 + number)
            for number in range(50)
        ],
    ),
    "c06 points": Case(
        "c06-*/de.csv",
        {
            "time": "Datum von",
            "value": "Biomasse [MWh]",
            "timezone": "Europe/Berlin",
            "decimal": ",",
            "thousands": ".",
        },
        [("01-09 23:00", 1104.25), ("01-09 23:15", 1098.0)],
    ),
    "c06 price": Case(
        "c06-*/de2.csv",
        {"timezone": "Europe/Berlin", "decimal": ",", "value": "preis"},
        [("01-09 23:00", 85.12), ("01-10 00:00", 79.3)],
    ),
    "c07 columns": Case(
        "c07-*/col.json",
        {"layout": "columns", "time": "unix_seconds", "value": "price"},
        [("01-10 00:00", 85.1), ("01-10 01:00", None)],
    ),
    "c07 pairs": Case(
        "c07-*/arr.json",
        {"records": "series", "layout": "rows", "header": ["time", "value"], "time": "time"},
        [("01-10 00:00", 4500.25), ("01-10 00:15", 4480.0), ("01-10 00:30", None)],
    ),
    "c07 fields": Case(
        "c07-*/fields.json",
        {"records": "data", "layout": "rows", "header": "fields[].name", "time": "time"},
        [("01-10 00:00", 51234.5), ("01-10 01:00", 50110.1)],
    ),
    "c07 lists in a list": Case(
        "c07-*/nested.json",
        {"records": "included.attributes.values", "time": "datetime", "variable": "type"},
        [("01-09 23:00", 10.5), ("01-09 23:00", 0.0)],
    ),
    "c08 points": Case("c08-*/prices.xml", POSITIONS, PRICES),
    "c08 no data": Case("c08-*/ack.xml", POSITIONS, []),
    "c10 zip": Case(
        "c10-*/month.zip",
        {},
        [(f"01-{day} {hour:02}:00", 1000.0 + hour) for day in (10, 11) for hour in range(24)],
    ),
    "c10 gzip": Case("c10-*/day.csv.gz", {}, [(f"01-10 {hour:02}:00", 1000.0 + hour) for hour in range(24)]),
    "c11 shift_jis": Case("c11-*/sjis.csv", {"time": "日時", "value": "需要", "encoding": "shift_jis"}, ENERGY),
    "c11 latin-1": Case("c11-*/latin1.csv", {"time": "heure", "value": "énergie", "encoding": "latin-1"}, ENERGY),
    "c11 utf-16": Case("c11-*/utf16.csv", {"time": "heure", "value": "énergie"}, ENERGY),
    "c11 byte order mark": Case("c11-*/utf8_bom.csv", {"time": "heure", "value": "énergie"}, ENERGY),
    "c11 declared": Case(
        "c11-*/latin1_declared.csv",
        {"time": "heure", "value": "énergie"},
        ENERGY,
        headers={"content-type": "text/csv; charset=iso-8859-1", "content-length": "62"},
    ),
    "c12": Case(
        "c12-*/p.json",
        {"time": "t", "interval": "gaps", "resolution": "PT1H"},
        [
            *[("09-30 20:00", 40.0), ("09-30 21:00", 44.0), ("09-30 22:00", 50.0)],
            *[("09-30 22:15", 65.0), ("09-30 22:30", 80.0), ("09-30 22:45", 95.0)],
        ],
    ),
    "c17": Case(
        "c17-*/t.json",
        {"records": "records", "time": "HourUTC", "location": "PriceArea", "variable": "Type"},
        [
            (f"01-10 {hour:02}:00", 100.0 * hour + area + kind)
            for hour in range(3)
            for area in (0, 50)
            for kind in range(3)
        ],
    ),
    "c24": Case(
        "c24-*/n.csv",
        {"melt": "*", "nulls": [-9999]},
        [*[("01-10 00:00", 1.0)] * 7, *[("01-10 01:00", None)] * 7, *[("01-10 02:00", 2.0)] * 7],
    ),
    "c25": Case(TWO_ROWS, {"value": "price"}, [("01-10 00:00", 1.5), ("01-10 01:00", None)]),
    "c33 lines": Case(
        '{"t":"2026-01-10T00:00Z","v":1}\n{"t":"2026-01-10T01:00Z","v":2}\n',
        {},
        [("01-10 00:00", 1.0), ("01-10 01:00", 2.0)],
    ),
    "c33 callback": Case(
        'null({"hourly":[{"t":"2026-01-10T00:00Z","v":1}]});', {"records": "hourly"}, [("01-10 00:00", 1.0)]
    ),
    "c33 text": Case(r'"[{\"t\":\"2026-01-10T00:00Z\",\"v\":1}]"', {}, [("01-10 00:00", 1.0)]),
    "c39": Case(
        "c39-*/diff.csv",
        {"value": {"Pump (+)": "pump_output", "Pump (-)": "pump_input"}},
        [("01-10 00:00", 5.0), ("01-10 00:00", -7.0), ("01-10 01:00", 0.0), ("01-10 01:00", -3.0)],
    ),
}


@pytest.mark.parametrize("name", READ)
def test_a_described_table_is_read(name: str) -> None:
    """With its keys, each value of the table has its time, and nothing else of its columns is counted."""
    case = READ[name]
    page = read(case.body, case.keys, case.headers)
    assert stored(page) == case.values
    assert sum(skipped.count for skipped in used_skipped(page)) == case.counted


REFUSED = {
    "c01": ("c01-*/load.csv", {}, '"thousands": ","'),
    "c02": ("c02-*/eu.csv", {"time": "Zeit"}, '"time_format": "%d.%m.%Y %H:%M"'),
    "c04": ("c04-*/wide.csv", {"time": "DATE", "location": "ZONE"}, '"hours": {"columns": "HE{hour:02}"'),
    "c05": ("c05-*/two.csv", {"time": "DeliveryDate", "value": "Load"}, '"time": ["DeliveryDate", "HourEnding"]'),
    "c06": ("c06-*/de2.csv", {"value": "preis"}, '"decimal": ","'),
    "c07": ("c07-*/col.json", {"time": "unix_seconds"}, '"layout": "columns"'),
    "c08": ("c08-*/prices.xml", {"records": "Period", "time": "timeInterval.start"}, '"layout": "positions"'),
    "c10": ("c10-*/a.xlsx", {}, "a spreadsheet of Excel"),
    "c12": ("c12-*/p.json", {"interval": "PT1H"}, '"interval": "gaps"'),
    "c17": ("c17-*/t.json", {"records": "records", "location": "PriceArea"}, '"variable": "Type"'),
    "c24": ("c24-*/n.csv", {}, '"value": ['),
    "c39": ("c39-*/equal.csv", {}, "'Pump (+)' and 'Pump (-)'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_that_needs_a_key_says_which(name: str) -> None:
    """Without its keys the entry fails, and the message contains the keys that read the table, or what it is."""
    body, keys, says = REFUSED[name]
    with pytest.raises(FormatError) as raised:
        read(body, keys)
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("file", "keys", "headers", "pages"),
    [
        ("p1.json", {"records": "results"}, {}, {"next": "next"}),
        ("t1.json", {"records": "data"}, {}, {"page": "page", "last": "_meta.totalPages"}),
        ("l1.json", {"records": "records"}, {}, {"offset": "offset", "limit": ["limit", 24], "total": "total"}),
        ("h1.json", {}, {"link": '<https://grid.example/table?page=2>; rel="next"'}, {"link": True}),
    ],
)
def test_one_page_of_several_is_incomplete(
    file: str, keys: dict[str, Any], headers: dict[str, str], pages: dict[str, Any]
) -> None:
    """An answer that has further pages fails with the key to add, and with that key the next page is requested."""
    keys = {"time": "interval_start", "value": "consumption", **keys}
    with pytest.raises(IncompleteError) as raised:
        read(f"c09-*/{file}", keys, headers)
    assert f'"pages": {json.dumps(pages)}' in str(raised.value)
    page = read(f"c09-*/{file}", {**keys, "pages": pages}, headers)
    assert (page.observations.num_rows, len(page.next_requests)) == (24, 1)


OUTLOOK = {
    "url": "https://grid.example/{start:%Y%m%d}.csv",
    "time": "Time",
    "timezone": "America/Los_Angeles",
    "location": "CAISO",
    "melt": "*",
    "interval": "PT30M",
}


@pytest.mark.parametrize(
    ("file", "day", "half_hours", "counted"),
    [
        ("spring.csv", date(2026, 3, 8), 46, 4),
        ("midnight.csv", date(2026, 1, 10), 48, 2),
        ("blank.csv", date(2026, 1, 11), 48, 0),
    ],
)
def test_c14_rows_without_a_time_of_the_day_do_no_harm(file: str, day: date, half_hours: int, counted: int) -> None:
    """Empty rows of the skipped hour, the next midnight and a blank row do not change the day."""
    page = read(f"c14-*/{file}", OUTLOOK, day=day)
    start = local_day(day, ZoneInfo("America/Los_Angeles")).start
    expected = [start + number * timedelta(minutes=30) for number in range(half_hours)]
    assert sorted(page.observations["interval_start"].to_pylist()) == sorted([*expected, *expected])
    assert sum(skipped.count for skipped in used_skipped(page)) == counted


def test_c14_an_hour_that_comes_twice_and_stands_once_needs_a_choice() -> None:
    """An autumn day with each time once fails, and is read if the entry selects a pass."""
    with pytest.raises(FormatError, match='"ambiguous": "first" or "second"'):
        read("c14-*/autumn.csv", OUTLOOK, day=date(2025, 11, 2))
    page = read("c14-*/autumn.csv", {**OUTLOOK, "ambiguous": "second"}, day=date(2025, 11, 2))
    starts = {f"{start:%H:%M}" for start in page.observations["interval_start"].to_pylist()}
    assert page.observations.num_rows == 96
    assert {"09:00", "09:30"} <= starts
    assert "08:00" not in starts


def test_c17_labels_come_from_columns() -> None:
    """Areas are locations and types are variables, and all stay separate."""
    page = read(*READ["c17"][:2])
    rows = page.observations.to_pylist()[:6]
    assert [(row["location"], row["variable"], row["value"]) for row in rows] == [
        *[("DK1", "wind", 0.0), ("DK1", "solar", 1.0), ("DK1", "thermal", 2.0)],
        *[("DK2", "wind", 50.0), ("DK2", "solar", 51.0), ("DK2", "thermal", 52.0)],
    ]
