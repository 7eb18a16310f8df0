"""PostgreSQL by ADBC: rows as Arrow batches, from a cursor in a read-only transaction.

A cursor, because a `COPY`, which ADBC uses otherwise, takes no parameters, and an answer without either is gathered in
memory as a whole.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gridtide.database.statements import Statement

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy.engine import URL

POSTGRES_ROWS = 65_536
"""The rows of one batch."""

CONNECT_SECONDS = 15
"""How long a server may take to accept a connection."""


def stream_postgres(url: URL, statement: Statement, seconds: float) -> Iterator[pa.RecordBatch]:
    """Yields the rows of `statement` at the server of `url`; at least one batch, which may be empty.

    Each fetch takes `seconds` at most by the server's own limit, all of them together as long. Raises the errors of the
    driver, and `TimeoutError`.
    """
    from adbc_driver_postgresql import dbapi

    text, values = statement.bind_moments().compile_numbered()
    deadline = time.monotonic() + seconds
    with dbapi.connect(_write_address(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for setting, value in (
            ("statement_timeout", f"{int(seconds * 1000)}ms"),
            ("TimeZone", statement.timezone),
            ("cursor_tuple_fraction", "1"),  # all rows are read, so the plan need not give the first ones soon
        ):
            cursor.execute("SELECT set_config($1, $2, true)", (setting, value))
            cursor.fetchall()
        cursor.execute(f"DECLARE gridtide_rows NO SCROLL CURSOR FOR {text}", values or None)
        cursor.adbc_statement.set_options(**{"adbc.postgresql.use_copy": "false"})
        yield from _fetch_all(cursor, deadline)


def _fetch_all(cursor: Any, deadline: float) -> Iterator[pa.RecordBatch]:
    while True:
        if time.monotonic() > deadline:
            raise TimeoutError
        cursor.execute(f"FETCH FORWARD {POSTGRES_ROWS} FROM gridtide_rows")
        rows = cursor.fetch_arrow_table().combine_chunks()
        yield from rows.to_batches()
        if rows.num_rows < POSTGRES_ROWS:
            return


def _write_address(url: URL) -> str:
    """Returns `url` as PostgreSQL's own library reads it, whatever driver it names."""
    query = {"connect_timeout": str(CONNECT_SECONDS), "application_name": "gridtide", **url.query}
    return url.set(drivername="postgresql", query=query).render_as_string(hide_password=False)
