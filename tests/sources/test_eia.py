"""EIA v2: hour-ending labels, totals, slices and pages."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtide.config import loading
from gridtide.entries.entry import Entry
from gridtide.errors import (
    ConfigurationError,
    CredentialsError,
    FormatError,
    GridtideError,
    QuotaError,
    UpstreamError,
)
from gridtide.periods import Period
from gridtide.sources import eia
from gridtide.sources.contract import BOM, Page, Request, Response
from tests.support.shared import SHARED, needs_shared

AT = datetime(2026, 1, 1, tzinfo=UTC)
BASE = "https://api.eia.gov/v2/electricity/rto"


def an_entry(route: str = "region-data", **params: Any) -> Entry:
    """An entry with an hourly route."""
    api = {"name": "grid", "url": f"{BASE}/{route}/data/", "output_folder": "grid", "params": params}
    return loading.parse({"apis": [api]}).apis[0]


def a_row(period: str = "2024-01-01T00", value: Any = "5", **columns: str) -> dict[str, Any]:
    """A row of region-data unless `columns` say otherwise."""
    columns = columns or {"respondent": "ISNE", "type": "D"}
    return {"period": period, **columns, "value": value, "value-units": "megawatthours"}


def an_answer(*rows: dict[str, Any], total: Any = None) -> bytes:
    """An answer in EIA's envelope."""
    response = {"total": str(len(rows)) if total is None else total, "dateFormat": "x", "data": rows}
    return json.dumps({"response": response, "request": {"params": {"api_key": "x"}}, "apiVersion": "2.1.8"}).encode()


def parse(body: bytes, entry: Entry | None = None, request: Request | None = None) -> Page:
    """The page of `body`."""
    entry = entry or an_entry()
    return eia.parse_response(entry, request or eia.build_requests(entry, None)[0], Response(body, AT))


def hours(start: int, end: int) -> Period:
    """A time given in hours since 2024."""
    return Period(
        datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=start),
        datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=end),
    )


def test_a_label_names_the_hour_that_ends() -> None:
    """`2024-01-01T00` is the last hour of 2023 in UTC, and rows across midnight are an hour apart."""
    page = parse(an_answer(a_row("2023-12-31T23"), a_row("2024-01-01T00"), a_row("2024-01-01T01")))
    starts = page.observations["interval_start"].to_pylist()
    assert starts == [
        datetime(2023, 12, 31, 22, tzinfo=UTC),
        datetime(2023, 12, 31, 23, tzinfo=UTC),
        datetime(2024, 1, 1, tzinfo=UTC),
    ]
    ends = page.observations["interval_end"].to_pylist()
    assert [end - start for start, end in zip(starts, ends, strict=True)] == [timedelta(hours=1)] * 3


def test_the_hours_of_a_clock_change_are_all_there() -> None:
    """Local days of 23 and 25 hours have as many different hours in UTC."""
    for day, length in (("2024-03-10", 23), ("2024-11-03", 25)):
        first = (
            datetime.fromisoformat(f"{day}T05:00+00:00")
            if length == 23
            else datetime.fromisoformat(f"{day}T04:00+00:00")
        )
        labels = [f"{first + timedelta(hours=h + 1):%Y-%m-%dT%H}" for h in range(length)]
        page = parse(an_answer(*(a_row(label) for label in labels)))
        starts = page.observations["interval_start"].to_pylist()
        assert starts == [first + timedelta(hours=h) for h in range(length)]


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (("-192", ".306", "5"), [-192.0, 0.306, 5.0]),
        ((7, 2.5, None), [7.0, 2.5, None]),
        (("7", None, 8), [7.0, None, 8.0]),
        ((None, None, None), [None, None, None]),
        (("null", "5"), [None, 5.0]),
        (("null", "NULL", ".306"), [None, None, 0.306]),
    ],
)
def test_values_of_every_type_are_numbers(sent: tuple[Any, ...], read: list[float | None]) -> None:
    """Strings, ints, floats and nulls, also mixed, are read as numbers."""
    rows = [a_row(f"2024-01-01T0{hour}", value) for hour, value in enumerate(sent)]
    assert parse(an_answer(*rows)).observations["value"].to_pylist() == read


