"""Finds the series of a table's cells: its value columns, and the names of variables and locations."""

from __future__ import annotations

import difflib
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
from gridtide.sources.formats.cells import CELLS_IN_ONE, CellColumn, CellTable, factorize, find_spelling
from gridtide.sources.formats.clocks import guess_day_format
from gridtide.sources.formats.numbers import NO_VALUE, TRUTH_WORDS, find_other_styles, looks_numeric, read_numbers
from gridtide.sources.tables.selection import (
    NO_SERIES,
    count_unused,
    is_ignored,
    refuse_absent_locations,
    rename,
    rename_location,
)
from gridtide.variables import spell_variable

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry


CELLS_JUDGED = 1_000_000
"""How many cells of a large table are read to find its columns of numbers; those that hold more are read whole."""

FLAG_NAMES = re.compile(r"(?i)flag|quality|status|version|revision|holiday|dst(?![a-z])|^is_")
"""Names of columns whose numbers describe values."""

NO_NUMBERS = "column {} is not a column of numbers"
"""Why the cells of a column of texts are not stored."""


FEWER_COLUMNS = "columns of sums that lack a column"
"""Why the cells of a column that is added up are not stored."""


@dataclass(frozen=True)
class ValueColumn:
    """A value column: its name in the table, its variable, its unit and, if the header names it, its location."""

    column: str
    variable: str
    unit: str
    location: str | None = None


@dataclass(frozen=True)
class RowLabels:
    """The label of each record: codes (rows,), the names that they stand for, and the texts that these are made of,
    which show the columns that they come from; empty if no column gives the name."""

    codes: np.ndarray
    names: Sequence[str]
    texts: Sequence[str] = ()


def choose_value_columns(
    entry: Entry, table: CellTable, used: Iterable[str], skipped: list[Skipped]
) -> list[ValueColumn]:
    """Returns the value columns of `table`: those that `value` or `melt` name, or else the only column of numbers
    beside the `used` ones. The content of other columns is added to `skipped`.

    Raises `FormatError` if several columns have numbers, or none has, or two names become the same.
    """
    if entry.value:
        _check_present(entry, table, entry.value, "value")
        selected = list(entry.value)
    else:
        selected = _find_numeric_columns(entry, table, set(used), skipped)
    columns = [_name_value_column(entry, column) for column in selected]
    _refuse_collisions(entry, columns)
    refuse_unclear_marks(entry, table, selected, used)
    if entry.hours is None and entry.days is None:  # whose columns are counted as they are in the answer
        counted = [name for item in skipped for name in table.names if item.reason == NO_NUMBERS.format(name)]
        skipped += count_unused(entry, table, {*used, *selected, *counted})
    return _select_locations(entry, columns, table.rows, skipped)


def choose_whole_sums(entry: Entry, columns: list[ValueColumn], rows: int, skipped: list[Skipped]) -> list[ValueColumn]:
    """Returns `columns` without those of sums that lack a column of one of the patterns that `summed` names, although
    they have one of another; the cells of these are added to `skipped`. Raises `FormatError` if no column remains."""
    sums = entry.summed
    if sums is None or sums.column is not None or not sums.parts:
        return columns
    names: dict[tuple[str | None, str], list[str]] = {}
    for value in columns:
        names.setdefault((value.location, value.variable), []).append(value.column)
    broken: dict[tuple[str | None, str], str] = {}
    for series, parts in names.items():
        patterns = {pattern for name in parts for pattern in sums.parts if fnmatch.fnmatchcase(name.strip(), pattern)}
        is_plain = len(parts) > len(patterns)  # one of them is whole by itself, such as Natural Gas beside Gas Self
        lacking = [pattern for pattern in sums.parts if pattern not in patterns]
        if patterns and lacking and not is_plain:
            broken[series] = f"{series[1]}: {', '.join(parts)} without {', '.join(lacking)}"
    if broken:
        count = rows * sum(len(names[series]) for series in broken)
        skipped.append(Skipped(FEWER_COLUMNS, count, next(iter(broken.values()))))
    if len(broken) == len(names):
        raise FormatError(entry.name, f"{FEWER_COLUMNS}: {next(iter(broken.values()))}", 'Correct "summed"')
    return [value for value in columns if (value.location, value.variable) not in broken]


