"""With any files and compactions, the views of SQL have the rows that `gridtide.curated.read` returns."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gridtide import curated
from gridtide.entries.aliases import Alias
from gridtide.errors import StorageError
from gridtide.lake import Lake
from tests.properties.test_curated_properties import FILES, WHOLE, File, filled
from tests.support.lakes import HOUR, START, entry, row

duckdb = pytest.importorskip("duckdb", reason="gridtide[sql] is not installed")

MIDDLE = START + 4 * HOUR
"""The beginning of the second month."""


def ordered(table: pa.Table, names: list[str]) -> list[Any]:
    """The rows of `table` with the columns `names`, in an order of their own."""
    rows = table.select(names).to_pylist()
    return sorted((tuple(row[name] for name in names) for row in rows), key=repr)


ALIASES = st.sampled_from(
    [
        (),
        (Alias(old_name="eia/*/demand", new_name="eia/*/load"),),
        (Alias(old_name="eia/ISNE/demand", new_name="eia/ISNE's/\"load", before=MIDDLE.isoformat()),),
        (
            Alias(old_name="eia/ISNE/demand", new_name="eia/NYIS/demand", since=MIDDLE.isoformat()),
            Alias(old_name="eia/NYIS/demand", new_name="eia/NYIS/load"),
        ),
    ]
)
"""Aliases by which no two stored series become one in the same hours."""


LATE = [File(0, [row(3, 1.0)], True, True), File(0, [row(3, 1.0)], False, False)]
"""A file that was retrieved with the month beside which it comes, and whose own files are gone."""


@pytest.mark.slow
@settings(max_examples=30)
@example(LATE, (), True)
@given(FILES, ALIASES, st.booleans())
def test_views_have_the_rows_of_reading(files: list[File], aliases: tuple[Alias, ...], is_pruned: bool) -> None:
    """The view of an entry, all vintages, and what was there after each file, are those of `curated.read`: with
    revisions, superseded files, compacted months, files that were pruned, and series that aliases rename;
    where that refuses to read, so does this."""
    from gridtide.sql import connect

    of = msgspec.structs.replace(entry(), aliases=aliases)
    lake, rows = asyncio.run(filled(files, of, compacting=True))
    if is_pruned:
        asyncio.run(curated.prune(lake, of, datetime.now(UTC) + timedelta(days=60)))

    def read(as_of: datetime | None = None, all_vintages: bool = False) -> pa.Table:
        return asyncio.run(curated.read(lake, [of], WHOLE.start, WHOLE.end, as_of, all_vintages=all_vintages))

    assert isinstance(lake, Lake)
    try:
        read()
    except StorageError as error:  # a file came with an earlier retrieval than a month whose files are gone
        with pytest.raises(StorageError, match=re.escape(error.happened)):
            connect(lake, entries=[of])
        return
    with connect(lake, entries=[of]) as connection:

        def ask(query: str) -> pa.Table:
            return connection.sql(query).to_arrow_table()

        latest = read()
        for view in ("demand", "observations"):
            names = list(latest.column_names)
            assert ordered(ask(f"select * from {view}"), names) == ordered(latest, names)
        vintages = read(all_vintages=True)
        names = list(vintages.column_names)
        assert ordered(ask("select * from vintages"), names) == ordered(vintages, names)
        for moment in {row["stored_at"] for row in rows}:
            query = f"select * from as_of('{moment.isoformat()}')"
            try:
                past = read(moment)
                answer = ask(query)
            except (StorageError, duckdb.Error):  # a file that was superseded counted, beside files that are gone
                assert is_pruned
                with pytest.raises(duckdb.Error, match="files that are gone"):
                    ask(query)
                continue
            names = list(past.column_names)
            assert ordered(answer, names) == ordered(past, names)
