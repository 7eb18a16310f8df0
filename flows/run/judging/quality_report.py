"""The report of the flow `quality`: its numbers, and its artifact with the calendars and comparisons of series."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import date
from typing import Any

from flows.run.judging.calendar_picture import SYMBOLS, draw_calendars, draw_flag_legend, escape_cell
from flows.run.report import (
    Column,
    EntryResult,
    MarkdownArtifact,
    ReportLayout,
    RunReport,
    choose_status,
    describe_failure,
    sum_results,
)
from gridtide.errors import list_first
from gridtide.quality.daily import DayVerdict, find_bad_series
from gridtide.quality.flags import Flag, find_worst
from gridtide.quality.relations.pair_verdicts import PAIR_MEASURES, tabulate_months
from gridtide.quality.relations.presence import CAME, WENT
from gridtide.quality.table import is_monthly

ROWS_SHOWN = 20
"""The number of rows of each table of the artifact, the worst first."""

DESCRIPTIONS = {
    "accuracy": "{value:.0%} of its values are flagged",
    "consistency": "its sum is off by {value:.1%}",
    "clock": "its solar day is {value:+.1f} h from noon",
    "agreement.lag": "it is {value:+.0f} h late beside {reference}",
}


def describe_verdict(verdict: DayVerdict) -> str:
    """A verdict that makes a series bad, in words."""
    family, measure, reference = (*verdict.check.split(".", 2), "", "")[:3]
    text = DESCRIPTIONS[f"{family}.{measure}" if is_monthly(verdict.check) else family]
    moment = f"in {verdict.day:%Y-%m}" if is_monthly(verdict.check) else f"on {verdict.day}"
    return f"{text.format(value=verdict.value, reference=reference)} {moment}"


def summarize_verdicts_of_entry(
    name: str, verdicts: Sequence[DayVerdict], changed: Set[tuple[str, date, str]]
) -> dict[str, Any]:
    """The result of an entry in the report, from the `verdicts` on its series, of which those with the keys `changed`
    are new."""
    worst_flags = _find_worst_days(verdicts)
    counts = Counter(flag for flags in worst_flags.values() for flag in flags.values())
    flags = {flag.name.lower(): counts[flag] for flag in Flag}
    bad = find_bad_series(verdicts)
    return {
        "name": name,
        "series": len(worst_flags),
        "days": counts.total(),
        **flags,
        "flags": flags,
        "changed": sum(series in worst_flags for series, _, _ in changed),
        "bad": {series: [describe_verdict(verdict) for verdict in reasons] for series, reasons in bad.items()},
        "new": _list_presence(verdicts, CAME),
        "gone": _list_presence(verdicts, WENT),
        "sums": _summarize_sums(verdicts),
        "comparisons": tabulate_months(verdicts),
        "revisions": _summarize_revisions(verdicts),
        "calendars": _draw_calendars(worst_flags),
    }


def _find_worst_days(verdicts: Sequence[DayVerdict]) -> dict[str, dict[date, Flag]]:
    """The worst flag of each series and day; what is said of a whole month is not about its first day."""
    flags: dict[str, dict[date, list[Flag]]] = defaultdict(lambda: defaultdict(list))
    for verdict in verdicts:
        if not is_monthly(verdict.check):
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
    return {series: "".join(SYMBOLS[flag] for flag in by_day.values()) for series, by_day in worst_first[:ROWS_SHOWN]}


def _list_presence(verdicts: Sequence[DayVerdict], value: float) -> dict[str, str]:
    """The day since which each series is new, or gone, by its name."""
    return {
        verdict.series: verdict.day.isoformat()
        for verdict in verdicts
        if verdict.check == "presence" and verdict.value == value
    }


def _summarize_sums(verdicts: Sequence[DayVerdict]) -> list[dict[str, Any]]:
    """For each sum: its total, its name, the days that were judged and those that are suspect, and the worst day."""
    by_sum: dict[tuple[str, str], list[DayVerdict]] = defaultdict(list)
    for verdict in verdicts:
        family, _, relation = verdict.check.partition(".")
        if family == "consistency" and relation:
            by_sum[verdict.series, relation].append(verdict)
    rows = []
    for (series, relation), of_sum in sorted(by_sum.items()):
        worst = max(of_sum, key=lambda verdict: (verdict.flag != Flag.GOOD, verdict.value))
        rows.append(
            {
                "series": series,
                "sum": relation,
                "days": len(of_sum),
                "suspect": sum(verdict.flag == Flag.SUSPECT for verdict in of_sum),
                "worst": worst.value,
                "worst_day": worst.day.isoformat(),
            }
        )
    return sorted(rows, key=lambda row: (-row["suspect"], -row["worst"]))


def _summarize_revisions(verdicts: Sequence[DayVerdict]) -> dict[str, Any]:
    """How many days of how many series were revised, and the largest revision as a share of the values of a day."""
    of_days = [verdict for verdict in verdicts if verdict.check == "revision"]
    largest = max(of_days, key=lambda verdict: verdict.value, default=None)
    return {
        "series": len({verdict.series for verdict in of_days}),
        "days": len(of_days),
        "largest": largest.value if largest else None,
        "largest_of": f"{largest.series} on {largest.day}" if largest else None,
    }


def quality_report(
    results: Sequence[EntryResult], days: int, seconds: float, problems: Sequence[str] = ()
) -> RunReport:
    """The report of a run that took `seconds`:

    - `pipeline_status`: `success`, `partial` or `failed`; `checked_days`; `problems`: checks that could not be made
    - `statistics`: `entries`, `series`, and `bad_series`; `summary`: `changed` rows of the table, `seconds`
    - `results` per entry: `name`, the number of `series`, their `days`, how many of these are `good`, `not_evaluated`,
      `suspect`, `fail` and `missing` by their worst check, the same as `flags`, `changed` (rows of the table), `bad`
      (series, with the reasons), `new` and `gone` (series, with the day since when), `sums`, `comparisons` (by month),
      `revisions`, `calendars` (of the worst series, a cell per day) and `error`

    Bad series are no failure of the run.
    """
    failed = sum(result["error"] is not None for result in results)
    return RunReport(
        QUALITY_LAYOUT,
        choose_status(failed, len(results) - failed),
        results,
        {**sum_results(results, "changed"), "seconds": round(seconds, 3)},
        {
            "entries": len(results),
            **sum_results(results, "series"),
            "bad_series": sum(len(result["bad"]) for result in results),
        },
        {"checked_days": days, "problems": list(problems)},
        describe_failure(results),
    )


def _write_headline(report: Mapping[str, Any]) -> str:
    counts = report["statistics"]
    return (
        f"quality of the last {report['checked_days']} days: {report['pipeline_status']}, {counts['series']:,} series, "
        f"{counts['bad_series']:,} bad; {report['summary']['changed']:,} rows changed"
    )


def _list_findings(report: Mapping[str, Any]) -> list[str]:
    bad = [
        f"{series}: {'; '.join(reasons)}" for result in report["results"] for series, reasons in result["bad"].items()
    ]
    arrivals = [
        f"{series}: {word} since {day}"
        for result in report["results"]
        for word in ("new", "gone")
        for series, day in result[word].items()
    ]
    return [*bad, *arrivals, *report["problems"]]


def _write_markdown(report: Mapping[str, Any]) -> str:
    findings = (f"- {escape_cell(sentence)}" for sentence in _list_findings(report))
    lines = [f"### {_write_headline(report)}", "", *findings, "", draw_flag_legend()]
    for result in report["results"]:
        lines += ["", f"**{result['name']}** {escape_cell(result['error'] or '')}"]
        if result["calendars"]:
            lines += ["", draw_calendars(result["calendars"]), "", "| series | days |", "|---|---|"]
        lines += [f"| {escape_cell(series)} | `{cells}` |" for series, cells in result["calendars"].items()]
    legend = ", ".join(f"`{symbol}` {flag.name.lower().replace('_', ' ')}" for flag, symbol in SYMBOLS.items())
    lines += ["", f"A cell is a day; as text: {legend}. The worst series of each entry are shown."]
    return "\n".join([*lines, *_write_sums(report), *_write_comparisons(report), *_write_revisions(report)])


def _write_sums(report: Mapping[str, Any]) -> Iterator[str]:
    rows = sorted(
        (row for result in report["results"] for row in result["sums"]),
        key=lambda row: (-row["suspect"], -row["worst"]),
    )
    if rows:
        yield from ("", "**Sums**", "", "| total | sum | suspect days | worst | on |", "|---|---|---:|---:|---|")
        for row in rows[:ROWS_SHOWN]:
            names = f"{escape_cell(row['series'])} | {escape_cell(row['sum'])}"
            yield f"| {names} | {row['suspect']} of {row['days']} | {row['worst']:.2%} | {row['worst_day']} |"


def _write_comparisons(report: Mapping[str, Any]) -> Iterator[str]:
    rows = [row for result in report["results"] for row in result["comparisons"]]
    if rows:
        yield from ("", "**Comparisons by month**", "")
        yield "| series | reference | month | bias | correlation | lag | drift | |"
        yield "|---|---|---|---:|---:|---:|---:|---|"
        for row in sorted(rows, key=lambda row: row["flag"] == "good"):
            cells = (
                "" if row[measure] is None else form.format(row[measure])
                for measure, form in zip(PAIR_MEASURES, ("{:+.2%}", "{:.3f}", "{:+.0f} h", "{:+.2%}"), strict=True)
            )
            names = " | ".join(map(escape_cell, (row["series"], row["reference"], row["month"])))
            yield f"| {names} | {' | '.join(cells)} | {row['flag']} |"


def _write_revisions(report: Mapping[str, Any]) -> Iterator[str]:
    rows = [(result["name"], result["revisions"]) for result in report["results"] if result["revisions"]["days"]]
    if rows:
        yield from ("", "**Revisions**", "", "| entry | series | days | largest | of |", "|---|---:|---:|---:|---|")
        for name, row in rows:
            largest = f"{row['largest']:.2%} | {escape_cell(row['largest_of'])}"
            yield f"| {name} | {row['series']} | {row['days']} | {largest} |"


QUALITY_LAYOUT = ReportLayout(
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
    _list_findings,
)
