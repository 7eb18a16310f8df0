"""What came of the periods that were asked for: remembered in the lake, and pictured in the UI."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from prefect.artifacts import acreate_markdown_artifact

from flows.run.report import explained
from gridtide.coverage import failed_periods, gaps, picture
from gridtide.coverage.picture import Coverage
from gridtide.entries.entry import Entry
from gridtide.lake import Lake
from gridtide.periods import Period
from tasks.collect import Outcome


async def remember(lake: Lake, entry: Entry, outcomes: Sequence[Outcome], now: datetime) -> None:
    """Note in the lake which periods of `entry` are still open, and forget those that were made good since."""
    before = await failed_periods.recall(lake, entry)
    why = {one.period: _why_open(one) for one in outcomes if one.period}
    done = [period for period, reason in why.items() if not reason]
    found = failed_periods.after(before, done, {period: reason for period, reason in why.items() if reason}, now)
    if found != before:
        await failed_periods.remember(lake, entry, found)


def _why_open(outcome: Outcome) -> str:
    """Why what was asked for was not answered, empty if it was."""
    if outcome.error:
        return explained(outcome.error)
    collected = outcome.collected or {}
    return "" if collected.get("period") else "; ".join(collected.get("warnings", ()))


async def coverage(
    lake: Lake, entry: Entry, wanted: Period, now: datetime, damaged: Collection[str] = ()
) -> Coverage | None:
    """How much of `wanted` the lake holds of what is due at `now`, without `damaged` files (paths); None where nothing
    is."""
    span = gaps.due(entry, wanted, now)
    if span is None:
        return None
    files = [one for one in await lake.files(entry.output_folder, entry.file_prefix) if one.path not in damaged]
    failed = tuple(one.period for one in await failed_periods.recall(lake, entry))
    return Coverage(span, tuple(gaps.covered(files)), failed)


async def show(key: str, title: str, pictures: Mapping[str, Coverage]) -> None:
    """The pictures by entry as the Markdown artifact `key`."""
    lines = [f"| {name} | `{one}` | {_listed(one.missing)} |" for name, one in pictures.items()]
    legend = f"A cell is as high as the share of it that is complete; `{picture.FAILED}` was asked for in vain."
    text = "\n".join([f"### {title}", "", "| entry | complete | missing |", "|---|---|---|", *lines, "", legend])
    await acreate_markdown_artifact(text, key=key, description=title)


def _listed(periods: Sequence[Period], shown: int = 5) -> str:
    said = "; ".join(str(one) for one in periods[:shown])
    return f"{said} and {len(periods) - shown} more" if len(periods) > shown else said or "nothing"
