"""Any other upstream: tables of JSON, CSV or XML, read as the entry describes them.

With `{start}` and `{end}` in the URL or in `params` an entry answers periods. The placeholders are written in the
entry's `timezone`, as ISO 8601 or by a strftime format (`{start:%Y-%m-%d}`). With `{start}` alone, the upstream has one
answer per local day (or per month or year, by `per`), and each of them is requested once. Without placeholders the
answer is a snapshot.

    body ─► unpacked ─► text ─► table of cells ─► times, series ─► numbers ─► observations
            `unpack`   `encoding`  `records`,       `time`, …        `decimal`, …
                                   `layout`, `csv`

The keys are those of `entries/table_layout`, each with an example in `docs/sources/generic.md`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

import msgspec

from gridtide.entries.scope import ANY, Scope, describe_columns, describe_scope, narrow_columns, narrow_params
from gridtide.periods import Period, local_day, local_days, local_midnight
from gridtide.sources.contract import Page, Request, Response
from gridtide.sources.formats.bodies import Member, list_unmatched
from gridtide.sources.formats.paging import request_first_page
from gridtide.sources.formats.request_bodies import list_body_texts, write_body

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry

READS_FILES = True

BASIC_AUTH = {"username_env": "ISO_NE_USERNAME", "password_env": "ISO_NE_PASSWORD"}
"""ISO-NE was the only upstream with HTTP Basic at first. Configurations of that time give `auth_type` and `username`
for other hosts too, and keep their password in this variable."""

PLACEHOLDER = re.compile(r"\{(start|end|last|location|locations)\??(?::([^{}]*))?\}")
"""`last` is the start of the last interval, `locations` all locations with the text after the colon between them; a
parameter with `{location?}` is sent only if the entry names locations."""

_OPTIONAL = re.compile(r"\{locations?\?")

_OF_TIME = frozenset(("start", "end", "last"))


def choose_defaults(url: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns few concurrent requests, as nothing is known about the upstream."""
    return {"concurrency": 2}


def takes_period(entry: Entry) -> bool:
    """Whether the URL or a parameter holds `{start}` or `{end}`."""
    return bool(_list_placeholders(entry) & _OF_TIME)


def find_day_zone(entry: Entry) -> ZoneInfo | None:
    """Returns the entry's `timezone` if requests are per local day, month or year (`{start}` alone, or `per`), or for
    whole days (`{last}`), else None."""
    by_day = _has_unit(entry) or "last" in _list_placeholders(entry)
    return ZoneInfo(entry.timezone) if by_day and takes_period(entry) else None


def _has_unit(entry: Entry) -> bool:
    """Whether the upstream has an answer for each local day, month or year."""
    return entry.per is not None or _list_placeholders(entry) & _OF_TIME == {"start"}


def find_scope(entry: Entry) -> Scope:
    """Returns each parameter and the value columns as facets; no named columns mean all of them. The URL of a preset's
    product counts without its host."""
    entry_scope = describe_scope(entry)
    columns = describe_columns(entry) or [ANY]
    if not _has_plain_columns(entry) and entry.value:
        columns = [", ".join(columns)]
    facets: dict[str, Iterable[str]] = {**entry_scope.values(), "value": columns}
    if entry.product is not None:  # the source names the operator, who may move the same product to another host
        facets["request URL"] = [urlsplit(entry.url).path]
    if entry.locations or entry.product is not None:
        facets["locations"] = entry.locations or [ANY]
    return Scope.of_facets(facets, entry_scope.reading)


def narrow(entry: Entry, part: Scope) -> Sequence[Entry]:
    """Returns the entry with fewer values of one list in `params`, or with fewer value columns. If two lists are
    shorter, it is unknown which of their values belong together."""
    entry_scope = find_scope(entry).values()
    shorter = [name for name, values in part.facets if values != entry_scope[name]]
    if shorter == ["value"]:
        return [narrow_columns(entry, part.values()["value"])]
    if shorter == ["locations"]:
        named = part.values()["locations"]
        return [msgspec.structs.replace(entry, locations=tuple(name for name in entry.locations if name in named))]
    if len(shorter) != 1 or not isinstance(entry.params.get(shorter[0]), tuple):
        return ()
    return [narrow_params(entry, {shorter[0]: part.values()[shorter[0]]})]


