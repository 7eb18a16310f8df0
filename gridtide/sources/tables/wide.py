"""Converts tables with a column for each hour to tables with a record for each hour."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gridtide.entries.table_layout import SeriesNames
from gridtide.errors import FormatError
from gridtide.sources.contract import Skipped
from gridtide.sources.formats.cells import CellTable, build_strings, build_table
from gridtide.sources.formats.clocks import read_day
from gridtide.sources.tables.timing import REPEATED_HOUR

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry

VALUE = "value"
"""The variable of the values in columns of hours or days, unless the entry names another."""

DAY_COLUMN_OF_TABLE = "day of the column"
"""The column that tells of which day a record of a table with a column for each day is."""

HOUR_COLUMN = "hour of the column"
"""The column that tells from which column of the wide table a record comes."""


def list_wide_columns(entry: Entry, table: CellTable) -> list[str]:
    """Returns the columns of `table` that are hours or days; empty if the entry has none. Raises `FormatError` if they
    are not there."""
    return [*_columns_of_hours(entry, table), *_columns_of_days(entry, table)]


def count_missing_hours(entry: Entry, table: CellTable) -> list[Skipped]:
    """Returns the count of the cells of hours for which `table`, of a product, has no columns, although its clock is
    never changed, so that each day has 24 of them."""
    hours_setting = entry.hours if entry.product is not None else None
    zone = ZoneInfo(entry.times_in or entry.timezone)
    offsets = {zone.utcoffset(datetime(2026, month, 1)) for month in (1, 4, 7, 10)}
    length = entry.interval or timedelta(hours=1)
    if hours_setting is None or "{minute" in hours_setting.columns or len(offsets) > 1:
        return []
    first_hour = 1 if hours_setting.label == "end" else 0
    numbers = range(first_hour, first_hour + timedelta(days=1) // length)
    missing = [name for number in numbers if (name := hours_setting.columns.format(hour=number)) not in table.names]
    return [Skipped(MISSING_HOURS, len(missing) * table.rows, ", ".join(missing[:5]))] if missing else []


MISSING_HOURS = "hours of the day without a column"
"""Why an answer has fewer hours than its day."""


def unfold_hours(entry: Entry, table: CellTable, time: str) -> tuple[Entry, CellTable]:
    """Returns `table` with a record for each of its hour columns, and `entry` for reading it: its time is the date in
    `time` and the hour of the column. Raises `FormatError` if there are no such columns."""
    if entry.hours is None:
        return entry, table
    hour_columns = _columns_of_hours(entry, table)
    is_clock = "{minute" in entry.hours.columns
    value_name = next(iter(entry.value), VALUE)
    plain_columns = [name for name in table.names if name not in hour_columns and name != value_name]
    cells = table.read(table.names)
    rows = pa.array(np.repeat(np.arange(table.rows), len(hour_columns)))
    columns: dict[str, pa.StringArray] = {name: cells[name].take(rows) for name in plain_columns}
    columns[HOUR_COLUMN] = build_strings([str(hour) for hour in hour_columns.values()] * table.rows)
    row_by_row = np.arange(table.rows * len(hour_columns)).reshape(len(hour_columns), table.rows).T.ravel()
    columns[value_name] = pa.concat_arrays([cells[name] for name in hour_columns]).take(pa.array(row_by_row))
    names = list(hour_columns)
    unfolded = build_table(
        columns,
        lambda row: f"{table.place(row // len(names))}, {names[row % len(names)]}",
        table.inherited_columns,
        table.skipped,
    )
    long_entry = msgspec.structs.replace(
        entry,
        time=(*(entry.time or (time,)), HOUR_COLUMN),
        time_format=f"{entry.time_format} %H:%M" if is_clock and entry.time_format else entry.time_format,
        label=entry.hours.label,
        interval=entry.interval or timedelta(hours=1),
        value=entry.value or {value_name: SeriesNames()},
    )
    return long_entry, unfolded


def unfold_days(entry: Entry, table: CellTable) -> tuple[Entry, CellTable]:
    """Returns `table` with a record for each cell with content in its columns of days, day by day, and `entry` for
    reading it: its time is the day of the column and the hour in the columns `time`. Raises `FormatError` if there are
    no such columns.

    An empty cell is no record: a day has no 25th hour, or it has not come yet.
    """
    if entry.days is None:
        return entry, table
    days = _columns_of_days(entry, table)
    value_name = next(iter(entry.value), VALUE)
    cells = table.read(table.names)
    values = pa.concat_arrays([cells[name].cast(pa.string()) for name in days])
    places = np.flatnonzero(pc.fill_null(pc.not_equal(pc.utf8_trim_whitespace(values), ""), False).to_numpy(False))
    rows, names, dates = pa.array(places % table.rows), list(days), list(days.values())
    columns = {name: cells[name].take(rows) for name in table.names if name not in days and name != value_name}
    columns[DAY_COLUMN_OF_TABLE] = build_strings([dates[place // table.rows] for place in places.tolist()])
    columns[value_name] = values.take(pa.array(places))
    unfolded = build_table(
        columns,
        lambda row: f"{table.place(int(places[row]) % table.rows)}, {names[places[row] // table.rows]}",
        table.inherited_columns,
        table.skipped,
    )
    series = entry.value or {value_name: SeriesNames()}
    return msgspec.structs.replace(entry, time=(DAY_COLUMN_OF_TABLE, *entry.time), value=series), unfolded


def _columns_of_days(entry: Entry, table: CellTable) -> dict[str, str]:
    """Returns the columns of days in their order, each with its day as ISO 8601."""
    if entry.days is None:
        return {}
    days = {name: day for name in table.own if (day := read_day(name, entry.days)) is not None}
    if not days:
        happened = (
            f'days: no column is called by a day such as "{entry.days}"; the columns are: {", ".join(table.names)}'
        )
        raise FormatError(entry.name, happened, 'Correct "days"')
    return days


def _columns_of_hours(entry: Entry, table: CellTable) -> dict[str, int | str]:
    """Returns the hour columns in their order, each with its number, or with its time if their names have minutes."""
    hours_setting = entry.hours
    if hours_setting is None:
        return {}
    first_hour = 1 if hours_setting.label == "end" else 0
    hour_by_name: dict[str, int | str] = {}
    if "{minute" in hours_setting.columns:
        for minutes in range(24 * 60 + 1):
            hour, minute = divmod(minutes, 60)
            hour_by_name[hours_setting.columns.format(hour=hour, minute=minute)] = f"{hour:02}:{minute:02}"
    else:
        longest_day = 25 * max(timedelta(hours=1) // (entry.interval or timedelta(hours=1)), 1)
        numbers = range(first_hour, longest_day + 1)
        hour_by_name = {hours_setting.columns.format(hour=number): number for number in numbers}
    hour_by_column = {
        name: hour_by_name[name] for name in table.names if name in hour_by_name and name != hours_setting.repeated
    }
    if len(hour_by_column) < 2:
        happened = f'hours: no columns are called "{hours_setting.columns}"; the columns are: {", ".join(table.names)}'
        raise FormatError(entry.name, happened, 'Correct "hours"')
    _refuse_other_label(entry, table, hour_by_column)
    if hours_setting.repeated is not None and hours_setting.repeated in table.names:
        hour_by_column[hours_setting.repeated] = REPEATED_HOUR
    return hour_by_column


def _refuse_other_label(entry: Entry, table: CellTable, hours: Mapping[str, int | str]) -> None:
    """Raises if the numbers of the columns of `hours` show that they are called by the other end of their intervals:
    0 to 23 by the start, 1 to 24 by the end."""
    setting = entry.hours
    if setting is None or "{minute" in setting.columns:
        return
    numbers = set(hours.values())
    zero = setting.columns.format(hour=0)
    last = timedelta(days=1) // (entry.interval or timedelta(hours=1))
    label = "start" if zero in table.names and setting.label == "end" else ""
    label = "end" if setting.label == "start" and last in numbers and 0 not in numbers else label
    if label:
        column = zero if label == "start" else setting.columns.format(hour=last)
        changed = {"columns": setting.columns, "label": label} | (
            {"repeated": setting.repeated} if setting.repeated else {}
        )
        happened = f"hours: the columns are called by the {label} of their hours, as there is {column}"
        raise FormatError(entry.name, happened, f'Add "hours": {json.dumps(changed, ensure_ascii=False)}')
