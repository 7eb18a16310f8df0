"""Checks the clock of solar generation: its middle of the day against the noon of the sun; pure.

A series whose labels are an hour early or late keeps every value and every sum, so that no other check finds it. The
sun tells: over ten days or more, the second-highest value of each hour of the day is that of a nearly cloudless sky,
which is symmetric around solar noon. The highest value of an hour may be an error; the mean follows the clouds of the
afternoon. The centroid of these 24 values is the middle of the day by the series' own clock:

    offset = centroid − solar noon at the longitude of the location, in hours

    |--------- 10 days --------|--------- 10 days --------|--------- 10 days --------|
      offset −0.1                offset 0.0                 offset −1.0  ◄ shifted, a change point

A window is shifted if its offset lies more than half an hour from the usual place of the series, the median of its
windows and of earlier ones that are known, or more than half an hour before noon. Panels that face west move the
centroid to the afternoon, nothing moves it far into the morning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from gridtide.observations.array_types import Floats, Integers, Mask
from gridtide.periods import HOUR

WINDOW_DAYS = 10
"""The fewest days of a window: with fewer, an hour of the day may have seen no clear sky."""


MOST_SHIFTED = 0.5
"""Hours by which a window may differ from the usual place of its series, and lie before noon."""


SMALLEST_PEAK = 20.0
"""In MW, the smallest second-highest value of a day's best hour: rounding moves the centroid of smaller series."""


@dataclass(frozen=True)
class ClockCheck:
    """The clocks of C series over K windows.

    `starts` (K,): the first hour of each window. `offsets` (C, K): hours from solar noon to the centroid, negative in
    the morning; NaN where the values are too few or too small. `usual` (C,): the median offset of each series.
    `shifted` (C, K): the windows that are flagged. `changes`: for each series, the windows with which its clock
    changes.
    """

    starts: tuple[datetime, ...]
    offsets: Floats
    usual: Floats
    shifted: Mask
    changes: tuple[tuple[int, ...], ...]


