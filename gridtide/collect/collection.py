"""The core: fetches, parses, checks and stores one period of one entry.

    requests ─► fetch ─► parse ─► distinct ─► draft ─► counts, keys ─► lake
                  └► raw/

Pages are fetched concurrently and written in the order of their requests, with a few row groups in memory at a time, so
that the same responses give the same file in whatever order they arrive.
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
from gridtide.sources.registry import get_source

if TYPE_CHECKING:
    from gridtide.lake import Lake


def find_scheduled_period(entry: Entry, now: datetime) -> Period | None:
    """Returns the period that a scheduled run at `now` requests from `entry`, by its source; None for a snapshot."""
    return get_source(entry.source).find_due_period(entry, now)


async def collect(
    entry: Entry, *, lake: Lake, http: Fetcher, stamp: datetime, period: Period | None = None, resume: bool = False
) -> Collected:
    """Fetches what `entry` has for `period` (a snapshot if None) and writes it to `lake` as one file.

    If some of its requests fail, the answers to the others are stored, in one file for each part of `period` without a
    hole; `Collected.holes` lists the rest.

    `stamp` names the file. It is the start of the run's first attempt, so that a retry finds the files written before
    it and continues from the pages kept under `raw/`; with `resume` also from pages that other runs kept within the
    last day. Raises the errors of `Http.fetch`, `FormatError` and `IncompleteError` for invalid responses,
    `StorageError` and `ClockError`; in these cases no file of observations is written.
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
            # Pages that were fetched at different times may not fit together.
            return await PageCollector(entry, lake, http, stamp, period).observations()
    except TimeoutError as error:
        raise UpstreamError(
            entry.name, f"did not finish within {entry.deadline}", 'Try again later, or raise "deadline"'
        ) from error
    except GridtideError as error:
        error.subject = entry.name
        raise
