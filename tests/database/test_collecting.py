"""Rows of real databases in the lake: PostgreSQL, DuckDB and SQLite; types, times, parameters and revisions."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gridtide import curated
from gridtide.errors import FormatError
from gridtide.lake import Lake
from gridtide.periods import split
from tests.support.processes.postgres import PostgresServer, run_postgres
from tests.support.upstreams.databases import STAMP, collect_rows, hours, list_observed, sql_entry

duckdb = pytest.importorskip("duckdb", reason="gridtide[sql] is not installed")
pytest.importorskip("adbc_driver_postgresql", reason="gridtide[sql] is not installed")

READINGS = """
create table readings (ts {moment}, meter varchar(20), mw numeric(12, 3), quality integer);
insert into readings values
  ('2024-03-10 05:00:00{utc}', '17', 1.5, 1), ('2024-03-10 06:00:00{utc}', '17', null, 1),
  ('2024-03-10 05:00:00{utc}', 'O''Hare', 7, 2), ('2024-03-10 07:00:00{utc}', 'O''Hare', -0.125, 2),
  ('2024-03-11 00:00:00{utc}', '17', 9, 1);
"""

EXPECTED = [
    ("2024-03-10T05:00", "17", "load", 1.5),
    ("2024-03-10T06:00", "17", "load", None),
    ("2024-03-10T05:00", "O'Hare", "load", 7.0),
    ("2024-03-10T07:00", "O'Hare", "load", -0.125),
]


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server."""
    with run_postgres("grid", "plant") as server:
        yield server


