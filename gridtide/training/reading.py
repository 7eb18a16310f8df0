"""What a training spec reads: first the plan, then the series.

spec ─► entries, period, hours, files ─► ReadingPlan ─► gather_series ─► hourly series

                rows of the set |------------------------------|
history of columns |------------|                              |----| what is known ahead
hours that are read |------------------------------------------------|
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from gridtide import curated
from gridtide.curated import Input
from gridtide.entries.entry import Config, Entry
from gridtide.errors import TrainingError
from gridtide.observations.series import SeriesNumbers
from gridtide.observations.times import MICROSECONDS_PER_HOUR, read_times, to_floats
from gridtide.periods import DAY, EPOCH, HOUR, Period
from gridtide.training.series.hourly import Hourly
from gridtide.training.series.hourly_grid import HourlyGrid
from gridtide.training.series.matching import similar_names
from gridtide.training.spec import TrainingSpec
from gridtide.training.windows import splits
from gridtide.variables import WILDCARDS, SeriesName, matches_any

if TYPE_CHECKING:
    from gridtide.lake import Lake


HISTORY, PUNCTUAL = 15 * DAY, 8 * DAY
"""How far before the rows values are read at least, for cleaning and for inputs that become known so many days after
they begin; for later ones further."""


@dataclass(frozen=True)
class ReadingPlan:
    """What is read for `spec`, decided before any series is.

    `entries`: by name, those whose files may hold its series. `rows`: the hours of the set. `hours`: those
    of which values are read. `files`: which, oldest first. `expected`: units of series, by name, that have
    their columns even where the files hold nothing of them.
    """

    spec: TrainingSpec
    entries: Mapping[str, Entry]
    rows: Period
    hours: Period
    files: tuple[Input, ...] = ()
    expected: Mapping[str, str] = field(default_factory=dict)

    @property
    def patterns(self) -> tuple[str, ...]:
        """Which series are read, with wildcards."""
        return tuple(pattern for location in self.spec.locations for pattern in location.patterns)

    def at_location(self, number: int) -> ReadingPlan:
        """What is read for the `number`-th location alone."""
        locations = (self.spec.locations[number],)
        return replace(self, spec=self.spec.model_copy(update={"locations": locations}))


@dataclass(frozen=True)
class GatheredSeries:
    """The series of a plan by the hour, and the names of all series in the files that were read, used or not."""

    hourly: Hourly
    stored: frozenset[str]


async def plan_reading(
    spec: TrainingSpec, config: Config, lake: Lake, inputs: Sequence[Input] | None = None
) -> ReadingPlan:
    """What is read for `spec` from the files of `config`'s entries in `lake`, of `inputs` alone if they are given.

    Raises `TrainingError` where the spec asks for what the lake does not hold, `StorageError` for one of
    `inputs` that is gone or no longer what it was.
    """
    entries = {entry.name: entry for entry in select_entries(spec, config)}
    rows = await resolve_period(spec, entries, lake, inputs)
    splits.find_bounds(spec, rows)  # what it refuses need not be read
    hours = Period(rows.start - history_length(spec, entries), rows.end + lead_length(spec))
    if inputs is None:
        inputs = await curated.inputs(lake, entries.values(), hours, spec.as_of)
    else:
        await curated.verify(lake, inputs)
    return ReadingPlan(spec, entries, rows, hours, tuple(inputs))


async def gather_series(plan: ReadingPlan, lake: Lake) -> GatheredSeries:
    """The series of `plan` in `lake`; raises `TrainingError` for one that comes in two units."""
    patterns = plan.patterns
    grid = HourlyGrid(plan.hours, lambda name: matches_any(name, patterns))
    tables = curated.tables(lake, plan.entries.values(), plan.files, plan.hours, named_locations(patterns))
    async for name, table in tables:
        grid.add(table, plan.entries[name].available)
    stored = frozenset(grid.names_read)
    for series, unit in plan.expected.items():
        grid.expect(series, unit)
    return GatheredSeries(grid.finish(), stored)


def select_entries(spec: TrainingSpec, config: Config) -> list[Entry]:
    """The entries whose files may hold what `spec` names; raises `TrainingError` when there are none."""
    sources = {SeriesName.parse(pattern).source for location in spec.locations for pattern in location.patterns}
    entries = [entry for entry in config.apis if entry.tabular and matches_any(entry.source, sources)]
    if not entries:
        configured = sorted({entry.source for entry in config.apis if entry.tabular})
        raise TrainingError(
            spec.name, f"no entry has source {', '.join(sorted(sources))}", f"The sources are: {', '.join(configured)}"
        )
    return entries


def history_length(spec: TrainingSpec, entries: Mapping[str, Entry]) -> timedelta:
    """How far before its first row values of `entries` are read for `spec`."""
    lags = [entry.available.lag + entry.resolution for entry in entries.values() if entry.available.lag]
    back = timedelta(hours=max((*spec.features.lags, *spec.features.rolling), default=0))
    later = -((PUNCTUAL - max(lags, default=PUNCTUAL)) // DAY)  # whole days: rows are hours
    return max(HISTORY, spec.cleaning.stale * HOUR) + max(later, 0) * DAY + back


def lead_length(spec: TrainingSpec) -> timedelta:
    """How far after its last row values are read for `spec`: what is known ahead."""
    return timedelta(hours=max(spec.leads, default=0))


def named_locations(patterns: Iterable[str]) -> set[str] | None:
    """The locations that series patterns name, None where one may match any.

    >>> sorted(named_locations(["eia/ISNE/*", "open_meteo/boston/temperature_2m"]))
    ['ISNE', 'boston']
    """
    locations = set()
    for pattern in patterns:
        name = SeriesName.parse(pattern)
        if set(name.source + name.location) & WILDCARDS.keys():
            return None
        locations.add(name.location)
    return locations


async def resolve_period(
    spec: TrainingSpec, entries: Mapping[str, Entry], lake: Lake, inputs: Sequence[Input] | None
) -> Period:
    """The rows of `spec`; an end it leaves open is where the values of its targets end.

    Raises `TrainingError` when they have none, or the period is shorter than one window.
    """
    start, end = spec.start, spec.end
    if start is None or end is None:
        extent = await _target_extent(spec, entries, lake, inputs)
        start, end = start or extent.start, end or extent.end
    steps, window = (end - start) // HOUR, spec.seq_len + spec.horizon
    if steps < window:
        raise TrainingError(
            spec.name,
            f"a window is {window} hours long (seq_len {spec.seq_len} + horizon {spec.horizon}), "
            f"but there are only {max(steps, 0)} hours of targets from {start:%Y-%m-%dT%HZ} to {end:%Y-%m-%dT%HZ}",
            "Backfill more, or shorten seq_len or horizon",
        )
    return Period(start, end)


async def _target_extent(
    spec: TrainingSpec, entries: Mapping[str, Entry], lake: Lake, inputs: Sequence[Input] | None
) -> Period:
    """The hours over which the targets of `spec` have values; raises `TrainingError` where they have none."""
    always = Period(spec.start or EPOCH, spec.end or datetime.max.replace(tzinfo=EPOCH.tzinfo))
    goals = {pattern for location in spec.locations for pattern in location.targets}
    if inputs is None:
        sources = {SeriesName.parse(goal).source for goal in goals}
        of_targets = [entry for entry in entries.values() if matches_any(entry.source, sources)]
        inputs = await curated.inputs(lake, of_targets, always, spec.as_of)
    extent, stored = await find_extent(curated.tables(lake, entries.values(), inputs, always), goals)
    if extent is None:
        limits = {"from": spec.start, "before": spec.end, "as of": spec.as_of}
        limited = "".join(f" {word} {moment:%Y-%m-%dT%H:%M%z}" for word, moment in limits.items() if moment)
        remaining = {name for name in stored if not matches_any(name, goals)}
        choice = (
            f"Of these entries there are {', '.join(similar_names(min(goals), remaining))}"
            if remaining
            else "There are no others"
        )
        raise TrainingError(
            spec.name,
            f"no values of {', '.join(sorted(goals))} are stored{limited}",
            f"{choice}; choose one that is there, or ingest or backfill it first",
        )
    return extent


async def find_extent(
    tables: AsyncIterator[tuple[str, Any]], patterns: Iterable[str]
) -> tuple[Period | None, set[str]]:
    """The whole hours over which series that match `patterns` have values, None where they have none; and the names
    of all series in `tables`."""
    first, last = None, None
    goals, stored = sorted(patterns), set[str]()

    def number(source: str, location: str, variable: str, unit: str) -> int:
        name = str(SeriesName(source, location, variable))
        stored.add(name)
        return 0 if matches_any(name, goals) else -1

    numbers = SeriesNumbers(number)
    async for _, table in tables:
        filled = (numbers.of(table) == 0) & ~np.isnan(to_floats(table["value"]))
        if filled.any():
            start = read_times(table, "interval_start")
            end = np.maximum(read_times(table, "interval_end"), start + 1)
            begin = int(start[filled].min()) // MICROSECONDS_PER_HOUR
            until = -(-int(end[filled].max()) // MICROSECONDS_PER_HOUR)
            first, last = min(begin, begin if first is None else first), max(until, until if last is None else last)
    if first is None or last is None:
        return None, stored
    return Period(EPOCH + first * HOUR, EPOCH + last * HOUR), stored
