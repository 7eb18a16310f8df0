"""The fingerprints of the rows of a collection, by which repeated keys are found."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from gridtide.errors import StorageError

if TYPE_CHECKING:
    import numpy as np

ROWS_IN_MEMORY = 2_000_000
"""The most fingerprints in memory; more are written to a temporary file (in `TMPDIR`)."""


class RowMarks:
    """The `fingerprints` of all rows added, of the entry with the name `entry`; iterates over parts of them.

    Memory stays flat however many rows are added. `close` deletes the temporary file. Raises `StorageError` if the
    temporary folder is full.
    """

    def __init__(self, entry: str, rows_in_memory: int = ROWS_IN_MEMORY) -> None:
        self.entry = entry
        self.rows_in_memory = rows_in_memory
        self._waiting: list[np.ndarray] = []
        self._waiting_rows = 0
        self._file: IO[bytes] | None = None

    def add(self, marks: np.ndarray) -> None:
        """Adds the fingerprints of further rows, shape (rows,)."""
        self._waiting.append(marks)
        self._waiting_rows += len(marks)
        if self._waiting_rows > self.rows_in_memory:
            self._write_waiting()

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yields the fingerprints, each of shape (rows,), uint64."""
        import numpy as np

        if self._file is not None:
            self._file.seek(0)
            while block := self._file.read(self.rows_in_memory * np.uint64().itemsize):
                yield np.frombuffer(block, np.uint64)
        yield from self._waiting

    def close(self) -> None:
        """Deletes the temporary file."""
        self._waiting = []
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write_waiting(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`
            for marks in self._waiting:
                self._file.write(marks.tobytes())
        except OSError as error:
            happened = f"the fingerprints of its rows cannot be written in {tempfile.gettempdir()}: {error}"
            raise StorageError(
                self.entry, happened, "Free space there, or set TMPDIR to a folder that has some"
            ) from error
        self._waiting, self._waiting_rows = [], 0
