"""Values that an upstream never published: holes in series whose periods were answered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from gridtide.periods import EPOCH, HOUR, Period, count_microseconds, microseconds

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


def list_starts(table: pa.Table, resolution: timedelta) -> dict[str, npt.NDArray[np.int64]]:
    """Returns the interval starts (µs since 1970) of each series of the observations `table`, named `location
    variable`.

    A longer interval counts as the intervals of `resolution` within it: an hourly value is no hole of five-minute ones.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from gridtide.observations.times import to_microseconds

    names = pc.binary_join_element_wise(*(table[name].cast(pa.string()) for name in ("location", "variable")), " ")
    series = names.combine_chunks().dictionary_encode()
    codes, moments = series.indices.to_numpy(), to_microseconds(table["interval_start"])
    step = count_microseconds(resolution)
    counts = np.maximum((to_microseconds(table["interval_end"]) - moments) // step, 1)
    if (counts > 1).any():
        positions = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        codes, moments = np.repeat(codes, counts), np.repeat(moments, counts) + positions * step
    row_order = np.argsort(codes, kind="stable")
    starts = np.split(moments[row_order], np.cumsum(np.bincount(codes, minlength=len(series.dictionary)))[:-1])
    return dict(zip(series.dictionary.to_pylist(), starts, strict=False))


def find_holes(
    series: Mapping[str, npt.NDArray[np.int64]], complete: Iterable[Period], resolution: timedelta
) -> dict[Period, list[str]]:
    """Finds periods in which a series has no value although they are complete: values that the upstream never
    published.

    `series` are the interval starts of each series (µs since 1970, any order); a series whose starts are not multiples
    of `resolution`, or of an hour if that is shorter, is ignored. Returns the series that lack each period.
    """
    import numpy as np

    resolution_us = count_microseconds(resolution)
    raster = min(resolution_us, count_microseconds(HOUR))
    lacking: dict[Period, list[str]] = defaultdict(list)
    for name, moments in series.items():
        if (moments % raster).any():
            continue
        present_intervals = np.unique(moments // resolution_us)
        for period in complete:
            # only intervals that lie in the period as a whole: the first bound is rounded up, the end down
            first_interval, end_interval = (
                -(-microseconds(period.start) // resolution_us),
                microseconds(period.end) // resolution_us,
            )
            missing_intervals = np.setdiff1d(np.arange(first_interval, end_interval), present_intervals)
            for missing_run in (
                np.split(missing_intervals, np.flatnonzero(np.diff(missing_intervals) > 1) + 1)
                if len(missing_intervals)
                else []
            ):
                lacking[
                    Period(EPOCH + int(missing_run[0]) * resolution, EPOCH + (int(missing_run[-1]) + 1) * resolution)
                ].append(name)
    return dict(sorted(lacking.items()))
