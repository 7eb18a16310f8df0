"""Paged responses: how the next page is requested; and what answers say of themselves: that there are further pages,
which the entry does not request, or that they are errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from gridtide.entries.table_layout import Pages
from gridtide.errors import FormatError, IncompleteError, QuotaError, UpstreamError
from gridtide.sources.contract import Request, Skipped

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry

COUNT_FIELDS = re.compile(r"(?i)(total|matched|count|records|rows|results|items)")
"""Names of fields that may be the number of records."""

SURE_COUNTS = re.compile(
    r"(?i)(total_?(records|count|rows|results|items|hits|elements|found)|(number|records?|rows|results)_?(matched|total|found)"
    r"|num_?found|n_?hits|(records?|results?|items?|elements?|hits)_?count|@odata\.count|__count)"
)
"""Names of fields that certainly are the number of records."""

ODATA_COUNTS = frozenset({"@odata.count", "__count"})
"""Names of the number of all records in OData, where `$skip` and `$top` request pages."""

SUREST = ("next", "cursor", "page", "offset")
"""Ways of paging, the most certain first."""

BARE_COUNTS = frozenset({"count", "matched", "total"})
"""Names of fields that are the number of records if they are beside the list of them, or in an object that describes
the answer. A `total` that is the sum of the records' numbers is that."""

DESCRIBING_OBJECTS = re.compile(
    r"(?i)[@_]*(meta(_?data)?|pag(e|es|ing|ination|er)|cursor|results?|response|header|info|query)"
)
"""Names of objects that describe an answer."""

SUM_TOLERANCE = 0.01
"""By which part a `total` may differ from the sum of the records' numbers, which are rounded."""

SUM_PER_RECORD = 10
"""The least `total` for each record that is taken for the sum of small numbers, and not for their number."""

DEEPEST_OBJECT = 3
"""How many objects may be around one that describes the answer."""

NEXT_FIELDS = re.compile(r"(?i)(@?\w+\.)?_*next(_?(page|records|url|uri|link|href))*")
"""Names of fields with the address of the next page, such as `@odata.nextLink`."""

LIMIT_FIELDS = re.compile(
    r"(?i)[$_]*(limit|top|(page|batch)_?size|per_?page|max_?(results|records|rows)|rows_?per_?page|row_?count)"
)
"""Names of fields and parameters with the largest number of records of an answer."""

LEAST_AT_LIMIT = 2
"""The least number of records of an answer that may be cut at a limit: a limit of 1 asks for the latest."""

MORE_FIELDS = re.compile(
    r"(?i)(has_?(more|next)(_?(page|pages|records|results|data))?|(is_?)?truncated|more(_?(data|records|results|available))?"
    r"|exceeded_?transfer_?limit)"
)
"""Names of fields that are true if there are more records."""

PAGE_COUNTS = re.compile(r"(?i)(total_?pages|page_?count|last_?page|num_?pages|pages)")
PAGE_FIELDS = re.compile(
    r"(?i)(limit|offset|page(_?(size|number|no))?|per_?page|current_?page|next\w*|start_?row|skip|rows_?per_?page|row_?count)"
)
"""Names of fields beside a count in paged responses."""


ERROR_FIELDS = re.compile(
    r"(?i)_*(errors?|error_?(messages?|msg|text|description|details?|code)|fault(_?string)?|exceptions?)"
)
FAILURE_FIELDS = re.compile(r"(?i)_*(is_?)?(success(ful)?|succeeded|ok)")
STATUS_FIELDS = re.compile(r"(?i)_*((http|return|result)_?)?(status|state|code|result)(_?(code|text))?")
MESSAGE_FIELDS = re.compile(
    r"(?i)_*((error|warning|result|return|status)_?)?(message|messages|msg|error|errors|reason|detail|details|description|warning)"
)
"""Names of fields by which an answer says that it is an error, and why."""

RESULT_CODES = re.compile(r"(?i)_*(result|return|response)_?code")
"""Names of fields whose number is 0 or 1 if all went well."""

NO_ERROR_TEXTS = frozenset({"", "0", "no", "none", "null", "nil", "ok", "false", "success", "n/a", "-"})
FAILED_STATUSES = re.compile(r"(?i)errors?|fail(ed|ure)?|faults?|denied|unauthori[sz]ed|forbidden|exception|[45]\d\d")
PARTIAL_STATUSES = re.compile(r"(?i)partial(ly)?|truncated|incomplete")
NO_DATA_MESSAGES = re.compile(
    r"(?i)\bno (matching |such |valid )?(data|records?|results?|rows|values)\b|no_?data|no content|keine daten"
)
"""Messages that there is nothing for what was requested, which is no error."""

QUOTA_MESSAGES = re.compile(r"(?i)rate.?limit|quota|too many requests|throttl")


