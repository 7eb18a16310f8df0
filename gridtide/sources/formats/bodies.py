"""Response bodies: unpacked, decoded, distinguished from web pages and empty bodies, and XML as a tree of elements."""

from __future__ import annotations

import codecs
import csv
import fnmatch
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, time
from functools import partial
from typing import IO, Any, Literal
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from gridtide.errors import FormatError, UpstreamError
from gridtide.sources.contract import BOM, Skipped

BodyKind = Literal["json", "xml", "csv"]

OLD_SPREADSHEET = b"\xd0\xcf\x11\xe0"
"""The first bytes of a spreadsheet of Excel until 2003 (xls)."""

PIECE_BYTES = 1 << 20
"""Bytes of a body that are decoded at a time."""

UNPACKED_LIMIT = 2 * 2**30
"""The largest unpacked body that is read as a whole, in bytes."""

STREAMED_LIMIT = 32 * 2**30
"""The largest unpacked archive, in bytes."""


@dataclass(frozen=True)
class Member:
    """A file of an archive of `entry`: its name, and when it was written, on an unnamed clock; or a body that is no
    archive, without a name. `open` opens its content, which may be larger than memory, at the start."""

    entry: str
    name: str
    open: Callable[[], IO[bytes]]
    modified_at: datetime | None = None

    def read(self, size: int | None = None) -> bytes:
        """Returns the first `size` bytes, all of them without a size. Raises `UpstreamError` if the archive is broken,
        `FormatError` if there are more than `UNPACKED_LIMIT`."""
        with explain_broken(self.entry), self.open() as stream:
            content = stream.read(UNPACKED_LIMIT + 1 if size is None else size)
        if len(content) > UNPACKED_LIMIT:
            happened = f"{self.name or 'the body'} unpacks to more than {UNPACKED_LIMIT >> 30} GiB"
            raise FormatError(self.entry, happened, "Ask for less at a time")
        return content


@contextmanager
def explain_broken(entry: str) -> Iterator[None]:
    """Raises `UpstreamError` for an archive that turns out to be cut or broken while it is read."""
    try:
        yield
    except (zipfile.BadZipFile, EOFError, OSError, zlib.error, NotImplementedError) as error:
        raise UpstreamError(entry, f"the archive is cut or broken: {error}") from error


def unpack_members(body: Member, patterns: Sequence[str]) -> list[Member]:
    """Returns the files in `body`: the members of a zip that match one of `patterns`, or all if there are none, in
    their order; the content of a gzip; or the body itself.

    Raises `FormatError` if no member matches and for spreadsheets and PDFs, `UpstreamError` for a broken archive.
    """
    beginning = body.read(len(OLD_SPREADSHEET))
    if beginning == b"%PDF":
        raise FormatError(body.entry, "the body is a PDF, not a table", "Ask for CSV, JSON or XML")
    if beginning == OLD_SPREADSHEET:
        return [replace(body, open=partial(io.BytesIO, _convert_sheet(body.entry, body.read())))]
    if beginning.startswith(b"\x1f\x8b"):
        return unpack_members(replace(body, open=partial(_gunzip, body)), patterns)
    if beginning in (b"PK\x03\x04", b"PK\x05\x06"):
        with explain_broken(body.entry):
            return _unzip(body, patterns)
    return [body]


def list_unmatched(body: Member, patterns: Sequence[str]) -> list[str]:
    """Returns those of `patterns` that no member of `body` matches; none if it is no readable zip."""
    try:
        with body.open() as file, zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return []
    return [pattern for pattern in patterns if not any(_match_name(name, [pattern]) for name in names)]


def count_unmatched(body: Member, patterns: Sequence[str]) -> Iterator[Skipped]:
    """Yields the count of the members of `body` that none of `patterns` matches; none if it is no readable zip."""
    if not patterns or body.read(2) != b"PK":
        return
    try:
        with body.open() as file, zipfile.ZipFile(file) as archive:
            names = [info.filename for info in _list_files(archive) if not _match_name(info.filename, patterns)]
    except zipfile.BadZipFile:
        return
    if names:
        yield Skipped('members of the archive that "unpack" does not name', len(names), names[0], expected=True)


def _match_name(name: str, patterns: Sequence[str]) -> bool:
    """Whether the name of a member is of one of `patterns`, in whatever case."""
    return any(fnmatch.fnmatchcase(name.casefold(), pattern.casefold()) for pattern in patterns)


