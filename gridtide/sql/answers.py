"""Answers to queries, in memory or as files; and series as a wide table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from gridtide.errors import ConfigurationError, list_first
from gridtide.sql.connecting import INNER_VIEWS

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from gridtide.periods import Period

ANSWERED = ("SELECT", "EXPLAIN", "PRAGMA", "CALL", "MULTI")
"""The kinds of statements that have an answer and change nothing, as DuckDB calls them; MULTI is PIVOT."""

SUFFIXES = (".csv", ".parquet", ".arrow", ".feather")
"""The files that an answer can be written to."""

PIECE_ROWS = 65_536
"""The rows of an answer that are in memory while it is written."""


def check_target(path: Path | None) -> None:
    """Raises `ConfigurationError` if no answer can be written to a file of the name `path`."""
    if path is not None and path.suffix not in SUFFIXES:
        raise ConfigurationError(str(path), "names no format", f"Let it end with one of {', '.join(SUFFIXES)}")


@contextmanager
def _explain_errors(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Turns errors of DuckDB into one message with the names of the views."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        views = connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
        names = sorted(name for (name,) in views if not name.endswith(INNER_VIEWS))
        happened = " ".join(str(error).split("\n\n")[0].split())
        fix = f"The views are: {', '.join(names)}, as_of('2024-05-01')"
        raise ConfigurationError("the query", happened, fix) from None


def check_query(query: str) -> None:
    """Raises `ConfigurationError` unless `query` is one statement that asks, perhaps after settings: a `COPY` would
    write files, maybe in the lake, and the answer of an earlier statement would be lost.

    Leaves errors of syntax to the connection that runs the query.
    """
    import duckdb

    try:
        statements = duckdb.extract_statements(query)
    except duckdb.Error:
        return
    kinds = [_name_kind(statement) for statement in statements]
    questions = [kind for kind in kinds if kind != "SET"]
    wrong_kinds = [kind for kind in questions if kind not in ANSWERED]
    if wrong_kinds:
        happened = f"has a statement {wrong_kinds[0].replace('_', ' ')}; only questions are answered"
        fix = "Give a query, such as SELECT, and a file for its answer with --out; gridtide.sql.connect() takes any"
        raise ConfigurationError("the query", happened, fix)
    if len(questions) != 1 or kinds[-1] == "SET":
        happened = f"has {len(questions)} questions" if questions else "has no answer"
        raise ConfigurationError("the query", happened, "Give one, such as SELECT; only SET may stand before it")


def _name_kind(statement: duckdb.Statement) -> str:
    """Returns the kind of a statement; of `EXPLAIN`, which runs a statement with `ANALYZE`, that of this statement."""
    import duckdb

    if statement.type.name != "EXPLAIN":
        return str(statement.type.name)
    explained = re.sub(r"(?is)^.*?\bexplain\b(\s+analyze\b)?(\s*\([^)]*\))?", "", statement.query, count=1)
    try:
        return str(duckdb.extract_statements(explained)[0].type.name)
    except (duckdb.Error, IndexError):  # a query in parentheses
        return "EXPLAIN"


def fetch_answer(connection: duckdb.DuckDBPyConnection, query: str, limit: int) -> tuple[pa.Table, int]:
    """Returns the first `limit` rows of the answer to `query`, and the number of all of its rows, of which no more
    than a piece is in memory at a time. Raises `ConfigurationError` for a query that `check_query` or DuckDB refuses.
    """
    import pyarrow as pa

    check_query(query)
    with _explain_errors(connection):
        reader = connection.sql(query).to_arrow_reader(PIECE_ROWS)
        first_batches: list[pa.RecordBatch] = []
        row_count = 0
        for batch in reader:
            if row_count < limit:
                first_batches.append(batch.slice(0, limit - row_count))
            row_count += batch.num_rows
        return pa.Table.from_batches(first_batches, reader.schema), row_count


def write_answer(
    connection: duckdb.DuckDBPyConnection, query: str, target: Path | IO[bytes], names: Sequence[str] = ()
) -> int:
    """Writes the answer to `query` to a file in the format of its suffix, or to a stream as CSV, piece by piece;
    returns the number of its rows. A file is there as a whole or not at all. `names` rename its columns.

    Raises `ConfigurationError` for a query that `check_query` or DuckDB refuses, for types of columns that the format
    does not have, and for a file that cannot be written.
    """
    check_query(query)
    with _explain_errors(connection):
        reader = connection.sql(query).to_arrow_reader(PIECE_ROWS)
        if names:
            reader = _rename_columns(reader, names)
        if not isinstance(target, Path):
            return _write_batches(reader, target, ".csv")
        try:
            return _write_file(reader, target)
        except OSError as error:
            happened = f"cannot be written: {error.strerror or error}"
            fix = "Name a file in a folder that is there, in which you may write and which has space"
            raise ConfigurationError(str(target), happened, fix) from None


def _rename_columns(reader: pa.RecordBatchReader, names: Sequence[str]) -> pa.RecordBatchReader:
    import pyarrow as pa

    schema = pa.schema([field.with_name(name) for field, name in zip(reader.schema, names, strict=True)])
    batches = (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in reader)
    return pa.RecordBatchReader.from_batches(schema, batches)


def _write_file(reader: pa.RecordBatchReader, path: Path) -> int:
    """Writes the batches of `reader` to a draft and then in the place of the file at `path`; returns the number of
    rows."""
    draft = path.with_name(f".{path.name}.part")
    try:
        with draft.open("wb") as sink:
            row_count = _write_batches(reader, sink, path.suffix)
        draft.replace(path)
    except BaseException:
        with suppress(OSError):  # where the folder is none
            draft.unlink(missing_ok=True)
        raise
    return row_count


def _write_batches(reader: pa.RecordBatchReader, sink: IO[bytes], suffix: str) -> int:
    """Writes the batches of `reader` and returns the number of rows."""
    import pyarrow as pa
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    row_count = 0
    openers: dict[str, Any] = {".csv": pa_csv.CSVWriter, ".parquet": pq.ParquetWriter}
    try:
        with openers.get(suffix, pa.ipc.new_file)(sink, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
                row_count += batch.num_rows
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        fix = "Cast that column in the query, such as CAST(column AS VARCHAR), or choose another format"
        raise ConfigurationError("the query", f"has an answer that {suffix} cannot hold: {error}", fix) from None
    return row_count


def write_wide(
    connection: duckdb.DuckDBPyConnection, patterns: Sequence[str], period: Period | None, target: Path | IO[bytes]
) -> int:
    """Writes a table with a row for each time and a column for each series; returns the number of its rows.

    `time` is the start of the interval in UTC; a value is that of the vintage published last. `patterns` select series,
    `source/location/variable` with `*` for any text; none selects all. Raises `ConfigurationError` if that are none,
    and for a series with intervals of several lengths at one time, of which one would hide the others.
    """
    query, values = _build_long_query(patterns, period)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE selection AS {query}", values)
    # numbers stand for the names of columns, of which DuckDB does not distinguish cases
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE numbered AS "
        "SELECT series, printf('%08d', row_number() OVER (ORDER BY series)) AS number, max(lengths) AS lengths "
        "FROM selection GROUP BY series"
    )
    series = connection.execute("SELECT series, lengths FROM numbered ORDER BY number").fetchall()
    if not series:
        fix = "List the series of the lake: gridtide catalog --no-write"
        raise ConfigurationError("export", "no series is selected, or none has values in the period", fix)
    mixed_names = [name for name, lengths in series if lengths > 1]
    if mixed_names:
        happened = f"has intervals of several lengths that start at one time: {list_first(mixed_names, 5)}"
        raise ConfigurationError("export", happened, "Choose an entry with --select, or series with --series")
    pivot = (
        "PIVOT (SELECT time, number, value FROM selection JOIN numbered USING (series)) ON number USING first(value) "
        "GROUP BY time ORDER BY time"
    )
    return write_answer(connection, pivot, target, ["time", *(name for name, _ in series)])


def _build_long_query(patterns: Sequence[str], period: Period | None) -> tuple[str, list[Any]]:
    """Returns the query for the values of `write_wide`, a row for each, and the values of its parameters."""
    conditions: list[str] = []
    values: list[Any] = []
    if patterns:
        conditions.append("(" + " OR ".join(["series GLOB ?"] * len(patterns)) + ")")
        values += [re.sub(r"([\[\]?\\])", r"\\\1", pattern) for pattern in patterns]
    if period is not None:
        conditions.append("interval_start >= ? AND interval_start < ?")
        values += [period.start, period.end]
    condition = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return (
        "SELECT interval_start AS time, series, last(value ORDER BY published_at NULLS FIRST, retrieved_at) AS value, "
        "count(DISTINCT interval_end) AS lengths "
        "FROM (SELECT *, source || '/' || location || '/' || variable AS series FROM observations)"
        f"{condition} GROUP BY ALL",
        values,
    )
