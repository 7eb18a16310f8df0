"""Cuts the bytes of a CSV into rows and cells, block by block, after removing the lines around its rows.

    bytes (UTF-8) ─► rows ─► labels, whole          tokenised once, which counts the rows
                          └► values, block by block  as numbers if a column of a block has nothing else

A body may be as large as memory allows, so it is never copied: rows are a span of its bytes.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from gridtide.entries.table_layout import Csv, NumberStyle
from gridtide.errors import FormatError, UpstreamError
from gridtide.observations.arrays import one_chunk
from gridtide.sources.contract import BOM, Skipped
from gridtide.sources.formats.cells import (
    CellColumns,
    CellTable,
    attach_constants,
    build_strings,
    find_spelling,
    number_positions,
    split_alternatives,
)
from gridtide.sources.formats.numbers import (
    has_infinite,
    list_null_texts,
    parse_number,
    parse_plain_numbers,
    remove_group_marks,
)
from gridtide.sources.formats.paging import says_more

BLOCK_BYTES = 1 << 20
"""The bytes of rows that are cut into cells at a time. Of wide rows of numbers, the observations take forty times as
many; smaller blocks take more time."""

CACHED_BYTES = 1 << 17
"""Bytes of which a processor keeps all intermediate results at hand: they take half the time per byte of 2 MB."""

ONE_PASS_BYTES = 16 << 20
"""The most bytes of rows of which labels and values are read at once, and kept."""

CELLS_IN_PIECE = 1 << 18
"""The most values that are yielded at once if all are kept: of these, the observations take 20 MB."""

HEAD_LINES = 1000
"""The lines that are searched for the header, after skipped lines."""

FIRST_LINES = 12
"""The lines among which the header is, if the first of them has one of the expected names."""

END_BYTES = 1 << 14
LINES_COMPARED = 5
"""The bytes and lines at either end of the rows that show how records look."""

NO_TABLE = "the body is neither JSON nor XML, nor CSV with a header"
"""What happened if a body has no table."""

NAMELESS = "column {}"
"""The name of a column without a name in the header."""


@dataclass(frozen=True)
class _Line:
    """A line of a body: its number, from 1, its first and end byte, and its text."""

    number: int
    begin: int
    end: int
    text: str


@dataclass(frozen=True)
class _Rows:
    """The rows of a CSV, which are the bytes from `begin` to `end` of `body`, its columns, and the number of their
    first line, from 1."""

    body: bytes
    begin: int
    end: int
    names: list[str]
    first_line: int
    delimiter: str

    @property
    def newline(self) -> bytes:
        """The end of a row."""
        return _find_newline(self.body)


@dataclass(frozen=True)
class _Around:
    """The rows of a CSV; its columns `above` them; and the lines around them: `before` the header, of the `header`
    itself, `between` it and the rows, and `behind` them."""

    rows: _Rows
    above: dict[str, str]
    before: Sequence[str]
    header: Sequence[str]
    between: Sequence[str]
    behind: Sequence[str]


@dataclass(frozen=True)
class _RecordShape:
    """How records look: their number of `fields`, and how the field number `place` is written, its digits as zeros."""

    fields: int
    place: int
    written: frozenset[str]
    delimiter: str
    quote: str

    @classmethod
    def of(cls, rows: _Rows, style: Csv, times: Sequence[str]) -> _RecordShape:
        """Returns the shape of the first and the last of `rows`, by the first of the columns `times` or, without any,
        the first field with a date. If the rows have no such column, no line fits."""
        lines = [line for line in _list_ends(rows) if _is_row(line, style)]
        split = [_split_fields(line, rows.delimiter, style.quote) for line in lines]
        whole = [fields for fields in split if len(fields) == len(rows.names)]
        dates = (place for fields in whole for place, text in enumerate(fields) if re.search(r"\d[-/.: ]\d", text))
        named = [rows.names.index(name) for name in split_alternatives(times[:1]) if name in rows.names]
        place = next(iter(named), -1) if times else next(dates, -1)
        written = frozenset(filter(None, (_write_shape(fields[place]) for fields in whole if place >= 0)))
        return cls(len(rows.names), place, written, rows.delimiter, style.quote)

    def fits(self, line: str) -> bool:
        """Whether `line` may be a record: it has as many fields, and one that is written as the times of records."""
        fields = _split_fields(line, self.delimiter, self.quote)
        if len(fields) != self.fields or self.place < 0:
            return False
        shape = _write_shape(fields[self.place])
        return shape in self.written if self.written else bool(shape)


def _split_fields(line: str, delimiter: str, quote: str) -> list[str]:
    return next(csv.reader([line.strip("\r\n")], delimiter=delimiter, quotechar=quote), [])


def _write_shape(text: str) -> str:
    """Returns `text` with a zero for each group of digits; empty without any digit."""
    return re.sub(r"\d+", "0", text.strip()) if re.search(r"\d", text) else ""


def _list_ends(rows: _Rows) -> list[str]:
    """Returns the first and the last lines of `rows`."""
    first = rows.body[rows.begin : min(rows.end, rows.begin + END_BYTES)].splitlines()[:LINES_COMPARED]
    last = rows.body[max(rows.begin, rows.end - END_BYTES) : rows.end].splitlines()[-LINES_COMPARED:]
    return [line.decode("utf-8", "replace") for line in (*first, *last)]


def read_csv(
    entry: str,
    body: bytes,
    style: Csv,
    columns: Sequence[str],
    labels: Sequence[str] = (),
    *,
    length_known: bool = True,
    numbers: NumberStyle | None = None,
    times: Sequence[str] = (),
) -> CellTable:
    """Reads the table in `body`, a UTF-8 text in this `style`. Its header must have some of the `columns`, which
    distinguish it from a line of text; `labels` are columns that will be read whole. With the style of its `numbers`,
    the other `columns` are read together with the labels, unless the body is large. Lines that are no rows look like
    records if their first column of `times` does.

    Raises `UpstreamError` if the text ends in the middle of a line, `FormatError` if there is no header or a row has
    more fields than the header.
    """
    around = _cut_around(entry, body, style, [name for name in columns if name not in style.above])
    rows = around.rows
    _refuse_cut_text(entry, rows, style, length_known)
    present_labels = [name for name in labels if name in rows.names]
    values = [name for name in split_alternatives(columns) if name in rows.names and name not in present_labels]
    shape = _RecordShape.of(rows, style, times)
    kept_rows, dropped = _drop_other_lines(entry, around, style, shape)
    cells = _Cells(kept_rows, style.quote)
    if numbers is not None:
        cells.read_ahead(present_labels, values, numbers)
    table = _build_table(entry, cells, style, present_labels)
    _refuse_open_quote(entry, cells, style, shape)
    table.skipped.extend([*dropped, *_count_around(around, style, shape)])
    return attach_constants(table, around.above)


def refuse_cut_text(entry: str, body: bytes, style: Csv, columns: Sequence[str], *, length_known: bool) -> None:
    """Raises `UpstreamError` if the CSV in `body` ends in the middle of a line; the arguments are those of
    `read_csv`."""
    _refuse_cut_text(entry, _cut_around(entry, body, style, columns).rows, style, length_known)


def _find_newline(body: bytes) -> bytes:
    return b"\n" if body.find(b"\n") >= 0 or body.find(b"\r") < 0 else b"\r"


def _split_lines(body: bytes) -> Iterator[_Line]:
    """Yields the lines of `body` in order, each with its end."""
    newline = _find_newline(body)
    begin, number = len(BOM) if body.startswith(BOM) else 0, 0
    while begin < len(body):
        end = body.find(newline, begin) + 1 or len(body)
        number += 1
        yield _Line(number, begin, end, body[begin:end].decode("utf-8", "replace"))
        begin = end


@dataclass(frozen=True)
class _Head:
    """The first lines of a body from its header on: the header is the first `used` of `lines`."""

    lines: Sequence[_Line]
    used: int
    names: list[str]
    delimiter: str

    @property
    def header_end(self) -> int:
        """The byte behind the header."""
        return self.lines[self.used - 1].end if self.used else self.lines[0].begin


def measure_head(entry: str, beginning: bytes, style: Csv, columns: Sequence[str]) -> int:
    """Returns the bytes before the rows of a CSV that has this `beginning`: of its header and the lines before it.

    Raises as `read_csv` does if there is no header.
    """
    return _find_head(entry, beginning, style, columns).header_end


def _find_head(entry: str, body: bytes, style: Csv, columns: Sequence[str]) -> _Head:
    lines = (line for line in _skip_lines(entry, body, style) if _is_line(line.text, style))
    head = list(islice(lines, FIRST_LINES))
    if not head:
        raise FormatError(entry, "the CSV has no header", 'Correct "skip" or "comment"')
    delimiter = style.delimiter or max(",;\t|", key=head[0].text.count)
    if not _is_header(head[0].text, delimiter, style, columns):
        head += islice(lines, HEAD_LINES - FIRST_LINES)
    names, used = _read_header(entry, [line.text for line in head], style, delimiter, columns)
    return _Head(head, used, names, delimiter)


def _cut_around(entry: str, body: bytes, style: Csv, columns: Sequence[str]) -> _Around:
    """Returns the rows of `body`, and the lines before its header, the header and the footer."""
    top = _find_head(entry, body, style, columns)
    head, used = top.lines, top.used
    begin = head[used].begin if used < len(head) else len(body)
    end = _find_end_of_rows(body, top.header_end, top.delimiter, style)
    first_number = head[used].number if used < len(head) else head[-1].number + 1
    before = body[: head[0].begin].decode("utf-8", "replace")
    return _Around(
        _Rows(body, min(begin, end), end, top.names, first_number, top.delimiter),
        _read_preamble(entry, before, style),
        before.splitlines(),
        [line.text for line in head[:used]],
        body[top.header_end : begin].decode("utf-8", "replace").splitlines() if used else (),
        body[end:].decode("utf-8", "replace").splitlines() if style.footer else (),
    )


def _read_preamble(entry: str, text: str, style: Csv) -> dict[str, str]:
    """Returns the columns from `text`, the lines before the header."""
    columns: dict[str, str] = {}
    for name, pattern in style.above.items():
        match = re.search(pattern, text)
        if match is None:
            happened = f'above: no line before the header holds "{pattern}", which is to be the column {name}'
            raise FormatError(entry, happened, 'Correct "above" or "skip"')
        columns[name] = (match[1] or "").strip()
    return columns


def _list_comment_marks(style: Csv) -> tuple[str, ...]:
    return (style.comment,) if isinstance(style.comment, str) else style.comment or ()


def _is_line(text: str, style: Csv) -> bool:
    """Whether a line holds something and is no comment."""
    return bool(text.strip()) and not text.startswith(_list_comment_marks(style))


def _is_row(text: str, style: Csv) -> bool:
    """Whether a line after the header is a row."""
    return _is_line(text, style) and text.startswith((style.rows or "", style.quote + (style.rows or "")))


def _skip_lines(entry: str, body: bytes, style: Csv) -> Iterator[_Line]:
    """Returns the lines from the header on."""
    lines = _split_lines(body)
    if isinstance(style.skip, int):
        return islice(lines, style.skip, None)
    header_start = style.skip.removeprefix("until:")
    first_text = ""
    for line in lines:
        first_text = first_text or repr(line.text.strip()[:80])
        if line.text.startswith(header_start) or line.text.lstrip('" \t').startswith(header_start):
            return _prepend_line(line, lines)
    happened = f'skip: no line of the CSV begins with "{header_start}"; the first is {first_text or "none"}'
    raise FormatError(entry, happened, 'Correct "skip"')


def _prepend_line(line: _Line, lines: Iterator[_Line]) -> Iterator[_Line]:
    yield line
    yield from lines


def _find_end_of_rows(body: bytes, begin: int, delimiter: str, style: Csv) -> int:
    """Returns the end of the rows of `body`, which begin at `begin` or after it: the begin of the `footer`."""
    newline = _find_newline(body)
    if isinstance(style.footer, str):
        first_bytes = b'"?' + re.escape(style.footer.removeprefix("from:").encode())
        if style.footer == "blank":  # or of empty fields
            first_bytes = rb'[ \t"%b]*\r?%b' % (re.escape(delimiter.encode()), newline)
        match = re.compile(newline + first_bytes).search(body, max(begin - 1, 0))
        return match.start() + 1 if match else len(body)
    end, footer = len(body), style.footer
    while footer and end > begin:
        start = body.rfind(newline, 0, max(end - 1, 0)) + 1
        footer -= _is_line(body[start:end].decode("utf-8", "replace"), style)
        end = start
    return max(end, begin)


def _drop_other_lines(entry: str, around: _Around, style: Csv, shape: _RecordShape) -> tuple[_Rows, Sequence[Skipped]]:
    """Returns the rows without comments, repeated headers and, if the entry names what rows begin with, other lines;
    and the counts of those. A run warns of lines that look like records.

    Raises `FormatError` if no line begins with that, although some look like records.
    """
    rows = around.rows
    comments = tuple(mark.encode() for mark in _list_comment_marks(style))
    headers = {line.strip().encode() for line in around.header}
    marks = [*comments, *headers]
    present = [mark for mark in marks if rows.body.find(rows.newline + mark, rows.begin, rows.end) >= 0]
    is_first = rows.body.startswith(tuple(marks), rows.begin) if marks else False
    between = [line for line in around.between if line.strip()]
    if not style.rows and not present and not is_first:
        return rows, [_count_lines(COMMENTS, between, shape)] if between else ()
    starts = (style.rows or "").encode(), (style.quote + (style.rows or "")).encode()
    chosen: list[bytes] = []
    dropped: dict[str, list[str]] = {COMMENTS: between} if between else {}
    for line in rows.body[rows.begin : rows.end].splitlines(keepends=True):
        reason = ""
        if not line.strip():
            continue
        if comments and line.startswith(comments):
            reason = COMMENTS
        elif line.strip() in headers:
            reason = HEADERS_AGAIN
        elif not line.startswith(starts):
            reason = OTHER_LINES
        if reason:
            dropped.setdefault(reason, []).append(line.decode("utf-8", "replace").strip())
        else:
            chosen.append(line)
    foreign_lines = dropped.get(OTHER_LINES, [])
    likely = next((line for line in foreign_lines if shape.fits(line)), "")
    if not chosen and likely:
        happened = f'rows: no line after the header begins with "{style.rows}", as {likely[:80]!r}'
        raise FormatError(entry, happened, 'Correct "rows", or leave it out')
    counts = [_count_lines(reason, lines, shape) for reason, lines in dropped.items()]
    body = b"".join(chosen)
    return _Rows(body, 0, len(body), rows.names, rows.first_line, rows.delimiter), counts


COMMENTS = 'lines that begin with a "comment"'
HEADERS_AGAIN = "lines that repeat the header"
OTHER_LINES = 'lines that do not begin with "rows"'
BEFORE_HEADER = 'lines before the rows that look like records, by "skip" or "header"'
SAYS_MORE = "lines before the header that say that there are more rows"
BEHIND_ROWS = 'lines behind the rows, by "footer"'
"""Why lines of a CSV are not rows."""


def _count_lines(reason: str, lines: Sequence[str], shape: _RecordShape) -> Skipped:
    """Returns the count of `lines`; a run warns if one looks like a record and the entry does not say what rows are, or
    if one says that there are more."""
    likely = [line for line in lines if shape.fits(line)] if reason != OTHER_LINES else []
    likely += filter(says_more, lines)
    return Skipped(reason, len(lines), (likely or lines)[0][:80], expected=not likely)


def _count_around(around: _Around, style: Csv, shape: _RecordShape) -> Iterator[Skipped]:
    """Yields the counts of lines behind the rows, and of those before them that look like records."""
    comments = _list_comment_marks(style)
    likely = [line for line in (*around.before, *around.header[1:]) if shape.fits(line)]
    likely = [line for line in likely if not (comments and line.startswith(comments))]
    if likely:
        yield _count_lines(BEFORE_HEADER, likely, shape)
    saying_more = list(filter(says_more, around.before))
    if saying_more:
        yield Skipped(SAYS_MORE, len(saying_more), saying_more[0][:80])
    behind = [line for line in around.behind if line.strip(f' \t"{around.rows.delimiter}')]
    if behind:
        yield _count_lines(BEHIND_ROWS, behind, shape)


def _refuse_open_quote(entry: str, cells: _Cells, style: Csv, shape: _RecordShape) -> None:
    """Raises if a field of several lines holds a line that looks like a record, as its quote was never closed."""
    rows, quote = cells.rows, style.quote.encode()
    if cells.one_line_each or rows.body.find(quote, rows.begin, rows.end) < 0:
        return
    lines = rows.body[rows.begin : rows.end].split(rows.newline)
    is_open, opened = False, 0
    for number, line in enumerate(lines):
        if is_open and shape.fits(line.replace(quote, b"").decode("utf-8", "replace")):
            begin, end = rows.first_line + opened, rows.first_line + number
            happened = f"line {begin} of the CSV opens a quote, in which line {end} stands, which looks like a record"
            mark = next((mark for mark in "^~|" if mark.encode() not in rows.body), "\x01")
            fix = f'If quotes are a part of texts, name a mark that is none: "quote": {json.dumps(mark)}'
            raise FormatError(entry, f"{happened}: {line[:80].decode('utf-8', 'replace')!r}", fix)
        if line.count(quote) % 2:
            is_open, opened = not is_open, number


def _is_header(text: str, delimiter: str, style: Csv, columns: Sequence[str]) -> bool:
    """Whether the line `text` is a whole header with one of the `columns`, so that no later line is searched for."""
    names = {field.strip(' \t\r\n"') for field in text.split(delimiter)}
    return len(names) > 1 and text.count(style.quote) % 2 == 0 and not names.isdisjoint(split_alternatives(columns))


def _read_header(
    entry: str, lines: Sequence[str], style: Csv, delimiter: str, columns: Sequence[str]
) -> tuple[list[str], int]:
    """Returns the names of the columns, and the number of `lines` that contain them."""
    if not isinstance(style.header, int):
        names = [style.header] if isinstance(style.header, str) else list(style.header)
        return names, 0
    rows, header_lines = _read_header_rows(entry, lines, style, delimiter)
    first_names = [field.strip() for field in rows[0]]
    missing = [
        name
        for name in columns
        if not {*split_alternatives([name]), *_list_optional(name)} & {*first_names, ""}
        and not any(find_spelling(part, first_names) for part in split_alternatives([name]))
    ]
    if len(first_names) < 2 or (missing and len(missing) == len(columns) and style.header == 1):
        _refuse_header(entry, lines, delimiter, columns, len(first_names))
    if header_lines >= len(lines) and columns and missing:
        raise FormatError(entry, f"{NO_TABLE}: {lines[0][:80]!r}")
    _refuse_second_header(entry, lines, rows, delimiter, header_lines)
    return _join_names(entry, rows, first_names), header_lines


def _list_optional(name: str) -> tuple[str, ...]:
    """Returns the empty alternative of a column that need not be there."""
    return ("",) if name.rstrip().endswith("|") else ()


def _read_header_rows(entry: str, lines: Sequence[str], style: Csv, delimiter: str) -> tuple[list[list[str]], int]:
    """Returns the rows of the header, and the number of their `lines`, because quoted names may contain line breaks."""
    reader = csv.reader(iter(lines), delimiter=delimiter, quotechar=style.quote, strict=True)
    try:
        rows = [next(reader) for _ in range(int(style.header)) if reader.line_num < len(lines)]  # type: ignore[arg-type]
    except csv.Error as error:
        happened = f"the body is neither JSON nor XML, nor can it be read as CSV: {error}"
        raise FormatError(entry, happened, 'Correct "quote" or "delimiter"') from error
    return rows, reader.line_num


def _refuse_header(entry: str, lines: Sequence[str], delimiter: str, columns: Sequence[str], field_count: int) -> None:
    """Raises if the first line is not a header; if a later line is, the error says how to get to it."""
    expected_names = set(split_alternatives(columns))
    for number, line in enumerate(lines[:200]):
        for mark in (delimiter, *",;\t|"):
            names = {field.strip(' \t\r\n"') for field in line.split(mark)}
            if number and expected_names and expected_names <= names:
                shared = _find_common_mark(lines[:number])
                begin = line.strip()[:20].rstrip()
                fix = f'"comment": "{shared}"' if shared else f'"skip": {_quote(f"until:{begin}")}'
                if not shared and _is_above(lines[number - 1], line, mark):
                    fix = f'"skip": {_quote("until:" + lines[number - 1].strip()[:20])}, "header": 2'
                happened = f"the first line of the CSV is {lines[0].strip()[:80]!r}, its header is line {number + 1}"
                raise FormatError(entry, happened, f"Add {fix}")
    if field_count < 2:
        happened = f"{NO_TABLE}: {lines[0][:80]!r}"
        raise FormatError(entry, happened, 'Name "delimiter", or pass over lines with "skip" or "comment"')


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _is_above(line: str, header: str, delimiter: str) -> bool:
    """Whether `line` has names over several columns of `header`: it begins with none, or some below are equal."""
    names, fields = _split_fields(header, delimiter, '"'), _split_fields(line, delimiter, '"')
    is_over_equal = any(field.strip() and names.count(name) > 1 for name, field in zip(names, fields, strict=False))
    return len(fields) == len(names) and (is_over_equal or (not fields[0].strip() and any(fields)))


def _find_common_mark(lines: Sequence[str]) -> str:
    """Returns the prefix that all `lines` have, as comments do."""
    marks = {re.match(r"[^\w\s\"',;]*", line)[0] for line in lines}  # type: ignore[index]
    return marks.pop() if len(marks) == 1 else ""


def _join_names(entry: str, rows: Sequence[Sequence[str]], first_names: list[str]) -> list[str]:
    """Returns the names of the columns: those of the first row, joined with those below if they would be equal or
    empty. A name over several columns, which a CSV has at the first of them alone, is that of all."""
    nonempty_names = [name for name in first_names if name]
    width = max(map(len, rows))
    below = [[row[number].strip() if number < len(row) else "" for row in rows[1:]] for number in range(width)]
    is_spanning = any(any(parts) for name, parts in zip(_pad(first_names, width), below, strict=True) if not name)
    if len(rows) > 1 and (len(set(nonempty_names)) < len(nonempty_names) or is_spanning):
        spread = _spread_names(_pad(first_names, width), below)
        stacked = [[name, *parts] for name, parts in zip(spread, below, strict=True)]
        first_names = [" ".join(dict.fromkeys(filter(None, parts))) for parts in stacked]
    names = [name or NAMELESS.format(column_number) for column_number, name in enumerate(first_names, 1)]
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        happened = f"the header of the CSV holds {doubled[0]!r} more than once: {', '.join(first_names)}"
        raise FormatError(entry, happened, 'Give the names with "header", such as ["time", "load", "load 2"]')
    return names


def _pad(names: Sequence[str], width: int) -> list[str]:
    return [*names, *[""] * (width - len(names))]


def _spread_names(names: Sequence[str], below: Sequence[Sequence[str]]) -> list[str]:
    """Returns `names` with that before each empty one that has another name `below`."""
    spread: list[str] = []
    for name, parts in zip(names, below, strict=True):
        spread.append(name or (spread[-1] if spread and any(parts) else ""))
    return spread


def _refuse_second_header(
    entry: str, lines: Sequence[str], rows: Sequence[Sequence[str]], delimiter: str, used: int
) -> None:
    """Raises if the header has columns without a name, or with one name, and the line behind it holds names too."""
    if len(rows) != 1 or used >= len(lines):
        return
    names = [field.strip() for field in rows[0]]
    fields = [field.strip() for field in _split_fields(lines[used], delimiter, '"')]
    pairs = list(zip(names[1:], fields[1:], strict=False))
    is_open = any(field and (not name or names.count(name) > 1) for name, field in pairs)
    if is_open and not any(parse_number(field) is not None or re.search(r"\d[-/.:]\d", field) for field in fields):
        happened = f"the line behind the header {lines[0].strip()[:80]!r} holds names too: {lines[used].strip()[:80]!r}"
        raise FormatError(entry, happened, 'Add "header": 2')


def _refuse_cut_text(entry: str, rows: _Rows, style: Csv, length_known: bool) -> None:
    """Raises if the body ends in the middle of a line, or possibly of a number if its length is unknown."""
    if rows.body.endswith((b"\n", b"\r")) or rows.begin >= rows.end or style.footer:
        return
    begin = max(rows.begin, rows.body.rfind(rows.newline, rows.begin, rows.end) + 1)
    last_text = rows.body[begin : rows.end].decode("utf-8", "replace")
    if not _is_row(last_text, style):
        return
    fields = next(csv.reader([last_text], delimiter=rows.delimiter, quotechar=style.quote), [])
    if len(fields) < len(rows.names) or not length_known:
        raise UpstreamError(entry, f"the CSV is cut in its last line: {last_text[-80:]!r}")


NO_FIELD = "\x00absent"
"""Stands in a CSV for a field that its row does not have."""


def _build_table(entry: str, cells: _Cells, style: Csv, labels: Sequence[str]) -> CellTable:
    """Returns the table of `cells`; missing fields are in its `skipped`."""
    rows = cells.rows
    short_rows: list[tuple[int, int]] = []
    if not cells.count(labels):
        repaired, short_rows = _repair_rows(entry, rows, style)
        cells = _Cells(repaired, style.quote, repaired=True)
        cells.count(labels)
    skipped = []
    if short_rows:
        number, fields = short_rows[0]
        missing = sum(len(rows.names) - count for _, count in short_rows)
        example = f"line {number} has {fields} of {len(rows.names)} fields"
        skipped.append(Skipped("fields that rows of the CSV do not have", missing, example))

    def place(row: int) -> str:
        return number_positions("line", rows.first_line)(row) if cells.one_line_each else number_positions("row")(row)

    return CellTable(
        *(rows.names, cells.row_count, cells.read, cells.pieces, place),
        skipped=skipped,
        first=cells.read_first,
        complete=not short_rows,
        delimiter=rows.delimiter,
    )


def _repair_rows(entry: str, rows: _Rows, style: Csv) -> tuple[_Rows, list[tuple[int, int]]]:
    """Returns the rows with one field per name, and the lines that had fewer, with their number of fields.

    Raises `FormatError` for a row with more fields.
    """
    short_rows = []
    width = len(rows.names)
    sink = io.BytesIO()
    text_sink = io.TextIOWrapper(sink, "utf-8", newline="", write_through=True)
    writer = csv.writer(text_sink, delimiter=rows.delimiter, quotechar=style.quote, lineterminator="\n")
    source = io.TextIOWrapper(io.BytesIO(memoryview(rows.body)[rows.begin : rows.end]), "utf-8", newline="")
    reader = csv.reader(source, delimiter=rows.delimiter, quotechar=style.quote, strict=True)
    try:
        for row in reader:
            if len(row) < 2 and not "".join(row).strip():
                continue
            while len(row) > width and not row[-1].strip():
                row.pop()
            number = rows.first_line + reader.line_num - 1
            if len(row) > width:
                happened = f"row {number} of the CSV has {len(row)} fields, its header {width}"
                fix = 'Name all columns with "header", or pass over such rows with "skip", "comment" or "footer"'
                raise FormatError(entry, f"{happened}: {rows.delimiter.join(row)[:80]!r}", fix)
            if len(row) < width:
                short_rows.append((number, len(row)))
            writer.writerow(row + [NO_FIELD] * (width - len(row)))
    except csv.Error as error:
        happened = f"the body is neither JSON nor XML, nor can it be read as CSV: {error}"
        raise FormatError(entry, happened, 'Correct "quote" or "delimiter"') from error
    body = sink.getvalue()
    return _Rows(body, 0, len(body), rows.names, rows.first_line, rows.delimiter), short_rows


def _trim_codes(column: pa.DictionaryArray) -> pa.DictionaryArray:
    """Returns a column of codes (rows,) of which no text has blanks around it."""
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(column.dictionary).dictionary_encode()
    indices = column.indices if len(trimmed.dictionary) == len(trimmed) else trimmed.indices.take(column.indices)
    return pa.DictionaryArray.from_arrays(indices, trimmed.dictionary)


@dataclass
class _Cells:
    """The cells of rows that all have one field per name.

    `count` must be called first, after `read_ahead` if that is called. If each row is one line, they can be cut at the
    ends of lines, so that a block can be read again if one of its columns has more than numbers.
    """

    rows: _Rows
    quote: str
    repaired: bool = False
    row_count: int = 0
    labels: dict[str, pa.StringArray] = field(default_factory=dict)
    numbers: dict[str, pa.DoubleArray] = field(default_factory=dict)

    def read_ahead(self, labels: Sequence[str], values: Sequence[str], style: NumberStyle) -> None:
        """Keeps the columns `labels`, and those of `values` as numbers, if the rows are few and all the values are
        numbers or nulls without marks between groups of digits."""
        if not labels or not values or style.thousands or self.rows.end - self.rows.begin > ONE_PASS_BYTES:
            return
        try:
            parts = list(self._read_batches([*labels, *values], values, style, coded=labels))
        except pa.ArrowInvalid:
            return  # of which cell, the slower ways find out
        if not parts:
            return
        table = pa.Table.from_batches(parts).unify_dictionaries()
        columns = {name: one_chunk(table[name]) for name in values}
        self.labels = {name: _trim_codes(one_chunk(table[name])) for name in labels}
        self.numbers = {name: column for name, column in columns.items() if not has_infinite(column)}

    def count(self, labels: Sequence[str]) -> bool:
        """Counts the rows and keeps the columns `labels`; returns whether all rows have one field per name."""
        columns = list(labels) or self.rows.names[:1]
        if not self.labels:
            try:
                parts = [self._read_texts(batch, columns) for batch in self._read_batches(columns)]
            except pa.ArrowInvalid:
                return False
            self.labels = {name: pa.concat_arrays([part[name] for part in parts]) for name in columns} if parts else {}
        self.row_count = len(next(iter(self.labels.values()), ()))
        return True

    @cached_property
    def one_line_each(self) -> bool:
        """Whether each row is one line."""
        body, begin, end = self.rows.body, self.rows.begin, self.rows.end
        lines = body.count(self.rows.newline, begin, end) + (not body.endswith(self.rows.newline, begin, end))
        return self.row_count == lines

    def read(self, names: Sequence[str]) -> CellColumns:
        """Returns the `names` columns, whole."""
        unread_names = [name for name in names if name not in self.labels]
        parts = (
            [self._read_texts(batch, unread_names) for batch in self._read_batches(unread_names)]
            if unread_names
            else []
        )
        columns = {name: pa.concat_arrays([part[name] for part in parts]) for name in unread_names if parts}
        return {name: self.labels.get(name, columns.get(name, build_strings([]))) for name in names}

    def read_first(self, names: Sequence[str]) -> CellColumns:
        """Returns the `names` columns of the first rows."""
        if not names or not self.one_line_each or self.repaired:
            return self.read(names)
        span = next(self._cut_spans(self.rows.begin, self.rows.end, CACHED_BYTES))
        cells = self._read(self._view_span(span), names, NumberStyle(), [])
        return {name: self._trim(cells[name]) for name in names}

    def pieces(self, names: Sequence[str], style: NumberStyle) -> Iterator[CellColumns]:
        """Yields the `names` columns, piece by piece: as numbers if a piece of a column has nothing else, or else as
        texts."""
        if names and self.numbers.keys() >= set(names):
            piece_rows = max(CELLS_IN_PIECE // len(names), 1)
            for start in range(0, self.row_count, piece_rows):
                columns = {name: self.numbers[name].slice(start, piece_rows) for name in names}
                yield {name: parse_plain_numbers(column, style) for name, column in columns.items()}
            return
        if not names or not self.one_line_each or self.repaired:
            batches = self._read_batches(names) if names else iter(())
            yield from (self._read_texts(batch, names) for batch in batches)
            return
        text_columns: set[str] = set()
        for span in self._cut_spans(self.rows.begin, self.rows.end, BLOCK_BYTES):
            yield self._read_numbers(span, names, style, text_columns)

    def _read_numbers(
        self, span: tuple[int, int], names: Sequence[str], style: NumberStyle, text_columns: set[str]
    ) -> CellColumns:
        """Returns the columns of the rows `span`. Those with more than numbers become `text_columns` and are read as
        texts from then on."""
        numeric = [name for name in names if name not in text_columns]
        try:
            cells = self._read(self._remove_group_marks(span, style), numeric, style, numeric)
        except pa.ArrowInvalid:
            cells, numeric = {}, []
        block = self._view_span(span)
        cells |= self._read(block, [name for name in names if name not in numeric], style, [])
        overflown = [name for name in numeric if has_infinite(cells[name])]
        if overflown:
            cells |= self._read(block, overflown, style, [])
        columns: dict[str, pa.Array] = {}
        for name, column in cells.items():
            numbers = parse_plain_numbers(column, style)
            if numbers is None:
                text_columns.add(name)
            columns[name] = column if numbers is None else numbers
        return columns

    def _remove_group_marks(self, span: tuple[int, int], style: NumberStyle) -> pa.Buffer:
        """Returns the rows `span` without the thousands separators of their numbers, as far as that is certain."""
        mark = (style.thousands or "").encode()
        if len(mark) != 1:
            return self._view_span(span)
        delimiter, quote = self.rows.delimiter.encode(), self.quote.encode()
        edges = quote if mark == delimiter else quote + delimiter + b"\r\n \t"
        parts = [
            remove_group_marks(memoryview(self.rows.body)[begin:end], mark[0], edges)
            for begin, end in self._cut_spans(*span, CACHED_BYTES)
        ]
        return pa.py_buffer(np.concatenate(parts))

    def _view_span(self, span: tuple[int, int]) -> pa.Buffer:
        begin, end = span
        return pa.py_buffer(self.rows.body).slice(begin, end - begin)

    def _cut_spans(self, begin: int, end: int, size: int) -> Iterator[tuple[int, int]]:
        """Yields spans of about `size` bytes of the rows from `begin` to `end`, cut at the ends of lines."""
        while begin < end:
            span_end = self.rows.body.find(self.rows.newline, min(begin + size, end), end) + 1 or end
            yield begin, span_end
            begin = span_end

    def _read(
        self, block: pa.Buffer, names: Sequence[str], style: NumberStyle, numeric: Sequence[str]
    ) -> dict[str, pa.Array]:
        """Returns the `names` columns of a block, those in `numeric` as numbers. Raises `ArrowInvalid` if one of these
        has anything else."""
        from pyarrow import csv as arrow_csv

        if not names:
            return {}
        table = arrow_csv.read_csv(
            pa.BufferReader(block),
            read_options=self._build_read_options(len(block) + 1),
            parse_options=self._build_parse_options(newlines=False),
            convert_options=self._convert_options(names, numeric, style),
        )
        return {name: one_chunk(table[name]) for name in names}

    def _read_batches(
        self,
        names: Sequence[str],
        numeric: Sequence[str] = (),
        style: NumberStyle | None = None,
        coded: Sequence[str] = (),
    ) -> Iterator[pa.RecordBatch]:
        """Yields the `names` columns of the rows as texts, those in `numeric` as numbers of this `style`, those in
        `coded` as codes that stand for texts, also of rows with several lines.

        Raises `ArrowInvalid` if a row has another number of fields than there are names, or one of `numeric` anything
        but numbers.
        """
        from pyarrow import csv as arrow_csv

        body, begin, end = self.rows.body, self.rows.begin, self.rows.end
        if body[begin : min(end, begin + BLOCK_BYTES)].strip() == b"":
            return
        yield from arrow_csv.open_csv(
            pa.BufferReader(pa.py_buffer(body).slice(begin, end - begin)),
            read_options=self._build_read_options(BLOCK_BYTES),
            parse_options=self._build_parse_options(newlines=body.find(self.quote.encode(), begin, end) >= 0),
            convert_options=self._convert_options(names, numeric, style, coded),
        )

    def _convert_options(
        self, names: Sequence[str], numeric: Sequence[str], style: NumberStyle | None, coded: Sequence[str] = ()
    ) -> Any:
        from pyarrow import csv as arrow_csv

        types = dict.fromkeys(names, pa.string()) | dict.fromkeys(numeric, pa.float64())
        options = arrow_csv.ConvertOptions(
            column_types=types | dict.fromkeys(coded, pa.dictionary(pa.int32(), pa.string())),
            include_columns=list(names),
            strings_can_be_null=False,
        )
        if style is not None:
            options.null_values, options.decimal_point = list_null_texts(style), style.decimal_mark
        return options

    def _build_read_options(self, block_size: int) -> Any:
        from pyarrow import csv as arrow_csv

        return arrow_csv.ReadOptions(column_names=list(self.rows.names), block_size=block_size, use_threads=False)

    def _build_parse_options(self, *, newlines: bool) -> Any:
        from pyarrow import csv as arrow_csv

        return arrow_csv.ParseOptions(delimiter=self.rows.delimiter, quote_char=self.quote, newlines_in_values=newlines)

    def _read_texts(self, batch: pa.RecordBatch, names: Sequence[str]) -> dict[str, pa.StringArray]:
        """Returns the columns of `batch` without surrounding spaces; a missing field is null."""
        return {name: self._trim(batch.column(column_number)) for column_number, name in enumerate(names)}

    def _trim(self, column: pa.StringArray) -> pa.StringArray:
        import pyarrow.compute as pc

        trimmed = pc.utf8_trim_whitespace(column)
        if not self.repaired:
            return trimmed
        return pc.if_else(pc.equal(trimmed, NO_FIELD), pa.scalar(None, pa.string()), trimmed)
