"""What was asked for in vain, remembered in the lake: `failed/<output_folder>/<file_prefix>.json`.

Each period is asked for again after twice as long as the time before, so that one which an upstream
always refuses is not asked for without end. What files cover is forgotten.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from gridtide.entries.entry import Entry
from gridtide.lake import Lake
from gridtide.periods import Period, missing

logger = logging.getLogger("gridtide.attempts")


FOLDER = "failed"


FIRST = timedelta(hours=1)
"""How long to wait after the first failure."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A `period` that was asked for `attempts` times, at `last` the last time, and why that failed."""

    period: Period
    attempts: int
    last: datetime
    error: str

    @property
    def next(self) -> datetime:
        """When it is worth asking again: 1, 2, 4 … hours after the last time."""
        return self.last + FIRST * (1 << min(self.attempts - 1, 16))

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON, times in ISO 8601."""
        return {
            "period": [self.period.start.isoformat(), self.period.end.isoformat()],
            "attempts": self.attempts,
            "last": self.last.isoformat(timespec="seconds"),
            "next": self.next.isoformat(timespec="seconds"),
            "error": self.error,
        }


def after(
    before: Sequence[Failure], collected: Iterable[Period], failed: Mapping[Period, str], now: datetime
) -> list[Failure]:
    """What is to be remembered after a run at `now`: without what was `collected`, with what `failed` and why."""
    found = [
        Failure(
            period, 1 + max((f.attempts for f in before if missing(period, [f.period]) != [period]), default=0), now, e
        )
        for period, e in failed.items()
    ]
    done = [*collected, *failed]
    found += [replace(one, period=left) for one in before for left in missing(one.period, done)]
    return sorted(found, key=lambda one: one.period)


async def recall(lake: Lake, entry: Entry) -> list[Failure]:
    """What failed of `entry` and no later run made good; nothing, with a warning, where that is damaged."""
    path = _path(entry)
    if not await lake.exists(path):
        return []
    try:
        return [_read(one) for one in json.loads(await lake.read(path))]
    except (ValueError, KeyError, TypeError) as error:
        logger.warning("%s: is damaged and passed over, what failed before is asked for at once: %r", path, error)
        return []


async def remember(lake: Lake, entry: Entry, failures: Sequence[Failure]) -> None:
    """Replace what is remembered of `entry`."""
    text = json.dumps([one.as_dict() for one in failures], indent=2)
    await lake.put(_path(entry), text.encode() + b"\n", replace=True)


def _read(one: Mapping[str, Any]) -> Failure:
    start, end = map(datetime.fromisoformat, one["period"])
    return Failure(Period(start, end), int(one["attempts"]), datetime.fromisoformat(one["last"]), one["error"])


def _path(entry: Entry) -> str:
    return f"{FOLDER}/{entry.output_folder}/{entry.file_prefix}.json"
