"""The generic source: upstreams that are described only in the configuration."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gridtide.config.loading import parse
from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError, FormatError, QuotaError, UpstreamError
from gridtide.observations.identity import resolve_repeats
from gridtide.observations.table import empty
from gridtide.periods import Period, local_day
from gridtide.sources import generic
from gridtide.sources.contract import Page, Request, Response
from tests.support.shared import SHARED, needs_shared

AT = datetime(2024, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
REQUEST = Request("https://grid.example/load")


def entry(**keys: Any) -> Entry:
    """A complete entry with an unknown host."""
    raw = {"name": "grid_load", "url": "https://grid.example/load", "output_folder": "grid_load"}
    return parse({"apis": [raw | keys]}).apis[0]


def read(body: Any, request: Request = REQUEST, **keys: Any) -> Page:
    """The observations in `body` (JSON unless it is text), for an entry with `keys`."""
    text = body if isinstance(body, str) else json.dumps(body)
    return generic.parse_response(entry(**keys), request, Response(text.encode(), AT))


def values(page: Page, *columns: str) -> list[Any]:
    """The `columns` of the page's rows, as tuples if there are several."""
    found = [page.observations[column].to_pylist() for column in columns]
    return found[0] if len(found) == 1 else list(zip(*found, strict=True))


def test_the_name_of_an_entry_is_never_taken_for_a_column_of_locations() -> None:
    """Without `location`, the location is the name of the entry, even if a column has this name."""
    page = read("time,load\n2024-01-01T05:00Z,7\n2024-01-01T06:00Z,8\n", name="load")
    assert values(page, "location", "variable", "value") == [("load", "load", 7.0), ("load", "load", 8.0)]


def test_an_unknown_host_gets_the_generic_source() -> None:
    """A minimal entry reads one column of times and one of numbers."""
    page = read([{"when": "2024-01-01T05:00:00Z", "Load MW": 17.5, "note": "x"}])
    assert entry().source == "generic"
    assert page.record_count == 1
    assert page.observations.to_pylist() == [
        {
            "interval_start": datetime(2024, 1, 1, 5, tzinfo=UTC),
            "interval_end": datetime(2024, 1, 1, 5, tzinfo=UTC),
            "source": "generic",
            "location": "grid_load",
            "variable": "load_mw",
            "unit": "1",
            "value": 17.5,
            "published_at": None,
            "retrieved_at": AT,
        }
    ]


KEYS = {"time": "at", "value": ["mw"], "location": "NO2", "unit": "MW", "interval": "PT15M"}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (
            {"data": {"items": [{"at": "2024-01-01T05:00+01:00", "mw": 1}, {"at": 1704085200, "mw": None}]}},
            "data.items",
        ),
        ("at,mw,status\n2024-01-01T05:00+01:00,1,ok\n1704085200,,late\n", None),
        ("<a><row at='2024-01-01T05:00+01:00'><mw>1</mw></row><row at='1704085200'><mw/></row></a>", "row"),
    ],
    ids=["json", "csv", "xml"],
)
def test_json_csv_and_xml_say_the_same(body: Any, path: str | None) -> None:
    """JSON, CSV and XML give the same time, value, location, unit and interval."""
    page = read(body, records=path, **KEYS)
    assert values(page, "interval_start", "interval_end", "location", "variable", "unit", "value") == [
        (datetime(2024, 1, 1, 4, tzinfo=UTC), datetime(2024, 1, 1, 4, 15, tzinfo=UTC), "NO2", "mw", "MW", 1.0),
        (datetime(2024, 1, 1, 5, tzinfo=UTC), datetime(2024, 1, 1, 5, 15, tzinfo=UTC), "NO2", "mw", "MW", None),
    ]


