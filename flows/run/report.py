"""What a run of collections says at its end: a dict for programs, a table and a block for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gridtide.errors import CredentialsError, GridtideError, StorageError
from tasks.collect import Outcome

TOLD = 3
"""Of how many failed entries the error of a run says why; it is what a notification shows."""


class RunError(GridtideError):
    """Some of what a run was to collect failed, after all else was done; `report` is the run's."""

    def __init__(self, subject: str, happened: str, fix: str, report: dict[str, Any]) -> None:
        super().__init__(subject, happened, fix)
        self.report = report

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.subject, self.happened, self.fix, self.report)


class RefusedError(RunError, CredentialsError):
    """Credentials, missing or refused, are all that is wrong."""


def ingest_report(outcomes: Sequence[Outcome], seconds: float) -> dict[str, Any]:
    """The report of a run that took `seconds`:

    - `pipeline_status`: `success`, `partial` or `failed`
    - `statistics`: `total_apis`, `successful_collections`, `failed_collections`,
      `successful_uploads`, `failed_uploads`; collecting is fetching and reading, uploading is
      writing to the lake
    - `summary`: `success_rate` (0 to 1), `rows`, `bytes`, `seconds`, `rows_per_second`
    - `results`: what `result` says, one per entry in the order of the configuration
    """
    results = [result(outcome) for outcome in outcomes]
    done = sum(row["error"] is None for row in results)
    not_written = sum(row["upload_status"] == "failed" for row in results)
    rows = sum(row["rows"] for row in results)
    return {
        "pipeline_status": "success" if done == len(results) else "partial" if done else "failed",
        "statistics": {
            "total_apis": len(results),
            "successful_collections": done + not_written,
            "failed_collections": len(results) - done - not_written,
            "successful_uploads": sum(row["upload_status"] == "success" for row in results),
            "failed_uploads": not_written,
        },
        "summary": {
            "success_rate": round(done / len(results), 4),
            "rows": rows,
            "bytes": sum(row["bytes"] for row in results),
            "seconds": round(seconds, 3),
            "rows_per_second": round(rows / seconds, 1),
        },
        "results": results,
    }


def result(outcome: Outcome) -> dict[str, Any]:
    """One collection: `name`, `period`, `file`, `rows`, `bytes`, `upload_status`, `error`,
    `from_cache`, `reused` pages, `warnings` and `stages` with seconds and peak memory (MB).

    `upload_status` is `success`, `failed`, or `skipped` where there was nothing to write.
    """
    collected = outcome.collected or {}
    return {
        "name": outcome.entry.name,
        "period": str(outcome.period) if outcome.period else None,
        "file": collected.get("file"),
        "rows": collected.get("rows", 0),
        "bytes": collected.get("bytes", 0),
        "upload_status": _upload_status(outcome),
        "error": explained(outcome.error) if outcome.error else None,
        "from_cache": outcome.from_cache,
        "reused": collected.get("reused", 0),
        "warnings": collected.get("warnings", []),
        "stages": collected.get("stages", {}),
    }


def _upload_status(outcome: Outcome) -> str:
    if isinstance(outcome.error, StorageError):
        return "failed"
    return "success" if outcome.collected and outcome.collected["file"] else "skipped"


def explained(error: BaseException) -> str:
    """`error` on one line; one that nobody foresaw comes with its type."""
    text = str(error) if isinstance(error, GridtideError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def failure(outcomes: Sequence[Outcome]) -> type[RunError]:
    """The error that a run ends with whose collections failed so."""
    errors = [outcome.error for outcome in outcomes if outcome.error]
    return RefusedError if all(isinstance(error, CredentialsError) for error in errors) else RunError


def raise_failures(flow: str, report: dict[str, Any], error: type[RunError] = RunError) -> None:
    """Raise the `error` that a run of `flow` ends with if an entry in its `report` failed."""
    failed = [row["name"] for row in report["results"] if row["error"]]
    if failed:
        happened = f"{len(failed)} of {len(report['results'])} entries failed: {', '.join(failed)}"
        reasons = [row["error"] for row in report["results"] if row["error"]]
        more = f" … and {len(reasons) - TOLD} more, in the report" if len(reasons) > TOLD else ""
        raise error(flow, happened, " · ".join(reasons[:TOLD]) + more, report)


def as_rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The results as rows of a table for people."""
    return [
        {
            "entry": row["name"],
            "status": "failed" if row["error"] else "cached" if row["from_cache"] else "ok",
            "rows": row["rows"],
            "bytes": row["bytes"],
            "seconds": round(sum(stage["seconds"] for stage in row["stages"].values()), 2),
            "file": row["file"] or "",
            "note": row["error"] or "; ".join(row["warnings"]),
        }
        for row in report["results"]
    ]


def as_text(title: str, report: dict[str, Any]) -> str:
    """The report as one readable block."""
    summary = report["summary"]
    rows = as_rows(report)
    width = max(len(row["entry"]) for row in rows)
    lines = [
        f"{row['entry']:<{width}}  {row['status']:<6}  {row['rows']:>9,} rows  {row['seconds']:>7.2f} s  "
        f"{row['note'] or row['file']}"
        for row in rows
    ]
    total = (
        f"{summary['rows']:,} rows, {summary['bytes']:,} bytes in {summary['seconds']:.1f} s "
        f"({summary['rows_per_second']:,.0f} rows/s)"
    )
    return "\n".join([f"{title}: {report['pipeline_status']}, {total}", *lines])