def _select_locations(entry: Entry, columns: list[ValueColumn], rows: int, skipped: list[Skipped]) -> list[ValueColumn]:
    """Returns the value columns of the locations that the entry names, if the header names locations."""
    selected = [value for value in columns if value.location is None or value.location in entry.locations]
    if not entry.locations or len(selected) == len(columns):
        return columns
    if not selected:
        refuse_absent_locations(entry, [str(value.location) for value in columns])
    left_out = next(value for value in columns if value not in selected)
    reason, count = "columns of locations that the entry does not name", (len(columns) - len(selected)) * rows
    skipped.append(Skipped(reason, count, left_out.column, expected=True))
    return selected


def _name_value_column(entry: Entry, column: str) -> ValueColumn:
    series = entry.value.get(column)
    unit = (series and series.unit) or entry.unit
    if entry.melt is not None and entry.melt.into == "location" and not entry.value:
        location = rename_location(entry, _strip_path(column, entry.melt.columns))
        return ValueColumn(column, entry.melt.variable, unit, location)
    variable_name = series.variable if series else None
    return ValueColumn(column, variable_name or rename(entry.names, column, spell_variable), unit)


def _strip_path(column: str, patterns: Sequence[str]) -> str:
    """Returns the name of `column` without the path in a pattern such as `areas.*`."""
    paths = [pattern[:-1] for pattern in patterns if pattern.endswith(".*") and fnmatch.fnmatchcase(column, pattern)]
    return column.removeprefix(paths[0] if paths else "").strip()


def _refuse_collisions(entry: Entry, columns: Sequence[ValueColumn]) -> None:
    """Raises if two columns become one series, unless they are added up; the fix names them all."""
    if entry.sums_columns:
        return
    series = [(value.location, value.variable) for value in columns]
    repeated = next((name for name in series if series.count(name) > 1), None)
    if repeated is not None:
        colliding = [value.column for value, name in zip(columns, series, strict=True) if name == repeated]
        names: dict[str, str] = {}
        for value, name in zip(columns, series, strict=True):
            number = series[: len(names) + 1].count(name)
            names[value.column] = f"{value.variable}_{number}" if series.count(name) > 1 else value.variable
        raise FormatError(
            entry.name,
            f"the columns {colliding[0]!r} and {colliding[1]!r} would both be the variable {repeated[1]}",
            f'Give each a name of its own: "value": {json.dumps(names, ensure_ascii=False)}',
        )


def _check_present(entry: Entry, table: CellTable, columns: Iterable[str], key: str) -> None:
    missing = [column for column in columns if column not in table.names]
    if missing:
        happened = f"no record has a column {', '.join(missing)}; the columns are: {', '.join(table.names)}"
        fix = _propose_columns(entry, table, missing) if key == "value" else propose_labels(table, key, list(columns))
        raise FormatError(entry.name, happened, fix or f'Correct "{key}"')


def _propose_columns(entry: Entry, table: CellTable, missing: Sequence[str]) -> str:
    """Returns the fix for columns of values that are called otherwise, each by the column whose name is nearest, with
    the next ones; empty if a name is near to none."""
    nearest = {name: find_nearest_names(name, [own for own in table.own if own not in entry.value]) for name in missing}
    if not all(nearest.values()):
        return ""
    further_names = [own for names in nearest.values() for own in names[1:]]
    further = f"; other columns with a name like it: {', '.join(map(repr, further_names))}" if further_names else ""
    renamed = {(nearest[name][0] if name in nearest else name): series for name, series in entry.value.items()}
    values = {
        name: series.variable or spell_variable(old)
        for (name, series), old in zip(renamed.items(), entry.value, strict=True)
    }
    if len(values) < len(entry.value):
        return ""
    return f'If they were renamed, say what they are: "value": {json.dumps(values, ensure_ascii=False)}{further}'


def propose_labels(table: CellTable, key: str, columns: Sequence[str]) -> str:
    """Returns the fix for the `columns` of `key` of which some are called otherwise; empty if a name is near to
    none."""
    nearest = {name: find_nearest_names(name, table.own) for name in columns if name not in table.names}
    if not all(nearest.values()):
        return ""
    renamed = [nearest[name][0] if name in nearest else name for name in columns]
    written = json.dumps(renamed if len(renamed) > 1 else renamed[0], ensure_ascii=False)
    return f'If it was renamed, say how it is called: "{key}": {written}'


