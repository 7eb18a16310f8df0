"""Answers that are one page of several are recognised, whatever they call it."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from gridtide.config.loading import parse
from gridtide.entries.entry import Entry
from gridtide.errors import FormatError, IncompleteError, QuotaError, UpstreamError
from gridtide.sources import generic
from gridtide.sources.contract import Page, Request, Response

AT = datetime(2026, 2, 1, tzinfo=UTC)
RECORDS = [{"time": f"2026-01-10T0{hour}:00Z", "mw": hour} for hour in range(2)]


def read(fields: dict[str, Any], **keys: Any) -> Page:
    """The page with two records and these fields beside them."""
    return read_body(msgspec.json.encode({"data": RECORDS, **fields}), **keys)  # `fields` may have other records


def read_body(body: bytes, **keys: Any) -> Page:
    """The page of `body`."""
    api = {"name": "load", "url": "https://grid.example/load", "output_folder": "load", "source": "generic"}
    api |= {"records": "data", "time": "time", "value": "mw"} | keys
    entry = parse({"apis": [{key: value for key, value in api.items() if value is not None}]}).apis[0]
    return generic.parse_response(entry, Request(entry.url), Response(body, datetime(2026, 2, 1, tzinfo=UTC)))


@pytest.mark.parametrize(
    ("fields", "fix"),
    [
        ({"@odata.nextLink": "https://grid.example/load?$skip=2"}, r'"next": "\\"@odata.nextLink\\""'),
        ({"nextPageUrl": "/load?page=2"}, '"next": "nextPageUrl"'),
        ({"paging": {"next_page_link": "/load?page=2"}}, '"next": "paging.next_page_link"'),
        ({"hasMore": True}, '"offset": "offset", "limit": \\["limit", 2\\]'),
        ({"meta": {"has_next_page": "true"}}, '"offset": "offset"'),
        ({"isTruncated": True}, '"offset": "offset"'),
        ({"exceededTransferLimit": True}, '"offset": "offset"'),
        ({"d": {"__next": "https://grid.example/load?$skiptoken=2"}}, '"next": "d.__next"'),
        ({"nextPageToken": "a2"}, '"cursor": "nextPageToken", "param": "pageToken"'),
        ({"count": 500}, '"total": "count"'),
        ({"more": True}, '"offset": "offset"'),
        ({"numFound": 50}, '"total": "numFound"'),
        ({"nhits": 400, "parameters": {"rows": 2}}, '"total": "nhits"'),
        ({"recordsTotal": 57}, '"total": "recordsTotal"'),
        ({"hits": {"total": {"value": 50}}}, '"total": "hits.total.value"'),
        ({"meta": {"pagination": {"page": 1, "totalPages": 3}}}, '"last": "meta.pagination.totalPages"'),
        ({"matched": "3"}, '"total": "matched"'),
        ({"meta": {"result_count": "480"}}, '"total": "meta.result_count"'),
        ({"@odata.count": 480}, r'"offset": "\$skip", "limit": \["\$top", 2\], "total": .*@odata.count'),
        ({"d": {"__count": "480"}}, r'"limit": \["\$top", 2\], "total": "d.__count"'),
        ({"rowCount": 480}, '"total": "rowCount"'),
        ({"meta": {"of": 480, "to": 2}}, '"total": "meta.of"'),
        ({"page": 1, "of": 3}, '"page": "page", "last": "of"'),
        ({"total": "1,480 records"}, '"total": "total"'),
        ({"numberOfPages": "3"}, '"last": "numberOfPages"'),
        ({"page": {"number": 0, "totalPages": 3}}, '"last": "page.totalPages", "first": 0'),
        ({"page": "Page 1 of 3"}, '"page": "page", "last": "page"'),
        ({"pagination": {"text": "1/3"}}, '"last": "pagination.text"'),
        ({"range": "0-1/480"}, '"total": "range"'),
        ({"message": "Showing 1 to 2 of 1,480 entries"}, '"total": "message"'),
        ({"message": "2 of 480 records"}, '"total": "message"'),
        ({"message": "Results 1 - 2 of 480"}, '"total": "message"'),
        ({"shown": "2 of 480"}, '"total": "shown"'),
        ({"notice": "The output was cut off"}, '"offset": "offset"'),
        ({"remaining": 7}, '"offset": "offset"'),
        ({"info": {"records_left": "7"}}, '"offset": "offset"'),
        ({"complete": False}, '"offset": "offset"'),
        ({"last": False, "page": 0}, '"page": "page", "last": "last != `false`", "first": 0'),
        ({"meta": {"hasMore": "yes", "pageNo": 1}}, '"page": "pageNo", "last": "meta.hasMore != `.*yes.*`"'),
        ({"more": 1}, '"offset": "offset"'),
        ({"next": True}, '"offset": "offset"'),
        ({"incomplete_results": True}, '"offset": "offset"'),
        ({"warnings": ["Result truncated at 2 rows"]}, '"offset": "offset"'),
        ({"notice": "Limited to 2 rows"}, '"offset": "offset"'),
        ({"nextPage": 2, "page": 1}, '"cursor": "nextPage", "param": "page"'),
        ({"next_offset": "2"}, '"cursor": "next_offset", "param": "offset"'),
        ({"nextMarker": "a2"}, '"cursor": "nextMarker", "param": "marker"'),
        ({"cursor": "a2"}, '"cursor": "cursor", "param": "cursor"'),
        ({"pageInfo": {"hasNextPage": True, "endCursor": "a2"}}, '"cursor": "pageInfo.endCursor", "param": "after"'),
    ],
)
def test_an_answer_that_says_that_there_is_more_is_incomplete(fields: dict[str, Any], fix: str) -> None:
    """The error proposes how to ask for the next page; `single` reads it as it is."""
    with pytest.raises(IncompleteError, match=f"is one page of several: .*{fix}"):
        read(fields)
    assert read(fields, pages={"single": True}).observations.num_rows == 2


@pytest.mark.parametrize("records", [1, 2, 7, 24, 100])
@pytest.mark.parametrize("holder", ["", "meta", "response"])
def test_a_total_above_the_records_is_their_number_unless_it_is_their_sum(records: int, holder: str) -> None:
    """Wherever it stands, and however many records came; the sum of what they hold, rounded, says nothing of pages."""
    rows = [{"time": 1768003200 + 3600 * hour, "mw": 1000.25 + hour} for hour in range(records)]
    total = round(sum(row["mw"] for row in rows))
    assert read({"data": rows, "total": total}).observations.num_rows == records
    for more in (total + 4000, records + 1):
        fields = {holder: {"total": more}} if holder else {"total": more}
        with pytest.raises(IncompleteError, match=f'"total": "{holder + "." if holder else ""}total"'):
            read({"data": rows, **fields})
        assert read({"data": rows, **fields}, pages={"single": True}).observations.num_rows == records


@pytest.mark.parametrize("fields", [{"total": 400}, {"meta": {"total": "400"}}, {"totalCount": 400}, {"count": 3}])
def test_an_answer_without_records_that_counts_some_is_incomplete(fields: dict[str, Any]) -> None:
    """It is no answer that there are none."""
    with pytest.raises(IncompleteError, match="0 came"):
        read({"data": [], **fields})


def test_the_last_page_must_have_brought_all_records() -> None:
    """Pages by address or cursor that end before the total is reached are incomplete."""
    for pages in ({"next": "next"}, {"cursor": "cursor", "param": "cursor"}, {"link": True}):
        with pytest.raises(IncompleteError, match='no page follows, but "total" says 5 records'):
            read({"total": 5}, pages=pages)
        assert read({"total": 2}, pages=pages).observations.num_rows == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"error": "quota exceeded"},
        {"success": False, "message": "Rate limit exceeded"},
        {"status": "error", "reason": "backend"},
        {"statusCode": 503},
        {"code": "500", "message": "oops"},
        {"meta": {"errors": [{"detail": "timeout"}]}},
        {"error": {"code": 17}},
        {"error": 17},
        {"response": {"status": "FAILED"}},
        {"status": "partial"},
        {"status": "PARTIAL_CONTENT"},
        {"ok": "false"},
        {"resultCode": "22", "resultMsg": "LIMITED NUMBER OF REQUESTS"},
    ],
)
def test_an_answer_that_says_that_it_is_an_error_is_one(fields: dict[str, Any]) -> None:
    """Also with an empty list of records or with null instead of it, and for XML; it is retried and never stored."""
    answers: list[Any] = [[], None]
    for records in answers:
        with pytest.raises((UpstreamError, QuotaError, IncompleteError), match="says that it is an error") as refused:
            read({"data": records, **fields})
        assert refused.value.retryable
    if not any(str(value).isdecimal() for value in fields.values()):  # a number beside records may mean anything
        with pytest.raises((UpstreamError, QuotaError, IncompleteError), match="says that it is an error"):
            read(fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"error": None},
        {"error": False, "errors": []},
        {"error": "", "message": "fetched"},
        {"errors": {}, "success": True, "status": "ok"},
        {"status": 200, "code": "0", "state": "final"},
        {"success": False, "message": "No data for this period"},
        {"error": "no matching records"},
        {"warning": "preliminary"},
        {"resultCode": "00", "resultMsg": "NORMAL SERVICE."},
        {"resultCode": "03", "resultMsg": "NODATA_ERROR"},
        {"returnCode": 200},
    ],
)
def test_an_answer_without_records_that_says_no_error_is_empty(fields: dict[str, Any]) -> None:
    """Fields that are empty, and messages that there is nothing, are an answer."""
    assert read({"data": [], **fields}).observations.num_rows == 0


def test_a_record_of_its_own_may_have_an_error() -> None:
    """The error of a forecast, or the status of a meter, is a column of the record."""
    body = {"time": "2026-01-10T00:00Z", "mw": 5, "error": 12.5, "status": "failed"}
    assert read_body(msgspec.json.encode(body), records=None).observations.num_rows == 1
    columns = {"time": ["2026-01-10T00:00Z"], "mw": [5], "error": [12.5]}
    assert read_body(msgspec.json.encode(columns), records=None, layout="columns").observations.num_rows == 1


@pytest.mark.parametrize(
    ("around", "fix"),
    [
        ("<next>https://grid.example/load?page=2</next>", '"next": "next"'),
        ("<paging><nextPage>/load?page=2</nextPage></paging>", '"next": "paging.nextPage"'),
        ("<total>400</total>", '"total": "total"'),
        ('<meta total="400"/>', '"total": "meta.total"'),
        ("<hasMore>true</hasMore>", '"offset": "offset"'),
    ],
)
def test_xml_says_that_there_is_more_as_json_does(around: str, fix: str) -> None:
    """Elements and attributes around the records are looked at; the proposed `pages` follow them."""
    rows = "".join(f"<row><time>{row['time']}</time><mw>{row['mw']}</mw></row>" for row in RECORDS)
    body = f"<r>{around}<rows>{rows}</rows></r>".encode()
    with pytest.raises(IncompleteError, match=f"is one page of several: .*{fix}") as refused:
        read_body(body, records="row")
    pages = msgspec.json.decode(re.search(r'"pages": (\{.*?\})', refused.value.fix)[1])  # type: ignore[index]
    [following] = read_body(body, records="row", pages=pages).next_requests
    assert following.label == "the answer page 2" or following.label.endswith("page 2")


@pytest.mark.parametrize(
    ("unit", "is_page"), [("items 0-1/57", True), ("items 0-1/2", False), ("bytes 0-99/5700", False)]
)
def test_a_range_of_records_in_the_header_is_one_page(unit: str, is_page: bool) -> None:
    """A range of bytes says nothing of records."""
    entry = parse({"apis": [{"name": "load", "url": "https://grid.example/load", "output_folder": "load"}]}).apis[0]
    response = Response(msgspec.json.encode(RECORDS), datetime(2026, 2, 1, tzinfo=UTC), headers={"content-range": unit})
    if not is_page:
        assert generic.parse_response(entry, Request(entry.url), response).record_count == 2
        return
    with pytest.raises(IncompleteError, match="Content-Range says 57 records, 2 came"):
        generic.parse_response(entry, Request(entry.url), response)


def test_an_error_deep_in_a_document_is_one() -> None:
    """Whatever stands beside it; without data there is nothing to be retried."""
    body = (
        b"<Report><Header><Source>X</Source></Header><Payload><RTO><name>X</name><ERROR><ERR_CODE>1004</ERR_CODE>"
        b"<ERR_DESC>%s</ERR_DESC></ERROR></RTO></Payload></Report>"
    )
    with pytest.raises(UpstreamError, match=r"says that it is an error: .*No such report"):
        read_body(body % b"No such report", records=None, value=None)
    with pytest.raises(FormatError, match="no record has a column time"):
        read_body(body % b"No data returned", records=None, value=None)


@pytest.mark.parametrize("records", ["", "<row/>"])
def test_xml_that_says_that_it_is_an_error_is_one(records: str) -> None:
    """An element with an error beside an empty list is no answer that there is nothing."""
    body = f"<r><status>error</status><message>quota exceeded</message><rows>{records}</rows></r>".encode()
    with pytest.raises((QuotaError, FormatError), match=r"quota exceeded|no record has a column"):
        read_body(body, records="rows.row")


def test_pages_by_offset_without_a_total_end_with_a_short_page() -> None:
    """A page that is full has a next one, which begins behind it."""
    pages = {"offset": "skip", "limit": ["take", 2]}
    [following] = read({"hasMore": True}, pages=pages).next_requests
    assert dict(following.params)["skip"] == "2"
    assert read({"data": RECORDS[:1]}, pages=pages).next_requests == ()


@pytest.mark.parametrize(
    "fields",
    [
        {"@odata.nextLink": None, "nextPageUrl": ""},
        {"hasMore": False, "isTruncated": "false", "more_data": None},
        {"count": 2, "matched": 1},
        {"total": None},
        {"next_update": "/soon", "next_run": "2026-01-10T02:00Z"},
        {"area": {"count": 500}},
        {"page": "Page 3 of 3", "pageNumber": 3, "remaining": 0},
        {"complete": True, "last": "true", "incomplete": False, "more": 0},
        {"hasMore": False, "next_cursor": "a2", "nextPage": 2},
        {"page": 2, "nextPage": 2, "next_offset": 0, "next_marker": None, "next": -1, "cursor": ""},
        {"rateLimit": {"limit": 5000, "remaining": 4998}, "requests_remaining": 7},
        {"remaining": 4998, "reset": 1768003200},
        {"next": "2026-01-11", "of": "Germany", "overflow": 7, "remaining": 7.5},
        {"unit": {"complete": False, "remaining": 7, "of": 9, "text": "2 of 3 records"}},
        {"message": "Unit 2 of 3 is out", "date": "01/02/2026", "period": "01-02/2026", "day": "2026-01-10"},
        {"message": "Values are limited to 2 decimals", "range": "1-2/2", "showing": "2 of 2 records"},
        {"searchSpecification": {"rowCount": 50000, "startRow": 1}},
        {"state": "2 of 3 units are out", "note": "units 1-2 of 4", "remark": "data truncated to whole MW"},
    ],
)
def test_an_answer_that_says_nothing_of_the_kind_is_whole(fields: dict[str, Any]) -> None:
    """A last page, a sum called total, a count of something else, and other things that come next."""
    assert read(fields).observations.num_rows == 2


def test_a_list_of_a_description_and_records_says_that_there_is_more() -> None:
    """As of the World Bank, whose answers begin with an object that describes them."""
    with pytest.raises(IncompleteError, match=r'"last": "\[0\].pages"') as refused:
        read_body(msgspec.json.encode([{"page": 1, "pages": 3}, RECORDS]), records="[1]")
    assert len(_follow(refused.value, msgspec.json.encode([{"page": 1, "pages": 3}, RECORDS]), records="[1]")) == 1


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ({"page": "Page 1 of 2"}, {"page": "Page 2 of 2"}),
        ({"page": 1, "hasMore": True}, {"page": 2, "hasMore": False}),
        ({"pageNo": 1, "isLast": "no"}, {"pageNo": 2, "isLast": "yes"}),
        ({"page": 1, "of": 2}, {"page": 2, "of": 2}),
        ({"showing": "1-2 of 4"}, {"showing": "3-4 of 4"}),
        ({"total": "4 records"}, {"total": "4 records"}),
        ({"next": 2}, {"next": None}),
        ({"cursor": "a2"}, {"cursor": ""}),
        ({"remaining": 2}, {"remaining": 0}),
        ({"complete": False}, {"complete": True}),
    ],
)
def test_the_proposed_pages_are_requested_until_the_last(first: dict[str, Any], last: dict[str, Any]) -> None:
    """With the key that the message proposes, the first page has a next one, and that is the last."""
    body = msgspec.json.encode({"data": RECORDS, **first})
    with pytest.raises(IncompleteError, match="is one page of several") as refused:
        read_body(body)
    [following] = _follow(refused.value, body)
    keys = {"records": "data", "time": "time", "value": "mw", "pages": _read_pages(refused.value)}
    records = RECORDS if "complete" not in last and "remaining" not in last else RECORDS[:1]
    final = Response(msgspec.json.encode({"data": records, **last}), datetime(2026, 2, 1, tzinfo=UTC))
    assert generic.parse_response(_build_entry(keys), following, final).next_requests == ()


@pytest.mark.parametrize(
    ("fields", "pages"),
    [
        ({"links": {"next": "/load?page=2"}}, {"next": "links.nxt"}),
        ({"next_cursor": "a2"}, {"cursor": "cursors.next", "param": "cursor"}),
        ({"hasMore": True}, {"next": "next"}),
        ({"remaining": 7}, {"link": True}),
        ({"truncated": True}, {"offset": "offset", "limit": ["limit", 1000]}),
    ],
)
def test_pages_that_end_where_the_answer_goes_on_are_incomplete(fields: dict[str, Any], pages: dict[str, Any]) -> None:
    """A path that leads nowhere, and an upstream that answers fewer records than the limit, lose records."""
    with pytest.raises(IncompleteError, match=r'no page follows, but .*Correct "pages"'):
        read(fields, pages=pages)


@pytest.mark.parametrize("pages", [None, {"link": True}, {"offset": "offset", "limit": ["limit", 1000]}])
@pytest.mark.parametrize(
    ("name", "text"), [("x-total-count", "480"), ("x-total", "480"), ("total-count", "1,480"), ("x-has-more", "true")]
)
def test_a_header_says_that_there_is_more(name: str, text: str, pages: dict[str, Any] | None) -> None:
    """Also on the last of pages; a quota that remains says nothing of them."""
    entry = _build_entry({"records": "data", "time": "time", "value": "mw"} | ({"pages": pages} if pages else {}))
    body = msgspec.json.encode({"data": RECORDS})
    with pytest.raises(IncompleteError, match=r"(?i)x?-?(total|has-more).* (says [\d]+ records, 2 came|is true)"):
        generic.parse_response(entry, Request(entry.url), Response(body, AT, headers={name: text}))
    whole = Response(body, AT, headers={"x-total-count": "2", "x-ratelimit-remaining": "7", "x-total-time": "90"})
    assert generic.parse_response(entry, Request(entry.url), whole).record_count == 2


def test_headers_with_numbers_of_pages_say_that_there_is_more() -> None:
    """As GitLab's and WordPress', and pagination as JSON."""
    entry = _build_entry({"records": "data", "time": "time", "value": "mw"})
    for name, text in (("x-total-pages", "3"), ("x-wp-totalpages", "3"), ("x-pagination", '{"totalCount": 480}')):
        response = Response(msgspec.json.encode({"data": RECORDS}), AT, headers={name: text})
        with pytest.raises(IncompleteError, match="is one page of several"):
            generic.parse_response(entry, Request(entry.url), response)


def _build_entry(keys: dict[str, Any]) -> Entry:
    api = {"name": "load", "url": "https://grid.example/load", "output_folder": "load", "source": "generic"}
    return parse({"apis": [api | keys]}).apis[0]


def _read_pages(error: IncompleteError) -> dict[str, Any]:
    """The `pages` that the message proposes."""
    pages, _ = json.JSONDecoder().raw_decode(error.fix, error.fix.index("{"))
    return dict(pages)


def _follow(error: IncompleteError, body: bytes, **keys: Any) -> Sequence[Request]:
    """The requests that follow `body` with the `pages` that the message proposes."""
    return read_body(body, **keys, pages=_read_pages(error)).next_requests


@pytest.mark.parametrize(
    "document", [{"code": 429, "message": "Too many requests"}, [{"errorMessage": "Invalid token"}]]
)
@pytest.mark.parametrize("records", ["data", None])
def test_an_error_without_any_list_of_records_is_one(document: Any, records: str | None) -> None:
    """Where the records are not found, what the answer says of its error counts, and it is retried."""
    with pytest.raises((UpstreamError, QuotaError), match="says that it is an error") as refused:
        read_body(msgspec.json.encode(document), records=records)
    assert refused.value.retryable


@pytest.mark.parametrize("keys", [{"params": {"rowCount": 2}}, {"url": "https://grid.example/load?$limit=2"}])
def test_an_answer_as_long_as_the_limit_of_its_request_is_warned_of(keys: dict[str, Any]) -> None:
    """There may be more, which nobody would notice; a total, `single` and a higher limit say that it is whole."""
    (beyond,) = _list_warnings({}, **keys)
    assert beyond == "records beyond a limit, if the upstream has any"
    assert not _list_warnings({"total": 2}, **keys)
    assert not _list_warnings({}, pages={"single": True}, **keys)
    assert not _list_warnings({}, params={"limit": 3})


def _list_warnings(fields: dict[str, Any], **keys: Any) -> list[str]:
    """What a run warns of, of the two records with `fields` beside them, requested by the entry's own parameters."""
    api = {"name": "load", "url": "https://grid.example/load", "output_folder": "load", "source": "generic"}
    api |= {"records": "data", "time": "time", "value": "mw"} | keys
    entry = parse({"apis": [api]}).apis[0]
    body = msgspec.json.encode({"data": RECORDS, **fields})
    [request] = generic.build_requests(entry, None)
    page = generic.parse_response(entry, request, Response(body, datetime(2026, 2, 1, tzinfo=UTC)))
    return [counted.reason for counted in page.skipped if not counted.expected]
