"""Whether this machine's clock can be trusted, by what other clocks say.

An answer is made between the moments at which its request was sent and it was received:

       sent_at |------------| received_at   by this machine's clock
                   ^ Date                   the clocks agree, however long the machine slept in between
    ^ Date                                  this clock is ahead
                                 ^ Date     this clock is behind
"""

from __future__ import annotations

from datetime import datetime, timedelta

from gridtide.errors import ClockError
from gridtide.periods import describe_duration

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far this clock may be off before nothing is stored. `Date` has whole seconds, schedules have minutes."""


SET_CLOCK = "Set this machine's clock, and keep it right with NTP: timedatectl set-ntp true"


def measure_offset(moment: datetime, sent_at: datetime, received_at: datetime) -> timedelta:
    """How far this clock is ahead of the one that showed `moment` between `sent_at` and `received_at`; below zero where
    it is behind.

    >>> from gridtide.periods import EPOCH, HOUR
    >>> str(measure_offset(EPOCH + HOUR, EPOCH + 3 * HOUR, EPOCH + 4 * HOUR))
    '2:00:00'
    """
    if moment < sent_at:
        return sent_at - moment
    return min(received_at - moment, timedelta())


def describe_offset(offset: timedelta) -> str:
    """Such as `20 d ahead of`."""
    return f"{describe_duration(abs(offset))} {'ahead of' if offset > timedelta() else 'behind'}"


def is_future(moment: datetime, now: datetime) -> bool:
    """Whether `moment`, noted by a clock earlier, is after `now`: that clock was ahead, or this one is behind."""
    return moment > now + CLOCK_TOLERANCE


def check_run_start(subject: str, start: datetime, now: datetime) -> None:
    """Raises `ClockError` where a run that is under way began after `now`: what it asks for, and the names of its
    files, are of a time that has not come."""
    if is_future(start, now):
        moments = f"the run began at {start:%Y-%m-%dT%H:%M:%SZ}, and this machine's clock says {now:%Y-%m-%dT%H:%M:%SZ}"
        happened = f"{moments}: it was set back, or that of the machine that began the run is ahead; nothing is stored"
        raise ClockError(subject, happened, SET_CLOCK)
