"""Decides which large answers are cut into blocks: those of which each block can be read without the others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain, islice
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from gridtide.errors import GridtideError, UpstreamError
from gridtide.sources.formats import clocks
from gridtide.sources.formats.bodies import Member, explain_broken, find_body_kind
from gridtide.sources.formats.cells import CellColumn, factorize, split_alternatives
from gridtide.sources.formats.clocks import DAY_LENGTH, ClockLabel
from gridtide.sources.formats.csv_rows import measure_head, read_csv, refuse_cut_text
from gridtide.sources.formats.json_rows import is_json_lines
from gridtide.sources.formats.paging import list_header_signs
from gridtide.sources.tables.large.blocks import LARGE_BYTES, Block, cut_blocks, find_last_line

if TYPE_CHECKING:
    from gridtide.entries.entry import Entry

FIXED_ZONE = re.compile(r"UTC|GMT|Etc/.*")
"""Names of time zones whose clocks are never changed."""


@dataclass(frozen=True)
class CutBody:
    """A body that is cut into blocks: its `content`, the bytes before its rows, its line breaks and its quotes. If it
    `is_json`, it is JSON lines, else a CSV."""

    content: Member
    head: bytes
    newline: bytes
    quote: bytes
    is_json: bool = False

    def blocks(self) -> Iterator[Block]:
        """Yields the blocks. Raises `UpstreamError` for a broken archive."""
        with explain_broken(self.content.entry), self.content.open() as stream:
            stream.read(len(self.head))
            yield from cut_blocks(stream, self.head, self.newline, self.quote)


def cut_body(
    entry: Entry, content: Member, headers: Mapping[str, str], day: date | None, columns: Sequence[str]
) -> CutBody | None:
    """Returns how `content`, which came with `headers`, is cut into blocks; its header has some of `columns`. None if
    it is not large, or if only the whole of it shows what its records are, or the `day` that it was asked for.

    Raises `UpstreamError` if it ends in the middle of a line.
    """
    beginning = content.read(LARGE_BYTES)
    if len(beginning) < LARGE_BYTES or not _is_described(entry, headers):
        return None
    with explain_broken(entry.name), content.open() as stream:
        last_line = find_last_line(stream)
    if last_line is None:
        return None
    if is_json_lines(beginning):
        return _cut_json_lines(entry, content, last_line) if day is None else None
    try:
        if entry.layout == "lines" or find_body_kind(entry.name, beginning) != "csv":
            return None
        head = beginning[: measure_head(entry.name, beginning, entry.csv, columns)]
    except GridtideError:  # which the whole body raises again
        return None
    length_known = not headers or bool({"content-length", "transfer-encoding"} & set(headers))
    refuse_cut_text(entry.name, head + last_line, entry.csv, columns, length_known=length_known)
    newline = b"\n" if b"\n" in beginning else b"\r"
    body = CutBody(content, head, newline, entry.csv.quote.encode())
    ending = [Block(head + last_line, 0)] if last_line.strip() else []  # of a page, if the upstream failed on the way
    examined = islice(body.blocks(), 1) if _has_fixed_clock(entry) else body.blocks()
    return body if _has_single_moments(entry, chain(ending, examined)) else None


def _cut_json_lines(entry: Entry, content: Member, last_line: bytes) -> CutBody | None:
    has_names = entry.layout in ("records", "lines") or (
        entry.layout == "rows" and not isinstance(entry.csv.header, int)
    )
    if not has_names or not _has_fixed_clock(entry):
        return None
    if not last_line.rstrip().endswith(b"}"):
        happened = f"the last of the JSON lines is cut: {last_line[-80:].decode('utf-8', 'replace')!r}"
        raise UpstreamError(entry.name, happened, "Try again later")
    return CutBody(content, b"", b"\n", b"", is_json=True)


def _has_fixed_clock(entry: Entry) -> bool:
    return FIXED_ZONE.fullmatch(entry.times_in or entry.timezone) is not None


def _is_described(entry: Entry, headers: Mapping[str, str]) -> bool:
    """Whether the entry itself says what the records are, so that no block has to show it for others."""
    is_counted = entry.pages is not None or bool(list_header_signs(headers, 0))
    has_parts = entry.summed is not None or (entry.components is not None and entry.variable is not None)
    has_ends = bool(entry.csv.footer or entry.csv.rows)
    has_bounds = entry.interval_from == "gaps" or (entry.interval_from is not None and not _has_fixed_clock(entry))
    is_named = bool(entry.time and entry.value) and entry.timezone_from is None
    return is_named and not (is_counted or has_parts or has_ends or has_bounds)


def _has_single_moments(entry: Entry, blocks: Iterable[Block]) -> bool:
    """Whether each label in `blocks` is a moment by itself: a time with its date, on a day of 24 hours on the clock of
    the entry."""
    names = split_alternatives(entry.time)
    days: set[int] = set()
    for block in blocks:
        try:
            table = read_csv(entry.name, block.content, entry.csv, names, names)
        except GridtideError:
            return False
        cells = table.read([name for name in names if name in table.names])
        for texts in _list_distinct(list(cells.values())):
            label = _parse_label(entry, texts)
            if label is None:
                return False
            day = label.moment - label.moment % DAY_LENGTH
            days.update(() if label.is_utc else (day - DAY_LENGTH, day, day + DAY_LENGTH))
    zone = ZoneInfo(entry.times_in or entry.timezone)
    return all(clocks.measure_day(day, zone)[1] == DAY_LENGTH for day in days)


def _list_distinct(columns: Sequence[CellColumn]) -> Iterator[list[str]]:
    """Yields the different rows of texts in `columns`, each (rows,)."""
    factorized = [factorize(column) for column in columns]
    if factorized:
        for codes in np.unique(np.stack([codes for codes, _ in factorized]), axis=1).T.tolist():
            yield [(texts[code] or "").strip() for code, (_, texts) in zip(codes, factorized, strict=True)]


def _parse_label(entry: Entry, texts: Sequence[str]) -> ClockLabel | None:
    """Returns what the `texts` of the columns of times say, or the first of them, which may be a date beside numbers;
    None if neither is a time."""
    if not any(texts):
        return ClockLabel(0, is_utc=True)
    for text in (" ".join(texts).strip(), texts[0]):
        try:
            return clocks.parse_label(text, entry.time_format, None)
        except (ValueError, OverflowError):
            continue
    return None
