"""Cuts a large CSV or JSON lines into blocks of whole records, each of which reads as a body of its own.

header │ rows                    a large body
header │ rows 1 … n              its blocks, each with the lines before the rows
header │          n + 1 … m
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

CUT_BYTES = 2 << 20
"""The bytes of rows in a block. Of narrow rows, the tables made of them take forty times as many."""

LARGE_BYTES = 2 * CUT_BYTES
"""The size from which a body is read block by block."""

LONGEST_RECORD = 64 << 20
"""The most bytes that are searched for the end of a record with an open quote."""

LONGEST_LINE = 1 << 20
"""The most bytes of a last line that are looked at."""

QUOTES_TRIED = 100
"""How many of the last quotes are taken for the one that opens the field in which a block would end."""


@dataclass(frozen=True)
class Block:
    """A part of a body with the lines before its rows, and the number of `lines` of earlier blocks."""

    content: bytes
    lines: int


def cut_blocks(stream: IO[bytes], head: bytes, newline: bytes, quote: bytes = b"") -> Iterator[Block]:
    """Yields the blocks of the rows in `stream`, each behind the `head`; they end at a `newline` that is not within
    two of `quote`, if there is one."""
    waiting, lines = b"", 0
    while part := stream.read(CUT_BYTES):
        waiting += part
        end = _find_end(waiting, newline, quote)
        if end:
            yield Block(head + waiting[:end], lines)
            lines += waiting.count(newline, 0, end)
            waiting = waiting[end:]
    if waiting:
        yield Block(head + waiting, lines)


def _find_end(content: bytes, newline: bytes, quote: bytes) -> int:
    """Returns the end of the last whole record in `content`, 0 if none is certain."""
    last_end = end = content.rfind(newline) + 1
    for _ in range(QUOTES_TRIED):
        if not quote or not end or content.count(quote, 0, end) % 2 == 0:
            return end
        end = content.rfind(newline, 0, content.rfind(quote, 0, end)) + 1
    return last_end if len(content) > LONGEST_RECORD else 0


def find_last_line(stream: IO[bytes]) -> bytes | None:
    """Returns the last line of `stream`, a text that may be cut at its line breaks; None for a text that is not
    UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    ending = b""
    try:
        while part := stream.read(CUT_BYTES):
            if b"\0" in part:  # as in UTF-16
                return None
            if not part.isascii() or decoder.getstate()[0]:
                decoder.decode(part)
            ending = (ending + part)[-LONGEST_LINE:]
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return None
    return ending.splitlines(keepends=True)[-1] if ending else b""
