"""Checks whether a table of observations is as expected."""

from __future__ import annotations

from collections.abc import Sequence

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


def find_unexpected(table: pa.Table, required: Sequence[str]) -> str | None:
    """Describes which of the `required` variables are absent from `table`; None if none is."""
    import pyarrow.compute as pc

    absent = sorted(set(required) - set(pc.unique(table["variable"].cast(pa.string())).to_pylist()))
    return f"no values of {', '.join(absent)}" if absent else None