@pytest.mark.parametrize(
    ("time", "utc"),
    [
        ("2024-01-01T05:00:00Z", datetime(2024, 1, 1, 5, tzinfo=UTC)),
        ("2024-01-01 05:00:00+01:00", datetime(2024, 1, 1, 4, tzinfo=UTC)),
        ("2024-01-01T05:00", datetime(2024, 1, 1, 10, tzinfo=UTC)),
        ("2024-07-01", datetime(2024, 7, 1, 4, tzinfo=UTC)),
        ("20240701", datetime(2024, 7, 1, 4, tzinfo=UTC)),
        (1704085200, datetime(2024, 1, 1, 5, tzinfo=UTC)),
        (1704085200.5, datetime(2024, 1, 1, 5, 0, 0, 500000, tzinfo=UTC)),
        (1704085200123, datetime(2024, 1, 1, 5, 0, 0, 123000, tzinfo=UTC)),
        ("1704085200000", datetime(2024, 1, 1, 5, tzinfo=UTC)),
    ],
)
def test_times_with_and_without_offset_and_since_1970(time: Any, utc: datetime) -> None:
    """A time without an offset is in the time zone of the entry; a number counts from 1970 in UTC."""
    page = read([{"t": time, "v": 1}], time="t", timezone="America/New_York")
    assert values(page, "interval_start") == [utc]


@pytest.mark.parametrize(("day", "hours"), [("2024-03-10", 23), ("2024-11-03", 25), ("2024-07-01", 24)])
def test_the_days_of_the_time_change_have_23_and_25_hours(day: str, hours: int) -> None:
    """Local hours become continuous hours in UTC, in each location."""
    zone = ZoneInfo("America/New_York")
    operating = local_day(datetime.fromisoformat(day).date(), zone)
    starts = [operating.start + n * HOUR for n in range(hours)]
    assert starts[-1] + HOUR == operating.end
    body = [
        {"t": f"{start.astimezone(zone):%Y-%m-%dT%H:%M}", "zone": place, "v": number}
        for number, start in enumerate(starts)
        for place in ("A", "B")
    ]
    page = read(body, time="t", timezone="America/New_York", location="zone", interval="PT1H")
    assert values(page, "interval_start", "location", "value") == [
        (start, place, float(number)) for number, start in enumerate(starts) for place in ("A", "B")
    ]
    assert len(resolve_repeats(page.observations, "refuse").rows) == 2 * hours


@pytest.mark.parametrize(
    ("time", "says"),
    [
        ("2024-11-03T01:30", "comes twice in America/New_York"),
        ("2024-03-10T02:30", "does not exist in America/New_York"),
        ("01/02/2024", "'01/02/2024', which is not a valid ISO 8601 time"),
        ("05:00", "a time of day without its date.*{start:%Y%m%d}"),
        (None, "None, which is not a valid ISO 8601 time"),
        (10**20, "which is not a valid ISO 8601 time"),
    ],
)
def test_times_that_cannot_be_read_are_format_errors(time: Any, says: str) -> None:
    """The message names the entry, the key, the column and the text."""
    with pytest.raises(FormatError, match=rf"grid_load: time: t.*{says}"):
        read([{"t": time, "v": 1}], time="t", timezone="America/New_York")


def test_an_interval_of_days_is_counted_on_the_local_clock() -> None:
    """A day of a clock change has 23 or 25 hours; an interval of hours has a fixed length."""
    body = [{"t": "2024-03-10", "v": 1}, {"t": "2024-11-03", "v": 2}]
    days = read(body, timezone="America/New_York", interval="P1D")
    lengths = [end - start for start, end in values(days, "interval_start", "interval_end")]
    assert lengths == [23 * HOUR, 25 * HOUR]
    hours = read(body, timezone="America/New_York", interval="PT1H")
    assert [end - start for start, end in values(hours, "interval_start", "interval_end")] == [HOUR, HOUR]


def test_several_numeric_columns_are_series_where_the_entry_says_so() -> None:
    """Columns of numbers that the entry names are series, also numbers in text; names become snake case."""
    body = [
        {"t": "2024-01-01T00:00Z", "Natural Gas": 1, "main": {"windMW": "2.5"}, "flag": True, "id": "N-7"},
        {"t": "2024-01-01T01:00Z", "Natural Gas": None, "main": {"windMW": "-"}, "flag": False, "id": "8"},
    ]
    with pytest.raises(FormatError, match=r'several columns hold numbers: Natural Gas, main.windMW; .*"value": \["Nat'):
        read(body)
    assert values(read(body, melt="*"), "variable", "value") == [
        ("natural_gas", 1.0),
        ("main_wind_mw", 2.5),
        ("natural_gas", None),
        ("main_wind_mw", None),
    ]
    assert values(read(body, value=["flag"]), "variable", "value") == [("flag", 1.0), ("flag", 0.0)]


