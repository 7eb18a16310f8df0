"""Judges the last days of every series, and stores what changed.

files ─► hourly series ─► completeness, accuracy, consistency, timeliness, clock ─► table in the lake
                                                                          ├─► artifact: calendars of days
                                                                          └─► events: series that turn bad or well
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import msgspec
from prefect import runtime

from flows.run.local_flow import local_flow
from flows.run.progress import Progress
from flows.run.report import (
    Column,
    EntryResult,
    MarkdownArtifact,
    ReportLayout,
    RunReport,
    choose_status,
    describe_failure,
    finish,
    sum_results,
)
from flows.run.session import check_days, load_selected, name_entries
from gridtide import curated
from gridtide.coverage.troubles import Trouble, describe_bad_series
from gridtide.entries.entry import Entry
from gridtide.errors import GridtideError, list_first, one_line
from gridtide.lake import Lake
from gridtide.observations.availability import find_due_end
from gridtide.periods import DAY, Period, floor
from gridtide.quality.daily import DayVerdict, HourlySeries, find_bad_series, find_worst, judge_days
from gridtide.quality.flags import Flag
from gridtide.quality.table import read_verdicts, write_verdicts
from gridtide.threads import run_computing
from gridtide.training.series.hourly_grid import HourlyGrid
from tasks.lake import open_lake
from tasks.notify.troubles import announce_changes

BEFORE = 20 * DAY
"""The days before those that are judged, which show what is usual."""

CALENDARS_SHOWN = 20
"""The number of series of an entry whose calendars the artifact shows, the worst first."""

SYMBOLS = {Flag.GOOD: "█", Flag.NOT_EVALUATED: "▒", Flag.SUSPECT: "▄", Flag.FAIL: "▁", Flag.MISSING: "·"}


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
    progress = await Progress.begin("quality-progress", {entry.name: 1 for entry in entries})
    judged: dict[str, list[DayVerdict]] = {}
    errors: dict[str, str] = {}
    names: set[str] = set()
    for entry in entries:
        try:
            verdicts = await _judge_entry(opened_lake, entry, now, days) if entry.tabular else []
        except GridtideError as failure:
            errors[entry.name] = one_line(failure)
        else:
            judged[entry.name] = [verdict for verdict in verdicts if verdict.series not in names]  # of the first entry
            names |= {verdict.series for verdict in verdicts}
        await progress.advance(entry.name)
    changed = await write_verdicts(opened_lake, [row for rows in judged.values() for row in rows], stored, now)
    changed_keys = {verdict[:3] for verdict in changed}
    results = [
        _summarize_verdicts(entry.name, judged.get(entry.name, []), changed_keys) | {"error": errors.get(entry.name)}
        for entry in entries
    ]
    await announce_changes(
        opened_lake.uri,
        days,
        {name: {"bad": _describe_trouble(name, verdicts)} for name, verdicts in judged.items() if verdicts},
    )
    return await finish(quality_report(results, days, time.monotonic() - started))


async def _judge_entry(lake: Lake, entry: Entry, now: datetime, days: int) -> list[DayVerdict]:
    """The verdicts of the last `days` whole days that are due of the series of `entry`, by the hours that were
    reported; empty if it has none."""
    entry = msgspec.structs.replace(entry, shift=())
    end = min(floor(find_due_end(entry, now), DAY), floor(now, DAY))
    hours = Period(end - days * DAY - BEFORE, end)
    inputs = await curated.list_inputs(lake, [entry], hours)
    grid = HourlyGrid(hours, lambda _: True)
    async for _, table in curated.read_tables(lake, [entry], inputs, hours):
        await run_computing(grid.add, table, entry.available)
    hourly = await run_computing(grid.finish)
    if not hourly.names:
        return []
    series = HourlySeries(hourly.names, hourly.units, hourly.values, hours.start)
    return await run_computing(judge_days, series, BEFORE // DAY)


def _describe_trouble(name: str, verdicts: Sequence[DayVerdict]) -> Trouble | None:
    """What the events say of the bad series of an entry; None if it has none."""
    bad = find_bad_series(verdicts)
    notes = {series: "; ".join(map(describe_verdict, reasons)) for series, reasons in bad.items()}
    since = min((verdict.day for reasons in bad.values() for verdict in reasons), default=None)
    return describe_bad_series(name, notes, since) if since else None


DESCRIPTIONS = {
    "accuracy": "{value:.0%} of its values are flagged",
    "consistency": "its sum is off by {value:.1%}",
    "clock": "its solar day is {value:+.1f} h from noon",
}


def describe_verdict(verdict: DayVerdict) -> str:
    """A verdict that makes a series bad, in words."""
    return f"{DESCRIPTIONS[verdict.check].format(value=verdict.value)} on {verdict.day}"


def _summarize_verdicts(
    name: str, verdicts: Sequence[DayVerdict], changed: Set[tuple[str, date, str]]
) -> dict[str, Any]:
    """The result of an entry in the report."""
    worst_flags = _find_worst_days(verdicts)
    counts = Counter(flag for flags in worst_flags.values() for flag in flags.values())
    bad = find_bad_series(verdicts)
    flags = {flag.name.lower(): counts[flag] for flag in Flag}
    return {
        "name": name,
        "series": len(worst_flags),
        "days": counts.total(),
        **flags,
        "flags": flags,
        "changed": sum(series in worst_flags for series, _, _ in changed),
        "bad": {series: [describe_verdict(verdict) for verdict in reasons] for series, reasons in bad.items()},
        "calendars": _draw_calendars(worst_flags),
    }


def _find_worst_days(verdicts: Sequence[DayVerdict]) -> dict[str, dict[date, Flag]]:
    """The worst flag of each series and day."""
    flags: dict[str, dict[date, list[Flag]]] = defaultdict(lambda: defaultdict(list))
    for verdict in verdicts:
        flags[verdict.series][verdict.day].append(verdict.flag)
    return {
        series: {day: find_worst(day_flags) for day, day_flags in sorted(by_day.items())}
        for series, by_day in flags.items()
    }


def _draw_calendars(worst_flags: Mapping[str, Mapping[date, Flag]]) -> dict[str, str]:
    """A cell per day for the series with the most days that are not good, the worst first."""
    worst_first = sorted(
        worst_flags.items(), key=lambda item: (-sum(flag != Flag.GOOD for flag in item[1].values()), item[0])
    )
    return {
        series: "".join(SYMBOLS[flag] for flag in by_day.values()) for series, by_day in worst_first[:CALENDARS_SHOWN]
    }


def quality_report(results: Sequence[EntryResult], days: int, seconds: float) -> RunReport:
    """The report of a run that took `seconds`:

    - `pipeline_status`: `success`, `partial` or `failed`; `checked_days`
    - `statistics`: `entries`, `series`, and `bad_series`; `summary`: `changed` rows of the table, `seconds`
    - `results` per entry: `name`, the number of `series`, their `days`, how many of these are `good`, `not_evaluated`,
      `suspect`, `fail` and `missing` by their worst check, the same as `flags`, `changed` (rows of the table), `bad`
      (series, with the reasons), `calendars` (of the worst series, a cell per day) and `error`

    Bad series are no failure of the run.
    """
    failed = sum(result["error"] is not None for result in results)
    return RunReport(
        LAYOUT,
        choose_status(failed, len(results) - failed),
        results,
        {**sum_results(results, "changed"), "seconds": round(seconds, 3)},
        {
            "entries": len(results),
            **sum_results(results, "series"),
            "bad_series": sum(len(result["bad"]) for result in results),
        },
        {"checked_days": days},
        describe_failure(results),
    )


def _write_headline(report: Mapping[str, Any]) -> str:
    counts = report["statistics"]
    return (
        f"quality of the last {report['checked_days']} days: {report['pipeline_status']}, {counts['series']:,} series, "
        f"{counts['bad_series']:,} bad; {report['summary']['changed']:,} rows changed"
    )


def _list_bad(report: Mapping[str, Any]) -> list[str]:
    return [
        f"{series}: {'; '.join(reasons)}" for result in report["results"] for series, reasons in result["bad"].items()
    ]


def _write_markdown(report: Mapping[str, Any]) -> str:
    lines = [f"### {_write_headline(report)}", "", *(f"- {sentence}" for sentence in _list_bad(report))]
    for result in report["results"]:
        lines += ["", f"**{result['name']}** {result['error'] or ''}", "", "| series | days |", "|---|---|"]
        lines += [f"| {series} | `{cells}` |" for series, cells in result["calendars"].items()]
    legend = ", ".join(f"`{symbol}` {flag.name.lower().replace('_', ' ')}" for flag, symbol in SYMBOLS.items())
    return "\n".join([*lines, "", f"A cell is a day: {legend}. The worst series of each entry are shown."])


LAYOUT = ReportLayout(
    "quality",
    _write_headline,
    (
        Column("entry", "name"),
        Column("series", "series"),
        Column("good days", "good"),
        Column("suspect", "suspect"),
        Column("fail", "fail"),
        Column("missing", "missing"),
        Column("", lambda result: result["error"] or list_first(result["bad"], 3) or "ok"),
    ),
    MarkdownArtifact("quality", _write_markdown),
    _list_bad,
)
