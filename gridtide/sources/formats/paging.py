"""Paged responses: how the next page is requested; and what answers say of themselves: that there are further pages,
which the entry does not request, or that they are errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from gridtide.entries.table_layout import Pages
from gridtide.errors import FormatError, IncompleteError, QuotaError, UpstreamError
from gridtide.sources.contract import Request, Skipped

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry

COUNT_FIELDS = re.compile(r"(?i)(total(_?size)?|matched|count|records|rows|results|items|hits)")
"""Names of fields that may be the number of records."""

SURE_COUNTS = re.compile(
    r"(?i)(total_?(number_?of_?)?(records|count|rows|results|items|hits|elements|entries|found|available|matches)"
    r"|(number|records?|rows|results)_?(matched|total|found|available)|num_?found|n_?hits"
    r"|(records?|results?|items?|elements?|entries|hits)_?count|(num(ber)?|nb|n)_?(of_?)?(records|rows|results|items|entries|hits)"
    r"|@odata\.count|__count)"
)
"""Names of fields that certainly are the number of records."""

ODATA_COUNTS = frozenset({"@odata.count", "__count"})
"""Names of the number of all records in OData, where `$skip` and `$top` request pages."""

SUREST = ("next", "cursor", "page", "offset")
"""Ways of paging, the most certain first."""

ROW_COUNTS = re.compile(r"(?i)row_?count")
"""Names of fields that are a limit beside fields of pages, and elsewhere the number of records."""

BARE_COUNTS = frozenset({"count", "matched", "total", "hits"})
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
    r"(?i)[$_]*(limit|top|take|(page|batch)_?size|per_?page|max_?(results|records|rows)|rows_?per_?page|row_?count)"
)
"""Names of fields and parameters with the largest number of records of an answer."""

LIMIT_PARAMS = frozenset({"rows", "size"})
"""Names of parameters that are that only in a request."""

LEAST_AT_LIMIT = 2
"""The least number of records of an answer that may be cut at a limit: a limit of 1 asks for the latest."""

SURE_CURSORS = re.compile(r"(?i)next_?(cursor|token|page_?token)|continuation_?token")
"""Names of fields with what the next request sends back."""

CURSORS = re.compile(r"(?i)_*next_?(page(_?(number|no))?|marker|key)|cursor|continuation")
NEXT_NUMBERS = re.compile(r"(?i)_*next(_?(page(_?(number|no))?|offset|start|skip|index|row))?")
"""Such names of texts and of numbers, if they are in an object that describes the answer."""

MORE_FIELDS = re.compile(
    r"(?i)(has_?(more|next)(_?(page|pages|records|results|data))?|(is_?)?truncated|more(_?(data|records|results|available))?"
    r"|exceeded_?transfer_?limit)"
)
"""Names of fields that are true if there are more records."""

PART_FIELDS = re.compile(
    r"(?i)next|(is_?)?(partial|incomplete)(_?(results?|data|response))?|overflow(ed)?"
    r"|(row|record|result|size|max)?_?limit_?(exceeded|reached|hit)"
)
"""Names of fields that are true in an answer that is a part, if they are in an object that describes it."""

LAST_FIELDS = re.compile(
    r"(?i)(is_?)?(complete(d)?|last(_?page)?|done|finished|eof|end_?of_?(data|results|records|file))"
    r"|all_?(records|rows|results|data)_?(returned|included)"
)
"""Names of fields that are false there if the answer is not all."""

YES_TEXTS = frozenset({"true", "yes", "y", "1"})
NO_TEXTS = frozenset({"false", "no", "n"})

REMAINING_FIELDS = re.compile(
    r"(?i)(num_?)?(records|rows|results|items|pages|entries)_?(remaining|left)"
    r"|remaining(_?(records|rows|results|items|pages|entries|count))?"
)
"""Names of fields with the number of what is not in the answer."""

QUOTA_FIELDS = re.compile(r"(?i)_*(x_?)?(rate|reset|used|quota|calls|requests|credits|budget)")
"""How the names of fields begin beside which `remaining` is what a quota still allows."""

COUNT_TEXT = re.compile(
    r"(\d{1,3}(?:[,\u00a0\u202f ]\d{3})+|\d+)(?:\.0+)?"
    r"(?: *(?i:(?:total|matching) )?(?i:records?|rows?|results?|items?|entries|elements|hits))?"
)
"""A number of records, which may be written for people."""

PAGE_TEXT = re.compile(r"(?i)\bpage\W{0,3}(\d+) *(?:of|/|out of|von|de|sur|di) *(\d+)\b")
RANGE_TEXT = re.compile(
    r"(?i)(?:^|\b(?:records|rows|results|items|entries|showing|displaying|from)\b)\W*(\d[\d,]*)"
    r" *(?:-|\u2013|to|\.\.+) *(\d[\d,]*) *(?:of|out of) *(\d[\d,]*)(?![\d/.-])"
)
SHARE_TEXT = re.compile(
    r"(?i)(?:\b(?:showing|displaying|returned|returning)\W*(?:first )?(\d[\d,]*)(?: \w+)? (?:of|out of)"
    r" (?:\w+ )*(\d[\d,]*)\b|\b(\d[\d,]*) (?:of|out of) (\d[\d,]*) (?:records|rows|results|items|entries|values)\b"
    r"|^\W*(\d[\d,]*) (?:of|out of) (\d[\d,]*)\W*$)"
)
CUT_TEXT = re.compile(
    r"(?i)\b(results?|responses?|data|rows|records|output|answer|table|file)\b.{0,30}\b(truncated|cut off)\b"
    r"(?! to (?:\d+ )?(?:the |whole|integer|decimal|digit|place|nearest|[kmg]w))|^\W*truncated\W*$"
    r"|\b(truncated|limited|capped|cut off)\b.{0,20}\b\d+ (rows|records|results|items|entries|values)\b"
    r"|\bonly (the )?first \d+ (rows|records|results|items|entries|values)\b"
)
"""Texts by which an answer says that it is one page of several, a part of all records, or cut."""

WHOLE_TEXT = re.compile(r"(?i)^.*\d *(?:\w+ )?(?:of|/|out of|von|de|sur|di) *(?:\w+ )*(?=\d)")
"""What stands before the number of all in such texts."""

LONGEST_TEXT = 300
"""The longest text that is searched for them."""

PAGE_NUMBERS = re.compile(r"(?i)_*(current_?)?page(_?(number|no|num|index))?")
"""Names of fields with the number of a page."""

PAGE_COUNTS = re.compile(
    r"(?i)(total_?(number_?of_?)?pages|page_?(count|total)|(last|max)_?page|(num|nb|n|number)_?(of_?)?pages|pages(_?total)?)"
)
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
PARTIAL_STATUSES = re.compile(r"(?i)partial(ly|[ _]?content)?|truncated|incomplete")
NO_DATA_MESSAGES = re.compile(
    r"(?i)\bno (matching |such |valid )?(data|records?|results?|rows|values)\b|no_?data|no content|keine daten"
)
"""Messages that there is nothing for what was requested, which is no error."""

STATEMENT_FIELDS = re.compile(
    r"(?i)_*(time_?stamp|time|date|path|instance|type|title|(request|trace|correlation)_?id|(documentation_?)?url|help|name|success)"
)
"""Names of further fields of an object that is a message alone."""

FAILURE_WORDS = re.compile(
    r"(?i)\b(errors?|[\w.]*exception|unavailable|time[ -]?out|timed out|try again|try later|busy|overload(ed)?"
    r"|maintenance|too many requests|rate.?limit|throttl\w+|failed|failure|denied|unauthori[sz]ed|forbidden|expired"
    r"|temporarily)\b"
)
"""What texts hold by which an upstream says that it failed."""

LONGEST_STATEMENT = 1000
"""The longest text without a table that may be one."""

QUOTA_MESSAGES = re.compile(r"(?i)rate.?limit|quota|too many requests|throttl")


class Sign(NamedTuple):
    """What an answer says about further records, and the `pages` that request them; whether a last page never says that
    (`denies_end`), as that there are more records."""

    happened: str
    pages: dict[str, Any]
    denies_end: bool = False


class _Field(NamedTuple):
    """A field of the object `fields` at `path`."""

    path: str
    name: str
    value: Any
    fields: Mapping[str, Any]

    @property
    def address(self) -> str:
        """The JMESPath expression that leads to the field."""
        return f"{self.path}{_quote_name(self.name)}"

    @property
    def describes(self) -> bool:
        """Whether the object describes the answer, as that around all does."""
        name = _get_last_name(self.path)
        return not name or DESCRIBING_OBJECTS.fullmatch(name) is not None


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
        _refuse_fewer(entry, pages, content, offset)
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
        last = _search(content.document, pages.last)
        page_number = int(_get_param(request, pages.page) or _get_first_number(pages))
        if isinstance(last, bool):
            is_last = last
        else:
            last_page = _read_number(entry, "pages.last", pages.last, content.document)
            is_last = page_number >= last_page + _get_first_number(pages) - 1
        if not is_last:
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
    number = _parse_count(WHOLE_TEXT.sub("", field_value) if isinstance(field_value, str) else field_value)
    if number is None:
        happened = f'{key}: "{path}" leads to {json.dumps(field_value)[:80]}, which is not a number'
        raise FormatError(entry, happened, f'Correct "{key}"')
    return number


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
        sign = Sign("its Link header names a next page", {"link": True})
        raise _build_incomplete(entry, request, sign)
    signs = list_header_signs(content.headers, content.records)
    signs = signs or ([] if content.is_record else _list_signs(content.document, content.records))
    if signs:
        raise _build_incomplete(entry, request, min(signs, key=lambda sign: SUREST.index(next(iter(sign.pages)))))


def list_header_signs(headers: Mapping[str, str], records: int) -> list[Sign]:
    """Returns what `headers` say about further records than the `records`."""
    signs = [sign for name, text in headers.items() for sign in _read_header(name.title(), text.strip(), records)]
    return [sign._replace(pages={"offset": "offset", "limit": ["limit", records or 1000]}) for sign in signs]


def _read_header(name: str, text: str, records: int) -> Iterator[Sign]:
    """Yields what the header `name` says about further records."""
    field_name = re.sub(r"^x-(wp-)?", "", name.lower()).replace("-", "_")
    if field_name == "pagination" and text[:1] == "{":
        yield from _list_signs(_load_header(text), records)
    counted = re.fullmatch(r"(?!bytes)\w+ \d+-\d+/(\d+)", text) if field_name == "content_range" else None
    number = _parse_count(counted[1] if counted else text) or 0
    is_count = bool(SURE_COUNTS.fullmatch(field_name)) or name in ("X-Total", "X-Count") or counted is not None
    if number > records and is_count:
        yield Sign(f"{name} says {number} records, {records} came", {}, denies_end=True)
    elif number > 1 and name.startswith("X-") and PAGE_COUNTS.fullmatch(field_name):
        yield Sign(f"{name} says {number} pages", {})
    elif name.startswith("X-") and MORE_FIELDS.fullmatch(field_name) and text.lower() in YES_TEXTS:
        yield Sign(f"{name} is {text}", {}, denies_end=True)


def _load_header(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def count_at_limit(entry: Entry, request: Request, content: PageContent) -> list[Skipped]:
    """Counts an answer with exactly as many records as a limit allows that is in the request or in the answer: there
    may be more. Nothing is counted if the entry has `pages`, or if the answer says how many records there are."""
    if entry.pages is not None or content.records < LEAST_AT_LIMIT:
        return []
    params = [*parse_qsl(urlsplit(request.url).query), *request.params]
    fields: list[tuple[str, Any]] = list(params)
    for _, inner in _list_objects(content.document):
        fields += inner.items()
    fields = [(name, value) for name, value in fields if isinstance(value, int | str)]
    if any(SURE_COUNTS.fullmatch(name) or name.lower() == "total" for name, value in fields if str(value).isdecimal()):
        return []
    for name, value in fields:
        is_limit = LIMIT_FIELDS.fullmatch(name) or ((name, value) in params and name.lower() in LIMIT_PARAMS)
        if is_limit and str(value) == str(content.records):
            example = f'"{name}" is {value}, and as many came; "pages" requests more, or says "single": true'
            return [Skipped("records beyond a limit, if the upstream has any", 1, example)]
    return []


def _refuse_fewer(entry: str, pages: Pages, content: PageContent, received: int) -> None:
    """Raises if the last page says that there are more records than the `received` ones of all pages; or if it is also
    the first, and names a next page where `pages` does not look for it."""
    signs = [*list_header_signs(content.headers, received), *_list_signs(content.document, received)]
    is_first = received == content.records > 0
    for sign in signs:
        address = sign.pages.get("next") or sign.pages.get("cursor")
        is_elsewhere = is_first and address is not None and address not in (pages.next, pages.cursor)
        if sign.denies_end or is_elsewhere:
            raise IncompleteError(entry, f"no page follows, but {sign.happened}", 'Correct "pages"')


def _list_signs(document: Any, records: int) -> list[Sign]:
    """Returns what the fields around the `records` say about further ones."""
    roots = [("", document)]
    if isinstance(document, list) and any(isinstance(element, list) for element in document):
        roots = [(f"[{index}].", element) for index, element in enumerate(document)]
    return [
        sign
        for root_path, root in roots
        for path, fields in _list_objects(root, root_path)
        for name, value in fields.items()
        if (sign := _find_sign(_Field(path, name, value, fields), records)) is not None
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


def refuse_statement(entry: str, document: Any) -> bool:
    """Raises `UpstreamError` if `document`, in which no records are, is a message alone; returns whether that says that
    there are none."""
    if not isinstance(document, dict):
        return False
    messages = [_shorten(value) for key, value in document.items() if MESSAGE_FIELDS.fullmatch(key) and value]
    further_keys = [key for key in document if not MESSAGE_FIELDS.fullmatch(key) and not STATUS_FIELDS.fullmatch(key)]
    if not messages or not all(map(STATEMENT_FIELDS.fullmatch, further_keys)):
        return False
    text = ", ".join(messages)
    if NO_DATA_MESSAGES.search(text):
        return True
    happened = f"the answer has a message instead of records: {text}"
    raise (QuotaError if QUOTA_MESSAGES.search(text) else UpstreamError)(entry, happened)


def refuse_failure_text(entry: str, body: bytes, happened: str) -> None:
    """Raises `UpstreamError` with what `happened` if `body`, in which no table is, is a short text about a failure."""
    text = body[: LONGEST_STATEMENT + 1].decode("utf-8", "replace").strip()
    if len(text) <= LONGEST_STATEMENT and FAILURE_WORDS.search(text):
        raise (QuotaError if QUOTA_MESSAGES.search(text) else UpstreamError)(entry, happened)


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


def _find_sign(field: _Field, records: int) -> Sign | None:
    """Returns what `field` says about further records than the `records`; None if it says nothing."""
    sign = _find_address(field) or (None if _is_last(field.fields) else _find_cursor(field))
    sign = sign or _find_flag(field, records) or _find_count(field, records)
    if sign is None and isinstance(field.value, str | list) and field.describes:
        sign = _find_text(field, records)
    return sign


def _get_last_name(path: str) -> str:
    """Returns the name of the object at `path`, empty for that around all."""
    return re.sub(r"^\[\d+\]", "", path).rstrip(".").rpartition(".")[2].strip('"')


def _find_address(field: _Field) -> Sign | None:
    """Returns the sign of a field with the address of the next page."""
    happened = f'"{field.name}" names a next page'
    if NEXT_FIELDS.fullmatch(field.name):
        if isinstance(field.value, str) and re.match(r"https?:|/|\?", field.value):
            return Sign(happened, {"next": field.address})
        if isinstance(field.value, dict) and isinstance(field.value.get("href"), str):
            return Sign(happened, {"next": f"{field.address}.href"})
    if field.name == "links" and isinstance(field.value, list):
        links = [link for link in field.value if isinstance(link, dict)]
        if any(link.get("rel") == "next" and link.get("href") for link in links):
            return Sign(happened, {"next": f"{field.address}[?rel=='next'].href | [0]"})
    return None


def _find_cursor(field: _Field) -> Sign | None:
    """Returns the sign of a field with what the next request sends back: a cursor, or the number of a page or row."""
    if isinstance(field.value, bool) or not isinstance(field.value, int | str):
        return None
    text = str(field.value).strip()
    if text.lstrip("-").isdecimal():
        is_next = field.describes and NEXT_NUMBERS.fullmatch(field.name) is not None
        is_next = is_next and int(text) > (_find_page_number(field.fields) or 0)
    else:
        is_next = field.describes and CURSORS.fullmatch(field.name) is not None and text.lower() not in NO_ERROR_TEXTS
    if not is_next and not (SURE_CURSORS.fullmatch(field.name) and field.value):
        return None
    parameter = re.sub(r"(?i)^_*next_?", "", field.name) or "page"
    parameter = parameter[:1].lower() + parameter[1:] if field.name[:1].islower() else parameter
    return Sign(f'"{field.name}" names a next page', {"cursor": field.address, "param": parameter})


def _find_page_number(fields: Mapping[str, Any]) -> int | None:
    """Returns the number of the page in `fields`."""
    names = [name for name in fields if PAGE_NUMBERS.fullmatch(name)]
    if any(map(PAGE_COUNTS.fullmatch, fields)):
        names.append("number")
    numbers = (_parse_count(fields.get(name)) for name in names)
    return next((number for number in numbers if number is not None), None)


def _is_last(fields: Mapping[str, Any]) -> bool:
    """Whether `fields` say that there is no page behind this one."""
    texts = {name: str(value).lower() for name, value in fields.items() if isinstance(value, bool | str)}
    return any(
        (MORE_FIELDS.fullmatch(name) and text in NO_TEXTS)
        or (re.fullmatch(r"(?i)(is_?)?last(_?page)?", name) and text == "true")
        for name, text in texts.items()
    )


def _find_flag(field: _Field, records: int) -> Sign | None:
    """Returns the sign of a field that says that there is more, or that this is not all."""
    if not isinstance(field.value, int | str):  # a list of records would become a large text
        return None
    text = str(field.value).strip().lower()
    is_about_more = MORE_FIELDS.fullmatch(field.name) is not None
    says_more = is_about_more and text == "true"
    if field.describes:
        says_more = says_more or (is_about_more and text.isdecimal() and int(text) > 0)
        says_more = says_more or ((is_about_more or bool(PART_FIELDS.fullmatch(field.name))) and text in YES_TEXTS)
        says_more = says_more or (LAST_FIELDS.fullmatch(field.name) is not None and text in NO_TEXTS)
    if not says_more:
        return None
    pages: dict[str, Any] = {"offset": "offset", "limit": ["limit", max(records, 1)]}
    page_name = next((name for name in field.fields if PAGE_NUMBERS.fullmatch(name)), None)
    cursor = next((name for name in field.fields if re.fullmatch(r"(?i)end_?cursor", name)), None)
    if cursor is not None and field.fields[cursor]:
        pages = {"cursor": f"{field.path}{_quote_name(cursor)}", "param": "after"}
    elif page_name is not None and _find_page_number(field.fields) is not None:
        pages = _number_pages(page_name, f"{field.address} != `{json.dumps(field.value)}`", field.fields)
    return Sign(f'"{field.name}" is {text}', pages, denies_end=True)


def _number_pages(name: str, last: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the `pages` by number of an answer with `fields`."""
    return {"page": name, "last": last} | ({"first": 0} if _find_page_number(fields) == 0 else {})


