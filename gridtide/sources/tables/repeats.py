"""Records that share a key: labels that nobody named, intervals that overlap, and values that contradict each other."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gridtide.errors import FormatError
from gridtide.sources.contract import Skipped
from gridtide.sources.formats.cells import CellColumns, CellTable, factorised
from gridtide.sources.formats.clocks import NUMBERED, TIME_OF_DAY
from gridtide.sources.formats.numbers import read_numbers
from gridtide.sources.tables.timing import Timing, show_moment

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry


_HOURS = re.compile(r"(?i)hour|period|interval|\bhe\b|\bhr\b|hora|heure|stunde")
"""Names of columns that hold hours."""


def repeated_keys(series: np.ndarray, timing: Timing, live: np.ndarray) -> np.ndarray:
    """The group of each record that shares its key with another one, (rows,); -1 for others. `live` (rows,) are records
    that have a key, `series` (rows,) all of it but the interval."""
    groups = np.full(len(series), -1, np.int64)
    rows = np.flatnonzero(live)
    order = rows[np.lexsort((rows, timing.ends[rows], timing.starts[rows], series[rows]))]
    if len(order) < 2:
        return groups
    equal_keys = (series[order][1:] == series[order][:-1]) & (timing.starts[order][1:] == timing.starts[order][:-1])
    equal_keys &= timing.ends[order][1:] == timing.ends[order][:-1]
    numbers = np.concatenate([[0], np.cumsum(~equal_keys)])
    repeated = np.concatenate([equal_keys, [False]]) | np.concatenate([[False], equal_keys])
    groups[order[repeated]] = numbers[repeated]
    return groups


def refuse_overlaps(entry: Entry, table: CellTable, series: np.ndarray, timing: Timing, live: np.ndarray) -> None:
    """Raise where an interval of a series begins before the one before it ends."""
    rows = np.flatnonzero(live)
    order = rows[np.lexsort((timing.starts[rows], series[rows]))]
    starts, ends = timing.starts[order], timing.ends[order]
    over = (series[order][1:] == series[order][:-1]) & (starts[1:] != starts[:-1]) & (ends[:-1] > starts[1:])
    if over.any():
        place = int(np.flatnonzero(over)[0])
        happened = (
            f"interval: that of {show_moment(int(starts[place]))}, in {table.place(int(order[place]))}, ends after "
            f"the next begins, at {show_moment(int(starts[place + 1]))}"
        )
        raise FormatError(entry.name, happened, 'Add "interval": "gaps", by which each ends where the next begins')


def refuse_unnamed_labels(
    entry: Entry, table: CellTable, groups: np.ndarray, used: Sequence[str], values: Sequence[str], timing: Timing
) -> None:
    """Raise where records of one key are listed apart by a column that nobody named: they are several series, or their
    times are days alone."""
    time = entry.time
    repeated = np.flatnonzero(groups >= 0)
    columns = [column for column in table.names if column not in used]
    hours = [name for name in table.names if name not in used or (name in values and _HOURS.search(name))]
    cells = table.read(list(dict.fromkeys([*columns, *hours])))
    hour = _hour_column(cells, repeated, hours) if len(time) == 1 and not entry.hours else None
    if hour is not None and _are_days(table, time[0]):
        flag = next((column for column in columns if "dst" in column.lower()), None)
        fix = f'Add "time": {json.dumps([time[0], hour], ensure_ascii=False)}, "label": "end"'
        fix += f', "ambiguous": "{flag}"' if flag else ""
        happened = f"{len(repeated)} records come at the equal_keys times, as {time[0]} holds days alone"
        raise FormatError(entry.name, happened, fix)
    for column in columns:
        codes, texts = factorised(cells[column])
        is_label = len(set(codes.tolist())) * 2 <= len(codes) or len(codes) <= 4
        pairs = np.unique(np.stack([groups[repeated], codes[repeated]]), axis=1).shape[1]
        if is_label and pairs == len(repeated) and len(set(codes[repeated].tolist())) > 1:
            first, second = (texts[code] for code in list(dict.fromkeys(codes[repeated].tolist()))[:2])
            where = show_moment(int(timing.starts[repeated[0]]))
            keys = [key for key in ("variable", "location") if key != "variable" or entry.variable is None]
            fix = " or ".join(_naming(entry, table, key, column) for key in keys)
            happened = f"records of one series and time, as at {where}, differ in {column}: {first!r} and {second!r}"
            raise FormatError(entry.name, happened, f"Say what it names: {fix}")


def _naming(entry: Entry, table: CellTable, key: str, column: str) -> str:
    """The key and value that make `column` a label."""
    if key == "variable":
        return f'"variable": {json.dumps(column, ensure_ascii=False)}'
    present = [entry.location] if isinstance(entry.location, str) and entry.location in table.names else []
    present += list(entry.location) if isinstance(entry.location, tuple) else []
    return f'"location": {json.dumps([*present, column] if present else column, ensure_ascii=False)}'


def _hour_column(cells: CellColumns, repeated: np.ndarray, columns: Sequence[str]) -> str | None:
    """The column that holds hours or numbers of intervals, where one does that differs among the `repeated` rows."""
    for column in columns:
        codes, texts = factorised(cells[column])
        words = [(texts[code] or "").strip() for code in dict.fromkeys(codes[repeated].tolist())]
        hours = all(TIME_OF_DAY.fullmatch(word) or word == "24:00" for word in words)
        numbers = all(NUMBERED.fullmatch(word) and int(NUMBERED.fullmatch(word)[1]) <= 100 for word in words)  # type: ignore[index]
        if len(words) > 1 and (hours or numbers):
            return column
    return None


def _are_days(table: CellTable, column: str) -> bool:
    _, texts = factorised(table.read([column])[column])
    return all(
        len((text or "").strip()) <= 11 or (text or "").strip().endswith(("00:00:00", "00:00")) for text in texts
    )


def choose_values(
    entry: Entry, table: CellTable, groups: np.ndarray, columns: Sequence[str], timing: Timing, skipped: list[Skipped]
) -> dict[str, np.ndarray]:
    """The rows of each of `columns` that are not stored as another record of their key holds another value: all but
    the first or the last, as the entry's `conflict` says. They are added to `skipped`.
    """
    repeated = np.flatnonzero(groups >= 0)
    dropped: dict[str, np.ndarray] = {}
    values = _values_of(entry, table, repeated, columns)
    by_group = [np.flatnonzero(groups[repeated] == group) for group in np.unique(groups[repeated])]
    for column in columns:
        numbers, present = values[column]
        losers: list[int] = []
        example = ""
        for members in by_group:
            rivals = members[present[members]]
            if len(rivals) < 2 or _agree(numbers[rivals]):
                continue
            first = int(repeated[rivals[0]])
            listed = ", ".join(f"{number:g}" for number in numbers[rivals])
            example = (
                example or f"{column} at {show_moment(int(timing.starts[first]))}, in {table.place(first)}: {listed}"
            )
            losers += _losers(rivals, entry.conflict)
        if losers:
            dropped[column] = repeated[losers]
            skipped.append(Skipped("another value of its time is stored", len(losers), example))
    return dropped


def _losers(rivals: np.ndarray, conflict: str | None) -> list[int]:
    return [int(rival) for rival in (rivals[1:] if conflict == "first" else rivals[:-1])]


def _agree(numbers: np.ndarray) -> bool:
    return bool((numbers == numbers[0]).all() or np.isnan(numbers).all())


def _values_of(
    entry: Entry, table: CellTable, rows: np.ndarray, columns: Sequence[str]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The numbers of some `rows` (chosen,) of each of `columns`, and which of them are there."""
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {column: [] for column in columns}
    offset = 0
    for piece in table.pieces(columns, entry.numbers):
        length = len(next(iter(piece.values())))
        inside = rows[(rows >= offset) & (rows < offset + length)] - offset
        for column, cells in piece.items():
            read = read_numbers(cells, entry.numbers)
            parts[column].append((read.values[inside], ~(read.absent | read.unread)[inside]))
        offset += length
    return {
        column: (np.concatenate([values for values, _ in read]), np.concatenate([present for _, present in read]))
        for column, read in parts.items()
    }