NAMES_PROPOSED = 3
"""How many columns with a name like a missing one a message names."""

LIKENESS = 0.6
"""How alike two names are at least, by `difflib`, that share no word."""


def find_nearest_names(name: str, candidates: Sequence[str]) -> list[str]:
    """Returns those of `candidates` that are like `name`, the most alike first: they share words, or most letters."""
    words = set(_split_words(name))

    def rank(candidate: str) -> tuple[int, float]:
        ratio = difflib.SequenceMatcher(None, name.lower(), candidate.lower()).ratio()
        return len(words.intersection(_split_words(candidate))), ratio

    ranks = {candidate: rank(candidate) for candidate in candidates}
    alike = [candidate for candidate, (shared, ratio) in ranks.items() if shared or ratio >= LIKENESS]
    return sorted(alike, key=lambda candidate: ranks[candidate], reverse=True)[:NAMES_PROPOSED]


def _split_words(name: str) -> list[str]:
    """Returns the words of a name, in lower case, also of `SystemLoad`, without its unit."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", re.sub(r"[(\[].*?[)\]]", "", name))
    return re.findall(r"[^\W\d]{3,}", spaced.lower())


def _find_numeric_columns(entry: Entry, table: CellTable, used: set[str], skipped: list[Skipped]) -> list[str]:
    """Returns the only column of numbers, or, with `melt`, all of those that its patterns match."""
    columns = [column for column in table.own if column not in used and not is_ignored(entry, column)]
    if entry.melt is not None:
        columns = [name for name in columns if _is_melted(name, entry.melt.columns)]
    is_large = table.rows * len(columns) > CELLS_IN_ONE
    judgements = _judge(entry, table, columns, CELLS_JUDGED if is_large else None)
    if is_large:  # a column that begins with only numbers is taken for numbers
        mixed = [column for column, judgement in judgements.items() if judgement.texts or not judgement.numbers]
        judgements |= _judge(entry, table, mixed)
    numeric = [column for column, judgement in judgements.items() if judgement.numbers > judgement.texts]
    if not numeric:
        raise FormatError(
            entry.name, f"none of {', '.join(columns) or 'the columns'} holds numbers", 'Name the columns with "value"'
        )
    _refuse_collisions(entry, [_name_value_column(entry, column) for column in numeric])
    if entry.melt is None and NO_SERIES.search(numeric[0]) and len(numeric) == 1:
        raise FormatError(
            entry.name,
            f"only {numeric[0]} holds numbers, which by its name are no series",
            f'If they are, name it: "value": {json.dumps(numeric[0], ensure_ascii=False)}',
        )
    if len(numeric) > 1 and entry.melt is None:
        raise FormatError(
            entry.name,
            f"several columns hold numbers: {', '.join(numeric)}; ids, coordinates and codes are no series",
            _describe_choice(numeric),
        )
    skipped += [
        Skipped(
            NO_NUMBERS.format(column),
            judgement.cells,
            f"{judgement.place}: {judgement.example[:60]!r}",
            expected=not judgement.numbers and not _is_named(entry, column),
        )
        for column, judgement in judgements.items()
        if judgement.texts and column not in numeric
    ]
    return numeric


def _is_named(entry: Entry, column: str) -> bool:
    """Whether the entry has a name for the series of `column`, which then should hold numbers."""
    return any(find_spelling(column, list(names)) for names in (entry.location_names, entry.names))


def _is_melted(name: str, patterns: Sequence[str]) -> bool:
    """Whether a column has the name of one of `patterns`, and of none that begins with an exclamation mark."""
    excluded = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns if not pattern.startswith("!")) and not any(
        fnmatch.fnmatchcase(name, pattern) for pattern in excluded
    )


def _describe_choice(numeric: Sequence[str]) -> str:
    """Describes how to select the series among the `numeric` columns."""
    hours = [re.fullmatch(r"(.*?)(\d{1,2})(\D*)", column) for column in numeric]
    shapes = {(match[1], match[3]) for match in hours if match}
    if len(numeric) >= 20 and len(shapes) == 1:
        ((prefix, suffix),) = shapes
        numbers = {int(match[2]): match[2] for match in hours if match}
        padding = ":02" if any(text.startswith("0") for text in numbers.values()) else ""
        hours_setting = {"columns": f"{prefix}{{hour{padding}}}{suffix}", "label": "start" if 0 in numbers else "end"}
        hours_setting |= {"repeated": f"{prefix}25{suffix}"} if 25 in numbers else {}
        return f'If they are the hours of a day, add "hours": {json.dumps(hours_setting, ensure_ascii=False)}'
    if day_format := guess_day_format(numeric):
        return f'If they are days, and each row is an hour of them, add "days": "{day_format}"'
    ids = [column for column in numeric if NO_SERIES.search(column)]
    flags = [column for column in numeric if FLAG_NAMES.search(column)]
    series = [column for column in numeric if column not in {*ids, *flags}] or list(numeric)
    flags = [column for column in flags if column not in series]
    places = [column for column in ids if column not in series and re.search(r"(?i)id$|code$", column)]
    location = f', "location": {json.dumps(places[0], ensure_ascii=False)}' if len(places) == 1 else ""
    ignored = f', "ignore": {json.dumps(flags, ensure_ascii=False)}' if flags else ""
    return f'Name those that are: "value": {json.dumps(series, ensure_ascii=False)}{location}{ignored}'


@dataclass
class _Judgement:
    """The content of a column: the number of its cells, of numbers and of other texts, and the first of those with its
    position."""

    cells: int = 0
    numbers: int = 0
    texts: int = 0
    example: str = ""
    place: str = ""


def _judge(
    entry: Entry, table: CellTable, columns: Sequence[str], most_cells: int | None = None
) -> dict[str, _Judgement]:
    """Returns the content of each of `columns`, in all of its cells or in about the first `most_cells` of all columns.
    Raises `FormatError` if one has numbers in another style."""
    judgements = {column: _Judgement() for column in columns}
    offset = 0
    for piece in table.pieces(columns, entry.numbers):
        for column, cells in piece.items():
            judgement = judgements[column]
            judgement.cells += len(cells) - cells.null_count
            numbers_read = read_numbers(cells, entry.numbers)
            is_word = _find_words(cells) if judgement.numbers == 0 else None
            numbers = ~np.isnan(numbers_read.values) & ~numbers_read.unread
            judgement.numbers += int(numbers.sum()) - (int((numbers & is_word).sum()) if is_word is not None else 0)
            text_rows = np.flatnonzero(numbers_read.unread | (is_word if is_word is not None else False))
            if len(text_rows):
                refuse_other_style(
                    entry,
                    table,
                    column,
                    [cells[int(row)].as_py() for row in text_rows[:1000]],
                    offset + int(text_rows[0]),
                )
                if not judgement.texts:
                    judgement.example = cells[int(text_rows[0])].as_py()
                    judgement.place = table.place(offset + int(text_rows[0]))
                judgement.texts += len(text_rows)
        offset += len(next(iter(piece.values())))
        if most_cells is not None and offset * len(columns) >= most_cells:
            break
    return judgements


def _find_words(cells: CellColumn) -> np.ndarray:
    """Returns which cells (rows,) are true or false, which are numbers only in columns that the entry names."""
    if pa.types.is_floating(cells.type):
        return np.broadcast_to(False, len(cells))
    text_codes, distinct_texts = factorize(cells)
    are_words = np.array([(text or "").strip().lower() in TRUTH_WORDS for text in distinct_texts], bool)
    return np.take(are_words, text_codes)


def refuse_other_style(entry: Entry, table: CellTable, column: str, texts: Sequence[str], row: int) -> None:
    """Raises if all the `texts` of `column` that look like numbers would be numbers in another style; the first text is
    in `row`."""
    numeric = {text for text in texts if looks_numeric([text])}
    styles = find_other_styles(numeric, entry.numbers)
    if not styles:
        return
    keys = [", ".join(f"{json.dumps(key)}: {json.dumps(mark)}" for key, mark in style.items()) for style in styles]
    example = next(text for text in texts if text in numeric)
    raise FormatError(
        entry.name,
        f"value: {column} holds {example!r:.80}, which is not a number in the style of the entry, "
        f"in {table.place(row)}",
        f"Add {' or '.join(keys)}",
    )


def refuse_unclear_marks(entry: Entry, table: CellTable, columns: Sequence[str], used: Iterable[str]) -> None:
    """Raises if all decimals of one of `columns` may as well be thousands, as 1.204, and the table seems to write
    decimals with the other mark: another column does, or a semicolon separates its fields and no cell shows which mark
    is which. An entry with `thousands` says what its marks are, and so does a preset; one
    with `decimal` says it of a table without such another column."""
    if entry.numbers.thousands is not None or entry.product is not None:
        return
    mark = entry.numbers.decimal_mark
    other_mark = {".": ",", ",": "."}.get(mark, mark)
    other_names = [name for name in table.own if name not in {*used, *columns} and not is_ignored(entry, name)]
    beginning = table.read_first([*other_names, *columns])
    decimals = re.compile(rf"[+-]?\d+{re.escape(other_mark)}(?:\d{{1,2}}|\d{{4,}})")
    witness = next(((name, text) for name in other_names if (text := _find_match(beginning[name], decimals))), None)
    groups = re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:{re.escape(mark)}\d{{3}})+")
    sure = re.compile(rf"[+-]?(?!{groups.pattern}$)\d*{re.escape(mark)}\d+")
    ignored_names = [name for name in table.own if is_ignored(entry, name)]
    is_decimal = any(_find_match(column, decimals) for column in table.read_first(ignored_names).values())
    is_unclear = table.delimiter == ";" and entry.numbers.decimal is None and not is_decimal
    if witness is None and (not is_unclear or any(_find_match(column, sure) for column in beginning.values())):
        return
    for name in columns:
        texts = [text for text in factorize(table.read([name])[name])[1] if text and mark in text]
        if not texts or not all(groups.fullmatch(text.strip()) for text in texts):
            continue
        marks = f'"decimal": {json.dumps(other_mark)}, "thousands": {json.dumps(mark)}'
        happened = f"value: {name} holds {texts[0]!r:.40}, which is a number of thousands or has decimals"
        if witness is None:
            happened = f"{happened}, in a CSV with semicolons"
            raise FormatError(entry.name, happened, f'If they are thousands, add {marks}; or, if not, "decimal": "."')
        ignored = json.dumps([*entry.ignore, witness[0]], ensure_ascii=False)
        fix = f'If they are thousands, add {marks}; or, if they are decimals, "ignore": {ignored}'
        raise FormatError(entry.name, f"{happened}; {witness[0]} holds {witness[1]!r:.40}", fix)


def _find_match(column: CellColumn, pattern: re.Pattern[str]) -> str:
    """Returns the first distinct text of `column` (rows,) that is of `pattern`, empty if there is none."""
    if pa.types.is_floating(column.type):
        return ""
    return next((text for text in factorize(column)[1] if text and pattern.fullmatch(text.strip())), "")


NamedTexts = dict[tuple[str, ...], str]
"""The text of the answer that a name stands for, by what is named and the name; of all tables of the answer."""


def read_locations(entry: Entry, table: CellTable, blank: np.ndarray, named: NamedTexts) -> RowLabels:
    """Returns the location of each record: from the columns that `location` names, or else `location` itself, or else
    the entry's name, even if a column has that name; `blank` (rows,) need none. Its names are added to `named`."""
    location_setting = entry.location if entry.location is not None else entry.name
    if isinstance(location_setting, str) and (entry.location is None or location_setting not in table.names):
        return RowLabels(np.zeros(table.rows, np.int32), [location_setting])
    columns = [location_setting] if isinstance(location_setting, str) else list(location_setting)
    _check_locations(entry, table, columns)

    def spell(text: str) -> str:
        return rename_location(entry, text.strip())

    return _read_labels(entry, table, columns, blank, "location", spell if entry.location_names else None, named)


