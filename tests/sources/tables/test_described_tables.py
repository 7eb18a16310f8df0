"""Keys of the generic source, each with a small table: hours as columns, melt, published, zips, conflicts and pages."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gridtide.collect.checks import ParsedPage, settle_page
from gridtide.config.loading import parse
from gridtide.entries.entry import Entry
from gridtide.errors import FormatError, UpstreamError
from gridtide.periods import Period, local_day
from gridtide.sources import generic
from gridtide.sources.contract import Page, Request, Response

RETRIEVED = datetime(2026, 12, 1, tzinfo=UTC)
ZONE = ZoneInfo("America/New_York")


def described(**keys: Any) -> Entry:
    """A complete entry with `keys`."""
    base = {"name": "table", "url": "https://grid.example/table", "output_folder": "table"}
    return parse({"apis": [base | keys]}).apis[0]


def read(
    body: str | bytes, request: Request | None = None, headers: Mapping[str, str] = MappingProxyType({}), **keys: Any
) -> Page:
    """The observations in `body`, which came with `headers`, for an entry with `keys`."""
    entry = described(**keys)
    content = body.encode() if isinstance(body, str) else body
    return generic.parse_response(entry, request or Request(entry.url), Response(content, RETRIEVED, headers=headers))


def settle(body: str, **keys: Any) -> ParsedPage:
    """The same after conflicts are settled, as for every source."""
    entry = described(**keys)
    return settle_page(read(body, **keys), entry, Request(entry.url), None)


@pytest.mark.parametrize(("day", "length"), [("2026-03-08", 23), ("2026-07-01", 24), ("2026-11-01", 25)])
def test_columns_of_hours_make_the_hours_of_their_day(day: str, length: int) -> None:
    """A row of 23, 24 or 25 hours becomes continuous hours in order."""
    # The clock skips the hour that ends at 03:00; the 25th column is the second of the hour that ends at 02:00.
    cells = {hour: str(hour) for hour in range(1, 25) if length > 23 or hour != 3}
    names = [f"HE{hour:02}" for hour in range(1, 26)]
    row = [cells.get(hour, "") for hour in range(1, 25)] + ["99" if length == 25 else ""]
    hours = {"columns": "HE{hour:02}", "label": "end", "repeated": "HE25"}
    body = f"DATE,{','.join(names)}\n{day},{','.join(row)}\n"
    page = read(body, time="DATE", timezone="America/New_York", hours=hours)
    rows = sorted((item["interval_start"], item["value"]) for item in page.observations.to_pylist())
    start = local_day(date.fromisoformat(day), ZONE).start
    assert [moment for moment, value in rows if value is not None] == [
        start + timedelta(hours=number) for number in range(length)
    ]
    expected = {23: [1, 2, 4, 5], 24: [1, 2, 3, 4], 25: [1, 2, 99, 3]}[length]
    assert [value for _, value in rows if value is not None][:4] == expected


def test_melted_columns_are_variables_or_locations() -> None:
    """Columns that match a pattern are series named by their header; others are not stored."""
    body = "time,Zone A,Zone B,id\n2026-01-10T00:00Z,1,2,77\n"
    page = read(body, melt="Zone *")
    assert page.observations["variable"].to_pylist() == ["zone_a", "zone_b"]
    page = read(body, melt={"columns": ["Zone *"], "into": "location", "variable": "load"})
    rows = page.observations.to_pylist()
    assert [(row["location"], row["variable"], row["value"]) for row in rows] == [
        ("Zone A", "load", 1.0),
        ("Zone B", "load", 2.0),
    ]


def test_when_values_were_published_comes_from_a_column_or_a_header() -> None:
    """`published` is a column, or a header of the answer; another name fails."""
    body = "time,issued,mw\n2026-01-11T00:00Z,2026-01-10T09:30Z,1\n2026-01-11T00:00Z,2026-01-10T10:30Z,2\n"
    page = read(body, time="time", value="mw", published="issued")
    issued = [datetime(2026, 1, 10, 9, 30, tzinfo=UTC), datetime(2026, 1, 10, 10, 30, tzinfo=UTC)]
    assert page.observations["published_at"].to_pylist() == issued
    headers = {"last-modified": "Sat, 10 Jan 2026 09:30:00 GMT"}
    page = read("time,mw\n2026-01-11T00:00Z,1\n", headers=headers, published="Last-Modified")
    assert page.observations["published_at"].to_pylist() == issued[:1]
    with pytest.raises(FormatError, match='Correct "published"'):
        read(body, time="time", value="mw", published="issue")


def packed(members: dict[str, str]) -> bytes:
    """A zip of `members`."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return sink.getvalue()


