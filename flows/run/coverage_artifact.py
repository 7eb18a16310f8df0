"""The coverage of entries as a Markdown artifact in the UI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prefect.artifacts import acreate_markdown_artifact

from gridtide.coverage import picture
from gridtide.coverage.picture import Coverage
from gridtide.errors import list_first
from gridtide.periods import Period

PERIODS_SHOWN = 5
"""The number of missing periods of an entry that the artifact lists."""


async def show_coverage(key: str, title: str, coverages: Mapping[str, Coverage]) -> None:
    """Show the coverage of each entry, by name, as the artifact `key`."""
    lines = [f"| {name} | `{coverage}` | {_list_periods(coverage.missing)} |" for name, coverage in coverages.items()]
    legend = (
        f"The height of a cell is the share of its period that is complete; `{picture.FAILED}` marks failed requests."
    )
    markdown = "\n".join([f"### {title}", "", "| entry | complete | missing |", "|---|---|---|", *lines, "", legend])
    await acreate_markdown_artifact(markdown, key=key, description=title)


def _list_periods(periods: Sequence[Period]) -> str:
    return list_first(periods, PERIODS_SHOWN, "; ") or "nothing"