def check_clocks(
    values: Floats,
    start: datetime,
    longitudes: Sequence[float],
    *,
    window_days: int = WINDOW_DAYS,
    most_shifted: float = MOST_SHIFTED,
    smallest_peak: float = SMALLEST_PEAK,
    earlier: Sequence[Sequence[float]] = (),
) -> ClockCheck:
    """Checks the clocks of the solar generation `values` (C, T), in MW by hours of UTC of which the first begins at
    `start`.

    `longitudes` (C,) are in degrees, positive in the east; NaN if a location's is not known, whose windows are then
    only compared with each other. The last window takes the days that are left. A window in which a series has values
    on fewer days takes later ones until it has enough, or has no offset. `earlier` (C, any) are offsets of windows
    before `start`, which also say what is usual of a series whose longitude is known: without them, a clock that stays
    shifted becomes the usual one. Raises `ValueError` for less than ten days a
    window.
    """
    if window_days < WINDOW_DAYS:
        raise ValueError(f"a window of {window_days} days is too short to see a clear sky; use {WINDOW_DAYS} or more")
    window_hours = window_days * 24
    begins = [number * window_hours for number in range(max(values.shape[1] // window_hours, 0))]
    ends = [*begins[1:], values.shape[1]]
    offsets = np.full((len(values), len(begins)), np.nan)
    for series, longitude in enumerate(longitudes):
        for window, (begin, end) in enumerate(zip(begins, ends, strict=False)):
            enough = _find_end(values[series, begin:], window_days)
            if enough is not None:
                hours = values[series, begin : max(end, begin + enough)]
                offsets[series, window] = measure_solar_offset(hours, start + begin * HOUR, longitude, smallest_peak)
        if np.isnan(longitude):
            offsets[series] = _center_offsets(offsets[series])
    usual = np.array(
        [
            _find_usual(row, () if np.isnan(longitude) else before)
            for row, longitude, before in zip(offsets, longitudes, earlier or [()] * len(offsets), strict=True)
        ]
    )
    before_noon = (offsets < -most_shifted) & ~np.isnan(np.asarray(longitudes, np.float64))[:, None]
    shifted = before_noon | (np.abs(offsets - usual[:, None]) > most_shifted)
    changes = tuple(tuple(find_changes(row, most_shifted)) for row in offsets)
    return ClockCheck(tuple(start + begin * HOUR for begin in begins), offsets, usual, shifted, changes)


def _find_usual(offsets: Floats, earlier: Sequence[float]) -> float:
    """Returns the median of `offsets` (K,) and of `earlier` ones, NaN if none of `offsets` is known."""
    known_offsets = offsets[~np.isnan(offsets)]
    return float(np.median([*known_offsets, *earlier])) if known_offsets.size else float("nan")


def _find_end(values: Floats, day_count: int) -> int | None:
    """Returns the hours of `values` (T,) after which `day_count` of their days, of 24 hours, have had a value; None if
    fewer have one."""
    days = np.flatnonzero((~np.isnan(values[: len(values) // 24 * 24].reshape(-1, 24))).any(axis=1))
    return int(days[day_count - 1] + 1) * 24 if len(days) >= day_count else None


def measure_solar_offset(
    values: Floats, start: datetime, longitude: float, smallest_peak: float = SMALLEST_PEAK
) -> float:
    """Returns the hours from solar noon at `longitude` to the centroid of the second-highest of `values` (T,) of each
    hour of the day; NaN if an hour has fewer than two values, or none of them reaches `smallest_peak`.

    Without a longitude (NaN), hours from 12:00 UTC, between −12 and 12.
    """
    first_hour = start.hour
    day_count = -(-(len(values) + first_hour) // 24)
    padded_values = np.full(day_count * 24, np.nan)
    padded_values[first_hour : first_hour + len(values)] = values
    by_hour = np.sort(np.where(np.isnan(padded_values), -np.inf, padded_values).reshape(day_count, 24), axis=0)
    if day_count < 2:
        return float("nan")
    profile = by_hour[-2]
    if not np.isfinite(profile).all() or profile.max() < smallest_peak:
        return float("nan")
    profile = np.maximum(profile, 0.0)  # at night stations consume a little
    middle = start + timedelta(hours=len(values) / 2)
    noon = 12.0 if np.isnan(longitude) else 12 - longitude / 15 - equation_of_time(middle) / 60
    hours = np.arange(24) + 0.5 - noon
    roughly = np.angle((profile * np.exp(2j * np.pi * hours / 24)).sum()) * 24 / (2 * np.pi)
    around = (hours - roughly + 12) % 24 - 12
    offset = roughly + float((around * profile).sum() / profile.sum())
    return float((offset + 12) % 24 - 12)


def equation_of_time(moment: datetime) -> float:
    """Returns the minutes by which the sun is ahead of the mean sun on the day of `moment`, to half a minute.

    Spencer, Fourier series representation of the position of the sun, 1971.
    """
    angle = 2 * np.pi * (moment.timetuple().tm_yday - 1) / 365
    return float(
        229.18
        * (
            0.000075
            + 0.001868 * np.cos(angle)
            - 0.032077 * np.sin(angle)
            - 0.014615 * np.cos(2 * angle)
            - 0.040849 * np.sin(2 * angle)
        )
    )


def find_changes(offsets: Floats, least: float = MOST_SHIFTED, fewest: int = 2) -> list[int]:
    """Returns the windows of `offsets` (K,) with which the clock changes: before and after each, at least `fewest`
    windows up to the next change have medians that differ by more than `least` hours.

    Binary segmentation: the clearest change is found first, then those within both parts.
    """
    known_windows = np.flatnonzero(~np.isnan(offsets))
    return sorted(int(known_windows[position]) for position in _split(offsets[known_windows], least, fewest))


def _split(offsets: Floats, least: float, fewest: int) -> list[int]:
    positions = np.arange(fewest, len(offsets) - fewest + 1)
    if not positions.size:
        return []
    costs = np.array([_spread(offsets[:position]) + _spread(offsets[position:]) for position in positions])
    best = int(positions[costs.argmin()])
    if abs(np.median(offsets[:best]) - np.median(offsets[best:])) <= least:
        return []
    later: Integers = np.array(_split(offsets[best:], least, fewest), np.int64) + best
    return [*_split(offsets[:best], least, fewest), best, *later.tolist()]


def _spread(offsets: Floats) -> float:
    """Returns the sum of distances of `offsets` from their median."""
    return float(np.abs(offsets - np.median(offsets)).sum())


def _center_offsets(offsets: Floats) -> Floats:
    """Returns hours of the day `offsets` (K,) around their median on the clock, where no noon is known."""
    known_offsets = offsets[~np.isnan(offsets)]
    if not known_offsets.size:
        return offsets
    turns = np.exp(2j * np.pi * known_offsets / 24)
    middle = float(np.angle(turns.sum())) * 24 / (2 * np.pi)
    around = (offsets - middle + 12) % 24 - 12
    centered: Floats = around - np.median(around[~np.isnan(around)])
    return centered
