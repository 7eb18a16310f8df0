"""The report of a flow run. Every flow but `notify` ends with `finish`, which logs, shows and returns it.

    results, one per entry ─► RunReport ─► finish ─► the log, the artifact in the UI, the result of the flow
                                              └────► RunError, if something failed, after everything else is done

A `ReportLayout` describes the table of a flow's report; the log, the artifact and the command line share it. In the
report of `prepare_training`, locations take the place of entries, and the artifact is Markdown. A run that is skipped,
or that raises an error before there are results, has no report.

`notify` has none either: it delivers messages to receivers, works on no entries, and returns only the number of notices
by receiver.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.logging import get_run_logger

from flows.run.lineage.telling import tell_lineage
from flows.run.metrics.exporting import export_samples, is_exporting
from flows.run.metrics.samples import list_samples
from gridtide.errors import CredentialsError, GridtideError, StorageError, list_first, one_line
from gridtide.lake import Lake
from gridtide.periods import Period
from tasks.collect import Outcome

REASONS_SHOWN = 3
"""The number of failed entries whose reasons the error of a run contains; notifications show that error."""

EntryResult = Mapping[str, Any]
"""The result of one entry in a report."""

Cell = str | int | float

PipelineStatus = Literal["success", "partial", "failed"]


class RunError(GridtideError):
    """A part of a run failed; everything else was completed. `report` is the report of the run as a dict."""

    def __init__(self, subject: str, happened: str, fix: str, report: dict[str, Any]) -> None:
        super().__init__(subject, happened, fix)
        self.report = report

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.subject, self.happened, self.fix, self.report)


class RefusedError(RunError, CredentialsError):
    """A run failed only because credentials are missing or were refused."""


@dataclass(frozen=True)
class Column:
    """A column of a report's table: its heading, and the value of its cells, a key of the results or a function."""

    heading: str
    value: str | Callable[[EntryResult], Cell]

    def cell(self, result: EntryResult) -> Cell:
        """The cell of the entry with `result`."""
        cell: Cell = result[self.value] if isinstance(self.value, str) else self.value(result)
        return cell


@dataclass(frozen=True)
class MarkdownArtifact:
    """An artifact that is not the table of a report: its key, and the function that writes the report as Markdown."""

    key: str
    write: Callable[[Mapping[str, Any]], str]


def _find_nothing(report: Mapping[str, Any]) -> Sequence[str]:
    return ()


@dataclass(frozen=True)
class ReportLayout:
    """The layout of the report of `flow` as text: one line, then a table with a row per entry.

    `headline` takes the report as a dict and returns the line; `columns` are the columns of the table. With `markdown`
    the artifact is that instead of the table. `list_findings` returns sentences that the command line adds.
    """

    flow: str
    headline: Callable[[Mapping[str, Any]], str]
    columns: tuple[Column, ...]
    markdown: MarkdownArtifact | None = None
    list_findings: Callable[[Mapping[str, Any]], Sequence[str]] = _find_nothing

    def table(self, report: Mapping[str, Any]) -> list[dict[str, Cell]]:
        """The rows of the table of `report`, as cells by heading."""
        return [{column.heading: column.cell(result) for column in self.columns} for result in report["results"]]

    def text(self, report: Mapping[str, Any]) -> str:
        """`report` as text: the headline, and the table in aligned columns."""
        table = [[format_cell(cell) for cell in row.values()] for row in self.table(report)]
        widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
        return "\n".join([self.headline(report), *lines])