@dataclass(frozen=True)
class PageContent:
    """One page: its JSON, or what stands around the records of its XML, None if it is anything else; its number of
    records, and its headers. `is_record` means that the document is a record itself."""

    document: Any
    records: int
    headers: Mapping[str, str]
    is_record: bool = False


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

    Raises `IncompleteError` if there are more pages and `pages` does not describe them, `UpstreamError` if the page is
    an error.
    """
    refuse_error(entry, content)
    if pages is None:
        _refuse_more(entry, request, content)
        return [], None
    total = _read_total(entry, pages, content)
    following = list(_list_following(entry, request, pages, content, total))
    number = int(re.search(r"page (\d+)$", request.label)[1]) if " page " in request.label else 1  # type: ignore[index]
    label = f"{request.label.rpartition(' page ')[0] or request.label} page {number + 1}"
    offset = request.offset + content.records
    if not following and total is None and not pages.single:
        _refuse_fewer(entry, content, offset)
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
    content_range = re.fullmatch(r"(?!bytes)\w+ \d+-\d+/(\d+)", content.headers.get("content-range", "").strip())
    if content_range and int(content_range[1]) > content.records:
        happened = f"Content-Range says {content_range[1]} records, {content.records} came"
        raise _build_incomplete(entry, request, happened, {"link": True})
    if total_count.isdecimal() and int(total_count) > content.records:
        raise _build_incomplete(
            entry, request, f"X-Total-Count says {total_count} records, {content.records} came", {"link": True}
        )
    signs = [] if content.is_record else _list_signs(content.document, content.records)
    if signs:
        raise _build_incomplete(entry, request, *min(signs, key=lambda sign: SUREST.index(next(iter(sign[1])))))


def count_at_limit(entry: Entry, request: Request, content: PageContent) -> list[Skipped]:
    """Counts an answer with exactly as many records as a limit allows that is in the request or in the answer: there
    may be more. Nothing is counted if the entry has `pages`, or if the answer says how many records there are."""
    if entry.pages is not None or content.records < LEAST_AT_LIMIT:
        return []
    fields: list[tuple[str, Any]] = [*parse_qsl(urlsplit(request.url).query), *request.params]
    for _, inner in _list_objects(content.document):
        fields += inner.items()
    if any(SURE_COUNTS.fullmatch(name) or name.lower() == "total" for name, value in fields if str(value).isdecimal()):
        return []
    for name, value in fields:
        if LIMIT_FIELDS.fullmatch(name) and str(value) == str(content.records):
            example = f'"{name}" is {value}, and as many came; "pages" requests more, or says "single": true'
            return [Skipped("records beyond a limit, if the upstream has any", 1, example)]
    return []


def _refuse_fewer(entry: str, content: PageContent, received: int) -> None:
    """Raises if the last page says that there are more records than the `received` ones of all pages."""
    counts = [happened for happened, pages in _list_signs(content.document, received) if "total" in pages]
    if counts:
        raise IncompleteError(entry, f"no page follows, but {counts[0]}", 'Correct "pages"')


def _list_signs(document: Any, records: int) -> list[tuple[str, dict[str, Any]]]:
    """Returns what the fields around the `records` say about further ones, each with the `pages` that request them."""
    return [
        sign
        for path, fields in _list_objects(document)
        for name, value in fields.items()
        if (sign := _find_sign(path, name, value, fields, records)) is not None
    ]


def _list_objects(document: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields the object of a response, and the objects in it that may describe pages, each with its path."""
    if isinstance(document, dict):
        yield path, document
        for name, value in document.items() if depth < DEEPEST_OBJECT else ():
            yield from _list_objects(value, f"{path}{_quote_name(name)}.", depth + 1)


def refuse_error(entry: str, content: PageContent) -> None:
    """Raises if the fields around the records say that the answer is an error, or a part of one.

    A number may be that only in an answer without records; a record that is the whole answer says nothing of it.
    """
    if content.is_record and content.records:
        return
    for path, fields in _list_objects(content.document):
        name = path.rstrip(".").rpartition(".")[2].strip('"')
        is_describing = not path or DESCRIBING_OBJECTS.fullmatch(name) or ERROR_FIELDS.fullmatch(name)
        checked = fields  # elsewhere only an error with a text says that
        if not is_describing and name.lower() != "status":
            checked = {key: value for key, value in fields.items() if isinstance(value, str | dict | list)}
            checked = {key: value for key, value in checked.items() if ERROR_FIELDS.fullmatch(key)}
        errors = [key for key, value in checked.items() if _is_error(key, value, content)]
        signs = [f'"{key}": {_shorten(fields[key])}' for key in errors]
        messages = [key for key, value in fields.items() if MESSAGE_FIELDS.fullmatch(key) and value]
        reasons = [_shorten(fields[key]) for key in messages if key not in errors]
        if not signs or NO_DATA_MESSAGES.search(" ".join([*signs, *reasons])):
            continue
        happened = f"the answer says that it is an error: {', '.join(dict.fromkeys([*signs, *reasons]))}"
        if any(isinstance(value, str) and PARTIAL_STATUSES.fullmatch(value) for value in fields.values()):
            raise IncompleteError(entry, happened)
        raise (QuotaError if QUOTA_MESSAGES.search(happened) else UpstreamError)(entry, happened)


