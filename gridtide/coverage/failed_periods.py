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


def after_run(
    before: Sequence[Failure], answered: Iterable[Period], failed: Mapping[Period, str], now: datetime
) -> list[Failure]:
    """What is to be remembered after a run at `now`: without what was `answered`, with what `failed` and why."""
    latest = [Failure(period, 1 + _attempts(before, period), now, reason) for period, reason in failed.items()]
    asked_again = [*answered, *failed]
    open_before = [
        replace(failure, period=piece) for failure in before for piece in missing(failure.period, asked_again)
    ]
    return sorted([*latest, *open_before], key=lambda failure: failure.period)


def _attempts(before: Sequence[Failure], period: Period) -> int:
    """How often some of `period` was asked for in vain."""
    return max((failure.attempts for failure in before if failure.period.overlaps(period)), default=0)


async def note(lake: Lake, entry: Entry, answers: Mapping[Period, str], now: datetime) -> None:
    """Remember of the periods in `answers` those that were not answered, with the reason; forget those whose reason
    is empty, as they were."""
    before = await recall(lake, entry)
    failed = {period: reason for period, reason in answers.items() if reason}
    failures = after_run(before, answers.keys() - failed.keys(), failed, now)
    if failures != before:
        await remember(lake, entry, failures)


async def recall(lake: Lake, entry: Entry) -> list[Failure]:
    """What failed of `entry` and no later run made good; nothing, with a warning, where that is damaged."""
    path = _path(entry)
    if not await lake.store.exists(path):
        return []
    try:
        return [_from_json(item) for item in json.loads(await lake.store.read(path))]
    except (ValueError, KeyError, TypeError) as error:
        logger.warning("%s: is damaged and passed over, what failed before is asked for at once: %r", path, error)
        return []


async def remember(lake: Lake, entry: Entry, failures: Sequence[Failure]) -> None:
    """Replace what is remembered of `entry`."""
    text = json.dumps([failure.as_dict() for failure in failures], indent=2)
    await lake.store.put(_path(entry), text.encode() + b"\n", replace=True)


def _from_json(item: Mapping[str, Any]) -> Failure:
    start, end = map(datetime.fromisoformat, item["period"])
    return Failure(Period(start, end), int(item["attempts"]), datetime.fromisoformat(item["last"]), item["error"])


def _path(entry: Entry) -> str:
    return f"{FOLDER}/{entry.output_folder}/{entry.file_prefix}.json"
