"""Plans which entries, files and hours a training spec needs, and reads their series.

spec ─► entries, period, hours, files ─► ReadingPlan ─► gather_series ─► hourly series

                rows of the set |------------------------------|
history of columns |------------|                              |----| what is known ahead
hours that are read |------------------------------------------------|
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
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
from gridtide.periods import DAY, EPOCH, HOUR, Period, floor
from gridtide.quality.screening import LOOKBACK
from gridtide.threads import run_computing
from gridtide.training.series.coarsening import coarsen_hours
from gridtide.training.series.hourly import Hourly
from gridtide.training.series.hourly_grid import HourlyGrid
from gridtide.training.series.matching import similar_names
from gridtide.training.series.steps import name_steps
from gridtide.training.spec import TrainingSpec
from gridtide.training.windows import splits
from gridtide.variables import WILDCARDS, SeriesName, matches_any

if TYPE_CHECKING:
    from gridtide.lake import Lake


logger = logging.getLogger("gridtide.training")


HISTORY, PUNCTUAL = 15 * DAY, 8 * DAY
"""Values are read from `HISTORY` before the first row, for cleaning and for inputs that become known up to `PUNCTUAL`
after their interval begins; for screening and for later inputs, from further back."""


@dataclass(frozen=True)
class ReadingPlan:
    """What is read for `spec`, decided before its series are gathered.

    `entries`: by name, the entries whose files may contain its series. `rows`: the hours of the set. `hours`: the hours
    whose values are read. `files`: the files to read, oldest first. `expected`: units by name of series that get
    columns even if the files do not contain them.
    """

    spec: TrainingSpec
    entries: Mapping[str, Entry]
    rows: Period
    hours: Period
    files: tuple[Input, ...] = ()
    expected: Mapping[str, str] = field(default_factory=dict)

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns of the series to read, with wildcards."""
        return tuple(pattern for location in self.spec.locations for pattern in location.patterns)

    def at_location(self, location_index: int) -> ReadingPlan:
        """Returns the plan for the `location_index`-th location alone."""
        locations = (self.spec.locations[location_index],)
        return replace(self, spec=self.spec.model_copy(update={"locations": locations}))


@dataclass(frozen=True)
class GatheredSeries:
    """The hourly series of a plan, and the names of all series in the files that were read, used or not."""

    hourly: Hourly
    stored: frozenset[str]


async def plan_reading(
    spec: TrainingSpec, config: Config, lake: Lake, inputs: Sequence[Input] | None = None
) -> ReadingPlan:
    """Plans what to read for `spec` from the files of `config`'s entries in `lake`; if `inputs` are given, only from
    those.

    Raises `TrainingError` if the lake does not hold what the spec asks for, `StorageError` if one of `inputs` is
    missing or has changed.
    """
    entries = {entry.name: entry for entry in select_entries(spec, config)}
    rows = await resolve_period(spec, entries, lake, inputs)
    splits.find_bounds(spec, rows)  # fails early, before anything is read
    hours = Period(rows.start - find_history_length(spec, entries), rows.end + find_lead_length(spec))
    if inputs is None:
        inputs = await curated.list_inputs(lake, entries.values(), hours, spec.as_of)
    else:
        await curated.verify(lake, inputs)
    return ReadingPlan(spec, entries, rows, hours, tuple(inputs))


async def gather_series(plan: ReadingPlan, lake: Lake) -> GatheredSeries:
    """Reads the series of `plan` from `lake`, each in one unit; warns of hours in a unit that cannot be converted."""
    patterns = plan.patterns
    grid = HourlyGrid(plan.hours, lambda name: matches_any(name, patterns), resolution=plan.spec.resolution)
    corrections, locations = curated.Corrections(), named_locations(patterns)
    tables = curated.read_tables(lake, plan.entries.values(), plan.files, plan.hours, locations, corrections)
    adding: Awaitable[None] | None = None
    async for name, table in tables:  # the next files are decoded while the rows of this table are added
        if adding is not None:
            await adding
        adding = asyncio.ensure_future(run_computing(grid.add, table, plan.entries[name].available))
    if adding is not None:
        await adding
    names_read = frozenset(grid.names_read)
    for series, unit in plan.expected.items():
        grid.expect(series, unit)
    hourly = replace(grid.finish(), corrections=corrections.describe(plan.entries))
    if plan.spec.resolution > HOUR:
        hourly = coarsen_hours(hourly, plan.spec.resolution)
    _warn_of_units(plan.spec, hourly)
    return GatheredSeries(hourly, names_read)


