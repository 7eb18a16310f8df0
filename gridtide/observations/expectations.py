"""Checks whether a table of observations is as expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from gridtide.observations.arrays import not_null, to_numpy
from gridtide.periods import Period, microseconds


def overlaps_period(table: pa.Table, period: Period) -> bool:
    """Whether any interval starts, or was published, in `period`."""
    begin, end = (microseconds(moment) for moment in (period.start, period.end))
    for chunk in (*table["interval_start"].chunks, *table["published_at"].chunks):
        if chunk.null_count < len(chunk):
            moments = to_numpy(chunk, "i8")
            if ((begin <= moments) & (moments < end) & not_null(chunk)).any():
                return True
    return False


def within_ranges(table: pa.Table, ranges: Mapping[str, tuple[float, float]]) -> pa.Array:
    """Returns whether each value of `table` lies within the range of its variable, shape (rows,). Nulls and values of
    variables without a range do."""
    import pyarrow.compute as pc

    variables, values = table["variable"].cast(pa.string()), table["value"]
    is_within = pa.array([True]).take(pa.array([0] * table.num_rows, pa.int32()))
    for variable, (lowest, highest) in ranges.items():
        is_outside = pc.and_(
            pc.equal(variables, variable), pc.or_(pc.less(values, lowest), pc.greater(values, highest))
        )
        is_within = pc.and_(is_within, pc.invert(pc.fill_null(is_outside, False)))
    return is_within


def find_unexpected(table: pa.Table, required: Sequence[str], ranges: Mapping[str, tuple[float, float]]) -> str | None:
    """Describes what in `table` is not as expected: a required variable that is absent, or a value outside the range of
    its variable; None if all is as expected."""
    import pyarrow.compute as pc

    variables = table["variable"].cast(pa.string())
    absent = sorted(set(required) - set(pc.unique(variables).to_pylist()))
    if absent:
        return f"no values of {', '.join(absent)}"
    for variable, (lowest, highest) in ranges.items():
        values = table["value"].filter(pc.equal(variables, variable))
        outside_values = values.filter(pc.or_(pc.less(values, lowest), pc.greater(values, highest)))
        if len(outside_values):
            count, first_value = len(outside_values), outside_values[0].as_py()
            return f"{count} values of {variable} are outside {lowest:g} to {highest:g}, the first is {first_value:g}"
    return None
