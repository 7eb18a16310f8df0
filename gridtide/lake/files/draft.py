"""A file of observations that is being written."""

from __future__ import annotations

import hashlib
import mmap
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from gridtide.errors import StorageError
from gridtide.lake.files.metadata import Metadata, Provenance

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gridtide.lake.files.encoding import Sink


ROW_GROUP_ROWS = 1 << 16
"""The number of rows collected before they are written; small pages share one dictionary that way."""


class Draft:
    """A Parquet or CSV file of observations that is written outside the lake (in `TMPDIR`) as they arrive.

    Memory stays flat however many rows are appended. Use it as a context manager: the draft is deleted at its end, and
    `Lake.put_draft` stores its content in the lake before that. Raises `StorageError` with the name of the entry if the
    temporary folder is full.
    """

    def __init__(self, format: Literal["parquet", "csv"], provenance: Provenance) -> None:  # noqa: A002  # the configuration's word
        self.format = format
        self.provenance = provenance
        self._sink: Sink | None = None
        self._last_end: datetime | None = None
        self._start_file()

    def __enter__(self) -> Draft:
        return self

    def __exit__(self, *exc: object) -> None:
        self._sink = None
        self._file.close()

    def append(self, table: pa.Table, marks: np.ndarray | None = None) -> None:
        """Appends the observations `table`; `marks` (rows,) are their `fingerprints`, if known."""
        from gridtide.observations.identity import fingerprints

        self.rows += table.num_rows
        self._last_end = max(filter(None, (self._last_end, _find_last_end(table))), default=None)
        self.series_days.add(table)
        self._waiting.append(table)
        self._marks.append(fingerprints(table) if marks is None else marks)
        self._waiting_rows += table.num_rows
        if self._waiting_rows >= ROW_GROUP_ROWS:
            self._write_groups(ROW_GROUP_ROWS)

    def note_reach(self) -> None:
        """Notes the end of its last interval with a value as the `reach` of a file with a period."""
        period = self.provenance.period
        if period is not None:
            self.provenance = replace(self.provenance, reach=max(self._last_end or period.start, period.start))

    def table(self) -> pa.Table:
        """Returns all observations appended so far, in memory."""
        from gridtide.lake.files import encoding
        from gridtide.observations.table import concat

        if self._sink is None:
            return concat(self._waiting)
        all_rows = encoding.decode_table(self.format, self._complete_file({}))
        self._start_file()  # the file was closed to be read, and takes no more rows
        self.append(all_rows)
        return all_rows

    def finish(self) -> tuple[mmap.mmap, Metadata]:
        """Returns the whole file and its metadata, with `stored_at` now; nothing can be appended afterwards."""
        from gridtide.observations.series_days import encode_series

        self._write_groups(1)
        series = encode_series(self.series_days.names)
        metadata = Metadata.now(self.provenance, self.rows, self._digest.hexdigest(), series)
        return self._complete_file(metadata.as_footer()), metadata

    def _start_file(self) -> None:
        from gridtide.observations.series_days import SeriesDays

        self.rows = 0
        self._last_end = None
        self.series_days = SeriesDays()
        self._waiting: list[pa.Table] = []
        self._marks: list[np.ndarray] = []
        self._waiting_rows = 0
        self._digest = hashlib.sha256()
        with self._translate_failures():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `__exit__`

    def _write_groups(self, least_rows: int) -> None:
        """Writes the waiting rows in row groups, until fewer than `least_rows` wait."""
        import numpy as np

        from gridtide.observations.identity import content_hash
        from gridtide.observations.table import concat

        table = concat(self._waiting).combine_chunks()
        marks = np.concatenate([np.empty(0, np.uint64), *self._marks])
        written_rows = 0
        while table.num_rows - written_rows >= least_rows:
            row_group = table.slice(written_rows, ROW_GROUP_ROWS)
            content_hash(row_group, self._digest, marks[written_rows : written_rows + ROW_GROUP_ROWS])
            with self._translate_failures():
                self._open_sink().write(row_group)
            written_rows += row_group.num_rows
        self._waiting, self._marks = [table.slice(written_rows)], [marks[written_rows:]]
        self._waiting_rows = table.num_rows - written_rows

    def _open_sink(self) -> Sink:
        from gridtide.lake.files.encoding import SINKS

        if self._sink is None:
            self._sink = SINKS[self.format](self._file)
        return self._sink

    def _complete_file(self, footer: dict[str, str]) -> mmap.mmap:
        """Completes the file and maps it into memory, so that it is stored from there without a copy."""
        self._write_groups(1)
        with self._translate_failures():
            self._open_sink().close(footer)
            self._sink = None
            self._file.flush()
            with self._file:
                return mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)

    @contextmanager
    def _translate_failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                self.provenance.entry,
                f"its file cannot be written in {tempfile.gettempdir()}: {error}",
                "Free space there, or set TMPDIR to a folder that has some",
            ) from error


def _find_last_end(table: pa.Table) -> datetime | None:
    """Returns the end of the last interval with a value in the observations `table`; None if it has no value."""
    import pyarrow.compute as pc

    values = table["value"]
    ends = table["interval_end"] if not values.null_count else table["interval_end"].filter(values.is_valid())
    last_end = pc.max(ends).as_py()
    return None if last_end is None else last_end.astimezone(UTC)
