"""What an entry selects of a table: columns by alternative names, and records by their texts, places and times; and the
columns that it does not use, whose cells are counted so that none is lost in silence."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from gridtide.errors import FormatError
from gridtide.sources.contract import Skipped
from gridtide.sources.formats.cells import CellColumn, CellColumns, CellTable, factorize, find_spelling
from gridtide.sources.formats.numbers import TRUTH_WORDS, find_other_styles, read_numbers

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry

_COLUMN_KEYS = ("published", "timezone_from", "interval_from", "ambiguous")
"""The keys of an entry that name one column each."""


def choose_columns(entry: Entry, names: Sequence[str]) -> Entry:
    """Returns `entry` with the columns that the table has, which has columns called `names`.

    A key may name a column in several ways, `Gen MW | Gen MWh`: the first that is in the table counts, or else the
    last. A column without any, `Solar |`, need not be there; without columns of values those of `melt` are read. The
    columns of a product may be spelled otherwise than in its preset, `GMT Interval End` for `GMTIntervalEnd`, as
    operators change that.
    """

    def choose(name: str) -> str:
        if name in names:
            return name
        alternatives = [part.strip() for part in name.split("|")]
        exact = [part for part in alternatives if part in names]
        if exact or entry.product is None or name.isupper():  # in capitals it may be the name of the whole system
            return [*exact, alternatives[-1]][0]
        respelled = (find_spelling(part, names) for part in alternatives)
        return next((part for part in respelled if part), alternatives[-1])

    def choose_each(column: Any) -> Any:
        return choose(column) if isinstance(column, str) else column and tuple(filter(None, map(choose, column)))

    changed: dict[str, Any] = {key: choose_each(getattr(entry, key)) for key in (*_COLUMN_KEYS, "location", "variable")}
    changed |= {"time": choose_each(entry.time), "negated": choose_each(entry.negated)}
    changed["conflict"] = choose_each(entry.conflict) or None if entry.has_versions else entry.conflict
    if entry.summed and entry.summed.column:
        column = choose(entry.summed.column)
        changed["summed"] = msgspec.structs.replace(entry.summed, column=column) if column else None
    changed["value"] = {choose(column): series for column, series in entry.value.items() if choose(column)}
    if entry.value and not changed["value"] and entry.melt is None:
        raise FormatError(entry.name, f"none of {', '.join(entry.value)} is a column; there are: {', '.join(names)}")
    changed["location"] = changed["location"] or None
    changed["where"] = {choose(column): texts for column, texts in entry.where.items()}
    return msgspec.structs.replace(entry, **changed)


def find_unselected(
    entry: Entry, table: CellTable, location_codes: np.ndarray, location_names: Sequence[str] | None, *, is_part: bool
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the records (rows,) that the entry does not select, each time with the reason. `location_names` are None
    if records have no locations, because the header names them. A table that `is_part` of an answer may lack all
    locations that the entry names.

    Raises `FormatError` if it names locations and no record is of one of them, or a column of `where` that is not
    there; in answers of a product it may be missing.
    """
    for column, texts in entry.where.items():
        if column not in table.names and entry.product is None and column:
            happened = f"where: no record has a column {column}; the columns are: {', '.join(table.names)}"
            raise FormatError(entry.name, happened, 'Correct "where"')
        if column in table.names:
            names = " or ".join(text or "nothing" for text in texts)
            yield f"records with another {column} than {names}", ~_hold(table, column, texts)
    if entry.locations and location_names is not None:
        is_selected = np.array([name in entry.locations for name in location_names], bool)
        if len(location_names) and not is_selected.any() and not is_part:
            refuse_absent_locations(entry, location_names)
        yield "records of locations that the entry does not name", ~is_selected[location_codes]


def refuse_absent_locations(entry: Entry, location_names: Sequence[str]) -> None:
    """Raises the error for an answer that has values, but none at the locations that the entry names."""
    happened = f"locations: the answer holds none of {', '.join(entry.locations)}"
    examples = ", ".join(sorted(set(location_names))[:12])
    raise FormatError(entry.name, happened, f'Correct "locations"; those of the answer are {examples}, …'[:600])


def _hold(table: CellTable, column: str, texts: Sequence[str]) -> np.ndarray:
    """Returns which cells of `column` (rows,) hold one of `texts`, in whatever case."""
    spellings = {text.strip().casefold() for text in texts}
    codes, distinct_texts = factorize(table.read([column])[column])
    are_selected = np.array([(text or "").strip().casefold() in spellings for text in distinct_texts], bool)
    return np.take(are_selected, codes)


