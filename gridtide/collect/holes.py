"""The holes of a collection: the parts of its period without an answer, and the rows between them.

period    |-----------------------------|
requests  |--ok--|-fail-|--ok--|-ok-|-ok-|
holes            |------|
parts     |------|      |-----------------|    one file each
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
from gridtide.sources.registry import get_source

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


ELSEWHERE = "all rows of the answer lie outside it: they are stored, and the period stays open"
"""Why a period stays open if its answer lies outside it."""


@dataclass(frozen=True, slots=True)
class Hole:
    """A `period` that was not answered, because of `error`; None if the answer lay outside it."""

    period: Period
    error: GridtideError | None

    def as_dict(self) -> dict[str, Any]:
        """Returns the hole as small JSON; `lasting` means that an immediate retry cannot help."""
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
        """The number of the first request that led to the request."""
        ...

    @property
    def request(self) -> Request:
        """The request."""
        ...


def find_row_parts(
    table: pa.Table,
    owners: np.ndarray,
    slices: Sequence[RowSlice],
    failed_roots: Collection[int],
    parts: Sequence[Period],
) -> np.ndarray:
    """Returns in which of `parts` each row of `table` lies, shape (rows,).

    That is the number of the part, `len(parts)` for no part, or -1 for a row that follows from one of `failed_roots`.
    `owners` (rows,) are the numbers of the `slices` of the rows. The answer to a request for a period within one part
    belongs to that part, wherever its intervals start, as for an issue of a forecast. Other rows belong to the part in
    which their interval starts.
    """
    import numpy as np

    from gridtide.observations.times import to_microseconds

    starts = to_microseconds(table["interval_start"])
    part_numbers = np.full(table.num_rows, len(parts))
    bounds = [(microseconds(part.start), microseconds(part.end)) for part in parts]
    for number, (begin, end) in enumerate(bounds):
        part_numbers[(begin <= starts) & (starts < end)] = number
    for owner, part_slice in enumerate(slices):
        is_owned = owners == owner
        asked_period = part_slice.request.period
        containing_parts = [number for number, part in enumerate(parts) if asked_period and part.contains(asked_period)]
        if containing_parts:  # even if another request from the same root failed: a first page may lead to many periods
            part_numbers[is_owned] = containing_parts[0]
        elif part_slice.root in failed_roots:
            part_numbers[is_owned] = -1
    return part_numbers


def find_day(moment: datetime, entry: Entry, period: Period) -> Period:
    """Returns the part of `period` in the day of `moment`: a day in which the upstream answers, or else a UTC day; all
    of `period` if they do not overlap."""
    zone = get_source(entry.source).find_day_zone(entry)
    day = timedelta(days=1)
    start = floor(moment.astimezone(UTC), day)
    whole_day = local_day(moment.astimezone(zone).date(), zone) if zone else Period(start, start + day)
    if not whole_day.overlaps(period):
        return period
    return whole_day.clip(period)


def count_skipped(skipped: Iterable[Skipped]) -> list[Skipped]:
    """Merges entries of the same reason: counts are added, and the first example is kept."""
    by_reason: dict[str, Skipped] = {}
    for skipped_item in skipped:
        earlier = by_reason.get(skipped_item.reason)
        by_reason[skipped_item.reason] = (
            replace(earlier, count=earlier.count + skipped_item.count) if earlier else skipped_item
        )
    return list(by_reason.values())


def merge_equal(requests: Iterable[Request]) -> list[Request]:
    """Merges equal `requests` for periods that touch: one request then answers both periods."""
    merged: list[Request] = []
    positions: dict[object, int] = {}
    for request in requests:
        question = (request.url, request.params, request.headers, request.offset, request.body)
        position = positions.setdefault(question, len(merged))
        earlier = merged[position] if position < len(merged) else None
        request_for_both = earlier and _join_requests(earlier, request)
        if request_for_both:
            merged[position] = request_for_both
        else:
            merged.append(request)
    return merged


def _join_requests(earlier_request: Request, later_request: Request) -> Request | None:
    """Returns one request for both periods, None if there is a gap between them."""
    if not request_touches(earlier_request.period, later_request.period) or not request_touches(
        earlier_request.whole_period, later_request.whole_period
    ):
        return None
    return replace(
        earlier_request,
        period=_span_periods(earlier_request.period, later_request.period),
        whole_period=_span_periods(earlier_request.whole_period, later_request.whole_period),
    )


def request_touches(earlier: Period | None, later: Period | None) -> bool:
    """Whether there is no gap between the periods of two requests."""
    if earlier is None or later is None:
        return earlier is later
    return earlier.start <= later.end and later.start <= earlier.end


def _span_periods(earlier: Period | None, later: Period | None) -> Period | None:
    if earlier is None or later is None:
        return None
    return Period(min(earlier.start, later.start), max(earlier.end, later.end))
