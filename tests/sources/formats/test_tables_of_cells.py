"""Tables of cells in bodies of JSON, XML and CSV."""

from typing import Any

import pytest

from gridtide.config.loading import parse
from gridtide.entries.table_layout import NumberStyle
from gridtide.errors import FormatError, QuotaError, UpstreamError
from gridtide.sources.formats.json_rows import read_json
from gridtide.sources.formats.xml_rows import read_xml
from gridtide.sources.tables.answers import read_cells

BILLION_LAUGHS = b"""<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><rows><row><v>&b;</v></row></rows>"""


def records(body: bytes, **keys: Any) -> list[dict[str, str]]:
    """The records of `body`, without missing cells."""
    raw = {"name": "x", "url": "https://grid.example/x", "output_folder": "x"}
    table, _ = read_cells(parse({"apis": [raw | keys]}).apis[0], body, {})
    columns = table.read(table.names)
    return [
        {name: text for name in table.names if (text := columns[name][row].as_py()) is not None}
        for row in range(table.rows)
    ]


@pytest.mark.parametrize(
    ("body", "path", "found_records"),
    [
        (b'[{"a": 1}, {"a": 2}]', None, [{"a": "1"}, {"a": "2"}]),
        (b'{"a": 1}', None, [{"a": "1"}]),
        (b'\xef\xbb\xbf \n{"data": {"items": [{"a": 1}]}}', "data.items", [{"a": "1"}]),
        (b'{"data": {"a": 1}}', "data", [{"a": "1"}]),
        (b'{"data": {"a": {"b": 1, "c": {"d": null}}}}', "data", [{"a.b": "1", "a.c.d": ""}]),
        (b"[]", None, []),
        (b'{"data": []}', "data", []),
        (b'{"data": null}', "data", []),
        (b"null", None, []),
        (b'{"a": [{"t": 1}, {"t": 2}]}', "a[?t > `1`]", [{"t": "2"}]),
        (b'{"a": [{"k": "x", "b": [{"t": 1}, {"t": 2}]}]}', "a.b", [{"k": "x", "t": "1"}, {"k": "x", "t": "2"}]),
        (b'{"a": [{"t": 0, "b": [{"t": 1}]}]}', "a.b", [{"above.t": "0", "t": "1"}]),
        (b'[{"data": {"b": [{"t": 1}]}}]', "data.b", [{"t": "1"}]),
    ],
)
def test_json_records_are_read_by_path(body: bytes, path: str | None, found_records: list[dict[str, str]]) -> None:
    """Records are a list of objects, one object or nothing, also within lists; nested columns are named by their
    path."""
    assert records(body, records=path) == found_records


@pytest.mark.parametrize(
    ("body", "keys", "found_records"),
    [
        (b'[["t", "v"], [1, 2.5]]', {"layout": "rows"}, [{"t": "1", "v": "2.5"}]),
        (b"[[1, null]]", {"layout": "rows", "header": ["t", "v"]}, [{"t": "1", "v": ""}]),
        (
            b'{"fields": [{"name": "t"}, {"name": "v"}], "data": [[1, 2]]}',
            {"layout": "rows", "records": "data", "header": "fields[].name"},
            [{"t": "1", "v": "2"}],
        ),
        (
            b'{"t": [1, 2], "v": [3, 4], "unit": "MW"}',
            {"layout": "columns"},
            [{"t": "1", "v": "3", "unit": "MW"}, {"t": "2", "v": "4", "unit": "MW"}],
        ),
        (
            b'{"2026-01-01": 5, "2026-01-02": 6}',
            {"layout": "keyed"},
            [{"key": "2026-01-01", "value": "5"}, {"key": "2026-01-02", "value": "6"}],
        ),
        (b'{"2026-01-01": {"v": 5}}', {"layout": "keyed"}, [{"key": "2026-01-01", "v": "5"}]),
        (b'{"t": 1}\n\n{"t": 2}\n', {"layout": "lines"}, [{"t": "1"}, {"t": "2"}]),
        (b'{"t": 1}\n{"t": 2}', {}, [{"t": "1"}, {"t": "2"}]),
        (b'callback([{"t": 1}]);', {}, [{"t": "1"}]),
        (b'null({"a": [{"t": 1}]})', {"records": "a"}, [{"t": "1"}]),
        (b'"[{\\"t\\": 1}]"', {}, [{"t": "1"}]),
    ],
)
def test_json_is_read_in_its_layout(body: bytes, keys: dict[str, Any], found_records: list[dict[str, str]]) -> None:
    """Lists of lists, lists in an object, an object by time, lines, and JSON inside other text are read."""
    assert records(body, **keys) == found_records


