"""Writes an Excel workbook of 1997 to 2003 (xls) with one sheet: a stream of records in a compound file.

The records are those of [MS-XLS], section 2.4; the compound file is that of [MS-CFB], version 3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from datetime import date

SheetCell = str | float | date | None

SECTOR_BYTES, HEADER_POINTERS = 512, 109
FREE_SECTOR, CHAIN_END, FAT_SECTOR = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
SMALLEST_STREAM = 4096
"""Smaller streams would need sectors of another size."""

PLAIN_STYLE, DATE_STYLE = 0, 1
DATE_FORMAT = 14
"""The built-in format of a date, m/d/yy."""

DAY_ZERO = date(1899, 12, 30)


def write_workbook(name: str, rows: Iterable[Sequence[SheetCell]]) -> bytes:
    """Returns a workbook with the sheet `name` that holds `rows`; a None is an empty cell."""
    sheet = _write_sheet(list(rows))
    beginning = _write_record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0005, 0x0DBB, 0x07CC, 0, 6))
    for number_format in (0, DATE_FORMAT):
        beginning += _write_record(0x00E0, struct.pack("<HH16x", 0, number_format))
    ending = _write_record(0x000A, b"")
    title = struct.pack("<BB", len(name), 0) + name.encode("latin-1")
    offset = len(beginning) + 4 + 6 + len(title) + len(ending)
    listing = _write_record(0x0085, struct.pack("<IBB", offset, 0, 0) + title)
    return _pack_stream("Workbook", beginning + listing + ending + sheet)


def _write_record(kind: int, content: bytes) -> bytes:
    return struct.pack("<HH", kind, len(content)) + content


def _write_sheet(rows: Sequence[Sequence[SheetCell]]) -> bytes:
    width = max((len(row) for row in rows), default=0)
    records = [
        _write_record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0010, 0x0DBB, 0x07CC, 0, 6)),
        _write_record(0x0200, struct.pack("<IIHHH", 0, len(rows), 0, width, 0)),
    ]
    for row_number, row in enumerate(rows):
        records += [_write_cell(row_number, column, cell) for column, cell in enumerate(row) if cell is not None]
    return b"".join([*records, _write_record(0x000A, b"")])


def _write_cell(row: int, column: int, cell: SheetCell) -> bytes:
    if isinstance(cell, str):
        text = struct.pack("<HB", len(cell), 0) + cell.encode("latin-1")
        return _write_record(0x0204, struct.pack("<HHH", row, column, PLAIN_STYLE) + text)
    if isinstance(cell, date):
        return _write_record(0x0203, struct.pack("<HHHd", row, column, DATE_STYLE, (cell - DAY_ZERO).days))
    return _write_record(0x0203, struct.pack("<HHHd", row, column, PLAIN_STYLE, cell or 0.0))


def _pack_stream(name: str, stream: bytes) -> bytes:
    """Returns a compound file: its header, its table of sectors, its directory and the stream `name`."""
    padded = stream.ljust(max(SMALLEST_STREAM, -(-len(stream) // SECTOR_BYTES) * SECTOR_BYTES), b"\0")
    stream_sectors = len(padded) // SECTOR_BYTES
    table_sectors = 1
    while table_sectors * SECTOR_BYTES // 4 < table_sectors + 1 + stream_sectors:
        table_sectors += 1
    first = table_sectors + 1
    chain = [FAT_SECTOR] * table_sectors + [CHAIN_END]
    chain += [*range(first + 1, first + stream_sectors), CHAIN_END]
    chain += [FREE_SECTOR] * (table_sectors * SECTOR_BYTES // 4 - len(chain))
    header = bytes.fromhex("d0cf11e0a1b11ae1").ljust(24, b"\0")
    header += struct.pack(
        "<HHHHH6xIIIIIIIII", 0x3E, 3, 0xFFFE, 9, 6, 0, table_sectors, table_sectors, 0, 4096, *NO_CHAIN
    )
    pointers = [*range(table_sectors), *[FREE_SECTOR] * (HEADER_POINTERS - table_sectors)]
    directory = _write_directory_entry("Root Entry", 5, CHAIN_END, 0, child=1)
    directory += _write_directory_entry(name, 2, first, len(padded), child=FREE_SECTOR)
    directory = directory.ljust(SECTOR_BYTES, b"\0")
    return (
        header
        + struct.pack(f"<{HEADER_POINTERS}I", *pointers)
        + struct.pack(f"<{len(chain)}I", *chain)
        + directory
        + padded
    )


NO_CHAIN = (CHAIN_END, 0, CHAIN_END, 0)
"""No small sectors and no further pointers: the beginning and length of each."""


def _write_directory_entry(name: str, kind: int, first: int, size: int, child: int) -> bytes:
    title = (name + "\0").encode("utf-16-le")
    siblings = (FREE_SECTOR, FREE_SECTOR, child)
    return title.ljust(64, b"\0") + struct.pack("<HBBIII36xIQ", len(title), kind, 1, *siblings, first, size)
