"""Gathers by how much the values of series were revised, and judges it by day.

    hour      |  12  |
    at 13:10    100          the first version
    at 14:10    104          the last one: a revision by 4

Only values whose intervals begin on the hour are gathered, which are enough to know the size of revisions.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from gridtide.observations.array_types import Floats, Integers
from gridtide.observations.series import SeriesNumbers
from gridtide.observations.times import MICROSECONDS_PER_HOUR, UNPUBLISHED, read_times, to_floats
from gridtide.periods import Period, microseconds
from gridtide.quality.daily import DayVerdict
from gridtide.quality.flags import Flag
from gridtide.variables import SeriesName

if TYPE_CHECKING:
    import pyarrow as pa

FAR_FUTURE = np.iinfo(np.int64).max


class RevisionGrid:
    """The first and the last version of each hour of `period`, which begins at 00:00 UTC, by series; tables are added
    in any order.

    A version counts from when it was published, or else retrieved. Forecasts, which are issued anew on purpose, are not
    gathered.
    """

    def __init__(self, period: Period) -> None:
        """Begins without series."""
        self._first = microseconds(period.start)
        self._hours = period.duration // timedelta(hours=1)
        self._period = period
        self.names: list[str] = []
        self._numbers = SeriesNumbers(self._number_series)
        self._known_names: dict[str, int] = {}
        self._times = np.empty((2, 0, self._hours), np.int64)
        self._values = np.empty((2, 0, self._hours))

    def _number_series(self, source: str, location: str, variable: str, _: str) -> int:
        if "forecast" in variable:
            return -1
        return self._known_names.setdefault(str(SeriesName(source, location, variable)), len(self._known_names))

    def add(self, table: pa.Table) -> None:
        """Adds the versions in `table`, observations with or without their constant columns."""
        if not table.num_rows:
            return
        series = self._numbers.of(table)
        since_start = read_times(table, "interval_start") - self._first
        hours = since_start // MICROSECONDS_PER_HOUR
        values = to_floats(table["value"])
        rows = np.flatnonzero(
            (series >= 0)
            & (since_start % MICROSECONDS_PER_HOUR == 0)
            & (hours >= 0)
            & (hours < self._hours)
            & ~np.isnan(values)
        )
        publication_times = read_times(table, "published_at")[rows]
        moments = np.where(publication_times == UNPUBLISHED, read_times(table, "retrieved_at")[rows], publication_times)
        self._make_room()
        self._keep_outer(series[rows] * self._hours + hours[rows], moments, values[rows])

    def _make_room(self) -> None:
        missing_count = len(self._known_names) - self._times.shape[1]
        if missing_count:
            self.names = list(self._known_names)
            shape = 1, missing_count, self._hours
            unseen = np.concatenate([np.full(shape, FAR_FUTURE), np.full(shape, -FAR_FUTURE)])
            self._times = np.concatenate([self._times, unseen], axis=1)
            self._values = np.concatenate([self._values, np.full((2, missing_count, self._hours), np.nan)], axis=1)

    def _keep_outer(self, cells: Integers, moments: Integers, values: Floats) -> None:
        """Keeps the earliest and the latest of the `values` (N,) of each of `cells` (N,), series and hour in one
        number."""
        order = np.lexsort((moments, cells))
        cells, moments, values = cells[order], moments[order], values[order]
        is_first = np.ones(len(cells), bool)
        is_first[1:] = cells[1:] != cells[:-1]
        is_last = np.roll(is_first, -1)
        for version, chosen in enumerate((is_first, is_last)):
            times, latest_values = self._times[version].reshape(-1), self._values[version].reshape(-1)
            places, candidates = cells[chosen], moments[chosen]
            is_outer = candidates < times[places] if version == 0 else candidates > times[places]
            times[places[is_outer]] = candidates[is_outer]
            latest_values[places[is_outer]] = values[chosen][is_outer]

    def judge(self) -> list[DayVerdict]:
        """Returns the verdict `revision` of each series and day that was revised: the sizes of its revisions as a share
        of its last values. It is good whatever its size, as the last values count."""
        first, last = self._values.reshape(2, len(self.names), self._hours // 24, 24)
        revision_sizes = np.nansum(np.abs(last - first), axis=2)
        magnitude = np.nansum(np.abs(last), axis=2)
        return [
            DayVerdict(
                self.names[number],
                (self._period.start + timedelta(days=day)).date(),
                "revision",
                Flag.GOOD,
                float(revision_sizes[number, day] / magnitude[number, day]),
                0.0,
            )
            for number, day in np.argwhere((revision_sizes > 0) & (magnitude > 0)).tolist()
        ]
