"""What an entry selects of a table: columns by alternative names, and records by their texts, places and times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from gridtide.errors import FormatError
from gridtide.sources.formats.cells import CellTable, factorize, find_spelling

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
    changed["summed"] = choose(entry.summed) if isinstance(entry.summed, str) else entry.summed
    changed["value"] = {choose(column): series for column, series in entry.value.items() if choose(column)}
    if entry.value and not changed["value"] and entry.melt is None:
        raise FormatError(entry.name, f"none of {', '.join(entry.value)} is a column; there are: {', '.join(names)}")
    changed["location"] = changed["location"] or None
    changed["where"] = {choose(column): texts for column, texts in entry.where.items()}
    return msgspec.structs.replace(entry, **changed)


def find_unselected(
    entry: Entry, table: CellTable, location_codes: np.ndarray, location_names: Sequence[str] | None
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the records (rows,) that the entry does not select, each time with the reason. `location_names` are None
    if records have no locations, because the header names them.

    Raises `FormatError` if it names locations and no record is of one of them.
    """
    for column, texts in entry.where.items():
        if column in table.names:
            yield f"records with another {column} than {' or '.join(texts)}", ~_hold(table, column, texts)
    if entry.locations and location_names is not None:
        is_selected = np.array([name in entry.locations for name in location_names], bool)
        if len(location_names) and not is_selected.any():
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
    in its name for these as they are spelled.

    >>> rename({"Gas": "natural_gas", "* MW": "generation_*"}, "Wind MW", str.lower)
    'generation_wind'
    """
    if text in names:
        return names[text]
    for pattern, name in names.items():
        before, star, behind = pattern.partition("*")
        if star and len(text) >= len(pattern) - 1 and text.startswith(before) and text.endswith(behind):
            return name.replace("*", spell(text[len(before) : len(text) - len(behind)]))
    return spell(text)
