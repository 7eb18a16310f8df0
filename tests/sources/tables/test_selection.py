"""Columns that no key names are counted by name, and marks of numbers that cannot be decided are refused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gridtide.collect.checks import settle_page
from gridtide.config.loading import parse
from gridtide.errors import FormatError, UpstreamError
from gridtide.sources import generic
from gridtide.sources.contract import Page, Request, Response
from gridtide.sources.formats import csv_rows
from tests.sources.test_proposed_fixes import proposed_keys

TABLE = {"name": "table", "url": "https://grid.example/table", "output_folder": "table"}
TIMES = ("2026-01-10T00:00Z", "2026-01-10T01:00Z")


def read(body: str, **keys: Any) -> Page:
    """The page of `body`, read with `keys`."""
    entry = parse({"apis": [TABLE | keys]}).apis[0]
    return generic.parse_response(entry, Request(entry.url), Response(body.encode(), datetime(2026, 2, 1, tzinfo=UTC)))


def counts(page: Page) -> list[tuple[str, int, bool]]:
    """The columns that the page counts as not named, with their cells and whether a run warns of them."""
    return [(item.reason.partition(": ")[2], item.count, not item.expected) for item in page.skipped]


CSV = f"""t,load,losses,PTID,note
{TIMES[0]},1,5,61757,x
{TIMES[1]},2,,61757,x
"""
JSON = f"""{{"operator": "A", "rows": [{{"t": "{TIMES[0]}", "load": 1, "losses": 5, "PTID": 7, "note": "x"}},
{{"t": "{TIMES[1]}", "load": 2, "losses": null, "PTID": 7, "note": "x"}}]}}"""
XML = f"""<a><row t="{TIMES[0]}" PTID="7"><load>1</load><losses>5</losses><note>x</note></row>
<row t="{TIMES[1]}" PTID="7"><load>2</load><losses/><note>x</note></row></a>"""


@pytest.mark.parametrize(
    ("body", "records", "others"),
    [(CSV, None, "PTID, note"), (JSON, "rows", "PTID, note, operator"), (XML, "row", "PTID, note")],
)
def test_columns_that_no_key_names_are_counted_by_name(body: str, records: str | None, others: str) -> None:
    """Runs warn of numbers that may be values; ids, texts and what stands around the records are only recorded."""
    page = read(body, time="t", value="load", records=records)
    numbers, described = sorted(counts(page), key=lambda item: not item[2])
    assert numbers == ("losses", 2, True)
    assert (sorted(described[0].split(", ")), described[1:]) == (
        sorted(others.split(", ")),
        (2 * (others.count(",") + 1), False),
    )
    assert "losses: '5'" in next(item.example for item in page.skipped if not item.expected)
    assert counts(read(body, time="t", value="load", records=records, ignore=["loss*", "PTID", "*o*"])) == []


def test_columns_of_a_large_table_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their cells are counted without being read: each row of a CSV has all of them."""
    monkeypatch.setattr(csv_rows, "BLOCK_BYTES", 500)
    monkeypatch.setattr(csv_rows, "CACHED_BYTES", 500)
    rows = "".join(f"{hour},{hour},{hour + 0.5},x\n" for hour in range(1767225600, 1767225600 + 3600 * 300, 3600))
    page = read(f"t,load,losses,note\n{rows}", time="t", value="load")
    assert counts(page) == [("losses", 300, True), ("note", 300, False)]


def test_melted_columns_leave_the_others_counted() -> None:
    """Columns that no pattern of `melt` matches, and those without any content, are counted."""
    body = f"t,Zone A,Zone B,Total,Zone C\n{TIMES[0]},1,2,3,\n"
    page = read(body, time="t", melt=["Zone *"])
    assert counts(page) == [("Total", 1, True), ("Zone C", 1, False)]