@dataclass(frozen=True)
class RunReport:
    """The report of a run of a flow.

    `results` are in the order of the configuration, one per entry, or in that of a training spec, one per location;
    `statistics` are counts and `summary` sums of them. `parameters` are those parameters of the run that the report
    repeats, and whatever else has a key of its own. `failure` is what failed and the fix, None if nothing failed.
    """

    layout: ReportLayout
    status: PipelineStatus
    results: Sequence[EntryResult]
    summary: Mapping[str, Any]
    statistics: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    failure: tuple[str, str] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The report as a dict: `pipeline_status`, the `parameters` by name, `statistics`, `summary`, `results`."""
        counts = {"statistics": dict(self.statistics)} if self.statistics else {}
        return {
            "pipeline_status": self.status,
            **self.parameters,
            **counts,
            "summary": dict(self.summary),
            "results": list(self.results),
        }


async def finish(
    report: RunReport, error: type[RunError] = RunError, *, lake: Lake | None = None, read_files: Iterable[str] = ()
) -> dict[str, Any]:
    """End a run: write its report to the log and to an artifact, and return it as a dict.

    With a `lake`, what the run wrote there, from the files at `read_files`, is told to the server and to the receiver
    of lineage. Raises `error` with the dict as its `report` if something failed.
    """
    content, layout = report.as_dict(), report.layout
    await _export_metrics(layout.flow, content)
    get_run_logger().info(layout.text(content))
    headline = layout.headline(content)
    if layout.markdown:
        markdown = layout.markdown.write(content)
        await acreate_markdown_artifact(markdown, key=layout.markdown.key, description=headline)
    else:
        await acreate_table_artifact(layout.table(content), key=layout.flow, description=headline)
    if lake is not None:
        await tell_lineage(layout.flow, content, lake.uri, read_files, ": ".join(report.failure or ()))
    if report.failure:
        raise error(layout.flow, *report.failure, content)
    return content


async def _export_metrics(flow: str, content: Mapping[str, Any]) -> None:
    """Export the metrics of a run, if the environment names a place for them; a failure is a warning."""
    if not is_exporting():
        return
    samples = list_samples(flow, content, datetime.now(UTC))
    for warning in await asyncio.to_thread(export_samples, samples):
        get_run_logger().warning("%s", warning)


def choose_status(failures: int, successes: int) -> PipelineStatus:
    """`success` without failures; with failures `partial` if something succeeded, else `failed`."""
    return "success" if not failures else "partial" if successes else "failed"


def describe_failure(results: Sequence[EntryResult]) -> tuple[str, str] | None:
    """The names of the entries that have an `error`, and the reasons; None if no entry has one."""
    failed = [result for result in results if result["error"]]
    if not failed:
        return None
    entry_names = ", ".join(result["name"] for result in failed)
    errors = [result["error"] for result in failed]
    reasons = list_first(errors, REASONS_SHOWN, " · ", " … and {} more, in the report")
    return f"{len(failed)} of {len(results)} entries failed: {entry_names}", reasons


def sum_results(results: Sequence[EntryResult], *keys: str) -> dict[str, int]:
    """For each of `keys`, the sum over `results`."""
    return {key: sum(result[key] for result in results) for key in keys}


def choose_error(outcomes: Sequence[Outcome]) -> type[RunError]:
    """The class of the error for a run with failed `outcomes`: `RefusedError` if only credentials are wrong."""
    failed = [outcome for outcome in outcomes if outcome.failures]
    refused = failed and all(isinstance(outcome.error, CredentialsError) for outcome in failed)
    return RefusedError if refused else RunError


def summarize_collection(outcome: Outcome) -> dict[str, Any]:
    """The result of one collection: `name`, `period`, `file`, `files`, `rows`, `bytes`, `upload_status`, `error`,
    `from_cache`, `reused` pages, `requests`, `retries`, `waited` (the seconds that requests waited for rate limits and
    before retries), `covered_until` (the end of what was answered, or null), `warnings`, `skipped` (contents of the
    answer that are not stored: `reason`, `count` and one `example` each, and the `rule` that rejected them), the number
    of `rejected` rows, their `rejected_files`, `absent` (the periods for which the upstream has nothing, as its status
    says) and `stages` with seconds and peak memory (MB).

    If only parts of the period were answered, there is an `error` and there may be several files. `upload_status` is
    `success`, `failed`, or `skipped` if there was nothing to write.
    """
    content = outcome.collected or {}
    return {
        "name": outcome.entry.name,
        "period": str(outcome.period) if outcome.period else None,
        "file": content.get("file"),
        "files": content.get("files", []),
        "rows": content.get("rows", 0),
        "bytes": content.get("bytes", 0),
        "upload_status": _upload_status(outcome),
        "error": one_line(outcome.error) if outcome.error else _describe_failures(outcome),
        "from_cache": outcome.from_cache,
        "reused": content.get("reused", 0),
        "requests": content.get("requests", 0),
        "retries": content.get("retries", 0),
        "waited": content.get("waited", 0.0),
        "covered_until": find_covered_end(outcome),
        "warnings": content.get("warnings", []),
        "skipped": content.get("skipped", []),
        "rejected": sum(record["count"] for record in content.get("skipped", []) if record.get("rule")),
        "rejected_files": content.get("rejected_files", []),
        "absent": content.get("absent", []),
        "stages": content.get("stages", {}),
    }


def find_covered_end(outcome: Outcome) -> str | None:
    """The end of the latest period that the collection answered, in ISO 8601; None if it answered none."""
    ends = [Period.parse(period).end for period in (outcome.collected or {}).get("answered", ())]
    return max(ends).isoformat() if ends else None


def _describe_failures(outcome: Outcome) -> str | None:
    return "; ".join(f"{period} {reason}" for period, reason in outcome.failures.items()) or None


def _upload_status(outcome: Outcome) -> str:
    if isinstance(outcome.error, StorageError):
        return "failed"
    return "success" if outcome.collected and outcome.collected["file"] else "skipped"


def format_cell(cell: str | float) -> str:
    """A cell as text; numbers have commas between thousands.

    >>> format_cell(1200), format_cell(0.5), format_cell("ok")
    ('1,200', '0.50', 'ok')
    """
    if isinstance(cell, float):
        return f"{cell:,.2f}"
    return f"{cell:,}" if isinstance(cell, int) else cell
