"""Which series the cells of a table belong to: its columns of values, and the names of variables and locations."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from gridtide.errors import ConfigurationError, FormatError
from gridtide.sources.contract import Skipped
from gridtide.sources.formats.cells import CELLS_IN_ONE, CellColumn, CellTable, factorised
from gridtide.sources.formats.numbers import NO_VALUE, TRUTH_WORDS, looks_numeric, other_styles, read_numbers
from gridtide.variables import snake_case

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry


@dataclass(frozen=True)
class ValueColumn:
    """A column of values: its name in the table, its variable, its unit and, where the header says it, its location."""

    column: str
    variable: str
    unit: str
    location: str | None = None


@dataclass(frozen=True)
class RowLabels:
    """What each record belongs to: codes (rows,) and the names that they stand for."""

    codes: np.ndarray
    names: Sequence[str]


def name_of_variable(text: str) -> str:
    """`text` as the table spells variables; letters of other alphabets stay.

    >>> name_of_variable("Natural Gas"), name_of_variable("énergie (MWh)"), name_of_variable("需要")
    ('natural_gas', 'énergie_mwh', '需要')
    """
    if text.isascii():
        return snake_case(text) or text
    words = re.sub(r"([^\W\d_])(?<=[a-zà-ÿ0-9])(?=[A-ZÀ-Þ])", r"\1_", text)
    return re.sub(r"\W+", "_", words.lower()).strip("_") or text


def value_columns(entry: Entry, table: CellTable, used: Iterable[str], skipped: list[Skipped]) -> list[ValueColumn]:
    """The columns of values of `table`: those that `value` or `melt` name, else the only one that holds numbers beside
    the `used` ones. What other columns hold is added to `skipped`.

    Raises `FormatError` where several columns hold numbers, or none does, or two names become one.
    """
    if entry.value:
        _check_present(entry, table, entry.value, "value")
        chosen = list(entry.value)
    else:
        chosen = _numeric_columns(entry, table, set(used), skipped)
    columns = [_value_column(entry, column) for column in chosen]
    _refuse_collisions(entry, columns)
    return columns


def _value_column(entry: Entry, column: str) -> ValueColumn:
    series = entry.value.get(column)
    unit = (series and series.unit) or entry.unit
    if entry.melt is not None and entry.melt.into == "location" and not entry.value:
        return ValueColumn(column, entry.melt.variable, unit, column.strip())
    return ValueColumn(column, (series and series.variable) or name_of_variable(column), unit)


def _refuse_collisions(entry: Entry, columns: Sequence[ValueColumn]) -> None:
    """Raise where two columns become one series; the fix names them all."""
    series = [(value.location, value.variable) for value in columns]
    doubled = next((name for name in series if series.count(name) > 1), None)
    if doubled is not None:
        alike = [value.column for value, name in zip(columns, series, strict=True) if name == doubled]
        names: dict[str, str] = {}
        for value, name in zip(columns, series, strict=True):
            number = series[: len(names) + 1].count(name)
            names[value.column] = f"{value.variable}_{number}" if series.count(name) > 1 else value.variable
        raise FormatError(
            entry.name,
            f"the columns {alike[0]!r} and {alike[1]!r} would both be the variable {doubled[1]}",
            f'Give each a name of its own: "value": {json.dumps(names, ensure_ascii=False)}',
        )


def _check_present(entry: Entry, table: CellTable, columns: Iterable[str], key: str) -> None:
    missing = [column for column in columns if column not in table.names]
    if missing:
        happened = f"no record has a column {', '.join(missing)}; the columns are: {', '.join(table.names)}"
        raise FormatError(entry.name, happened, f'Correct "{key}"')


def _numeric_columns(entry: Entry, table: CellTable, used: set[str], skipped: list[Skipped]) -> list[str]:
    """The only column of numbers, or, with `melt`, all of those that its patterns match."""
    columns = [column for column in table.own if column not in used]
    if entry.melt is not None:
        columns = [
            name for name in columns if any(fnmatch.fnmatchcase(name, pattern) for pattern in entry.melt.columns)
        ]
    judged = _judge(entry, table, columns, CELLS_IN_ONE)
    if table.rows * len(columns) > CELLS_IN_ONE:  # what began with nothing but numbers is taken for numbers
        mixed = [column for column, judgement in judged.items() if judgement.texts or not judgement.numbers]
        judged |= _judge(entry, table, mixed)
    numeric = [column for column, judgement in judged.items() if judgement.numbers > judgement.texts]
    if not numeric:
        raise FormatError(
            entry.name, f"none of {', '.join(columns) or 'the columns'} holds numbers", 'Name the columns with "value"'
        )
    _refuse_collisions(entry, [_value_column(entry, column) for column in numeric])
    if len(numeric) > 1 and entry.melt is None:
        raise FormatError(
            entry.name,
            f"several columns hold numbers: {', '.join(numeric)}; ids, coordinates and codes are no series",
            _choice(numeric),
        )
    skipped += [
        Skipped(
            f"column {column} is no column of numbers",
            judgement.texts + judgement.numbers,
            f"{judgement.place}: {judgement.example[:60]!r}",
        )
        for column, judgement in judged.items()
        if judgement.texts and column not in numeric
    ]
    return numeric


def _choice(numeric: Sequence[str]) -> str:
    """How to say which of the `numeric` columns are series."""
    hours = [re.fullmatch(r"(.*?)(\d{1,2})(\D*)", column) for column in numeric]
    shapes = {(match[1], match[3]) for match in hours if match}
    if len(numeric) >= 20 and len(shapes) == 1:
        ((before, after),) = shapes
        numbers = {int(match[2]): match[2] for match in hours if match}
        padded = ":02" if any(text.startswith("0") for text in numbers.values()) else ""
        described = {"columns": f"{before}{{hour{padded}}}{after}", "label": "start" if 0 in numbers else "end"}
        described |= {"repeated": f"{before}25{after}"} if 25 in numbers else {}
        return f'If they are the hours of a day, add "hours": {json.dumps(described, ensure_ascii=False)}'
    return f'Name those that are: "value": {json.dumps(list(numeric), ensure_ascii=False)}'


@dataclass
class _Judgement:
    """What a column holds: how many numbers, how many other texts, and the first of those with its place."""

    numbers: int = 0
    texts: int = 0
    example: str = ""
    place: str = ""


def _judge(
    entry: Entry, table: CellTable, columns: Sequence[str], most_cells: int | None = None
) -> dict[str, _Judgement]:
    """What each of `columns` holds, in all of its cells or in about the first `most_cells` of all columns. Raises
    `FormatError` where one holds numbers of another style."""
    judged = {column: _Judgement() for column in columns}
    offset = 0
    for piece in table.pieces(columns, entry.numbers):
        for column, cells in piece.items():
            judgement = judged[column]
            read = read_numbers(cells, entry.numbers)
            is_word = _words(cells) if judgement.numbers == 0 else None
            numbers = ~np.isnan(read.values) & ~read.unread
            judgement.numbers += int(numbers.sum()) - (int((numbers & is_word).sum()) if is_word is not None else 0)
            texts = np.flatnonzero(read.unread | (is_word if is_word is not None else False))
            if len(texts):
                refuse_other_style(
                    entry, table, column, [cells[int(row)].as_py() for row in texts[:1000]], offset + int(texts[0])
                )
                if not judgement.texts:
                    judgement.example = cells[int(texts[0])].as_py()
                    judgement.place = table.place(offset + int(texts[0]))
                judgement.texts += len(texts)
        offset += len(next(iter(piece.values())))
        if most_cells is not None and offset * len(columns) >= most_cells:
            break
    return judged


def _words(cells: CellColumn) -> np.ndarray:
    """Which cells (rows,) are true or false, which are numbers only where they are asked for."""
    if pa.types.is_floating(cells.type):
        return np.broadcast_to(False, len(cells))
    codes, texts = factorised(cells)
    are_words = np.array([(text or "").strip().lower() in TRUTH_WORDS for text in texts], bool)
    return np.take(are_words, codes)


def refuse_other_style(entry: Entry, table: CellTable, column: str, texts: Sequence[str], row: int) -> None:
    """Raise where all the `texts` of `column` that look like numbers would be numbers in another style; the first
    text stands in `row`."""
    numeric = {text for text in texts if looks_numeric([text])}
    styles = other_styles(numeric, entry.numbers)
    if not styles:
        return
    keys = [", ".join(f"{json.dumps(key)}: {json.dumps(mark)}" for key, mark in style.items()) for style in styles]
    example = next(text for text in texts if text in numeric)
    raise FormatError(
        entry.name,
        f"value: {column} holds {example!r:.80}, which is no number as numbers are written here, in {table.place(row)}",
        f"Add {' or '.join(keys)}",
    )


def locations(entry: Entry, table: CellTable, blank: np.ndarray) -> RowLabels:
    """The location of each record: the columns that `location` names, else that word, else the entry's name, though a
    column may be called the same; `blank` (rows,) need none."""
    named = entry.location if entry.location is not None else entry.name
    if isinstance(named, str) and (entry.location is None or named not in table.names):
        return RowLabels(np.zeros(table.rows, np.int32), [named])
    columns = [named] if isinstance(named, str) else list(named)
    _check_locations(entry, table, columns)
    return _labelled(entry, table, columns, blank, "location", str.strip)


def _check_locations(entry: Entry, table: CellTable, columns: Sequence[str]) -> None:
    missing = [column for column in columns if column not in table.names]
    if missing and table.rows:
        raise ConfigurationError(
            entry.name,
            f"location: is a list, but no record has a column {', '.join(missing)}, only {', '.join(table.names)}",
            "Give one location, or the columns that hold them",
        )


def variables(entry: Entry, table: CellTable, blank: np.ndarray) -> RowLabels | None:
    """The variable of each record where a column says it."""
    if entry.variable is None or not table.rows:
        return None
    _check_present(entry, table, [entry.variable], "variable")
    return _labelled(entry, table, [entry.variable], blank, "variable", name_of_variable)


def _labelled(
    entry: Entry, table: CellTable, columns: Sequence[str], blank: np.ndarray, noun: str, spell: Callable[[str], str]
) -> RowLabels:
    """The names that `columns` give to each record; raises where one gives none, or two names become one."""
    cells = table.read(columns)
    codes = np.zeros(table.rows, np.int64)
    texts: list[str] = [""]
    for place, column in enumerate(columns):
        own, words = factorised(cells[column])
        empty = np.array([not (word or "").strip() for word in words], bool)[own] & ~blank
        if empty.any():
            where = table.place(int(np.flatnonzero(empty)[0]))
            raise FormatError(entry.name, f"{where} has no {noun} in {column}", f'Correct "{noun}"')
        combined = codes * len(words) + own
        distinct_codes, codes = np.unique(combined, return_inverse=True)
        texts = [
            f"{texts[code // len(words)]}{' ' if place else ''}{words[code % len(words)] or ''}"
            for code in distinct_codes.tolist()
        ]
    names = [spell(text) for text in texts]
    first: dict[str, str] = {}
    for name, text in zip(names, texts, strict=True):
        if name and first.setdefault(name, text) != text:
            raise FormatError(
                entry.name,
                f"{noun}: {first[name]!r} and {text!r} of {', '.join(columns)} would both be {name}",
                f'Name another column with "{noun}"',
            )
    return RowLabels(codes, names)


def is_nothing(text: str | None) -> bool:
    """Whether a cell holds nothing."""
    return text is None or text.strip().lower() in NO_VALUE