def _has_plain_columns(entry: Entry) -> bool:
    """Whether each column of values is a series of its own, whose name depends on no other column."""
    return entry.variable is None and entry.melt is None and entry.hours is None and entry.days is None


def find_problems(entry: Mapping[str, Any]) -> list[str]:
    """Returns the keys that contradict each other."""
    from gridtide.sources.tables.contradictions import find_contradictions

    return list(find_contradictions(entry))


def build_requests(entry: Entry, period: Period | None) -> list[Request]:
    """Returns one request for the snapshot or the period, or one for each local day, month or year of it; and each for
    every location, if the URL or a parameter names a single one.

    What is older than `archive.after` is requested from the archive. Equal requests are merged, such as those for the
    days of a month if the URL names only the month.
    """
    if period is None:
        return _request_each_location(entry, None, None)
    parts = split_at_archive(entry, period, datetime.now(UTC))
    return [request for described, part in parts for request in request_part(described, part)]


def split_at_archive(entry: Entry, period: Period, now: datetime) -> list[tuple[Entry, Period]]:
    """Returns the parts of `period` that are in the archive and that are not, at `now`, each with the entry by which it
    is requested."""
    archive = entry.archive
    if archive is None:
        return [(entry, period)]
    zone = ZoneInfo(entry.timezone)
    edge = local_midnight((now - archive.after).astimezone(zone).date(), zone)
    archived = msgspec.structs.replace(
        entry,
        url=archive.url,
        params=entry.params if archive.params is None else archive.params,
        per=archive.per,
        archive=None,
    )
    parts = [(archived, Period(period.start, min(period.end, edge))) if period.start < edge else None]
    parts.append((entry, Period(max(period.start, edge), period.end)) if period.end > edge else None)
    return [part for part in parts if part]


def request_part(entry: Entry, period: Period) -> list[Request]:
    """Returns the requests for `period`, all of which `entry` describes."""
    zone = find_day_zone(entry) if _has_unit(entry) else None
    if zone is None:
        return _request_each_location(entry, period, period)
    units = dict.fromkeys(_find_calendar_unit(day, entry.per or "day", zone) for day in local_days(period, zone))
    return _merge_equal(
        [request for unit in units for request in _request_each_location(entry, unit, _cut_unit(unit, period))]
    )


def _request_each_location(entry: Entry, units: Period | None, answers: Period | None) -> list[Request]:
    if "location" not in _list_placeholders(entry) or not entry.locations:
        return [_request(entry, units, answers)]
    single_entries = [msgspec.structs.replace(entry, locations=(name,)) for name in entry.locations]
    named_requests = [(single.locations[0], _request(single, units, answers)) for single in single_entries]
    if len(named_requests) == 1:
        return [named_requests[0][1]]
    return [replace(request, label=f"{request.label} {name}") for name, request in named_requests]


def _find_calendar_unit(day: date, per: str, zone: ZoneInfo) -> Period:
    """Returns the local day, month or year that contains `day`."""
    if per == "day":
        return local_day(day, zone)
    first_day = day.replace(day=1) if per == "month" else day.replace(month=1, day=1)
    next_first_day = (first_day + timedelta(days=32 if per == "month" else 366)).replace(day=1)
    return Period(local_midnight(first_day, zone), local_midnight(next_first_day, zone))


def _merge_equal(requests_in_order: list[Request]) -> list[Request]:
    """Merges equal requests; the merged request has the period of all of them."""
    merged: dict[tuple[str, tuple[tuple[str, str], ...]], Request] = {}
    for request in requests_in_order:
        earliest = merged.setdefault((request.url, request.params), request)
        if earliest is not request and earliest.period and request.period:
            merged_period = Period(
                min(earliest.period.start, request.period.start), max(earliest.period.end, request.period.end)
            )
            merged[request.url, request.params] = replace(earliest, period=merged_period, label=str(merged_period))
    return list(merged.values())


def _cut_unit(unit: Period, period: Period) -> Period:
    return Period(max(unit.start, period.start), min(unit.end, period.end))


def _list_placeholders(entry: Entry) -> set[str]:
    texts = [entry.url, *(str(value) for _, value in _list_pairs(entry.params)), *list_body_texts(entry.body)]
    return {match[1] for template in texts for match in PLACEHOLDER.finditer(template)}