def _find_count(field: _Field, records: int) -> Sign | None:
    """Returns the sign of a field with the number of all pages, of all records, or of those that are not here."""
    number = _parse_count(field.value)
    if number is None or number < 1:
        return None
    is_whole = field.name.lower() == "of" and field.describes
    page_number = _find_page_number(field.fields)
    if number > 1 and (PAGE_COUNTS.fullmatch(field.name) or (is_whole and page_number is not None)):
        pages = _number_pages("page", field.address, field.fields)
        return Sign(f'"{field.name}" says {number} pages', pages)
    offset, limit = ("$skip", "$top") if field.name in ODATA_COUNTS else ("offset", "limit")
    pages = {"offset": offset, "limit": [limit, records or 1000]}
    has_quota = any(map(QUOTA_FIELDS.match, field.fields))
    if REMAINING_FIELDS.fullmatch(field.name) and field.describes and not has_quota:
        return Sign(f'"{field.name}" is {number}', pages, denies_end=True)
    records_there = max([records, *(len(value) for value in field.fields.values() if _holds_records(value))])
    if number > records_there and (is_whole or _is_count(field.path, field.name, number, field.fields)):
        happened = f'"{field.name}" says {number} records, {records} came'
        return Sign(happened, pages | {"total": field.address}, denies_end=True)
    return None