def _warn_of_units(spec: TrainingSpec, hourly: Hourly) -> None:
    for number, hours in hourly.refused.items():
        hour_numbers = np.flatnonzero(hours)
        if len(hour_numbers):
            first_hour, last_hour = (
                hourly.period.start + int(hour_number) * hourly.step for hour_number in hour_numbers[[0, -1]]
            )
            logger.warning(
                "%s: %d %s of %s from %s to %s are left out: they come in a unit that cannot be converted to %s",
                *(spec.name, len(hour_numbers), name_steps(hourly.step), hourly.names[number]),
                *(f"{first_hour:%Y-%m-%dT%H:%MZ}", f"{last_hour:%Y-%m-%dT%H:%MZ}", hourly.units[number]),
            )


def select_entries(spec: TrainingSpec, config: Config) -> list[Entry]:
    """Returns the entries whose files may contain the series of `spec`; raises `TrainingError` if there are none."""
    sources = {SeriesName.parse(pattern).source for location in spec.locations for pattern in location.patterns}
    entries = [entry for entry in config.apis if entry.tabular and matches_any(entry.source, sources)]
    if not entries:
        configured = sorted({entry.source for entry in config.apis if entry.tabular})
        raise TrainingError(
            spec.name, f"no entry has source {', '.join(sorted(sources))}", f"The sources are: {', '.join(configured)}"
        )
    return entries


