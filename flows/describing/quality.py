"""Judges the last days of every series, and stores what changed.

files ─► hourly series ─┬─► each by itself: completeness, accuracy, timeliness, clock, revisions ─┬─► table in the lake
                        └─► together: sums, two sources, forecasts ─► residuals by hour ──────────┤
                                                                artifact: calendars, comparisons ◄─┤
                                                       events: series that turn bad or well again ◄┘
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from prefect import runtime
from prefect.logging import get_run_logger

from flows.run.judging.entry_hours import EntryHours, SharedVerdicts, find_owners, judge_entry, judge_together
from flows.run.judging.quality_report import describe_verdict, quality_report, summarize_verdicts_of_entry
from flows.run.local_flow import local_flow
from flows.run.progress import Progress
from flows.run.report import finish
from flows.run.session import check_days, load_selected, name_entries
from gridtide.coverage.troubles import Trouble, describe_bad_series
from gridtide.entries.entry import Entry
from gridtide.errors import GridtideError, one_line
from gridtide.lake import Lake
from gridtide.quality.daily import ClockHistory, DayVerdict, find_bad_series
from gridtide.quality.relations.residual_table import write_residuals
from gridtide.quality.relations.retained_verdicts import retain_shared
from gridtide.quality.table import read_verdicts, write_verdicts
from tasks.lake import open_lake
from tasks.notify.troubles import announce_changes


def _run_name() -> str:
    return f"quality {name_entries()}, {runtime.flow_run.parameters['days']} days"


@local_flow(name="quality", flow_run_name=_run_name, check=partial(check_days, "quality"))
async def quality(
    config: str | dict[str, Any] = "api_config.json",
    select: list[str] | None = None,
    lake: str | None = None,
    days: int = 30,
) -> dict[str, Any]:
    """Judge the last days of every series: complete, accurate, consistent, on time; and store what changed.

    Sends no requests. Returns the report that `quality_report` describes. Raises `ConfigurationError` before anything
    is read, and `RunError`, which carries the report, if an entry failed and all others are done.

    Args:
        config: The configuration: the path of the file, or its content.
        select: Names of the entries; all if empty.
        lake: Folder or URI of the lake; the configuration's if empty.
        days: The number of whole days to judge, up to the last that is due.
    """
    started = time.monotonic()
    now = datetime.now(UTC)
    loaded, entries = load_selected(config, select)
    opened_lake = await open_lake(lake or loaded.lake)
    stored = await read_verdicts(opened_lake)
    parts, errors = await _judge_entries(opened_lake, entries, now, days, _list_clocks(stored.values()))
    judges_all = len(entries) == len(loaded.apis) and not errors
    shared = await judge_together(opened_lake, parts, loaded.checks, names_all=judges_all)
    for problem in shared.problems:
        get_run_logger().warning("Some checks of quality were not made: %s", problem)
    owners = find_owners(parts)
    rows = _list_verdicts(parts, shared, owners)
    if not judges_all:
        rows = retain_shared(rows, stored)
    judged: dict[str, list[DayVerdict]] = {part.entry.name: [] for part in parts}
    for row in rows:
        judged[owners[row.series]].append(row)
    changed = await write_verdicts(opened_lake, rows, stored, now, judges_all=judges_all)
    if shared.residuals and shared.start:
        await write_residuals(opened_lake, shared.residuals, shared.start, replaces_all=judges_all)
    changed_keys = {verdict[:3] for verdict in changed}
    results = [
        summarize_verdicts_of_entry(entry.name, judged.get(entry.name, []), changed_keys)
        | {"error": errors.get(entry.name)}
        for entry in entries
    ]
    await announce_changes(
        opened_lake.uri,
        days,
        {name: {"bad": _describe_trouble(name, verdicts)} for name, verdicts in judged.items() if verdicts},
    )
    return await finish(quality_report(results, days, time.monotonic() - started, shared.problems))


async def _judge_entries(
    lake: Lake, entries: Sequence[Entry], now: datetime, days: int, clocks: ClockHistory
) -> tuple[list[EntryHours], dict[str, str]]:
    """The hours of each of `entries` with the verdicts on its series, and the errors of those that cannot be read."""
    progress = await Progress.begin("quality-progress", {entry.name: 1 for entry in entries})
    parts, errors = [], {}
    for entry in entries:
        try:
            parts.append(await judge_entry(lake, entry, now, days, clocks))
        except GridtideError as failure:
            errors[entry.name] = one_line(failure)
        await progress.advance(entry.name)
    return parts, errors


def _list_clocks(verdicts: Iterable[DayVerdict]) -> ClockHistory:
    """The offsets of the clocks in `verdicts`, which show what is usual of each solar series."""
    clocks: dict[str, dict[date, float]] = defaultdict(dict)
    for verdict in verdicts:
        if verdict.check == "clock":
            clocks[verdict.series][verdict.day] = verdict.value
    return clocks


def _list_verdicts(parts: Sequence[EntryHours], shared: SharedVerdicts, owners: Mapping[str, str]) -> list[DayVerdict]:
    """The verdicts on every series: those of the entry that owns it, and those that it shares with others."""
    own = [row for part in parts for row in part.verdicts if owners.get(row.series) == part.entry.name]
    return [*own, *shared.verdicts]


def _describe_trouble(name: str, verdicts: Sequence[DayVerdict]) -> Trouble | None:
    """What the events say of the bad series of an entry; None if it has none."""
    bad = find_bad_series(verdicts)
    notes = {series: "; ".join(map(describe_verdict, reasons)) for series, reasons in bad.items()}
    since = min((verdict.day for reasons in bad.values() for verdict in reasons), default=None)
    return describe_bad_series(name, notes, since) if since else None
