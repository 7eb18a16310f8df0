"""The last row of each series, from tables of observations in any order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from gridtide.periods import EPOCH

if TYPE_CHECKING:
    import pyarrow as pa

    from gridtide.observations.series_days import SeriesLabel


@dataclass(frozen=True, slots=True)
class LastRows:
    """The latest interval starts (UTC) of one series: of all its rows, of the rows with a value, and of the rows with a
    value other than zero. `fingerprint` is the entry's when an answer last held the series, and `scope` what it then
    requested, as `entries.scope` writes it; each is empty if it is not known."""

    row: datetime
    value: datetime | None = None
    nonzero: datetime | None = None
    fingerprint: str = ""
    scope: str = ""


def read_last_rows(table: pa.Table, fingerprint: str = "", scope: str = "") -> dict[SeriesLabel, LastRows]:
    """Returns the last rows of each series in the observations `table`, an answer to an entry with `fingerprint` that
    requested `scope`."""
    import numpy as np

    from gridtide.observations.series import SeriesNumbers
    from gridtide.observations.times import UNPUBLISHED, read_times, to_floats

    numbers: dict[SeriesLabel, int] = {}

    def number_label(_source: str, location: str, variable: str, _unit: str) -> int:
        return numbers.setdefault((location, variable), len(numbers))

    series = SeriesNumbers(number_label).of(table)
    starts, values = read_times(table, "interval_start"), to_floats(table["value"])
    has_value = ~np.isnan(values)
    columns = []
    for selection in (np.ones_like(has_value), has_value, has_value & (values != 0)):
        moments = np.full(len(numbers), UNPUBLISHED)
        np.maximum.at(moments, series[selection], starts[selection])
        columns.append([None if moment == UNPUBLISHED else _to_datetime(moment) for moment in moments.tolist()])
    return {
        label: LastRows(row, value, nonzero, fingerprint, scope)
        for label, row, value, nonzero in zip(numbers, *columns, strict=True)
        if row
    }


def merge_last_rows(
    earlier: Mapping[SeriesLabel, LastRows], later: Mapping[SeriesLabel, LastRows]
) -> dict[SeriesLabel, LastRows]:
    """Returns the later rows of each series in both; the answers of `later` are newer than those of `earlier`."""
    merged = dict(earlier)
    for label, rows in later.items():
        before = merged.get(label, rows)
        merged[label] = LastRows(
            max(before.row, rows.row),
            _choose_later(before.value, rows.value),
            _choose_later(before.nonzero, rows.nonzero),
            rows.fingerprint or before.fingerprint,
            rows.scope if rows.fingerprint else before.scope,
        )
    return merged


def _choose_later(first: datetime | None, second: datetime | None) -> datetime | None:
    return max((moment for moment in (first, second) if moment), default=None)


def _to_datetime(moment: int) -> datetime:
    """Returns the time of `moment`, which is in µs since 1970 (UTC)."""
    return EPOCH + timedelta(microseconds=moment)
