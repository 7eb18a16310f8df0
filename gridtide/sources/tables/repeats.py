"""Records that share a key: unnamed label columns, overlapping intervals, and contradicting values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from gridtide.errors import FormatError
from gridtide.sources.contract import Skipped
from gridtide.sources.formats.cells import CellColumns, CellTable, factorize
from gridtide.sources.formats.clocks import NUMBERED, TIME_OF_DAY
from gridtide.sources.formats.numbers import NO_VALUE, drop_mixed_truths, read_numbers
from gridtide.sources.formats.xml_rows import POSITION, RESOLUTION
from gridtide.sources.tables.series import RowLabels, list_columns
from gridtide.sources.tables.timing import FLAG_WORDS, Timing, show_moment

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry


_HOURS = re.compile(r"(?i)hour|period|interval|\bhe\b|\bhr\b|hora|heure|stunde")
"""Names of columns that contain hours."""


def find_repeated_keys(series: np.ndarray, timing: Timing, live: np.ndarray) -> np.ndarray:
    """Returns the group of each record that shares its key with another one, (rows,); -1 for others. `live` (rows,) are
    records that have a key, `series` (rows,) is the key without the interval."""
    groups = np.full(len(series), -1, np.int64)
    rows = np.flatnonzero(live)
    row_order = rows[np.lexsort((rows, timing.ends[rows], timing.starts[rows], series[rows]))]
    if len(row_order) < 2:
        return groups
    equal_keys = (series[row_order][1:] == series[row_order][:-1]) & (
        timing.starts[row_order][1:] == timing.starts[row_order][:-1]
    )
    equal_keys &= timing.ends[row_order][1:] == timing.ends[row_order][:-1]
    numbers = np.concatenate([[0], np.cumsum(~equal_keys)])
    repeated = np.concatenate([equal_keys, [False]]) | np.concatenate([[False], equal_keys])
    groups[row_order[repeated]] = numbers[repeated]
    return groups


CELLS_PER_ROW = 8
"""The cells of a table of series and intervals that are counted for a record, instead of sorting the records."""


def has_regular_keys(series: np.ndarray, timing: Timing, live: np.ndarray) -> bool:
    """Whether the intervals of the `live` records (rows,) have one length and are multiples of it apart, and none of
    the `series` (rows,) has one twice, so that there is no need to sort them. False for many series with few intervals
    each."""
    series, starts, ends = series[live], timing.starts[live], timing.ends[live]
    if len(starts) < 2:
        return True
    first, length = int(starts.min()), int(ends[0] - starts[0])
    if length <= 0 or (ends - starts != length).any():
        return False
    numbers, remainders = np.divmod(starts - first, length)
    cells = (int(series.max()) + 1) * (int(numbers.max()) + 1)
    if remainders.any() or series.min() < 0 or cells > CELLS_PER_ROW * len(starts):
        return False
    return int(np.bincount(series * (int(numbers.max()) + 1) + numbers).max()) == 1


def find_crossing(series: np.ndarray, timing: Timing, live: np.ndarray) -> np.ndarray:
    """Returns the `live` rows (rows,) whose interval another interval of their series, (rows,), overlaps; equal
    intervals do not."""
    rows = np.flatnonzero(live)
    keys = np.stack([series[rows], timing.starts[rows], timing.ends[rows]])
    (codes, starts, ends), intervals = np.unique(keys, axis=1, return_inverse=True)
    is_crossing = np.zeros(len(codes), bool)
    for code in np.unique(codes):
        (places,) = np.nonzero(codes == code)
        latest_ends = np.maximum.accumulate(ends[places])
        is_crossing[places[1:]] |= starts[places][1:] < latest_ends[:-1]
        is_crossing[places[:-1]] |= starts[places][1:] < ends[places][:-1]
    return rows[is_crossing[intervals.ravel()]]


def refuse_overlaps(
    entry: Entry, table: CellTable, series: np.ndarray, used: Sequence[str], timing: Timing, live: np.ndarray
) -> None:
    """Raises if an interval of a series begins before the previous one ends. `used` are columns that no fix names."""
    rows = np.flatnonzero(live)
    row_order = rows[np.lexsort((timing.ends[rows], timing.starts[rows], series[rows]))]
    starts, ends = timing.starts[row_order], timing.ends[row_order]
    of_one_start = (starts[1:] == starts[:-1]) & (ends[1:] != ends[:-1])
    into_the_next = (starts[1:] != starts[:-1]) & (ends[:-1] > starts[1:])
    overlaps = (series[row_order][1:] == series[row_order][:-1]) & (of_one_start | into_the_next)
    if overlaps.any():
        index = int(np.flatnonzero(overlaps)[0])
        happened = (
            f"interval: that of {show_moment(int(starts[index]))}, in {table.place(int(row_order[index]))}, ends after "
            f"the next begins, at {show_moment(int(starts[index + 1]))}"
        )
        fix = _find_differing_label(entry, table, row_order[index : index + 2], used)
        raise FormatError(
            entry.name, happened, fix or 'Add "interval": "gaps", by which each ends where the next begins'
        )


def _find_differing_label(entry: Entry, table: CellTable, rows: np.ndarray, used: Sequence[str]) -> str:
    """Returns the fix that names a column of few words in which two `rows` (2,) differ; empty if there is none."""
    for name in sorted(table.names, key=lambda name: (name != RESOLUTION, name.endswith(f".{POSITION}"))):
        if name in used or name in NUMBERS_OF_DOCUMENTS or NO_LABELS.search(name):
            continue
        codes, texts = factorize(table.read([name])[name])
        pair = [texts[code] for code in codes[rows].tolist()]
        if pair[0] != pair[1] and all(pair) and (len(texts) * 2 <= len(codes) or len(codes) <= 4):
            naming = _propose_label(entry, table, name)
            if entry.layout == "positions" and name == RESOLUTION:
                return f'Choose one with "where": {json.dumps({name: [pair[0]]})}; or both apart: {naming}'
            return f"If {name} tells series apart, as {pair[0]!r:.60} and {pair[1]!r:.60} do, add {naming}"
    return ""


def refuse_unnamed_labels(
    entry: Entry, table: CellTable, groups: np.ndarray, used: Sequence[str], values: Sequence[str], timing: Timing
) -> None:
    """Raises if records with one key differ in a column that the entry does not name: they are several series, or their
    times are only days. A column of times is no such name where the entry says which of several records counts."""
    time = entry.time
    repeated = np.flatnonzero(groups >= 0)
    columns = [column for column in table.names if column not in used]
    hours = [name for name in table.names if name not in used or (name in values and _HOURS.search(name))]
    cells = table.read(list(dict.fromkeys([*columns, *hours])))
    hour_column = _find_hour_column(cells, repeated, hours) if len(time) == 1 and not entry.hours else None
    if hour_column is not None and _are_days(table, time[0]):
        flag_column = next((column for column in columns if "dst" in column.lower()), None)
        fix = f'Add "time": {json.dumps([time[0], hour_column], ensure_ascii=False)}, "label": "end"'
        fix += f', "ambiguous": "{flag_column}"' if flag_column else ""
        happened = f"{len(repeated)} records have the same times, because {time[0]} holds only days"
        raise FormatError(entry.name, happened, fix)
    largest_group = int(np.bincount(groups[repeated]).max())  # of a snapshot, all records
    for column in sorted(columns, key=NUMBERS_OF_DOCUMENTS.__contains__):
        column_codes, distinct_texts = factorize(cells[column])
        if entry.conflict in ("first", "last") and all(_is_moment(text) for text in distinct_texts):
            continue
        label_count, row_count = len(set(column_codes.tolist())), len(column_codes)
        is_label = label_count * 2 <= row_count or row_count <= 4 or label_count == largest_group
        pair_count = np.unique(np.stack([groups[repeated], column_codes[repeated]]), axis=1).shape[1]
        if is_label and pair_count == len(repeated) and len(set(column_codes[repeated].tolist())) > 1:
            first, second = (distinct_texts[code] for code in list(dict.fromkeys(column_codes[repeated].tolist()))[:2])
            moment = show_moment(int(timing.starts[repeated[0]]))
            fix = _propose_label(entry, table, column)
            happened = f"records of one series and time, as at {moment}, differ in {column}: {first!r} and {second!r}"
            raise FormatError(entry.name, happened, f"Say what it names: {fix}")


def _is_moment(text: str | None) -> bool:
    return text is not None and ISO_MOMENT.match(text) is not None


ISO_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")

NUMBERS_OF_DOCUMENTS = frozenset({"mRID", "revisionNumber"})
"""Columns that number what stands in a document of ENTSO-E: the last ones to be proposed, as they are no names."""

NO_LABELS = re.compile(
    r"(?i)quality|flag|status|note|remark|comment|revision|version|(?<![a-z])(?:week_?)?days?(?![a-z])|date|time(?!.?series)"
    r"|hour|holiday|season|dst"
)
"""Names of columns of texts that describe a value without making another series of it."""

UNIT_COLUMNS = re.compile(r"(?i)(?:^|[\W_]|measure|value)(?:units?|uom)(?:\.name)?$|[a-z]Units?(?:\.name)?$|^currency")
"""Names of columns of units: values in several of them are not one series."""

FORECASTS = re.compile(r"(?i)forecast|fcst|predict|prognos|pr[eé]vis|schedule|planned")
"""Texts of values that are no measurements, which are another series even where a column only describes values."""

_NOUNS = (
    "area|zone|region|node|pnode|bus|hub|station|site|location|loc|place|point|country|province|city|plant|generator"
    "|meter|sensor|device|fuel|type|category|kind|class|psr|product|market|series|variable|parameter|interface|border"
    "|owner|operator|party|company|utility|respondent|participant|resource"
)
SERIES_COLUMNS = re.compile(
    rf"(?i)(?:^|.*[\W_]|(?-i:.*[a-z](?=[A-Z])))(?:(?:{_NOUNS})s?[\W_]?(?:name|number|nr|no|id|code|key)?"
    r"|pt[\W_]?id|codes?|eic|lat|lon|lng|latitude|longitude)$"
)
"""Names of columns whose numbers and single letters tell series apart."""

ID_COLUMNS = re.compile(r"(?:^|.*[\W_])(?i:ids?|uuid|guid)$|.*[a-z]I[dD]$")
"""Names of columns that number records, unless their numbers come again."""

_MOMENT = re.compile(r"\d{1,2}:\d\d|\d[-/.]\d{1,2}[-/.]\d|\d[-/. ](?:[^\W\d_]{3,9})[-/. ]\d|\d{6}")
"""Texts with a time or a date in them, which tell no series apart."""


def refuse_merged_series(
    entry: Entry, table: CellTable, series: np.ndarray, live: np.ndarray, used: Sequence[str]
) -> dict[str, dict[int, str]]:
    """Raises if a column that no key names tells the `live` records (rows,) of one of the `series` (rows,) apart: they
    may be several series, or have several units. Returns for each such column what it says of each series, by a row of
    that. A product is not looked at, as its preset knows its columns."""
    if entry.product is not None:
        return {}
    columns = [name for name in table.names if name not in used and name not in NUMBERS_OF_DOCUMENTS]
    single_labels: dict[str, dict[int, str]] = {}
    for name, column in _read_labels(entry, table, columns).items():
        codes, cells = factorize(column)
        texts = ["" if cell is None else f"{cell:g}" if isinstance(cell, float) else cell.strip() for cell in cells]
        is_label = np.array([_may_be_label(name, text) for text in texts], bool)
        if not _is_name(name) and any(text.lower() not in NO_VALUE for text in np.array(texts)[~is_label].tolist()):
            continue  # a column of numbers or times, with words among them
        rows = np.flatnonzero(live & is_label[codes])
        label_codes, places = np.unique(codes[rows], return_index=True)
        labels = [texts[codes[rows[place]]] for place in np.sort(places)]
        series_codes, first = np.unique(series[rows], return_index=True)
        pairs = len(series_codes)
        if len(label_codes) > 1:
            pairs = len(np.unique(series[rows].astype(np.int64) * len(texts) + codes[rows]))
        is_numbering = ID_COLUMNS.match(name) is not None and name not in table.inherited_columns
        if pairs > len(series_codes) and _tell_apart(name, labels, len(rows), is_numbering):
            raise _build_merged_error(entry, table, name, labels)
        if pairs == len(series_codes):
            single_labels[name] = {int(row): texts[codes[row]] for row in rows[first]}
    return single_labels


def refuse_other_labels(
    entry: Entry,
    table: CellTable,
    labels: Mapping[str, Mapping[int, str]],
    earlier: dict[tuple[str, ...], str],
    names: Sequence[RowLabels | None],
) -> None:
    """Raises if the `labels` of this table's series, by column and row, are others than those of the `earlier` tables
    of an archive, by column and the series' `names`, to which they are added."""
    for column, label_by_row in labels.items():
        for row, label in label_by_row.items():
            key = (column, *(row_labels.names[row_labels.codes[row]] for row_labels in names if row_labels is not None))
            two_labels = [earlier.setdefault(key, label), label]
            if two_labels[0] != two_labels[1] and _tell_apart(column, two_labels, table.rows, is_numbering=False):
                raise _build_merged_error(entry, table, column, two_labels)


