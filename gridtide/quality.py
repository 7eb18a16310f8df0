"""What the lake lacks of an entry at a moment: gaps, what is to be asked again, what is late; pure.

window       |--------------------------------|····  what is not due yet is clipped
files           |-----|     |-----------------|      by their names
gaps         |--|     |-----|
settled      |--------------------|                  older than `reread`: the upstream revises it no more
asked then      |-----|                              by files that were made when it had settled
revisions                   |-----|                  settled by now, but asked for only before
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim

from gridtide.config import TABULAR, Entry, Schedule
from gridtide.periods import EPOCH, Period, floor, missing, union

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

MINUTE = timedelta(minutes=1)

WIDTH = 20
"""Cells of a picture."""

FAILED = "×"
LEVELS = " ▁▂▃▄▅▆▇█"


class Filed(Protocol):
    """What the name of a file says."""

    @property
    def stamp(self) -> datetime:
        """When the run started that made it."""
        ...

    @property
    def period(self) -> Period | None:
        """What it answers, None for a snapshot."""
        ...

    @property
    def extension(self) -> str:
        """Its format."""
        ...


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which parts of `span` are `complete`; what is `missing`, of which `failed` was asked for in vain."""

    span: Period
    complete: tuple[Period, ...]
    failed: tuple[Period, ...] = ()

    @property
    def missing(self) -> list[Period]:
        """What of the span is not complete."""
        return missing(self.span, self.complete)

    @property
    def share(self) -> float:
        """How much of the span is complete, 0 to 1."""
        return 1 - sum((hole.duration for hole in self.missing), timedelta()) / self.span.duration

    def __str__(self) -> str:
        picture = self.picture()
        return f"{self.span.start:%Y-%m-%d} {picture} {self.span.end:%Y-%m-%d} {int(100 * self.share):>3}%"

    def picture(self, width: int = WIDTH) -> str:
        """The span as a bar of `width` cells, each as high as the share of it that is complete, `×` where it failed.

        >>> day = lambda n: EPOCH + n * timedelta(days=1)
        >>> Coverage(Period(day(0), day(4)), (Period(day(0), day(2)),), (Period(day(3), day(4)),)).picture(4)
        '██ ×'
        """
        step = self.span.duration / width
        cells = [Period(self.span.start + i * step, self.span.start + (i + 1) * step) for i in range(width)]
        return "".join(self._cell(cell) for cell in cells)

    def _cell(self, cell: Period) -> str:
        """Nothing where nothing is complete, the highest where all is, between them wherever only some is."""
        holes = missing(cell, self.complete)
        if any(_overlap(hole, failed) for hole in holes for failed in self.failed):
            return FAILED
        share = 1 - sum((hole.duration for hole in holes), timedelta()) / cell.duration
        if not holes or not share:
            return LEVELS[-1] if share else LEVELS[0]
        return LEVELS[min(len(LEVELS) - 2, 1 + int(share * (len(LEVELS) - 2)))]


def due(entry: Entry, wanted: Period, now: datetime) -> Period | None:
    """What of `wanted` can be available at `now`, None if nothing can."""
    end = min(wanted.end, entry.due(now))
    return Period(wanted.start, end) if end > wanted.start else None


def expected(entry: Entry, schedule: Schedule | None, wanted: Period, now: datetime) -> Period:
    """What of `wanted` the runs of the entry's `schedule` should have collected by `now`; all without a schedule."""
    end = entry.due(last_run(schedule, now - entry.deadline)) if schedule else wanted.end
    return Period(wanted.start, min(wanted.end, end)) if end > wanted.start else wanted


def covered(files: Iterable[Filed]) -> list[Period]:
    """The periods that files of observations answer, joined."""
    return union(file.period for file in files if file.period and file.extension in TABULAR)


def gaps(entry: Entry, wanted: Period, now: datetime, files: Iterable[Filed]) -> list[Period]:
    """What of `wanted` is due at `now` and in no file."""
    asked = due(entry, wanted, now)
    return missing(asked, covered(files)) if asked else []


