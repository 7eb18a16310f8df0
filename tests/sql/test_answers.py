"""SQL over lakes with several entries: shared series, aliases, files of answers, and wide tables."""

from __future__ import annotations

import asyncio
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from gridtide import curated
from gridtide.config.loading import parse
from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError
from gridtide.lake import Lake
from tests.support.lakes import START, entry, put, row

pytest.importorskip("duckdb", reason="gridtide[sql] is not installed")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Two entries with the same hour of one series, of which `forecast` retrieved it last; `demand` is compacted, with
    a later file beside its months."""

    async def fill() -> Lake:
        filled = Lake.open(str(tmp_path / "lake"))
        demand = entry("demand")
        await put(filled, demand, 1, [row(0, 1.0), row(1, 2.0), row(5, None)])
        await curated.compact(filled, demand)
        await put(filled, demand, 2, [row(5, 6.0), row(6, 7.0)])
        await put(filled, entry("forecast"), 3, [row(1, 2.5), row(1, 9.0, location="CISO")])
        return filled

    return asyncio.run(fill())


ENTRIES = [entry("demand"), entry("forecast")]


def test_a_shared_series_is_there_once(lake: Lake) -> None:
    """Over all entries, and as of any time, each key has the value that was retrieved last."""
    from gridtide.sql import connect

    whole = asyncio.run(curated.read(lake, ENTRIES, START, START + timedelta(days=3)))
    expected = sorted(zip(whole["location"].to_pylist(), whole["value"].to_pylist(), strict=True))
    assert expected == [("CISO", 9.0), ("ISNE", 1.0), ("ISNE", 2.5), ("ISNE", 6.0), ("ISNE", 7.0)]
    with connect(lake, entries=ENTRIES) as connection:
        for source in ("observations", f"as_of('{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}')"):
            rows = connection.execute(f"select location, value from {source} order by all").fetchall()
            assert rows == expected, source
        assert connection.execute("select count(*) from demand where value = 2").fetchall() == [(1,)]


def test_aliases_name_the_series(lake: Lake) -> None:
    """A series that an alias renames has its new name in every view of the latest values."""
    from gridtide.sql import connect

    raw = {"name": "demand", "url": "https://api.eia.gov/v2/x/", "output_folder": "demand"}
    alias = {"from": "eia/ISNE/demand", "to": "eia/ISNE/load"}
    aliased: Entry = parse({"apis": [raw | {"aliases": [alias]}]}).apis[0]
    with connect(lake, entries=[aliased]) as connection:
        assert connection.execute("select distinct variable from observations").fetchall() == [("load",)]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow"])
def test_an_answer_is_a_file_in_the_format_of_its_name(lake: Lake, tmp_path: Path, suffix: str) -> None:
    """CSV, Parquet and Arrow have the rows and columns of the answer; a wide table has a column for each series."""
    from gridtide.sql import connect
    from gridtide.sql.answers import write_answer, write_wide

    target = tmp_path / f"answer{suffix}"
    with connect(lake, entries=ENTRIES) as connection:
        query = "select location, value from observations order by all"
        assert write_answer(connection, query, target) == 5
        stream = io.BytesIO()
        assert write_wide(connection, ["eia/ISNE/*"], None, stream) == 4
    assert stream.getvalue().decode().splitlines() == [
        '"time","eia/ISNE/demand"',
        "2024-01-31 20:00:00.000000Z,1",
        "2024-01-31 21:00:00.000000Z,2.5",
        "2024-02-01 01:00:00.000000Z,6",
        "2024-02-01 02:00:00.000000Z,7",
    ]
    if suffix == ".csv":
        assert target.read_text().splitlines()[:2] == ['"location","value"', '"CISO",9']
        return
    table = pq.read_table(target) if suffix == ".parquet" else pa.ipc.open_file(target).read_all()
    assert table["value"].to_pylist() == [9.0, 1.0, 2.5, 6.0, 7.0]


def test_a_wrong_query_names_the_views(lake: Lake, tmp_path: Path) -> None:
    """The error is one message with the views; nothing is written."""
    from gridtide.sql import connect
    from gridtide.sql.answers import write_answer

    target = tmp_path / "answer.csv"
    with connect(lake, entries=ENTRIES) as connection, pytest.raises(ConfigurationError) as refusal:
        write_answer(connection, "select * from demands", target)
    assert "demands does not exist" in str(refusal.value)
    assert "The views are: demand, forecast, observations, vintages, as_of(" in str(refusal.value)
    assert not target.exists()


def test_the_command_prints_and_writes(lake: Lake, tmp_path: Path) -> None:
    """`gridtide sql` prints a table, or CSV for scripts; `gridtide export` a wide table."""
    from deployments.cli import app

    apis = [
        {"name": of.name, "url": of.url, "output_folder": of.output_folder, "available": {"lag": "PT2H"}}
        for of in ENTRIES
    ]
    config = tmp_path / "api_config.json"
    config.write_bytes(msgspec.json.encode({"lake": lake.uri, "apis": apis}))
    query = "select variable, sum(value) as total from demand group by all"
    runner = CliRunner()
    printed = runner.invoke(app, ["sql", query, "--config", str(config)])
    assert (printed.exit_code, "demand" in printed.stdout, "16.0" in printed.stdout) == (0, True, True)
    exported = runner.invoke(app, ["export", "--config", str(config), "--out", str(tmp_path / "wide.parquet")])
    assert exported.exit_code == 0, exported.output
    assert pq.read_table(tmp_path / "wide.parquet").column_names == ["time", "eia/CISO/demand", "eia/ISNE/demand"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("delete from demand", "has a statement DELETE; only questions are answered"),
        ("copy (select 1) to '{folder}/lake/copied.csv'", "has a statement COPY"),
        ("select 1; copy (select 1) to '{folder}/lake/copied.csv'", "has a statement COPY"),
        ("explain analyze copy (select 1) to '{folder}/lake/copied.csv'", "has a statement COPY"),
        ("explain (analyze) copy (select 1) to '{folder}/lake/copied.csv'", "has a statement COPY"),
        ("drop view demand", "has a statement DROP"),
        ("attach '{folder}/lake/attached.duckdb' as other", "has a statement ATTACH"),
        ("select 1; select 2", "has 2 questions"),
        ("set threads = 1", "has no answer"),
        (" ; ", "has no answer"),
        ("selec 1", "syntax error"),
        ("select error('stop')", "stop"),
    ],
)
def test_only_one_question_is_answered(lake: Lake, tmp_path: Path, query: str, words: str) -> None:
    """Statements that write, several questions, none, and one that fails are refused on the terminal and for a file,
    and no file is written."""
    from gridtide.sql import connect
    from gridtide.sql.answers import fetch_answer, write_answer

    files = sorted(tmp_path.rglob("*"))
    with connect(lake, entries=ENTRIES) as connection:
        with pytest.raises(ConfigurationError, match=words):
            fetch_answer(connection, query.format(folder=tmp_path), 50)
        with pytest.raises(ConfigurationError, match=words):
            write_answer(connection, query.format(folder=tmp_path), tmp_path / "answer.csv")
    assert sorted(tmp_path.rglob("*")) == files


@pytest.mark.parametrize(
    "query",
    [
        "describe demand",
        "explain select 1",
        "pivot demand on variable using sum(value)",
        "set threads = 1; from demand;",
    ],
)
def test_questions_of_all_kinds_are_answered(lake: Lake, query: str) -> None:
    """Descriptions, plans, pivots, and a question after a setting."""
    from gridtide.sql import connect
    from gridtide.sql.answers import fetch_answer

    with connect(lake, entries=ENTRIES) as connection:
        answer, row_count = fetch_answer(connection, query, 1)
    assert answer.num_rows == 1
    assert row_count >= 1


def test_only_the_printed_rows_of_an_answer_are_in_memory(lake: Lake) -> None:
    """Of many rows, the first ones are returned and all are counted; columns of one name are both there."""
    from gridtide.sql import connect
    from gridtide.sql.answers import fetch_answer

    with connect(lake, entries=ENTRIES) as connection:
        answer, row_count = fetch_answer(connection, "select range as a, -range as a from range(200000)", 3)
    assert [column.to_pylist() for column in answer.columns] == [[0, 1, 2], [0, -1, -2]]
    assert row_count == 200_000


@pytest.mark.parametrize("place", ["no/such/folder/answer.csv", "file/answer.csv", "folder.csv"])
def test_a_file_that_cannot_be_written_is_named(lake: Lake, tmp_path: Path, place: str) -> None:
    """A missing folder, a file in its place, and a folder of the name are errors with the path, and nothing stays."""
    from gridtide.sql import connect
    from gridtide.sql.answers import write_answer

    (tmp_path / "file").touch()
    (tmp_path / "folder.csv").mkdir()
    files = sorted(tmp_path.rglob("*"))
    with connect(lake, entries=ENTRIES) as connection, pytest.raises(ConfigurationError) as refusal:
        write_answer(connection, "select 1 as a", tmp_path / place)
    assert f"{tmp_path / place}: cannot be written: " in str(refusal.value)
    assert sorted(tmp_path.rglob("*")) == files


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("select [1, 2] as a", "answer.csv"),
        ("select interval '1 day' as a", "answer.csv"),
        ("select interval '1 day' as a", "answer.parquet"),
    ],
)
def test_types_that_a_format_does_not_have_are_refused(lake: Lake, tmp_path: Path, query: str, name: str) -> None:
    """Lists and intervals are refused with what can be done, and no file is written."""
    from gridtide.sql import connect
    from gridtide.sql.answers import write_answer

    with connect(lake, entries=ENTRIES) as connection, pytest.raises(ConfigurationError, match="CAST"):
        write_answer(connection, query, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["lake"]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ([], {"ISNE": 1.0, "NY A": 3.0, "NY [A]?": 4.0, "isne": 2.0}),
        (["eia/NY [A]?/*"], {"NY [A]?": 4.0}),
        (["eia/NY*"], {"NY A": 3.0, "NY [A]?": 4.0}),
    ],
)
def test_series_have_their_own_names_in_a_wide_table(
    tmp_path: Path, patterns: list[str], expected: dict[str, float]
) -> None:
    """Names that differ in case only are two columns with these names, and in a pattern only `*` stands for others."""
    from gridtide.sql import connect
    from gridtide.sql.answers import write_wide

    lake = Lake.open(str(tmp_path / "lake"))
    rows = [row(0, float(value), location=name) for value, name in enumerate(("ISNE", "isne", "NY A", "NY [A]?"), 1)]
    asyncio.run(put(lake, entry("demand"), 1, rows))
    with connect(lake, entries=[entry("demand")]) as connection:
        assert write_wide(connection, patterns, None, tmp_path / "wide.parquet") == 1
    table = pq.read_table(tmp_path / "wide.parquet").drop_columns("time")
    assert table.to_pylist() == [{f"eia/{name}/demand": value for name, value in expected.items()}]


def test_intervals_of_several_lengths_do_not_hide_each_other(tmp_path: Path) -> None:
    """A series with a day and an hour from the same start is refused, as a wide table has one value of each time."""
    from gridtide.sql import connect
    from gridtide.sql.answers import write_wide

    lake = Lake.open(str(tmp_path / "lake"))
    hour = row(0, 1.0)
    day = hour._replace(interval_end=hour.interval_start + timedelta(days=1), value=24.0)
    asyncio.run(put(lake, entry("demand"), 1, [hour, day]))
    with connect(lake, entries=[entry("demand")]) as connection, pytest.raises(ConfigurationError) as refusal:
        write_wide(connection, [], None, tmp_path / "wide.csv")
    assert "has intervals of several lengths that start at one time: eia/ISNE/demand" in str(refusal.value)