def _read_labels(entry: Entry, table: CellTable, names: Sequence[str]) -> CellColumns:
    """Returns those of the columns `names` that may tell series apart: columns of texts, and of numbers by their names.
    By the first piece of a large table it is known which they are; they are then read whole."""
    beginning = next(iter(table.pieces(names, entry.numbers)), {}) if names else {}
    chosen = {
        name: column for name, column in beginning.items() if not pa.types.is_floating(column.type) or _is_name(name)
    }
    is_whole = all(len(column) == table.rows for column in chosen.values())
    return chosen if is_whole else table.read(list(chosen))


def _is_name(name: str) -> bool:
    return SERIES_COLUMNS.match(name) is not None or ID_COLUMNS.match(name) is not None


def _may_be_label(name: str, text: str) -> bool:
    """Whether a `text` in the column `name` may tell a series apart: it has a letter, or the name says so."""
    if text.lower() in NO_VALUE or _MOMENT.search(text):
        return False
    return _is_name(name) or UNIT_COLUMNS.search(name) is not None or re.search(r"[^\W\d_]", text) is not None


def _tell_apart(name: str, labels: Sequence[str], row_count: int, is_numbering: bool) -> bool:
    """Whether the different texts `labels` in `row_count` cells of the column `name` may tell series apart: they are
    few, no flags, and do not only describe values. A column that `is_numbering` may number the records."""
    if len({label.casefold() for label in labels} if UNIT_COLUMNS.search(name) else labels) < 2:
        return False
    if NO_LABELS.search(name) and not UNIT_COLUMNS.search(name):
        forecasts = [label for label in labels if FORECASTS.search(label)]
        return 0 < len(forecasts) < len(labels)
    if SERIES_COLUMNS.match(name):
        return True
    if {label.lower() for label in labels} <= FLAG_WORDS.keys():
        return False
    return len(labels) * 2 <= row_count or (row_count <= 4 and not is_numbering)