def test_members_of_an_archive_are_chosen_by_a_pattern() -> None:
    """Matching files of a zip are read in order; a pattern without a match lists the files."""
    body = packed(
        {
            "a_zone.csv": "time,mw\n2026-01-10T00:00Z,1\n",
            "readme.txt": "no table",
            "b_zone.csv": "time,mw\n2026-01-11T00:00Z,2\n",
        }
    )
    assert read(body, unpack="*_zone.csv").observations["value"].to_pylist() == [1.0, 2.0]
    with pytest.raises(FormatError, match=r"there are: a_zone\.csv, readme\.txt, b_zone\.csv"):
        read(body, unpack="*.xml")


@pytest.mark.parametrize(
    ("conflict", "stored", "counted"),
    [(None, [5.0], 2), ("first", [1.0, 5.0], 1), ("last", [2.0, 5.0], 1)],
)
def test_different_values_of_one_time_are_counted(conflict: str | None, stored: list[float], counted: int) -> None:
    """None of several values, the first or the last is stored, and equal values are no conflict."""
    body = "time,mw\n" + "".join(
        f"2026-01-10T{hour},{value}\n" for hour, value in [("00:00Z", 1), ("00:00Z", 2), ("01:00Z", 5), ("01:00Z", 5)]
    )
    settled = settle(body, **({"conflict": conflict} if conflict else {}))
    assert settled.page.observations["value"].to_pylist() == stored
    assert sum(skipped.count for skipped in (*settled.page.skipped, *settled.skipped)) == counted
    assert settled.repeat_count == 1


def test_different_values_of_one_time_are_refused_where_the_entry_says_so() -> None:
    """The message names series, time and both values."""
    with pytest.raises(FormatError, match=r"the first is .*/mw at 2026-01-10T00:00Z with 1.0 and 2.0"):
        settle("time,mw\n2026-01-10T00:00Z,1\n2026-01-10T00:00Z,2\n", conflict="refuse")


@pytest.mark.parametrize(
    ("per", "name", "asked"),
    [
        ("day", "{start:%Y%m%d}", ["20260130", "20260131", "20260201"]),
        ("month", "{start:%Y%m}", ["202601", "202602"]),
        ("year", "{start:%Y}", ["2026"]),
    ],
)
def test_files_of_a_period_are_asked_once_each(per: str, name: str, asked: list[str]) -> None:
    """Each day, month or year of the period is requested once, and answers only its part of the period."""
    entry = described(url=f"https://grid.example/{name}.csv", per=per)
    period = Period(datetime(2026, 1, 30, tzinfo=UTC), datetime(2026, 2, 2, tzinfo=UTC))
    requests = generic.build_requests(entry, period)
    assert [request.url for request in requests] == [f"https://grid.example/{word}.csv" for word in asked]
    periods = [request.period for request in requests if request.period]
    assert (periods[0].start, periods[-1].end) == (period.start, period.end)
    assert all(before.end == after.start for before, after in pairwise(periods))


ROW = {"t": "2026-01-10T00:00Z", "v": 1}