MARKS = [
    (f"t;load;price\n{TIMES[0]};1.204;85,12\n{TIMES[1]};998;79,3\n", {"value": "load"}, [1204.0, 998.0]),
    (
        f"t;load;price\n{TIMES[0]};1,204;85.12\n{TIMES[1]};998;79.3\n",
        {"value": "load", "decimal": ","},
        [1204.0, 998.0],
    ),
    (f"t;load;price\n{TIMES[0]};1.204;85,12\n", {"value": ["load", "price"], "decimal": ","}, [1204.0, 85.12]),
    (f"t;a;b\n{TIMES[0]};1.204;85,12\n", {"melt": "a"}, [1204.0]),
]


@pytest.mark.parametrize(("body", "keys", "values"), MARKS)
def test_thousands_or_decimals_are_not_guessed(body: str, keys: dict[str, Any], values: list[float]) -> None:
    """1.204 beside 85,12 is refused, and the keys of the message read it as thousands."""
    with pytest.raises(FormatError, match="thousands") as error:
        read(body, **keys)
    table = read(body, **{**keys, **proposed_keys(error.value.fix)}).observations
    assert table["value"].to_pylist() == values


def test_decimals_are_read_where_the_other_column_is_ignored() -> None:
    """The message proposes that too; and numbers that cannot be thousands are read without a question."""
    body, keys, _ = MARKS[0]
    assert read(body, **keys, ignore=["price"]).observations["value"].to_pylist() == [1.204, 998.0]
    assert read(body.replace("1.204", "1.2045"), **keys).observations["value"].to_pylist() == [1.2045, 998.0]
    assert read(body.replace("1.204", "0.204"), **keys).observations["value"].to_pylist() == [0.204, 998.0]


def number_hours(hours: Sequence[int], day: str = "2026-01-10") -> str:
    """A CSV with a row for each number of an hour."""
    return "day,hour,v\n" + "".join(f"{day},{hour},{hour}\n" for hour in hours)


@pytest.mark.parametrize(
    ("hours", "label", "day"),
    [
        (range(1, 26), "end", "2026-01-10"),
        (range(26), "start", "2026-01-10"),
        (range(1, 25), "start", "2026-01-10"),
        (range(24), "end", "2026-01-10"),
        (range(1, 27), "end", "2026-11-01"),
    ],
)
def test_an_hour_that_the_day_does_not_have_is_no_hour_of_the_next_day(
    hours: Sequence[int], label: str, day: str
) -> None:
    """The 25th hour of a day of 24, and numbers that do not fit the label, are refused."""
    keys = {"time": ["day", "hour"], "interval": "PT1H", "value": "v", "timezone": "America/New_York"}
    with pytest.raises(FormatError, match="the day has no interval"):
        read(number_hours(hours, day), label=label, **keys)


@pytest.mark.parametrize(("day", "hours"), [("2026-11-01", 25), ("2026-03-08", 23)])
def test_hours_numbered_through_may_be_empty(day: str, hours: int) -> None:
    """An hour without a value does not move the others of a day of 23 or 25 hours."""
    keys = {"time": ["day", "hour"], "interval": "PT1H", "timezone": "America/New_York", "label": "end"}
    whole = read(number_hours(range(1, hours + 1), day), value="v", **keys).observations
    body = number_hours(range(1, hours + 1), day).replace(f"{day},3,3\n", f"{day},3,\n")
    table = read(body, value="v", **keys).observations
    assert table["interval_start"] == whole["interval_start"]
    assert table["value"].to_pylist() == [None if hour == 3 else hour for hour in range(1, hours + 1)]


