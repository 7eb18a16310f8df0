"""Checksums of row groups, in the footer of their file, which reveal a changed file.

    gridtide.checksums    [[<end>, <CRC-32>], …]

A row group is the bytes from the end of the row group before it, or from the start of the file, to its own end. Parquet
has checksums of pages too. They reveal damage, but not that a program has rewritten the file.
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
    """An open file to write row groups to; computes the checksum of each. Arrow writes to `sink`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._end = self._sum = 0
        self._checksums: list[tuple[int, int]] = []
        self.sink = pa.PythonFile(self, mode="w")

    def write(self, data: bytes) -> int:
        """Writes `data` to the file and adds it to the checksum."""
        self._sum = zlib.crc32(data, self._sum)
        self._end += len(data)
        return self._file.write(data)

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return self._file.closed

    def flush(self) -> None:
        """Flushes the file."""
        self._file.flush()

    def end_group(self) -> None:
        """Records that a row group ends here."""
        self._checksums.append((self._end, self._sum))
        self._sum = 0

    def as_footer(self) -> dict[str, str]:
        """Returns the key-value pair of the Parquet footer that contains the checksums."""
        return {CHECKSUMS_KEY: msgspec.json.encode(self._checksums).decode()}


def open_checked(body: Any) -> pq.ParquetFile:
    """Opens the Parquet file in `body`; if its row groups have no checksums, those of its pages are checked."""
    file = pq.ParquetFile(body)
    if CHECKSUMS_KEY.encode() in (file.metadata.metadata or {}):
        return file
    return pq.ParquetFile(body, metadata=file.metadata, page_checksum_verification=True)


def verify_row_groups(pairs: Mapping[bytes, bytes], body: Any, groups: Iterable[int]) -> None:
    """Checks the row `groups` of the file `body` against the checksums in its footer `pairs`.

    Raises `ValueError` if a row group differs. A file without checksums is accepted.
    """
    encoded = pairs.get(CHECKSUMS_KEY.encode())
    if encoded is None:
        return
    checksums = msgspec.json.decode(encoded, type=list[tuple[int, int]])
    starts = [0, *(end for end, _ in checksums)]
    view = memoryview(body)
    for group in groups:
        if group >= len(checksums) or zlib.crc32(view[starts[group] : checksums[group][0]]) != checksums[group][1]:
            raise ValueError("its row groups are not those it was written with")