@pytest.mark.parametrize(
    ("body", "path", "says"),
    [
        (b'{"data": {"rows": []}}', "data.items", 'records: "data.items" leads nowhere: .*"items".* there are rows'),
        (b'[{"a": 1}]', "data", '"data" should be, there are a'),
        (b'{"a": {"b": 1}}', "a.b.c", '"c" should be, there is a number'),
        (b'{"a": "x"}', "a", "holds a text, no objects"),
        (b"[[1, 2]]", None, 'holds a list, no objects.*"layout": "rows", and "header": \\["time", "value"\\]'),
        (b'{"t": [1, 2], "v": [3, 4]}', None, 'object of lists.*"layout": "columns"'),
        (b"[" * 100_000, None, "nested too deep"),
    ],
)
def test_json_of_another_shape_is_a_format_error(body: bytes, path: str | None, says: str) -> None:
    """The message says what is at the path."""
    with pytest.raises(FormatError, match=says):
        records(body, records=path)


@pytest.mark.parametrize(
    ("body", "keys", "says"),
    [
        (b'{"t": [1], "v": [3, 4]}', {"layout": "columns"}, "not equally long: t has 1, v has 2"),
        (b"[[1, 2], [3]]", {"layout": "rows", "header": ["t", "v"]}, "row 2 has 1 fields"),
        (b"[[1, 2]]", {"layout": "rows"}, "the first row holds no names"),
        (b"[1]", {"layout": "keyed"}, "holds no object"),
    ],
)
def test_json_that_is_not_laid_out_as_said_is_a_format_error(body: bytes, keys: dict[str, Any], says: str) -> None:
    """The message names the part that does not match the layout."""
    with pytest.raises(FormatError, match=says):
        records(body, **keys)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"<!DOCTYPE html><html>maintenance</html>", "web page"),
        (b"  <HTML><body/></HTML>", "web page"),
        (b"<script>location='/challenge'</script>", "web page"),
        (b"<!-- cache 7 --><html><body/></html>", "web page"),
        (b"<?xml version='1.0'?><!DOCTYPE html PUBLIC 'x' 'y'><html xmlns='z'/>", "web page"),
        (b'<error code="17" message="quota for today is used up"/>', "answers with an error: .*quota for today"),
        (b"<error><code>7</code><text>no such report</text></error>", "answers with an error: .*no such report"),
        (b"<notice>come back later</notice>", "answers with an error: .*come back later"),
        (b'[{"a": 1}, {"a"', "JSON is cut"),
        (b'{"a": 1}\n{"a"', "line 2 of the JSON lines is cut"),
        (b"<rows><row>", "XML is cut"),
        (b"time,load\n2026-01-01,5\n2026-", "CSV is cut in its last line: '2026-'"),
    ],
)
def test_cut_bodies_pages_and_errors_may_pass(body: bytes, says: str) -> None:
    """Truncated bodies, web pages and errors are upstream errors, which are retried."""
    with pytest.raises(UpstreamError, match=f"x: .*{says}"):
        records(body)


@pytest.mark.parametrize(
    ("body", "path", "found_records"),
    [
        (b"<rows><row><a>1</a></row><row><a>2</a></row></rows>", None, [{"a": "1"}, {"a": "2"}]),
        (b"<x><rows><row a='1'/><row a='2'/></rows></x>", "row", [{"a": "1"}, {"a": "2"}]),
        (b"<n:x xmlns:n='urn:n'><n:row n:a='1'><n:b> 2 </n:b></n:row></n:x>", "row", [{"a": "1", "b": "2"}]),
        (b"<x><row><m u='MW'>5</m><p><q>6</q></p></row></x>", "row", [{"m.u": "MW", "m": "5", "p.q": "6"}]),
        (b"<x><status>ok</status><rows/></x>", "rows.row", []),
        (b"<x><rows><row a='1'/></rows><row a='2'/></x>", "rows.row", [{"a": "1"}]),
        (b"<x><rows><row a='1'/></rows><row a='2'/></x>", "rows/row", [{"a": "1"}]),
        (b"<rows/>", "row", []),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?><r><row><a>\xb0</a></row></r>", "row", [{"a": "\u00b0"}]),
        (
            b"<x><day>2026-01-01</day><z n='A'><h a='1'/><h a='2'/></z></x>",
            "h",
            [{"day": "2026-01-01", "n": "A", "a": "1"}, {"day": "2026-01-01", "n": "A", "a": "2"}],
        ),
    ],
)
def test_xml_records_are_elements_with_attributes_and_texts(
    body: bytes, path: str | None, found_records: list[dict[str, str]]
) -> None:
    """Names have no namespaces, the parent element may be named, and its contents are columns too."""
    assert records(body, records=path) == found_records


def test_children_that_repeat_in_a_record_are_refused() -> None:
    """Repeated children are refused, because only one could be stored; the message says how each becomes a record."""
    with pytest.raises(FormatError, match=r'record 1, <day>, holds hour\.v more than once.*"records": "day.hour"'):
        records(b"<x><day><hour v='1'/><hour v='2'/></day></x>", records="day")


def test_an_xml_without_the_named_element_lists_those_there_are() -> None:
    """If the named element is missing, the message lists the existing ones."""
    with pytest.raises(FormatError, match='no "row" among the elements data, line, v'):
        records(b"<data><line><v>7</v></line></data>", records="row")


def test_xml_with_a_document_type_is_refused() -> None:
    """XML with a document type is refused, so entities are never expanded."""
    with pytest.raises(FormatError, match="document type"):
        records(BILLION_LAUGHS, records="row")


