"""What a table of observations must hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from gridtide.observations.arrays import not_null, to_numpy
from gridtide.periods import Period, microseconds


def overlaps_period(table: pa.Table, period: Period) -> bool:
    """Whether any interval starts, or was published, in `period`."""
    first, end = (microseconds(moment) for moment in (period.start, period.end))
    for chunk in (*table["interval_start"].chunks, *table["published_at"].chunks):
        if chunk.null_count < len(chunk):
            moments = to_numpy(chunk, "i8")
            if ((first <= moments) & (moments < end) & not_null(chunk)).any():
                return True
    return False


def within_ranges(table: pa.Table, ranges: Mapping[str, tuple[float, float]]) -> pa.Array:
    """Whether each value of `table` lies within the range of its variable, shape (rows,); a null does, as does a value
    of a variable without a range."""
    import pyarrow.compute as pc

    variables, values = table["variable"].cast(pa.string()), table["value"]
    within = pa.array([True]).take(pa.array([0] * table.num_rows, pa.int32()))
    for variable, (low, high) in ranges.items():
        outside = pc.and_(pc.equal(variables, variable), pc.or_(pc.less(values, low), pc.greater(values, high)))
        within = pc.and_(within, pc.invert(pc.fill_null(outside, False)))
    return within


def find_unexpected(table: pa.Table, required: Sequence[str], ranges: Mapping[str, tuple[float, float]]) -> str | None:
    """What in `table` is not as expected: a required variable that is absent, or a value of a
    variable outside its range; None where all is as expected."""
    import pyarrow.compute as pc

    variables = table["variable"].cast(pa.string())
    absent = sorted(set(required) - set(pc.unique(variables).to_pylist()))
    if absent:
        return f"no values of {', '.join(absent)}"
    for variable, (low, high) in ranges.items():
        values = table["value"].filter(pc.equal(variables, variable))
        outside = values.filter(pc.or_(pc.less(values, low), pc.greater(values, high)))
        if len(outside):
            first = outside[0].as_py()
            return f"{len(outside)} values of {variable} are outside {low:g} to {high:g}, the first is {first:g}"
    return None
