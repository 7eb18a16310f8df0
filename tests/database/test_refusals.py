"""What a database refuses: clear errors, nothing written, and the password nowhere."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from gridtide.errors import ConfigurationError, CredentialsError, FormatError, GridtideError, UpstreamError
from gridtide.lake import Lake
from tests.support.processes.postgres import PostgresServer, run_postgres
from tests.support.upstreams.databases import collect_rows, hours, sql_entry

pytest.importorskip("adbc_driver_postgresql", reason="gridtide[sql] is not installed")

DAY = hours("2024-03-10", 24)
PASSWORD = "planted-3c59/dc@04"
WRITTEN = "planted-3c59%2Fdc%4004"


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server with a table and a sequence."""
    with run_postgres("grid", "plant") as server:
        server.query("create table readings as select timestamptz '2024-03-10 05:00Z' as ts, 'A' as meter, 1.0 as mw")
        server.query("create sequence numbers; create role stranger login")
        yield server


async def _fail(url: str, folder: Path, **keys: object) -> GridtideError:
    """The error of a collection that fails."""
    with pytest.raises(GridtideError) as failure:
        await collect_rows(Lake.open(str(folder)), sql_entry(**keys), url, DAY)
    assert failure.value.subject == "plant"
    return failure.value


def list_files(folder: Path) -> list[Path]:
    """All files below `folder`."""
    return [path for path in folder.rglob("*") if path.is_file()]


QUERY = "select ts, meter, mw{} from readings where ts >= :start and ts < :end"


