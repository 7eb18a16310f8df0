"""The fingerprints of the rows of a collection, by which repeated keys are found."""

from __future__ import annotations

import tempfile
from typing import IO, TYPE_CHECKING

from gridtide.errors import StorageError

if TYPE_CHECKING:
    import numpy as np

ROWS_IN_MEMORY = 500_000
"""The most fingerprints in memory; more are written to a temporary file (in `TMPDIR`)."""

FENCES = 1 << 10
"""The equal ranges of fingerprints whose places in the file are known, so that a range is read by itself."""


class RowMarks:
    """The `fingerprints` of all rows added, of the entry with the name `entry`.

    Memory stays flat however many rows are added: they are written in runs of sorted fingerprints. `close` deletes the
    temporary file. Raises `StorageError` if the temporary folder is full.
    """

    def __init__(self, entry: str, rows_in_memory: int = ROWS_IN_MEMORY) -> None:
        self.entry = entry
        self.rows_in_memory = rows_in_memory
        self._waiting: list[np.ndarray] = []
        self._waiting_rows = self._rows = 0
        self._file: IO[bytes] | None = None
        self._fences: list[np.ndarray] = []

    def add(self, marks: np.ndarray) -> None:
        """Adds the fingerprints of further rows, shape (rows,), uint64."""
        self._waiting.append(marks)
        self._waiting_rows += len(marks)
        self._rows += len(marks)
        if self._waiting_rows > self.rows_in_memory:
            self._write_waiting()

    def have_repeats(self) -> bool:
        """Whether any fingerprint was added twice."""
        from gridtide.observations.identity import has_repeats

        if self._file is None:
            return has_repeats(self._waiting)
        self._write_waiting()
        range_count = min(1 << (self._rows // max(self.rows_in_memory, 1)).bit_length(), FENCES)
        fences_each = FENCES // range_count
        return any(has_repeats(self._read_range(first, first + fences_each)) for first in range(0, FENCES, fences_each))

    def close(self) -> None:
        """Deletes the temporary file."""
        self._waiting = []
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read_range(self, first: int, last: int) -> list[np.ndarray]:
        """Returns the fingerprints between two fences, of each run."""
        import numpy as np

        assert self._file is not None  # noqa: S101
        parts = []
        for fences in self._fences:
            self._file.seek(int(fences[first]) * np.uint64().itemsize)
            size = int(fences[last] - fences[first]) * np.uint64().itemsize
            parts.append(np.frombuffer(self._file.read(size), np.uint64))
        return parts

    def _write_waiting(self) -> None:
        """Writes the waiting fingerprints as a sorted run, and notes where its fences are in the file."""
        import numpy as np

        run = np.concatenate([np.zeros(0, np.uint64), *self._waiting])
        run.sort()
        starts = np.arange(FENCES, dtype=np.uint64) << np.uint64(64 - (FENCES.bit_length() - 1))
        written_rows = self._rows - self._waiting_rows
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`
            self._file.write(run.data)
        except OSError as error:
            happened = f"the fingerprints of its rows cannot be written in {tempfile.gettempdir()}: {error}"
            raise StorageError(
                self.entry, happened, "Free space there, or set TMPDIR to a folder that has some"
            ) from error
        self._fences.append(np.append(np.searchsorted(run, starts), len(run)) + written_rows)
        self._waiting, self._waiting_rows = [], 0
