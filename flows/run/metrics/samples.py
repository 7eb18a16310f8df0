"""Metrics of a run, from its report: one sample per metric and set of labels.

All are gauges about the last run of a flow, or the last run that had the entry, because a run is a process that ends.
Names and units follow the conventions of Prometheus: https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gridtide.periods import Period

RUN_STATUSES = ("success", "partial", "failed")

RUN_METRICS = {
    "gridtide_run_finished_timestamp_seconds": "When the last run of the flow ended",
    "gridtide_run_duration_seconds": "How long the last run of the flow took",
    "gridtide_run_status": "1 for the status of the last run of the flow, 0 for the others",
    "gridtide_run_entries": "The number of entries of the last run of the flow, by outcome",
    "gridtide_run_rows": "The rows of the last run of the flow",
    "gridtide_run_bytes": "The bytes of the last run of the flow",
    "gridtide_run_rows_per_second": "The rows of the last run of the flow by its duration",
}
"""The metrics of a flow, and what they mean."""

NUMBERS = {
    "rows": ("gridtide_entry_rows", "The rows of the entry in the last run"),
    "bytes": ("gridtide_entry_bytes", "The bytes of the entry in the last run"),
    "requests": ("gridtide_entry_requests", "The requests of the entry in the last run, repeated ones included"),
    "retries": ("gridtide_entry_retries", "The repeated requests of the entry in the last run"),
    "waited": ("gridtide_entry_wait_seconds", "How long requests of the entry waited for quotas and before retries"),
    "rejected": ("gridtide_entry_rejected_rows", "The rows that rules of the entry rejected in the last run"),
    "coverage": ("gridtide_entry_coverage_ratio", "The complete part of the period that was checked, 0 to 1"),
}
"""The metrics of an entry that are numbers of its result, by key."""

OTHER_ENTRY_METRICS = {
    "gridtide_entry_finished_timestamp_seconds": "When the last run of the flow with the entry ended",
    "gridtide_entry_failed": "1 if the entry failed in the last run, 0 if not",
    "gridtide_entry_rows_per_second": "The rows of the entry by the seconds of its stages",
    "gridtide_entry_skipped_records": "What answers contained and no file does, by reason",
    "gridtide_entry_warnings": "The warnings of the entry in the last run",
    "gridtide_entry_missing_seconds": "The duration of what is due and not in the lake",
    "gridtide_entry_silent_series": "The series without new values although others have some",
    "gridtide_entry_covered_until_timestamp_seconds": "The end of the latest period that is in the lake",
    "gridtide_entry_stage_seconds": "The seconds of a stage of the entry, summed over its concurrent parts",
    "gridtide_entry_stage_peak_bytes": "The peak memory of the process when a stage of the entry last ended",
    "gridtide_entry_quality_flags": "The judged days of the series of the entry, by the worst flag of each",
    "gridtide_entry_bad_series": "The series of the entry that are bad by the last check of quality",
}

HELP = {**RUN_METRICS, **dict(NUMBERS.values()), **OTHER_ENTRY_METRICS}
"""What each metric means."""

MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Sample:
    """The value of `metric` for `labels`."""

    metric: str
    value: float
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RunSamples:
    """The samples of a run of `flow`: those about the flow, and those about each of its entries."""

    flow: str
    of_run: list[Sample]
    of_entries: dict[str, list[Sample]]


def list_samples(flow: str, report: Mapping[str, Any], finished: datetime) -> RunSamples:
    """Returns the samples of the `report` of a run of `flow`, as `flows.run.report.RunReport.as_dict` writes it, that
    ended at `finished`.

    A metric whose key a report does not have has no sample. The results of a training set are locations, not entries:
    they have none.
    """
    results = [result for result in report["results"] if "name" in result]
    entries = {result["name"]: list(_list_entry_samples(flow, result, finished)) for result in results}
    return RunSamples(flow, list(_list_run_samples(flow, report, results, finished)), entries)


def _list_run_samples(
    flow: str, report: Mapping[str, Any], results: list[Mapping[str, Any]], finished: datetime
) -> Iterator[Sample]:
    labels = {"flow": flow}
    yield Sample("gridtide_run_finished_timestamp_seconds", finished.timestamp(), labels)
    for status in RUN_STATUSES:
        is_status = float(report["pipeline_status"] == status)
        yield Sample("gridtide_run_status", is_status, {**labels, "status": status})
    failed = sum(map(_is_failed, results))
    for outcome, count in (("failed", failed), ("success", len(results) - failed)):
        yield Sample("gridtide_run_entries", count, {**labels, "outcome": outcome})
    summary = report["summary"]
    seconds = summary.get("seconds")
    for key, metric in (
        ("seconds", "gridtide_run_duration_seconds"),
        ("rows", "gridtide_run_rows"),
        ("bytes", "gridtide_run_bytes"),
    ):
        if _is_number(summary.get(key)):
            yield Sample(metric, summary[key], labels)
    if seconds and _is_number(summary.get("rows")):
        yield Sample("gridtide_run_rows_per_second", summary["rows"] / seconds, labels)


def _list_entry_samples(flow: str, result: Mapping[str, Any], finished: datetime) -> Iterator[Sample]:
    labels = {"flow": flow, "entry": result["name"]}
    yield Sample("gridtide_entry_finished_timestamp_seconds", finished.timestamp(), labels)
    yield Sample("gridtide_entry_failed", float(_is_failed(result)), labels)
    for key, (metric, _) in NUMBERS.items():
        if _is_number(result.get(key)):
            yield Sample(metric, result[key], labels)
    for key, metric in (("warnings", "gridtide_entry_warnings"), ("silent", "gridtide_entry_silent_series")):
        if isinstance(result.get(key), list):
            yield Sample(metric, len(result[key]), labels)
    if isinstance(result.get("missing"), list):
        seconds = sum(Period.parse(period).duration.total_seconds() for period in result["missing"])
        yield Sample("gridtide_entry_missing_seconds", seconds, labels)
    if result.get("covered_until"):
        until = datetime.fromisoformat(result["covered_until"]).timestamp()
        yield Sample("gridtide_entry_covered_until_timestamp_seconds", until, labels)
    yield from _list_record_samples(result, labels)
    yield from _list_stage_samples(result, labels)


def _list_record_samples(result: Mapping[str, Any], labels: Mapping[str, str]) -> Iterator[Sample]:
    """Returns the samples of what was not stored, and of the flags of quality."""
    skipped = result.get("skipped_records", result.get("skipped"))
    for record in skipped if isinstance(skipped, list) else ():
        if not record.get("rule"):  # rejected rows have a metric of their own
            yield Sample("gridtide_entry_skipped_records", record["count"], {**labels, "reason": record["reason"]})
    flags = result.get("flags")
    for flag, count in flags.items() if isinstance(flags, Mapping) else ():
        yield Sample("gridtide_entry_quality_flags", count, {**labels, "flag": flag})
    if isinstance(result.get("bad"), Mapping):
        yield Sample("gridtide_entry_bad_series", len(result["bad"]), labels)


def _list_stage_samples(result: Mapping[str, Any], labels: Mapping[str, str]) -> Iterator[Sample]:
    stages = result.get("stages") or {}
    for stage, effort in stages.items():
        stage_labels = {**labels, "stage": stage}
        yield Sample("gridtide_entry_stage_seconds", effort["seconds"], stage_labels)
        yield Sample("gridtide_entry_stage_peak_bytes", effort["peak_mb"] * MEGABYTE, stage_labels)
    seconds = sum(effort["seconds"] for effort in stages.values())
    if seconds and _is_number(result.get("rows")):
        yield Sample("gridtide_entry_rows_per_second", result["rows"] / seconds, labels)


def _is_failed(result: Mapping[str, Any]) -> bool:
    return bool(result.get("error") or result.get("errors") or result.get("problem"))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