def test_an_absent_value_is_null() -> None:
    """A row without `value` gives a null."""
    row = a_row()
    del row["value"]
    assert parse(an_answer(row)).observations["value"].to_pylist() == [None]


@pytest.mark.parametrize("total", [2, "2"])
def test_the_total_may_be_a_string(total: Any) -> None:
    """`total` is read as an int and as a string."""
    page = parse(an_answer(a_row("2024-01-01T00"), a_row("2024-01-01T01"), total=total))
    assert (page.record_count, page.total) == (2, 2)


def test_no_rows_are_an_empty_page() -> None:
    """An answer with total "0" is a page without rows."""
    page = parse(an_answer())
    assert (page.record_count, page.total, page.observations.num_rows, list(page.next_requests)) == (0, 0, 0, [])


@pytest.mark.parametrize(
    ("route", "columns", "location", "variable"),
    [
        ("region-data", {"respondent": "ISNE", "type": "D"}, "ISNE", "demand"),
        ("region-data", {"respondent": "ISNE", "type": "DF"}, "ISNE", "demand_forecast_day_ahead"),
        ("region-data", {"respondent": "ISNE", "type": "NG"}, "ISNE", "net_generation"),
        ("region-data", {"respondent": "ISNE", "type": "TI"}, "ISNE", "net_interchange"),
        ("fuel-type-data", {"respondent": "CISO", "fueltype": "COL"}, "CISO", "generation_coal"),
        ("fuel-type-data", {"respondent": "CISO", "fueltype": "NG"}, "CISO", "generation_natural_gas"),
        ("fuel-type-data", {"respondent": "CISO", "fueltype": "OIL"}, "CISO", "generation_petroleum"),
        ("fuel-type-data", {"respondent": "CISO", "fueltype": "WAT"}, "CISO", "generation_hydro"),
        ("fuel-type-data", {"respondent": "CISO", "fueltype": "BAT"}, "CISO", "generation_bat"),
        ("interchange-data", {"fromba": "CISO", "toba": "WALC"}, "CISO>WALC", "interchange"),
        ("region-sub-ba-data", {"subba": "4001", "parent": "ISNE"}, "ISNE/4001", "demand"),
    ],
)
def test_names_are_those_of_the_registry(route: str, columns: dict[str, str], location: str, variable: str) -> None:
    """Route and codes give location and variable, also if the URL does not name the route."""
    for request in (eia.build_requests(an_entry(route), None)[0], Request("http://host/answer.json")):
        row = parse(an_answer(a_row(**columns)), an_entry(route), request).observations.to_pylist()[0]
        assert (row["source"], row["location"], row["variable"], row["unit"]) == ("eia", location, variable, "MWh")


def test_a_daily_route_is_refused() -> None:
    """Daily rows are refused, because they occur once per time zone."""
    with pytest.raises(FormatError, match=r"'2024-01-01' is not an hour"):
        parse(an_answer(a_row("2024-01-01")))


def test_another_unit_is_refused() -> None:
    """A row in another unit is refused."""
    with pytest.raises(FormatError, match="does not have the documented shape"):
        parse(an_answer({**a_row(), "value-units": "megawatts"}))


@pytest.mark.parametrize(
    "body", [b"<html>maintenance</html>", b'{"response": {"total": "3", "data": [', b"", b'{"a":' * 10_000]
)
def test_a_body_that_is_no_json_may_pass(body: bytes) -> None:
    """HTML with HTTP 200 and truncated JSON are upstream errors, which are retried."""
    with pytest.raises(UpstreamError, match="not JSON"):
        parse(body)


def test_a_byte_order_mark_is_passed_over() -> None:
    """JSON with a byte order mark is read."""
    assert parse(BOM + an_answer(a_row())).record_count == 1