def rename_location(entry: Entry, text: str) -> str:
    """Returns the location that `text` stands for, which an operator may spell otherwise than the preset of a product:
    `Coast` for `coast`."""
    if not entry.location_names:
        return text
    known_text = text
    if entry.product is not None and text not in entry.location_names:
        known_text = find_spelling(text, entry.location_names) or text
    return rename(entry.location_names, known_text, str)


def rename(names: Mapping[str, str], text: str, spell: Callable[[str], str]) -> str:
    """Returns the name of `text` by `names`, or else as `spell` spells it. `*` in a text stands for any characters, and
    in its name for those of the first `*` as they are spelled.

    >>> rename({"Gas": "natural_gas", "* MW": "generation_*"}, "Wind MW", str.lower)
    'generation_wind'
    """
    if text in names:
        return names[text]
    for pattern, name in names.items():
        match = _compile_pattern(pattern).fullmatch(text) if "*" in pattern else None
        if match:
            return name.replace("*", spell(match[1]))
    return spell(text)


@functools.lru_cache(maxsize=1024)
def _compile_pattern(pattern: str) -> re.Pattern[str]:
    """Returns `pattern`, in which `*` stands for any characters, as a regular expression with a group for each."""
    return re.compile("(.*?)".join(map(re.escape, pattern.split("*"))), re.DOTALL)


NO_SERIES = re.compile(
    r"(?:^|[\W_])(?i:ids?|ptid|code|zip|lat|lon|lng|latitude|longitude|year|month|day|hour|index|version)$|[a-z]I[dD]$"
)
"""Names of columns whose numbers are ids, coordinates or parts of times."""

NUMBERS_UNUSED = 'columns of numbers that neither "value" nor "ignore" names: {}'
"""Why cells are not stored that may be values."""

UNUSED = "columns that no key of the entry names: {}"
"""Why cells are not stored that describe the values, or the whole answer."""


def count_unused(entry: Entry, table: CellTable, used: Collection[str]) -> Iterator[Skipped]:
    """Yields the counts of the cells in columns of `table` that are neither `used` nor named by `ignore`, by name.

    Runs warn of columns that hold numbers which may be values; not of others, nor of those of a product, whose preset
    names what it reads.
    """
    names = [name for name in table.names if name not in used and not is_ignored(entry, name)]
    if not names or not table.rows:
        return
    beginning = {} if entry.product is not None else table.read_first(names)
    may_be_values = [
        name
        for name in names
        if name in beginning
        and name not in table.inherited_columns
        and not NO_SERIES.search(name)
        and _holds_numbers(entry, beginning[name])
    ]
    remaining_names = [name for name in names if name not in may_be_values]
    for columns, reason in ((may_be_values, NUMBERS_UNUSED), (remaining_names, UNUSED)):
        count = _count_cells(table, columns)
        if count:
            example = _find_example(table, columns, beginning)
            yield Skipped(reason.format(", ".join(columns)), count, example, expected=reason == UNUSED)


def is_ignored(entry: Entry, name: str) -> bool:
    """Whether the entry's `ignore` names the column, itself or by a pattern with `*`."""
    patterns = [re.escape(pattern).replace(r"\*", ".*") for pattern in entry.ignore if "*" in pattern]
    return name in entry.ignore or any(re.fullmatch(pattern, name, re.DOTALL) for pattern in patterns)


def _holds_numbers(entry: Entry, column: CellColumn) -> bool:
    """Whether the first cells of a column (rows,) hold more numbers, in whatever style, than other texts; true and
    false are texts."""
    if pa.types.is_floating(column.type):
        return True
    codes, texts = factorize(column)
    is_word = np.array([(text or "").strip().lower() in TRUTH_WORDS for text in texts], bool)[codes]
    in_other_style = np.array([bool(text and find_other_styles({text}, entry.numbers)) for text in texts], bool)[codes]
    cells = read_numbers(column, entry.numbers)
    numbers = (~np.isnan(cells.values) & ~cells.unread & ~is_word) | (cells.unread & in_other_style)
    return int(numbers.sum()) > int(((cells.unread & ~in_other_style) | is_word).sum())


def _count_cells(table: CellTable, names: Collection[str]) -> int:
    if table.complete or not names:
        return table.rows * len(names)
    return sum(len(column) - column.null_count for column in table.read(list(names)).values())


def _find_example(table: CellTable, names: Iterable[str], beginning: CellColumns) -> str:
    """Returns the first cell with content, with its position; the position alone if there is none."""
    for name in (name for name in names if name in beginning):
        for row, text in enumerate(beginning[name].to_pylist()):
            if text is not None and str(text).strip():
                return f"{table.place(row)}, {name}: {str(text)!r:.60}"
    return table.place(0)