@pytest.mark.parametrize(
    ("pages", "answers", "asked"),
    [
        (
            {"next": "next"},
            [{"next": "/table?p=2"}, {"next": None}],
            [("https://grid.example/table", {}), ("https://grid.example/table?p=2", {})],
        ),
        (
            {"page": "page", "last": "pages"},
            [{"pages": 2}, {"pages": 2}],
            [("https://grid.example/table", {"page": "1"}), ("https://grid.example/table", {"page": "2"})],
        ),
        (
            {"offset": "from", "limit": ["size", 1], "total": "total"},
            [{"total": 2}, {"total": 2}],
            [
                ("https://grid.example/table", {"size": "1", "from": "0"}),
                ("https://grid.example/table", {"size": "1", "from": "1"}),
            ],
        ),
        (
            {"cursor": "mark", "param": "after"},
            [{"mark": "abc"}, {"mark": ""}],
            [("https://grid.example/table", {}), ("https://grid.example/table", {"after": "abc"})],
        ),
    ],
    ids=["next", "page", "offset", "cursor"],
)
def test_pages_are_asked_for_until_the_last(
    pages: dict[str, Any], answers: list[dict[str, Any]], asked: list[tuple[str, dict[str, str]]]
) -> None:
    """Each kind of `pages` requests the second page correctly, and none after the last."""
    entry = described(records="rows", pages=pages)
    waiting, requested = generic.build_requests(entry, None), []
    for number, answer in enumerate(answers):
        (request,) = waiting
        requested.append((request.url, dict(request.params)))
        row = {**ROW, "t": f"2026-01-10T0{number}:00Z"}
        page = generic.parse_response(
            entry, request, Response(json.dumps({**answer, "rows": [row]}).encode(), RETRIEVED)
        )
        assert page.observations.num_rows == 1
        waiting = list(page.next_requests)
    assert waiting == []
    assert requested == asked


DAY = local_day(date(2025, 11, 3), ZONE)


@pytest.mark.parametrize(
    ("body", "keys", "stored"),
    [
        ("Hour,mw\n1,5\n2,6\n", {"time": "Hour", "value": "mw", "interval": "PT1H", "label": "end"}, [5.0, 6.0]),
        ("Node,HE 1,HE 2\nA,5,6\n", {"location": "Node", "hours": {"columns": "HE {hour}"}}, [5.0, 6.0]),
    ],
)
def test_hours_without_a_date_are_of_the_day_that_was_asked_for(
    body: str, keys: dict[str, Any], stored: list[float]
) -> None:
    """The first hour is that after the local midnight of the day; without a day asked for, the entry fails."""
    url = "https://grid.example/{start:%Y%m%d}.csv"
    request = Request("https://grid.example/20251103.csv", period=DAY)
    page = read(body, request, url=url, timezone="America/New_York", **keys)
    assert page.observations["interval_start"].to_pylist() == [DAY.start, DAY.start + timedelta(hours=1)]
    assert page.observations["value"].to_pylist() == stored
    with pytest.raises(FormatError, match="time"):
        read(body, timezone="America/New_York", **keys)


@pytest.mark.parametrize(
    ("keys", "stored", "lines"),
    [
        ({"skip": "until:FUEL"}, None, 1),
        ({"skip": "until:FUEL", "footer": "blank"}, [5.0, 6.0], 2),
        ({"skip": "until:FUEL", "footer": "from:LINE"}, [5.0, 6.0], 2),
        ({"skip": "until:FUEL", "rows": "W"}, [6.0], 3),
        ({"skip": "until:LINE", "variable": "LINE"}, [7.0], 0),
        ({"skip": "until:FUEL", "comment": ["LINE", "North"]}, [5.0, 6.0], 2),
    ],
)
def test_one_of_several_tables_in_a_file_is_read(keys: dict[str, Any], stored: list[float] | None, lines: int) -> None:
    """Rows end where the entry says so, and the lines behind are counted; without that the rows of the next table are
    counted as none, and a run warns."""
    body = "Updated 2026-01-10T08:00Z\n\nFUEL,MW\nCoal,5\nWind,6\n\nLINE,MW\nNorth,7\n"
    described_keys = {"above": {"at": "Updated (.*)"}, "time": "at", "variable": "FUEL", "value": "MW"} | keys
    page = read(body, **described_keys)
    assert sum(skipped.count for skipped in page.skipped) == lines
    assert all(skipped.expected for skipped in page.skipped) == (stored is not None)
    if stored is not None:
        assert page.observations["value"].to_pylist() == stored
    with pytest.raises(FormatError, match='Correct "above"'):
        read(body, **described_keys | {"above": {"at": "Published (.*)"}})


