"""Times as integers: microseconds since 1970, in UTC and in local time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gridtide.observations import arrays
from gridtide.observations.array_types import Floats, Integers
from gridtide.observations.constant_columns import ConstantColumns
from gridtide.periods import HOUR, count_microseconds

MICROSECONDS_PER_HOUR = count_microseconds(HOUR)
"""The microseconds of an hour."""


UNPUBLISHED = int(np.iinfo(np.int64).min)
"""Stands for a missing `published_at`; sorts before every time."""


def local_times(moments: Integers, timezone: str) -> npt.NDArray[np.datetime64]:
    """Returns the local time in `timezone` at `moments` (N,) in µs since 1970."""
    import pyarrow.compute as pc  # late: it takes longer to import than a small file to write

    local_moments = pc.local_timestamp(arrays.from_numpy(moments, pa.timestamp("us", timezone)))
    return arrays.to_numpy(local_moments, "datetime64[us]")


def measure_intervals(table: pa.Table, start: Integers) -> Integers:
    """Returns the lengths of the intervals of `table`, which begin at `start`, in µs, shape (rows,); `table` may lack
    `interval_end` as a constant column."""
    if "interval_end" in table.column_names:
        return to_microseconds(table["interval_end"]) - start
    return arrays.repeat_number(ConstantColumns.of_table(table).values["interval"], table.num_rows)


def read_times(table: pa.Table, name: str) -> Integers:
    """Returns the times of column `name` in µs since 1970, shape (rows,); `table` may lack it as a constant column."""
    if name in table.column_names:
        return to_microseconds(table[name])
    constants = ConstantColumns.of_table(table).values
    if name == "interval_end":
        return read_times(table, "interval_start") + np.int64(constants["interval"])
    return arrays.repeat_number(UNPUBLISHED if constants[name] is None else constants[name], table.num_rows)


def to_microseconds(times: pa.ChunkedArray) -> Integers:
    """Returns `times` in µs since 1970, `UNPUBLISHED` for a null; shape (rows,)."""
    chunk = arrays.one_chunk(times)
    if not chunk.null_count:
        return arrays.to_numpy(chunk, "i8")
    if chunk.null_count == len(chunk):
        return arrays.repeat_number(UNPUBLISHED, len(chunk))
    return np.where(arrays.not_null(chunk), arrays.to_numpy(chunk, "i8"), UNPUBLISHED)


def to_floats(values: pa.ChunkedArray) -> Floats:
    """Returns `values` as float64, NaN for a null; shape (rows,)."""
    chunk = arrays.one_chunk(values)
    if not chunk.null_count:
        return arrays.to_numpy(chunk, "f8")
    return np.where(arrays.not_null(chunk), arrays.to_numpy(chunk, "f8"), np.nan)
