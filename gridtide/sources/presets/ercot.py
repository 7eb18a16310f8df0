"""What the preset of ERCOT does not say: its archive lists documents, which are then downloaded one by one.

    …/archive/np4-190-cd?postDatetimeFrom=…   ──►  {"archives": [{"docId": 1014…, …}, …]}
    …/archive/np4-190-cd?download=1014…       ──►  a zip of a CSV, or a zip of such zips

The CSVs have other names of columns than the API, which the preset gives as alternatives.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from gridtide.entries.table_layout import Csv
from gridtide.errors import FormatError, IncompleteError, UpstreamError
from gridtide.periods import Period
from gridtide.sources import generic
from gridtide.sources.contract import BOM, Page, Request, Response
from gridtide.sources.formats.paging import PageContent, request_next_page

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry

AROUND = timedelta(days=1)
"""Documents about a day are posted on the day before, on itself, or on the next day."""


POSTED_FROM = "postedDatetimeFrom"
"""The parameter of reports whose periods are those of their postings, as those of the documents are."""


def build_requests(entry: Entry, period: Period | None) -> list[Request]:
    """Returns the requests of the API for what it holds, and of the list of documents for what is older."""
    if period is None:
        return generic.build_requests(entry, None)
    requests: list[Request] = []
    is_posted = POSTED_FROM in entry.params
    for described, part in generic.split_at_archive(entry, period, datetime.now(UTC)):
        if "/archive/" in described.url:
            around = part if is_posted else Period(part.start - AROUND, part.end + AROUND)
            listing = msgspec.structs.replace(described, locations=())
            requests += [
                replace(request, period=part, whole_period=part, label=f"archive {part}")
                for request in generic.request_part(listing, around)
            ]
        else:
            requests += generic.request_part(described, part)
    return requests


def parse_response(entry: Entry, request: Request, response: Response) -> Page:
    """Parses a page of the API, a list of documents, whose downloads follow, or a document."""
    is_json = response.body[:100].removeprefix(BOM).lstrip()[:1] in (b"{", b"[")
    if not is_json or "download" in dict(request.params):
        document = msgspec.structs.replace(entry, layout="records", records=None, pages=None, csv=Csv())
        return generic.parse_response(document, request, response)
    if "/archive/" in request.url:
        return _parse_listing(entry, request, response)
    return generic.parse_response(entry, request, response)


def _parse_listing(entry: Entry, request: Request, response: Response) -> Page:
    """Returns a page without observations, with a request for each document of the list."""
    try:
        listing: Any = json.loads(response.body)
    except ValueError as error:
        raise UpstreamError(entry.name, f"the list of documents is cut or broken: {error}") from error
    documents = listing.get("archives") if isinstance(listing, dict) else None
    _refuse_short_listing(entry, listing, documents)
    if not isinstance(documents, list) or not all("docId" in document for document in documents):
        raise FormatError(entry.name, 'the list of documents has no "archives" with "docId"')
    content = PageContent(listing, len(documents), response.headers)
    pages = entry.pages and msgspec.structs.replace(entry.pages, total=None)
    next_pages, _ = request_next_page(entry.name, request, pages, content)
    downloads = [
        replace(
            request, params=(("download", str(document["docId"])),), label=f"document {document['docId']}", offset=0
        )
        for document in documents
    ]
    from gridtide.observations.table import empty

    return Page(empty(), 0, next_requests=[*next_pages, *downloads])


def _refuse_short_listing(entry: Entry, listing: Any, documents: Any) -> None:
    """Raises `IncompleteError` if a list on a single page has another number of documents than it declares."""
    counts = listing.get("_meta") if isinstance(listing, dict) else None
    if not isinstance(counts, dict) or not isinstance(documents, list) or counts.get("totalPages") != 1:
        return
    total = counts.get("totalRecords")
    if total is not None and total != len(documents):
        happened = f"the list of documents has {len(documents)} of the {total} that it declares"
        raise IncompleteError(entry.name, happened, "Try again")
