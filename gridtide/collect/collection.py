"""The core: one entry and period → fetch, parse, check, write.

    requests ─► fetch ─► parse ─► distinct ─► draft ─► counts, keys ─► lake
                  └► raw/

Pages are fetched concurrently and written in the order of asking, a few row groups in memory at a
time, so that the same answers give the same file whatever came first.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gridtide.clock import check_run_start
from gridtide.collect.collected import Collected
from gridtide.collect.pages import PageCollector
from gridtide.collect.resume import Fetcher, open_resumed
from gridtide.entries.entry import Entry
from gridtide.errors import FormatError, GridtideError, IncompleteError, UpstreamError
from gridtide.periods import Period
from gridtide.sources.registry import source

if TYPE_CHECKING:
    from gridtide.lake import Lake


def scheduled_period(entry: Entry, now: datetime) -> Period | None:
    """What a scheduled run at `now` asks of `entry`, as its source says; None for a snapshot."""
    return source(entry.source).due_period(entry, now)


async def collect(
    entry: Entry, *, lake: Lake, http: Fetcher, stamp: datetime, period: Period | None = None, resume: bool = False
) -> Collected:
    """Fetch what `entry` has for `period` (a snapshot if None) and write it to `lake` as one file.

    Where some of its requests fail, what the others answered is stored, in a file for each part of `period` without
    a hole; `Collected.holes` tells the rest.

    `stamp` names the file: the start of the run's first attempt, so that a retry finds what was
    written before it, and goes on from the pages of the period that are kept under `raw/`; with
    `resume` also from those that other runs kept of it within a day. Raises the errors of
    `Http.fetch`, `FormatError` and `IncompleteError` for answers that do not keep their promise,
    `StorageError`, `ClockError`; then no file of observations is written.
    """
    check_run_start(entry.name, stamp, datetime.now(UTC))
    try:
        async with asyncio.timeout(entry.deadline.total_seconds()):
            if not entry.tabular:
                return await PageCollector(entry, lake, http, stamp, period).bodies()
            if period is None or not entry.raw:
                return await PageCollector(entry, lake, http, stamp, period).observations()
            resumed = await open_resumed(http, lake, entry, stamp, period, earlier=resume)
            try:
                return await PageCollector(entry, lake, resumed, stamp, period).observations(refuse_mixed=True)
            except (FormatError, IncompleteError):
                if not resumed.reused:
                    raise
            # Pages of two moments need not fit together.
            return await PageCollector(entry, lake, http, stamp, period).observations()
    except TimeoutError as error:
        raise UpstreamError(
            entry.name, f"did not finish within {entry.deadline}", 'Try again later, or raise "deadline"'
        ) from error
    except GridtideError as error:
        error.subject = entry.name
        raise
