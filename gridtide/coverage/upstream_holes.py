"""Values that an upstream never published, seen as holes in series whose periods were answered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from gridtide.periods import EPOCH, Period, microseconds

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


def starts_by_series(table: pa.Table) -> dict[str, npt.NDArray[np.int64]]:
    """The interval starts (µs since 1970) of each series of the observations `table`, as `location variable`."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from gridtide.observations.times import to_microseconds

    names = pc.binary_join_element_wise(*(table[name].cast(pa.string()) for name in ("location", "variable")), " ")
    series = names.combine_chunks().dictionary_encode()
    codes, moments = series.indices.to_numpy(), to_microseconds(table["interval_start"])
    order = np.argsort(codes, kind="stable")
    parts = np.split(moments[order], np.cumsum(np.bincount(codes, minlength=len(series.dictionary)))[:-1])
    return dict(zip(series.dictionary.to_pylist(), parts, strict=False))


def find_holes(
    series: Mapping[str, npt.NDArray[np.int64]], complete: Iterable[Period], resolution: timedelta
) -> dict[Period, list[str]]:
    """Where a series has no value although its period is complete: what its upstream never published.

    `series` are the interval starts of each (µs since 1970, any order); one that keeps to no raster of
    `resolution` says nothing. Returns the series that lack each period.
    """
    import numpy as np

    step = resolution // timedelta(microseconds=1)
    raster = min(step, timedelta(hours=1) // timedelta(microseconds=1))
    lacking: dict[Period, list[str]] = defaultdict(list)
    for name, moments in series.items():
        if (moments % raster).any():
            continue
        present = np.unique(moments // step)
        for period in complete:
            first, last = -(-microseconds(period.start) // step), microseconds(period.end) // step
            cells = np.setdiff1d(np.arange(first, last), present)
            for run in np.split(cells, np.flatnonzero(np.diff(cells) > 1) + 1) if len(cells) else []:
                lacking[Period(EPOCH + int(run[0]) * resolution, EPOCH + (int(run[-1]) + 1) * resolution)].append(name)
    return dict(sorted(lacking.items()))
