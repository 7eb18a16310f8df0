"""Where a collection has holes: what of its period was not answered, and which rows lie between.

period    |-----------------------------|
requests  |--ok--|-fail-|--ok--|-ok-|-ok-|
holes            |------|
parts     |------|      |-----------------|    a file each
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from gridtide.entries.entry import Entry
from gridtide.errors import GridtideError, one_line
from gridtide.periods import Period, floor, local_day, microseconds
from gridtide.sources.contract import Request, Skipped
from gridtide.sources.registry import source

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


ELSEWHERE = "nothing of the answer lies in it: the rows are kept, the period stays open"
"""Why the period of an answer about something else is open."""


@dataclass(frozen=True, slots=True)
class Hole:
    """A `period` that was not answered, because of `error`; without one, the answer was about something else."""

    period: Period
    error: GridtideError | None

    def as_dict(self) -> dict[str, Any]:
        """The same as small JSON; `lasting` says that asking again at once cannot help."""
        reason = one_line(self.error) if self.error else ELSEWHERE
        return {
            "period": str(self.period),
            "reason": reason,
            "failed": self.error is not None,
            "lasting": self.error is None or not self.error.retryable,
        }


class RowSlice(Protocol):
    """Rows that answer one request."""

    @property
    def root(self) -> int:
        """The number of the first request from which the request follows."""
        ...

    @property
    def request(self) -> Request:
        """What was asked."""
        ...


def parts_of_rows(
    table: pa.Table,
    owners: np.ndarray,
    slices: Sequence[RowSlice],
    failed_roots: Collection[int],
    parts: Sequence[Period],
) -> np.ndarray:
    """In which of `parts` each row of `table` lies, shape (rows,): its number, `len(parts)` for none of them, -1 for a
    row that follows from one of `failed_roots`. `owners` (rows,) are the numbers of the `slices` of the rows.

    What a request for a period within one part answers belongs to that part, wherever its intervals start: an issue of
    a forecast does. Else the start of its interval decides.
    """
    import numpy as np

    from gridtide.observations.times import to_microseconds

    starts = to_microseconds(table["interval_start"])
    places = np.full(table.num_rows, len(parts))
    bounds = [(microseconds(part.start), microseconds(part.end)) for part in parts]
    for number, (first, end) in enumerate(bounds):
        places[(first <= starts) & (starts < end)] = number
    for owner, part_slice in enumerate(slices):
        rows = owners == owner
        asked_period = part_slice.request.period
        inside = [
            number
            for number, part in enumerate(parts)
            if asked_period and part.start <= asked_period.start and asked_period.end <= part.end
        ]
        if inside:  # also where another request from the same root failed: a first page may lead to many periods
            places[rows] = inside[0]
        elif part_slice.root in failed_roots:
            places[rows] = -1
    return places


def day_of(moment: datetime, entry: Entry, period: Period) -> Period:
    """What of `period` is in the day of `moment`, by which the upstream answers, else in UTC's; all of it if nothing
    is."""
    zone = source(entry.source).days(entry)
    day = timedelta(days=1)
    start = floor(moment.astimezone(UTC), day)
    whole = local_day(moment.astimezone(zone).date(), zone) if zone else Period(start, start + day)
    if not whole.overlaps(period):
        return period
    return whole.clip(period)


def count_skipped(skipped: Iterable[Skipped]) -> list[Skipped]:
    """The same by reason: counts are added, the first example stays."""
    by_reason: dict[str, Skipped] = {}
    for item in skipped:
        first = by_reason.get(item.reason)
        by_reason[item.reason] = replace(first, count=first.count + item.count) if first else item
    return list(by_reason.values())


def merge_equal(requests: Iterable[Request]) -> list[Request]:
    """`requests` without those that ask the very same as another for a period that touches the other's: one request
    then answers both periods."""
    merged: list[Request] = []
    places: dict[object, int] = {}
    for request in requests:
        question = (request.url, request.params, request.headers, request.offset, request.body)
        place = places.setdefault(question, len(merged))
        earlier = merged[place] if place < len(merged) else None
        joined = earlier and _join_requests(earlier, request)
        if joined:
            merged[place] = joined
        else:
            merged.append(request)
    return merged


def _join_requests(earlier: Request, later: Request) -> Request | None:
    """One request for the periods of both, None if a gap lies between them."""
    if not request_touches(earlier.period, later.period) or not request_touches(
        earlier.whole_period, later.whole_period
    ):
        return None
    return replace(
        earlier,
        period=_span_periods(earlier.period, later.period),
        whole_period=_span_periods(earlier.whole_period, later.whole_period),
    )


def request_touches(earlier: Period | None, later: Period | None) -> bool:
    """Whether no gap lies between the periods of two requests."""
    if earlier is None or later is None:
        return earlier is later
    return earlier.start <= later.end and later.start <= earlier.end


def _span_periods(earlier: Period | None, later: Period | None) -> Period | None:
    if earlier is None or later is None:
        return None
    return Period(min(earlier.start, later.start), max(earlier.end, later.end))
