"""Records in bodies of JSON, XML and CSV."""

import pytest

from gridtide.errors import FormatError, UpstreamError
from gridtide.sources.formats.records import records

BILLION_LAUGHS = b"""<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><rows><row><v>&b;</v></row></rows>"""


@pytest.mark.parametrize(
    ("body", "path", "found"),
    [
        (b'[{"a": 1}, {"a": 2}]', "", [{"a": 1}, {"a": 2}]),
        (b'{"a": 1}', "", [{"a": 1}]),
        (b'\xef\xbb\xbf \n{"data": {"items": [{"a": 1}]}}', "data.items", [{"a": 1}]),
        (b'{"data": {"a": 1}}', "data", [{"a": 1}]),
        (b'{"data": {"a": {"b": 1, "c": {"d": null}}}}', "data", [{"a.b": 1, "a.c.d": None}]),
        (b"[]", "", []),
        (b'{"data": []}', "data", []),
        (b'{"data": null}', "data", []),
    ],
)
def test_json_records_are_found_by_path(body: bytes, path: str, found: list[dict[str, object]]) -> None:
    """A list of objects, one object or nothing; nested columns by their path."""
    assert records("x", body, path) == found


@pytest.mark.parametrize(
    ("body", "path", "says"),
    [
        (b'{"data": {"rows": []}}', "data.items", 'records: "data.items" leads nowhere: .*"items".* there are rows'),
        (b'[{"a": 1}]', "data", '"data" should be, there is a list'),
        (b'{"a": {"b": 1}}', "a.b.c", '"c" should be, there is a number'),
        (b'{"a": "x"}', "a", "holds a text, no objects"),
        (b"[[1, 2]]", "", "holds a list, no objects"),
        (b"[" * 100_000, "", "nested too deep"),
    ],
)
def test_json_of_another_shape_is_a_format_error(body: bytes, path: str, says: str) -> None:
    """The message says what stands where the path leads."""
    with pytest.raises(FormatError, match=says):
        records("x", body, path)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"<!DOCTYPE html><html>maintenance</html>", "web page"),
        (b"  <HTML><body/></HTML>", "web page"),
        (b'[{"a": 1}, {"a"', "JSON is cut"),
        (b"<rows><row>", "XML is cut"),
    ],
)
def test_cut_bodies_and_web_pages_may_pass(body: bytes, says: str) -> None:
    """They are the upstream's trouble, to be retried."""
    with pytest.raises(UpstreamError, match=f"x: .*{says}"):
        records("x", body)


@pytest.mark.parametrize(
    ("body", "path", "found"),
    [
        (b"<rows><row><a>1</a></row><row><a>2</a></row></rows>", "", [{"a": "1"}, {"a": "2"}]),
        (b"<x><rows><row a='1'/><row a='2'/></rows></x>", "row", [{"a": "1"}, {"a": "2"}]),
        (b"<n:x xmlns:n='urn:n'><n:row n:a='1'><n:b> 2 </n:b></n:row></n:x>", "row", [{"a": "1", "b": "2"}]),
        (b"<x><row><m u='MW'>5</m><p><q>6</q></p></row></x>", "row", [{"m.u": "MW", "m": "5", "p.q": "6"}]),
        (b"<x><status>ok</status><rows/></x>", "rows.row", []),
        (b"<x><rows><row a='1'/></rows><row a='2'/></x>", "rows.row", [{"a": "1"}]),
        (b"<rows/>", "row", []),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?><r><row><a>\xb0</a></row></r>", "row", [{"a": "°"}]),
    ],
)
def test_xml_records_are_elements_with_attributes_and_texts(
    body: bytes, path: str, found: list[dict[str, str]]
) -> None:
    """Names are without namespaces; the element above may be named, so that it may be empty."""
    assert records("x", body, path) == found


def test_an_xml_error_message_is_not_an_answer_without_rows() -> None:
    """Where the named element is missing, the message lists the elements there are."""
    with pytest.raises(FormatError, match='no "row" among the elements error, code, text'):
        records("x", b"<error><code>7</code><text>no such report</text></error>", "row")


def test_xml_with_a_document_type_is_refused() -> None:
    """Entities are never expanded, so no body can grow without bound or name a file."""
    with pytest.raises(FormatError, match="document type"):
        records("x", BILLION_LAUGHS, "row")


@pytest.mark.parametrize(
    "body",
    [
        b"time,Natural Gas\n2024-01-01,5\n",
        b"\xef\xbb\xbftime;Natural Gas\r\n2024-01-01;5\r\n",
        b'\n"time"\t"Natural Gas"\n\n"2024-01-01"\t 5 \n',
    ],
    ids=["commas", "semicolons, CRLF and a byte order mark", "tabs, quotes and blank lines"],
)
def test_csv_records_have_the_columns_of_the_header(body: bytes) -> None:
    """Values stay text; what stands around them does not matter."""
    assert records("x", body) == [{"time": "2024-01-01", "Natural Gas": "5"}]


def test_a_csv_value_may_hold_commas_and_lines_when_quoted() -> None:
    """Quotes are read as RFC 4180 has them."""
    assert records("x", b'a,b\n"1,5","two\nlines"\n') == [{"a": "1,5", "b": "two\nlines"}]


def test_a_csv_of_its_header_has_no_rows_if_the_header_is_the_expected_one() -> None:
    """A line of text is not taken for an answer without rows."""
    assert records("x", b"time,load\n", column="time") == []
    with pytest.raises(FormatError, match="nor CSV with a header: 'Service unavailable, try later'"):
        records("x", b"Service unavailable, try later", column="time")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"Too many requests", "nor CSV with a header"),
        (b"a,a\n1,2\n", "nor CSV with a header"),
        (b"a,b\n1,2\n3\n", "row 3 of the CSV has 1 fields, its header 2"),
        (b"a,b\n1,2,3\n", "row 2 of the CSV has 3 fields"),
        (b"a,b\n\xff\xfe,2\n", "nor can it be read as CSV"),
        (b'a,b\n"1,2\n', "nor can it be read as CSV"),
        (b'"text"', "nor CSV with a header"),
    ],
)
def test_what_is_no_csv_is_a_format_error(body: bytes, says: str) -> None:
    """Text, repeated columns, ragged rows, other encodings and open quotes are refused."""
    with pytest.raises(FormatError, match=says):
        records("x", body)
