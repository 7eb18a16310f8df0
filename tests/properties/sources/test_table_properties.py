"""Every existing cell of a table is stored or counted, in any format."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from xml.sax.saxutils import quoteattr

from hypothesis import given, settings
from hypothesis import strategies as st

from gridtide.collect.checks import settle_page
from gridtide.config.loading import parse
from gridtide.errors import FormatError
from gridtide.sources import generic
from gridtide.sources.contract import Request, Response

START = datetime(2026, 1, 10, tzinfo=UTC)
STYLES: list[dict[str, str]] = [{}, {"decimal": ",", "thousands": "."}, {"thousands": ","}]
NULLS = ["", "-", "--", "n/a", "NaN", "*"]
WORDS = ["closed", "see note", "12 MW", "true"]
VALUES = ("load", "price")

Cell = float | str | None
"""A number, a text, or None for a cell that its record does not have."""


class Record(NamedTuple):
    """A record with its hour (None without a time) and its cells, of which the last two are in columns that no key
    names."""

    hour: int | None
    load: Cell
    price: Cell
    note: str
    total: Cell
    remark: str | None


NUMBERS = st.integers(-8_000_000, 8_000_000).map(lambda quarters: quarters / 4)
CELLS: st.SearchStrategy[Cell] = st.one_of(NUMBERS, NUMBERS, st.sampled_from([*NULLS, *WORDS, None]))
RECORDS = st.builds(
    Record,
    st.one_of(st.integers(0, 6), st.integers(0, 6), st.none()),
    CELLS,
    CELLS,
    st.sampled_from(["x", "y"]),
    CELLS,
    st.sampled_from(["see above", None]),
)
TABLES = st.lists(RECORDS, max_size=12).map(lambda records: [Record(0, 1.5, 2.5, "x", 4.5, "see above"), *records])
UNNAMED = ("note", "total", "remark")


def written(cell: Cell, style: dict[str, str]) -> str:
    """`cell` as text, with its number in the `style`."""
    if not isinstance(cell, float):
        return cell or ""
    plain = f"{cell:,.2f}" if "thousands" in style else f"{cell:.2f}"
    return plain.translate(str.maketrans(",.", ".,")) if style.get("decimal") == "," else plain


def fields(record: Record, style: dict[str, str]) -> dict[str, str]:
    """The texts of `record` by column, without missing cells."""
    time = "" if record.hour is None else f"{START + timedelta(hours=record.hour):%Y-%m-%dT%H:%MZ}"
    cells = {name: getattr(record, name) for name in (*VALUES, *UNNAMED)}
    return {"at": time, **{name: written(cell, style) for name, cell in cells.items() if cell is not None}}


def as_csv(records: Sequence[Record], style: dict[str, str]) -> str:
    """A CSV in which missing cells are empty."""
    rows = [fields(record, style) for record in records]
    lines = [";".join(row.get(name, "") for name in ("at", *VALUES, *UNNAMED)) for row in rows]
    return "\n".join(["at;load;price;note;total;remark", *lines, ""])


def as_json(records: Sequence[Record], style: dict[str, str]) -> str:
    """JSON with numbers, unless they have a style."""
    rows: list[dict[str, Any]] = [dict(fields(record, style)) for record in records]
    for row, record in zip(rows, records, strict=True):
        if not style:
            row |= {name: cell for name in (*VALUES, "total") if isinstance(cell := getattr(record, name), float)}
    return json.dumps(rows)


def as_xml(records: Sequence[Record], style: dict[str, str]) -> str:
    """XML with times as attributes and other cells as elements."""
    rows = []
    for record in records:
        cells = fields(record, style)
        time = cells.pop("at")
        rows.append(f"<row at={quoteattr(time)}>{''.join(f'<{k}>{v}</{k}>' for k, v in cells.items())}</row>")
    return f"<table>{''.join(rows)}</table>"


WRITERS = {"csv": as_csv, "json": as_json, "xml": as_xml}


def is_read(cell: Cell) -> bool:
    """Whether `cell` exists and contains a number or a null."""
    return isinstance(cell, float) or cell in NULLS


def outcome(
    records: Sequence[Record], conflict: str | None, ignored: Sequence[str]
) -> tuple[list[tuple[int, str, str]], int]:
    """The stored hours, variables and values, and the number of counted cells, by plain loops."""
    stored = []
    there = sum(getattr(record, name) is not None for record in records for name in UNNAMED if name not in ignored)
    for name in VALUES:
        groups = defaultdict(list)
        for record in records:
            cell = getattr(record, name)
            has_value = any(not (value is None or value in NULLS) for value in (record.load, record.price))
            if cell is not None and (record.hour is not None or has_value):
                there += 1
            if record.hour is not None and is_read(cell):
                groups[record.hour].append(str(cell) if isinstance(cell, float) else "null")
        for hour, texts in groups.items():
            chosen = texts[:1] if len(set(texts)) == 1 else {"first": texts[:1], "last": texts[-1:], None: []}[conflict]
            stored += [(hour, name, text) for text in chosen]
    return sorted(stored), there - len(stored)


@settings(max_examples=60, deadline=None)
@given(
    records=TABLES,
    kind=st.sampled_from(sorted(WRITERS)),
    style=st.sampled_from(STYLES),
    conflict=st.sampled_from([None, "first", "last"]),
    ignored=st.lists(st.sampled_from(UNNAMED), unique=True),
    others=st.integers(0, 3),
)
def test_what_is_not_stored_is_counted(
    records: list[Record], kind: str, style: dict[str, str], conflict: str | None, ignored: list[str], others: int
) -> None:
    """Stored and counted cells together are the existing cells, with what is no record: comments, repeated headers and
    last lines of a CSV, and nulls among the records of JSON, are counted too. A table of unnamed series is refused."""
    if kind == "csv":
        records = [
            record._replace(**{name: "" for name in (*VALUES, *UNNAMED) if getattr(record, name) is None})
            for record in records
        ]
    keys: dict[str, Any] = {"time": "at", "value": list(VALUES), "interval": "PT1H", "ignore": ignored, **style}
    keys["conflict"] = conflict
    keys |= {"records": "row"} if kind == "xml" else {"comment": "#", "footer": others or None} if kind == "csv" else {}
    base = {"name": "table", "url": "https://grid.example/table", "output_folder": "table"}
    entry = parse({"apis": [base | {key: value for key, value in keys.items() if value is not None}]}).apis[0]
    body, added = WRITERS[kind](records, style), 0
    if kind == "csv":
        head, first, *lines = body.splitlines()
        body = "\n".join([head, first, *["# note", head] * others, *lines, *["Total;1;2;x;3;"] * others, ""])
        added = 3 * others
    elif kind == "json":
        body, added = f"{body[:-1]}{', null' * others}]", others
    try:
        page = generic.parse_response(entry, Request(entry.url), Response(body.encode(), START))
    except FormatError as error:
        if not re.search(r"differ in (note|total|remark)|has decimals", str(error)):
            raise
        return
    settled = settle_page(page, entry, Request(entry.url), None)  # as the core does for every source
    rows = settled.page.observations.to_pylist()
    stored = sorted(
        (
            (row["interval_start"] - START) // timedelta(hours=1),
            row["variable"],
            "null" if row["value"] is None else str(row["value"]),
        )
        for row in rows
    )
    counted = settled.repeat_count + sum(skipped.count for skipped in (*page.skipped, *settled.skipped))
    expected, cells = outcome(records, conflict, ignored)
    assert (stored, counted) == (expected, cells + added)


HOURS = [f"HE{hour:02}" for hour in range(1, 25)]
WIDE_CELLS = st.one_of(NUMBERS, st.sampled_from([*NULLS, *WORDS]))


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.lists(st.one_of(NUMBERS, st.sampled_from([*NULLS, *WORDS])), min_size=26, max_size=26), max_size=4
    ),
    ignored=st.lists(st.sampled_from(["Total", "Note"]), unique=True),
    across=st.booleans(),
)
def test_columns_beside_hours_or_days_are_counted(rows: list[list[Cell]], ignored: list[str], *, across: bool) -> None:
    """Of a wide table, each cell of an hour is stored or counted, and each cell of another column is counted."""
    rows = [[1.0] * 26, *rows]
    texts = [[str(cell) for cell in row] for row in rows]
    days = [f"{START + timedelta(days=number):%Y-%m-%d}" for number in range(len(rows))]
    if across:  # a column for each day, and a row for each hour
        head = ["Hour", *days, "Total", "Note"]
        lines = [[str(hour + 1), *(row[hour] for row in texts), "7", "x"] for hour in range(24)]
        keys: dict[str, Any] = {"time": "Hour", "days": "%Y-%m-%d", "label": "end", "interval": "PT1H"}
    else:
        head = ["Day", *HOURS, "Total", "Note"]
        lines = [[day, *row] for day, row in zip(days, texts, strict=True)]
        keys = {"time": "Day", "hours": {"columns": "HE{hour:02}"}}
    raw = {"name": "table", "url": "https://grid.example/table", "output_folder": "table", "ignore": ignored, **keys}
    entry = parse({"apis": [raw]}).apis[0]
    body = "".join(f"{','.join(line)}\n" for line in [head, *lines]).encode()
    page = generic.parse_response(entry, Request(entry.url), Response(body, START))
    cells = [cell for row in rows for cell in row[:24] if not (across and cell == "")]
    stored = sorted(str(value) for value in page.observations["value"].to_pylist())
    assert stored == sorted(str(cell if isinstance(cell, float) else None) for cell in cells if is_read(cell))
    beside = len(lines) * (2 - len(ignored))
    assert sum(item.count for item in page.skipped) == len(cells) - len(stored) + beside
    named = " ".join(item.reason for item in page.skipped)
    assert [name in named for name in ("Total", "Note")] == [name not in ignored for name in ("Total", "Note")]
