"""With any files and compactions, the views of SQL have the rows that `gridtide.curated.read` returns."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings

from gridtide import curated
from gridtide.lake import Lake
from tests.properties.test_curated_properties import FILES, WHOLE, File, filled
from tests.support.lakes import entry

pytest.importorskip("duckdb", reason="gridtide[sql] is not installed")


def ordered(table: pa.Table, names: list[str]) -> list[Any]:
    """The rows of `table` with the columns `names`, in an order of their own."""
    rows = table.select(names).to_pylist()
    return sorted((tuple(row[name] for name in names) for row in rows), key=repr)


@settings(max_examples=30)
@given(FILES)
def test_views_have_the_rows_of_reading(files: list[File]) -> None:
    """The view of an entry, all vintages, and what was there after each file, are those of `curated.read`."""
    from gridtide.sql import connect

    of = entry()
    lake, rows = asyncio.run(filled(files, of, compacting=True))

    def read(as_of: datetime | None = None, all_vintages: bool = False) -> pa.Table:
        return asyncio.run(curated.read(lake, [of], WHOLE.start, WHOLE.end, as_of, all_vintages=all_vintages))

    assert isinstance(lake, Lake)
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
            past = read(moment)
            names = list(past.column_names)
            assert ordered(ask(f"select * from as_of('{moment.isoformat()}')"), names) == ordered(past, names)
