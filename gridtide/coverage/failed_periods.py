"""What was asked for in vain, remembered in the lake: `failed/<output_folder>/<file_prefix>.json`.

Each period is asked for again after twice as long as the time before, so that one which an upstream
always refuses is not asked for without end. What files cover is forgotten.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from gridtide.clock import is_future
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
    lasting: bool = False
    """Whether asking again at once cannot help: only the monitor asks again, when it is worth it."""
    fingerprint: str = ""
    """That of the entry that was asked, empty where an older version noted the failure."""

    @property
    def next(self) -> datetime:
        """When it is worth asking again: 1, 2, 4 … hours after the last time."""
        return self.last + FIRST * (1 << min(self.attempts - 1, 16))

    def is_waiting(self, now: datetime) -> bool:
        """Whether `next` is still to come; not where it failed after `now`, by a clock that was ahead."""
        return now < self.next and not is_future(self.last, now)

    def waits(self, entry: Entry, now: datetime) -> bool:
        """Whether asking `entry` for it before `next` cannot help: the reason lasts, and the entry is as it was."""
        return self.lasting and self.fingerprint == entry.fingerprint and self.is_waiting(now)

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON, times in ISO 8601."""
        return {
            "period": [self.period.start.isoformat(), self.period.end.isoformat()],
            "attempts": self.attempts,
            "last": self.last.isoformat(timespec="seconds"),
            "next": self.next.isoformat(timespec="seconds"),
            "error": self.error,
            "lasting": self.lasting,
            "fingerprint": self.fingerprint,
        }


@dataclass(frozen=True, slots=True)
class PeriodAnswer:
    """Whether a `period` that was asked for was answered: `reason` says why not, empty if it was."""

    period: Period
    reason: str = ""
    lasting: bool = False


def after_run(
    before: Sequence[Failure], answers: Sequence[PeriodAnswer], now: datetime, fingerprint: str = ""
) -> list[Failure]:
    """What is to be remembered after a run at `now` with these `answers`: what they leave open, and what was open
    before and was not asked for."""
    latest = [
        Failure(
            answer.period, 1 + _count_attempts(before, answer.period), now, answer.reason, answer.lasting, fingerprint
        )
        for answer in answers
        if answer.reason
    ]
    asked_again = [answer.period for answer in answers]
    open_before = [
        replace(failure, period=piece) for failure in before for piece in missing(failure.period, asked_again)
    ]
    return sorted([*latest, *open_before], key=lambda failure: failure.period)


def _count_attempts(before: Sequence[Failure], period: Period) -> int:
    """How often some of `period` was asked for in vain."""
    return max((failure.attempts for failure in before if failure.period.overlaps(period)), default=0)


async def note_answers(lake: Lake, entry: Entry, answers: Sequence[PeriodAnswer], now: datetime) -> None:
    """Remember what `answers` leave open, and forget what they close."""
    before = await recall_failures(lake, entry)
    failures = after_run(before, answers, now, entry.fingerprint)
    if failures != before:
        await remember_failures(lake, entry, failures)


async def recall_failures(lake: Lake, entry: Entry) -> list[Failure]:
    """What failed of `entry` and no later run made good; nothing, with a warning, where that is damaged."""
    path = _state_path(entry)
    if not await lake.store.exists(path):
        return []
    try:
        return [_from_json(item) for item in json.loads(await lake.store.read(path))]
    except (ValueError, KeyError, TypeError) as error:
        logger.warning("%s: is damaged and passed over, what failed before is asked for at once: %r", path, error)
        return []


async def remember_failures(lake: Lake, entry: Entry, failures: Sequence[Failure]) -> None:
    """Replace what is remembered of `entry`."""
    text = json.dumps([failure.as_dict() for failure in failures], indent=2)
    await lake.store.put(_state_path(entry), text.encode() + b"\n", replace=True)


def _from_json(item: Mapping[str, Any]) -> Failure:
    start, end = map(datetime.fromisoformat, item["period"])
    last = datetime.fromisoformat(item["last"])
    lasting, fingerprint = item.get("lasting", False), item.get("fingerprint", "")
    return Failure(Period(start, end), int(item["attempts"]), last, item["error"], lasting, fingerprint)


def _state_path(entry: Entry) -> str:
    return f"{FOLDER}/{entry.output_folder}/{entry.file_prefix}.json"
