"""Reads the body of a response as a page of observations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date
from email.utils import format_datetime
from functools import partial
from io import BytesIO
from itertools import chain
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from gridtide.errors import FormatError, UpstreamError
from gridtide.observations.table import concat, empty
from gridtide.sources.contract import BOM, Page, Request, Response, Skipped
from gridtide.sources.formats.bodies import Member, count_unmatched, encode_utf8, find_body_kind, unpack_members
from gridtide.sources.formats.cells import CELLS_IN_ONE, CellTable, number_positions, split_alternatives
from gridtide.sources.formats.csv_rows import BEFORE_HEADER, NO_TABLE, SAYS_MORE, read_csv
from gridtide.sources.formats.json_paths import KEY_COLUMN, PathContent, count_beside, follow_path
from gridtide.sources.formats.json_rows import (
    LARGE_BODY,
    is_json_lines,
    load_json,
    load_lines,
    read_json,
    read_selected,
    select_records,
)
from gridtide.sources.formats.paging import (
    PageContent,
    count_at_limit,
    refuse_error,
    refuse_failure_text,
    refuse_statement,
    request_next_page,
)
from gridtide.sources.formats.xml_rows import read_xml
from gridtide.sources.tables.large.cutting import CutBody, cut_body
from gridtide.sources.tables.large.tally import AnswerTally
from gridtide.sources.tables.reading import AnswerContext, finish_reading, label_columns, read_observations
from gridtide.sources.tables.selection import is_ignored

if TYPE_CHECKING:
    import pyarrow as pa

    from gridtide.entries.entry import Entry


def read_answer(
    entry: Entry,
    request: Request,
    response: Response,
    day: date | None,
    patterns: Sequence[str] = (),
) -> Page:
    """Reads `response` as a page, with the requests that follow; a time of day in it belongs to the local `day`.

    Of an archive only the members that match one of `patterns` are read, all of them without any.

    A large body that can be cut is read block by block, and another one of more than `CELLS_IN_ONE` cells piece by
    piece: `Page.more` yields the observations.
    """
    body = Member(entry.name, "", response.open)
    skipped: list[Skipped] = list(count_unmatched(body, patterns)) if entry.product is None else []
    pieces: list[Iterator[pa.Table]] = []
    labels: dict[tuple[str, ...], str] = {}
    received, cells, document = 0, 0, None
    for member in unpack_members(body, patterns):
        headers = {**response.headers, **_read_modification(member, ZoneInfo(entry.timezone))}
        context = AnswerContext(day, headers, response.retrieved_at, labels)
        blocks = cut_body(entry, member, response.headers, day, _name_columns(entry))
        if blocks is not None:
            pieces.append(_read_blocks(entry, request, blocks, context, skipped))
            cells = CELLS_IN_ONE + 1
            continue
        table, document = _read_member(entry, member, response.headers)
        is_record = entry.records is None and entry.layout == "records" and table.rows == 1
        has_time = not entry.time or bool(set(split_alternatives(entry.time)) & set(table.names))
        if is_record and not has_time and _is_no_data(entry.name, document):
            continue
        refuse_error(entry.name, PageContent(document, table.rows, response.headers, is_record))
        received += table.rows
        cells += table.rows * len(table.names)
        try:
            pieces.append(read_observations(entry, table, context, skipped))
        except FormatError as error:
            raise _name_member(member, error) from error
    is_record = entry.records is None and entry.layout == "records" and received == 1
    content = PageContent(document, received, response.headers, is_record)
    following, total = request_next_page(entry.name, request, entry.pages, content)
    skipped.extend(count_at_limit(entry, request, content))
    tables = chain.from_iterable(pieces)
    if cells <= CELLS_IN_ONE:
        observations = concat(list(tables))
        return Page(observations, received, total, tuple(following), tuple(skipped))
    return Page(next(tables, empty()), received, total, following, skipped, tables)


def _read_member(entry: Entry, member: Member, headers: Mapping[str, str]) -> tuple[CellTable, Any]:
    """Returns the cells of `member`, and its JSON if it is JSON."""
    try:
        table, document = read_cells(entry, member.read(), headers)
    except FormatError as error:
        raise _name_member(member, error) from error
    return (replace(table, place=_place_in_member(member.name, table.place)) if member.name else table), document


def _read_blocks(
    entry: Entry, request: Request, body: CutBody, context: AnswerContext, skipped: list[Skipped]
) -> Iterator[pa.Table]:
    """Yields the observations of a large body, block by block; cells that are not stored are added to `skipped`, all of
    them at the end. If none is stored, the whole body is read once more, which may show why."""
    context.tally.is_cut = True
    counts: list[Skipped] = []
    rows = stored_rows = 0
    for block in body.blocks():
        content = replace(body.content, open=partial(BytesIO, block.content))
        if body.is_json:
            with _explain_depth(entry):
                table, _ = _read_lines(entry, block.content, is_part=True)
        else:
            table, _ = _read_member(entry, content, context.headers)
        if block.lines:
            table.skipped[:] = [item for item in table.skipped if item.reason not in (BEFORE_HEADER, SAYS_MORE)]
        table = replace(table, place=_shift_place(table.place, block.lines, rows))
        rows += table.rows
        for piece in read_observations(entry, table, context, counts):
            stored_rows += piece.num_rows
            yield piece
    if stored_rows:
        finish_reading(entry, context, counts)
        skipped += [*counts, *count_at_limit(entry, request, PageContent(None, rows, context.headers))]
        return
    table, _ = _read_member(entry, body.content, context.headers)
    yield from read_observations(entry, table, replace(context, tally=AnswerTally()), skipped)


def _shift_place(place: Callable[[int], str], lines: int, rows: int) -> Callable[[int], str]:
    """Returns the positions in a body of the records of a block that have the positions `place` in it; `lines` and
    `rows` are those of earlier blocks."""
    before, _, number = place(0).rpartition(" ")
    noun = before.rpartition(" ")[2]
    return number_positions(before, int(number) + (lines if noun == "line" else rows))


def _name_member(member: Member, error: FormatError) -> FormatError:
    """Returns `error` with the name of the `member` of an archive."""
    if not member.name:
        return error
    fix = f'{error.fix}, or choose the members with tables by "unpack", such as "*.csv"'
    if "no record has a column" in error.happened:
        fix += '; a column of values that not all of them have is named with a mark behind it, "load |"'
    return FormatError(error.subject, f"{member.name}: {error.happened}", fix)


def _read_modification(member: Member, zone: ZoneInfo) -> dict[str, str]:
    """Returns when the member of an archive was written, on the clock of `zone`, as its header `Last-Modified`."""
    if member.modified_at is None:
        return {}
    return {"last-modified": format_datetime(member.modified_at.replace(tzinfo=zone).astimezone(UTC))}


def read_cells(entry: Entry, content: bytes, headers: Mapping[str, str]) -> tuple[CellTable, Any]:
    """Returns the cells of `content`, a body or one of its members that came with `headers`, and its JSON if it is
    JSON."""
    with _explain_depth(entry):
        return _read_cells(entry, content, headers)


@contextmanager
def _explain_depth(entry: Entry) -> Iterator[None]:
    try:
        yield
    except RecursionError as error:
        raise FormatError(entry.name, "the records are nested too deep") from error


def _read_cells(entry: Entry, content: bytes, headers: Mapping[str, str]) -> tuple[CellTable, Any]:
    is_markup = content[:200].removeprefix(BOM).lstrip()[:1] == b"<"  # XML declares its encoding itself
    body = content
    if not is_markup:
        body = encode_utf8(entry.name, content, entry.csv.encoding, headers.get("content-type", ""))
    body_kind = find_body_kind(entry.name, body)
    if body_kind == "xml":
        return read_xml(entry.name, content, entry.records or "", entry.layout)
    if body_kind == "json" or entry.layout == "lines":
        if is_json_lines(body):
            return _read_lines(entry, body)
        if len(body) >= LARGE_BODY and (selected := _read_selected(entry, body)) is not None:
            return selected
        document = load_json(entry.name, body.decode("utf-8-sig"))
        path, header = entry.records or "", entry.csv.header
        try:
            at_path = follow_path(entry.name, document, path)
            table = read_json(entry.name, document, path, entry.layout, header, entry.numbers, at_path)
        except FormatError:
            if not _is_no_data(entry.name, document):
                raise
            return read_json(entry.name, [], "", "records", header, entry.numbers), document
        return _count_beside(entry, table, document, at_path), document
    if b"\0" in body:
        raise UpstreamError(entry.name, "the body holds NUL characters, as of a broken file", "Try again later")
    length_known = not headers or bool({"content-length", "transfer-encoding"} & set(headers))
    label_names = label_columns(entry)
    try:
        table = read_csv(
            *(entry.name, body, entry.csv, _name_columns(entry), label_names),
            length_known=length_known,
            numbers=entry.numbers,
            times=entry.time,
        )
    except FormatError as error:
        if error.happened.startswith(NO_TABLE):
            refuse_failure_text(entry.name, body, error.happened)
        raise
    return table, None


def _read_lines(entry: Entry, body: bytes, *, is_part: bool = False) -> tuple[CellTable, Any]:
    """Returns the cells of JSON lines in UTF-8, of which a body may be only a part, and the list of their objects."""
    path = entry.records or ""
    documents, skipped = load_lines(entry.name, body.decode("utf-8-sig"), path, is_part=is_part)
    if documents:
        at_path = follow_path(entry.name, documents, path)
        table = read_json(entry.name, documents, path, entry.layout, entry.csv.header, entry.numbers, at_path)
        table = _count_beside(entry, table, documents, at_path)
    else:
        table = read_json(entry.name, [], "", "records", 1, entry.numbers)
    table.skipped.extend(skipped)
    return table, documents


def _count_beside(entry: Entry, table: CellTable, document: Any, at_path: PathContent) -> CellTable:
    """Returns `table`, read from what is `at_path` in `document`, with the counts of the records beside its own."""
    if entry.product is None:  # whose preset knows the lists of its answers
        times = entry.time or ((KEY_COLUMN,) if entry.layout == "keyed" else ())
        table.skipped.extend(count_beside(document, at_path, times, partial(is_ignored, entry)))
    return table


def _is_no_data(entry: str, document: Any) -> bool:
    """Whether `document`, in which the records are not found, says that there are none; raises if it says that it is an
    error, or has a message alone. It is an object or a list of one."""
    fields = document[0] if isinstance(document, list) and len(document) == 1 else document
    refuse_error(entry, PageContent(fields, 0, {}))
    return refuse_statement(entry, fields)


def _name_columns(entry: Entry) -> list[str]:
    """Returns the columns by which the header of a CSV is known."""
    are_wide = entry.hours or entry.days
    return [*entry.time, *(() if are_wide else (column for column in entry.value if column not in entry.time))]


def _read_selected(entry: Entry, body: bytes) -> tuple[CellTable, Any] | None:
    """Returns the cells of a large JSON and its document, without the columns that a product does not name; None if it
    may name any, by a pattern, or if its `pages` are described by some."""
    is_named = entry.product is not None and entry.layout == "records" and bool(entry.time and entry.value)
    if not is_named or entry.melt or entry.hours or entry.days:
        return None
    columns = split_alternatives([*label_columns(entry), *entry.value])
    selected = select_records(body, [name for name in dict.fromkeys(columns) if "|" not in name])
    pages = entry.pages
    paths = [pages.next, pages.cursor, pages.last, pages.total] if pages else []
    words = {word for path in paths if path for word in re.findall(r"\w+|\*", path)}
    if selected is None or words & {"*", *selected.first}:
        return None
    table = read_selected(entry.name, selected, entry.records or "", entry.numbers)
    return None if table is None else (table, selected.document)


def _place_in_member(name: str, place: Callable[[int], str]) -> Callable[[int], str]:
    return lambda row: f"{name}, {place(row)}"