def _list_pairs(params: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields the parameters; a list of values repeats its key."""
    for parameter, setting in params.items():
        for item in setting if isinstance(setting, list | tuple) else [setting]:
            yield parameter, item


def _list_parameters(entry: Entry) -> Iterator[tuple[str, Any]]:
    """Yields the parameters of `entry`, without those of locations if it names none."""
    for parameter, item in _list_pairs(entry.params):
        if entry.locations or not _OPTIONAL.search(str(item)):
            yield parameter, item


def _request(entry: Entry, units: Period | None, answers: Period | None) -> Request:
    """Builds the request for `units` (the bounds in its URL), which answers the period `answers`."""
    url = _fill_template(entry, entry.url, units, quoted=True)
    params = tuple((key, _fill_template(entry, str(value), units)) for key, value in _list_parameters(entry))
    label = str(answers) if answers else "snapshot"
    request = request_first_page(Request(url, params, label=label, period=answers), entry.pages)
    if entry.body is None:
        return request
    quoted = isinstance(entry.body, str)  # a string is already form-encoded
    body, content_type = write_body(
        entry.body, entry.headers, lambda text: _fill_template(entry, text, units, quoted=quoted)
    )
    return replace(request, body=body, headers=(("Content-Type", content_type),))


def _fill_template(entry: Entry, template: str, period: Period | None, *, quoted: bool = False) -> str:
    """Replaces the placeholders in `template` by the bounds of `period` on the entry's clock, and by its locations."""
    zone = ZoneInfo(entry.timezone)

    def write(match: re.Match[str]) -> str:
        name, written_format = match[1], match[2]
        if name in ("location", "locations"):
            written = (written_format or ",").join(_list_location_codes(entry))
        elif period is None:
            return match[0]
        else:
            bound = period.end - entry.resolution if name == "last" else getattr(period, name)
            moment = bound.astimezone(zone)
            written = moment.strftime(written_format) if written_format else moment.isoformat().replace("+00:00", "Z")
        return quote(written) if quoted else written

    return PLACEHOLDER.sub(write, template)


def _list_location_codes(entry: Entry) -> list[str]:
    """Returns the texts that stand for the entry's locations in requests."""
    code_by_name = {name: code for code, name in entry.location_names.items()}
    return [code_by_name.get(name, name) for name in entry.locations]


def parse_response(entry: Entry, request: Request, response: Response) -> Page:
    """Parses one response into observations, one for each column of values.

    A value that is absent from a record gives no observation, a null gives a null; anything else that is not stored is
    counted in the page's `skipped`.
    Raises `UpstreamError` for an error that may pass, `IncompleteError` if the response says that there are more rows,
    and `FormatError`, which names the position and a fix, for content that can be neither stored nor counted.
    """
    from gridtide.sources.tables.answers import read_answer

    patterns = _list_member_patterns(entry, request)
    page = read_answer(entry, request, response, _find_day(entry, request), [text for _, text in patterns])
    body = Member(entry.name, "", response.open)
    unmatched = list_unmatched(body, [text for _, text in patterns]) if len(patterns) > 1 else []
    return replace(page, reaches=_find_end_of_days(entry, patterns, unmatched)) if unmatched else page


def _list_member_patterns(entry: Entry, request: Request) -> list[tuple[date | None, str]]:
    """Returns the patterns of the members that are read of an archive: one, or one for each local day of the
    request."""
    if entry.unpack is None:
        return []
    zone = ZoneInfo(entry.timezone)
    if request.period is None or not PLACEHOLDER.search(entry.unpack):
        return [(None, entry.unpack)]
    return [
        (day, _fill_template(entry, entry.unpack, local_day(day, zone))) for day in local_days(request.period, zone)
    ]


def _find_end_of_days(
    entry: Entry, patterns: Sequence[tuple[date | None, str]], unmatched: Sequence[str]
) -> datetime | None:
    """Returns from when on an archive holds no day: those at its end may be added later."""
    end = None
    for day, pattern in reversed(patterns):
        if pattern not in unmatched or day is None:
            break
        end = local_midnight(day, ZoneInfo(entry.timezone))
    return end


def _find_day(entry: Entry, request: Request) -> date | None:
    """Returns the local day that the request is for, or None if it is for another period."""
    zone = find_day_zone(entry)
    if request.period is None or zone is None:
        return None
    day, *further_days = local_days(request.period, zone)
    return None if further_days else day
