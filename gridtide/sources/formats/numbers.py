"""Numbers as upstreams write them, distinguished from absent values and from other texts."""

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
from gridtide.sources.formats.cells import CellColumn, build_strings, factorize

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
"""Texts, in lower case, that mean a reported null."""

TRUTH_WORDS = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class ReadNumbers:
    """A column of cells read as numbers: `values` (rows,) with NaN for nulls, `absent` (rows,) for missing cells, and
    `unread` (rows,) for cells without a number. `complete` means that no cell is absent or unread. `truths` (rows,) are
    cells with true or false, which are 1 and 0; None if there are none."""

    values: np.ndarray
    absent: np.ndarray
    unread: np.ndarray
    complete: bool
    truths: np.ndarray | None = None


def read_numbers(column: CellColumn, number_style: NumberStyle) -> ReadNumbers:
    """Reads `column` (rows,) as numbers in the style `number_style`; a text in `NO_VALUE` or in its `nulls` is a null.

    A column of numbers has been read already.
    """
    no_rows = repeat_number(0, len(column), "?")
    if pa.types.is_floating(column.type):
        return ReadNumbers(_to_floats(column), no_rows, no_rows, complete=True)
    numbers_or_none = parse_plain_numbers(column, number_style)
    absent = ~not_null(column) if column.null_count else no_rows
    if numbers_or_none is not None:
        return ReadNumbers(_to_floats(numbers_or_none), absent, no_rows, complete=not column.null_count)
    values, unread = np.full(len(column), np.nan), np.zeros(len(column), bool)
    rows = np.flatnonzero(_match_numbers(column, number_style) & ~absent)
    numbers_in_style = parse_plain_numbers(_take(column, rows), number_style) if len(rows) else None
    is_remaining = np.ones(len(column), bool)
    if numbers_in_style is not None:
        values[rows] = _to_floats(numbers_in_style)
        is_remaining[rows] = False
    rows = np.flatnonzero(is_remaining)
    text_codes, distinct_texts = factorize(_take(column, rows))
    numbers = [_read_number(text, number_style) for text in distinct_texts]
    values[rows] = np.array([np.nan if number is None else number for number in numbers], np.float64)[text_codes]
    unread[rows] = np.array([number is None for number in numbers], bool)[text_codes]
    unread &= ~absent
    are_truths = np.array([(text or "").strip().lower() in TRUTH_WORDS for text in distinct_texts], bool)
    truths = None
    if are_truths.any():
        truths = np.zeros(len(column), bool)
        truths[rows] = are_truths[text_codes]
    return ReadNumbers(values, absent, unread, not (absent.any() or unread.any()), truths)


def drop_mixed_truths(cells: ReadNumbers) -> ReadNumbers:
    """Returns `cells` without true and false if they hold numbers too: only in a column of flags these are 1 and 0."""
    if cells.truths is None or not (~(cells.unread | np.isnan(cells.values)) & ~cells.truths).any():
        return cells
    values = np.where(cells.truths, np.nan, cells.values)
    return ReadNumbers(values, cells.absent, cells.unread | cells.truths, complete=False)


def _take(column: pa.StringArray, rows: np.ndarray) -> pa.StringArray:
    return column.take(from_numpy(rows, pa.int64()))


def _to_floats(numbers: pa.DoubleArray) -> np.ndarray:
    """Returns `numbers` (rows,) with NaN for nulls."""
    values = to_numpy(numbers, "f8")
    return np.where(not_null(numbers), values, np.nan) if numbers.null_count else values


def _match_numbers(column: pa.StringArray, number_style: NumberStyle) -> np.ndarray:
    """Returns which cells of `column` (rows,) are numbers in the style `number_style`; undefined for absent cells."""
    matches = pc.match_substring_regex(
        column, f"^(?:{_number_pattern(number_style.decimal_mark, number_style.thousands)})$"
    )
    return to_numpy(matches.cast(pa.uint8()), "u1").astype(bool)


@cache
def list_null_texts(number_style: NumberStyle) -> list[str]:
    """Returns the texts that mean a null: those of `NO_VALUE` in their usual cases, and those of the entry."""
    spellings = {spelling for text in NO_VALUE for spelling in (text, text.upper(), text.capitalize())}
    return sorted(spellings | {str(mark) for mark in number_style.nulls})


def parse_plain_numbers(column: CellColumn, number_style: NumberStyle) -> pa.DoubleArray | None:
    """Returns `column` (rows,), of texts or numbers, as numbers with a null for each cell without content; None if any
    text is neither, or needs a closer look."""
    if pa.types.is_floating(column.type):
        return _drop_null_numbers(column, number_style)
    for pattern, replacement in _list_rewritings(number_style):
        column = pc.replace_substring_regex(column, pattern, replacement)
    attempts = [list_null_texts(number_style)] if number_style.nulls else [[""], list_null_texts(number_style)]
    for nulls in attempts:
        texts = pc.if_else(pc.is_in(column, value_set=build_strings(nulls)), None, column)
        plain_texts = _rewrite_plainly(texts, number_style)
        if plain_texts is None:
            continue
        try:
            numbers = plain_texts.cast(pa.float64())
        except pa.ArrowInvalid:
            continue
        if not has_infinite(numbers):
            return _drop_null_numbers(numbers, number_style)
    return None