def test_numbers_with_a_unit_are_read_where_the_entry_names_it() -> None:
    """Without the key the entry fails and proposes it; other units stay unread and are counted."""
    body = "time,mw\n2026-01-10T00:00Z,5 MW\n2026-01-10T01:00Z,$6\n2026-01-10T02:00Z,7 GW\n"
    with pytest.raises(FormatError, match=r'add "strip": \["MW"\]'):
        read(body, value="mw")
    page = read(body + "2026-01-10T03:00Z,-\n", value="mw", strip=["MW", "$"])
    assert page.observations["value"].to_pylist() == [5.0, 6.0, None]
    assert [skipped.example for skipped in page.skipped] == ["line 4, mw: '7 GW'"]


def test_labels_of_several_columns_may_lack_some_but_never_become_one() -> None:
    """A record needs one of them; two records whose labels would be equal are refused."""
    records = [{"t": "2026-01-10T00:00Z", "into": "FR", "out": "", "v": 1}]
    records += [{"t": "2026-01-10T00:00Z", "into": "", "out": "DE", "v": 2}]
    assert read(json.dumps(records), location=["into", "out"], value="v").observations["location"].to_pylist() == [
        "FR",
        "DE",
    ]
    names = read(json.dumps(records), variable=["into", "out"], value="v").observations["variable"].to_pylist()
    assert names == ["fr", "de"]
    with pytest.raises(FormatError, match="would both be FR"):
        read(json.dumps([records[0], records[1] | {"out": "FR"}]), location=["into", "out"], value="v")
    keys = {"location": "x", "variable": ["into", "out"], "value": "v"}
    with pytest.raises(FormatError, match="would both be x/fr"):
        read(json.dumps([records[0], records[1] | {"out": "FR", "t": "2026-01-10T01:00Z"}]), **keys)
    with pytest.raises(FormatError, match="no location in into or out"):
        read(json.dumps([records[0] | {"into": ""}]), location=["into", "out"], value="v")


@pytest.mark.parametrize("name", ["docId", "station_id", "PTID", "lat", "hour"])
def test_an_only_column_of_ids_is_no_series_by_itself(name: str) -> None:
    """The entry fails and says how to name it; named, it is read."""
    body = f"time,{name}\n2026-01-10T00:00Z,5\n"
    with pytest.raises(FormatError, match=f'"value": "{name}"'):
        read(body)
    assert read(body, value=name).observations["value"].to_pylist() == [5.0]


def test_dates_in_columns_of_their_own_stand_beside_the_number_of_the_hour() -> None:
    """Year, month, day and hours 1 to 25, as on the day on which the clock is set back in Madrid."""
    lines = [f"2026;10;25;{hour};{hour}.5" for hour in range(1, 26)]
    body = "\n".join(["MARGINALPDBC;", *lines, "*", ""])
    page = read(
        body,
        skip=1,
        header=["year", "month", "day", "hour", "price"],
        comment="*",
        delimiter=";",
        time=["year", "month", "day", "hour"],
        time_format="%Y %m %d",
        timezone="Europe/Madrid",
        label="end",
        interval="PT1H",
        value="price",
    )
    start = local_day(date(2026, 10, 25), ZoneInfo("Europe/Madrid")).start
    assert page.observations["interval_start"].to_pylist() == [start + timedelta(hours=hour) for hour in range(25)]


