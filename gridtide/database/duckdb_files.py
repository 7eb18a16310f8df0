"""Files of DuckDB: rows as Arrow batches, from a connection that cannot write."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Timer
from typing import TYPE_CHECKING

from gridtide.database.statements import Statement

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy.engine import URL

DUCKDB_ROWS = 65_536
"""The rows of one batch."""


def stream_duckdb(url: URL, statement: Statement, seconds: float) -> Iterator[pa.RecordBatch]:
    """Yields the rows of `statement` in the file that `url` names, `duckdb:///path`, within `seconds`.

    Raises the errors of DuckDB; its `InterruptException` after that time.
    """
    import duckdb

    text, values = statement.bind_moments().compile_numbered()
    with duckdb.connect(url.database or "", read_only=True) as connection:
        connection.execute("SET TimeZone = ?", [statement.timezone])
        timer = Timer(seconds, connection.interrupt)
        timer.start()
        try:
            yield from connection.sql(text, params=list(values)).to_arrow_reader(DUCKDB_ROWS)
        finally:
            timer.cancel()
