"""Failed requests, recorded in the lake: `failed/<output_folder>/<file_prefix>.json`.

Each period is requested again after twice the previous wait, so that a period that an upstream always refuses is not
requested forever. Periods that files cover are removed from the record.
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

logger = logging.getLogger("gridtide.coverage")


FOLDER = "failed"


FIRST = timedelta(hours=1)
"""The wait after the first failure."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A `period` that was requested `attempts` times, last at `last`, and the error of the last attempt."""

    period: Period
    attempts: int
    last: datetime
    error: str
    is_lasting: bool = False
    """Whether an immediate retry cannot help: only the monitor retries, after `next`."""
    fingerprint: str = ""
    """The fingerprint of the entry that was requested; empty if an older version recorded the failure."""

    @property
    def next(self) -> datetime:
        """The time of the next attempt: 1, 2, 4 … hours after the last one."""
        return self.last + FIRST * (1 << min(self.attempts - 1, 16))

    def is_waiting(self, now: datetime) -> bool:
        """Whether `next` is still to come; not where it failed after `now`, by a clock that was ahead."""
        return now < self.next and not is_future(self.last, now)

    def waits(self, entry: Entry, now: datetime) -> bool:
        """Whether a request before `next` cannot help, because the reason lasts and the entry has not changed."""
        return self.is_lasting and self.fingerprint == entry.fingerprint and self.is_waiting(now)

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON, times in ISO 8601."""
        return {
            "period": [self.period.start.isoformat(), self.period.end.isoformat()],
            "attempts": self.attempts,
            "last": self.last.isoformat(timespec="seconds"),
            "next": self.next.isoformat(timespec="seconds"),
            "error": self.error,
            "lasting": self.is_lasting,
            "fingerprint": self.fingerprint,
        }


@dataclass(frozen=True, slots=True)
class PeriodAnswer:
    """Whether a requested `period` was answered: `reason` says why not, and is empty if it was."""

    period: Period
    reason: str = ""
    is_lasting: bool = False


def after_run(
    earlier_failures: Sequence[Failure], answers: Sequence[PeriodAnswer], now: datetime, fingerprint: str = ""
) -> list[Failure]:
    """Returns the failures to record after a run at `now` with these `answers`: the unanswered periods, and the earlier
    failures that were not requested."""
    latest = [
        Failure(
            answer.period,
            1 + _count_attempts(earlier_failures, answer.period),
            now,
            answer.reason,
            answer.is_lasting,
            fingerprint,
        )
        for answer in answers
        if answer.reason
    ]
    asked_again = [answer.period for answer in answers]
    open_before = [
        replace(failure, period=unanswered)
        for failure in earlier_failures
        for unanswered in missing(failure.period, asked_again)
    ]
    return sorted([*latest, *open_before], key=lambda failure: failure.period)


def _count_attempts(earlier_failures: Sequence[Failure], period: Period) -> int:
    """Returns how often a part of `period` was requested without success."""
    return max((failure.attempts for failure in earlier_failures if failure.period.overlaps(period)), default=0)


async def note_answers(lake: Lake, entry: Entry, answers: Sequence[PeriodAnswer], now: datetime) -> None:
    """Records the periods that `answers` leave open, and removes those that they close."""
    earlier_failures = await recall_failures(lake, entry)
    failures = after_run(earlier_failures, answers, now, entry.fingerprint)
    if failures != earlier_failures:
        await remember_failures(lake, entry, failures)


async def recall_failures(lake: Lake, entry: Entry) -> list[Failure]:
    """Returns the failures of `entry` that no later run has resolved; empty, with a warning, if the record is
    damaged."""
    path = _state_path(entry)
    if not await lake.store.exists(path):
        return []
    try:
        return [_decode_failure(item) for item in json.loads(await lake.store.read(path))]
    except (ValueError, KeyError, TypeError) as error:
        logger.warning("%s: is damaged and ignored, earlier failures are requested again at once: %r", path, error)
        return []


async def remember_failures(lake: Lake, entry: Entry, failures: Sequence[Failure]) -> None:
    """Replaces the recorded failures of `entry`."""
    document = json.dumps([failure.as_dict() for failure in failures], indent=2)
    await lake.store.put(_state_path(entry), document.encode() + b"\n", replace=True)


def _decode_failure(item: Mapping[str, Any]) -> Failure:
    start, end = map(datetime.fromisoformat, item["period"])
    last = datetime.fromisoformat(item["last"])
    lasting, fingerprint = item.get("lasting", False), item.get("fingerprint", "")
    return Failure(Period(start, end), int(item["attempts"]), last, item["error"], lasting, fingerprint)


def _state_path(entry: Entry) -> str:
    return f"{FOLDER}/{entry.output_folder}/{entry.file_prefix}.json"
