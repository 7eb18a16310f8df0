"""Entries of the source `sql`, and what they store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from gridtide import curated
from gridtide.collect import Collected, collect
from gridtide.config.loading import parse
from gridtide.database.upstreams import Upstreams
from gridtide.entries.entry import Entry
from gridtide.lake import Lake
from gridtide.periods import Period

STAMP = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

Observed = tuple[str, str, str, float | None]
"""Start, location, variable and value of an observation."""


def sql_entry(**keys: Any) -> Entry:
    """An hourly entry of a table `readings` at the URL in the variable PLANT, with other `keys`."""
    raw: dict[str, Any] = {
        "name": "plant",
        "source": "sql",
        "auth": {"kind": "database_url", "env": "PLANT"},
        "table": "readings",
        "time": "ts",
        "location": "meter",
        "value": {"mw": "load"},
        "unit": "MW",
        "interval": "PT1H",
        "output_folder": "plant",
    }
    complete = {key: value for key, value in (raw | keys).items() if value is not None}
    return parse({"apis": [complete]}).apis[0]


def hours(start: str, count: int) -> Period:
    """The period of `count` hours from `start`, UTC."""
    moment = datetime.fromisoformat(start).replace(tzinfo=UTC)
    return Period(moment, moment + timedelta(hours=count))


async def collect_rows(lake: Lake, entry: Entry, url: str, period: Period | None, stamp: datetime = STAMP) -> Collected:
    """Collects `period` of `entry` from the database at `url`, in one attempt."""
    async with Upstreams({"PLANT": url}) as upstreams:
        single_attempt = msgspec.structs.replace(entry, retries=1)
        return await collect(single_attempt, lake=lake, http=upstreams, stamp=stamp, period=period)


async def list_observed(lake: Lake, entry: Entry) -> list[Observed]:
    """The latest vintages of all years in the lake, in their order."""
    ends = [datetime(year, 1, 1, tzinfo=UTC) for year in (2000, 2100)]
    table = await curated.read(lake, [entry], *ends)
    return [
        (f"{row['interval_start']:%Y-%m-%dT%H:%M}", row["location"], row["variable"], row["value"])
        for row in table.to_pylist()
    ]