def test_fields_beside_the_path_to_the_records_are_columns() -> None:
    """What an answer says once, as when it was made, is known of each record; it is never a value by itself."""
    body = '{"made": "2026-01-10T09:00Z", "data": {"zone": "A", "items": [{"t": "2026-01-10T00:00Z", "v": 5}]}}'
    page = read(body, records="data.items", published="made", location="zone")
    assert page.observations.select(["location", "published_at", "value"]).to_pylist() == [
        {"location": "A", "published_at": datetime(2026, 1, 10, 9, tzinfo=UTC), "value": 5.0}
    ]


def test_nested_fields_melt_into_locations_without_their_path() -> None:
    """As the areas of a record of Nord Pool."""
    body = '[{"deliveryStart": "2026-01-10T00:00Z", "entryPerArea": {"NO1": 85.1, "NO2": 79.3}}]'
    page = read(body, melt={"columns": ["entryPerArea.*"], "into": "location", "variable": "price"})
    assert page.observations["location"].to_pylist() == ["NO1", "NO2"]


def test_columns_of_quarter_hours_are_read_by_their_clock_or_number() -> None:
    """Names with minutes are times of the clock; numbers count through the day, here one of 23 hours."""
    names = [f"{minutes // 60:02}:{minutes % 60:02}" for minutes in range(0, 24 * 60, 15)]
    body = f"day;{';'.join(names)}\n10.01.2026;{';'.join(map(str, range(96)))}\n"
    hours = {"columns": "{hour:02}:{minute:02}", "label": "start"}
    keys = {"time": "day", "time_format": "%d.%m.%Y", "timezone": "Europe/Berlin", "interval": "PT15M"}
    page = read(body, hours=hours, **keys)
    start = local_day(date(2026, 1, 10), ZoneInfo("Europe/Berlin")).start
    rows = page.observations.to_pylist()
    assert [(row["interval_start"] - start) / timedelta(minutes=15) for row in rows] == list(range(96))
    assert [row["value"] for row in rows] == list(range(96))
    body = f"day;{';'.join(map(str, range(1, 93)))}\n29.03.2026;{';'.join(map(str, range(92)))}\n"
    page = read(body, hours={"columns": "{hour}", "label": "end"}, **keys)
    start = local_day(date(2026, 3, 29), ZoneInfo("Europe/Berlin")).start
    starts = page.observations["interval_start"].to_pylist()
    assert starts == [start + number * timedelta(minutes=15) for number in range(92)]


def test_a_column_of_texts_is_recorded_without_a_warning() -> None:
    """It is so in every answer; a column of mostly texts that holds a number is warned of."""
    page = read("time,mw,note\n2026-01-10T00:00Z,5,x\n2026-01-10T01:00Z,6,y\n")
    assert [(skipped.count, skipped.expected) for skipped in page.skipped] == [(2, True)]
    page = read("time,mw,note\n2026-01-10T00:00Z,5,x\n2026-01-10T01:00Z,6,y\n2026-01-10T02:00Z,6,7\n")
    assert [(skipped.count, skipped.expected) for skipped in page.skipped] == [(3, False)]


LONG_TABLE = """item,area,t,v
15MIN,CA ISO,2026-01-10T00:00Z,26723
5MIN,PG&E,2026-01-10T00:05Z,11530
"""


def test_series_that_nobody_told_apart_are_refused() -> None:
    """Words that differ within a series, at other times, may be series; the error proposes the keys, and also that
    they only describe the values."""
    with pytest.raises(
        FormatError, match=r'differ in item.*"variable": "item" or "location": "item".*"ignore"'
    ) as error:
        read(LONG_TABLE, time="t", value="v")
    assert error.value.fix.endswith('"ignore": ["item"]')
    with pytest.raises(FormatError, match=r'"ignore": \["item", "area"\]'):
        read(LONG_TABLE, time="t", value="v", ignore=["item"])
    table = read(LONG_TABLE, time="t", value="v", variable="item", location="area").observations
    assert table["location"].to_pylist() == ["CA ISO", "PG&E"]
    assert read(LONG_TABLE, time="t", value="v", ignore=["item", "area"]).observations.num_rows == 2


