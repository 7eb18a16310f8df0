"""Answers that are one page of several are recognised, whatever they call it."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from gridtide.config.loading import parse
from gridtide.errors import IncompleteError
from gridtide.sources import generic
from gridtide.sources.contract import Page, Request, Response

RECORDS = [{"time": f"2026-01-10T0{hour}:00Z", "mw": hour} for hour in range(2)]


def read(fields: dict[str, Any], **keys: Any) -> Page:
    """The page with two records and these fields beside them."""
    api = {"name": "load", "url": "https://grid.example/load", "output_folder": "load", "source": "generic"}
    entry = parse({"apis": [api | {"records": "data", "time": "time", "value": "mw"} | keys]}).apis[0]
    body = msgspec.json.encode({"data": RECORDS, **fields})  # `fields` may have other records
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
        ({"matched": "3"}, '"total": "matched"'),
    ],
)
def test_an_answer_that_says_that_there_is_more_is_incomplete(fields: dict[str, Any], fix: str) -> None:
    """The error proposes how to ask for the next page; `single` reads it as it is."""
    with pytest.raises(IncompleteError, match=f"is one page of several: .*{fix}"):
        read(fields)
    assert read(fields, pages={"single": True}).observations.num_rows == 2


@pytest.mark.parametrize(("records", "is_page"), [(2, False), (5, True), (24, False), (100, True)])
def test_a_total_beside_as_many_records_as_pages_have_is_their_number(records: int, is_page: bool) -> None:
    """Beside another number of records it may be a sum."""
    rows = [{"time": 1768003200 + 3600 * hour, "mw": hour} for hour in range(records)]
    if not is_page:
        assert read({"data": rows, "total": 26_723}).observations.num_rows == records
        return
    with pytest.raises(IncompleteError, match='"total": "total"'):
        read({"data": rows, "total": 26_723})


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
        {"total": 26_723},
        {"next_update": "/soon", "next_run": "2026-01-10T02:00Z"},
        {"area": {"count": 500}},
    ],
)
def test_an_answer_that_says_nothing_of_the_kind_is_whole(fields: dict[str, Any]) -> None:
    """A last page, a sum called total, a count of something else, and other things that come next."""
    assert read(fields).observations.num_rows == 2
