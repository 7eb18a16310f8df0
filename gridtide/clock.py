"""Checks whether this machine's clock is right, by the clocks of others.

A response is made between the moments at which its request was sent and it was received:

       sent_at |------------| received_at   by this machine's clock
                   ^ Date                   the clocks agree, however long the machine slept in between
    ^ Date                                  this clock is ahead
                                 ^ Date     this clock is behind
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from gridtide.errors import ClockError
from gridtide.periods import describe_duration

CLOCK_TOLERANCE = timedelta(minutes=5)
"""The largest accepted error of this clock. `Date` has whole seconds, schedules have minutes."""


SET_CLOCK = "Set this machine's clock, and keep it right with NTP: timedatectl set-ntp true"


def measure_offset(moment: datetime, sent_at: datetime, received_at: datetime) -> timedelta:
    """Returns how far this clock is ahead of the clock that showed `moment` between `sent_at` and `received_at`;
    negative if it is behind.

    >>> from gridtide.periods import EPOCH, HOUR
    >>> str(measure_offset(EPOCH + HOUR, EPOCH + 3 * HOUR, EPOCH + 4 * HOUR))
    '2:00:00'
    """
    if moment < sent_at:
        return sent_at - moment
    return min(received_at - moment, timedelta())


def read_date(headers: Mapping[str, str]) -> datetime | None:
    """Returns the time at which the server made the response with these headers, later by its `Age` if it comes from a
    cache; UTC. Returns None if there is no `Date`, or it cannot be read.
    """
    try:
        moment = parsedate_to_datetime(headers["Date"])
        age = timedelta(seconds=int(headers.get("Age", "0")))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC) + age
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


def describe_offset(offset: timedelta) -> str:
    """Describes `offset`, such as `20 d ahead of`."""
    return f"{describe_duration(abs(offset))} {'ahead of' if offset > timedelta() else 'behind'}"


def is_future(moment: datetime, now: datetime) -> bool:
    """Whether `moment`, taken earlier from a clock, is after `now`: that clock was ahead, or this one is behind."""
    return moment > now + CLOCK_TOLERANCE


def check_store_clock(subject: str, host: str, offset: timedelta) -> None:
    """Raises `ClockError` if this clock is ahead of that of the store at `host` by more than `CLOCK_TOLERANCE`, as
    `offset` says: what is stored there would seem older than it is."""
    if offset > CLOCK_TOLERANCE:
        happened = f"the clock of this machine is {describe_offset(offset)} that of {host}; nothing is removed"
        raise ClockError(subject, happened, SET_CLOCK)


def check_run_start(subject: str, start: datetime, now: datetime) -> None:
    """Raises `ClockError` if a running run began after `now`: its periods and file names would lie in the future."""
    if is_future(start, now):
        moments = f"the run began at {start:%Y-%m-%dT%H:%M:%SZ}, and this machine's clock says {now:%Y-%m-%dT%H:%M:%SZ}"
        happened = f"{moments}: it was set back, or that of the machine that began the run is ahead; nothing is stored"
        raise ClockError(subject, happened, SET_CLOCK)
