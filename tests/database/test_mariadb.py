"""Rows of a real MariaDB server, by SQLAlchemy and PyMySQL, under the names of both dialects."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridtide.errors import ConfigurationError, CredentialsError, UpstreamError
from gridtide.lake import Lake
from tests.support.upstreams.databases import collect_rows, hours, list_observed, sql_entry
from tests.support.upstreams.mariadb import MariaServer, run_mariadb

pytest.importorskip("pymysql", reason="PyMySQL is not installed")

READINGS = """
set time_zone = '+00:00';
create table readings (at datetime, moment timestamp null, meter varchar(20), mw decimal(12, 3));
insert into readings values
  ('2024-03-10 05:00:00', '2024-03-10 05:00:00', '17', 1.5),
  ('2024-03-10 06:00:00', '2024-03-10 06:00:00', 'O''Hare', null),
  ('2024-03-11 00:00:00', '2024-03-11 00:00:00', '17', 9);
"""
EXPECTED = [("2024-03-10T05:00", "17", "load", 1.5), ("2024-03-10T06:00", "O'Hare", "load", None)]
PERIOD = hours("2024-03-10", 24)


@pytest.fixture(scope="module")
def server() -> Iterator[MariaServer]:
    """A server whose sessions are on the clock of +05:00, which knows no other time zones."""
    with run_mariadb("planted-90f") as running:
        running.query(READINGS)
        yield running


@pytest.fixture(params=["mysql+pymysql", "mariadb+pymysql"])
def url(request: pytest.FixtureRequest, server: MariaServer) -> str:
    """The URL of the server, as most write it, and with the dialect of its own."""
    return f"{request.param}://{server.address}"


@pytest.mark.parametrize("column", ["at", "moment"])
async def test_moments_are_not_on_the_clock_of_the_server(url: str, column: str, tmp_path: Path) -> None:
    """A DATETIME is on the clock of the entry, a TIMESTAMP is a moment; both are read as they were written."""
    lake, entry = Lake.open(str(tmp_path)), sql_entry(time=column)
    await collect_rows(lake, entry, url, PERIOD)
    assert await list_observed(lake, entry) == EXPECTED


async def test_a_zone_that_the_server_does_not_know_is_said(url: str, server: MariaServer, tmp_path: Path) -> None:
    """Without its time zones, a TIMESTAMP on the clock of New York is refused, and a DATETIME is read."""
    clock, moment = (sql_entry(time=column, timezone="America/New_York") for column in ("at", "moment"))
    lake = Lake.open(str(tmp_path))
    await collect_rows(lake, clock, url, PERIOD)
    assert [row[0] for row in await list_observed(lake, clock)] == ["2024-03-10T09:00", "2024-03-10T10:00"]
    with pytest.raises(
        ConfigurationError, match="moment is a TIMESTAMP, and the server does not know America/New_York"
    ):
        await collect_rows(lake, moment, url, PERIOD)


async def test_parameters_are_values(url: str, server: MariaServer, tmp_path: Path) -> None:
    """Lists, bounds and a percent sign in the text of the query; the table is as it was."""
    query = (
        "select at as ts, meter, mw from readings where at >= :start and at < :end and meter in :meters and mw % 2 > 0"
    )
    params = {"meters": ["17", "'); drop table readings; --"]}
    lake, entry = Lake.open(str(tmp_path)), sql_entry(table=None, query=query, params=params)
    await collect_rows(lake, entry, url, PERIOD)
    assert await list_observed(lake, entry) == EXPECTED[:1]
    assert server.query("select count(*) from readings") == "3\n"


async def test_what_it_refuses_is_said(url: str, server: MariaServer, tmp_path: Path) -> None:
    """A write, a long statement, a missing column and a wrong password end as errors of their kind, without it."""
    bounds = "from readings where at >= :start and at < :end"
    lake, start_time = Lake.open(str(tmp_path)), time.monotonic()
    for keys, kind, words in (
        ({"query": f"delete {bounds} returning at as ts, meter, mw"}, ConfigurationError, "READ ONLY"),
        (
            {"query": f"select at as ts, meter, mw, sleep(9) as s {bounds}", "timeout": 0.5},
            UpstreamError,
            "within 0.5 s",
        ),
        ({"query": f"select at as ts, meter, gw {bounds}"}, ConfigurationError, "gw"),
    ):
        with pytest.raises(kind, match=words):
            await collect_rows(lake, sql_entry(table=None, **keys), url, PERIOD)
    assert time.monotonic() - start_time < 8
    with pytest.raises(CredentialsError) as refused:
        await collect_rows(lake, sql_entry(time="at"), url.replace("90f", "91f"), PERIOD)
    assert "planted" not in str(refused.value)


async def test_a_zone_that_the_server_knows_is_used(server: MariaServer, tmp_path: Path) -> None:
    """With its time zone in the server, a TIMESTAMP is written on the clock of the entry, and read as the moment."""
    server.load_zone("America/New_York")
    lake, entry = Lake.open(str(tmp_path)), sql_entry(time="moment", timezone="America/New_York")
    await collect_rows(lake, entry, f"mysql+pymysql://{server.address}", PERIOD)
    assert await list_observed(lake, entry) == EXPECTED
