"""Local times without an offset, told apart where a clock shows them twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo


def to_utc(times: Sequence[datetime], zone: ZoneInfo) -> list[datetime]:
    """The naive `times` of one series in `zone`, going forward or backward, as UTC.

    Of the two times that an autumn clock shows alike, the one that comes first going forward is
    the earlier. Raises `ValueError` where only one of them is there, so that it could be either,
    and for a time that the spring clock skips.

    >>> nights = [datetime(2024, 11, 3, 1), datetime(2024, 11, 3, 1)]
    >>> [moment.hour for moment in to_utc(nights, ZoneInfo("America/New_York"))]
    [5, 6]
    """
    backward = len(times) > 1 and times[0] > times[-1]
    count = Counter(times)
    seen: Counter[datetime] = Counter()
    found = []
    for time in reversed(times) if backward else times:
        found.append(_moment(time, zone, seen[time], count[time]).astimezone(UTC))
        seen[time] += 1
    return found[::-1] if backward else found


def _moment(time: datetime, zone: ZoneInfo, number: int, count: int) -> datetime:
    """`time` in `zone`, the `number`-th of `count` alike."""
    first, second = (time.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    turned = (second.utcoffset() or 0) != (first.utcoffset() or 0)
    if not turned:
        return first
    if first.astimezone(UTC) > second.astimezone(UTC):
        raise ValueError(f"{time:%Y-%m-%dT%H:%M} does not exist in {zone.key}: the clock skips it")
    if count != 2:
        raise ValueError(f"{time:%Y-%m-%dT%H:%M} comes twice in {zone.key}, but {count} times in the answer")
    return second if number else first
