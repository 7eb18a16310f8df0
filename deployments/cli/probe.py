"""Sends one small request to each upstream, and tests whether the lake can be written to. Stores no answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from deployments.cli.console import FAILED, REFUSED, count_noun, draw_table, err, out
from deployments.machine.prefect_api import connect_for_blocks
from gridtide import sandbox as embedded
from gridtide.database.upstreams import Upstreams
from gridtide.entries.entry import Config, Entry
from gridtide.errors import CredentialsError, GridtideError
from gridtide.observations.availability import find_due_end
from gridtide.periods import DAY, Period
from gridtide.sandbox.upstreams import list_secrets
from gridtide.sources.contract import Response
from gridtide.sources.registry import get_source
from tasks.lake import open_lake
from tasks.secrets import read_credentials


@dataclass(frozen=True, slots=True)
class Probe:
    """The result of a request for an entry: the number of `rows` (None if it keeps only bodies), or the `error`."""

    entry: str
    seconds: float
    rows: int | None = None
    error: GridtideError | None = None


async def run_probes(config: Config, entries: Sequence[Entry], lake: str, sandbox: bool | str) -> int:
    """Probe `entries` and the lake at the address `lake`, print the results, and return the exit code."""
    async with AsyncExitStack() as stack:
        if sandbox:
            url = sandbox if isinstance(sandbox, str) else await stack.enter_async_context(embedded.run_sandbox())
            entries = embedded.redirect(config, url).select(entry.name for entry in entries)
        http = await stack.enter_async_context(
            Upstreams(list_secrets() if sandbox else await _read_credentials(entries))
        )
        with err.status(f"Sending a request for each of {count_noun(len(entries), 'entry', 'entries')}"):
            probes = await probe_entries(entries, http, datetime.now(UTC))
    rows = [
        (probe.entry, "failed" if probe.error else "ok", f"{probe.seconds:.2f}", str(probe.error or _answered(probe)))
        for probe in probes
    ]
    problem = await _try_lake(lake)
    rows.append(("lake", "failed" if problem else "ok", "", str(problem or lake)))
    out.print(draw_table(("entry", "", "seconds", "answer"), rows, right=("seconds",)))
    errors = [error for error in (problem, *(probe.error for probe in probes)) if error]
    if errors and all(isinstance(error, CredentialsError) for error in errors):
        return REFUSED
    return FAILED if errors else 0


async def _read_credentials(entries: Sequence[Entry]) -> dict[str, str]:
    async with connect_for_blocks("", entries):
        return await read_credentials(entries)


async def _try_lake(address: str) -> GridtideError | None:
    try:
        async with connect_for_blocks(address):
            lake = await open_lake(address)
        await lake.store.probe()
    except GridtideError as error:
        return error
    return None


def _answered(probe: Probe) -> str:
    return "answers" if probe.rows is None else f"answers, {count_noun(probe.rows, 'row', 'rows')}"


async def probe_entries(entries: Sequence[Entry], http: Upstreams, now: datetime) -> list[Probe]:
    """Send the first request of each entry for the last day that is due at `now`; nothing is stored."""
    return list(await asyncio.gather(*(_probe_entry(entry, http, now) for entry in entries)))


async def _probe_entry(entry: Entry, http: Upstreams, now: datetime) -> Probe:
    start_time = time.monotonic()
    single_attempt = msgspec.structs.replace(entry, retries=1)
    try:
        rows = await _request_rows(single_attempt, http, now)
    except GridtideError as error:
        return Probe(entry.name, time.monotonic() - start_time, error=error)
    return Probe(entry.name, time.monotonic() - start_time, rows)


async def _request_rows(entry: Entry, http: Upstreams, now: datetime) -> int | None:
    """The number of rows in the answer to the first request, None if the entry keeps only bodies."""
    upstream = get_source(entry.source)
    due = find_due_end(entry, now)
    period = Period(due - DAY, due) if upstream.takes_period(entry) else None
    request = upstream.build_requests(entry, period)[0]

    async def count_rows(answer: Response) -> int | None:
        if not entry.tabular:
            return None
        page = await asyncio.to_thread(upstream.parse_response, entry, request, answer)
        return page.record_count

    if not request.url:  # generated, not fetched
        return await count_rows(Response(b"", now))
    return await http.fetch(entry, request, count_rows)
