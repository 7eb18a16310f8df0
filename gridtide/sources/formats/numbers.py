"""Numbers as upstreams write them, told apart from nothing and from what is no number."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gridtide.entries.table_layout import NumberStyle
from gridtide.observations.arrays import from_numpy, not_null, repeat_number, to_numpy
from gridtide.sources.formats.cells import CellColumn, factorised, string_array

NO_VALUE = frozenset(
    {
        *(
            "",
            "-",
            "--",
            "---",
            "na",
            "n/a",
            "#n/a",
            "#na",
            "n.a.",
            "n/e",
            "n.e.",
            "nan",
            "-nan",
            "null",
            "none",
            "nil",
        ),
        *("*", "**", "…", "...", "–", "—", ".", "inf", "-inf", "+inf", "infinity", "-infinity", "+infinity", "∞", "-∞"),
    }
)
"""Texts, in small letters, that are a reported null."""

TRUTH_WORDS = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class ReadNumbers:
    """A column of cells read as numbers: `values` (rows,) with NaN for nulls, `absent` (rows,) cells that there are
    not, and `unread` (rows,) cells that hold no number. `complete` says that no cell is absent or unread."""

    values: np.ndarray
    absent: np.ndarray
    unread: np.ndarray
    complete: bool


def read_numbers(column: CellColumn, written: NumberStyle) -> ReadNumbers:
    """`column` (rows,) as numbers, as `written` says; a text of `NO_VALUE` or of its `nulls` is a null.

    A column of numbers is one that was read already.
    """
    none_of_them = repeat_number(0, len(column), "?")
    if pa.types.is_floating(column.type):
        return ReadNumbers(_values(column), none_of_them, none_of_them, complete=True)
    plain = plain_numbers(column, written)
    absent = ~not_null(column) if column.null_count else none_of_them
    if plain is not None:
        return ReadNumbers(_values(plain), absent, none_of_them, complete=not column.null_count)
    values, unread = np.full(len(column), np.nan), np.zeros(len(column), bool)
    rows = np.flatnonzero(_match_numbers(column, written) & ~absent)
    most = plain_numbers(_take(column, rows), written) if len(rows) else None
    remaining = np.ones(len(column), bool)
    if most is not None:
        values[rows] = _values(most)
        remaining[rows] = False
    rows = np.flatnonzero(remaining)
    codes, texts = factorised(_take(column, rows))
    numbers = [_number(text, written) for text in texts]
    values[rows] = np.array([np.nan if number is None else number for number in numbers], np.float64)[codes]
    unread[rows] = np.array([number is None for number in numbers], bool)[codes]
    unread &= ~absent
    return ReadNumbers(values, absent, unread, complete=not (absent.any() or unread.any()))


def _take(column: pa.StringArray, rows: np.ndarray) -> pa.StringArray:
    return column.take(from_numpy(rows, pa.int64()))


def _values(numbers: pa.DoubleArray) -> np.ndarray:
    """`numbers` (rows,), NaN for a null."""
    values = to_numpy(numbers, "f8")
    return np.where(not_null(numbers), values, np.nan) if numbers.null_count else values


def _match_numbers(column: pa.StringArray, written: NumberStyle) -> np.ndarray:
    """Which cells of `column` (rows,) are numbers as `written` says; of absent cells it is undefined."""
    matches = pc.match_substring_regex(column, f"^(?:{_pattern(written.decimal, written.thousands)})$")
    return to_numpy(matches.cast(pa.uint8()), "u1").astype(bool)


@cache
def null_texts(written: NumberStyle) -> list[str]:
    """The texts that are nulls: those of `NO_VALUE` in their usual cases, and those that the entry names."""
    spellings = {spelling for text in NO_VALUE for spelling in (text, text.upper(), text.capitalize())}
    return sorted(spellings | {str(mark) for mark in written.nulls})


def plain_numbers(column: CellColumn, written: NumberStyle) -> pa.DoubleArray | None:
    """`column` (rows,), of texts or numbers, as numbers with a null for each cell that holds nothing; None where a
    text is neither, or more than that has to be known of it."""
    if pa.types.is_floating(column.type):
        return _without_null_numbers(column, written)
    attempts = [null_texts(written)] if written.nulls else [[""], null_texts(written)]
    for nulls in attempts:
        texts = pc.if_else(pc.is_in(column, value_set=string_array(nulls)), None, column)
        bare = _in_plain_style(texts, written)
        if bare is None:
            continue
        try:
            numbers = bare.cast(pa.float64())
        except pa.ArrowInvalid:
            continue
        if not has_infinite(numbers):
            return _without_null_numbers(numbers, written)
    return None


def has_infinite(numbers: pa.DoubleArray) -> bool:
    """Whether one of `numbers` is too large to be finite."""
    return bool(np.isinf(to_numpy(numbers, "f8")).any())


def _without_null_numbers(numbers: pa.DoubleArray, written: NumberStyle) -> pa.DoubleArray:
    marks = [float(mark) for mark in written.nulls if not isinstance(mark, str)]
    if not marks:
        return numbers
    return pc.if_else(pc.is_in(numbers, value_set=from_numpy(np.array(marks), pa.float64())), None, numbers)


def _in_plain_style(texts: pa.StringArray, written: NumberStyle) -> pa.StringArray | None:
    """`texts` (rows,) with a point before decimals and no marks between thousands; None where a mark stands where it
    does not belong."""
    bare = texts
    if written.thousands is not None and bool(pc.any(pc.match_substring(texts, written.thousands)).as_py()):
        if not (_match_numbers(texts, written) | ~not_null(texts)).all():
            return None
        bare = pc.replace_substring(texts, written.thousands, "")
    if written.decimal != ".":
        if bool(pc.any(pc.match_substring(bare, ".")).as_py()):
            return None
        bare = pc.replace_substring(bare, written.decimal, ".")
    return bare


def without_group_marks(rows: bytes, mark: int, edges: bytes, quote: int | None) -> np.ndarray:
    """`rows`, the text of several cells, without each `mark` that stands between groups of three digits, as bytes.

    `edges` are what cells begin behind. Where `quote` is one, marks and edges count only where an odd number of quotes
    stands before them. A mark that stands elsewhere stays, so that its cell is no number.

        "-1,204,500.5"       before a mark: one to three digits, and before those the edge, a sign, or three and a mark
           ^   ^             after it: three digits, and then no digit
    """
    margin = 4
    data = np.full(len(rows) + 2 * margin, ord("\n"), np.uint8)
    data[margin:-margin] = np.frombuffer(rows, np.uint8)

    def at(places: np.ndarray, step: int) -> np.ndarray:
        return places[margin + step : len(places) - margin + step]

    is_digit = (data - ord("0")) < 10  # smaller bytes wrap around
    is_mark = data == mark
    if quote is not None:
        is_mark &= (np.cumsum(data == quote, dtype=np.uint8) & 1).astype(bool)
    is_edge = np.logical_or.reduce([data == edge for edge in edges])
    signs = (data == ord("+")) | (data == ord("-"))
    signs[1:] &= is_edge[:-1]
    is_edge |= signs
    before = at(is_digit, -1) & (
        at(is_edge, -2) | at(is_digit, -2) & (at(is_edge, -3) | at(is_digit, -3) & (at(is_edge, -4) | at(is_mark, -4)))
    )
    after = at(is_digit, 1) & at(is_digit, 2) & at(is_digit, 3) & ~at(is_digit, 4)
    remaining: np.ndarray = data[margin:-margin][~(at(is_mark, 0) & before & after)]
    return remaining


def _number(text: str | None, written: NumberStyle) -> float | None:
    """The number in `text`, NaN for a null or an absent cell, None where it holds none."""
    if text is None:
        return np.nan
    bare = text.strip().replace("\u2212", "-")
    if bare.lower() in NO_VALUE or _is_null(bare, written):
        return np.nan
    if bare.lower() in TRUTH_WORDS:
        return TRUTH_WORDS[bare.lower()]
    return parse_number(bare, written.decimal, written.thousands)


def _is_null(text: str, written: NumberStyle) -> bool:
    """Whether `text` is one of the nulls that the entry names, numbers being compared as numbers."""
    for mark in written.nulls:
        if str(mark) == text:
            return True
        number = parse_number(text, written.decimal, written.thousands)
        if number is not None and not isinstance(mark, str) and number == mark:
            return True
    return False


def _pattern(decimal: str, thousands: str | None) -> str:
    """A number as a regular expression."""
    whole = r"\d+" if thousands is None else rf"(?:\d{{1,3}}(?:{re.escape(thousands)}\d{{3}})+|\d+)"
    point = re.escape(decimal)
    return rf"[+-]?(?:{whole}(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?"


def parse_number(text: str, decimal: str = ".", thousands: str | None = None) -> float | None:
    """The finite number that `text` is, with groups of three digits between `thousands`, or None.

    >>> parse_number("1.104,25", ",", "."), parse_number("1,2", ".", ","), parse_number("2,31E+3", ",")
    (1104.25, None, 2310.0)
    """
    if not re.fullmatch(_pattern(decimal, thousands), text, re.ASCII):
        return None
    plain = text.replace(thousands, "") if thousands is not None else text
    number = float(plain.replace(decimal, "."))
    return number if np.isfinite(number) else None


NUMBER_STYLES = (
    *((",", None), (".", ","), (",", "."), (".", " "), (",", " "), (".", "\u00a0"), (",", "\u00a0")),
    *((".", "\u202f"), (",", "\u202f"), (".", "'"), (".", None)),
)
"""How numbers are written: before their decimals, and between groups of three digits."""


def other_styles(texts: Collection[str], written: NumberStyle) -> list[dict[str, str | None]]:
    """The keys, as few as will do, under which all of `texts`, no numbers as `written` says, would be numbers.

    >>> plain = NumberStyle()
    >>> other_styles({"1,204.5", "1,187.0"}, plain), other_styles({"85,12"}, plain), other_styles({"1.104,25"}, plain)
    ([{'thousands': ','}], [{'decimal': ','}], [{'decimal': ',', 'thousands': '.'}])
    >>> other_styles({"ERR"}, plain)
    []
    """
    bare = {text.strip() for text in texts}
    styles: list[dict[str, str | None]] = []
    for decimal, thousands in NUMBER_STYLES:
        if bare and all(parse_number(text, decimal, thousands) is not None for text in bare):
            style = {"decimal": decimal, "thousands": thousands}
            styles.append({key: mark for key, mark in style.items() if mark != getattr(written, key)})
    fewest = min(map(len, styles), default=0)
    return [style for style in styles if len(style) == fewest and style]


def looks_numeric(texts: Iterable[str]) -> bool:
    """Whether all of `texts` are made of digits and marks alone, as numbers of an unknown style are."""
    bare = [text.strip() for text in texts]
    return bool(bare) and all(re.fullmatch(r"[+-]?[\d.,' \u00a0\u202f]*\d[\d.,' \u00a0\u202f]*", text) for text in bare)