def _list_files(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Returns the files of `archive`, without folders and what macOS adds."""
    return [info for info in archive.infolist() if not info.is_dir() and not info.filename.startswith("__MACOSX/")]


def _convert_sheet(entry: str, body: bytes) -> bytes:
    """Converts the first sheet of an xls to CSV; dates are written as ISO 8601, whole numbers without decimals."""
    import xlrd

    try:
        book = xlrd.open_workbook(file_contents=body, logfile=io.StringIO())
        sheet = book.sheet_by_index(0)
        rows = [[_write_cell(cell, book.datemode) for cell in sheet.row(number)] for number in range(sheet.nrows)]
    except Exception as error:  # what xlrd raises for a broken workbook depends on where it is broken
        raise UpstreamError(entry, f"the spreadsheet (xls) is cut or broken: {error}") from error
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _write_cell(cell: Any, date_mode: int) -> str:
    import xlrd

    if cell.ctype == xlrd.XL_CELL_DATE:
        moment = xlrd.xldate_as_datetime(cell.value, date_mode)
        return str(moment.date() if moment.time() == time() else moment)
    if cell.ctype == xlrd.XL_CELL_NUMBER:
        return f"{cell.value:.0f}" if cell.value == int(cell.value) else repr(cell.value)
    return str(cell.value) if cell.ctype == xlrd.XL_CELL_TEXT else ""


def _gunzip(packed: Member) -> IO[bytes]:
    return gzip.GzipFile(fileobj=packed.open())  # type: ignore[return-value]  # it is read like any file of bytes


def _unzip(body: Member, patterns: Sequence[str]) -> list[Member]:
    entry = body.entry
    with body.open() as file, zipfile.ZipFile(file) as archive:
        members_info = _list_files(archive)
    names = [member_info.filename for member_info in members_info]
    if "[Content_Types].xml" in names:
        raise FormatError(entry, "the body is a spreadsheet of Excel (xlsx), not a table", "Ask for CSV, JSON or XML")
    if not members_info:
        raise UpstreamError(entry, "the archive is empty")
    if patterns:
        members_info = [info for info in members_info if _match_name(info.filename, patterns)]
        if not members_info:
            texts = '", "'.join(patterns)
            happened = f'unpack: no member of the archive matches "{texts}"; there are: {", ".join(names)}'
            raise FormatError(entry, happened, 'Correct "unpack", such as "*.csv"')
    if sum(member_info.file_size for member_info in members_info) > STREAMED_LIMIT:
        happened = f"the archive unpacks to more than {STREAMED_LIMIT >> 30} GiB"
        raise FormatError(entry, happened, 'Name fewer members with "unpack"')
    members: list[Member] = []
    for member_info in members_info:
        modified = datetime(*member_info.date_time)  # of which clock, a zip does not say
        for inner in unpack_members(Member(entry, "", partial(_open_member, body, member_info)), patterns):
            name = f"{member_info.filename}/{inner.name}".rstrip("/")
            members.append(replace(inner, name=name, modified_at=inner.modified_at or modified))
    return members


def _open_member(body: Member, member_info: zipfile.ZipInfo) -> IO[bytes]:
    """Opens a member of the zip `body`; the zip is closed with it."""
    with zipfile.ZipFile(body.open()) as archive:
        return archive.open(member_info)


def encode_utf8(entry: str, body: bytes, encoding: str | None, content_type: str) -> bytes:
    """Returns `body` in UTF-8; it is copied only if it has another encoding. The encoding is that of its byte order
    mark, or `encoding`, or declared in `content_type`, or detected by `charset-normalizer`.

    Raises `FormatError` if the encoding is unknown.
    """
    encoding_by_mark = {BOM: "utf-8", b"\xff\xfe\x00\x00": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    marked_encoding = next((name for mark, name in encoding_by_mark.items() if body.startswith(mark)), None)
    declared_encoding = re.search(r"charset=[\"']?([\w.:-]+)", content_type)
    for name in filter(None, (marked_encoding, encoding)):
        try:
            return _recode(body, name)
        except UnicodeDecodeError as error:
            raise FormatError(entry, f"the body is not written in {name}: {error}", 'Correct "encoding"') from error
    guesses = (declared_encoding and declared_encoding[1], _find_wide_encoding(body), "utf-8")
    for name in filter(None, guesses):
        try:
            return _recode(body, name)
        except (UnicodeDecodeError, LookupError):
            continue
    return _detect_encoding(entry, body)


def _find_wide_encoding(body: bytes) -> str | None:
    """Returns the encoding of UTF-16 without a byte order mark: every other byte of Latin letters is zero; None for any
    other body."""
    evens, odds = body[:1000:2], body[1:1000:2]
    if len(body) % 2 or not odds:
        return None
    if evens.count(0) == len(evens) and 0 not in odds:
        return "utf-16-be"
    return "utf-16-le" if odds.count(0) == len(odds) and 0 not in evens else None


def _recode(body: bytes, encoding: str) -> bytes:
    """Converts `body` from `encoding` to UTF-8, piece by piece, so that no large text is held in memory."""
    reader = codecs.getincrementaldecoder(encoding)()
    name = codecs.lookup(encoding).name
    if name in ("utf-8", "ascii") and body.isascii():
        return body
    sink = None if name in ("utf-8", "ascii") else bytearray()
    for begin in range(0, len(body), PIECE_BYTES):
        text = reader.decode(body[begin : begin + PIECE_BYTES])
        if sink is not None:
            sink += text.encode()
    text = reader.decode(b"", final=True)
    return body if sink is None else bytes(sink + text.encode())


def _detect_encoding(entry: str, body: bytes) -> bytes:
    """Detects the encoding of a body that declares none."""
    import charset_normalizer

    best_match = charset_normalizer.from_bytes(body[: 1 << 20]).best()
    fix = 'Name it, such as "encoding": "shift_jis" or "cp1252"'
    if best_match is None or "\0" in str(best_match):
        raise FormatError(
            entry, "the body is neither JSON nor XML, nor can it be read as CSV: its encoding is unknown", fix
        )
    try:
        return _recode(body, best_match.encoding)
    except UnicodeDecodeError as error:
        raise FormatError(
            entry, f"the body is not written in {best_match.encoding} throughout: {error}", fix
        ) from error


def find_body_kind(entry: str, body: bytes) -> BodyKind:
    """Returns the format of the body `text`, of which XML may be only the beginning. Raises `UpstreamError` for web
    pages and empty bodies."""
    start = body[:2000].decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if not start and not body.removeprefix(BOM).strip():
        fix = 'Ask again later; if that is how the upstream says that it has nothing, add "empty" to "absent"'
        raise UpstreamError(entry, "the body is empty", fix)
    if is_page(start):
        raise UpstreamError(entry, f"the body is a web page, not data: {' '.join(start[:120].split())}")
    if start[:1] in ("{", "["):
        return "json"
    if start[:1] == "<":
        return "xml"
    return "json" if _is_wrapped_json(start, body[-2000:].decode("utf-8", "replace").rstrip()) else "csv"


def is_page(start: str) -> bool:
    """Whether a text that begins with `start` is HTML, as sent by proxies and maintenance notices."""
    first_tag = re.sub(r"(?s)\A(\s*(<!--.*?-->|<\?xml.*?\?>))*\s*", "", start).lower()
    return first_tag.startswith(
        ("<!doctype html", "<html", "<script", "<head", "<body", "<title", "<meta", "<center", "<h1")
    )


def parse_tree(entry: str, body: bytes) -> Element:
    """Returns the root element of `body`, with names without namespaces.

    Raises `UpstreamError` if the XML is truncated or broken, and `FormatError` if it declares a document type, which
    alone can define entities that grow without limit or refer to files.
    """

    def refuse(*_: object) -> None:
        raise FormatError(entry, "the XML declares a document type, which is never read")

    builder = TreeBuilder()
    parser = expat.ParserCreate(namespace_separator="}")
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = lambda name, attributes: builder.start(
        _drop_namespace(name), {_drop_namespace(key): value for key, value in attributes.items()}
    )
    parser.EndElementHandler = lambda name: builder.end(_drop_namespace(name))
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, LookupError) as error:  # LookupError for an unknown encoding
        raise UpstreamError(entry, f"the XML is cut or broken: {error}") from error
    return builder.close()


def _drop_namespace(name: str) -> str:
    return name.rpartition("}")[2]


def is_html(body: bytes) -> bool:
    """Whether `body` is a web page, as sent by proxies and maintenance notices."""
    start = body[:200].removeprefix(BOM).lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html"))


def _is_wrapped_json(start: str, end: str) -> bool:
    """Whether the text is the argument of a callback, JSON within a JSON string, or the word null."""
    if start.strip() == "null":
        return True
    if re.match(r"(/\*.*?\*/)?\s*[A-Za-z_$][\w$.]*\s*\(\s*[\[{\"]", start):
        return end.endswith((")", ");"))
    return re.match(r'"\s*[\[{]', start) is not None and end.endswith('"')