def _build_merged_error(entry: Entry, table: CellTable, name: str, labels: Sequence[str]) -> FormatError:
    """Returns the error for records of one series of which the column `name` has different `labels`."""
    if UNIT_COLUMNS.search(name):
        happened = f"values of one series are in several units, by {name}: {labels[0]!r:.60} and {labels[1]!r:.60}"
        fix = f'Store those in one: "where": {json.dumps({name: [labels[0]]}, ensure_ascii=False)}'
        return FormatError(entry.name, happened, f"{fix}; or name them apart: {_propose_label(entry, table, name)}")
    happened = f"records of one series differ in {name}, which no key names: {labels[0]!r:.60} and {labels[1]!r:.60}"
    ignored = json.dumps([*entry.ignore, name], ensure_ascii=False)
    naming = _propose_label(entry, table, name)
    fix = f'Say what it names: {naming}; or, if it only describes the values, add "ignore": {ignored}'
    return FormatError(entry.name, happened, fix)


def _propose_label(entry: Entry, table: CellTable, column: str) -> str:
    """Returns the keys that make `column` a label, beside those that are labels already."""
    fixes = []
    for key, named in (("variable", entry.variable), ("location", entry.location)):
        labels = [*(name for name in list_columns(named) if name in table.names), column]
        fixes.append(f'"{key}": {json.dumps(labels if len(labels) > 1 else column, ensure_ascii=False)}')
    return " or ".join(fixes)


