"""Numbers as upstreams write them, told apart from nothing and from what is no number."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gridtide.entries.table_layout import NumberStyle
from gridtide.observations.arrays import not_null, to_numpy
from gridtide.sources.formats.cells import factorised

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
    not, and `unread` (rows,) cells that hold no number."""

    values: np.ndarray
    absent: np.ndarray
    unread: np.ndarray


def read_numbers(column: pa.StringArray, written: NumberStyle) -> ReadNumbers:
    """`column` (rows,) as numbers, as `written` says; a text of `NO_VALUE` or of its `nulls` is a null."""
    absent = ~not_null(column)
    quick = _read_plain(column, written)
    if quick is not None:
        return ReadNumbers(quick, absent, np.zeros(len(column), bool))
    codes, texts = factorised(column)
    numbers = [_number(text, written) for text in texts]
    values = np.array([np.nan if number is None else number for number in numbers], np.float64)
    unread = np.array([number is None for number in numbers], bool)
    return ReadNumbers(values[codes], absent, unread[codes] & ~absent)


def _read_plain(column: pa.StringArray, written: NumberStyle) -> np.ndarray | None:
    """`column` (rows,) where it holds nothing but plain numbers and empty cells, else None."""
    if written.decimal != "." or written.nulls:
        return None
    if written.thousands is not None and bool(pc.any(pc.match_substring(column, written.thousands)).as_py()):
        return None
    try:
        numbers = pc.if_else(pc.equal(column, ""), None, column).cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    values = np.where(not_null(numbers), to_numpy(numbers, "f8"), np.nan)
    return None if np.isinf(values).any() else values


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


def parse_number(text: str, decimal: str = ".", thousands: str | None = None) -> float | None:
    """The finite number that `text` is, with groups of three digits between `thousands`, or None.

    >>> parse_number("1.104,25", ",", "."), parse_number("1,2", ".", ","), parse_number("2,31E+3", ",")
    (1104.25, None, 2310.0)
    """
    whole = r"\d+" if thousands is None else rf"(?:\d{{1,3}}(?:{re.escape(thousands)}\d{{3}})+|\d+)"
    point = re.escape(decimal)
    if not re.fullmatch(rf"[+-]?(?:{whole}(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?", text, re.ASCII):
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
