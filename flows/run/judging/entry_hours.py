"""Reads the hours that the flow `quality` judges, and judges what series of several entries say together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import msgspec

from gridtide import curated
from gridtide.entries.entry import Entry
from gridtide.entries.expect.checks import Check, CompareRule
from gridtide.errors import GridtideError, one_line
from gridtide.lake import Lake
from gridtide.observations.availability import find_due_end
from gridtide.periods import DAY, Period, floor
from gridtide.quality.daily import NO_CLOCKS, ClockHistory, DayVerdict, HourlySeries, join_hours, judge_days
from gridtide.quality.relations.equations import Relation, find_known_relations, find_ruled_relations
from gridtide.quality.relations.pair_verdicts import judge_pairs
from gridtide.quality.relations.pairs import SeriesPair, find_known_pairs, find_ruled_pairs
from gridtide.quality.relations.presence import judge_presence
from gridtide.quality.relations.revised_values import RevisionGrid
from gridtide.quality.relations.sum_verdicts import RelationResiduals, judge_relations
from gridtide.threads import run_computing
from gridtide.training.series.hourly_grid import HourlyGrid
from gridtide.variables import SeriesName

BEFORE = 20 * DAY
"""The days before those that are judged, which show what is usual."""


REVISED_TIME = 92 * DAY
"""How far back revisions are measured: upstreams rarely revise earlier days, and all versions of years would take
gigabytes."""


@dataclass(frozen=True)
class EntryHours:
    """The hourly series of `entry` up to the last whole day that is due, None if it has none, and the verdicts on each
    of its series."""

    entry: Entry
    series: HourlySeries | None = None
    verdicts: Sequence[DayVerdict] = ()


@dataclass(frozen=True)
class SharedVerdicts:
    """What series of several entries say together: the verdicts, the hourly residuals of sums, whose hours count from
    `start`, and the `problems`: checks that could not be made, in sentences."""

    verdicts: Sequence[DayVerdict] = ()
    residuals: Sequence[RelationResiduals] = ()
    start: datetime | None = None
    problems: Sequence[str] = field(default=())


async def judge_entry(
    lake: Lake, entry: Entry, now: datetime, days: int, clocks: ClockHistory = NO_CLOCKS
) -> EntryHours:
    """Reads the hours of `entry` as they were reported, and judges each of its series on the last `days` whole days
    that are due; `clocks` are those of earlier runs."""
    if not entry.tabular:
        return EntryHours(entry)
    end = min(floor(find_due_end(entry, now), DAY), floor(now, DAY))
    hours = Period(end - days * DAY - BEFORE, end)
    revisions = RevisionGrid(Period(end - min(days * DAY, REVISED_TIME), end))
    series = await _read_hours(lake, entry, hours, revisions=revisions)
    if series is None:
        return EntryHours(entry)
    first_day = BEFORE // DAY
    verdicts = await run_computing(judge_days, series, first_day, clocks=clocks)
    return EntryHours(entry, series, [*verdicts, *judge_presence(series, first_day), *revisions.judge()])


async def _read_hours(
    lake: Lake,
    entry: Entry,
    hours: Period,
    names: Iterable[str] | None = None,
    revisions: RevisionGrid | None = None,
) -> HourlySeries | None:
    """Reads the series `names` of `entry`, all if None, over `hours` without its shifts, and adds their versions to
    `revisions`; None if it has none."""
    entry = msgspec.structs.replace(entry, shift=())
    selection = None if names is None else set(names)
    locations = None if selection is None else {SeriesName.parse(name).location for name in selection}
    inputs = await curated.list_inputs(lake, [entry], hours)
    grid = HourlyGrid(hours, lambda name: selection is None or name in selection)
    async for _, table in curated.read_tables(lake, [entry], inputs, hours, locations):
        await run_computing(grid.add, table, entry.available)
        if revisions is not None:
            await run_computing(revisions.add, table)
    hourly = await run_computing(grid.finish)
    return HourlySeries(hourly.names, hourly.units, hourly.values, hours.start) if hourly.names else None


async def judge_together(
    lake: Lake, parts: Sequence[EntryHours], checks: Sequence[Check], *, names_all: bool
) -> SharedVerdicts:
    """Judges the sums and pairs among the series of `parts`: those that are known by what series measure, those of the
    rules of their entries, and those of `checks`. A check that names series that are not there is a problem if `parts`
    are all entries (`names_all`)."""
    series = [part.series for part in parts if part.series is not None]
    if not series:
        return SharedVerdicts()
    joined = await run_computing(join_hours, series)
    relations, pairs, unused = plan_checks(joined.names, [part.entry for part in parts], checks)
    verdicts, residuals, problems = await run_computing(judge_relations, joined, relations, BEFORE // DAY)
    pair_verdicts, pair_problems = await _judge_pairs(lake, parts, pairs, joined.start + BEFORE)
    problems += pair_problems
    if names_all and unused:
        problems.append(f"checks about series that are not there: {'; '.join(unused)}")
    return SharedVerdicts([*verdicts, *pair_verdicts], residuals, joined.start, problems)


def plan_checks(
    names: Sequence[str], entries: Sequence[Entry], checks: Sequence[Check]
) -> tuple[list[Relation], list[SeriesPair], list[str]]:
    """Returns the sums and the pairs to judge among the series `names`, and the names of those of `checks` that are
    about none of them."""
    relations = find_known_relations(names)
    relations += [
        relation
        for entry in entries
        for rule in entry.expect.cross_rules
        for relation in find_ruled_relations(names, rule)
    ]
    pairs = {(pair.series, pair.reference): pair for pair in find_known_pairs(names)}
    unused = []
    for check in checks:
        if isinstance(check, CompareRule):
            ruled_pairs = find_ruled_pairs(names, check)
            pairs |= {(pair.series, pair.reference): pair for pair in ruled_pairs}
            is_used = bool(ruled_pairs)
        else:
            ruled_relations = find_ruled_relations(names, check)
            relations += ruled_relations
            is_used = bool(ruled_relations)
        if not is_used:
            unused.append(check.name)
    return relations, list(pairs.values()), unused


async def _judge_pairs(
    lake: Lake, parts: Sequence[EntryHours], pairs: Sequence[SeriesPair], first_moment: datetime
) -> tuple[list[DayVerdict], Sequence[str]]:
    """Judges `pairs` in whole months, from that of `first_moment` on; the month before it gives the drift. An entry
    whose months cannot be read is a problem, and its series are not compared."""
    first_month = first_moment.replace(day=1)
    start = (first_month - timedelta(days=1)).replace(day=1)
    owners = find_owners(parts)
    names_by_entry: dict[str, set[str]] = {}
    for name in {name for pair in pairs for name in (pair.series, pair.reference)}:
        names_by_entry.setdefault(owners[name], set()).add(name)
    series, problems = [], []
    for part in parts:
        if part.series is not None and part.entry.name in names_by_entry:
            end = part.series.start + timedelta(hours=part.series.values.shape[1])
            names = names_by_entry[part.entry.name]
            try:
                hours = await _read_hours(lake, part.entry, Period(start, max(end, start + DAY)), names)
            except GridtideError as failure:  # of a month before the days that are judged
                problems.append(f"{part.entry.name} is not compared with other series: {one_line(failure)}")
            else:
                series += [hours] if hours is not None else []
    if not series:
        return [], problems
    month = date(first_month.year, first_month.month, 1)
    verdicts, unlike = await run_computing(judge_pairs, join_hours(series), pairs, month)
    return verdicts, [*problems, *unlike]


def find_owners(parts: Sequence[EntryHours]) -> Mapping[str, str]:
    """Returns the name of the first entry that has each series, by the name of the series."""
    owners: dict[str, str] = {}
    for part in parts:
        for name in part.series.names if part.series is not None else ():
            owners.setdefault(name, part.entry.name)
    return owners