@pytest.fixture(params=["postgres", "duckdb", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with the table `readings`; its times have a zone where the database knows these."""
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        server.query("drop table if exists readings;" + READINGS.format(moment="timestamptz", utc="+00"))
        return f"postgresql://{server.address}"
    path = tmp_path / f"plant.{request.param}"
    if request.param == "duckdb":
        with duckdb.connect(path) as connection:
            connection.execute(READINGS.format(moment="timestamptz", utc="+00"))
        return f"duckdb:///{path}"
    with sqlite3.connect(path) as connection:
        connection.executescript(READINGS.format(moment="text", utc=""))
    return f"sqlite:///{path}"


async def test_each_database_gives_the_same_rows(url: str, tmp_path: Path) -> None:
    """The rows of the period are stored, with decimals as numbers and NULL as a null; those after its end are not."""
    lake, entry = Lake.open(str(tmp_path / "lake")), sql_entry()
    collected = await collect_rows(lake, entry, url, hours("2024-03-10", 24))
    assert (collected.rows, collected.warnings) == (4, ())
    assert await list_observed(lake, entry) == EXPECTED


@pytest.mark.parametrize(
    ("meters", "expected"),
    [(["O'Hare"], EXPECTED[2:]), (["17", "'); drop table readings; --"], EXPECTED[:2]), (["no such meter"], [])],
)
async def test_parameters_are_values_and_never_text(
    url: str, meters: list[str], expected: list[object], tmp_path: Path
) -> None:
    """A query gets its list and its bounds as bound values, whatever these contain; a cast is no parameter."""
    query = (
        "select ts, meter, mw, cast('1:30' as text) as clock from readings "
        "where ts >= :start and ts < :end and meter in :meters and quality < :most"
    )
    params = {"meters": meters, "most": 3}
    lake, entry = Lake.open(str(tmp_path / "lake")), sql_entry(table=None, query=query, params=params)
    await collect_rows(lake, entry, url, hours("2024-03-10", 24))
    assert await list_observed(lake, entry) == expected
    assert len(await _snapshot(lake, url)) == 5  # the table is as it was


async def _snapshot(lake: Lake, url: str) -> list[object]:
    """All rows of the table, by a query without a period."""
    entry = sql_entry(table=None, query="select ts, meter, mw from readings", output_folder="snapshot")
    await collect_rows(lake, entry, url, None)
    return list(await list_observed(lake, entry))


@pytest.mark.parametrize("kind", ["postgres", "duckdb"])
async def test_times_without_a_zone_are_on_the_clock_of_the_entry(
    kind: str, postgres: PostgresServer, tmp_path: Path
) -> None:
    """The two passes of the hour that comes twice, and a period that ends between them, lose and double no row."""
    statements = """
        create table local (ts timestamp, meter text, mw float, again boolean);
        insert into local values ('2024-11-03 00:00', 'A', 0, false), ('2024-11-03 01:00', 'A', 1, false),
          ('2024-11-03 01:00', 'A', 2, true), ('2024-11-03 02:00', 'A', 3, false), ('2024-11-03 03:00', 'A', 4, false);
    """
    if kind == "postgres":
        postgres.query("drop table if exists local;" + statements)
        url = f"postgresql://{postgres.address}"
    else:
        url = f"duckdb:///{tmp_path}/local.duckdb"
        with duckdb.connect(tmp_path / "local.duckdb") as connection:
            connection.execute(statements)
    lake = Lake.open(str(tmp_path / "lake"))
    entry = sql_entry(table="local", timezone="America/New_York", ambiguous="again")
    for number, period in enumerate(split(hours("2024-11-03T04:00", 4), timedelta(hours=1))):
        await collect_rows(lake, entry, url, period, STAMP + timedelta(minutes=number))
    assert await list_observed(lake, entry) == [
        (f"2024-11-03T0{4 + hour}:00", "A", "load", float(hour)) for hour in range(4)
    ]


async def test_meters_with_uuids_and_parameters_with_casts(postgres: PostgresServer, tmp_path: Path) -> None:
    """Each UUID is a series of its own, as text; a cast directly behind a parameter needs no parentheses, and a
    semicolon and comments change nothing; `postgres://` is another name of the scheme."""
    names = ["0eebc999-9c0b-4ef8-bb6d-6bb9bd380a11", "ffebc999-9c0b-4ef8-bb6d-6bb9bd380a11"]
    postgres.query(f"""
        drop table if exists meters;
        create table meters (ts timestamptz, meter uuid, mw real);
        insert into meters select '2024-03-10 05:00Z', unnest('{{{",".join(names)}}}'::uuid[]), 1;
        insert into meters values ('2024-03-10 06:00Z', null, 2);
    """)
    query = (
        "/* from :start */ select ts, meter, mw from meters where ts >= :start::timestamptz and ts < :end::timestamptz "
        "and ts::date >= :day::date and meter is not null; -- until :end"
    )
    lake, entry = Lake.open(str(tmp_path)), sql_entry(table=None, query=query, params={"day": "2024-03-10"})
    await collect_rows(lake, entry, f"postgres://{postgres.address}", hours("2024-03-10", 24))
    assert [row[:2] for row in await list_observed(lake, entry)] == [("2024-03-10T05:00", name) for name in names]


async def test_a_changed_row_is_a_vintage_of_an_old_interval(postgres: PostgresServer, tmp_path: Path) -> None:
    """A run for today also stores a row of last year that was changed today; the first vintage stays, also after a
    compaction."""
    postgres.query("""
        drop table if exists readings;
        create table readings (ts timestamptz, meter int, mw real, changed timestamptz);
        insert into readings values ('2023-01-01Z', 1, 10, '2023-01-01 02:00Z'), ('2024-06-01Z', 1, 20, null);
    """)
    lake, entry, url = Lake.open(str(tmp_path)), sql_entry(updated="changed"), f"postgresql://{postgres.address}"
    await collect_rows(lake, entry, url, hours("2023-01-01", 24), datetime(2023, 1, 2, tzinfo=UTC))
    postgres.query("update readings set mw = 11, changed = '2024-06-01 12:00Z' where ts = '2023-01-01Z'")
    collected = await collect_rows(lake, entry, url, hours("2024-06-01", 24))
    assert (collected.rows, len(collected.files), collected.holes) == (2, 2, ())
    for _ in range(2):
        assert await list_observed(lake, entry) == [
            ("2023-01-01T00:00", "1", "load", 10.0),
            ("2023-01-01T00:00", "1", "load", 11.0),
            ("2024-06-01T00:00", "1", "load", 20.0),
        ]
        vintages = await curated.read(
            lake, [entry], datetime(2023, 1, 1, tzinfo=UTC), datetime(2023, 1, 2, tzinfo=UTC), all_vintages=True
        )
        published = [f"{moment:%Y-%m-%dT%H}" for moment in vintages["published_at"].to_pylist()]
        assert (vintages["value"].to_pylist(), published) == ([10.0, 11.0], ["2023-01-01T02", "2024-06-01T12"])
        await curated.compact(lake, entry)


async def test_texts_that_do_not_compare_are_refused(tmp_path: Path) -> None:
    """SQLite compares times as texts: in another format than the bounds they are refused, in that of the entry read."""
    with sqlite3.connect(tmp_path / "plant.db") as connection:
        connection.executescript(READINGS.replace(" 0", "T0").format(moment="text", utc=""))
    lake, url = Lake.open(str(tmp_path / "lake")), f"sqlite:///{tmp_path}/plant.db"
    with pytest.raises(FormatError, match="'2024-03-10T05:00:00', which the database cannot compare"):
        await collect_rows(lake, sql_entry(), url, hours("2024-03-10", 24))
    entry = sql_entry(time_format="%Y-%m-%dT%H:%M:%S")
    await collect_rows(lake, entry, url, hours("2024-03-10T06:00", 18))
    assert await list_observed(lake, entry) == [EXPECTED[1], EXPECTED[3]]


async def test_a_column_may_change_its_type(tmp_path: Path) -> None:
    """In SQLite a column may hold nulls, then numbers, then texts of numbers; each row is stored by its content, also
    if more rows come than one batch has."""
    rows = [(f"2024-01-01 {hour:02}:00:00", str(meter), None) for meter in range(2_000) for hour in range(24)]
    later = [("2024-01-02 00:00:00", "1", 5), ("2024-01-02 01:00:00", "1", "6.5"), ("2024-01-02 02:00:00", "1", "no")]
    with sqlite3.connect(tmp_path / "plant.db") as connection:
        connection.execute("create table readings (ts text, meter text, mw)")
        connection.executemany("insert into readings values (?, ?, ?)", rows + later)
    lake, entry = Lake.open(str(tmp_path / "lake")), sql_entry()
    collected = await collect_rows(lake, entry, f"sqlite:///{tmp_path}/plant.db", hours("2024-01-01", 48))
    assert collected.rows == 48_002
    assert [(item.count, item.reason) for item in collected.skipped] == [(1, "cells of mw that hold no number")]
    stored = await list_observed(lake, entry)
    assert [row for row in stored if row[0] > "2024-01-02"] == [
        ("2024-01-02T00:00", "1", "load", 5.0),
        ("2024-01-02T01:00", "1", "load", 6.5),
    ]


KILLED = """
import asyncio, os, signal, sys
from gridtide.lake import Lake, Draft
from gridtide.periods import split
from tests.support.upstreams.databases import collect_rows, hours, sql_entry
from datetime import timedelta

append, appended = Draft.append, []

def append_or_die(self, *arguments):
    appended.append(0)
    if len(appended) > int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    append(self, *arguments)

async def main():
    for part in split(hours("2024-03-10", 36), timedelta(hours=12)):
        await collect_rows(Lake.open(sys.argv[1]), sql_entry(), sys.argv[2], part)

Draft.append = append_or_die
asyncio.run(main())
"""


@pytest.mark.slow
async def test_a_killed_run_is_made_good_by_the_next(url: str, tmp_path: Path) -> None:
    """A process is killed while it writes the second of three chunks; after another run of all, each row is there
    once."""
    command = [sys.executable, "-c", KILLED, str(tmp_path / "lake"), url, "1"]
    assert (await asyncio.to_thread(subprocess.run, command, check=False)).returncode == -9
    lake, entry = Lake.open(str(tmp_path / "lake")), sql_entry()
    assert 0 < len(await list_observed(lake, entry)) < 5
    for part in split(hours("2024-03-10", 36), timedelta(hours=12)):
        await collect_rows(lake, entry, url, part, STAMP + timedelta(hours=1))
    assert await list_observed(lake, entry) == [*EXPECTED[:2], ("2024-03-11T00:00", "17", "load", 9.0), *EXPECTED[2:]]