@pytest.mark.parametrize("column", ["quality", "Day", "remark"])
def test_columns_that_describe_values_are_not_taken_for_series(column: str) -> None:
    """A quality or a remark may differ from record to record."""
    body = f"{column},t,v\ngood,2026-01-10T00:00Z,1\nbad,2026-01-10T01:00Z,2\n"
    assert all(skipped.expected for skipped in read(body, time="t", value="v").skipped)


def test_a_proposal_of_values_leaves_ids_out() -> None:
    """They are proposed as the location, so that the proposal can be applied as it is."""
    body = "BeginDate,LocationID,LmpTotal\n2024-01-01T13:00:00-05:00,321,33.84\n"
    with pytest.raises(FormatError, match=r'"value": \["LmpTotal"\], "location": "LocationID"'):
        read(body)
    page = read(body, value=["LmpTotal"], location="LocationID")
    assert page.observations.select(["location", "value"]).to_pylist() == [{"location": "321", "value": 33.84}]


def test_a_column_that_was_renamed_is_proposed_under_its_old_variable() -> None:
    """The proposal reads the table, and the series goes on by its name."""
    body = "time,System Load (MW),flag\n2026-01-10T00:00Z,5,x\n"
    with pytest.raises(FormatError, match=r'"value": \{"System Load \(MW\)": "load_mw"\}'):
        read(body, value="Load MW")
    page = read(body, value={"System Load (MW)": "load_mw"})
    assert page.observations["variable"].to_pylist() == ["load_mw"]


def test_an_hour_with_a_mark_is_of_the_second_pass() -> None:
    """02X is the second of the hour that ends at 02:00, as ISO-NE writes it; 2A and 2B are both passes."""
    keys = {"time": ["Date", "HE"], "timezone": "America/New_York", "label": "end", "interval": "PT1H", "value": "v"}
    start = datetime(2026, 11, 1, 4, tzinfo=UTC)
    for hours in (["01", "02", "02X", "03"], ["1", "2A", "2B", "3"]):
        body = "\n".join(["Date,HE,v", *(f"2026-11-01,{hour},{number}" for number, hour in enumerate(hours)), ""])
        page = read(body, **keys)
        assert page.observations["interval_start"].to_pylist() == [start + timedelta(hours=hour) for hour in range(4)]


def test_series_that_overlap_are_proposed_as_series() -> None:
    """Where a column tells records apart whose intervals overlap, the proposal names it, and reads them."""
    times = [("00:00", "PT60M", "hourly"), *((f"00:{minute:02}", "PT15M", "quarter") for minute in (0, 15, 30, 45))]
    records = [{"from": f"2026-01-10T{time}Z", "res": res, "product": name, "v": 1} for time, res, name in times]
    keys = {"time": "from", "interval": "res", "value": "v"}
    with pytest.raises(FormatError, match='"variable": "product"'):
        read(json.dumps(records), **keys)
    names = read(json.dumps(records), variable="product", **keys).observations["variable"].to_pylist()
    assert names == ["hourly", *["quarter"] * 4]


def test_where_another_table_begins_the_message_says_how_to_end_the_first() -> None:
    """Its header would be a record; with the proposed key the first table is read."""
    body = "DATE,TIME,a,b\n2026-01-10,00:00,1,2\n\nDATE,TIME,c,d\n2026-01-10,00:05,3,4\n"
    keys = {"time": ["DATE", "TIME"], "value": ["a", "b"], "interval": "PT1H"}
    with pytest.raises(FormatError, match='"footer": "blank"'):
        read(body, **keys)
    assert read(body, footer="blank", **keys).observations["value"].to_pylist() == [1.0, 2.0]


