"""Makes the catalogue of the lake, and writes it to `catalog/` there, with the page that shows it.

lake ─► files, footers, last weeks, manifests ─┐
Prefect server ─► schedules and their runs ────┴─► catalog/catalog.json, catalog/index.html, datapackage.json

No flow waits for it, and nothing that it does touches files of observations: if it fails, collection goes on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger

from flows.run.local_flow import local_flow
from flows.run.report import Column, EntryResult, ReportLayout, RunReport, finish
from flows.run.session import check_selection, load_selected
from gridtide.catalog.page.page_data import LakePicture
from gridtide.catalog.writing import picture_lake, write_catalog
from tasks.lake import open_lake
from tasks.schedule_states import read_schedule_states


@local_flow(name="catalog", check=check_selection)
async def catalog(config: str | dict[str, Any] = "api_config.json", lake: str | None = None) -> dict[str, Any]:
    """Describe every series of the lake, and write the catalogue and its page to `catalog/` in the lake.

    Returns the report that `catalog_report` describes. Raises `ConfigurationError` before anything is read, and
    `StorageError` if the lake cannot be listed or written.

    Args:
        config: The configuration: the path of the file, or its content.
        lake: Folder or URI of the lake; the configuration's if empty.
    """
    start_time = time.monotonic()
    settings, _ = load_selected(config, None)
    opened_lake = await open_lake(lake or settings.lake)
    schedules = await _read_schedules()
    picture = await picture_lake(opened_lake, settings, datetime.now(UTC), schedules=schedules)
    written = await write_catalog(opened_lake, picture)
    return await finish(catalog_report(picture, written, time.monotonic() - start_time))


async def _read_schedules() -> list[dict[str, Any]] | None:
    """The schedules of the server; None, with a warning, if it does not answer."""
    try:
        return await read_schedule_states()
    except (httpx.HTTPError, PrefectException) as error:
        get_run_logger().warning("the schedules are not in the catalogue: %r", error)
        return None


def catalog_report(picture: LakePicture, written: Mapping[str, int], seconds: float) -> RunReport:
    """The report of a run that described `picture` and wrote files of these bytes by path:

    - `pipeline_status`: `success`; the catalogue is written as a whole, or the run fails
    - `summary`: the number of `series`, of training `sets` and of `files` written, their `bytes`, `seconds`
    - `results` per entry: `name`, its `files`, `series`, how many of these are `fresh`, `late`, `silent` and `empty`,
      the covered `share` (or null), `problems` (sentences), `error` (null)
    """
    results = [
        _summarize_entry(
            entry.as_dict(),
            Counter(series.freshness for series in picture.catalogue.series if series.entry == entry.name),
        )
        for entry in picture.catalogue.entries
    ]
    summary = {
        "series": len(picture.catalogue.series),
        "sets": len(picture.sets),
        "files": len(written),
        "bytes": sum(written.values()),
        "seconds": round(seconds, 3),
    }
    return RunReport(CATALOG_LAYOUT, "success", results, summary)


def _summarize_entry(entry: Mapping[str, Any], states: Counter[str]) -> dict[str, Any]:
    return {
        "name": entry["name"],
        "files": entry["files"],
        "series": states.total(),
        **{state: states[state] for state in ("fresh", "late", "silent", "empty")},
        "share": entry["coverage"],
        "problems": entry["problems"],
        "error": None,
    }


def _write_headline(report: Mapping[str, Any]) -> str:
    summary = report["summary"]
    return (
        f"catalog: {report['pipeline_status']}, {summary['series']:,} series and {summary['sets']:,} training sets in "
        f"catalog/ ({summary['bytes']:,} bytes) in {summary['seconds']:.1f} s"
    )


def _write_note(result: EntryResult) -> str:
    problems: Sequence[str] = result["problems"]
    return "; ".join(problems)


CATALOG_LAYOUT = ReportLayout(
    "catalog",
    _write_headline,
    (
        Column("entry", "name"),
        Column("files", "files"),
        Column("series", "series"),
        Column("fresh", "fresh"),
        Column("late", "late"),
        Column("silent", "silent"),
        Column("covered", lambda result: "" if result["share"] is None else f"{result['share']:.0%}"),
        Column("note", _write_note),
    ),
)
