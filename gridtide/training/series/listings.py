"""Listings: series that an upstream reports at a reading only if they are not zero.

At each reading ISO-NE's fuel mix names only the fuels that run. The lake stores what was reported. For hourly values, a
fuel that was reported on a day counts as 0 at each reading of that day that lists other fuels but not this one:

    reading     16:02    16:09    16:16    16:23
    nuclear      3350     3350     3350     3350
    oil             –        –       20       20      the hourly mean is that of 0, 0, 20, 20
"""

from __future__ import annotations

from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from gridtide.observations.array_types import Integers
from gridtide.periods import Period, local_days, local_midnight, microseconds
from gridtide.sources.registry import find_variable


class Listing(NamedTuple):
    """The series of `source` at `location` whose variables match `pattern`; its days are days of `zone`."""

    source: str
    location: str
    pattern: str
    zone: str


def find_listing(source: str, location: str, variable: str) -> Listing | None:
    """Returns the listing that a series belongs to, or None."""
    description = find_variable(source, variable)
    if description is None or not description.listing_zone:
        return None
    return Listing(source, location, description.pattern, description.listing_zone)


def find_midnights(listing: Listing, period: Period) -> Integers:
    """Returns the starts of the days of `listing` that share a moment with `period`, (D,), in µs."""
    time_zone = ZoneInfo(listing.zone)
    return np.array([microseconds(local_midnight(day, time_zone)) for day in local_days(period, time_zone)], np.int64)


def find_unlisted(listed: Integers, readings: Integers, midnights: Integers) -> npt.NDArray[np.bool_]:
    """Returns which `readings` (N,) do not list a series that was listed on their day. `listed` are the readings that
    list it; all times in µs. A day runs from one of the ascending `midnights` to the next."""
    listed_days = np.searchsorted(midnights, listed, "right")
    known_days = np.isin(np.searchsorted(midnights, readings, "right"), listed_days)
    absent: npt.NDArray[np.bool_] = known_days & ~np.isin(readings, listed)
    return absent
