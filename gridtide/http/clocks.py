"""Compares this machine's clock with the `Date` headers of a run's responses, and with the clock of its store."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from ipaddress import ip_address

from gridtide.clock import CLOCK_TOLERANCE, SET_CLOCK, describe_offset, measure_offset, read_date
from gridtide.errors import ClockError

logger = logging.getLogger("gridtide.http")


class UpstreamClocks:
    """The clocks of the upstreams and of the store that answered in this run.

    If the clock of any other machine agrees, this one is right: a host that differs has a wrong clock itself, and a
    warning names it. While no clock agrees, a host that differs stops the run.
    """

    def __init__(self) -> None:
        self._agreeing: set[str] = set()
        self._differing: dict[str, timedelta] = {}
        self._reported: set[str] = set()
        self.is_confirmed = False
        """Whether any clock, also of a server on this machine, has agreed with this one."""

    def compare(self, host: str, headers: Mapping[str, str], sent_at: datetime, received_at: datetime) -> None:
        """Compares this clock with the `Date` of a response from `host`; a response without a `Date` is ignored."""
        moment = read_date(headers)
        if moment is not None:
            self.add(host, measure_offset(moment, sent_at, received_at))

    def add(self, host: str, offset: timedelta) -> None:
        """Adds the clock of `host`, which this clock is ahead of by `offset`."""
        if abs(offset) > CLOCK_TOLERANCE:
            self._differing[host] = offset
            return
        self.is_confirmed = True
        if not is_this_machine(host):
            self._agreeing.add(host)
            self._differing.pop(host, None)

    def check(self, subject: str) -> None:
        """Raises `ClockError` about `subject` if this clock is off by more than `CLOCK_TOLERANCE`."""
        for host, offset in self._differing.items():
            if not self._agreeing:
                happened = f"the clock of this machine is {describe_offset(offset)} that of {host}; nothing is stored"
                fix = f'{SET_CLOCK}. If that of {host} is wrong, "compare_clock": false in its entries ignores it'
                raise ClockError(subject, happened, fix)
            if host not in self._reported:
                self._reported.add(host)
                agreeing = ", ".join(sorted(self._agreeing))
                logger.warning(
                    "the clock of %s is wrong: this clock is %s it, and agrees with %s",
                    *(host, describe_offset(offset), agreeing),
                )


def is_this_machine(host: str) -> bool:
    """Whether `host` is this machine, whose clock agrees with itself."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