SERIES_OF_GENERATION = """<TimeSeries><mRID>{number}</mRID><{zone}>FR</{zone}><curveType>{curve}</curveType><MktPSRType>
<psrType>B10</psrType></MktPSRType><Period><timeInterval><start>2026-01-09T23:00Z</start><end>2026-01-10T01:00Z</end>
</timeInterval><resolution>PT60M</resolution><Point><position>1</position><quantity>{number}</quantity></Point></Period>
</TimeSeries>"""


def test_generation_and_consumption_of_one_type_are_told_apart() -> None:
    """As pumped storage in a document of ENTSO-E: the proposal adds the column, and reads both."""
    zones = ["inBiddingZone_Domain.mRID", "outBiddingZone_Domain.mRID"]
    parts = [SERIES_OF_GENERATION.format(number=number, zone=zone, curve="A03") for number, zone in enumerate(zones, 1)]
    body = f"<GL_MarketDocument>{''.join(parts)}</GL_MarketDocument>"
    keys = {"layout": "positions", "value": "quantity", "location": "FR"}
    with pytest.raises(FormatError) as raised:
        read(body, variable="MktPSRType.psrType", **keys)
    assert '"variable": ["MktPSRType.psrType", "inBiddingZone_Domain.mRID"]' in str(raised.value)
    variables = ["MktPSRType.psrType", "outBiddingZone_Domain.mRID"]
    rows = read(body, variable=variables, **keys).observations.to_pylist()
    assert [(row["variable"], row["value"]) for row in rows] == [("b10", 1.0)] * 2 + [("b10_fr", 2.0)] * 2


def test_a_curve_of_breakpoints_is_refused() -> None:
    """Its values change between its points, so that no interval holds one."""
    body = f"<Document>{SERIES_OF_GENERATION.format(number=1, zone='zone', curve='A05')}</Document>"
    with pytest.raises(FormatError, match="a curve of the type A05"):
        read(body, layout="positions", value="quantity")


DAYS_TABLE = """Hour,2026-03-28,2026-03-29,2026-03-30
01:00,1,5,9
02:00,2,,10
03:00,3,7,11
"""


def test_columns_of_days_become_records_of_their_hours() -> None:
    """The day is in the header and the hour in the row; the hour that the clock skips is empty and no record."""
    keys = {"time": "Hour", "days": "%Y-%m-%d", "timezone": "Europe/Berlin", "interval": "PT1H"}
    table = read(DAYS_TABLE, **keys, value={"load": {"unit": "MW"}}).observations
    starts = [datetime(2026, 3, 28, hour, tzinfo=UTC) for hour in (0, 1, 2)]
    starts += [datetime(2026, 3, 29, hour, tzinfo=UTC) for hour in (0, 1)]
    starts += [datetime(2026, 3, 29, 23, tzinfo=UTC)]
    starts += [datetime(2026, 3, 30, hour, tzinfo=UTC) for hour in (0, 1)]
    assert table["interval_start"].to_pylist() == starts
    assert table["value"].to_pylist() == [1.0, 2.0, 3.0, 5.0, 7.0, 9.0, 10.0, 11.0]
    assert set(table["variable"].to_pylist()) == {"load"}


def test_columns_of_days_take_the_numbers_of_hours_that_end() -> None:
    """The hour may be a number, and is the end of its interval where the entry says so; cells that are no number are
    counted with row and column."""
    body = "HE,10.01.2026,11.01.2026\n1,5,x\n24,6,8\n"
    page = read(body, time="HE", days="%d.%m.%Y", label="end", interval="PT1H")
    days = [datetime(2026, 1, day, tzinfo=UTC) for day in (10, 10, 11)]
    hours = [timedelta(), timedelta(hours=23), timedelta(hours=23)]
    assert page.observations["interval_start"].to_pylist() == [
        day + hour for day, hour in zip(days, hours, strict=True)
    ]
    (skipped,) = page.skipped
    assert (skipped.count, "line 2, 11.01.2026" in skipped.example) == (1, True)