@pytest.mark.parametrize("missing", [None, "", "-", "NA", "n/a", "NaN", "null"])
def test_a_reported_null_stays_and_an_absent_value_does_not(missing: Any) -> None:
    """A null in its usual forms is an observation without a value; a missing column is no observation."""
    page = read([{"t": "2024-01-01T00:00Z", "v": missing}, {"t": "2024-01-01T01:00Z"}], value="v")
    assert (page.record_count, values(page, "value")) == (2, [None])


@pytest.mark.parametrize("value", ["12 MW", "1,234", [1], 10**400])
def test_a_value_that_is_no_number_is_a_format_error(value: Any) -> None:
    """The message names column and text."""
    with pytest.raises(FormatError, match=r"grid_load: value: v holds .* which is not a number"):
        read([{"t": "2024-01-01T00:00Z", "v": value}], value="v")


def test_the_location_is_a_column_if_there_is_one_of_that_name() -> None:
    """`location` is a column if one has this name, else the location itself; it may be a number."""
    body = [{"t": "2024-01-01T00:00Z", "node": 4000, "v": 1}, {"t": "2024-01-01T00:00Z", "node": 0, "v": 2}]
    assert values(read(body, location="node"), "location", "variable") == [("4000", "v"), ("0", "v")]
    assert set(values(read(body[:1], location="NYISO", value="v"), "location")) == {"NYISO"}
    with pytest.raises(FormatError, match=r"differ in node: '4000' and '0'.*: \"node\""):
        read(body, location="NYISO", value="v")


def test_a_record_without_its_location_is_a_format_error() -> None:
    """The message names the record."""
    with pytest.raises(FormatError, match="record 2 has no location in node"):
        read(
            [{"t": "2024-01-01T00:00Z", "node": "A", "v": 1}, {"t": "2024-01-01T00:00Z", "node": None, "v": 2}],
            location="node",
        )


def test_a_list_of_locations_is_refused() -> None:
    """A list in `location` is refused."""
    with pytest.raises(ConfigurationError, match="grid_load: location: is a list"):
        read([{"t": "2024-01-01T00:00Z", "v": 1}], location=["A", "B"])


@pytest.mark.parametrize(
    ("body", "keys", "says"),
    [
        ([{"a": 1, "b": 2}], {}, 'none of a, b holds ISO 8601 times.*"time"'),
        ([{"a": "2024-01-01", "b": "2024-01-02", "v": 1}], {}, r"more than one \(a, b\)"),
        ([{"a": "2024-01-01", "v": 1}], {"time": "t"}, "no record has a column t; the columns are: a, v"),
        ([{"a": "2024-01-01", "v": 1}], {"value": ["v", "w"]}, "no record has a column w"),
        ([{"a": "2024-01-01", "v": "x"}], {}, 'none of v holds numbers.*"value"'),
        ("The load of the grid by hour", {"time": "t"}, "neither JSON nor XML, nor CSV"),
    ],
)
def test_answers_of_another_shape_say_what_is_there(body: Any, keys: dict[str, Any], says: str) -> None:
    """Each message names the existing columns."""
    with pytest.raises(FormatError, match=f"grid_load: .*{says}"):
        read(body, **keys)


@pytest.mark.parametrize("keys", [{"time": "t"}, {"records": "data"}])
def test_an_error_instead_of_records_is_the_upstream_s_own(keys: dict[str, Any]) -> None:
    """It is shown as the upstream wrote it, and retried: the configuration need not be wrong."""
    with pytest.raises(UpstreamError, match='grid_load: the answer says that it is an error: "error": "no such zone"'):
        read({"error": "no such zone"}, **keys)


