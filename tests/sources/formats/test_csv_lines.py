"""Lines of a CSV that are no rows are counted, a run warns of those that look like records, and no row is lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtide.config.loading import parse
from gridtide.errors import FormatError
from gridtide.sources import generic
from gridtide.sources.contract import Page, Request, Response

START = datetime(2026, 1, 10, tzinfo=UTC)


def read(body: str, **keys: Any) -> Page:
    """The page of `body`, read with `keys`."""
    base = {"name": "table", "url": "https://grid.example/table", "output_folder": "table", "time": "at"}
    keys = base | {"value": "mw", "interval": "PT1H"} | keys
    entry = parse({"apis": [{key: value for key, value in keys.items() if value is not None}]}).apis[0]
    return generic.parse_response(entry, Request(entry.url), Response(body.encode(), START))


def rows(count: int, first: int = 0, mark: str = "") -> list[str]:
    """The lines of `count` records from hour number `first` on, after a `mark`."""
    return [f"{mark}{START + timedelta(hours=first + hour):%Y-%m-%dT%H:%MZ},{hour}" for hour in range(count)]


def counted(page: Page) -> tuple[int, bool]:
    """The lines that are counted, and whether a run warns of them."""
    lines = [item for item in page.skipped if "line" in item.reason]
    return sum(item.count for item in lines), any(not item.expected for item in lines)


TITLES = st.lists(st.sampled_from(["Demand report", "preliminary;x", "MW,MW", "Total,17"]), max_size=3)


@given(before=TITLES, eaten=st.integers(0, 3), kept=st.integers(1, 4))
def test_records_that_skip_eats_are_counted(before: list[str], eaten: int, kept: int) -> None:
    """Titles before the rows are passed over; a run warns of each record among the skipped lines."""
    lines = [*before, *rows(eaten), *rows(kept, eaten)]
    page = read("\n".join([*lines, ""]), header=["at", "mw"], skip=len(before) + eaten)
    assert page.observations.num_rows == kept
    assert counted(page) == (eaten, eaten > 0)


@given(kept=st.integers(1, 4), eaten=st.integers(0, 3), titles=TITLES, way=st.sampled_from(["lines", "blank", "from"]))
def test_lines_behind_the_rows_are_counted(kept: int, eaten: int, titles: list[str], way: str) -> None:
    """All of them, and a run warns if one is a record."""
    behind = [*titles, *rows(eaten, kept)]
    first = {"lines": [], "blank": [""], "from": ["Notes"]}[way]
    footer = {"lines": len(behind), "blank": "blank", "from": "from:Notes"}[way]
    page = read("\n".join(["at,mw", *rows(kept), *first, *behind, ""]), footer=footer)
    assert page.observations.num_rows == kept
    assert counted(page) == (len(behind) + (way == "from"), eaten > 0)


@given(kinds=st.lists(st.sampled_from(["D,", "#", "I,", "D,"]), min_size=1, max_size=12), quoted=st.booleans())
def test_lines_of_other_kinds_are_counted(kinds: list[str], *, quoted: bool) -> None:
    """Comments and lines that do not begin as rows are counted; if none does although there are records, it is an
    error."""
    lines = [f"{kind}{row}" for kind, row in zip(kinds, rows(len(kinds)), strict=True)]
    if quoted:
        lines = [line if line.startswith("#") else ",".join(f'"{cell}"' for cell in line.split(",")) for line in lines]
    body = "\n".join(["kind,at,mw", *lines, ""])
    if "D," not in kinds and "I," in kinds:
        with pytest.raises(FormatError, match='rows: no line after the header begins with "D"'):
            read(body, rows="D", comment="#", ignore=["kind"])
        return
    page = read(body, rows="D", comment="#", ignore=["kind"])
    assert page.observations.num_rows == kinds.count("D,")
    assert counted(page) == (len(kinds) - kinds.count("D,"), False)


def test_a_comment_mark_that_rows_begin_with_is_warned_of() -> None:
    """Lines that are records by their look are no comments, wherever they stand."""
    for place in (0, 2):
        lines = rows(4)
        page = read("\n".join(["at,mw", *lines, ""]), comment=lines[place][:13])
        assert (page.observations.num_rows, counted(page)) == (3, (1, True))


@pytest.mark.parametrize("header", [1, 2])
def test_a_header_that_comes_again_is_no_record(header: int) -> None:
    """As where a file was appended to; the lines are counted."""
    head = ["at,mw", "UTC,MW"][:header]
    page = read("\n".join([*head, *rows(2), *head, *rows(2, 2), *head, ""]), header=header)
    assert (page.observations.num_rows, counted(page)) == (4, (2 * header, False))
    with pytest.raises(FormatError, match=r'add "skip": 1, or leave "header" out'):
        read("\n".join(["at,mw", *rows(2), ""]), header=["at", "mw"])


@given(st.integers(2, 6), st.integers(0, 4), st.booleans(), st.booleans())
def test_a_quote_that_is_never_closed_swallows_no_row(count: int, place: int, closed: bool, all_quoted: bool) -> None:
    """The records that would be text of one cell are refused, with a key that reads them."""
    quote = '"' if all_quoted else ""
    lines = [",".join(f"{quote}{cell}{quote}" for cell in [*row.split(","), "ok"]) for row in rows(count)]
    place %= count - 1
    lines[place] = ",".join([*rows(count)[place].split(","), '"12 in'])
    if closed:
        lines[-1] = ",".join([*rows(count)[-1].split(","), 'good"'])
    body = "\n".join(["at,mw,remark", *lines, ""])
    with pytest.raises(FormatError) as refused:
        read(body)
    if not all_quoted:
        assert f"line {place + 2} of the CSV opens a quote" in str(refused.value)
        assert '"quote": "^"' in refused.value.fix
        assert read(body, quote="^").observations.num_rows == count


def test_a_text_of_several_lines_is_one_cell() -> None:
    """Lines in quotes that are no records belong to their record."""
    body = 'at,mw,remark\n2026-01-10T00:00Z,1,"late,\nagain, at 2026-01-10\n"\n2026-01-10T01:00Z,2,"a ""b"" c"\n'
    assert read(body).observations["value"].to_pylist() == [1, 2]


SPANS = st.lists(st.tuples(st.sampled_from(["Load", "Price", "Wind 1"]), st.integers(1, 3)), max_size=2)


@given(SPANS, st.booleans(), st.booleans())
def test_names_over_several_columns_are_those_of_all(
    spans: list[tuple[str, int]], has_title: bool, below: bool
) -> None:
    """A header of two rows, of which the upper has a name at the first of its columns alone, names each from both; the
    messages propose it, wherever the name of the times is."""
    spans = [("Sun", 2), *spans]
    upper = [text for number, (name, width) in enumerate(spans) for text in [f"{name} {number}", *[""] * (width - 1)]]
    lower = [f"zone {place}" for _, width in spans for place in range(width)]
    names = [f"{name} {number} zone {place}" for number, (name, width) in enumerate(spans) for place in range(width)]
    head = [",".join(["" if below else "at", *upper]), ",".join(["at" if below else "", *lower])]
    values = ",".join(map(str, range(len(names))))
    body = "\n".join([*["Report"] * has_title, *head, f"2026-01-10T00:00Z,{values}", ""])
    keys: dict[str, Any] = {"value": None}
    for _ in range(3):
        with pytest.raises(FormatError) as refused:
            read(body, **keys)
        keys |= msgspec.json.decode("{" + refused.value.fix[refused.value.fix.index('"') :] + "}")
        if keys["value"]:
            break
    assert keys["value"] == names
    assert sorted(read(body, **keys).observations["value"].to_pylist()) == list(range(len(names)))


def test_a_column_without_a_name_stays_one() -> None:
    """Where the line behind the header is a record, also of texts beside its time."""
    assert read("at,mw,\n2026-01-10T00:00Z,1,2\n").observations.num_rows == 1
    assert read("at,mw,,remark\n2026-01-10T00:00Z,n/a,closed,ok\n2026-01-10T01:00Z,1,closed,ok\n").record_count == 2


@pytest.mark.parametrize(
    ("text", "is_more"),
    [
        ("Page 1 of 3", True),
        ("Result truncated to 2 rows", True),
        ("... 478 more rows", True),
        ("truncated", True),
        ("Page 3 of 3", False),
        ("preliminary", False),
    ],
)
def test_a_line_that_says_that_there_are_more_rows_is_warned_of(text: str, is_more: bool) -> None:
    """Wherever it stands around the rows, and whichever key passes over it."""
    for lines, keys in (
        ([f"# {text}", "at,mw", *rows(2)], {"comment": "#"}),
        ([text, "at,mw", *rows(2)], {"skip": 1}),
        (["at,mw", f"# {text}", *rows(2)], {"comment": "#"}),
        (["at,mw", *rows(2), f"# {text}"], {"comment": "#"}),
        (["at,mw", *rows(2), text], {"footer": 1}),
    ):
        page = read("\n".join([*lines, ""]), **keys)
        assert (page.observations.num_rows, counted(page)[1]) == (2, is_more)
