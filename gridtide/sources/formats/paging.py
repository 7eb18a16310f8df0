"""Paged responses: how the next page is requested, and signs of further pages that the entry does not request."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from gridtide.entries.table_layout import Pages
from gridtide.errors import FormatError, IncompleteError
from gridtide.sources.contract import Request

COUNT_FIELDS = re.compile(r"(?i)(total|matched|count|records|rows|results|items)")
"""Names of fields that may be the number of records."""

SURE_COUNTS = re.compile(
    r"(?i)(total_?(records|count|rows|results|items|hits|elements)|number_?matched|record_?count|records_?total)"
)
"""Names of fields that certainly are the number of records."""

SUREST = ("next", "cursor", "page", "offset")
"""Ways of paging, the most certain first."""

BARE_COUNTS = frozenset({"count", "matched"})
"""Names of fields that are the number of records if they are beside the list of them. A `total` may be a sum, unless
the records are as many as pages usually have: a multiple of `PAGE_STEP`."""

PAGE_STEP = 5

NEXT_FIELDS = re.compile(r"(?i)(@?\w+\.)?_*next(_?(page|records|url|uri|link|href))*")
"""Names of fields with the address of the next page, such as `@odata.nextLink`."""

MORE_FIELDS = re.compile(
    r"(?i)(has_?(more|next)(_?(page|pages|records|results|data))?|(is_?)?truncated|more_?(data|records)"
    r"|exceeded_?transfer_?limit)"
)
"""Names of fields that are true if there are more records."""

PAGE_COUNTS = re.compile(r"(?i)(total_?pages|page_?count|last_?page|num_?pages|pages)")
PAGE_FIELDS = re.compile(
    r"(?i)(limit|offset|page(_?(size|number|no))?|per_?page|current_?page|next\w*|start_?row|skip|rows_?per_?page)"
)
"""Names of fields beside a count in paged responses."""


@dataclass(frozen=True)
class PageContent:
    """One page: its JSON, None if it is anything else, its number of records, and its headers."""

    document: Any
    records: int
    headers: Mapping[str, str]


def request_first_page(request: Request, pages: Pages | None) -> Request:
    """Returns `request` for the first page."""
    if pages is None:
        return request
    if pages.offset is not None and pages.limit is not None:
        name, limit = pages.limit
        return set_param(set_param(request, name, str(limit)), pages.offset, str(pages.first or 0))
    if pages.page is not None and _get_param(request, pages.page) is None:
        return set_param(request, pages.page, str(_get_first_number(pages)))
    return request


def _get_first_number(pages: Pages) -> int:
    """Returns the number of the first page."""
    return 1 if pages.first is None else pages.first


def request_next_page(
    entry: str, request: Request, pages: Pages | None, content: PageContent
) -> tuple[list[Request], int | None]:
    """Returns the requests for the page after `request`, and the number of records that the upstream reports, or None.

    Raises `IncompleteError` if there are more pages and `pages` does not describe them.
    """
    if pages is None:
        _refuse_more(entry, request, content)
        return [], None
    total = _read_total(entry, pages, content)
    following = _list_following(entry, request, pages, content, total)
    number = int(re.search(r"page (\d+)$", request.label)[1]) if " page " in request.label else 1  # type: ignore[index]
    label = f"{request.label.rpartition(' page ')[0] or request.label} page {number + 1}"
    offset = request.offset + content.records
    return [replace(page, label=label, offset=offset) for page in following], total


def _list_following(
    entry: str, request: Request, pages: Pages, content: PageContent, total: int | None
) -> Iterator[Request]:
    received = request.offset + content.records
    if pages.next is not None:
        yield from _request_address(request, _search(content.document, pages.next))
    elif pages.link:
        yield from _request_address(request, find_next_link(content.headers.get("link", "")))
    elif pages.page is not None and pages.last is not None:
        last_page = _read_number(entry, "pages.last", pages.last, content.document)
        page_number = int(_get_param(request, pages.page) or _get_first_number(pages))
        if page_number < last_page + _get_first_number(pages) - 1:
            yield set_param(request, pages.page, str(page_number + 1))
    elif pages.offset is not None and pages.limit is not None:
        expects_more = content.records >= pages.limit[1] if total is None else received < total
        if expects_more and content.records:
            yield set_param(request, pages.offset, str(received + (pages.first or 0)))
    elif pages.cursor is not None and pages.param is not None:
        cursor = _search(content.document, pages.cursor)
        if cursor not in (None, "", False) and str(cursor) != _get_param(request, pages.param):
            yield set_param(request, pages.param, str(cursor))


def _request_address(request: Request, address: Any) -> Iterator[Request]:
    """Yields the request for the page at `address`, if that is an address."""
    if isinstance(address, str) and address.strip():
        url = urljoin(request.url, address.strip())
        if (url, ()) != (request.url, request.params):
            yield replace(request, url=url, params=())


def _read_total(entry: str, pages: Pages, content: PageContent) -> int | None:
    return None if pages.total is None else _read_number(entry, "pages.total", pages.total, content.document)


def _read_number(entry: str, key: str, path: str, document: Any) -> int:
    field_value = _search(document, path)
    try:
        return int(field_value)
    except (TypeError, ValueError) as error:
        happened = f'{key}: "{path}" leads to {json.dumps(field_value)[:80]}, which is not a number'
        raise FormatError(entry, happened, f'Correct "{key}"') from error


def _search(document: Any, path: str) -> Any:
    import jmespath

    return jmespath.search(path, document)


def _get_param(request: Request, name: str) -> str | None:
    """Returns the value of the parameter `name` of `request`."""
    url_params = dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))
    return dict(request.params).get(name, url_params.get(name))


def set_param(request: Request, name: str, value: str) -> Request:
    """Returns `request` with the parameter `name` set to `value`, replacing it wherever it was."""
    url_parts = urlsplit(request.url)
    query_pairs = parse_qsl(url_parts.query, keep_blank_values=True)
    url = request.url
    if any(key == name for key, _ in query_pairs):
        url = urlunsplit(url_parts._replace(query=urlencode([pair for pair in query_pairs if pair[0] != name])))
    params = tuple(pair for pair in request.params if pair[0] != name)
    return replace(request, url=url, params=(*params, (name, value)))


def find_next_link(header: str) -> str | None:
    """Returns the address of the next page in a Link header.

    >>> find_next_link('<https://grid.example/load?page=2>; rel="next"')
    'https://grid.example/load?page=2'
    """
    for match in re.finditer(r"<([^>]*)>([^<]*)", header):
        if re.search(r"""rel\s*=\s*["']?[^"';,]*\bnext\b""", match[2]):
            return match[1]
    return None


def _refuse_more(entry: str, request: Request, content: PageContent) -> None:
    """Raises if a response says that there are more records."""
    if find_next_link(content.headers.get("link", "")):
        raise _build_incomplete(entry, request, "its Link header names a next page", {"link": True})
    total_count = content.headers.get("x-total-count", "")
    if total_count.isdecimal() and int(total_count) > content.records:
        raise _build_incomplete(
            entry, request, f"X-Total-Count says {total_count} records, {content.records} came", {"link": True}
        )
    signs = [
        sign
        for path, fields in _list_objects(content.document)
        for name, value in fields.items()
        if (sign := _find_sign(path, name, value, fields, content.records)) is not None
    ]
    if signs:
        raise _build_incomplete(entry, request, *min(signs, key=lambda sign: SUREST.index(next(iter(sign[1])))))


def _list_objects(document: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields the object of a response, and the objects in it that may describe pages, each with its path."""
    if isinstance(document, dict):
        yield "", document
        for name, value in document.items():
            if isinstance(value, dict):
                yield f"{_quote_name(name)}.", value


def _quote_name(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else json.dumps(name)


def _find_sign(
    path: str, field_name: str, field_value: Any, fields: Mapping[str, Any], records: int
) -> tuple[str, dict[str, Any]] | None:
    """Returns what the field `field_name` of `fields` says about further records, and the `pages` that request them;
    None if it says nothing."""
    field_path = f"{path}{_quote_name(field_name)}"
    if NEXT_FIELDS.fullmatch(field_name):
        if isinstance(field_value, str) and re.match(r"https?:|/|\?", field_value):
            return f'"{field_name}" names a next page', {"next": field_path}
        if isinstance(field_value, dict) and isinstance(field_value.get("href"), str):
            return f'"{field_name}" names a next page', {"next": f"{field_path}.href"}
    if re.fullmatch(r"(?i)next_?(cursor|token|page_?token)|continuation_?token", field_name) and field_value:
        parameter = re.sub(r"(?i)^next_?", "", field_name)
        parameter = parameter[:1].lower() + parameter[1:] if field_name[:1].islower() else parameter
        return f'"{field_name}" names a next page', {"cursor": field_path, "param": parameter}
    if field_name == "links" and isinstance(field_value, list):
        next_links = [
            link for link in field_value if isinstance(link, dict) and link.get("rel") == "next" and link.get("href")
        ]
        if next_links:
            return '"links" names a next page', {"next": f"{path}links[?rel=='next'].href | [0]"}
    if MORE_FIELDS.fullmatch(field_name) and str(field_value).lower() == "true":
        return f'"{field_name}" is true', {"offset": "offset", "limit": ["limit", max(records, 1)]}
    if not isinstance(field_value, int | str) or isinstance(field_value, bool) or not str(field_value).isdecimal():
        return None
    if PAGE_COUNTS.fullmatch(field_name) and int(field_value) > 1:
        return f'"{field_name}" says {field_value} pages', {"page": "page", "last": field_path}
    has_page_field = any(PAGE_FIELDS.fullmatch(other_name) for other_name in fields if other_name != field_name)
    is_bare_count = field_name.lower() in BARE_COUNTS or (field_name.lower() == "total" and records % PAGE_STEP == 0)
    is_beside_records = is_bare_count and any(
        isinstance(neighbour, list) and len(neighbour) == records for neighbour in fields.values()
    )
    is_count = SURE_COUNTS.fullmatch(field_name) or (
        COUNT_FIELDS.fullmatch(field_name) and (has_page_field or is_beside_records)
    )
    if is_count and int(field_value) > records > 0:
        pages = {"offset": "offset", "limit": ["limit", max(records, 1)], "total": field_path}
        return f'"{field_name}" says {field_value} records, {records} came', pages
    return None


def _build_incomplete(entry: str, request: Request, happened: str, pages: Mapping[str, Any]) -> IncompleteError:
    """Returns the error for a response with further pages; a retry does not help."""
    error = IncompleteError(
        entry,
        f"{request.label or 'the answer'} is one page of several: {happened}",
        f'Add "pages": {json.dumps(pages)}, or "pages": {{"single": true}} where it is whole',
    )
    error.retryable = False
    return error
