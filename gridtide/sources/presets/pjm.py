"""What the preset of PJM does not say: a request may not span the end of a year, nor the edge of the archive; and the
exports of its web page write times in another way than its API, some of them only those of New York's clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import msgspec

from gridtide.periods import Period, split_calendar_months
from gridtide.sources import generic
from gridtide.sources.contract import BOM, Page, Request, Response

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry

EXPORT_HEAD_BYTES = 1 << 14
"""The beginning of an answer, which has the names of its columns."""

EXPORT_TIMES = "%m/%d/%Y %I:%M:%S %p | %Y-%m-%dT%H:%M:%S"
"""The formats of times in exports of the web page."""


def build_requests(entry: Entry, period: Period | None) -> list[Request]:
    """Returns a request for each part of `period` within one local year and on one side of the archive's edge."""
    if period is None:
        return generic.build_requests(entry, None)
    zone = ZoneInfo(entry.timezone)
    return [
        request
        for described, part in generic.split_at_archive(entry, period, datetime.now(UTC))
        for year_part in split_calendar_months(part, 12, zone)
        for request in generic.request_part(described, year_part)
    ]


def parse_response(entry: Entry, request: Request, response: Response) -> Page:
    """Parses an answer of the API, or an export of the web page. Where there are no columns in UTC, those of the
    prevailing time are read, on the day when the clock is set back by the order of the rows."""
    head = response.body[:EXPORT_HEAD_BYTES].removeprefix(BOM).lstrip()
    if head[:1] not in (b"{", b"["):
        entry = msgspec.structs.replace(entry, pages=None, time_format=EXPORT_TIMES)
    if b"_utc" not in head.lower() and b"_ept" in head.lower():
        entry = msgspec.structs.replace(
            entry,
            time=tuple(name.replace("_utc", "_ept") for name in entry.time),
            interval_from=entry.interval_from and entry.interval_from.replace("_utc", "_ept"),
            published=entry.published and entry.published.replace("_utc", "_ept"),
            times_in=None,
            ambiguous="order",
        )
    return generic.parse_response(entry, request, response)
