"""Collecting the chunks of plans, which is what backfill and monitor have in common.

plans ─► chunks ─► collect ─► lake        of one entry at most `concurrency` at a time
                      └─► outcomes ─► failed/ ─► coverage ─► a row per entry
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from prefect.logging import get_run_logger

from flows.run.cluster import workers
from flows.run.progress import Progress
from flows.run.report import collection_row
from gridtide.collect.holes import count_skipped
from gridtide.coverage import failed_periods
from gridtide.coverage.failed_periods import PeriodAnswer
from gridtide.coverage.picture import Coverage, measure_coverage
from gridtide.coverage.plan import Plan
from gridtide.entries.entry import Entry, TaskRetries
from gridtide.errors import ClockError, FormatError, StorageError, one_line
from gridtide.periods import Period, describe_duration
from gridtide.sources.contract import Skipped
from tasks import remote
from tasks.collect import CollectionRun, Outcome, run_collection
from tasks.remote import Destination, RemoteCall


async def collect_chunks(plans: Sequence[Plan], run: CollectionRun) -> list[Outcome]:
    """Collect all chunks here; of one entry at most `entry.concurrency` at a time."""
    progress = await _begin_progress(plans)
    turns = {plan.entry.name: asyncio.Semaphore(plan.entry.concurrency) for plan in plans}

    async def collect_chunk(entry: Entry, chunk: Period) -> Outcome:
        async with turns[entry.name]:
            outcome = await run_collection(run, entry, chunk)
        await progress.advance(entry.name)
        return outcome

    return await asyncio.gather(*(collect_chunk(plan.entry, chunk) for plan in plans for chunk in plan.chunks))


async def collect_chunks_on(
    cluster: str, plans: Sequence[Plan], place: Destination, retries: TaskRetries
) -> list[Outcome]:
    """Collect all chunks on the workers of `cluster`."""
    progress = await _begin_progress(plans)

    async def collect_chunk(entry: Entry, chunk: Period) -> Outcome:
        call = RemoteCall(f"{entry.name} {chunk}", remote.collect_remotely, entry, chunk, place)
        try:
            collected = await pool.run("collect", call)
            outcome = Outcome(entry, chunk, collected)
        except Exception as error:  # whatever it was: one chunk's failure stops no other
            outcome = Outcome(entry, chunk, error=error)
        await progress.advance(entry.name)
        return outcome

    with workers(cluster, retries) as pool:
        return await asyncio.gather(*(collect_chunk(plan.entry, chunk) for plan in plans for chunk in plan.chunks))


async def settle(
    periods: Sequence[tuple[Entry, Period]],
    outcomes: Sequence[Outcome],
    run: CollectionRun,
    damaged: Collection[str] = (),
) -> dict[str, Coverage]:
    """Note in the lake what failed of `outcomes`; returns the coverage of each entry's period, by name.

    `damaged` files (paths) cover nothing. An entry whose part of the lake cannot be read or written is left out with
    a warning.
    """
    coverages: dict[str, Coverage] = {}
    for entry, period in periods:
        answers = [answer for outcome in outcomes if outcome.entry is entry for answer in answers_of(outcome)]
        try:
            await failed_periods.note_answers(run.lake, entry, answers, run.stamp)
            coverage = await measure_coverage(run.lake, entry, period, run.stamp, damaged)
        except StorageError as error:
            get_run_logger().warning("%s has no picture of its coverage: %s", entry.name, one_line(error))
        else:
            coverages |= {entry.name: coverage} if coverage else {}
    return coverages


def answers_of(outcome: Outcome) -> list[PeriodAnswer]:
    """Which parts of the period of `outcome` were answered, and why the others were not."""
    if outcome.period is None or isinstance(outcome.error, ClockError):  # when it failed cannot be noted rightly
        return []
    if outcome.error:
        lasting = isinstance(outcome.error, FormatError)
        return [PeriodAnswer(outcome.period, one_line(outcome.error), lasting)]
    collected = outcome.collected or {}
    answered = [PeriodAnswer(Period.parse(part)) for part in collected.get("answered", ())]
    holes = [PeriodAnswer(Period.parse(hole["period"]), hole["reason"], hole["lasting"]) for hole in outcome.holes]
    return answered + holes


def entry_row(plan: Plan, outcomes: Sequence[Outcome], coverages: Mapping[str, Coverage]) -> dict[str, Any]:
    """What a report says of the entry of `plan`: `name`, `chunks` that were missing, `collected` and `failed` ones,
    `rows`, `bytes`, `reused` (pages that an interrupted run left), `files`, `covered` (what the lake held before, as
    text), `skipped` (why it was not asked, or null), `skipped_records` (what answers held and is not stored: `reason`,
    `count` and one `example` each), `warnings` and `errors` (lists of `period: what happened`), `missing` (the periods
    that are due and not in the lake afterwards)."""
    entry = plan.entry
    own = [outcome for outcome in outcomes if outcome.entry is entry]
    rows = [collection_row(outcome) for outcome in own]
    collected = [row for row in rows if row["error"] is None]
    skipped = count_skipped(Skipped(**item) for row in rows for item in row["skipped"])
    return {
        "name": entry.name,
        "chunks": len(plan.chunks),
        "collected": len(collected),
        "failed": len(rows) - len(collected),
        **{key: sum(row[key] for row in rows) for key in ("rows", "bytes", "reused")},
        "files": [file for row in rows for file in row["files"] or [row["file"]] if file],
        "covered": describe_duration(plan.covered) if plan.covered else "nothing",
        "skipped": plan.skipped,
        "skipped_records": [item.as_dict() for item in skipped],
        "warnings": [*plan.warnings, *(f"{_period_text(row)}: {text}" for row in rows for text in row["warnings"])],
        "errors": [f"{period}: {reason}" for outcome in own for period, reason in outcome.failures.items()],
        "missing": [str(period) for period in coverages[entry.name].missing] if entry.name in coverages else [],
    }


def _period_text(row: Mapping[str, Any]) -> str:
    return row["period"] or "snapshot"


async def _begin_progress(plans: Sequence[Plan]) -> Progress:
    return await Progress.begin("backfill-progress", {plan.entry.name: len(plan.chunks) for plan in plans})