def test_a_table_with_columns_of_days_is_recognised() -> None:
    """The error proposes the key, with which it is read."""
    for body in (DAYS_TABLE, DAYS_TABLE.replace(":00", "")):
        with pytest.raises(FormatError, match='add "days": "%Y-%m-%d"'):
            read(body, time="Hour")
    with pytest.raises(FormatError, match="no column is called by a day"):
        read(DAYS_TABLE, time="Hour", days="%d.%m.%Y")


def test_numbers_in_parentheses_are_negative_where_the_entry_says_so() -> None:
    """With marks between thousands and units too; without the key the error proposes it."""
    body = 'time,flow\n2026-01-10T00:00Z,"1,204.5"\n2026-01-10T01:00Z,"(1,180.25)"\n2026-01-10T02:00Z,(7)\n'
    with pytest.raises(FormatError, match=r'Add "thousands": ",", "negative": "parentheses"'):
        read(body, value="flow")
    with pytest.raises(FormatError, match=r'Add "negative": "parentheses"'):
        read(body, value="flow", thousands=",")
    table = read(body, value="flow", thousands=",", negative="parentheses").observations
    assert table["value"].to_pylist() == [1204.5, -1180.25, -7.0]
    units = read(
        "time,v\n2026-01-10T00:00Z,(7 MW)\n2026-01-10T01:00Z,5 MW\n", value="v", negative="parentheses", strip=["MW"]
    )
    assert units.observations["value"].to_pylist() == [-7.0, 5.0]
    assert (
        read("time,v\n2026-01-10T00:00Z,1\n2026-01-10T01:00Z,(-7)\n", value="v", negative="parentheses")
        .skipped[0]
        .count
        == 1
    )


def test_a_day_of_25_hours_stands_beside_one_of_24() -> None:
    """The cell that the shorter day does not have is no record, and takes nothing from the first hour of the next."""
    rows = "".join(f"{hour},{hour if hour < 25 else ''},{100 + hour}\n" for hour in range(1, 26))
    keys = {"time": "Hour", "days": "%Y-%m-%d", "label": "end", "interval": "PT1H", "timezone": "Europe/Berlin"}
    parsed = settle(f"Hour,2026-10-24,2026-10-25\n{rows}", **keys)
    assert parsed.page.observations["value"].to_pylist() == [*range(1, 25), *range(101, 126)]
    starts = parsed.page.observations["interval_start"].to_pylist()
    first = local_day(date(2026, 10, 24), ZoneInfo("Europe/Berlin")).start
    assert starts == [first + timedelta(hours=number) for number in range(49)]
    assert list(parsed.skipped) == []


@pytest.mark.parametrize(
    "line", ["<html><body>504</body></html>", "<!-- down -->", "ERROR: timeout", "java.io.IOException"]
)
def test_a_table_that_ends_in_a_failure_of_the_upstream_is_retried(line: str) -> None:
    """Records after it would be lost; where it always is there, `footer` leaves it out."""
    body = f"t,mw\n2026-01-10T00:00Z,1\n{line}\n"
    with pytest.raises(UpstreamError, match=r'broken off .* in line 3. Try again later; if .* add "footer": 1$'):
        _read_failing(body)
    assert _read_failing(body, csv={"footer": 1}).record_count == 1
    with pytest.raises(UpstreamError, match=r"broken off .* in line 3. Try again later$"):
        _read_failing(f"{body}2026-01-10T01:00Z,2\n")


def _read_failing(body: str, **keys: Any) -> Page:
    """The page of a CSV with times in `t`."""
    api = {"name": "load", "url": "https://grid.example/load", "output_folder": "load", "time": "t"} | keys
    entry = parse({"apis": [api]}).apis[0]
    return generic.parse_response(entry, Request(entry.url), Response(body.encode(), datetime(2026, 2, 1, tzinfo=UTC)))
