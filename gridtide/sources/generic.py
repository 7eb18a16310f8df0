"""Any other upstream: any table of JSON, CSV or XML, read as the entry describes it.

`{start}` and `{end}` in the URL or in `params` make an entry answer periods; they are written in
the entry's `timezone`, as ISO 8601 or by a strftime format (`{start:%Y-%m-%d}`). With `{start}`
alone the upstream has one answer per local day, or `per` month or year, which is units once for each of the
period. Without placeholders the answer is a snapshot.

    body ─► unpacked ─► text ─► table of cells ─► times, series ─► numbers ─► observations
            `unpack`   `encoding`  `records`,       `time`, …        `decimal`, …
                                   `layout`, `csv`

The keys are those of `entries/table_layout`, each with an example in `docs/sources/generic.md`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from gridtide.periods import Period, local_day, local_days, local_midnight
from gridtide.sources.contract import Page, Request
from gridtide.sources.formats.paging import first_page
from gridtide.sources.formats.request_bodies import body_texts, write_body

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry

PLACEHOLDER = re.compile(r"\{(start|end)(?::([^{}]*))?\}")


def defaults(url: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Nothing is known of the upstream, so few requests run at once."""
    return {"concurrency": 2}


def takes_period(entry: Entry) -> bool:
    """Whether the URL or a parameter holds `{start}` or `{end}`."""
    return bool(_placeholders(entry))


def days(entry: Entry) -> ZoneInfo | None:
    """Days of the entry's `timezone` where only `{start}` is units or `per` says so, else None."""
    by_day = entry.per is not None or _placeholders(entry) == {"start"}
    return ZoneInfo(entry.timezone) if by_day and takes_period(entry) else None


def requests(entry: Entry, period: Period | None) -> list[Request]:
    """One request for the snapshot or the period, or one for each local day, month or year of it.

    Equal requests, as those for the days of a month whose URL names the month alone, are one.
    """
    if period is None:
        return [_request(entry, None, None)]
    zone = days(entry)
    if zone is None:
        return [_request(entry, period, period)]
    units = dict.fromkeys(_calendar_unit(day, entry.per or "day", zone) for day in local_days(period, zone))
    return _without_equals([_request(entry, unit, _overlap(unit, period)) for unit in units])


def _calendar_unit(day: date, per: str, zone: ZoneInfo) -> Period:
    """The local day, month or year that `day` lies in."""
    if per == "day":
        return local_day(day, zone)
    first = day.replace(day=1) if per == "month" else day.replace(month=1, day=1)
    following = (first + timedelta(days=32 if per == "month" else 366)).replace(day=1)
    return Period(local_midnight(first, zone), local_midnight(following, zone))


def _without_equals(requests_in_order: list[Request]) -> list[Request]:
    """The requests, each once; of equal ones the first answers the periods of all."""
    merged: dict[tuple[str, tuple[tuple[str, str], ...]], Request] = {}
    for request in requests_in_order:
        first = merged.setdefault((request.url, request.params), request)
        if first is not request and first.period and request.period:
            whole = Period(min(first.period.start, request.period.start), max(first.period.end, request.period.end))
            merged[request.url, request.params] = replace(first, period=whole, label=str(whole))
    return list(merged.values())


def _overlap(unit: Period, period: Period) -> Period:
    return Period(max(unit.start, period.start), min(unit.end, period.end))


def _placeholders(entry: Entry) -> set[str]:
    texts = [entry.url, *(str(value) for _, value in _pairs(entry.params)), *body_texts(entry.body)]
    return {match[1] for text in texts for match in PLACEHOLDER.finditer(text)}


def _pairs(params: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The parameters one by one: a list of values repeats its key."""
    for key, value in params.items():
        for single in value if isinstance(value, list | tuple) else [value]:
            yield key, single


def _request(entry: Entry, units: Period | None, answers: Period | None) -> Request:
    """The question for `units`, which answers `answers` of the period."""
    zone = ZoneInfo(entry.timezone)
    url = _filled(entry.url, units, zone, quoted=True)
    params = tuple((key, _filled(str(value), units, zone)) for key, value in _pairs(entry.params))
    label = str(answers) if answers else "snapshot"
    request = first_page(Request(url, params, label=label, period=answers), entry.pages)
    if entry.body is None:
        return request
    quoted = isinstance(entry.body, str)  # a text is a form already
    body, kind = write_body(entry.body, entry.headers, lambda text: _filled(text, units, zone, quoted=quoted))
    return replace(request, body=body, headers=(("Content-Type", kind),))


def _filled(text: str, period: Period | None, zone: ZoneInfo, *, quoted: bool = False) -> str:
    """`text` with its placeholders replaced by the bounds of `period` in `zone`."""

    def bound(match: re.Match[str]) -> str:
        moment = getattr(period, match[1]).astimezone(zone)
        written = moment.strftime(match[2]) if match[2] else moment.isoformat().replace("+00:00", "Z")
        return quote(written) if quoted else written

    return PLACEHOLDER.sub(bound, text) if period else text


def parse(entry: Entry, request: Request, body: bytes, retrieved_at: datetime) -> Page:
    """The records of one answer as observations, one for each column of values.

    A value absent from a record is no observation, a null one is a null; what is neither is among the page's `skipped`.
    Raises `UpstreamError` for what may pass, `IncompleteError` where the answer says that there is more, and
    `FormatError`, which names place and fix, for what can be neither stored nor counted.
    """
    from gridtide.sources.tables.answers import read_answer

    return read_answer(entry, request, body, retrieved_at, _day(entry, request))


def _day(entry: Entry, request: Request) -> date | None:
    """The local day that the request is about, where it is about one."""
    zone = days(entry)
    if request.period is None or zone is None:
        return None
    first, *further = local_days(request.period, zone)
    return None if further else first
