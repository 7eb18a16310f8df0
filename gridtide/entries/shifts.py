"""Shifts: a series whose labels are early or late is read at the right hours; stored values keep their labels.

"shift": {"by": "PT1H", "from": "2021-07-01", "until": "2021-08-01", "series": "eia/PJM/generation_solar"}

stored    ──┤ 1 │ 2 │ 3 ├──            labels of July are an hour early
read      ──┤   │ 1 │ 2 │ ──           the 3 meets what is reported for August 1, which is read
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from typing import Annotated

import msgspec

from gridtide.entries.field_types import PrintableText, check_moment
from gridtide.entries.structs import StrictStruct
from gridtide.periods import Period
from gridtide.variables import SeriesName, matches_any

FURTHEST_MOVE = timedelta(days=1)
"""The greatest shift that is accepted."""

LATEST = datetime.max.replace(tzinfo=UTC)


def _check_shift(duration: timedelta) -> None:
    if not duration:
        raise ValueError('moves nothing; use such as "PT1H", or "-PT1H" if labels are late')
    if abs(duration) > FURTHEST_MOVE or duration % timedelta(minutes=1):
        raise ValueError('must be whole minutes, at most a day; use such as "PT1H"')


def _check_day_or_moment(text: str) -> None:
    try:
        date.fromisoformat(text)
    except ValueError:
        check_moment(text)


class Shift(StrictStruct, frozen=True, kw_only=True):
    """Values of the series that match `series` (all of the entry's if it is empty), in intervals whose stored start
    lies in `[since, until)`, are read later by `by`, or earlier if it is negative. Names are those that are stored,
    before aliases. A moment without a time of day is midnight UTC."""

    by: Annotated[timedelta, _check_shift]
    since: Annotated[str, _check_day_or_moment] = msgspec.field(name="from")
    until: Annotated[str, _check_day_or_moment] | None = None
    series: PrintableText | tuple[PrintableText, ...] = ()

    def __post_init__(self) -> None:
        """Raises `ValueError` if a pattern is invalid or the period is empty."""
        for pattern in self.patterns:
            SeriesName.parse(pattern)
        start, end = self.bounds
        if start >= end:
            raise ValueError('"from" is not earlier than "until"; no interval starts in between')

    @property
    def text(self) -> str:
        """The length of the shift in hours and minutes, ISO 8601, such as `-PT1H30M`."""
        hours, minutes = divmod(abs(self.by) // timedelta(minutes=1), 60)
        sign = "-" if self.by < timedelta(0) else ""
        return f"{sign}PT{f'{hours}H' if hours else ''}{f'{minutes}M' if minutes else ''}"

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns of the series that are shifted, as a tuple."""
        return (self.series,) if isinstance(self.series, str) else self.series

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """The moments `since` and `until`, UTC; the latest possible one if it has no end."""
        return _parse_moment(self.since), _parse_moment(self.until) if self.until else LATEST

    def concerns(self, name: str) -> bool:
        """Whether the series `name` is shifted."""
        return not self.patterns or matches_any(name, self.patterns)


def find_shift_problems(shifts: Sequence[Shift], source: str) -> list[str]:
    """Returns a problem for each pattern of another source than the entry's, and for each pair of `shifts` that would
    shift one series twice at one time."""
    problems = [
        f"shift[{number}]: {pattern} is of another source than the entry; its series are {source}/…"
        for number, shift in enumerate(shifts)
        for pattern in shift.patterns
        if not matches_any(source, [SeriesName.parse(pattern).source])
    ]
    return problems + [
        f"shift[{second}]: shifts series in a period in which shift[{first}] does; "
        'make "until" of the earlier the "from" of the later, or name other series'
        for (first, earlier), (second, later) in combinations(enumerate(shifts), 2)
        if Period(*earlier.bounds).overlaps(Period(*later.bounds)) and _share_series(earlier, later)
    ]


def widen_period(period: Period, shifts: Sequence[Shift]) -> Period:
    """Returns the stored hours of which some are read in `period`."""
    latest = max((shift.by for shift in shifts), default=timedelta(0))
    earliest = min((shift.by for shift in shifts), default=timedelta(0))
    start = period.start - max(latest, timedelta(0))
    end = period.end - min(earliest, timedelta(0)) if LATEST - period.end > FURTHEST_MOVE else LATEST
    return Period(start, end)


def _share_series(first: Shift, second: Shift) -> bool:
    """Whether a pattern of one of both matches those of the other; patterns that only cross are not found."""
    return (
        not (first.patterns and second.patterns)
        or any(matches_any(pattern, first.patterns) for pattern in second.patterns)
        or any(matches_any(pattern, second.patterns) for pattern in first.patterns)
    )


def _parse_moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
