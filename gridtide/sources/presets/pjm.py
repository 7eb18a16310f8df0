"""What the preset of PJM does not say: a request may not span the end of a year, nor the edge of the archive."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from gridtide.periods import Period, split_calendar_months
from gridtide.sources import generic
from gridtide.sources.contract import Request

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry


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