@pytest.mark.parametrize(
    ("body", "keys"),
    [
        (b"time,Natural Gas\n2024-01-01,5\n", {}),
        (b"\xef\xbb\xbftime;Natural Gas\r\n2024-01-01;5\r\n", {}),
        (b'\n"time"\t"Natural Gas"\n\n"2024-01-01"\t 5 \n', {}),
        (b"title\n\ntime,Natural Gas\n2024-01-01,5\n", {"skip": 1}),
        (b"title\n\ntime,Natural Gas\n2024-01-01,5\n", {"skip": "until:time"}),
        (b"# MW\ntime,Natural Gas\n# x\n2024-01-01,5\n", {"comment": "#"}),
        (b"time,Natural Gas\nUTC,MW\n2024-01-01,5\nTotal,5\n", {"header": 2, "footer": 1}),
        (b"2024-01-01,5\n", {"header": ["time", "Natural Gas"]}),
        (b"time|Natural Gas\n2024-01-01|5\n", {"csv": {"delimiter": "|"}}),
        (b"time,'Natural Gas'\n'2024-01-01','5'\n", {"quote": "'"}),
        ("time,Natural Gas\n2024-01-01,5\n".encode("utf-16"), {}),
        (b"time,Natural Gas,\n2024-01-01,5\n", {}),
    ],
)
def test_csv_records_have_the_columns_of_the_header(body: bytes, keys: dict[str, Any]) -> None:
    """Values stay texts, without the spaces around them and the lines around the table."""
    assert records(body, **keys) == [{"time": "2024-01-01", "Natural Gas": "5"}]


def test_the_charset_is_the_declared_one_else_what_the_text_tells() -> None:
    """Latin-1, Shift_JIS and the encoding of the entry are read."""
    from gridtide.sources.formats.bodies import encode_utf8

    japanese = "日時,需要\n2026-01-10T00:00,2102\n2026-01-10T01:00,2080\n"
    assert encode_utf8("x", "é,b".encode("latin-1"), None, "text/csv; charset=iso-8859-1") == "é,b".encode()
    assert encode_utf8("x", japanese.encode("cp932"), None, "text/csv") == japanese.encode()
    assert encode_utf8("x", japanese.encode("euc-jp"), "euc-jp", "text/csv; charset=utf-8") == japanese.encode()


def test_a_csv_value_may_hold_commas_and_lines_when_quoted() -> None:
    """Quoted values are read by RFC 4180."""
    assert records(b'a,b\n"1,5","two\nlines"\n') == [{"a": "1,5", "b": "two\nlines"}]


def test_a_csv_of_its_header_has_no_rows_if_the_header_is_the_expected_one() -> None:
    """A single line of text is not an answer without rows, unless it is the expected header."""
    assert records(b"time,load\n", time="time") == []
    with pytest.raises(UpstreamError, match="nor CSV with a header: 'Service unavailable, try later'"):
        records(b"Service unavailable, try later", time="time")
    with pytest.raises(QuotaError, match="nor CSV with a header: 'Too many requests'"):
        records(b"Too many requests")
    with pytest.raises(FormatError, match="nor CSV with a header: 'Load by hour, preliminary'"):
        records(b"Load by hour, preliminary", time="time")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"Load by hour", "nor CSV with a header"),
        (b"a,a\n1,2\n", "holds 'a' more than once"),
        (b"a,b\n1,2,3\n", "row 2 of the CSV has 3 fields"),
        (b'a,b\n"1,2\n', "nor can it be read as CSV"),
        (b'"text"\n', "nor CSV with a header"),
    ],
)
def test_what_is_no_csv_is_a_format_error(body: bytes, says: str) -> None:
    """Text that speaks of no failure, repeated columns, too long rows, open quotes and documents are refused."""
    with pytest.raises(FormatError, match=says):
        records(body)


@pytest.mark.parametrize(
    ("document", "fix"),
    [
        ({"answer": {"rows": [{}] * 3}, "meta": [{}]}, r'"records": "answer.rows" \(3\), or "records": "meta" \(1\)'),
        ({"series": [{"points": [{}] * 2}, {"points": [{}] * 2}]}, r'"records": "series.points" \(4\)'),
        ({"series": [[1, 2], [3, 4]]}, r'"records": "series" \(2\)'),
        ([{"a": 1}, {"a": 2}], r'leave "records" out \(2\)'),
        ({"a.b": [{}], "c": 1}, 'Correct "records"'),
    ],
)
def test_a_wrong_path_names_those_that_lead_to_records(document: Any, fix: str) -> None:
    """The best first: that to the most records; lists within a list count together."""
    for path in ("data", "data[0]"):
        with pytest.raises(FormatError, match=fix):
            read_json("grid", document, path, "records", 1, NumberStyle())


def test_a_wrong_element_names_those_that_may_be_records() -> None:
    """Elements with attributes or with texts within them."""
    body = b"<r><h><v>1</v></h><d><p t='1'/><p t='2'/></d></r>"
    with pytest.raises(FormatError, match=r'no "q" among.*"records": "p" \(2\), or "records": "h" \(1\)'):
        read_xml("grid", body, "q", "records")
