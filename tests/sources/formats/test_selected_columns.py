"""The faster ways to read JSON and CSV, which parse only the columns of an entry, beside the plain ones."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtide.entries.table_layout import Csv, NumberStyle
from gridtide.errors import UpstreamError
from gridtide.sources.formats.cells import CellTable
from gridtide.sources.formats.csv_rows import read_csv
from gridtide.sources.formats.json_rows import load_json, read_json, read_selected, select_records
from gridtide.sources.formats.numbers import read_numbers

STYLE = NumberStyle()
CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(["", "-", "n/a", "1,204.5", "5", " 7 ", "Y", "é", "2026-01-10T00:00:00", "1e400"]),
)
VALUES, LABELS = ["mw", "price"], ["time", "node"]
NAMES = [*VALUES, *LABELS, "note"]


def contents_of(table: CellTable, labels: list[str], values: list[str], style: NumberStyle = STYLE) -> dict[str, Any]:
    """All that a reader sees of a table: texts of labels, and numbers, absent and unread cells of values."""
    columns = table.read([name for name in labels if name in table.names])
    contents: dict[str, Any] = {name: column.to_pylist() for name, column in columns.items()} | {"rows": table.rows}
    pieces = [
        {name: read_numbers(cells, style) for name, cells in piece.items()}
        for piece in table.pieces([name for name in values if name in table.names], style)
    ]
    for name in values:
        for part in ("values", "absent", "unread"):
            parts = [getattr(piece[name], part) for piece in pieces if name in piece]
            contents[f"{name} {part}"] = np.concatenate(parts).tolist() if parts else []
    return contents


@given(
    st.lists(st.fixed_dictionaries(dict.fromkeys(NAMES, CELLS)), min_size=1, max_size=6),
    st.sampled_from(["", "items", "not_null(items, @)", "data.items"]),
)
def test_selected_fields_are_those_of_all_fields(records: list[dict[str, Any]], path: str) -> None:
    """Whatever the cells hold, labels, numbers, nulls and cells without a number are the same; so are columns that
    were not selected."""
    document: Any = {"links": [], "items": records, "totalRows": len(records)} if "items" in path else records
    body = json.dumps({"data": document} if path == "data.items" else document).encode()
    selected = select_records(body, [*VALUES, *LABELS])
    table = read_selected("x", selected, path, STYLE) if selected else None
    whole = read_json("x", load_json("x", body.decode()), path, "records", 1, STYLE)
    if path == "data.items" or table is None or selected is None:
        assert path == "data.items" or any(
            not np.isfinite(cell) for record in records for cell in record.values() if isinstance(cell, float)
        )
        return
    labels = [*LABELS, "note", "totalRows"]
    assert repr(contents_of(table, labels, VALUES)) == repr(contents_of(whole, labels, VALUES))
    assert list(table.names) == list(whole.names)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=6))
def test_positional_rows_are_read_as_objects_are(rows: list[tuple[Any, ...]]) -> None:
    """A list of lists has the same labels, numbers, nulls and cells without a number as a list of objects."""
    names = ["time", "mw", "price"]
    objects = [dict(zip(names, row, strict=True)) for row in rows]
    first = read_json("x", [list(row) for row in rows], "", "rows", tuple(names), STYLE)
    second = read_json("x", objects, "", "records", 1, STYLE)
    contents = [repr(contents_of(table, ["time"], ["mw", "price"])) for table in (first, second)]
    assert contents[0] == contents[1]
    assert first.place(0) == "row 1"


@pytest.mark.parametrize(
    "records",
    [
        [{"time": "a", "mw": 1}, {"time": "b"}],
        [{"time": "a", "mw": 1}, {"time": "b", "mw": {"value": 2}}],
        [{"time": "a", "mw": {"value": 2}}, {"time": "b", "mw": 1}],
        [{"time": "a", "mw": 1}, 5],
        [[1, 2]],
        [],
    ],
)
def test_records_of_several_shapes_are_left_to_the_plain_way(records: list[Any]) -> None:
    """Where a record lacks a selected field, or has an object in it, or is none, nothing is decided by a part of it."""
    selected = select_records(json.dumps({"items": records}).encode(), ["time", "mw"])
    assert selected is None or read_selected("x", selected, "items", STYLE) is None


def test_a_cut_body_is_left_to_the_plain_way_which_says_so() -> None:
    """The half of a page is neither read nor taken for a shorter one."""
    body = json.dumps({"items": [{"time": "a", "mw": 1}] * 5}).encode()[:-20]
    assert select_records(body, ["time", "mw"]) is None
    with pytest.raises(UpstreamError, match="cut or broken"):
        load_json("x", body.decode())


TEXTS = st.sampled_from(
    ["1", "-2.5", "", "-", "N/A", "ERR", " 7 ", "1e5", "1e400", "true", '"8"', ".6", "−3", "(4)", "999"]
)


@given(
    st.lists(st.tuples(st.sampled_from(["a", " b ", '"c"', ""]), TEXTS, TEXTS), min_size=1, max_size=8),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(
        [STYLE, NumberStyle(nulls=(999,)), NumberStyle(negative="parentheses"), NumberStyle(strip=("MW",))]
    ),
)
def test_values_read_with_the_labels_are_those_read_after_them(
    rows: list[tuple[str, str, str]], newline: str, style: NumberStyle
) -> None:
    """Numbers, nulls, cells without a number and labels do not depend on the number of passes."""
    body = newline.join(["node,mw,price", *(",".join(row) for row in rows), ""]).encode()
    tables = [
        read_csv("x", body, Csv(), ["node", "mw", "price"], ["node"], numbers=numbers) for numbers in (style, None)
    ]
    first, second = (contents_of(table, ["node"], ["mw", "price"], style) for table in tables)
    assert repr(first) == repr(second)


def test_a_header_below_the_first_lines_is_still_found() -> None:
    """A text of forty lines before the header is refused with the key that passes over it."""
    from gridtide.errors import FormatError

    lines = [f"remark {number}, as of today" for number in range(40)]
    body = "\n".join([*lines, "time,mw", "2026-01-10,5", ""]).encode()
    with pytest.raises(FormatError, match="its header is line 41"):
        read_csv("x", body, Csv(), ["time", "mw"], ["time"])
