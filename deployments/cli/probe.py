"""Whether each upstream answers with the credentials at hand, and whether the lake can be written to.

Each upstream is asked one small question; nothing of it is stored.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from deployments.cli.blocks import open_lake, secrets
from deployments.cli.console import FAILED, REFUSED, counted, err, out, text_table
from gridtide import sandbox as embedded
from gridtide.entries.entry import Config, Entry
from gridtide.errors import CredentialsError, GridtideError
from gridtide.http.client import Http, Response
from gridtide.observations.availability import find_due_end
from gridtide.periods import Period
from gridtide.sources.registry import source

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of asking for an entry: `rows` (None where only bodies are kept), or `error`."""

    entry: str
    seconds: float
    rows: int | None = None
    error: GridtideError | None = None


async def run_probes(config: Config, entries: Sequence[Entry], lake: str, sandbox: bool | str) -> int:
    """Ask for `entries` and try `lake`, print what came of it, and return the exit code."""
    async with AsyncExitStack() as stack:
        if sandbox:
            url = sandbox if isinstance(sandbox, str) else await stack.enter_async_context(embedded.running())
            entries = embedded.redirect(config, url).select(entry.name for entry in entries)
        http = await stack.enter_async_context(Http(embedded.SECRETS if sandbox else await secrets(entries)))
        with err.status(f"Asking the upstreams of {counted(len(entries), 'entry', 'entries')}"):
            probes = await probe_entries(entries, http, datetime.now(UTC))
    rows = [
        (one.entry, "failed" if one.error else "ok", f"{one.seconds:.2f}", str(one.error or _answered(one)))
        for one in probes
    ]
    problem = await _lake_problem(lake)
    rows.append(("lake", "failed" if problem else "ok", "", str(problem or lake)))
    out.print(text_table(("entry", "", "seconds", "answer"), rows, right=("seconds",)))
    errors = [error for error in (problem, *(one.error for one in probes)) if error]
    if errors and all(isinstance(error, CredentialsError) for error in errors):
        return REFUSED
    return FAILED if errors else 0


async def _lake_problem(lake: str) -> GridtideError | None:
    try:
        await (await open_lake(lake)).probe()
    except GridtideError as error:
        return error
    return None


def _answered(one: Probe) -> str:
    return "answers" if one.rows is None else f"answers, {counted(one.rows, 'row', 'rows')}"


async def probe_entries(entries: Sequence[Entry], http: Http, now: datetime) -> list[Probe]:
    """Ask each of `entries` its first question about the day before what is due; nothing is stored."""
    return list(await asyncio.gather(*(_probe(entry, http, now) for entry in entries)))


async def _probe(entry: Entry, http: Http, now: datetime) -> Probe:
    started = time.monotonic()
    once = msgspec.structs.replace(entry, retries=1)
    try:
        rows = await _ask(once, http, now)
    except GridtideError as error:
        return Probe(entry.name, time.monotonic() - started, error=error)
    return Probe(entry.name, time.monotonic() - started, rows)


async def _ask(entry: Entry, http: Http, now: datetime) -> int | None:
    """The rows of the first answer."""
    upstream = source(entry.source)
    due = find_due_end(entry, now)
    period = Period(due - DAY, due) if upstream.takes_period(entry) else None
    request = upstream.requests(entry, period)[0]

    async def read(answer: Response) -> int | None:
        if not entry.tabular:
            return None
        page = await asyncio.to_thread(upstream.parse, entry, request, answer.body, answer.retrieved_at)
        return page.received

    if not request.url:  # generated, not fetched
        return await read(Response(b"", now, ""))
    return await http.fetch(entry, request, read)