@pytest.mark.parametrize("body", ["", "<html><body>maintenance</body></html>", '[{"a":'])
def test_bodies_that_are_no_answer_may_pass(body: str) -> None:
    """Truncated bodies and web pages are retried."""
    with pytest.raises(UpstreamError, match="grid_load: "):
        read(body)


@pytest.mark.parametrize(
    "body",
    [
        "Service unavailable, try later",
        "Internal server error",
        '"Internal server error"',
        "java.lang.NullPointerException\n  at Load.read",
        '{"message": "Internal server error"}',
        '{"timestamp": "2026-01-10T00:00Z", "path": "/load", "detail": "Not found"}',
        '{"Message": "An error has occurred."}',
    ],
)
@pytest.mark.parametrize("keys", [{"time": "t"}, {"time": "t", "records": "data"}])
def test_a_message_alone_is_the_upstream_s_own_and_may_pass(body: str, keys: dict[str, Any]) -> None:
    """It is shown as the upstream wrote it, whatever the keys say of records."""
    with pytest.raises(
        UpstreamError, match=r"grid_load: (the answer has a message instead of|the body is neither JSON)"
    ):
        read(body, **keys)


@pytest.mark.parametrize("body", ["Too many requests", '{"message": "API rate limit exceeded"}'])
def test_a_message_alone_about_a_quota_is_one(body: str) -> None:
    """The next request waits."""
    with pytest.raises(QuotaError, match=r"grid_load: (the answer has a message instead of|the body is neither JSON)"):
        read(body, time="t")


@pytest.mark.parametrize("keys", [{"time": "t"}, {"time": "t", "records": "data"}])
def test_a_message_alone_that_there_is_no_data_is_an_answer_without_records(keys: dict[str, Any]) -> None:
    """As beside an empty list; an object with anything else is one of another shape."""
    assert read({"message": "No data for this period"}, **keys).record_count == 0
    with pytest.raises(FormatError, match="grid_load: "):
        read({"message": "No data for this period", "zone": "A"}, **keys)


def test_a_byte_order_mark_is_passed_over() -> None:
    """JSON, CSV and XML with a byte order mark are read."""
    time = "2024-01-01T00:00Z"
    bodies = (f'[{{"t": "{time}", "mw": 1}}]', f"t,mw\n{time},1\n", f"<r><a t='{time}' mw='1'/></r>")
    assert [values(read("\ufeff" + body), "value") for body in bodies] == [[1.0]] * 3


@pytest.mark.parametrize(("body", "keys"), [("[]", {}), ("a,b\n", {"time": "a"}), ("<rows/>", {"records": "row"})])
def test_no_records_are_no_rows(body: str, keys: dict[str, Any]) -> None:
    """An empty list, a header alone and an empty element are answers without rows."""
    assert read(body, **keys) == Page(empty(), 0)


def test_without_placeholders_the_answer_is_a_snapshot() -> None:
    """Without placeholders there is one request, in which a list of values repeats its key."""
    made = entry(params={"zone": ["A", "B"], "limit": 10})
    assert not generic.takes_period(made)
    assert generic.build_requests(made, None) == [
        Request(
            "https://grid.example/load", (("zone", "A"), ("zone", "B"), ("limit", "10")), label="snapshot", period=None
        )
    ]


def test_placeholders_are_filled_in_the_entrys_time_zone() -> None:
    """Placeholders become ISO 8601 with an offset or the given format, quoted in the URL and plain in parameters."""
    made = entry(
        url="https://grid.example/{start:%Y/%m}/load?until={end}",
        params={"from": "{start:%Y-%m-%d %H:%M}", "to": "{end:%d.%m.%Y}"},
        timezone="America/New_York",
    )
    period = Period(datetime(2024, 1, 1, 5, tzinfo=UTC), datetime(2024, 1, 3, 5, tzinfo=UTC))
    assert generic.takes_period(made)
    asked = generic.build_requests(made, period)
    assert [r.url for r in asked] == ["https://grid.example/2024/01/load?until=2024-01-03T00%3A00%3A00-05%3A00"]
    assert asked[0].params == (("from", "2024-01-01 00:00"), ("to", "03.01.2024"))
    assert asked[0].period == period
    utc = generic.build_requests(entry(params={"from": "{start}", "to": "{end}"}), period)
    assert utc[0].params == (("from", "2024-01-01T05:00:00Z"), ("to", "2024-01-03T05:00:00Z"))