def test_a_row_without_its_location_is_a_format_error() -> None:
    """An empty respondent is a format error."""
    with pytest.raises(FormatError, match="a row has no location"):
        parse(an_answer(a_row(), a_row(respondent=" ", type="D")))


def test_a_text_that_is_not_utf_8_may_pass() -> None:
    """Bytes that are not UTF-8 are an upstream error."""
    with pytest.raises(UpstreamError, match="not JSON"):
        parse(an_answer(a_row(respondent="ISNE", type="D")).replace(b"ISNE", b"ISN\xff"))


def test_a_total_beyond_reason_is_refused() -> None:
    """An impossible total is refused, because every page of it would be requested."""
    with pytest.raises(FormatError, match="grid: the answer says that there are 1,180,591,620,717,411,303,424 rows"):
        parse(an_answer(a_row(), total=2**70))


def test_a_body_of_another_shape_is_a_format_error() -> None:
    """JSON without `response` is a format error."""
    with pytest.raises(FormatError, match="missing required field `response`"):
        parse(b'{"request":{"command":"/v2/electricity"}}')
    with pytest.raises(FormatError, match="the answer does not have the documented shape"):
        parse(b'{"response":5,"error":')


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (
            {"error": {"code": "API_KEY_INVALID", "message": "An invalid api_key was supplied."}},
            CredentialsError,
            'API_KEY_INVALID: An invalid api_key was supplied. Check the credentials that "auth" names',
        ),
        ({"error": "Not found.", "code": 404}, ConfigurationError, '404: Not found. Correct "url" or "params"'),
        (
            {"error": {"code": "OVER_RATE_LIMIT", "message": "too many"}},
            QuotaError,
            'OVER_RATE_LIMIT: too many. Ask less often: lower the rates in "rate_limit"',
        ),
        ({"error": "Internal failure", "code": 500}, UpstreamError, "500: Internal failure. Try again later"),
        (
            {"error": "Something\n unexpected happened."},
            UpstreamError,
            "Something unexpected happened. Try again later",
        ),
        ({"error": {"detail": "x"}}, UpstreamError, '{"detail":"x"}. Try again later'),
        ({"error": {"code": None, "message": "y" * 999}}, UpstreamError, "y" * 300 + ". Try again later"),
        ({"error": ["a", 1]}, UpstreamError, "['a', 1]. Try again later"),
    ],
)
@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("rest", [{}, {"total": "0", "data": []}])
def test_an_error_under_http_200_is_told(
    error: dict[str, Any], kind: type[GridtideError], says: str, within: bool, rest: dict[str, Any]
) -> None:
    """An error with HTTP 200 is raised with EIA's text and a fix, even beside an empty list of rows."""
    document = {"response": {**error, **rest}} if within else {**error, **({"response": rest} if rest else {})}
    with pytest.raises(kind) as raised:
        parse(json.dumps(document).encode())
    assert str(raised.value) == f"grid: EIA answers an error instead of rows: {says}"


@pytest.mark.parametrize("text", ["null", "Null", "5", "1e3", "-0.5", "+5", "5.", " 5", "nan"])
def test_a_value_is_the_same_whatever_stands_beside_it(text: str) -> None:
    """A value is read the same beside values that are not valid JSON numbers."""
    alone, beside = (
        parse(an_answer(*rows)).observations["value"].to_pylist()[0]
        for rows in (
            [a_row(value=text)],
            [a_row(value=text), a_row("2024-01-01T01", ".306")],
        )
    )
    assert repr(alone) == repr(beside)


def test_an_unknown_route_says_which_there_are() -> None:
    """The message has the entry, the route, the columns, and the supported routes as fix."""
    row = {"period": "2024-01", "stateid": "MA", "sales": "1"}
    url = "https://api.eia.gov/v2/electricity/retail-sales/data/"
    with pytest.raises(ConfigurationError) as raised:
        parse(an_answer(row), request=Request(url))
    assert str(raised.value) == (
        'grid: "electricity/retail-sales" is not an hourly route of EIA\'s grid monitor: the columns of its rows are '
        "period, stateid, sales. Ask one of region-data, fuel-type-data, interchange-data, region-sub-ba-data "
        "under /v2/electricity/rto/"
    )