def revisions(
    entry: Entry, wanted: Period, now: datetime, files: Sequence[Filed], schedule: Schedule | None = None
) -> list[Period]:
    """What of `wanted` is in files that were all made before it settled, though it has by `now`.

    A value has settled when it is `entry.reread` old, counted from when it was due. The last scheduled run
    that asks for it may come up to the time between two runs of its `schedule` before that, and counts.
    """
    settled = due(entry, wanted, now - entry.reread)
    if settled is None:
        return []
    spare = max(entry.reread - (spacing(schedule, now) if schedule else timedelta()), timedelta())
    final = []
    for file in files:
        if file.period and file.extension in TABULAR:
            then = due(entry, file.period, file.stamp - spare)
            final += [then] if then else []
    absent = gaps(entry, wanted, now, files)
    return [piece for hole in missing(settled, final) for piece in missing(hole, absent)]


def late(entry: Entry, schedule: Schedule, now: datetime, files: Sequence[Filed]) -> datetime | None:
    """The latest run of `schedule` that must be done by `now`, if no file of it, or of a later one, is there."""
    run = last_run(schedule, now - entry.deadline)
    return run if not any(file.stamp >= run for file in files) else None


def last_run(schedule: Schedule, before: datetime) -> datetime:
    """When `schedule` was last due, at `before` or earlier.

    >>> str(last_run(Schedule(cron="12 * * * *"), EPOCH + timedelta(minutes=11)))
    '1969-12-31 23:12:00+00:00'
    """
    local = floor(before + MINUTE, MINUTE).astimezone(ZoneInfo(schedule.timezone))
    return next(CronSim(schedule.cron, local, reverse=True)).astimezone(UTC)


def spacing(schedule: Schedule, before: datetime, runs: int = 10) -> timedelta:
    """The longest time between two of the last `runs` of `schedule`."""
    moments = [last_run(schedule, before)]
    for _ in range(runs):
        moments.append(last_run(schedule, moments[-1] - MINUTE))
    return max(after - earlier for after, earlier in pairwise(moments))


def starts(table: pa.Table) -> dict[str, npt.NDArray[np.int64]]:
    """The interval starts (µs since 1970) of each series of the observations `table`, as `location variable`."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from gridtide.hourly import integers

    names = pc.binary_join_element_wise(*(table[name].cast(pa.string()) for name in ("location", "variable")), " ")
    series = names.combine_chunks().dictionary_encode()
    codes, moments = series.indices.to_numpy(), integers(table["interval_start"])
    order = np.argsort(codes, kind="stable")
    parts = np.split(moments[order], np.cumsum(np.bincount(codes, minlength=len(series.dictionary)))[:-1])
    return dict(zip(series.dictionary.to_pylist(), parts, strict=False))


def unpublished(
    series: Mapping[str, npt.NDArray[np.int64]], complete: Iterable[Period], resolution: timedelta
) -> dict[Period, list[str]]:
    """Where a series has no value although its period is complete: what its upstream never published.

    `series` are the interval starts of each (µs since 1970, any order); one that keeps to no raster of
    `resolution` says nothing. Returns the series that lack each period.
    """
    import numpy as np

    step = resolution // timedelta(microseconds=1)
    raster = min(step, timedelta(hours=1) // timedelta(microseconds=1))
    lacking: dict[Period, list[str]] = defaultdict(list)
    for name, moments in series.items():
        if (moments % raster).any():
            continue
        there = np.unique(moments // step)
        for period in complete:
            first, last = -(-_micros(period.start) // step), _micros(period.end) // step
            cells = np.setdiff1d(np.arange(first, last), there)
            for run in np.split(cells, np.flatnonzero(np.diff(cells) > 1) + 1) if len(cells) else []:
                lacking[Period(EPOCH + int(run[0]) * resolution, EPOCH + (int(run[-1]) + 1) * resolution)].append(name)
    return dict(sorted(lacking.items()))


def window(now: datetime, days: int) -> Period:
    """The last `days` days, from a midnight on to the last full hour."""
    return Period(floor(now - timedelta(days=days), timedelta(days=1)), floor(now, timedelta(hours=1)))


def _overlap(one: Period, other: Period) -> bool:
    return one.start < other.end and other.start < one.end


def _micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)
