"""What every flow run says at its end: one report, with one way to print it, to show it and to end the run.

    results, a row per entry ─► RunReport ─► finish ─► the log, the artifact in the UI, what the flow returns
                                                └────► RunError, if something failed, after all else was done

A `ReportLayout` says how the report of a flow looks to people; the log, the artifact and the command line share it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from prefect.artifacts import acreate_table_artifact
from prefect.logging import get_run_logger

from gridtide.errors import CredentialsError, GridtideError, StorageError, one_line
from tasks.collect import Outcome

REASONS_SHOWN = 3
"""Of how many failed entries the error of a run says why; it is what a notification shows."""

EntryRow = Mapping[str, Any]
"""What a report says of one entry."""

PipelineStatus = Literal["success", "partial", "failed"]


class RunError(GridtideError):
    """Some of what a run was to collect failed, after all else was done; `report` is the run's, as a dict."""

    def __init__(self, subject: str, happened: str, fix: str, report: dict[str, Any]) -> None:
        super().__init__(subject, happened, fix)
        self.report = report

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.subject, self.happened, self.fix, self.report)


class RefusedError(RunError, CredentialsError):
    """Credentials, missing or refused, are all that is wrong."""


@dataclass(frozen=True)
class Column:
    """A column of a report for people: its heading, and its cell for an entry."""

    heading: str
    cell: Callable[[EntryRow], str | int | float]


@dataclass(frozen=True)
class ReportLayout:
    """How the report of `flow` looks to people: one line above a table with a row per entry.

    `headline` gets the report as a dict; the cells of `columns` get its rows.
    """

    flow: str
    headline: Callable[[Mapping[str, Any]], str]
    columns: tuple[Column, ...]

    def table(self, report: Mapping[str, Any]) -> list[dict[str, str | int | float]]:
        """The results of `report` as rows, by heading."""
        return [{column.heading: column.cell(row) for column in self.columns} for row in report["results"]]

    def text(self, report: Mapping[str, Any]) -> str:
        """`report` as one readable block."""
        rows = [[cell_text(column.cell(row)) for column in self.columns] for row in report["results"]]
        widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([self.headline(report), *lines])


@dataclass(frozen=True)
class RunReport:
    """What a run of a flow did.

    `results` has a row per entry in the order of the configuration; `statistics` counts them, `summary` sums them up,
    `about` says what the run was asked for. `failure` is what failed and what to do about it, None if nothing did.
    """

    layout: ReportLayout
    status: PipelineStatus
    results: Sequence[EntryRow]
    summary: Mapping[str, Any]
    statistics: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    failure: tuple[str, str] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same for programs: `pipeline_status`, what the run was asked for, `statistics`, `summary`, `results`."""
        counts = {"statistics": dict(self.statistics)} if self.statistics else {}
        return {
            "pipeline_status": self.status,
            **self.about,
            **counts,
            "summary": dict(self.summary),
            "results": list(self.results),
        }


async def finish(report: RunReport, error: type[RunError] = RunError) -> dict[str, Any]:
    """End a run: log its report, show it as an artifact, and return it as a dict.

    Raises `error`, which carries the dict, if something failed.
    """
    content = report.as_dict()
    flow = report.layout.flow
    get_run_logger().info(report.layout.text(content))
    await acreate_table_artifact(report.layout.table(content), key=flow, description=report.layout.headline(content))
    if report.failure:
        raise error(flow, *report.failure, content)
    return content


def status_of(failures: int, successes: int) -> PipelineStatus:
    """`success` without failures, else `partial` if something succeeded."""
    return "success" if not failures else "partial" if successes else "failed"


def failure_of(results: Sequence[EntryRow]) -> tuple[str, str] | None:
    """Which entries have an `error` and why, None if none has."""
    failed = [row for row in results if row["error"]]
    if not failed:
        return None
    names = ", ".join(row["name"] for row in failed)
    more = f" … and {len(failed) - REASONS_SHOWN} more, in the report" if len(failed) > REASONS_SHOWN else ""
    reasons = " · ".join(row["error"] for row in failed[:REASONS_SHOWN])
    return f"{len(failed)} of {len(results)} entries failed: {names}", reasons + more


def error_kind(outcomes: Sequence[Outcome]) -> type[RunError]:
    """The error that a run with these collections ends with: refused, if credentials are all that is wrong."""
    failed = [outcome for outcome in outcomes if outcome.failures]
    refused = failed and all(isinstance(outcome.error, CredentialsError) for outcome in failed)
    return RefusedError if refused else RunError


def collection_row(outcome: Outcome) -> dict[str, Any]:
    """One collection: `name`, `period`, `file`, `files`, `rows`, `bytes`, `upload_status`, `error`,
    `from_cache`, `reused` pages, `warnings`, `skipped` (what the answer held and is not stored: `reason`, `count` and
    one `example` each) and `stages` with seconds and peak memory (MB).

    There is more than one file, and an `error`, where only parts of the period were answered. `upload_status` is
    `success`, `failed`, or `skipped` where there was nothing to write.
    """
    collected = outcome.collected or {}
    return {
        "name": outcome.entry.name,
        "period": str(outcome.period) if outcome.period else None,
        "file": collected.get("file"),
        "files": collected.get("files", []),
        "rows": collected.get("rows", 0),
        "bytes": collected.get("bytes", 0),
        "upload_status": _upload_status(outcome),
        "error": one_line(outcome.error) if outcome.error else _describe_failures(outcome),
        "from_cache": outcome.from_cache,
        "reused": collected.get("reused", 0),
        "warnings": collected.get("warnings", []),
        "skipped": collected.get("skipped", []),
        "stages": collected.get("stages", {}),
    }


def _describe_failures(outcome: Outcome) -> str | None:
    return "; ".join(f"{period} {reason}" for period, reason in outcome.failures.items()) or None


def _upload_status(outcome: Outcome) -> str:
    if isinstance(outcome.error, StorageError):
        return "failed"
    return "success" if outcome.collected and outcome.collected["file"] else "skipped"


def cell_text(cell: str | float) -> str:
    """A cell as text, numbers with commas between thousands.

    >>> cell_text(1200), cell_text(0.5), cell_text("ok")
    ('1,200', '0.50', 'ok')
    """
    if isinstance(cell, float):
        return f"{cell:,.2f}"
    return f"{cell:,}" if isinstance(cell, int) else cell
