"""The metrics of a run are those of its report."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flows.run.metrics.samples import HELP, list_samples

FINISHED = datetime(2024, 3, 10, 6, 12, tzinfo=UTC)

RESULT: dict[str, Any] = {
    "name": "demand",
    "rows": 100,
    "bytes": 2000,
    "requests": 7,
    "retries": 2,
    "waited": 1.5,
    "rejected": 3,
    "error": None,
    "warnings": ["a", "b"],
    "skipped": [
        {"reason": "no number", "count": 4, "example": "x"},
        {"reason": "r", "count": 3, "example": "y", "rule": "r"},
    ],
    "covered_until": "2024-03-10T06:00:00+00:00",
    "stages": {"fetch": {"seconds": 1.0, "peak_mb": 10.0}, "parse": {"seconds": 3.0, "peak_mb": 20.0}},
}
FILLED: dict[str, Any] = {
    "name": "prices",
    "errors": ["2024-03-01T00:00/2024-03-02T00:00: HTTP 503"],
    "skipped": None,
    "skipped_records": [{"reason": "no number", "count": 9, "example": "x"}],
    "coverage": 0.75,
    "missing": ["2024-03-01T00:00/2024-03-02T00:00", "2024-03-05T00:00/2024-03-05T12:00"],
    "silent": [{"location": "A"}],
}


def report(*results: dict[str, Any], **summary: Any) -> dict[str, Any]:
    """The report of a run with these results."""
    return {"pipeline_status": "partial", "summary": summary, "results": list(results)}


def listed(*results: dict[str, Any], **summary: Any) -> dict[tuple[str, ...], float]:
    """The samples of a run by metric and labels, without the flow."""
    samples = list_samples("ingest", report(*results, **summary), FINISHED)
    rows = [*samples.of_run, *(sample for own in samples.of_entries.values() for sample in own)]
    assert {sample.labels["flow"] for sample in rows} == {"ingest"}
    assert {sample.metric for sample in rows} <= HELP.keys()
    return {
        (sample.metric.removeprefix("gridtide_"), *(text for name, text in sample.labels.items() if name != "flow")): (
            sample.value
        )
        for sample in rows
    }


def test_a_run_has_status_duration_and_totals() -> None:
    """The status is a sample for each possible one; throughput is rows by duration."""
    samples = listed(RESULT, FILLED, seconds=4.0, rows=100, bytes=2000)
    assert {key: value for key, value in samples.items() if key[0].startswith("run_")} == {
        ("run_finished_timestamp_seconds",): FINISHED.timestamp(),
        ("run_status", "success"): 0,
        ("run_status", "partial"): 1,
        ("run_status", "failed"): 0,
        ("run_entries", "failed"): 1,
        ("run_entries", "success"): 1,
        ("run_duration_seconds",): 4.0,
        ("run_rows",): 100,
        ("run_bytes",): 2000,
        ("run_rows_per_second",): 25.0,
    }


def test_an_entry_has_what_its_result_says() -> None:
    """Numbers, stages, warnings and records are counted once; a rejected row is no skipped record."""
    samples = listed(RESULT)
    assert {key[0].removeprefix("entry_"): value for key, value in samples.items() if key[1:] == ("demand",)} == {
        "finished_timestamp_seconds": FINISHED.timestamp(),
        "failed": 0,
        "rows": 100,
        "bytes": 2000,
        "requests": 7,
        "retries": 2,
        "wait_seconds": 1.5,
        "rejected_rows": 3,
        "warnings": 2,
        "covered_until_timestamp_seconds": datetime(2024, 3, 10, 6, tzinfo=UTC).timestamp(),
        "rows_per_second": 25.0,
    }
    assert {key[2:]: value for key, value in samples.items() if key[0] == "entry_stage_seconds"} == {
        ("fetch",): 1.0,
        ("parse",): 3.0,
    }
    assert samples["entry_stage_peak_bytes", "demand", "parse"] == 20 * 2**20
    assert [key[2:] for key in samples if key[0] == "entry_skipped_records"] == [("no number",)]


def test_an_entry_that_was_filled_has_coverage_and_what_is_missing() -> None:
    """Errors mean failed; the missing periods are summed; a key that a report does not have is no sample."""
    samples = listed(FILLED)
    assert {key[0].removeprefix("entry_"): value for key, value in samples.items() if key[1:] == ("prices",)} == {
        "finished_timestamp_seconds": FINISHED.timestamp(),
        "failed": 1,
        "coverage_ratio": 0.75,
        "missing_seconds": 36 * 3600,
        "silent_series": 1,
    }
    assert samples["entry_skipped_records", "prices", "no number"] == 9


def test_locations_of_a_training_set_are_no_entries() -> None:
    """Results without the name of an entry have no samples of entries."""
    samples = list_samples("prepare_training", report({"location": "ISNE", "windows": 5}), FINISHED)
    assert samples.of_entries == {}