IN_PARENTHESES = r"^\s*\(\s*([^()+-]+?)\s*\)\s*$"
"""A number in parentheses, which accountants write for a negative one."""


def _list_rewritings(number_style: NumberStyle) -> list[tuple[str, str]]:
    """Returns patterns and what they are replaced by, one after another, so that a text is a plain number. A unit may
    be within parentheses or after them."""
    signs = [(IN_PARENTHESES, r"-\1")] if number_style.negative else []
    return [*signs, (_surround_number(number_style), ""), *signs] if number_style.strip else signs


def _surround_number(number_style: NumberStyle) -> str:
    """Returns a regular expression for the texts before and after a number that are no part of it."""
    marks = "|".join(re.escape(mark.strip()) for mark in number_style.strip)
    return rf"^\s*(?:{marks})?\s*|\s*(?:{marks})?\s*$"


def has_infinite(numbers: pa.DoubleArray) -> bool:
    """Whether any of `numbers` is too large to be finite."""
    return bool(np.isinf(to_numpy(numbers, "f8")).any())


def _drop_null_numbers(numbers: pa.DoubleArray, number_style: NumberStyle) -> pa.DoubleArray:
    null_numbers = [float(mark) for mark in number_style.nulls if not isinstance(mark, str)]
    if not null_numbers:
        return numbers
    return pc.if_else(pc.is_in(numbers, value_set=from_numpy(np.array(null_numbers), pa.float64())), None, numbers)


def _rewrite_plainly(texts: pa.StringArray, number_style: NumberStyle) -> pa.StringArray | None:
    """Returns `texts` (rows,) with a point before decimals and no thousands separators; None if a separator is in the
    wrong place."""
    plain_texts = texts
    if number_style.thousands is not None:
        mark = _write_mark_pattern(number_style.thousands)
        if bool(pc.any(pc.match_substring_regex(texts, mark)).as_py()):
            if not (_match_numbers(texts, number_style) | ~not_null(texts)).all():
                return None
            plain_texts = pc.replace_substring_regex(texts, mark, "")
    if number_style.decimal_mark != ".":
        if bool(pc.any(pc.match_substring(plain_texts, ".")).as_py()):
            return None
        plain_texts = pc.replace_substring(plain_texts, number_style.decimal_mark, ".")
    return plain_texts


LONGEST_CHAIN = 6
"""Marks that may follow each other in a number: those of 21 digits."""


def remove_group_marks(rows: bytes | memoryview, mark: int, edges: bytes) -> np.ndarray:
    """Returns `rows`, the text of several cells, as bytes without each `mark` between groups of three digits.

    `edges` are the characters before the beginning of a cell; where `mark` also delimits cells, they are the quotes
    alone. A mark in any other place stays, so that its cell is not a number.

        "-1,204,500.5"       before a mark: one to three digits, and before those the edge, a sign, or three and a mark
           ^   ^             after it: three digits, and then no digit
    """
    margin = 4
    padded = np.full(len(rows) + 2 * margin, ord("\n"), np.uint8)
    padded[margin:-margin] = np.frombuffer(rows, np.uint8)

    def at(places: np.ndarray, step: int) -> np.ndarray:
        return places[margin + step : len(places) - margin + step]

    is_digit = (padded - ord("0")) < 10  # smaller bytes wrap around
    is_edge = padded == edges[0]
    for edge in edges[1:]:
        is_edge |= padded == edge
    signs = (padded == ord("+")) | (padded == ord("-"))
    signs[1:] &= is_edge[:-1]
    is_edge |= signs
    fits_after = at(is_digit, 1) & at(is_digit, 2) & at(is_digit, 3) & ~at(is_digit, 4)
    is_group = at(padded, 0) == mark
    is_group &= fits_after & at(is_digit, -1)
    follows_three = at(is_digit, -2) & at(is_digit, -3)
    fits_before = at(is_edge, -2) | (at(is_digit, -2) & at(is_edge, -3)) | (follows_three & at(is_edge, -4))
    is_chained = is_group & follows_three
    is_group &= fits_before
    for _ in range(LONGEST_CHAIN):
        is_group[4:] |= is_chained[4:] & is_group[:-4]
    remaining: np.ndarray = padded[margin:-margin][~is_group]
    return remaining


