"""Paths to the records of JSON: what they leave out is counted, and one that leads nowhere is an error."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtide.config.loading import parse
from gridtide.errors import FormatError
from gridtide.sources import generic
from gridtide.sources.contract import Page, Request, Response

TABLE = {"name": "table", "url": "https://grid.example/table", "output_folder": "table"}
TIMES = ("2026-01-10T00:00Z", "2026-01-10T01:00Z")


def read(body: str, **keys: Any) -> Page:
    """The page of `body`, read with `keys`."""
    entry = parse({"apis": [TABLE | keys]}).apis[0]
    return generic.parse_response(entry, Request(entry.url), Response(body.encode(), datetime(2026, 2, 1, tzinfo=UTC)))


ROWS = [{"t": time, "v": number} for number, time in enumerate(TIMES)]
AREAS = [{"area": "A", "now": ROWS[:1], "next": ROWS[1:]}, {"area": "B", "now": [], "next": ROWS[:1]}]
COLUMNS = {"t": TIMES[:2], "v": [1, 2]}


@pytest.mark.parametrize(
    ("document", "keys", "beside"),
    [
        ({"actual": ROWS, "forecast": ROWS[:1], "names": ["t", "v"]}, {"records": "actual"}, [("forecast", 1, False)]),
        ({"a": {"actual": ROWS, "next": ROWS[:1]}, "notes": []}, {"records": "a.actual"}, [("a.next", 1, False)]),
        ({"a": {"rows": ROWS}, "b": {"rows": ROWS[:1]}}, {"records": "a.rows"}, [("b.rows", 1, False)]),
        ({"a": {"rows": ROWS}, "b": {"rows": ROWS[:1]}}, {"records": "a.rows[]"}, [("b.rows", 1, False)]),
        ({"rows": ROWS, "links": [{"rel": "self"}]}, {"records": "rows"}, [("links", 1, True)]),
        ({"areas": AREAS}, {"records": "areas.now"}, [("areas.next", len(ROWS), False)]),
        ({"areas": AREAS}, {"records": "areas[].now[]"}, [("areas.next", len(ROWS), False)]),
        ({"areas": AREAS}, {"records": "areas.next", "location": "area"}, [("areas.now", 1, False)]),
        ({"a": COLUMNS, "b": COLUMNS}, {"records": "a", "layout": "columns"}, [("b", 2, False)]),
        (
            {"a": {TIMES[0]: 1}, "b": {TIMES[1]: 2, "unit": "MW"}},
            {"records": "a", "layout": "keyed", "time": None, "value": None},
            [("b", 1, False)],
        ),
        ({"actual": ROWS, "forecast": ROWS[:1]}, {"records": "actual", "ignore": ["forecast"]}, []),
        ({"rows": ROWS}, {"records": "rows[]"}, []),
        ({"rows": [{**row, "parts": [{"mw": 1}]} for row in ROWS]}, {"records": "rows"}, []),
    ],
)
def test_records_beside_those_that_are_read_are_counted(
    document: Any, keys: dict[str, Any], beside: list[tuple[str, int, bool]]
) -> None:
    """A run warns of records in other lists, wherever they stand, that have the columns of the times; the others are
    recorded. What `ignore` names, and lists of names, are no records."""
    keys = {"time": "t", "value": "v", "ignore": [], **keys}
    page = read(json.dumps(document), **{key: value for key, value in keys.items() if value is not None})
    counts = [(item.reason, item.count, item.expected) for item in page.skipped if "in lists beside" in item.reason]
    reason = "records in lists beside those that the entry reads"
    assert counts == [(f"{reason}: {path}", count, expected) for path, count, expected in beside]
    assert page.observations.num_rows


@pytest.mark.parametrize(
    "path", ["areas[].nwo[]", "aeras[].now[]", "areas[?name=='A'].now[]", "areas[].{t: now.t}.x[]"]
)
def test_a_path_that_leads_nowhere_is_an_error(path: str) -> None:
    """A field that no object has is not the same as an empty list; the message proposes paths with records."""
    with pytest.raises(FormatError, match=r'"records": "areas(\.\w+)?"'):
        read(json.dumps({"areas": AREAS}), records=path, time="t", value="v")
    empty_answers: list[Any] = [{"areas": []}, {"areas": [{"area": "A", "now": [], "nwo": []}]}]
    for empty in empty_answers:
        if path == "areas[].nwo[]":
            assert read(json.dumps(empty), records=path, time="t", value="v").record_count == 0


def test_alternatives_of_a_path_may_lead_nowhere() -> None:
    """One of them is there, without records."""
    documents: list[Any] = [{"a": {"rows": []}}, {"b": {"rows": []}}, {"a": None, "b": {"rows": []}}]
    for document in documents:
        assert read(json.dumps(document), records="a.rows || b.rows", time="t", value="v").record_count == 0


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 50)), max_size=12),
    st.sampled_from(["d", "d[]", "d[?v >= `10`]", "d[1:]", "d[*]"]),
)
def test_nulls_and_records_that_a_path_leaves_out_are_counted(numbers: list[int | None], path: str) -> None:
    """Of a list with nulls, all that are not stored are counted; a run warns if a condition selects none."""
    start = datetime(2026, 1, 10, tzinfo=UTC)
    records = [
        None if value is None else {"t": f"{start + timedelta(hours=hour):%Y-%m-%dT%H:%MZ}", "v": value}
        for hour, value in enumerate(numbers)
    ]
    page = read(json.dumps({"d": records}), records=path, time="t", value="v")
    assert page.observations.num_rows + sum(item.count for item in page.skipped) == len(records)
    unselected = [item for item in page.skipped if "conditions" in item.reason]
    assert all(item.expected == bool(page.observations.num_rows) for item in unselected) or "[1:]" in path


def test_a_name_that_an_object_holds_twice_is_refused() -> None:
    """One of the two values would be lost; a name that is written twice with one value, and quotes and colons in texts,
    are no such case."""
    time, later = TIMES
    for body, layout in (
        (f'[{{"t":"{time}","v":1,"v":2}}]', "records"),
        (f'{{"t" : "{time}","v" : 1,\n"v"\n: null}}', "records"),
        (f'{{"{time}": 1, "{time}": 2}}', "keyed"),
        (f'{{"t":"{time}","v":1}}\n{{"t":"{later}","v":2,"v":3}}', "lines"),
    ):
        with pytest.raises(FormatError, match="twice, with different values"):
            read(body, layout=layout)
    for fields in ('"v":1,"v":1', '"v": 1, "n": ":\\": x"', '"v" : 1, "n": "a\\":1,\\"a\\":2"'):
        assert read(f'[{{"t":"{time}",{fields}}}]', value="v").observations["value"].to_pylist() == [1]