@pytest.mark.parametrize(
    ("row", "columns"), [({"period": "2024-01-01T00", "x": 1}, "period, x"), ([1], "none"), ({}, "none")]
)
def test_rows_of_no_route_are_the_fault_of_the_answer_where_the_url_names_none(row: Any, columns: str) -> None:
    """If the URL names no route, rows with unknown columns are a format error."""
    with pytest.raises(FormatError, match=rf"the answer belongs to no route .*: its columns are {columns}\. Ask one"):
        parse(an_answer(row), request=Request("http://host/answer.json"))


def test_a_period_is_asked_by_its_labels() -> None:
    """Interval starts [00:00, 03:00) are requested as the labels 01 to 03, as `end` is inclusive."""
    params = dict(eia.build_requests(an_entry(), hours(0, 3))[0].params)
    assert (params["start"], params["end"]) == ("2024-01-01T01", "2024-01-01T03")
    assert params["length"] == "5000"
    assert [params[f"sort[{n}][column]"] for n in range(3)] == ["period", "respondent", "type"]


def test_an_unpredictable_period_is_paged_by_offset() -> None:
    """Without a location facet, pages of 5,000 rows after the first are requested by offset."""
    entry = an_entry()
    first = eia.build_requests(entry, hours(0, 5000))
    assert len(first) == 1
    rows = [a_row(f"{datetime(2024, 1, 1) + timedelta(hours=h + 1):%Y-%m-%dT%H}") for h in range(5000)]
    page = parse(an_answer(*rows, total="12001"), entry, first[0])
    assert [request.offset for request in page.next_requests] == [5000, 10000]
    assert [dict(request.params)["offset"] for request in page.next_requests] == ["5000", "10000"]
    assert len({request.label for request in [*first, *page.next_requests]}) == 3


def test_a_predictable_period_is_asked_in_slices_that_touch() -> None:
    """2 locations × 2 types give slices of 1,250 hours, and the answer of the first leads to the others."""
    entry = an_entry(**{"facets[respondent][]": ["ISNE", "CISO"], "facets[type][]": ["D", "DF"]})
    first = eia.build_requests(entry, hours(0, 3000))
    assert [request.period for request in first] == [hours(0, 1250)]
    page = parse(an_answer(a_row("2024-01-01T01"), total="1"), entry, first[0])
    assert [request.period for request in page.next_requests] == [hours(1250, 2500), hours(2500, 3000)]
    assert {request.offset for request in page.next_requests} == {0}
    last = parse(an_answer(a_row("2024-02-22T03"), total="1"), entry, page.next_requests[0])
    assert list(last.next_requests) == []


def test_a_slice_with_more_rows_than_predicted_is_paged() -> None:
    """A slice with more rows than expected has another page, and no row is lost."""
    entry = an_entry("fuel-type-data", **{"facets[respondent][]": "ISNE"})
    first = eia.build_requests(entry, hours(0, 1000))[0]
    rows = [a_row("2024-01-01T01", respondent="ISNE", fueltype=f"F{n}") for n in range(5000)]
    page = parse(an_answer(*rows, total="5500"), entry, first)
    assert [(request.period, request.offset) for request in page.next_requests] == [
        (hours(0, 500), 5000),
        (hours(500, 1000), 0),
    ]


def test_an_upstream_that_ignores_the_slice_is_paged_by_offset_alone() -> None:
    """If rows lie outside the slice, the answer is paged by offset, and no other slice is requested."""
    entry = an_entry(**{"facets[respondent][]": "ISNE", "facets[type][]": "D"})
    first = eia.build_requests(entry, hours(0, 20000))[0]
    rows = [a_row(f"{datetime(2019, 1, 1) + timedelta(hours=h)}"[:13].replace(" ", "T")) for h in range(5000)]
    page = parse(an_answer(*rows, total="15000"), entry, first)
    assert [request.offset for request in page.next_requests] == [5000, 10000]