def _is_error(name: str, value: Any, content: PageContent) -> bool:
    """Whether the field `name` with `value` says that the answer is an error."""
    text = "" if isinstance(value, list | dict) else str(value).strip().lower()
    if FAILURE_FIELDS.fullmatch(name):
        return text == "false"
    if isinstance(value, int | float) and content.records:
        return value is True and ERROR_FIELDS.fullmatch(name) is not None
    if ERROR_FIELDS.fullmatch(name):
        is_message = not isinstance(value, list) or any(isinstance(element, str | dict) for element in value)
        parts = value.values() if isinstance(value, dict) else [value]
        is_given = any(part and str(part).strip().lower() not in NO_ERROR_TEXTS for part in parts)
        return is_message and is_given
    if RESULT_CODES.fullmatch(name) and not content.records and text.isdecimal():
        return not (int(text) in (0, 1) or 200 <= int(text) < 300)
    is_status = STATUS_FIELDS.fullmatch(name) is not None and isinstance(value, str | int)
    return is_status and bool(FAILED_STATUSES.fullmatch(text) or PARTIAL_STATUSES.fullmatch(text))


def _shorten(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:160]


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
    records_there = max([records, *(len(value) for value in fields.values() if _holds_records(value))])
    if int(field_value) > records_there and _is_count(path, field_name, field_value, fields):
        offset, limit = ("$skip", "$top") if field_name in ODATA_COUNTS else ("offset", "limit")
        pages = {"offset": offset, "limit": [limit, records or 1000], "total": field_path}
        return f'"{field_name}" says {field_value} records, {records} came', pages
    return None


def _is_count(path: str, field_name: str, field_value: Any, fields: Mapping[str, Any]) -> bool:
    """Whether the field `field_name` of the object `fields` at `path` is the number of all records, and no sum."""
    name = path.rstrip(".").rpartition(".")[2].strip('"')
    is_inside = SURE_COUNTS.fullmatch(name) is not None or name.lower() in BARE_COUNTS  # as {"total": {"value": 50}}
    if SURE_COUNTS.fullmatch(field_name) or (is_inside and field_name.lower() in ("value", "count")):
        return True
    objects = [inner for _, inner in _list_objects(fields)]
    lists = [value for inner in objects for value in inner.values() if isinstance(value, list)]
    lists += [list(inner.values()) for inner in objects[1:]]  # of records by time
    if field_name.lower() == "total" and any(_is_sum(float(field_value), elements) for elements in lists):
        return False
    has_page_field = any(PAGE_FIELDS.fullmatch(name) for name in fields if name != field_name)
    describes = DESCRIBING_OBJECTS.fullmatch(name) is not None
    is_near = (
        describes
        or (not path and field_name.lower() == "total")
        or any(map(_holds_records, lists))
        or (bool(lists) and not any(lists))
    )
    if field_name.lower() in BARE_COUNTS and is_near:
        return True
    return COUNT_FIELDS.fullmatch(field_name) is not None and has_page_field


def _holds_records(value: Any) -> bool:
    """Whether `value` is a list of objects or lists."""
    return isinstance(value, list) and bool(value) and not isinstance(value[0], str | int | float | None)


def _is_sum(total: float, records: Sequence[Any]) -> bool:
    """Whether `total` is the sum of a field of the `records`, or of all of their numbers."""
    if total < SUM_PER_RECORD * len(records):
        return False
    sums: dict[Any, float] = {}
    for record in records:
        cells = record.items() if isinstance(record, dict) else enumerate(record) if isinstance(record, list) else ()
        for name, cell in cells or [("", record)]:
            sums[name] = sums.get(name, 0.0) + _to_number(cell)
    tolerance = SUM_TOLERANCE * abs(total) + 0.5
    return any(abs(number - total) <= tolerance for number in (*sums.values(), sum(sums.values())))


def _to_number(cell: Any) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _build_incomplete(entry: str, request: Request, happened: str, pages: Mapping[str, Any]) -> IncompleteError:
    """Returns the error for a response with further pages; a retry does not help."""
    error = IncompleteError(
        entry,
        f"{request.label or 'the answer'} is one page of several: {happened}",
        f'Add "pages": {json.dumps(pages)}, or "pages": {{"single": true}} where it is whole',
    )
    error.retryable = False
    return error
