"""CSV: a text cut into rows and fields, block by block, after what stands before, between and after them is away."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from gridtide.entries.table_layout import Csv
from gridtide.errors import FormatError, UpstreamError
from gridtide.sources.contract import Skipped
from gridtide.sources.formats.cells import CellColumns, CellTable, numbered, string_array

BLOCK_BYTES = 1 << 20
"""Bytes of text that are cut into cells at a time."""

NAMELESS = "column {}"
"""What a column without a name in the header is called."""


@dataclass(frozen=True)
class _Lines:
    """The rows of a CSV as UTF-8, its columns, and the numbers of lines, from 1, on which the rows begin."""

    body: bytes
    names: list[str]
    first_line: int
    delimiter: str


def read_csv(entry: str, text: str, written: Csv, columns: Sequence[str], *, length_known: bool = True) -> CellTable:
    """The table in `text`, as `written` says. `columns` are some that its header must hold, by which it is told from a
    line of words.

    Raises `UpstreamError` where the text ends in the middle of a line, `FormatError` where there is no header or a row
    has more fields than that.
    """
    lines = _cut_around(entry, text.removeprefix("\ufeff"), written, columns)
    _refuse_cut_text(entry, text, lines, written, length_known)
    return _table(entry, lines, written)


def _cut_around(entry: str, text: str, written: Csv, columns: Sequence[str]) -> _Lines:
    """`text` without the lines before its header, the header, comments and the lines after its rows."""
    all_lines = (
        text.splitlines(keepends=True)
        if "\v" not in text and "\f" not in text
        else re.findall(r"[^\n]*\n|[^\n]+", text)
    )
    begin = _first_line(entry, all_lines, written)
    numbered = [(number, line) for number, line in enumerate(all_lines[begin:], begin + 1) if line.strip()]
    if written.comment is not None:
        numbered = [(number, line) for number, line in numbered if not line.startswith(written.comment)]
    if not numbered:
        raise FormatError(entry, "the CSV has no header", 'Correct "skip" or "comment"')
    delimiter = written.delimiter or max(",;\t|", key=numbered[0][1].count)
    names, used = _header(entry, [line for _, line in numbered], written, delimiter, columns)
    rows = numbered[used : len(numbered) - written.footer]
    first = rows[0][0] if rows else len(all_lines) + 1
    return _Lines("".join(line for _, line in rows).encode(), names, first, delimiter)


def _first_line(entry: str, lines: Sequence[str], written: Csv) -> int:
    """How many lines stand before the header."""
    if isinstance(written.skip, int):
        return written.skip
    begins = written.skip.removeprefix("until:")
    for number, line in enumerate(lines):
        if line.startswith(begins) or line.lstrip('" \t').startswith(begins):
            return number
    raise FormatError(
        entry, f'skip: no line of the CSV begins with "{begins}"; the first is {_first_shown(lines)}', 'Correct "skip"'
    )


def _first_shown(lines: Sequence[str]) -> str:
    return repr(lines[0].strip()[:80]) if lines else "none"


def _header(
    entry: str, lines: Sequence[str], written: Csv, delimiter: str, columns: Sequence[str]
) -> tuple[list[str], int]:
    """The names of the columns, and how many of `lines` say them."""
    if not isinstance(written.header, int):
        names = [written.header] if isinstance(written.header, str) else list(written.header)
        return names, 0
    rows, used = _first_rows(entry, lines, written, delimiter)
    first = [field.strip() for field in rows[0]]
    missing = [name for name in columns if name not in first]
    if len(first) < 2 or (missing and len(missing) == len(columns) and written.header == 1):
        _refuse_header(entry, lines, delimiter, columns, len(first))
    if used >= len(lines) and columns and missing:
        raise FormatError(entry, f"the body is neither JSON nor XML, nor CSV with a header: {lines[0][:80]!r}")
    return _names(entry, rows, first), used


def _first_rows(entry: str, lines: Sequence[str], written: Csv, delimiter: str) -> tuple[list[list[str]], int]:
    """The rows of the header, and how many `lines` they take, as quoted names may hold line breaks."""
    reader = csv.reader(iter(lines), delimiter=delimiter, quotechar=written.quote, strict=True)
    try:
        rows = [next(reader) for _ in range(int(written.header)) if reader.line_num < len(lines)]  # type: ignore[arg-type]
    except csv.Error as error:
        happened = f"the body is neither JSON nor XML, nor can it be read as CSV: {error}"
        raise FormatError(entry, happened, 'Correct "quote" or "delimiter"') from error
    return rows, reader.line_num


def _refuse_header(entry: str, lines: Sequence[str], delimiter: str, columns: Sequence[str], fields: int) -> None:
    """Raise where the first line is no header; where a later line is, say how to come to it."""
    expected_names = set(columns)
    for number, line in enumerate(lines[:200]):
        for mark in (delimiter, *",;\t|"):
            names = {field.strip(' \t\r\n"') for field in line.split(mark)}
            if number and expected_names and expected_names <= names:
                shared = _common_mark(lines[:number])
                begin = line.strip()[:20].rstrip()
                fix = (
                    f'"comment": "{shared}"'
                    if shared
                    else f'"skip": {json.dumps(f"until:{begin}", ensure_ascii=False)}'
                )
                happened = f"the first line of the CSV is {lines[0].strip()[:80]!r}, its header is line {number + 1}"
                raise FormatError(entry, happened, f"Add {fix}")
    if fields < 2:
        happened = f"the body is neither JSON nor XML, nor CSV with a header: {lines[0][:80]!r}"
        raise FormatError(entry, happened, 'Name "delimiter", or pass over lines with "skip" or "comment"')


def _common_mark(lines: Sequence[str]) -> str:
    """The mark that all `lines` begin with, as comments do."""
    marks = {re.match(r"[^\w\s\"',;]*", line)[0] for line in lines}  # type: ignore[index]
    return marks.pop() if len(marks) == 1 else ""


def _names(entry: str, rows: Sequence[Sequence[str]], first: list[str]) -> list[str]:
    """Names of columns: those of the first row, joined with those below where they would be equal or empty."""
    named = [name for name in first if name]
    if len(set(named)) < len(named) and len(rows) > 1:
        width = max(map(len, rows))
        stacked = [[row[place].strip() if place < len(row) else "" for row in rows] for place in range(width)]
        first = [" ".join(dict.fromkeys(filter(None, parts))) for parts in stacked]
    names = [name or NAMELESS.format(place) for place, name in enumerate(first, 1)]
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        happened = f"the header of the CSV holds {doubled[0]!r} more than once: {', '.join(first)}"
        raise FormatError(entry, happened, 'Give the names with "header", such as ["time", "load", "load 2"]')
    return names


def _refuse_cut_text(entry: str, text: str, lines: _Lines, written: Csv, length_known: bool) -> None:
    """Raise where `text` ends in the middle of a line, or maybe of a number where nobody said how long it is."""
    if text.endswith(("\n", "\r")) or not lines.body or written.footer:
        return
    last = lines.body.decode().rpartition("\n")[2]
    fields = next(csv.reader([last], delimiter=lines.delimiter, quotechar=written.quote), [])
    if len(fields) < len(lines.names) or not length_known:
        raise UpstreamError(entry, f"the CSV is cut in its last line: {last[-80:]!r}")


NO_FIELD = "\x00absent"
"""What stands in a CSV for a field that its row does not have."""


def _table(entry: str, lines: _Lines, written: Csv) -> CellTable:
    """The table of `lines`; fields that rows do not have are among its `skipped`."""
    blocks = _Blocks(entry, lines.body, lines.delimiter, written.quote, lines.names)
    short: list[tuple[int, int]] = []
    rows = blocks.count_rows()
    if rows is None:
        body, short = _repaired(entry, lines, written)
        blocks = _Blocks(entry, body, lines.delimiter, written.quote, lines.names)
        rows = blocks.count_rows() or 0
    skipped = []
    if short:
        number, fields = short[0]
        missing = sum(len(lines.names) - count for _, count in short)
        example = f"line {number} has {fields} of {len(lines.names)} fields"
        skipped.append(Skipped("fields that rows of the CSV do not have", missing, example))
    plain = rows == lines.body.count(b"\n") + (not lines.body.endswith(b"\n"))  # no row takes several lines
    place = numbered("line", lines.first_line) if plain else numbered("row")
    return CellTable(lines.names, rows, blocks.read, blocks.pieces, place, skipped=skipped)


def _repaired(entry: str, lines: _Lines, written: Csv) -> tuple[bytes, list[tuple[int, int]]]:
    """The rows with as many fields each as there are names, and the lines that had fewer, with how many.

    Raises `FormatError` for a row that has more.
    """
    short = []
    width = len(lines.names)
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=lines.delimiter, quotechar=written.quote, lineterminator="\n")
    text = io.StringIO(lines.body.decode(), newline="")
    reader = csv.reader(text, delimiter=lines.delimiter, quotechar=written.quote, strict=True)
    try:
        for row in reader:
            while len(row) > width and not row[-1].strip():
                row.pop()
            number = lines.first_line + reader.line_num - 1
            if len(row) > width:
                happened = f"row {number} of the CSV has {len(row)} fields, its header {width}"
                fix = 'Name all columns with "header", or pass over such rows with "skip", "comment" or "footer"'
                raise FormatError(entry, f"{happened}: {lines.delimiter.join(row)[:80]!r}", fix)
            if len(row) < width:
                short.append((number, len(row)))
            writer.writerow(row + [NO_FIELD] * (width - len(row)))
    except csv.Error as error:
        happened = f"the body is neither JSON nor XML, nor can it be read as CSV: {error}"
        raise FormatError(entry, happened, 'Correct "quote" or "delimiter"') from error
    return sink.getvalue().encode(), short


class _Blocks:
    """The cells of rows that all have as many fields as there are `names`."""

    def __init__(self, entry: str, body: bytes, delimiter: str, quote: str, names: Sequence[str]) -> None:
        self.entry, self.body, self.delimiter, self.quote, self.names = entry, body, delimiter, quote, names
        mark = re.escape(delimiter.encode())
        self.spaced = re.search(rb"[ \xa0\t](?:%b|[\r\n\"])|(?:%b|[\n\"])[ \xa0\t]|\0" % (mark, mark), body) is not None

    def _batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        from pyarrow import csv as arrow_csv

        if not self.body.strip():
            return
        yield from arrow_csv.open_csv(
            pa.BufferReader(self.body),
            read_options=arrow_csv.ReadOptions(
                column_names=list(self.names), block_size=BLOCK_BYTES, use_threads=False
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=self.delimiter, quote_char=self.quote, newlines_in_values=self.quote.encode() in self.body
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), include_columns=list(names), strings_can_be_null=False
            ),
        )

    def count_rows(self) -> int | None:
        """How many rows there are, None where some have another number of fields."""
        try:
            return sum(int(batch.num_rows) for batch in self._batches(self.names[:1]))
        except pa.ArrowInvalid:
            return None

    def pieces(self, names: Sequence[str]) -> Iterator[CellColumns]:
        """The `names` columns, piece by piece."""
        for batch in self._batches(names):
            yield {name: self._cells(batch.column(place)) for place, name in enumerate(names)}

    def read(self, names: Sequence[str]) -> CellColumns:
        """The `names` columns, whole."""
        parts = list(self.pieces(names)) if names else []
        if not parts:
            return {name: string_array([]) for name in names}
        return {name: pa.concat_arrays([part[name] for part in parts]) for name in names}

    def _cells(self, column: pa.StringArray) -> pa.StringArray:
        """`column` without the spaces around its texts, a field that there is not as null."""
        if not self.spaced:
            return column
        import pyarrow.compute as pc

        trimmed = pc.utf8_trim_whitespace(column)
        return pc.if_else(pc.equal(trimmed, NO_FIELD), pa.scalar(None, pa.string()), trimmed)
