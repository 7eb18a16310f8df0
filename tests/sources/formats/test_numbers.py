"""Numbers in the formats of upstreams: reading whole columns gives the same as reading each cell."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtide.entries.table_layout import Csv, NumberStyle
from gridtide.sources.formats.cells import build_strings
from gridtide.sources.formats.csv_rows import read_csv
from gridtide.sources.formats.numbers import (
    NO_VALUE,
    TRUTH_WORDS,
    find_other_styles,
    looks_numeric,
    parse_number,
    read_numbers,
)

STYLES = [
    NumberStyle(),
    NumberStyle(thousands=","),
    NumberStyle(decimal=",", thousands="."),
    NumberStyle(decimal=",", thousands="\u00a0"),
    NumberStyle(decimal=",", thousands=" "),
    NumberStyle(nulls=("closed", -9999)),
]
TEXTS = st.one_of(
    st.text("0123456789,.+-eE ", max_size=9),
    st.integers(-2_000_000, 2_000_000).map(lambda number: f"{number:,}"),
    st.floats(-1e6, 1e6).map(lambda number: f"{number:,.2f}"),
    st.sampled_from(
        ["", "--", "N/A", "closed", "-9999", "1e999", "inf", "true", "12 MW", "1\u00a0204,5", "1 204\u202f310"]
    ),
    st.tuples(st.integers(1, 999_999_999), st.sampled_from(" \u00a0\u2009\u202f")).map(
        lambda parts: f"{parts[0]:,}".replace(",", parts[1]) + ",5"
    ),
)


def read_cell(text: str, written: NumberStyle) -> float | str:
    """The number in `text`, "null", or "unread", by the rules of the page on the generic source."""
    bare = text.strip()
    if bare.lower() in NO_VALUE or bare in written.nulls:
        return "null"
    if bare.lower() in TRUTH_WORDS:
        return TRUTH_WORDS[bare.lower()]
    number = parse_number(bare, written.decimal_mark, written.thousands)
    if number is None:
        return "unread"
    return "null" if number in written.nulls else number


def shown(values: Sequence[float], unread: Sequence[bool]) -> list[float | str]:
    """The results, cell by cell."""
    return [
        "unread" if bad else "null" if math.isnan(value) else float(value)
        for value, bad in zip(values, unread, strict=True)
    ]


@given(st.sampled_from(STYLES), st.lists(TEXTS, min_size=1, max_size=12))
def test_a_column_is_read_as_its_cells_are(written: NumberStyle, texts: list[str]) -> None:
    """However a column is read, each cell is the number, null or text that it is alone."""
    read = read_numbers(build_strings(texts), written)
    assert shown(read.values.tolist(), read.unread.tolist()) == [read_cell(text, written) for text in texts]


@given(st.sampled_from(STYLES), st.lists(TEXTS, min_size=1, max_size=12), st.sampled_from(",;\t"), st.booleans())
def test_cells_of_a_csv_are_read_as_texts_are(
    written: NumberStyle, texts: list[str], delimiter: str, quoted: bool
) -> None:
    """Numbers read from the bytes of a CSV equal those of its cells, quoted or not."""
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=delimiter, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
    writer.writerows([["label", "value", "note"], *(["x", text, "1,000"] for text in texts)])
    table = read_csv("x", sink.getvalue().encode(), Csv(delimiter=delimiter), ["value"])
    parts = [read_numbers(piece["value"], written) for piece in table.pieces(["value"], written)]
    cells = [cell for read in parts for cell in shown(read.values.tolist(), read.unread.tolist())]
    assert cells == [read_cell(text, written) for text in texts]


@pytest.mark.parametrize("mark", [" ", "\u00a0", "\u2009", "\u202f"])
def test_each_blank_between_groups_stands_for_all(mark: str) -> None:
    """Tables mix the blanks of spreadsheets, browsers and people."""
    texts = ["1 204,5", "1\u00a0204,5", "1\u2009204,5", "1\u202f204,5", "1 204\u202f310,5", "12 04,5"]
    read = read_numbers(build_strings(texts), NumberStyle(decimal=",", thousands=mark))
    assert shown(read.values.tolist(), read.unread.tolist()) == [1204.5] * 4 + [1204310.5, "unread"]


@pytest.mark.parametrize(
    ("texts", "mark"),
    [(["1\u00a0204,5"], "\u00a0"), (["1\u2009204,5"], "\u2009"), (["1\u00a0204,5", "1\u202f204,5"], " ")],
)
def test_the_blank_that_a_table_has_is_proposed(texts: list[str], mark: str) -> None:
    """A space stands for several."""
    assert looks_numeric(texts)
    assert find_other_styles(texts, NumberStyle()) == [{"decimal": ",", "thousands": mark}]
    assert find_other_styles(["1,204.5"], NumberStyle(decimal=".")) == [{"thousands": ","}]


@pytest.mark.parametrize("thousands", [None, ","])
def test_one_word_among_many_numbers_is_told_from_them(thousands: str | None) -> None:
    """In several blocks of a CSV, all cells except words are numbers, and columns without words are complete."""
    lines = ["time,load,price"]
    for number in range(150_000):
        load = "closed" if number in (70_001, 140_000) else f'"{number:,}"' if thousands else str(number)
        lines.append(f"2026-01-10T00:00Z,{load},{number / 4}")
    written = NumberStyle(thousands=thousands)
    table = read_csv("x", "\n".join([*lines, ""]).encode(), Csv(), ["time"], ["time"])
    pieces = list(table.pieces(["load", "price"], written))
    assert len(pieces) > 1
    loads = [read_numbers(piece["load"], written) for piece in pieces]
    assert sum(int(read.unread.sum()) for read in loads) == 2
    assert sum(math.fsum(read.values[~read.unread]) for read in loads) == sum(range(150_000)) - 70_001 - 140_000
    prices = [read_numbers(piece["price"], written).values for piece in pieces]
    assert sum(map(math.fsum, prices)) == sum(range(150_000)) / 4