def _parse_count(value: Any) -> int | None:
    """Returns the number that `value` is, also in a text such as `1,480 records` or `1-24 of 480`; None if it is
    none."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    match = COUNT_TEXT.fullmatch(str(value).strip())
    return int(re.sub(r"\D", "", match[1])) if match else None


def _find_text(field: _Field, records: int) -> Sign | None:
    """Returns the sign of a text such as `Page 1 of 3`, `1-24 of 480`, or `truncated to 24 rows`."""
    is_about_pages = PAGE_NUMBERS.fullmatch(field.name) or re.match(
        r"(?i)_*pag(e|ing|ination)", _get_last_name(field.path)
    )
    for text in [field.value] if isinstance(field.value, str) else field.value:
        if not isinstance(text, str) or len(text) > LONGEST_TEXT:
            continue
        happened = f'"{field.name}" says {text!r}'
        page = PAGE_TEXT.search(f"page {text}" if is_about_pages else text)
        if page and int(page[1]) < int(page[2]):
            return Sign(happened, {"page": "page", "last": field.address})
        pages: dict[str, Any] = {"offset": "offset", "limit": ["limit", max(records, 1)]}
        is_range = re.fullmatch(r"(?i)_*(\w+_)?(range|showing|records|rows|items|results)", field.name)
        if _is_part(text.replace("/", " of ") if is_range else text, records):  # elsewhere 1-2/2026 are months
            return Sign(happened, pages | {"total": field.address}, denies_end=True)
        if CUT_TEXT.search(text):
            return Sign(happened, pages, denies_end=True)
    return None


def says_more(line: str) -> bool:
    """Whether `line`, which stands around the rows of a table, says that they are not all.

    >>> says_more("# Page 1 of 3"), says_more("... 478 more rows"), says_more("# Page 3 of 3"), says_more("1-2 of 2")
    (True, True, False, False)
    """
    page = PAGE_TEXT.search(line)
    is_part = CUT_TEXT.search(line) or re.search(r"(?i)\b\d+ (more|further|other) (rows|records|results|lines)\b", line)
    return is_part is not None or (page is not None and int(page[1]) < int(page[2]))


def _is_part(text: str, records: int) -> bool:
    """Whether `text`, such as `1-24 of 480` or `showing 24 of 480`, says that the `records` are not all."""
    for pattern in (RANGE_TEXT, SHARE_TEXT):
        for match in pattern.finditer(text):
            *counts, total = (int(re.sub(r"\D", "", group)) for group in match.groups() if group)
            count = counts[-1] - counts[0] + 1 if len(counts) > 1 else counts[0]
            if records in (count, counts[-1]) and total > counts[-1]:
                return True
    return False


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
    is_bare = field_name.lower() in BARE_COUNTS or (ROW_COUNTS.fullmatch(field_name) and not has_page_field)
    if is_bare and is_near:
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


def _build_incomplete(entry: str, request: Request, sign: Sign) -> IncompleteError:
    """Returns the error for a response with further pages; a retry does not help."""
    error = IncompleteError(
        entry,
        f"{request.label or 'the answer'} is one page of several: {sign.happened}",
        f'Add "pages": {json.dumps(sign.pages)}, or "pages": {{"single": true}} where it is whole',
    )
    error.retryable = False
    return error