def _check_locations(entry: Entry, table: CellTable, columns: Sequence[str]) -> None:
    missing = [column for column in columns if column not in table.names]
    if missing and table.rows:
        raise ConfigurationError(
            entry.name,
            f"location: is a list, but no record has a column {', '.join(missing)}, only {', '.join(table.names)}",
            "Give one location, or the columns that hold them",
        )


def read_variables(entry: Entry, table: CellTable, blank: np.ndarray, named: NamedTexts) -> RowLabels | None:
    """Returns the variable of each record if a column names it. Its names are added to `named`."""
    if entry.variable is None or not table.rows:
        return None
    columns = list_columns(entry.variable)
    _check_present(entry, table, columns, "variable")

    def spell(text: str) -> str:
        return rename(entry.names, text.strip(), spell_variable)

    return _read_labels(entry, table, columns, blank, "variable", spell, named)


def list_columns(names: str | Sequence[str] | None) -> list[str]:
    """Returns the columns that a key names, which may be one or several."""
    return [names] if isinstance(names, str) else list(names or ())


def _read_labels(
    entry: Entry,
    table: CellTable,
    columns: Sequence[str],
    blank: np.ndarray,
    noun: str,
    spell: Callable[[str], str] | None,
    named: NamedTexts,
) -> RowLabels:
    """Returns the names that `columns` give to each record, the texts themselves without `spell`; raises if one gives
    none, or two names become the same."""
    cells = table.read(columns)
    codes = np.zeros(table.rows, np.int64)
    texts: list[str] = [""]
    is_empty = ~blank
    for index, column in enumerate(columns):
        column_codes, distinct_words = factorize(cells[column])
        is_empty &= np.array([not (word or "").strip() for word in distinct_words], bool)[column_codes]
        combined = codes * len(distinct_words) + column_codes
        if not index:  # whose codes need no sorting
            codes, texts = combined, [(word or "").strip() for word in distinct_words]
            continue
        distinct_codes, codes = np.unique(combined, return_inverse=True)
        texts = [
            f"{texts[prefix]} {(distinct_words[suffix] or '').strip()}"
            for prefix, suffix in (divmod(code, len(distinct_words)) for code in distinct_codes.tolist())
        ]
    if is_empty.any() and (entry.product is None or is_empty[~blank].all()):
        position = table.place(int(np.flatnonzero(is_empty)[0]))
        raise FormatError(entry.name, f"{position} has no {noun} in {' or '.join(columns)}", f'Correct "{noun}"')
    if spell is None and len(columns) == 1:
        return RowLabels(codes, texts, texts)
    names = [spell(text) if spell and text.strip() else text.strip() for text in texts]
    for name, text in zip(names, texts, strict=True):
        if name and named.setdefault((noun, name), text.strip()) != text.strip():
            raise FormatError(
                entry.name,
                f"{noun}: {named[noun, name]!r} and {text!r} of {', '.join(columns)} would both be {name}",
                f'Name another column with "{noun}"',
            )
    return RowLabels(codes, names, texts)


