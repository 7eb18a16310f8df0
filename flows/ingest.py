"""Collect entries of the configuration, all at the same time, each into one file of the lake.

api_config.json ─► entries ─► collect ─► lake
                              collect ─► lake     a failing entry stops no other
                              collect ─► lake
                                 └─────► report
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from prefect import runtime
from prefect.artifacts import acreate_table_artifact
from prefect.logging import get_run_logger

from flows.run.local_flow import local_flow
from flows.run.progress import tell
from flows.run.report import as_rows, as_text, failure, ingest_report, raise_failures
from flows.run.session import collecting, selected
from gridtide.collect.collection import scheduled_period
from gridtide.entries.entry import Entry
from tasks.collect import CollectionRun, Outcome, run_collection


def _check(config: str | dict[str, Any], select: list[str] | None, **_: Any) -> None:
    selected(config, select)


def _run_name() -> str:
    return f"ingest {', '.join(runtime.flow_run.parameters.get('select') or ()) or 'all'}"


@local_flow(name="ingest", flow_run_name=_run_name, check=_check)
async def ingest(
    config: str | dict[str, Any] = "api_config.json",
    select: list[str] | None = None,
    lake: str | None = None,
    sandbox: bool | str = False,
    refresh: bool = False,
) -> dict[str, Any]:
    """Collect what is current of the entries and write it to the lake.

    Returns the report that `flows.run.report.ingest_report` describes. Raises `ConfigurationError`
    before anything is asked, and `RunError`, which carries the report, after everything is
    done if any entry failed.

    Args:
        config: The configuration: the path of the file, or its content.
        select: Names of the entries to collect; all if empty.
        lake: Folder or URI of the lake; the configuration's if empty.
        sandbox: Ask simulated upstreams instead of the real ones; or the URL of a sandbox that runs.
        refresh: Ask although the last answer is still fresh.
    """
    started = time.monotonic()
    async with collecting(config, select, lake, sandbox, refresh) as (run, entries):
        for entry in entries:
            tell(entry.name, 0, 1)
        outcomes = await asyncio.gather(*(_one(run, entry) for entry in entries))
    report = ingest_report(outcomes, time.monotonic() - started)
    get_run_logger().info(as_text("ingest", report))
    await acreate_table_artifact(as_rows(report), key="ingest", description="What the run collected, per entry")
    raise_failures("ingest", report, failure(outcomes))
    return report


async def _one(run: CollectionRun, entry: Entry) -> Outcome:
    outcome = await run_collection(run, entry, scheduled_period(entry, run.stamp))
    tell(entry.name, 1, 1)
    return outcome
