"""Collects the chunks of plans; backfill and monitor share this.

plans ─► chunks ─► collect ─► lake        at most `concurrency` chunks of an entry at a time
            └► units ─► workers ─► lake   several chunks of an entry, if other processes collect them
                      └─► outcomes ─► failed/ ─► coverage ─► a result per entry
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
from prefect.logging import get_run_logger

from flows.run.cluster import Workers, choose_unit_size
from flows.run.progress import Progress
from flows.run.report import EntryResult, sum_results, summarize_collection
from gridtide.collect.holes import count_skipped
from gridtide.coverage import failed_periods
from gridtide.coverage.failed_periods import PeriodAnswer
from gridtide.coverage.freshness.changed_series import find_changed_series
from gridtide.coverage.picture import Coverage, measure_coverage
from gridtide.coverage.plan import Plan
from gridtide.entries.entry import Entry
from gridtide.errors import ClockError, FormatError, StorageError, one_line
from gridtide.lake import Lake
from gridtide.lake.soundness import CheckedFiles
from gridtide.periods import Period, describe_duration
from gridtide.sources.contract import Skipped
from tasks import remote
from tasks.collect import CollectionRun, Outcome, run_collection
from tasks.remote import Destination, RemoteCall


async def collect_chunks(plans: Sequence[Plan], run: CollectionRun) -> list[Outcome]:
    """Collect all chunks in this process, at most `entry.concurrency` of an entry at a time."""
    progress = await _begin_progress(plans)
    semaphores = {plan.entry.name: asyncio.Semaphore(plan.entry.concurrency) for plan in plans}

    async def collect_chunk(entry: Entry, chunk: Period) -> Outcome:
        async with semaphores[entry.name]:
            outcome = await run_collection(run, entry, chunk)
        await progress.advance(entry.name)
        return outcome

    return await asyncio.gather(*(collect_chunk(entry, chunk) for plan in plans for entry, chunk in plan.chunks))


async def collect_chunks_on(workers: Workers, plans: Sequence[Plan], destination: Destination) -> list[Outcome]:
    """Collect all chunks in the processes of `workers`, in units of several chunks of one entry."""
    progress = await _begin_progress(plans)

    async def collect_unit(chunks: Sequence[tuple[Entry, Period]]) -> list[Outcome]:
        name = chunks[0][0].name
        remote_call = RemoteCall(
            f"{name} {chunks[0][1].start:%Y-%m-%d} to {chunks[-1][1].end:%Y-%m-%d}",
            remote.RemoteUnit(chunks, destination, workers.retries).collect,
        )
        try:
            results = await workers.run("collect", remote_call)
        except Exception as error:  # any error: the failure of a unit must not stop the others
            results = [error] * len(chunks)
        for _ in chunks:
            await progress.advance(name)
        return [_describe_outcome(chunk, result) for chunk, result in zip(chunks, results, strict=True)]

    units = await asyncio.gather(*(collect_unit(chunks) for chunks in cut_units(plans, workers.count)))
    return [outcome for outcomes in units for outcome in outcomes]


def _describe_outcome(chunk: tuple[Entry, Period], result: dict[str, Any] | Exception) -> Outcome:
    entry, period = chunk
    if isinstance(result, Exception):
        return Outcome(entry, period, error=result)
    return Outcome(entry, period, result)


def cut_units(plans: Sequence[Plan], workers: int) -> list[list[tuple[Entry, Period]]]:
    """Cut the chunks of each plan into units of one entry, of the size that `choose_unit_size` finds for all chunks.

    Units of different entries take turns, as upstreams have quotas. The workers share the `concurrency` of an entry, of
    which each has at least 1.
    """
    chunk_count = sum(len(plan.chunks) for plan in plans)
    size = choose_unit_size(chunk_count, workers)
    units = [
        (start, [(_divide_concurrency(entry, workers), period) for entry, period in plan.chunks[start : start + size]])
        for plan in plans
        for start in range(0, len(plan.chunks), size)
    ]
    return [chunks for _, chunks in sorted(units, key=lambda unit: unit[0])]


def _divide_concurrency(entry: Entry, workers: int) -> Entry:
    return msgspec.structs.replace(entry, concurrency=-(-entry.concurrency // workers))


async def record_answers(
    periods: Sequence[tuple[Entry, Period]],
    outcomes: Sequence[Outcome],
    run: CollectionRun,
    checked: Mapping[str, CheckedFiles],
) -> dict[str, Coverage]:
    """Record in the lake which periods of `outcomes` failed; returns the coverage of each entry's period, by name.

    `checked` is the result of an earlier check of the files of each entry, by name. If the lake cannot be read or
    written for an entry, the entry is left out, with a warning.
    """
    coverages: dict[str, Coverage] = {}
    for entry, period in periods:
        entry_outcomes = [outcome for outcome in outcomes if outcome.entry.name == entry.name]
        answers = [answer for outcome in entry_outcomes for answer in list_period_answers(outcome)]
        try:
            await failed_periods.note_answers(run.lake, entry, answers, run.stamp)
            coverage = await measure_coverage(run.lake, entry, period, run.stamp, checked.get(entry.name))
        except StorageError as error:
            get_run_logger().warning("The coverage of %s cannot be shown: %s", entry.name, one_line(error))
        else:
            coverages |= {entry.name: coverage} if coverage else {}
    return coverages


def list_period_answers(outcome: Outcome) -> list[PeriodAnswer]:
    """The parts of the period of `outcome` that were answered, and the other parts with their reasons."""
    if outcome.period is None or isinstance(outcome.error, ClockError):  # the time of this failure is not known
        return []
    if outcome.error:
        lasting = isinstance(outcome.error, FormatError)
        return [PeriodAnswer(outcome.period, one_line(outcome.error), lasting)]
    content = outcome.collected or {}
    period_answers = [PeriodAnswer(Period.parse(part)) for part in content.get("answered", ())]
    holes = [PeriodAnswer(Period.parse(hole["period"]), hole["reason"], hole["lasting"]) for hole in outcome.holes]
    return period_answers + holes


def summarize_entry(plan: Plan, outcomes: Sequence[Outcome], coverages: Mapping[str, Coverage]) -> dict[str, Any]:
    """The result of the entry of `plan` in a report: `name`, the number of missing `chunks`, of `collected` and of
    `failed` ones, `rows`, `bytes`, `reused` (pages that an interrupted run stored), `files`, `covered` (the duration
    that the lake covered before, as text), `skipped` (why nothing was requested, or null), `skipped_records` (contents
    of answers that are not stored: `reason`, `count` and one `example` each), the number of `rejected` rows and their
    `rejected_files`, the number of `requests` and `retries`, the seconds that requests `waited`, `stages` (seconds and
    peak memory in MB), `coverage` (the complete share of the period) and `covered_until` (its end), `absent` (the
    periods for which the upstream has nothing, as its status says), `warnings` and `errors` (lists of
    `period: text`), `missing` (the periods that are due and still not in the lake)."""
    entry = plan.entry
    entry_outcomes = [outcome for outcome in outcomes if outcome.entry.name == entry.name]
    results = [summarize_collection(outcome) for outcome in entry_outcomes]
    content = sum(result["error"] is None for result in results)
    skipped = count_skipped(Skipped(**record) for result in results for record in result["skipped"])
    return {
        "name": entry.name,
        "chunks": len(plan.chunks),
        "collected": content,
        "failed": len(results) - content,
        **sum_results(results, "rows", "bytes", "reused", "rejected", "requests", "retries"),
        "waited": round(sum(result["waited"] for result in results), 3),
        "stages": _sum_stages(results),
        "files": [file for result in results for file in result["files"] or [result["file"]] if file],
        "covered": describe_duration(plan.covered_time) if plan.covered_time else "nothing",
        "skipped": plan.skip_reason,
        "rejected_files": [file for result in results for file in result["rejected_files"]],
        "skipped_records": [record.as_dict() for record in skipped],
        "absent": [period for result in results for period in result["absent"]],
        "warnings": [*plan.warnings, *_list_warnings(results)],
        "errors": [f"{period}: {reason}" for outcome in entry_outcomes for period, reason in outcome.failures.items()],
        **_describe_coverage(coverages.get(entry.name)),
        "missing": [str(period) for period in coverages[entry.name].missing] if entry.name in coverages else [],
    }


def _describe_coverage(coverage: Coverage | None) -> dict[str, Any]:
    """The complete share of the period, and the end of its latest complete part; both null without a coverage."""
    if coverage is None:
        return {"coverage": None, "covered_until": None}
    until = coverage.complete[-1].end.isoformat() if coverage.complete else None
    return {"coverage": round(coverage.share, 6), "covered_until": until}


def _sum_stages(results: Sequence[EntryResult]) -> dict[str, dict[str, float]]:
    """The seconds of each stage, summed over collections, and the highest peak of memory (MB)."""
    stages: dict[str, dict[str, float]] = {}
    for result in results:
        for name, effort in result["stages"].items():
            total = stages.setdefault(name, {"seconds": 0.0, "peak_mb": 0.0})
            total["seconds"] = round(total["seconds"] + effort["seconds"], 4)
            total["peak_mb"] = max(total["peak_mb"], effort["peak_mb"])
    return stages


def _list_warnings(results: Sequence[EntryResult]) -> list[str]:
    """The warnings of collections, each with its period."""
    return [f"{result['period'] or 'snapshot'}: {warning}" for result in results for warning in result["warnings"]]


async def _begin_progress(plans: Sequence[Plan]) -> Progress:
    return await Progress.begin("backfill-progress", {plan.entry.name: len(plan.chunks) for plan in plans})


async def warn_of_changed_series(outcomes: Sequence[Outcome], lake: Lake) -> list[Outcome]:
    """`outcomes` with a warning for each of their new files whose series are not those of the file before.

    An entry whose files cannot be read is passed over with a line in the log: what it collected is in the lake.
    """
    new_files: dict[str, tuple[Entry, list[str]]] = {}
    for outcome in outcomes:
        if paths := _new_files(outcome):
            new_files.setdefault(outcome.entry.name, (outcome.entry, []))[1].extend(paths)
    warnings: dict[str, list[str]] = {}
    for texts in await asyncio.gather(*(_find_warnings(lake, *own) for own in new_files.values())):
        warnings |= texts
    return [_add_warnings(outcome, warnings) for outcome in outcomes]


async def _find_warnings(lake: Lake, entry: Entry, paths: Sequence[str]) -> dict[str, list[str]]:
    try:
        return await find_changed_series(lake, entry, paths)
    except StorageError as error:
        get_run_logger().warning("%s: its series are not compared with those before: %s", entry.name, one_line(error))
        return {}


def _new_files(outcome: Outcome) -> list[str]:
    content = outcome.collected or {}
    return list(content["files"]) if content.get("created") and not outcome.from_cache else []


def _add_warnings(outcome: Outcome, warnings: dict[str, list[str]]) -> Outcome:
    texts = [text for path in _new_files(outcome) for text in warnings.get(path, ())]
    if not outcome.collected or not texts:
        return outcome
    return replace(outcome, collected={**outcome.collected, "warnings": [*outcome.collected["warnings"], *texts]})