def test_a_start_alone_is_asked_for_each_local_day() -> None:
    """With `{start}` alone, each local day is requested, and answers its part of the period."""
    made = entry(url="https://grid.example/{start:%Y%m%d}.csv", timezone="America/New_York")
    period = Period(datetime(2024, 3, 9, 12, tzinfo=UTC), datetime(2024, 3, 11, 6, tzinfo=UTC))
    asked = generic.build_requests(made, period)
    assert [r.url.rsplit("/", 1)[1] for r in asked] == ["20240309.csv", "20240310.csv", "20240311.csv"]
    assert [r.period for r in asked] == [
        Period(datetime(2024, 3, 9, 12, tzinfo=UTC), datetime(2024, 3, 10, 5, tzinfo=UTC)),
        Period(datetime(2024, 3, 10, 5, tzinfo=UTC), datetime(2024, 3, 11, 4, tzinfo=UTC)),
        Period(datetime(2024, 3, 11, 4, tzinfo=UTC), datetime(2024, 3, 11, 6, tzinfo=UTC)),
    ]
    assert len({r.label for r in asked}) == 3


def test_times_of_day_take_their_date_from_the_day_asked_for() -> None:
    """Times of day get the date of the requested day; on a day of 25 hours the repeated hour is read by order."""
    keys = {
        "url": "https://grid.example/{start:%Y%m%d}.csv",
        "time": "Time",
        "timezone": "America/New_York",
        "interval": "PT1H",
    }
    day = Period(datetime(2024, 11, 3, 4, tzinfo=UTC), datetime(2024, 11, 3, 8, tzinfo=UTC))
    (request,) = generic.build_requests(entry(**keys), day)
    page = read("Time,MW\n0:00,1\n01:00,2\n01:00,3\n02:00:00,4\n", request, **keys)
    assert values(page, "interval_start", "value") == [(day.start + n * HOUR, n + 1.0) for n in range(4)]


OUTLOOK = {
    "name": "caiso_outlook",
    "url": "https://www.caiso.com/outlook/history/{start:%Y%m%d}/fuelsource.csv",
    "time": "Time",
    "timezone": "America/Los_Angeles",
    "location": "CAISO",
    "melt": "*",
    "unit": "MW",
    "interval": "PT5M",
}


@needs_shared
def test_the_recorded_outlook_of_caiso_equals_an_independent_reading() -> None:
    """Thirteen fuels are read every five minutes of a local day, with the date of the URL."""
    body = (SHARED / "payloads" / "caiso" / "outlook_history_20230101_fuelsource.csv").read_bytes()
    day = local_day(datetime(2023, 1, 1).date(), ZoneInfo("America/Los_Angeles"))
    (request,) = generic.build_requests(entry(**OUTLOOK), day)
    assert request.url == "https://www.caiso.com/outlook/history/20230101/fuelsource.csv"
    page = generic.parse_response(entry(**OUTLOOK), request, Response(body, AT))
    independent = []
    for record in csv.DictReader(io.StringIO(body.decode())):
        start = datetime.fromisoformat(f"2023-01-01T{record.pop('Time')}-08:00").astimezone(UTC)
        for fuel, value in record.items():
            variable = fuel.lower().replace(" ", "_")
            independent.append((start, start + timedelta(minutes=5), "CAISO", variable, "MW", float(value)))
    assert (page.record_count, len(independent)) == (288, 288 * 13)
    assert values(page, "interval_start", "interval_end", "location", "variable", "unit", "value") == independent


@needs_shared
def test_the_recorded_outlook_without_a_day_says_what_is_wrong() -> None:
    """As a snapshot, times of day without a date are refused."""
    body = (SHARED / "payloads" / "caiso" / "outlook_history_20230101_fuelsource.csv").read_text()
    with pytest.raises(FormatError, match=r"Time holds '00:00', a time of day without its date\. Name the day"):
        read(body, time="Time")