def _find_hour_column(cells: CellColumns, repeated: np.ndarray, columns: Sequence[str]) -> str | None:
    """Returns the column of hours or interval numbers, if there is one that differs among the `repeated` rows."""
    for column in columns:
        column_codes, distinct_texts = factorize(cells[column])
        words = [(distinct_texts[code] or "").strip() for code in dict.fromkeys(column_codes[repeated].tolist())]
        hours = all(TIME_OF_DAY.fullmatch(word) or word == "24:00" for word in words)
        numbers = all(NUMBERED.fullmatch(word) and int(NUMBERED.fullmatch(word)[1]) <= 100 for word in words)  # type: ignore[index]
        if len(words) > 1 and (hours or numbers):
            return column
    return None


def _are_days(table: CellTable, column: str) -> bool:
    _, distinct_texts = factorize(table.read([column])[column])
    stripped = [(text or "").strip() for text in distinct_texts]
    return all(len(text) <= 11 or ENDS_AT_MIDNIGHT.search(text) for text in stripped)


ENDS_AT_MIDNIGHT = re.compile(r"[T ](00?:00(:00(\.0+)?)?|12:00(:00)? AM)(Z|[+-]\d\d:?\d\d)?$")
"""The end of a time that stands for a day."""


def choose_values(
    entry: Entry, table: CellTable, groups: np.ndarray, columns: Sequence[str], timing: Timing, skipped: list[Skipped]
) -> dict[str, np.ndarray]:
    """Returns the rows of each of `columns` that are not stored because another record with their key has another
    value: all but the first or the last, by the entry's `conflict`. They are added to `skipped`."""
    repeated = np.flatnonzero(groups >= 0)
    dropped: dict[str, np.ndarray] = {}
    values = _read_values(entry, table, repeated, columns)
    by_group = [np.flatnonzero(groups[repeated] == group) for group in np.unique(groups[repeated])]
    for column in columns:
        numbers, present = values[column]
        losing_rows: list[int] = []
        example = ""
        for members in by_group:
            rivals = members[present[members]]
            if len(rivals) < 2 or _agree(numbers[rivals]):
                continue
            first_row = int(repeated[rivals[0]])
            shown_numbers = ", ".join(f"{number:g}" for number in numbers[rivals])
            moment = show_moment(int(timing.starts[first_row]))
            example = example or f"{column} at {moment}, in {table.place(first_row)}: {shown_numbers}"
            losing_rows += _choose_losers(rivals, entry.conflict)
        if losing_rows:
            dropped[column] = repeated[losing_rows]
            skipped.append(Skipped("another value of its time is stored", len(losing_rows), example))
    return dropped


def _choose_losers(rivals: np.ndarray, conflict: str | None) -> list[int]:
    return [int(rival) for rival in (rivals[1:] if conflict == "first" else rivals[:-1])]


def _agree(numbers: np.ndarray) -> bool:
    return bool((numbers == numbers[0]).all() or np.isnan(numbers).all())


def _read_values(
    entry: Entry, table: CellTable, rows: np.ndarray, columns: Sequence[str]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns the numbers of some `rows` (chosen,) of each of `columns`, and which of them are present."""
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {column: [] for column in columns}
    offset = 0
    for piece in table.pieces(columns, entry.numbers):
        length = len(next(iter(piece.values())))
        rows_in_piece = rows[(rows >= offset) & (rows < offset + length)] - offset
        for column, cells in piece.items():
            read = drop_mixed_truths(read_numbers(cells, entry.numbers))
            is_absent = read.absent | read.unread | (np.isnan(read.values) if entry.past else False)
            parts[column].append((read.values[rows_in_piece], ~is_absent[rows_in_piece]))
        offset += length
    return {
        column: (np.concatenate([values for values, _ in read]), np.concatenate([present for _, present in read]))
        for column, read in parts.items()
    }
