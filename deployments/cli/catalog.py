"""The catalogue of a lake as text."""

from __future__ import annotations

from rich.table import Table

from deployments.cli.console import draw_table
from gridtide.catalog.records import Catalogue, SeriesRecord
from gridtide.periods import describe_duration


def tabulate_series(catalogue: Catalogue) -> Table:
    """The series of `catalogue` as a table, a row for each."""
    rows = [
        (
            str(series.name),
            series.unit,
            describe_duration(series.resolution),
            f"{series.period.start:%Y-%m-%d}" if series.period else "",
            "" if series.coverage is None else f"{int(100 * series.coverage)}%",
            f"{series.recent.vintages.mean:g}" if series.recent else "",
            f"{series.last_value:%Y-%m-%dT%H:%MZ}" if series.last_value else "",
            _describe_state(series),
        )
        for series in catalogue.series
    ]
    headings = ("series", "unit", "every", "from", "covered", "vintages", "last value", "state")
    return draw_table(headings, rows, right=("covered", "vintages"))


def _describe_state(series: SeriesRecord) -> str:
    late = f" {describe_duration(series.late_by)}" if series.freshness == "late" else ""
    kinds = {correction["kind"] for correction in series.corrections}
    words = [word for kind, word in (("alias", "renamed"), ("shift", "shifted")) if kind in kinds]
    return ", ".join(
        [f"{series.freshness}{late}", *([f"quality {series.quality.flag}"] if series.quality else []), *words]
    )


def list_problems(catalogue: Catalogue) -> list[str]:
    """A line for each problem of an entry, such as files that cannot be read, which the table does not show."""
    return [f"{entry.name}: {problem}" for entry in catalogue.entries for problem in entry.problems]


def list_licences(catalogue: Catalogue) -> list[str]:
    """A line for each source: its licence or terms, and the page with them."""
    return [
        f"{name}: {licence.title}, {licence.url}" if licence else f"{name}: terms not known, read those of the upstream"
        for name, licence in catalogue.licences.items()
    ]