@pytest.mark.parametrize(("numbers", "label"), [(range(24), "end"), (range(1, 25), "start")])
def test_columns_of_hours_that_contradict_their_label_are_refused(numbers: Sequence[int], label: str) -> None:
    """H00 is no end of an hour, and H24 no start; the message proposes the other label."""
    body = f"day,{','.join(f'H{number:02}' for number in numbers)}\n2026-01-10,{','.join(map(str, numbers))}\n"
    hours = {"columns": "H{hour:02}", "label": label}
    with pytest.raises(FormatError, match="the columns are called by the") as error:
        read(body, time="day", hours=hours)
    table = read(body, time="day", **proposed_keys(error.value.fix)).observations
    assert table["value"].to_pylist() == list(numbers)
    assert table["interval_start"][0].as_py() == datetime(2026, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(("hour", "part"), [(25, 1), (0, 1), (1, 5), (1, 0)])
def test_parts_of_hours_are_of_the_day(hour: int, part: int) -> None:
    """A fifth quarter of an hour is not the first of the next one."""
    body = f"day,hour,part,v\n2026-01-10,1,1,7\n2026-01-10,{hour},{part},8\n"
    with pytest.raises(FormatError, match=f"the day has no interval {part} of hour {hour}"):
        read(body, time=["day", "hour", "part"], label="end", interval="PT15M", value="v")


def test_records_are_selected_by_columns_that_exist() -> None:
    """A column of `where` that is not there is refused; a run warns if its texts select no record at all."""
    body = f"t,kind,v\n{TIMES[0]},actual,1\n{TIMES[0]},forecast,2\n"
    with pytest.raises(FormatError, match="where: no record has a column sort; the columns are: t, kind, v"):
        read(body, value="v", where={"sort": ["actual"]})
    for texts, values, warns in ((["actual"], [1.0], False), (["act"], [], True)):
        page = read(body, value="v", where={"kind": texts})
        assert page.observations["value"].to_pylist() == values
        assert [not item.expected for item in page.skipped] == [warns]


def test_a_fault_of_soap_is_asked_again() -> None:
    """It stands in the body of an envelope, and is no answer without records."""
    fault = "<Envelope><Body><Fault><faultcode>x</faultcode><faultstring>busy</faultstring></Fault></Body></Envelope>"
    with pytest.raises(UpstreamError, match="answers with an error"):
        read(fault, records="row", time="t", value="v")


def test_utf_16_without_a_mark_is_read() -> None:
    """Every other byte of its letters is zero, whichever comes first."""
    for encoding in ("utf-16-le", "utf-16-be"):
        entry = parse({"apis": [{**TABLE, "value": "load", "ignore": ["*"]}]}).apis[0]
        response = Response(CSV.encode(encoding), datetime(2026, 2, 1, tzinfo=UTC))
        page = generic.parse_response(entry, Request(entry.url), response)
        assert page.observations["value"].to_pylist() == [1.0, 2.0]


def test_a_null_and_a_value_are_named_as_different_values() -> None:
    """The example of a conflict shows both."""
    page = read(f"t,v\n{TIMES[0]},\n{TIMES[0]},5\n", value="v")
    settled = settle_page(page, parse({"apis": [TABLE]}).apis[0], Request(TABLE["url"]), None)
    assert [item.example.partition(" with ")[2] for item in settled.skipped] == ["5.0 and no value"]


@pytest.mark.parametrize(
    ("cells", "values"), [("true,2", [2]), ("1,false", [1]), ("true,false", [1, 0]), ("0,1", [0, 1])]
)
@pytest.mark.parametrize("is_json", [False, True])
def test_true_and_false_are_numbers_only_in_a_column_of_flags(cells: str, values: list[float], is_json: bool) -> None:
    """Among numbers they are no measurements: they are counted and not stored."""
    first, second = cells.split(",")
    body = f"t,v\n{TIMES[0]},{first}\n{TIMES[1]},{second}\n"
    if is_json:
        body = f'[{{"t":"{TIMES[0]}","v":{first}}},{{"t":"{TIMES[1]}","v":{second}}}]'
    page = read(body, time="t", value="v")
    assert page.observations["value"].to_pylist() == values
    assert sum(item.count for item in page.skipped if not item.expected) == 2 - len(values)


@pytest.mark.parametrize(
    ("cells", "is_refused"),
    [
        (["1.204", "1.310"], True),
        (["1.204", "998"], True),
        (["1.204.310", "2.204"], True),
        (["12.345", "12.3"], False),
        (["50.012", "0.987"], False),
        (["1204.310", "2.204"], False),
        (["12.34", "12.34"], False),
        (["1204", "1310"], False),
    ],
)
def test_points_in_a_csv_with_semicolons_may_be_thousands(cells: list[str], is_refused: bool) -> None:
    """If every point of a column may be one, and no cell of the table shows that it is not, the entry says which it is;
    each of the two keys that are proposed reads the table."""
    body = "".join(f"{line}\n" for line in ("t;v", *map(";".join, zip(TIMES, cells, strict=True))))
    if not is_refused:
        assert read(body, time="t", value="v").observations["value"].to_pylist() == [float(cell) for cell in cells]
    else:
        with pytest.raises(FormatError, match=r'add "decimal": ",", "thousands": "."; or, if not, "decimal": "."'):
            read(body, time="t", value="v")
        thousands = read(body, time="t", value="v", decimal=",", thousands=".").observations["value"].to_pylist()
        assert thousands == [float(cell.replace(".", "")) for cell in cells]
        if cells[0].count(".") == 1:
            for keys in ({"thousands": ","}, {"decimal": "."}):
                decimals = read(body, time="t", value="v", **keys).observations["value"].to_pylist()
                assert decimals == [float(cell) for cell in cells]
    if cells[0].count(".") < 2:
        numbers = [float(cell) for cell in cells]
        assert read(body.replace(";", ","), time="t", value="v").observations["value"].to_pylist() == numbers


def test_a_column_of_flags_is_no_proposal_for_a_series() -> None:
    """Of several columns of numbers those are proposed that may be series; the flags are proposed to be ignored."""
    body = f"time,Load MW,flag,PTID\n{TIMES[0]},10,0,7\n{TIMES[1]},11,1,7\n"
    with pytest.raises(FormatError) as refused:
        read(body)
    keys = proposed_keys(refused.value.fix)
    assert (keys["value"], keys["ignore"]) == (["Load MW"], ["flag"])
    assert [item for item in read(body, value="Load MW", ignore=["flag"]).skipped if not item.expected] == []


@pytest.mark.parametrize(
    ("first", "second", "warned"), [(60, 15, 4), (15, 60, 3), (30, 15, 4), (15, 15, 0), (60, 60, 0)]
)
def test_intervals_that_were_longer_once_are_warned_of(first: int, second: int, warned: int) -> None:
    """Where hours become quarter-hours, one constant length leaves out a part of the hours; with gaps none is."""
    start = datetime(2026, 1, 10, tzinfo=UTC)
    starts = [start + timedelta(minutes=first * number) for number in range(5)]
    starts += [starts[-1] + timedelta(minutes=second * number) for number in range(1, 4)]
    body = "".join(["t,v\n", *(f"{moment:%Y-%m-%dT%H:%MZ},1\n" for moment in starts)])
    page = read(body, interval="PT15M" if 15 in (first, second) else "PT1H")
    assert [item.count for item in page.skipped] == ([warned] if warned else [])
    page = read(body, interval="gaps", resolution="PT15M")
    ends = page.observations["interval_end"].to_pylist()
    assert (ends[:-1], page.skipped) == (page.observations["interval_start"].to_pylist()[1:], ())


@pytest.mark.parametrize(("cell", "fix"), [("5k", "k may multiply the number"), ("5 MW", 'add "strip": \\["MW"\\]')])
def test_a_text_that_may_multiply_a_number_is_not_proposed_as_its_unit(cell: str, fix: str) -> None:
    """Without it, the number would be a thousandth."""
    with pytest.raises(FormatError, match=fix):
        read(f"t,v\n{TIMES[0]},{cell}\n", time="t", value="v")