def find_history_length(spec: TrainingSpec, entries: Mapping[str, Entry]) -> timedelta:
    """Returns how far before the first row of `spec` values of `entries` are read."""
    lags = [entry.available.lag + entry.resolution for entry in entries.values() if entry.available.lag]
    lookback = max((*spec.features.lags, *spec.features.rolling), default=0) * spec.resolution
    lookback = -(-lookback // HOUR) * HOUR  # rows at the same minute of an hour are judged together
    extra_days = -((PUNCTUAL - max(lags, default=PUNCTUAL)) // DAY)  # whole days: rows are hours
    rules = spec.cleaning
    longest_run = LOOKBACK if rules.is_screened else max(rules.stale, rules.repeat) + rules.fill_limit
    cleaning = -(-longest_run * HOUR // DAY) * DAY + PUNCTUAL  # a value that fills a gap may end a run
    return max(HISTORY, cleaning) + max(extra_days, 0) * DAY + lookback


def find_lead_length(spec: TrainingSpec, *, with_targets: bool = False) -> timedelta:
    """Returns how far after the last row of `spec` values are read, for series that are known ahead; `with_targets`, if
    the steps after the last row are to be predicted, so far as the forecasts of these steps reach."""
    longest = 2 * spec.longest_day if spec.gate else spec.gap + spec.horizon
    return max(*spec.leads, 0, longest if with_targets and spec.has_future else 0) * spec.resolution


def named_locations(patterns: Iterable[str]) -> set[str] | None:
    """Returns the locations that the series patterns name, or None if a pattern may match any location.

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
    """Returns the rows of `spec`; an open start or end is that of the values of its targets.

    Raises `TrainingError` if the targets have no values, or the period is shorter than one window.
    """
    start, end = spec.start, spec.end
    if start is None or end is None:
        whole_start, whole_end = await find_steps_of_targets(spec, entries, lake, inputs)
        start, end = start or whole_start, end or whole_end
    step_count, unit = (end - start) // spec.resolution, "hours" if spec.resolution == HOUR else "steps"
    if step_count < spec.window_length:
        gap = f" + gap {spec.gap}" if spec.gap else f" + up to {spec.longest_day} from the gate" if spec.gate else ""
        raise TrainingError(
            spec.name,
            f"a window is {spec.window_length} {unit} long (seq_len {spec.seq_len}{gap} + horizon {spec.horizon}), "
            f"but there are only {max(step_count, 0)} {unit} of targets "
            f"from {start:%Y-%m-%dT%HZ} to {end:%Y-%m-%dT%HZ}",
            "Backfill more, or shorten seq_len or horizon",
        )
    return Period(start, end)


def _shrink_to_steps(extent: Period, resolution: timedelta) -> tuple[datetime, datetime]:
    """Returns the start of the first and the end of the last whole step within the whole hours `extent`."""
    step = max(resolution, HOUR)
    return EPOCH - (EPOCH - extent.start) // step * step, floor(extent.end, step)


async def find_steps_of_targets(
    spec: TrainingSpec, entries: Mapping[str, Entry], lake: Lake, inputs: Sequence[Input] | None
) -> tuple[datetime, datetime]:
    """Returns the start of the first and the end of the last whole step over which the targets of `spec` have values;
    raises `TrainingError` if they have none."""
    bounds = Period(spec.start or EPOCH, spec.end or datetime.max.replace(tzinfo=EPOCH.tzinfo))
    target_patterns = {pattern for location in spec.locations for pattern in location.targets}
    if inputs is None:
        sources = {SeriesName.parse(goal).source for goal in target_patterns}
        of_targets = [entry for entry in entries.values() if matches_any(entry.source, sources)]
        inputs = await curated.list_inputs(lake, of_targets, bounds, spec.as_of)
    extent, names_read = await find_extent(curated.read_tables(lake, entries.values(), inputs, bounds), target_patterns)
    if extent is None:
        limits = {"from": spec.start, "before": spec.end, "as of": spec.as_of}
        limits_text = "".join(
            f" {preposition} {moment:%Y-%m-%dT%H:%M%z}" for preposition, moment in limits.items() if moment
        )
        remaining = {name for name in names_read if not matches_any(name, target_patterns)}
        suggestion = (
            f"Of these entries there are {', '.join(similar_names(min(target_patterns), remaining))}"
            if remaining
            else "There are no others"
        )
        raise TrainingError(
            spec.name,
            f"no values of {', '.join(sorted(target_patterns))} are stored{limits_text}",
            f"{suggestion}; choose one that is there, or ingest or backfill it first",
        )
    return _shrink_to_steps(extent, spec.resolution)


async def find_extent(
    tables: AsyncIterator[tuple[str, Any]], patterns: Iterable[str]
) -> tuple[Period | None, set[str]]:
    """Returns the whole hours over which the series that match `patterns` have values, or None if they have none; and
    the names of all series in `tables`."""
    first_hour, end_hour = None, None
    sorted_patterns, names_read = sorted(patterns), set[str]()

    def number(source: str, location: str, variable: str, unit: str) -> int:
        name = str(SeriesName(source, location, variable))
        names_read.add(name)
        return 0 if matches_any(name, sorted_patterns) else -1

    numbers = SeriesNumbers(number)
    async for _, table in tables:
        has_value = (numbers.of(table) == 0) & ~np.isnan(to_floats(table["value"]))
        if has_value.any():
            start = read_times(table, "interval_start")
            end = np.maximum(read_times(table, "interval_end"), start + 1)
            begin_hour = int(start[has_value].min()) // MICROSECONDS_PER_HOUR
            until_hour = -(-int(end[has_value].max()) // MICROSECONDS_PER_HOUR)
            first_hour, end_hour = (
                min(begin_hour, begin_hour if first_hour is None else first_hour),
                max(until_hour, until_hour if end_hour is None else end_hour),
            )
    if first_hour is None or end_hour is None:
        return None, names_read
    return Period(EPOCH + first_hour * HOUR, EPOCH + end_hour * HOUR), names_read