def refuse_merged_labels(entry: Entry, places: RowLabels, variable_labels: RowLabels | None, named: NamedTexts) -> None:
    """Raises if two texts of a label become one name, as of `FR` in either of two columns, and nothing else tells
    their series apart. The names of series are added to `named`."""
    if variable_labels is None and places.names is places.texts:  # the texts themselves
        return
    pairs = [(place, place) for place in range(len(places.names))]
    if variable_labels is not None:
        codes = places.codes.astype(np.int64) * len(variable_labels.names) + variable_labels.codes
        pairs = [divmod(code, len(variable_labels.names)) for code in np.unique(codes).tolist()]
    for place, variable in pairs:
        series = (places.names[place], variable_labels.names[variable] if variable_labels else "")
        texts = (
            variable_labels.texts[variable] if variable_labels and variable_labels.texts else "",
            places.texts[place] if places.texts else "",
        )
        written = " of ".join(filter(None, texts))
        earlier = named.setdefault(("series", *series), written)
        if earlier != written and series[0]:
            happened = f"labels: {earlier!r} and {written!r} would both be {'/'.join(filter(None, series))}"
            raise FormatError(entry.name, happened, 'Name another column with "variable" or "location"')


def is_nothing(text: str | None) -> bool:
    """Whether a cell has no content."""
    return text is None or text.strip().lower() in NO_VALUE
