"""The report of a training set as text: its sizes in one line, its findings in sentences, and both as Markdown.

A report is the dict that `report_set` in `gridtide/training/manifest.py` describes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

FURTHEST = 5
"""The number of columns whose largest scaled values are shown; the manifest has all."""

_CALENDAR = "calendar/"
"""The prefix of columns whose values always lie between −1 and 1: however rare a holiday is, it is no absurd value."""


def describe_sizes(report: Mapping[str, Any], lake: str) -> str:
    """Returns one line with the place and the sizes of the set of `report`; `lake` is the URI of the lake with it."""
    shape = report["shape"]
    counts = [_count_noun(shape["locations"], "location"), f"{shape['steps']} {report['unit']}"]
    counts += [_count_noun(shape["features"], "input"), _count_noun(shape["targets"], "target")]
    windows = ", ".join(f"{count} {name}" for name, count in report["splits"].items())
    return (
        f"Training set {report['path']} in {lake}: {', '.join(counts)}; "
        f"windows of {shape['seq_len']} + {shape['horizon']} {report['unit']}: {windows}"
    )


def _count_noun(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def write_markdown(report: Mapping[str, Any], lake: str) -> str:
    """Returns the `report` of a training set as Markdown: its sizes, its pictures, and the quality of its inputs.

    `lake` is the URI of the lake that contains the set.
    """
    shape, windows = report["shape"], report["splits"]
    lines = [
        f"**{report['name']}** · {report['period']} · {report['path']} ({report['bytes'] / 1e6:.1f} MB)",
        "",
        f"{shape['locations']} location(s) × {shape['steps']} {report['unit']} × {shape['features']} features, "
        f"{shape['targets']} target(s); windows of {shape['seq_len']} + {shape['horizon']} {report['unit']}: "
        + ", ".join(f"{count} {name}" for name, count in windows.items()),
    ]
    if report["pictures"]:
        address = f"{lake}/{report['pictures']}"
        link = address if "://" in address else Path(address).as_uri()
        lines += ["", f"[Pictures of coverage, splits and features]({link}) ({address})"]
    for name, location in report["locations"].items():
        lines += ["", f"| {name} | reported | imputed | rejected | missing |", "|---|---:|---:|---:|---:|"]
        for column, shares in location["inputs"].items():
            lines.append(f"| {column} | " + " | ".join(f"{share:.1%}" for share in shares.values()) + " |")
        for finding in _describe_location(name, location):
            lines += ["", finding]
    for finding in _describe_extension(report) + _describe_dropped(report):
        lines += ["", finding]
    return "\n".join(lines)


def list_findings(report: Mapping[str, Any]) -> list[str]:
    """Returns what a reader of the `report` must know of the set, a sentence each: what was corrected, rejected,
    imputed, missing or left out, how far values lie from the mean of the train hours, and which targets were known
    before."""
    sentences = _describe_corrections(report.get("corrections", {})) + _describe_extension(report)
    for name, location in report["locations"].items():
        for column, shares in location["inputs"].items():
            parts = [f"{share:.1%} {quality}" for quality, share in shares.items() if share and quality != "reported"]
            sentences += [f"{name}, {column}: {', '.join(parts)}"] if parts else []
        sentences += _describe_location(name, location)
    return sentences + _describe_dropped(report)


def _describe_location(name: str, location: Mapping[str, Any]) -> list[str]:
    """Returns what was rejected of a location, its columns without a scale, its largest scaled values, in deviations of
    the train hours, and its targets that were published before t0."""
    sentences = []
    for series, rules in location["rejected"].items():
        counts = ", ".join(f"{count} {rule}" for rule, count in rules.items() if count)
        sentences.append(f"Rejected of {series}: {counts}")
    if location["unscaled"]:
        unscaled = ", ".join(location["unscaled"])
        sentences.append(f"Without a scale in {name}, because never observed or constant in training: {unscaled}")
    judged = [pair for pair in location["largest"].items() if not pair[0].startswith(_CALENDAR)]
    furthest = sorted(judged, key=lambda column: -max(column[1].values()))[:FURTHEST]
    if furthest:
        columns = [
            f"{column} ({', '.join(f'{distance:.1f} in {split}' for split, distance in by_split.items())})"
            for column, by_split in furthest
        ]
        sentences.append(f"Largest scaled values in {name}: {'; '.join(columns)}")
    for target, share in location["known_before"].items():
        if share:
            sentences.append(f"{share:.1%} of the values of {target} were published before their window's t0")
    return sentences


def _describe_corrections(corrections: Mapping[str, Any]) -> list[str]:
    """Returns which series were shifted by what and in which period, and which were renamed."""
    shifts = [
        f"{record['series']}: intervals from {record['from']} until {record['until'] or 'the end'} are shifted by "
        f"{record['by']}; {record['displaced']} of them left out, because other values are reported at their place"
        for record in corrections.get("shifts", ())
    ]
    aliases = [
        f"{record['series']}: contains values stored as {record['from']}, renamed by an alias"
        for record in corrections.get("aliases", ())
    ]
    return shifts + aliases


def _describe_extension(report: Mapping[str, Any]) -> list[str]:
    """Returns which hours were added to an earlier set, and how many of its own the lake has otherwise now."""
    if "extends" not in report:
        return []
    extends = report["extends"]
    begin, end = (moment[:16] for moment in extends["period"])
    sentences = [f"Extends the set {extends['fingerprint'][:16]} by {begin}/{end}, from {extends['inputs']} more files"]
    for location, counts in extends["different"].items():
        first, last = (counts[key][:16] for key in ("from", "to"))
        sentences.append(
            f"{counts['steps']} of the earlier {report['unit']} of {location}, from {first} to {last}, have other "
            "values in the lake now, because values came later or were revised; the set keeps its own. A set that is "
            "prepared anew takes them, and gridtide compare shows the cells"
        )
    return sentences


def _describe_dropped(report: Mapping[str, Any]) -> list[str]:
    dropped = ", ".join(report["dropped"])
    return [f"Left out, because never observed or constant in training: {dropped}"] if dropped else []
