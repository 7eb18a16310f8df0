"""Connects DuckDB to a lake."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from gridtide.config.loading import load
from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError
from gridtide.lake import Lake
from gridtide.sql import views

if TYPE_CHECKING:
    import duckdb

    from gridtide.sql.entry_rows import EntryRows

VIEWS = ("observations", "vintages", "quality", "as_of")
"""The names that no view of an entry has."""


INNER_VIEWS = (" stored", " beside months", " loose")
"""The ends of the names of views that only other views use."""


def connect(
    lake: str | Lake | None = None,
    config: str | Path = "api_config.json",
    select: Iterable[str] = (),
    entries: Sequence[Entry] | None = None,
) -> duckdb.DuckDBPyConnection:
    """Returns a connection of DuckDB with views over `lake`, by default that of the configuration at `config`.

    Each entry, or those named by `select`, has a view of its name with the rows that `gridtide.curated.read` returns.
    `observations` has those of all entries, `vintages` every vintage, and `as_of('2024-05-01')` what was there at a
    time; `quality` has the verdicts of the daily checks, if there are any. Times are in UTC.

    Months are read when a query needs them, and no more of them than it needs. Rows of files that are not compacted are
    read now; connect anew to see later files. Raises `ConfigurationError` if DuckDB is not installed,
    `StorageError` for a file that cannot be read.
    """
    if entries is None:
        settings = load(config)
        entries, lake = settings.select(select), lake or settings.lake
    opened_lake = lake if isinstance(lake, Lake) else Lake.open(str(lake), make=False)
    tabular = [entry for entry in entries if entry.tabular]
    _check_names([entry.name for entry in tabular])
    with ThreadPoolExecutor(1) as threads:  # a notebook has an event loop of its own in this thread
        located = threads.submit(asyncio.run, _locate_all(opened_lake, tabular)).result()
        verdicts = threads.submit(asyncio.run, _read_quality(opened_lake)).result()
    connection = _open(opened_lake)
    for rows in located:
        _define_entry(connection, opened_lake, rows)
    _define_common(connection, located)
    if verdicts is not None:
        connection.register("quality", verdicts)
    return connection


def _check_names(names: Iterable[str]) -> None:
    """Raises `ConfigurationError` unless each of the entries' `names` can be the name of a view; DuckDB does not
    distinguish cases."""
    names_by_fold: dict[str, str] = {}
    for name in names:
        folded = name.casefold()
        if folded in VIEWS or folded.endswith(INNER_VIEWS):
            happened = "is the name of a view over all entries, or of one that SQL needs"
            raise ConfigurationError(name, happened, "Rename the entry, or leave it out: --select")
        if folded in names_by_fold:
            happened = f"and {names_by_fold[folded]} are one name in SQL, which does not distinguish cases"
            raise ConfigurationError(name, happened, "Rename one of them, or select one: --select")
        names_by_fold[folded] = name


async def _locate_all(lake: Lake, entries: Iterable[Entry]) -> list[EntryRows]:
    from gridtide.sql.entry_rows import locate_rows

    return [await locate_rows(lake, entry) for entry in entries]


async def _read_quality(lake: Lake) -> object:
    """Returns the newest verdicts of the checks as a table, None if there are none."""
    from gridtide.quality.table import read_verdicts, to_table

    verdicts = await read_verdicts(lake)
    return to_table(verdicts.values()) if verdicts else None


def _open(lake: Lake) -> duckdb.DuckDBPyConnection:
    try:
        import duckdb
    except ImportError as error:
        fix = 'Install it: pip install "gridtide[sql]"'
        raise ConfigurationError("gridtide.sql", "DuckDB is not installed", fix) from error
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    if not lake.store.is_local:
        from gridtide.lake.files.filesystem import LakeFileSystem

        connection.register_filesystem(LakeFileSystem(lake.store))
    return connection


def _define_entry(connection: duckdb.DuckDBPyConnection, lake: Lake, rows: EntryRows) -> None:
    """Makes the view of an entry, and that of its stored rows."""
    entry_name = rows.entry.name
    latest, loose = f"{entry_name} beside months", f"{entry_name} loose"
    connection.register(latest, rows.latest_table)
    connection.register(loose, _number_rows(rows))
    connection.execute(views.define_entry(entry_name, _write_paths(lake, rows.latest_paths), latest))
    connection.execute(
        views.define_stored(_name_stored(entry_name), rows.entry, _write_paths(lake, rows.month_paths), loose)
    )


def _number_rows(rows: EntryRows) -> object:
    """Returns the loose rows with their order."""
    import pyarrow as pa

    return rows.loose_table.append_column("position", pa.array(range(rows.loose_table.num_rows), pa.int64()))


def _name_stored(entry_name: str) -> str:
    return f"{entry_name} stored"


def _write_paths(lake: Lake, paths: Iterable[str]) -> list[str]:
    """Returns paths in the lake as DuckDB opens them: those of local files, or by the file system of the lake."""
    from gridtide.lake.files.filesystem import PROTOCOL

    if lake.store.is_local:
        return [str(Path(lake.store.uri.removeprefix("file://")) / month_path) for month_path in paths]
    return [f"{PROTOCOL}://{month_path}" for month_path in paths]


def _define_common(connection: duckdb.DuckDBPyConnection, located: Sequence[EntryRows]) -> None:
    """Makes the views over all entries."""
    if not located:
        return
    names = [rows.entry.name for rows in located]
    shared = _find_shared(connection, names) if len(names) > 1 else []
    connection.execute(views.define_observations([(entry_name, entry_name) for entry_name in names], shared))
    stored_views = [_name_stored(entry_name) for entry_name in names]
    connection.execute(views.define_vintages(stored_views))
    refused_by_view = {_name_stored(rows.entry.name): rows.refused for rows in located}
    connection.execute(views.define_as_of(refused_by_view))


def _find_shared(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Returns the series that more than one of the views `names` has."""
    parts = [f"SELECT DISTINCT source, location, variable FROM {views.quote_name(entry_name)}" for entry_name in names]
    series = ", ".join(views.KEY_COLUMNS[:3])
    union = " UNION ALL ".join(parts)
    query = f"SELECT {series} FROM ({union}) GROUP BY ALL HAVING count(*) > 1"
    return [(str(row[0]), str(row[1]), str(row[2])) for row in connection.execute(query).fetchall()]