@pytest.mark.parametrize(
    ("keys", "kind", "words"),
    [
        ({"value": {"gw": "load"}}, ConfigurationError, 'column "gw" does not exist'),
        ({"table": "meters.readings"}, ConfigurationError, "meters.readings"),
        ({"table": None, "query": QUERY.format(", nextval('numbers')")}, ConfigurationError, "read-only transaction"),
        ({"table": None, "query": "insert into readings values (:start, :end, 1)"}, ConfigurationError, "insert"),
        ({"table": None, "query": QUERY.format(", mw / (mw - 1)")}, ConfigurationError, "division by zero"),
        ({"table": None, "query": QUERY.format(", pg_sleep(200)"), "timeout": 0.3}, UpstreamError, "within 0.3 s"),
    ],
)
async def test_a_statement_that_cannot_run_says_why(
    postgres: PostgresServer, keys: dict[str, object], kind: type[GridtideError], words: str, tmp_path: Path
) -> None:
    """A missing column or table, a write, an error of a value and a long statement end soon, each as its own kind."""
    start_time = time.monotonic()
    error = await _fail(f"postgresql://{postgres.address}", tmp_path, **keys)
    assert (type(error), words in str(error).replace("INSERT", "insert")) == (kind, True), str(error)
    assert time.monotonic() - start_time < 100  # also on a loaded machine
    assert postgres.query("select count(*), (select is_called from numbers) from readings") == "1|f\n"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        (f"postgresql://grid:{WRITTEN}@127.0.0.1:1/plant", UpstreamError),
        (f"postgresql://nobody:{WRITTEN}@{{host}}/plant", CredentialsError),
        (f"postgresql://stranger:{WRITTEN}@{{host}}/plant", CredentialsError),
        (f"postgresql://grid:{WRITTEN}@{{host}}/other", ConfigurationError),
        (f"postgresql+asyncpg://grid:{PASSWORD}@{{host}}/other", GridtideError),
        (f"grid:{PASSWORD}@{{host}}/plant", CredentialsError),
        ("postgresql://grid:p@planted%w/rd@{host}/plant", CredentialsError),
        ("postgresql://grid:p@planted@{host}/plant", CredentialsError),
        (f"postgresql://grid:{WRITTEN}@{{host}}/plant?nonsense=1", CredentialsError),
        (f"nosuchdb://grid:{WRITTEN}@{{host}}/plant", ConfigurationError),
        ("sqlite:////no/such/folder/plant.db", ConfigurationError),
    ],
)
async def test_no_error_holds_the_password(
    postgres: PostgresServer,
    url: str,
    kind: type[GridtideError],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A server that is away, a refused user, missing rights, an unknown database and a URL that cannot be read: the
    message, its traceback and the log hold the password in no spelling."""
    caplog.set_level(logging.DEBUG)
    host = postgres.address.partition("@")[2].partition("/")[0]
    error = await _fail(url.format(host=host), tmp_path)
    assert isinstance(error, kind), repr(error)
    text = "".join(traceback.format_exception(error)) + caplog.text
    assert "planted" not in text
    assert list_files(tmp_path) == []


@pytest.mark.parametrize(
    ("column", "keys", "words"),
    [
        ("'{1,2}'::int[] as meter, mw", {}, "meter is a column of the type _int4"),
        ("inet '1.2.3.4' as meter, mw", {}, "meter is a column of the type inet"),
        ("'\\xff'::bytea as meter, mw", {}, "meter is a column of the type binary"),
        ("meter, '3.5'::money as mw", {}, "mw is a column of the type money"),
        ("meter, '3.5'::money as mw", {"value": None, "unit": None}, "mw is a column of the type money"),
    ],
)
async def test_types_that_would_be_misread_are_refused(
    postgres: PostgresServer, column: str, keys: dict[str, object], words: str, tmp_path: Path
) -> None:
    """Labels without a text would all be one series, and amounts of money come as cents: both are refused, with a cast
    that works."""
    query = f"select ts, {column} from readings where ts >= :start and ts < :end"
    error = await _fail(f"postgresql://{postgres.address}", tmp_path, table=None, query=query, **keys)
    assert (type(error), words in str(error)) == (FormatError, True), str(error)
    assert 'Give a "query" with cast(m' in error.fix


@pytest.mark.parametrize(
    ("keys", "fix"),
    [
        ({"table": "texts"}, 'Say how ts is written with "time_format"'),
        ({"table": None, "query": QUERY.format("") + " and ts::date = :day", "params": {"day": "2024-03-10"}}, ":day"),
    ],
)
async def test_parameters_of_another_type_than_the_column_say_how(
    postgres: PostgresServer, keys: dict[str, object], fix: str, tmp_path: Path
) -> None:
    """Times as texts in a table need their format, and a text that is compared with a date needs a cast."""
    postgres.query("create table if not exists texts as select '2024-03-10 05:00' as ts, 'A' as meter, 1 as mw")
    error = await _fail(f"postgresql://{postgres.address}", tmp_path, **keys)
    assert (type(error), fix in error.fix) == (ConfigurationError, True), str(error)


SAME_NAMES = "select ts, meter, mw, 2 * mw as mw from readings where ts >= :start and ts < :end"


async def test_columns_of_one_name_are_refused(postgres: PostgresServer, tmp_path: Path) -> None:
    """Two columns that the entry cannot tell apart are an error; two that it does not use are not."""
    error = await _fail(f"postgresql://{postgres.address}", tmp_path, table=None, query=SAME_NAMES)
    assert (type(error), "has 2 columns called mw" in str(error)) == (FormatError, True)
    entry = sql_entry(table=None, query=SAME_NAMES.replace("2 * mw as mw", "1 as x, 2 as x"))
    collected = await collect_rows(Lake.open(str(tmp_path)), entry, f"postgresql://{postgres.address}", DAY)
    assert collected.rows == 1


@pytest.mark.parametrize(
    ("query", "params", "words"),
    [
        ("select ' :30' as mw", {}, r"the parameter :30 has no value.* or write \\:30"),
        ("select 1 as mw where 'a' = :m", {"m": ["a"]}, "params.m: is a list, which goes with in :m without"),
        ("select 1 as mw where 'a' in (:m)", {"m": ["a"]}, "params.m: is a list, which goes with in :m without"),
        ("select 1 as mw where 'a' in :m", {"m": []}, "params.m: is an empty list"),
    ],
)
def test_parameters_that_cannot_be_bound_are_refused(query: str, params: dict[str, object], words: str) -> None:
    """A colon in a text that reads as a parameter, and a list that does not go with `in`, are named before any run."""
    with pytest.raises(ConfigurationError, match=words):
        sql_entry(table=None, query=query, params=params)


async def test_no_file_holds_the_password(postgres: PostgresServer, tmp_path: Path) -> None:
    """The lake has the rows and the kept answer, and the password nowhere, by name or content."""
    lake, entry = Lake.open(str(tmp_path)), msgspec.structs.replace(sql_entry(), raw=True)
    address = postgres.address.replace("grid@", f"grid:{WRITTEN}@")
    collected = await collect_rows(lake, entry, f"postgresql://{address}", DAY)
    assert collected.rows == 1
    paths = list_files(tmp_path)
    bodies = [await lake.read_raw(str(path.relative_to(tmp_path))) for path in paths if path.suffix == ".zst"]
    assert len(bodies) == 1
    for content in (*bodies, *(path.read_bytes() for path in paths), str(paths).encode()):
        assert b"planted" not in content
