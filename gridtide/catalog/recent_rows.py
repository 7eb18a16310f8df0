"""The rows of the last weeks of an entry: what its series look like, and how fresh they are.

                                 end of the newest file
                                   |
window  |-------- four weeks ------|-- reach of forecasts --|
bins    |..........................|........................|   the mean of the latest vintages in each
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gridtide import curated
from gridtide.catalog.entry_files import EntryFiles
from gridtide.curated.dataset import REACH
from gridtide.lake import Lake
from gridtide.observations.array_types import Floats, Integers, Mask
from gridtide.observations.series import SeriesNumbers
from gridtide.observations.series_days import SeriesLabel
from gridtide.observations.times import read_times, to_floats
from gridtide.periods import DAY, EPOCH, HOUR, Period, count_microseconds, floor, microseconds
from gridtide.threads import run_computing

if TYPE_CHECKING:
    import pyarrow as pa

WEEKS_SHOWN = 28 * DAY
"""How much of each series is read and drawn."""


class VintageCounts(NamedTuple):
    """How many vintages the values of a series have: the mean, and the most of any interval."""

    mean: float
    most: int


@dataclass(frozen=True, slots=True)
class RecentSeries:
    """The last weeks of a series.

    `unit` names all its units. `points` (B,) are the means of its values in bins of `step` from `start`, NaN for a bin
    without values. `last_value` is the start of the latest interval with a value that began by the time of the look,
    `value` that value. `spacing` is the usual time from one interval to the next, None for fewer than two. `rows`
    counts the intervals, `nulls` those without a value.
    """

    unit: str
    start: datetime
    step: timedelta
    points: Floats = field(repr=False)  # asyncio writes the representation of a result
    last_value: datetime | None
    value: float | None
    spacing: timedelta | None
    rows: int
    nulls: int
    vintages: VintageCounts


async def read_recent(lake: Lake, entry_files: EntryFiles, now: datetime) -> dict[SeriesLabel, RecentSeries]:
    """Reads the last weeks of each series in `entry_files`; none if the entry has no observations.

    Raises `StorageError` if a file cannot be read.
    """
    window = find_window(entry_files, now)
    if window is None or not entry_files.entry.tabular:
        return {}
    entry = entry_files.entry
    table = await curated.read(lake, [entry], window.start, window.end, all_vintages=True)
    return await run_computing(summarize_rows, table, window.start, max(HOUR, entry.resolution), now)


def find_window(entry_files: EntryFiles, now: datetime) -> Period | None:
    """Returns the weeks before the newest period that files answer, and as much after it as forecasts reach; None
    without files."""
    ends = [file.file.period.end if file.file.period else file.file.stamp for file in entry_files.files]
    if not ends:
        return None
    newest = floor(min(max(ends), now + REACH), HOUR) + HOUR
    return Period(floor(newest - WEEKS_SHOWN, DAY), newest + REACH)


def summarize_rows(table: pa.Table, start: datetime, step: timedelta, now: datetime) -> dict[SeriesLabel, RecentSeries]:
    """Returns each series in `table`, which has every vintage, sorted by series, interval and retrieval.

    Bins of `step` begin at `start`; the last one is the last with any value.
    """
    if not table.num_rows:
        return {}
    units: dict[SeriesLabel, set[str]] = {}
    numbers: dict[SeriesLabel, int] = {}

    def number_label(_source: str, location: str, variable: str, unit: str) -> int:
        label = (location, variable)
        units.setdefault(label, set()).add(unit)
        return numbers.setdefault(label, len(numbers))

    series = SeriesNumbers(number_label).of(table)
    moments, values = read_times(table, "interval_start"), to_floats(table["value"])
    is_latest = np.append((series[1:] != series[:-1]) | (moments[1:] != moments[:-1]), True)
    vintage_counts = np.diff(np.flatnonzero(np.append(True, is_latest)))
    rows = _LatestRows(series[is_latest], moments[is_latest], values[is_latest], vintage_counts)
    labels = list(numbers)
    points = _average_bins(rows, len(labels), microseconds(start), count_microseconds(step))
    bounds = [*np.flatnonzero(np.append(True, rows.series[1:] != rows.series[:-1])).tolist(), len(rows.series)]
    recent = {}
    for first, end in pairwise(bounds):
        number = int(rows.series[first])
        of_series = rows.select(slice(first, end))
        unit = ", ".join(sorted(units[labels[number]]))
        recent[labels[number]] = _summarize_series(of_series, unit, start, step, points[number], now)
    return dict(sorted(recent.items()))


class _LatestRows(NamedTuple):
    """The latest vintage of each interval: the number of its series, its start in µs, its value, and how many vintages
    it has, all (N,)."""

    series: Integers
    starts: Integers
    values: Floats
    vintages: Integers

    def select(self, chosen: slice | Mask) -> _LatestRows:
        """Returns the `chosen` rows."""
        return _LatestRows(self.series[chosen], self.starts[chosen], self.values[chosen], self.vintages[chosen])


def _average_bins(rows: _LatestRows, series_count: int, start: int, step: int) -> Floats:
    """Returns the means of the values in each bin of each series, (S, B), NaN for a bin without values."""
    valued = rows.select(~np.isnan(rows.values) & (rows.starts >= start))
    bins = (valued.starts - start) // step
    bin_count = int(bins.max()) + 1 if len(bins) else 0
    cells = valued.series * bin_count + bins
    cell_count = series_count * bin_count
    sums = np.bincount(cells, valued.values, cell_count)
    counts = np.bincount(cells, minlength=cell_count)
    means = np.full(cell_count, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means.reshape(series_count, bin_count)


def _summarize_series(
    rows: _LatestRows, unit: str, start: datetime, step: timedelta, points: Floats, now: datetime
) -> RecentSeries:
    """Returns the series with these `rows`, sorted by time; none of them is empty."""
    has_value = ~np.isnan(rows.values)
    until_now = np.flatnonzero(has_value & (rows.starts <= microseconds(now)))
    last = int(until_now[-1]) if len(until_now) else None
    gaps = np.diff(rows.starts)
    return RecentSeries(
        unit,
        start,
        step,
        points,
        last_value=None if last is None else _to_datetime(int(rows.starts[last])),
        value=None if last is None else float(rows.values[last]),
        spacing=timedelta(microseconds=_find_lower_median(gaps)) if len(gaps) else None,
        rows=len(rows.starts),
        nulls=int((~has_value).sum()),
        vintages=VintageCounts(round(float(rows.vintages.mean()), 2), int(rows.vintages.max())),
    )


def _find_lower_median(gaps: Integers) -> int:
    """Returns the median of `gaps` (N,), of two the lower; `np.quantile` takes ten times as long for so few."""
    middle = (len(gaps) - 1) // 2
    return int(np.partition(gaps, middle)[middle])


def _to_datetime(moment: int) -> datetime:
    """Returns the time of `moment`, which is in µs since 1970 (UTC)."""
    return EPOCH + timedelta(microseconds=moment)