def _read_number(text: str | None, number_style: NumberStyle) -> float | None:
    """Returns the number in `text`, NaN for a null or an absent cell, None if there is none."""
    if text is None:
        return np.nan
    stripped = text.strip().replace("\u2212", "-")
    for pattern, replacement in _list_rewritings(number_style):
        stripped = re.sub(pattern, replacement, stripped)
    if stripped.lower() in NO_VALUE or _is_null(stripped, number_style):
        return np.nan
    if stripped.lower() in TRUTH_WORDS:
        return TRUTH_WORDS[stripped.lower()]
    return parse_number(stripped, number_style.decimal_mark, number_style.thousands)


def _is_null(text: str, number_style: NumberStyle) -> bool:
    """Whether `text` is one of the nulls that the entry names; numbers are compared as numbers."""
    for null_mark in number_style.nulls:
        if str(null_mark) == text:
            return True
        number = parse_number(text, number_style.decimal_mark, number_style.thousands)
        if number is not None and not isinstance(null_mark, str) and number == null_mark:
            return True
    return False


BLANKS = " \u00a0\u2009\u202f"
"""Blanks between groups of digits, which tables mix: each as `thousands` stands for all."""


def _write_mark_pattern(thousands: str) -> str:
    """Returns a regular expression for what is between groups of digits."""
    return f"[{BLANKS}]" if thousands in BLANKS else re.escape(thousands)


def _number_pattern(decimal: str, thousands: str | None) -> str:
    """Returns a regular expression for a number."""
    groups = "" if thousands is None else rf"\d{{1,3}}(?:{_write_mark_pattern(thousands)}\d{{3}})+|"
    integer_pattern = rf"(?:{groups}\d+)"
    decimal_pattern = re.escape(decimal)
    return rf"[+-]?(?:{integer_pattern}(?:{decimal_pattern}\d*)?|{decimal_pattern}\d+)(?:[eE][+-]?\d+)?"


def parse_number(text: str, decimal: str = ".", thousands: str | None = None) -> float | None:
    """Parses a finite number, with groups of three digits between `thousands`; None if `text` is not one.

    >>> parse_number("1.104,25", ",", "."), parse_number("1,2", ".", ","), parse_number("2,31E+3", ",")
    (1104.25, None, 2310.0)
    """
    if not re.fullmatch(_number_pattern(decimal, thousands), text, re.ASCII):
        return None
    digits = re.sub(_write_mark_pattern(thousands), "", text) if thousands is not None else text
    number = float(digits.replace(decimal, "."))
    return number if np.isfinite(number) else None


NUMBER_STYLES = (*((",", None), (".", ","), (",", "."), (".", " "), (",", " "), (".", "'"), (".", None)),)
"""Number styles: the decimal point, and the thousands separator."""


def find_other_styles(texts: Collection[str], number_style: NumberStyle) -> list[dict[str, str | None]]:
    """Returns the fewest keys with which all of `texts`, which are not numbers in the style `number_style`, would be
    numbers.

    >>> plain = NumberStyle()
    >>> other_styles({"1,204.5", "1,187.0"}, plain), other_styles({"85,12"}, plain), other_styles({"1.104,25"}, plain)
    ([{'thousands': ','}], [{'decimal': ','}], [{'decimal': ',', 'thousands': '.'}])
    >>> other_styles({"ERR"}, plain), other_styles({"(12.5)"}, plain)
    ([], [{'negative': 'parentheses'}])
    """
    stripped_texts = {re.sub(IN_PARENTHESES, r"-\1", text.strip()) for text in texts}
    in_parentheses = any(re.match(IN_PARENTHESES, text) for text in texts)
    styles: list[dict[str, str | None]] = []
    for decimal, thousands in NUMBER_STYLES:
        if stripped_texts and all(parse_number(text, decimal, thousands) is not None for text in stripped_texts):
            style = {"decimal": decimal, "thousands": thousands, "negative": number_style.negative}
            style |= {"negative": "parentheses"} if in_parentheses else {}
            blanks = {mark for text in stripped_texts for mark in text if mark in BLANKS}
            style |= {"thousands": blanks.pop()} if thousands == " " and len(blanks) == 1 else {}
            present = {"decimal": number_style.decimal_mark, "thousands": number_style.thousands}
            present["negative"] = number_style.negative
            styles.append({key: mark for key, mark in style.items() if mark != present[key]})
    fewest_keys = min(map(len, styles), default=0)
    return [style for style in styles if len(style) == fewest_keys and style]


def looks_numeric(texts: Iterable[str]) -> bool:
    """Whether all of `texts` consist only of digits and separators, like numbers in an unknown style."""
    stripped_texts = [text.strip() for text in texts]
    return bool(stripped_texts) and all(
        re.fullmatch(rf"[+(-]?[\d.,'{BLANKS}]*\d[\d.,'{BLANKS}]*\)?", text) for text in stripped_texts
    )
