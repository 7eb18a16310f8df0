"""What the preset of SPP does not say: the file of a midnight looks back 24 hours, so that of a day with 25 hours the
first one is only in the file of an hour earlier.

    00:00 ├ first ─┼───────────── 24 hours ─────────────┤ 00:00
          └──────────── file of 23:00 ─────────┘
                   └────────── file of 00:00 ───────────┘
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from gridtide.periods import Period, local_day
from gridtide.sources import generic
from gridtide.sources.contract import Page, Request, Response, Skipped

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry

LOOKING_BACK = "load_system"
"""The product that is read from the file of the next midnight."""

FIRST_HOUR = " first hour"
"""The end of the label of a request for the first of 25 hours."""


def build_requests(entry: Entry, period: Period | None) -> list[Request]:
    """Returns a request for each file, and for days of 25 hours one more for the first hour."""
    requests = generic.build_requests(entry, period)
    if entry.product != LOOKING_BACK:
        return requests
    return [part for request in requests for part in (request, *_request_first_hour(entry, request))]


def _request_first_hour(entry: Entry, request: Request) -> list[Request]:
    if request.period is None:
        return []
    zone = ZoneInfo(entry.timezone)
    date = request.period.start.astimezone(zone).date()
    day = local_day(date, zone)
    hour = Period(day.start, day.start + timedelta(hours=1))
    if day.end - day.start <= timedelta(days=1) or not hour.overlaps(request.period):
        return []
    path = f"/{date:%Y/%m/%d}/OP-MTLF-{date:%Y%m%d}2300.csv"
    params = tuple((key, path if key == "path" else text) for key, text in request.params)
    return [replace(request, params=params, period=hour, label=f"{request.label}{FIRST_HOUR}")]


def parse_response(entry: Entry, request: Request, response: Response) -> Page:
    """Parses a file; of that for the first hour of a day only this hour is stored, as another file has the others."""
    page = generic.parse_response(entry, request, response)
    if not request.label.endswith(FIRST_HOUR) or request.period is None:
        return page
    import pyarrow.compute as pc

    starts = page.observations["interval_start"]
    is_asked = pc.and_(pc.greater_equal(starts, request.period.start), pc.less(starts, request.period.end))
    rows = page.observations.filter(is_asked)
    count = page.observations.num_rows - rows.num_rows
    later_hours = Skipped("hours that the file of midnight has", count, "", expected=True)
    return replace(page, observations=rows, skipped=[*page.skipped, later_hours])
