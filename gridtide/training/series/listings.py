"""Listings: series that an upstream reports at each reading only where they are not zero.

ISO-NE's fuel mix names at each reading only the fuels that run. The lake stores what was reported. To the hour, a fuel
that a day knows counts as 0 at each reading of that day that lists other fuels and not this one:

    reading     16:02    16:09    16:16    16:23
    nuclear      3350     3350     3350     3350
    oil             –        –       20       20      the hour's mean is of 0, 0, 20, 20
"""

from __future__ import annotations

from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from gridtide.observations.array_types import Integers
from gridtide.periods import Period, local_days, local_midnight, microseconds
from gridtide.variables import find_variable


class Listing(NamedTuple):
    """The series of `source` at `location` whose variables match `pattern`; its days are those of `zone`."""

    source: str
    location: str
    pattern: str
    zone: str


def find_listing(source: str, location: str, variable: str) -> Listing | None:
    """The listing that a series is of, None for a series of none."""
    row = find_variable(source, variable)
    if row is None or row.source != source or not row.listing_zone:
        return None
    return Listing(source, location, row.pattern, row.listing_zone)


def find_midnights(listing: Listing, period: Period) -> Integers:
    """The starts (D,), in µs, of the days of `listing` that share a moment with `period`."""
    zone = ZoneInfo(listing.zone)
    return np.array([microseconds(local_midnight(day, zone)) for day in local_days(period, zone)], np.int64)


def find_unlisted(listed: Integers, readings: Integers, midnights: Integers) -> npt.NDArray[np.bool_]:
    """Which of the `readings` (N,) do not list a series that their day knows; `listed` are the readings that do, all in
    µs. Days run from each of `midnights`, ascending, to the next."""
    days = np.searchsorted(midnights, listed, "right")
    known_days = np.isin(np.searchsorted(midnights, readings, "right"), days)
    absent: npt.NDArray[np.bool_] = known_days & ~np.isin(readings, listed)
    return absent
