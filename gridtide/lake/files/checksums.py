"""A checksum of each row group, told in the footer of its file: what was changed since is not believed.

    gridtide.checksums    [[<end>, <CRC-32>], …]

A row group is the bytes from the end of the one before it, or from the start of the file, to its own end. Page
checksums, which Parquet has of its own, are made anew by who writes a file anew, and tell damage alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import IO, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

CHECKSUMS_KEY = "gridtide.checksums"


class ChecksummingSink:
    """An open file to write row groups to, that sums what is written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._end = self._sum = 0
        self._told: list[tuple[int, int]] = []
        self.sink = pa.PythonFile(self, mode="w")

    def write(self, data: bytes) -> int:
        """As the file's own."""
        self._sum = zlib.crc32(data, self._sum)
        self._end += len(data)
        return self._file.write(data)

    @property
    def closed(self) -> bool:
        """As the file's own."""
        return self._file.closed

    def flush(self) -> None:
        """As the file's own."""
        self._file.flush()

    def end_group(self) -> None:
        """A row group ends here."""
        self._told.append((self._end, self._sum))
        self._sum = 0

    def footer(self) -> dict[str, str]:
        """What the footer is to say of the row groups."""
        return {CHECKSUMS_KEY: msgspec.json.encode(self._told).decode()}


def open_checked(body: Any) -> pq.ParquetFile:
    """The Parquet file in `body`; without checksums of its row groups, those of its pages are checked."""
    file = pq.ParquetFile(body)
    if CHECKSUMS_KEY.encode() in (file.metadata.metadata or {}):
        return file
    return pq.ParquetFile(body, metadata=file.metadata, page_checksum_verification=True)


def verify_row_groups(pairs: Mapping[bytes, bytes], body: Any, groups: Iterable[int]) -> None:
    """Raises `ValueError` unless the row `groups` of the file `body` are those that its footer `pairs` tell of; what
    these say nothing of is believed."""
    said = pairs.get(CHECKSUMS_KEY.encode())
    if said is None:
        return
    told = msgspec.json.decode(said, type=list[tuple[int, int]])
    starts = [0, *(end for end, _ in told)]
    view = memoryview(body)
    for group in groups:
        if group >= len(told) or zlib.crc32(view[starts[group] : told[group][0]]) != told[group][1]:
            raise ValueError("its row groups are not those it was written with")