@needs_shared
@pytest.mark.parametrize(
    "path", sorted((SHARED / "payloads" / "eia").glob("*data_*_20*.json")) or [None], ids=lambda p: p and p.name
)
def test_recorded_answers_are_read_as_they_say(path: Any) -> None:
    """Every recorded answer gives the rows of a plain reading of its JSON."""
    said = json.loads(path.read_bytes())
    if "response" not in said:
        with pytest.raises((CredentialsError, ConfigurationError), match="EIA answers an error instead of rows"):
            parse(path.read_bytes())
        return
    expected = set()
    for row in said["response"]["data"]:
        end = datetime.fromisoformat(row["period"] + ":00+00:00")
        if "toba" in row:
            place, name = f"{row['fromba']}>{row['toba']}", "interchange"
        elif "fueltype" in row:
            place, name = (
                row["respondent"],
                "generation_" + eia.FUELS_BY_CODE.get(row["fueltype"], row["fueltype"].lower()),
            )
        else:
            place, name = row["respondent"], {"D": "demand"}[row["type"]]
        value = None if row.get("value") is None else float(row["value"])
        expected.add((end - timedelta(hours=1), end, place, name, value))
    page = parse(path.read_bytes(), request=Request("http://host/file/answer.json"))
    columns = ("interval_start", "interval_end", "location", "variable", "value")
    got = list(zip(*(page.observations[column].to_pylist() for column in columns), strict=True))
    assert len(got) == len(said["response"]["data"]) == page.record_count
    assert set(got) == expected
    assert page.total == int(said["response"]["total"])


@given(st.data())
def test_each_row_is_read_whatever_the_hours_have(data: st.DataObject) -> None:
    """All rows are read, whether all hours have the same series in the same order or not."""
    series = data.draw(
        st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from(["D", "NG"])), min_size=1, max_size=4)
    )
    labels = [f"2024-01-01T{hour:02d}" for hour in range(data.draw(st.integers(1, 5)))]
    asked = [(label, *one) for label in labels for one in series]
    kept = data.draw(
        st.one_of(
            st.just(asked),
            st.just(asked[:-1]),
            st.permutations(asked),
            st.integers(0, len(asked) - 1).map(lambda lost: asked[:lost] + asked[lost + 1 :]),
        )
    )
    rows = [a_row(label, str(n), respondent=place, type=kind) for n, (label, place, kind) in enumerate(kept)]
    table = parse(an_answer(*rows)).observations
    found = zip(*(table[name].to_pylist() for name in ("interval_end", "location", "variable", "value")), strict=True)
    names = {"D": "demand", "NG": "net_generation"}
    assert list(found) == [
        (datetime.fromisoformat(f"{label}:00+00:00"), place, names[kind], float(n))
        for n, (label, place, kind) in enumerate(kept)
    ]


@pytest.mark.parametrize(
    ("url", "params", "problem"),
    [
        (f"{BASE}/region-data/", {}, rf"url: lacks /data/, .*; use {BASE}/region-data/data/"),
        (f"{BASE}/fuel-type-data", {}, rf"url: lacks /data/, .*; use {BASE}/fuel-type-data/data/"),
        (f"{BASE}/region-data/data/", {"frequency": "local-hourly"}, r'params.frequency: is "local-hourly"'),
        (f"{BASE}/region-data/data/?frequency=local-hourly", {}, r'params.frequency: is "local-hourly"'),
    ],
)
def test_what_eia_does_not_answer_with_hours_is_refused_with_the_fix(
    url: str, params: dict[str, Any], problem: str
) -> None:
    """A route without /data/ and another frequency than hourly are refused before any request, and the fix works."""
    api = {"name": "grid", "url": url, "output_folder": "grid", "params": params}
    with pytest.raises(ConfigurationError, match=problem):
        loading.parse({"apis": [api]})
    corrected = {"url": f"{BASE}/region-data/data/", "params": {"frequency": "hourly"}}
    assert loading.parse({"apis": [api | corrected]}).apis
    assert loading.parse({"apis": [api | {"format": "json"}]}).apis
