"""Tables with a column for each hour, as tables with a record for each hour."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa

from gridtide.entries.table_layout import SeriesNames
from gridtide.errors import FormatError
from gridtide.sources.formats.cells import CellTable, string_array, table_of_columns
from gridtide.sources.tables.timing import REPEATED_HOUR

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry

HOUR_COLUMN = "hour of the column"
"""The column that says which column of the wide table a record comes from."""


def unfold_hours(entry: Entry, table: CellTable, time: str) -> tuple[Entry, CellTable]:
    """`table` with a record for each of its columns of hours, and `entry` as it reads that: one whose time is the date
    in `time` and the hour of the column. Raises `FormatError` where there are no such columns."""
    if entry.hours is None:
        return entry, table
    hours = _columns_of_hours(entry, table)
    value = next(iter(entry.value), "value")
    plain_columns = [name for name in table.names if name not in hours and name != value]
    cells = table.read(table.names)
    rows = pa.array(np.repeat(np.arange(table.rows), len(hours)))
    columns: dict[str, pa.StringArray] = {name: cells[name].take(rows) for name in plain_columns}
    columns[HOUR_COLUMN] = string_array([str(hour) for hour in hours.values()] * table.rows)
    row_by_row = np.arange(table.rows * len(hours)).reshape(len(hours), table.rows).T.ravel()
    columns[value] = pa.concat_arrays([cells[name] for name in hours]).take(pa.array(row_by_row))
    names = list(hours)
    unfolded = table_of_columns(
        columns,
        lambda row: f"{table.place(row // len(names))}, {names[row % len(names)]}",
        table.inherited,
        table.skipped,
    )
    changed = msgspec.structs.replace(
        entry,
        time=(*(entry.time or (time,)), HOUR_COLUMN),
        label=entry.hours.label,
        interval=entry.interval or timedelta(hours=1),
        value=entry.value or {value: SeriesNames()},
    )
    return changed, unfolded


def _columns_of_hours(entry: Entry, table: CellTable) -> dict[str, int]:
    """The columns that are hours, in their order, and the number of each."""
    described = entry.hours
    if described is None:
        return {}
    first = 1 if described.label == "end" else 0
    spelled = {described.columns.format(hour=hour, minute=0): hour for hour in range(first, 26)}
    hours = {name: spelled[name] for name in table.names if name in spelled and name != described.repeated}
    if len(hours) < 2:
        happened = f'hours: no columns are called "{described.columns}"; the columns are: {", ".join(table.names)}'
        raise FormatError(entry.name, happened, 'Correct "hours"')
    if described.repeated is not None and described.repeated in table.names:
        hours[described.repeated] = REPEATED_HOUR
    return hours
