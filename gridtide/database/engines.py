"""Any database that SQLAlchemy knows: rows from a server-side cursor, converted to Arrow batches."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from gridtide.database.statements import Statement

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy.engine import URL, Connection

ENGINE_ROWS = 20_000
"""The rows of one batch."""

MYSQL_TIMESTAMP = 7
"""The number of the type TIMESTAMP in the protocol of MySQL, which its drivers give in descriptions of columns."""


class UnknownZoneError(Exception):
    """The server does not know the time zone of the entry, and so cannot write columns of moments on its clock."""

    def __init__(self, columns: Sequence[str], zone: str) -> None:
        super().__init__(f"{', '.join(columns)} is a TIMESTAMP, and the server does not know {zone}")


def stream_engine(url: URL, statement: Statement, seconds: float) -> Iterator[pa.RecordBatch]:
    """Yields the rows of `statement` at the database of `url`, within `seconds`; at least one batch, which may be
    empty.

    Raises the errors of SQLAlchemy and of the driver, `TimeoutError`, and `UnknownZoneError`.
    """
    import sqlalchemy

    deadline = time.monotonic() + seconds
    engine = sqlalchemy.create_engine(_forbid_writing(url), poolclass=sqlalchemy.pool.NullPool, hide_parameters=True)
    with engine.connect() as connection:
        family = "mariadb" if getattr(engine.dialect, "is_mariadb", False) else engine.dialect.name
        for setting in _list_settings(family, seconds):
            connection.exec_driver_sql(setting)
        knows_zone = family not in ("mysql", "mariadb") or _set_clock(connection, statement.timezone)
        timer = Timer(seconds, _interrupt, (connection,))
        timer.start()
        try:
            bound = statement.bind_texts() if engine.dialect.name == "sqlite" else statement.bind_clock()
            clause = bound.build_clause()
            rows = connection.execution_options(stream_results=True).execute(clause)  # type: ignore[call-overload]
            names = list(rows.keys())
            if not knows_zone:
                _refuse_moments(rows.cursor.description, statement.timezone)
            while True:
                if time.monotonic() > deadline:
                    raise TimeoutError
                fetched = rows.fetchmany(ENGINE_ROWS)
                yield _build_batch(names, fetched)
                if len(fetched) < ENGINE_ROWS:
                    return
        except sqlalchemy.exc.DBAPIError as error:
            if time.monotonic() > deadline:  # interrupted by the timer
                raise TimeoutError from error
            raise
        finally:
            timer.cancel()
            connection.rollback()


def _forbid_writing(url: URL) -> URL:
    """Returns `url` so that a file of SQLite is neither created nor written."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database.startswith("file:"):
        return url
    address = "file:" + quote(str(Path(url.database).absolute()))
    return url.set(database=address, query={**url.query, "mode": "ro", "uri": "true"})


def _list_settings(dialect: str, seconds: float) -> list[str]:
    """Returns the statements that make a session read-only and limit its time, where the dialect has them."""
    settings = {
        "sqlite": ["PRAGMA query_only = ON"],
        "mysql": ["SET SESSION TRANSACTION READ ONLY", f"SET SESSION max_execution_time = {int(seconds * 1000)}"],
        "mariadb": ["SET SESSION TRANSACTION READ ONLY", f"SET SESSION max_statement_time = {seconds:.3f}"],
        "oracle": ["SET TRANSACTION READ ONLY"],
    }
    return settings.get(dialect, [])


def _set_clock(connection: Connection, zone: str) -> bool:
    """Sets the clock on which MySQL and MariaDB write and compare columns of the type TIMESTAMP in this session;
    returns whether the server knows `zone`."""
    from sqlalchemy.exc import DBAPIError

    try:
        connection.exec_driver_sql("SET time_zone = %s", ("+00:00" if zone in ("UTC", "Etc/UTC") else zone,))
    except DBAPIError:
        return False
    return True


def _refuse_moments(description: Sequence[Sequence[Any]], zone: str) -> None:
    """Raises `UnknownZoneError` if a column is of MySQL's type TIMESTAMP, which is on the clock of the session."""
    names = [column[0] for column in description if column[1] == MYSQL_TIMESTAMP]
    if names:
        raise UnknownZoneError(names, zone)


def _interrupt(connection: Connection) -> None:
    """Ends a statement that takes too long, if the driver can do so from another thread."""
    driver_connection: Any = connection.connection.driver_connection
    stop = getattr(driver_connection, "interrupt", None) or getattr(driver_connection, "cancel", None)
    if stop is not None:
        stop()


def _build_batch(names: Sequence[str], rows: Sequence[Any]) -> pa.RecordBatch:
    """Returns `rows` as Arrow columns called `names`, each with the type of its values."""
    import pyarrow as pa

    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return pa.RecordBatch.from_arrays([_build_column(column) for column in columns], list(names))


def _build_column(cells: Sequence[Any]) -> pa.Array:
    """Returns `cells` as an array of one type; as texts if they are of several kinds, which SQLite allows."""
    from decimal import Decimal

    import pyarrow as pa

    if any(isinstance(cell, Decimal) for cell in cells):
        cells = [float(cell) if isinstance(cell, Decimal) else cell for cell in cells]
    try:
        return pa.array(cells)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if cell is None else str(cell) for cell in cells], pa.string())
