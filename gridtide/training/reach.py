"""Which entries, files and hours a training spec reaches."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from gridtide import curated
from gridtide.curated import Input
from gridtide.entries.entry import Config, Entry
from gridtide.errors import TrainingError
from gridtide.observations.series import SeriesNumbers
from gridtide.observations.times import MICROSECONDS_PER_HOUR, read_times, to_floats
from gridtide.periods import DAY, EPOCH, HOUR, Period
from gridtide.training.series.bases import similar_names
from gridtide.training.series.hourly_grid import HourlyGrid
from gridtide.training.spec import TrainingSpec

if TYPE_CHECKING:
    from gridtide.lake import Lake


HISTORY, PUNCTUAL = 15 * DAY, 8 * DAY
"""How far before the period values are read at least, for cleaning and for inputs that become known so many days after
they begin; for later ones further."""


def reading_period(wanted: TrainingSpec, entries: Mapping[str, Entry], period: Period) -> Period:
    """The hours of which values are read for the rows `period` of `wanted`, from files of `entries`."""
    return Period(period.start - history_length(wanted, entries), period.end + lead_length(wanted))


def history_length(wanted: TrainingSpec, entries: Mapping[str, Entry]) -> timedelta:
    """How far before its first row values of `entries` are read for `wanted`."""
    late = max((one.available.lag + one.resolution for one in entries.values() if one.available.lag), default=PUNCTUAL)
    back = timedelta(hours=max((*wanted.features.lags, *wanted.features.rolling), default=0))
    return HISTORY + max(-((PUNCTUAL - late) // DAY), 0) * DAY + back  # whole days: rows are hours


def lead_length(wanted: TrainingSpec) -> timedelta:
    """How far after its last row values are read for `wanted`: what is known ahead."""
    return timedelta(hours=max(wanted.leads, default=0))


async def gather(
    wanted: TrainingSpec, entries: Mapping[str, Entry], lake: Lake, pinned: Sequence[Input], reading: Period
) -> HourlyGrid:
    """The series of `wanted` in the files `pinned` of `entries` (by name), over the hours `reading`."""
    patterns = [p for location in wanted.locations for p in (*location.inputs, *location.targets)]
    grid = HourlyGrid(reading, lambda name: any(fnmatchcase(name, pattern) for pattern in patterns))
    async for name, table in curated.tables(lake, entries.values(), pinned, reading, named_locations(patterns)):
        grid.add(table, entries[name].available)
    return grid


def named_locations(patterns: Iterable[str]) -> set[str] | None:
    """The locations that series patterns name, None where one may match any.

    >>> sorted(places(["eia/ISNE/*", "open_meteo/boston/temperature_2m"]))
    ['ISNE', 'boston']
    """
    found = set()
    for pattern in patterns:
        place, _, _ = pattern.rpartition("/")
        if not place or set(place) & set("*?["):
            return None
        found.add(place.partition("/")[2])
    return found


def select_entries(wanted: TrainingSpec, config: Config) -> list[Entry]:
    """The entries whose files may hold what `wanted` names; raises `TrainingError` when there are none."""
    patterns = {p.split("/", 1)[0] for place in wanted.locations for p in (*place.inputs, *place.targets)}
    entries = [e for e in config.apis if e.tabular and any(fnmatchcase(e.source, p) for p in patterns)]
    if not entries:
        there = sorted({entry.source for entry in config.apis if entry.tabular})
        raise TrainingError(
            wanted.name, f"no entry has source {', '.join(sorted(patterns))}", f"The sources are: {', '.join(there)}"
        )
    return entries


async def resolve_period(
    wanted: TrainingSpec, entries: Mapping[str, Entry], lake: Lake, inputs: Sequence[Input] | None
) -> Period:
    """The period of `wanted`; an end it leaves open is where the values of its targets end.

    Raises `TrainingError` when they have none, or the period is shorter than one window.
    """
    start, end = wanted.start, wanted.end
    if start is None or end is None:
        always = Period(start or EPOCH, end or datetime.max.replace(tzinfo=EPOCH.tzinfo))
        goals = {p for location in wanted.locations for p in location.targets}
        pinned = inputs
        if pinned is None:
            of_targets = [e for e in entries.values() if any(fnmatchcase(e.source, g.split("/", 1)[0]) for g in goals)]
            pinned = await curated.inputs(lake, of_targets, always, wanted.as_of)
        found, seen = await find_extent(curated.tables(lake, entries.values(), pinned, always), goals)
        if found is None:
            limits = {"from": wanted.start, "before": wanted.end, "as of": wanted.as_of}
            asked = "".join(f" {word} {moment:%Y-%m-%dT%H:%M%z}" for word, moment in limits.items() if moment)
            others = {name for name in seen if not any(fnmatchcase(name, goal) for goal in goals)}
            there = (
                f"Of these entries there are {', '.join(similar_names(min(goals), others))}"
                if others
                else "There are no others"
            )
            raise TrainingError(
                wanted.name,
                f"no values of {', '.join(sorted(goals))} are stored{asked}",
                f"{there}; choose one that is there, or ingest or backfill it first",
            )
        start, end = start or found.start, end or found.end
    steps, window = (end - start) // HOUR, wanted.seq_len + wanted.horizon
    if steps < window:
        raise TrainingError(
            wanted.name,
            f"a window is {window} hours long (seq_len {wanted.seq_len} + horizon {wanted.horizon}), "
            f"but there are only {max(steps, 0)} hours of targets from {start:%Y-%m-%dT%HZ} to {end:%Y-%m-%dT%HZ}",
            "Backfill more, or shorten seq_len or horizon",
        )
    return Period(start, end)


async def find_extent(
    tables: AsyncIterator[tuple[str, Any]], patterns: Iterable[str]
) -> tuple[Period | None, set[str]]:
    """The whole hours over which series that match `patterns` have values, None where they have none; and the names
    of all that came by."""
    first, last = None, None
    wanted, seen = sorted(patterns), set[str]()

    def number(source: str, location: str, variable: str, unit: str) -> int:
        name = f"{source}/{location}/{variable}"
        seen.add(name)
        return 0 if any(fnmatchcase(name, pattern) for pattern in wanted) else -1

    goals = SeriesNumbers(number)
    async for _, table in tables:
        there = (goals.of(table) == 0) & ~np.isnan(to_floats(table["value"]))
        if there.any():
            begin = int(read_times(table, "interval_start")[there].min()) // MICROSECONDS_PER_HOUR
            until = -(
                -int(
                    np.maximum(read_times(table, "interval_end"), read_times(table, "interval_start") + 1)[there].max()
                )
                // MICROSECONDS_PER_HOUR
            )
            first, last = min(begin, begin if first is None else first), max(until, until if last is None else last)
    if first is None or last is None:
        return None, seen
    return Period(EPOCH + first * HOUR, EPOCH + last * HOUR), seen
