"""The records in a body of JSON, XML or CSV, whichever it is: flat dictionaries, columns by path."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree.ElementTree import Element

from gridtide.errors import FormatError, UpstreamError
from gridtide.sources.formats.xml import is_html, tree

Record = dict[str, Any]


def records(entry: str, body: bytes, path: str = "", column: str | None = None) -> list[Record]:
    """The records of `body` in order; what is nested in one is named by its path (`main.temp`).

    `path` leads through a JSON answer to its records (`data.items`), an object being one record, or
    names the XML elements that are records (`row`, or `rows.row` where `rows` may be empty). It
    defaults to the root of JSON and the children of an XML root. A CSV needs none; one without rows
    is told from a line of text by `column` in its header.

    Raises `UpstreamError` for a web page, no body, and cut JSON or XML; `FormatError` for a `path`
    that leads nowhere and for what is neither JSON nor XML nor CSV.
    """
    start = body[:200].removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start:
        raise UpstreamError(entry, "the body is empty")
    if is_html(body):
        raise UpstreamError(entry, "the body is a web page, not data")
    try:
        if start[:1] in b"{[":
            return _from_json(entry, body, path)
        if start[:1] == b"<":
            return _from_xml(entry, body, path)
        return _from_csv(entry, body, column)
    except RecursionError as error:
        raise FormatError(entry, "the records are nested too deep") from error


def _from_json(entry: str, body: bytes, path: str) -> list[Record]:
    try:
        found = json.loads(body)
    except ValueError as error:
        raise UpstreamError(entry, f"the JSON is cut or broken: {error}") from error
    for key in path.split(".") if path else ():
        if not isinstance(found, dict) or key not in found:
            there = f"there are {', '.join(found)}" if isinstance(found, dict) else f"there is a {_kind(found)}"
            raise FormatError(entry, f'records: "{path}" leads nowhere: where "{key}" should be, {there}')
        found = found[key]
    if found is None:
        return []
    found = found if isinstance(found, list) else [found]
    strange = [record for record in found if not isinstance(record, dict)]
    if strange:
        raise FormatError(
            entry, f'records: "{path}" holds a {_kind(strange[0])}, no objects', "Correct the path to the records"
        )
    return [dict(_leaves(record)) for record in found]


def _kind(value: Any) -> str:
    return {str: "text", list: "list", type(None): "null"}.get(type(value), "number")


def _leaves(record: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield path + key, value


def _from_xml(entry: str, body: bytes, path: str) -> list[Record]:
    root = tree(entry, body)
    *above, name = path.split(".")
    if above:
        holders = list(root.iter(above[-1]))
        found = [element for holder in holders for element in holder if element.tag == name]
    else:
        holders = found = list(root.iter(name)) if name else list(root)
    if len(root) and not holders:
        tags = ", ".join(dict.fromkeys(element.tag for element in root.iter()))
        raise FormatError(
            entry,
            f'records: no "{path}" among the elements {tags}',
            'Correct "records", as "rows.row" if rows may be empty',
        )
    return [dict(_texts(element)) for element in found]


def _texts(element: Element, path: str = "") -> Iterator[tuple[str, str]]:
    """The attributes of `element` and the texts of the elements in it."""
    for key, value in element.attrib.items():
        yield path + key, value
    for child in element:
        yield from _texts(child, f"{path}{child.tag}.")
        if not len(child):
            yield path + child.tag, (child.text or "").strip()


def _from_csv(entry: str, body: bytes, column: str | None) -> list[Record]:
    try:
        text = body.decode("utf-8-sig").lstrip()
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header, *rows = ([field.strip() for field in line] for line in lines if line)
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(entry, f"the body is neither JSON nor XML, nor can it be read as CSV: {error}") from error
    if len(header) < 2 or len(set(header)) < len(header) or not (rows or column in header):
        raise FormatError(entry, f"the body is neither JSON nor XML, nor CSV with a header: {text[:80]!r}")
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise FormatError(entry, f"row {number} of the CSV has {len(row)} fields, its header {len(header)}")
    return [dict(zip(header, row, strict=True)) for row in rows]
