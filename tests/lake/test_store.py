"""The lake on a folder and in memory: names, round trips, create-only writes, damage."""

import asyncio
import json
import logging
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gridtide import __version__
from gridtide.errors import ConfigurationError, StorageError
from gridtide.lake import Draft, Lake, Provenance, Stored, file_name
from gridtide.observations.identity import content_hash
from gridtide.observations.table import SCHEMA, concat, empty, from_columns
from gridtide.periods import Period

STAMP = datetime(2024, 3, 10, 6, 12, tzinfo=UTC)
PERIOD = Period(datetime(2024, 3, 3, tzinfo=UTC), datetime(2024, 3, 10, 6, tzinfo=UTC))
FROM = Provenance("eia_demand", PERIOD, "0123456789ab")
HOUR = timedelta(hours=1)


@pytest.fixture(params=["folder", "memory"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """An empty lake."""
    return Lake.open(str(tmp_path / "lake") if request.param == "folder" else "memory://")


def page(first: int, rows: int, locations: tuple[str, ...] = ("ISNE", "CISO"), value: float | None = 1.5) -> pa.Table:
    """`rows` hours from `first` on, the locations in turn; the values count up from `value`."""
    hours = np.arange(first, first + rows)
    starts = np.datetime64("2024-03-10T06:00", "us") + hours * np.timedelta64(1, "h")
    return from_columns(
        "eia",
        datetime(2024, 3, 10, 6, 12, 1, 250_000, tzinfo=UTC),
        interval_start=pa.array(starts),
        interval_end=pa.array(starts + np.timedelta64(1, "h")),
        location=pa.array(np.array(locations)[hours % len(locations)]),
        variable="demand",
        unit="MWh",
        value=pa.nulls(rows, pa.float64()) if value is None else pa.array(value + hours),
    )


async def put(lake: Lake, *pages: pa.Table, format: str = "parquet", stamp: datetime = STAMP) -> Stored:  # noqa: A002
    """Write `pages` as one file with the prefix `demand` in the folder `eia`."""
    with Draft(format, FROM) as draft:
        for one in pages:
            draft.append(one)
        return await lake.put_draft(draft, "eia", "demand", stamp)


def plain(table: pa.Table) -> pa.Table:
    """`table` with labels as text and values as their bits, so that equal rows are equal however they are encoded."""
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    for name, column in columns.items():
        if pa.types.is_dictionary(column.type):
            columns[name] = column.cast(pa.string())
    return pa.table(columns | {"value": columns["value"].view(pa.int64())})


# Names


def test_a_name_says_stamp_and_period_in_utc() -> None:
    """The stamp is in UTC, whatever the local zone is; the bounds are in minutes."""
    eastern = timezone(timedelta(hours=-5))
    stamp = datetime(2024, 3, 10, 1, 12, 9, 999_999, tzinfo=eastern)
    assert file_name("demand", stamp, None, "csv") == "demand_20240310_061209.csv"
    expected = "demand_20240310_061209_20240303T0000_20240310T0600.parquet"
    assert file_name("demand", stamp, PERIOD, "parquet") == expected


def test_what_a_name_cannot_say_is_refused() -> None:
    """A stamp without a zone and bounds within a minute are errors."""
    with pytest.raises(ValueError, match="zone"):
        file_name("demand", datetime(2024, 3, 10), None, "csv")
    with pytest.raises(ValueError, match="whole minutes"):
        file_name("demand", STAMP, Period(STAMP, STAMP + timedelta(seconds=90)), "csv")


async def test_files_are_listed_by_stamp_and_path(lake: Lake) -> None:
    """A listing gives the contents of each name and the size, oldest first."""
    for hours in (5, 1, 3):
        await put(lake, page(0, 1), stamp=STAMP + hours * HOUR)
    found = await lake.list_files("eia", "demand")
    assert [file.stamp for file in found] == [STAMP + hours * HOUR for hours in (1, 3, 5)]
    assert found[0].path == "eia/demand_20240310_071200_20240303T0000_20240310T0600.parquet"
    assert {file.period for file in found} == {PERIOD}
    assert {file.extension for file in found} == {"parquet"}
    assert found[0].size == len(await lake.store.read(found[0].path))


async def test_a_prefix_of_a_prefix_is_another(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    """`demand` does not list files of `demand_forecast`, and neither is foreign to the other."""
    for prefix in ("demand", "demand_forecast", "demand_20240101_000000"):
        await lake.store.put(f"eia/{file_name(prefix, STAMP, PERIOD, 'parquet')}", b"")
        await lake.store.put(f"eia/{file_name(prefix, STAMP, None, 'csv')}", b"")
    for prefix in ("demand", "demand_forecast", "demand_20240101_000000"):
        found = await lake.list_files("eia", prefix)
        assert sorted(file.path for file in found) == [
            f"eia/{prefix}_20240310_061200.csv",
            f"eia/{prefix}_20240310_061200_20240303T0000_20240310T0600.parquet",
        ]
    assert not caplog.records


async def test_foreign_names_are_named_in_one_warning(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    """Foreign files are left out with one warning; sidecars and hidden files are not foreign."""
    await put(lake, page(0, 1), format="csv")
    for name in ("notes.txt", "demand_20241399_000000.csv", "demand_20240310_061200.parquet.bak", ".DS_Store"):
        await lake.store.put(f"eia/{name}", b"?")
    await lake.store.put("eia/below/demand_20240310_061200.csv", b"?")
    with caplog.at_level(logging.WARNING, logger="gridtide.lake"):
        assert len(await lake.list_files("eia", "demand")) == 1
    [record] = caplog.records
    assert record.name == "gridtide.lake"
    assert record.getMessage().endswith("demand_20240310_061200.parquet.bak, demand_20241399_000000.csv, notes.txt")


async def test_a_folder_that_is_not_there_holds_no_files(lake: Lake) -> None:
    """An entry without a folder has no files, and this is no error."""
    assert await lake.list_files("eia", "demand") == []


# Round trips


@pytest.mark.parametrize("format", ["parquet", "csv"])
async def test_observations_come_back_as_they_were(lake: Lake, format: str) -> None:  # noqa: A002
    """Pages with dictionaries of their own, nulls and more than two row groups read back to the bit."""
    pages = [page(i * 5_000, 5_000, locations=(f"BA{i}", "ISNE", 'a, "b"')) for i in range(28)]
    pages += [page(140_000, 3, value=None), empty()]
    stored = await put(lake, *pages, format=format)
    assert stored.rows == 140_003
    assert stored.bytes == len(await lake.store.read(stored.path))
    table = await lake.read_table(stored.path)
    assert table.schema.equals(SCHEMA, check_metadata=True)
    assert plain(table).equals(plain(concat(pages)))
    assert content_hash(table).hexdigest() == stored.content_hash


@pytest.mark.parametrize("format", ["parquet", "csv"])
async def test_no_rows_are_a_file_too(lake: Lake, format: str) -> None:  # noqa: A002
    """An answer without rows becomes a file that covers its period."""
    stored = await put(lake, format=format)
    assert stored.rows == 0
    assert (await lake.read_table(stored.path)).equals(empty())
    assert (await lake.read_metadata(stored.path)).period == PERIOD


@pytest.mark.parametrize("format", ["parquet", "csv"])
async def test_a_file_says_where_it_is_from(lake: Lake, format: str) -> None:  # noqa: A002
    """The metadata has entry, period, fingerprint, rows, hash and version; `stored_at` is the time of writing."""
    before = datetime.now(UTC)
    stored = await put(lake, page(0, 7), format=format)
    metadata = await lake.read_metadata(stored.path)
    assert (metadata.entry, metadata.period, metadata.fingerprint) == ("eia_demand", PERIOD, "0123456789ab")
    assert (metadata.rows, metadata.version) == (7, __version__)
    assert metadata.content_hash == stored.content_hash == content_hash(page(0, 7)).hexdigest()
    assert before <= metadata.stored_at == stored.stored_at <= datetime.now(UTC)


async def test_parquet_is_read_by_others(tmp_path: Path) -> None:
    """Any Parquet reader gets the columns, and the provenance under `gridtide.*`."""
    stored = await put(Lake.open(str(tmp_path)), page(0, 3))
    path = tmp_path / stored.path
    assert pq.read_table(path).schema.equals(SCHEMA)
    pairs = pq.read_metadata(path).metadata
    assert {key.decode() for key in pairs} - {"ARROW:schema"} == {
        f"gridtide.{key}"
        for key in (
            "entry",
            "period",
            "fingerprint",
            "rows",
            "content_hash",
            "stored_at",
            "version",
            "constant",
            "checksums",
            "series",
        )
    }
    assert pairs[b"gridtide.period"] == b"2024-03-03T00:00:00+00:00/2024-03-10T06:00:00+00:00"


async def test_parquet_is_encoded_for_size_and_speed(tmp_path: Path) -> None:
    """Row groups have 65,536 rows, labels are dictionaries, and values are compressed best."""
    pages = [page(i * 5_000, 5_000, locations=(f"BA{i}",)) for i in range(14)]
    stored = await put(Lake.open(str(tmp_path)), *pages)
    metadata = pq.read_metadata(tmp_path / stored.path)
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [65_536, 4_464]
    columns = {c.path_in_schema: c for c in map(metadata.row_group(0).column, range(len(SCHEMA)))}
    assert {column.compression for column in columns.values()} == {"LZ4"}
    assert set(columns["location"].encodings) == {"PLAIN", "RLE", "RLE_DICTIONARY"}  # plain: the dictionary itself
    assert "BYTE_STREAM_SPLIT" in columns["value"].encodings
    assert "DELTA_BINARY_PACKED" in columns["interval_start"].encodings


async def test_the_same_content_gives_the_same_bytes(lake: Lake) -> None:
    """Two files of the same pages differ only in the time of writing."""
    first, second = [await put(lake, page(0, 100), stamp=STAMP + i * HOUR) for i in range(2)]
    bodies = [await lake.store.read(stored.path) for stored in (first, second)]
    moments = [stored.stored_at.isoformat(timespec="microseconds").encode() for stored in (first, second)]
    assert moments[0] in bodies[0]
    assert bodies[0].replace(moments[0], moments[1]) == bodies[1]


async def test_csv_is_iso_8601_in_utc_with_empty_nulls(tmp_path: Path) -> None:
    """A CSV has ISO 8601 times in UTC and empty nulls, and its sidecar has the provenance."""
    table = pa.concat_tables([page(0, 1, value=0.1), page(1, 1, locations=("a,b",), value=None)])
    stored = await put(Lake.open(str(tmp_path)), table, format="csv")
    assert (tmp_path / stored.path).read_text().splitlines() == [
        '"interval_start","interval_end","source","location","variable","unit","value","published_at","retrieved_at"',
        '"2024-03-10T06:00:00Z","2024-03-10T07:00:00Z","eia","ISNE","demand","MWh",0.1,,"2024-03-10T06:12:01.250000Z"',
        '"2024-03-10T07:00:00Z","2024-03-10T08:00:00Z","eia","a,b","demand","MWh",,,"2024-03-10T06:12:01.250000Z"',
    ]
    sidecar = json.loads((tmp_path / f"{stored.path}.meta.json").read_text())
    assert (sidecar["entry"], sidecar["rows"]) == ("eia_demand", "2")


@pytest.mark.parametrize("format", ["parquet", "csv"])
@pytest.mark.parametrize("rows", [10, 70_000])
async def test_a_draft_can_be_read_before_it_is_put(lake: Lake, format: str, rows: int) -> None:  # noqa: A002
    """`Draft.table` returns the rows so far, and the draft can be continued."""
    with Draft(format, FROM) as draft:
        draft.append(page(0, rows))
        assert plain(draft.table()).equals(plain(page(0, rows)))
        draft.append(page(rows, 5))
        stored = await lake.put_draft(draft, "eia", "demand", STAMP)
    assert plain(await lake.read_table(stored.path)).equals(plain(page(0, rows + 5)))
    assert stored.content_hash == content_hash(page(0, rows + 5)).hexdigest()


async def test_bodies_are_kept_as_they_are(lake: Lake) -> None:
    """The body of a json or raw entry is stored unchanged with a sidecar, once."""
    body = b'{"a": 1}'
    stored = await lake.put_body(body, "odd", "odd", STAMP, FROM, "json")
    again = await lake.put_body(body, "odd", "odd", STAMP, FROM, "json")
    other = await lake.put_body(b"{}", "odd", "odd", STAMP, FROM, "json")
    assert stored.path == "odd/odd_20240310_061200_20240303T0000_20240310T0600.json"
    assert (await lake.store.read(stored.path), stored.bytes, stored.is_new) == (body, 8, True)
    assert (again.path, again.is_new, again.stored_at) == (stored.path, False, stored.stored_at)
    assert other.path == "odd/odd_20240310_061201_20240303T0000_20240310T0600.json"
    assert (await lake.read_metadata(stored.path)).fingerprint == "0123456789ab"
    assert len(await lake.list_files("odd", "odd")) == 2


async def test_raw_bodies_are_compressed_and_come_back(lake: Lake) -> None:
    """A body under `raw/` is compressed and read back unchanged; it is not replaced."""
    body = b'{"response": {"data": []}}' * 1_000
    assert await lake.put_raw("raw/eia/page_1.zst", body)
    assert not await lake.put_raw("raw/eia/page_1.zst", b"other")
    assert await lake.read_raw("raw/eia/page_1.zst") == body
    assert len(await lake.store.read("raw/eia/page_1.zst")) < len(body) / 100


# Create-only


@pytest.mark.parametrize("format", ["parquet", "csv"])
async def test_the_same_content_is_stored_once(lake: Lake, format: str) -> None:  # noqa: A002
    """A retry with the same rows finds its file and does not change it."""
    first = await put(lake, page(0, 10), format=format)
    before = await lake.store.read(first.path)
    second = await put(lake, page(0, 4), page(4, 6), format=format)
    assert (first.is_new, second.is_new) == (True, False)
    assert (second.path, second.bytes, second.stored_at) == (first.path, first.bytes, first.stored_at)
    assert await lake.store.read(first.path) == before
    assert len(await lake.list_files("eia", "demand")) == 1


@pytest.mark.parametrize("format", ["parquet", "csv"])
async def test_other_content_takes_the_next_free_second(lake: Lake, format: str) -> None:  # noqa: A002
    """Other content under the same name gets the stamp of the next second; nothing is overwritten."""
    stored = [await put(lake, page(0, rows), format=format) for rows in (1, 2, 3, 2)]
    assert [(s.path[11:26], s.is_new) for s in stored] == [
        ("20240310_061200", True),
        ("20240310_061201", True),
        ("20240310_061202", True),
        ("20240310_061201", False),
    ]
    tables = [await lake.read_table(file.path) for file in await lake.list_files("eia", "demand")]
    assert [table.num_rows for table in tables] == [1, 2, 3]


async def test_a_claimed_name_without_its_file_is_left(lake: Lake) -> None:
    """A sidecar whose file was never written is not used for a later file."""
    name = file_name("demand", STAMP, PERIOD, "csv")
    await lake.store.put(f"eia/{name}.meta.json", b"{}")
    stored = await put(lake, page(0, 1), format="csv")
    assert stored.path == "eia/demand_20240310_061201_20240303T0000_20240310T0600.csv"
    assert await lake.store.read(f"eia/{name}.meta.json") == b"{}"
    assert [file.path for file in await lake.list_files("eia", "demand")] == [stored.path]


@pytest.mark.parametrize("format", ["parquet", "csv"])
async def test_a_stranger_under_our_name_is_left(
    lake: Lake,
    format: str,  # noqa: A002
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A foreign file under the name of a run stays, with a warning."""
    path = f"eia/{file_name('demand', STAMP, PERIOD, format)}"
    await lake.store.put(path, b"mine")
    stored = await put(lake, page(0, 1), format=format)
    assert "_061201_" in stored.path
    assert await lake.store.read(path) == b"mine"
    assert path in caplog.text


async def test_writers_at_once_lose_nothing(lake: Lake) -> None:
    """Twenty contents that are written at once under one name are twenty files."""
    await asyncio.gather(*(put(lake, page(0, rows)) for rows in range(1, 21)))
    files = await lake.list_files("eia", "demand")
    assert sorted([(await lake.read_table(file.path)).num_rows for file in files]) == list(range(1, 21))


async def test_the_same_content_at_once_is_one_file(lake: Lake) -> None:
    """Of twenty concurrent writers of one content, one creates the file and nineteen find it."""
    stored = await asyncio.gather(*(put(lake, page(0, 5)) for _ in range(20)))
    assert sorted(s.is_new for s in stored) == [False] * 19 + [True]
    assert len({s.path for s in stored}) == len(await lake.list_files("eia", "demand")) == 1


WRITER = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from gridtide import observations as obs
from gridtide.lake import Draft, Lake, Provenance

folder, first, format = sys.argv[1:]
stamp = datetime(2024, 3, 10, 6, 12, tzinfo=UTC)

async def write(rows):
    hours = [stamp + timedelta(hours=i) for i in range(rows + 1)]
    made = [obs.Row(*hour, "ISNE", "demand", "MWh", 1.0) for hour in zip(hours, hours[1:])]
    with Draft(format, Provenance("eia_demand", None, "")) as draft:
        draft.append(obs.from_rows("eia", made, stamp))
        await Lake.open(folder).put_draft(draft, "eia", "demand", stamp)

for rows in range(int(first), int(first) + 5):
    asyncio.run(write(rows))
"""


@pytest.mark.parametrize("format", ["parquet", "csv"])
async def test_processes_at_once_lose_nothing_and_show_nothing_half(tmp_path: Path, format: str) -> None:  # noqa: A002
    """Three processes write five contents each under one name, and a concurrent reader sees only complete files."""
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [await asyncio.create_subprocess_exec(*command, str(first), format) for first in (1, 6, 11)]
    lake = Lake.open(str(tmp_path))
    seen: set[str] = set()
    ended = asyncio.gather(*(writer.wait() for writer in writers))
    while not ended.done():
        await asyncio.wait([ended], timeout=0.01)
        for file in await lake.list_files("eia", "demand"):
            if file.path not in seen:
                seen.add(file.path)
                await lake.read_table(file.path)
    assert await ended == [0, 0, 0]
    files = await lake.list_files("eia", "demand")
    assert sorted([(await lake.read_table(file.path)).num_rows for file in files]) == list(range(1, 16))


async def test_put_replaces_only_when_told_to(lake: Lake) -> None:
    """Only files that are derived from others may be replaced."""
    await lake.store.put("features/a/manifest.json", b"1")
    with pytest.raises(StorageError, match=r"features/a/manifest\.json: is there already"):
        await lake.store.put("features/a/manifest.json", b"2")
    assert await lake.store.read("features/a/manifest.json") == b"1"
    await lake.store.put("features/a/manifest.json", b"3", replace=True)
    assert await lake.store.read("features/a/manifest.json") == b"3"
    assert await lake.store.exists("features/a/manifest.json")
    assert not await lake.store.exists("features/b/manifest.json")


# Damage and bad input


async def test_damage_is_noticed_wherever_it_is(lake: Lake) -> None:
    """A changed byte either does not change the table or is a StorageError with the name of the file."""
    stored = await put(lake, page(0, 400))
    whole, table = await lake.store.read(stored.path), await lake.read_table(stored.path)
    noticed = []
    for place in range(0, len(whole), 23):
        await lake.store.put(
            stored.path, whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :], replace=True
        )
        try:
            read = await lake.read_table(stored.path)
        except StorageError as error:
            noticed.append(str(error))
        else:
            assert plain(read).equals(plain(table)), place
    assert all(error.startswith(f"{stored.path}: is damaged: ") for error in noticed)
    assert len(noticed) > len(whole) / 23 / 2


@pytest.mark.parametrize("format", ["parquet", "csv"])
@pytest.mark.parametrize("kept", [0, 1, 3, 100, -1, -40])
async def test_a_cut_file_is_noticed(lake: Lake, format: str, kept: int) -> None:  # noqa: A002
    """A truncated file is damaged, wherever it ends."""
    stored = await put(lake, page(0, 50), format=format)
    await lake.store.put(stored.path, (await lake.store.read(stored.path))[:kept], replace=True)
    with pytest.raises(StorageError, match=f"{stored.path}: is damaged"):
        await lake.read_table(stored.path)


async def test_a_csv_that_was_edited_is_noticed(lake: Lake) -> None:
    """A CSV with a changed digit or a missing line is refused."""
    stored = await put(lake, page(0, 50, value=1.5), format="csv")
    whole = await lake.store.read(stored.path)
    for edited in (whole.replace(b",7.5,", b",8.5,"), b"".join(whole.splitlines(keepends=True)[:-1])):
        await lake.store.put(stored.path, edited, replace=True)
        with pytest.raises(StorageError, match="its bytes are not those that were stored"):
            await lake.read_table(stored.path)


async def test_a_file_of_other_columns_is_named(lake: Lake) -> None:
    """A Parquet file without observations is refused with the list of its columns."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": [1]}), sink)
    await lake.store.put("eia/demand_20240310_061200.parquet", sink.getvalue().to_pybytes())
    with pytest.raises(StorageError, match=r"demand_20240310_061200.parquet: .*columns are not those.*: a"):
        await lake.read_table("eia/demand_20240310_061200.parquet")
    with pytest.raises(StorageError, match="no metadata of a lake file: nothing says its entry"):
        await lake.read_metadata("eia/demand_20240310_061200.parquet")


@pytest.mark.parametrize("path", ["eia/none.parquet", "eia/none.csv"])
async def test_a_file_that_is_not_there_is_an_error(lake: Lake, path: str) -> None:
    """Reading a missing file is an error with its name."""
    for reading in (lake.store.read(path), lake.read_table(path), lake.read_metadata(path), lake.read_raw(path)):
        with pytest.raises(StorageError, match=path):
            await reading


@pytest.mark.parametrize("path", ["../out.json", "a/../../out.json", "a//b.json"])
async def test_no_path_leaves_the_lake(lake: Lake, path: str) -> None:
    """A path with `..` or empty parts is refused by every function."""
    for attempt in (
        lake.store.put(path, b""),
        lake.store.put(path, b"", replace=True),
        lake.put_raw(path, b""),
        lake.store.read(path),
    ):
        with pytest.raises(StorageError, match="cannot be"):
            await attempt


def test_a_lake_is_one_place_wherever_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative folder, its absolute path and its file URL are the same address."""
    monkeypatch.chdir(tmp_path)
    spellings = ("some lake", f"{tmp_path}/some lake", f"file://{tmp_path}/some%20lake", "./some lake/")
    assert {Lake.open(spelling).uri for spelling in spellings} == {f"{tmp_path}/some lake"}


@pytest.mark.parametrize(
    "uri", ["", " ", "ftp://host/lake", "http://host/lake", "file://lake", "s3://", "s3:///prefix"]
)
def test_what_is_no_lake_is_refused(uri: str) -> None:
    """An invalid address is refused with the valid forms."""
    with pytest.raises(ConfigurationError, match=r"^the lake: its address .* use .*s3://bucket/prefix"):
        Lake.open(uri)


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    """An address with a password is refused, and the message does not contain it."""
    with pytest.raises(ConfigurationError, match="holds a user or password") as caught:
        Lake.open("s3://AKIAEXAMPLE:s3cret@bucket/lake")
    assert "s3cret" not in str(caught.value)


def test_a_lake_cannot_be_where_a_file_is(tmp_path: Path) -> None:
    """A folder that cannot be created is refused at once with the reason, also for reading only."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file: cannot be opened as a lake: .* is not a folder"):
        Lake.open(str(tmp_path / "file"))
    reader = Lake.open(str(tmp_path / "file"), make=False)
    with pytest.raises(StorageError, match=r"cannot be listed .* is not a folder"):
        asyncio.run(reader.list_files("demand", "demand"))


def test_a_probe_leaves_nothing(tmp_path: Path) -> None:
    """A probe of a working lake succeeds and does not change it."""
    asyncio.run(Lake.open(str(tmp_path)).store.probe())
    assert list(tmp_path.iterdir()) == []


# Cost


def test_opening_a_lake_loads_neither_arrow_nor_boto() -> None:
    """Opening a lake in a new process imports neither Arrow nor boto, so that the first request is not delayed."""
    code = (
        "import sys; from gridtide.lake import Lake; Lake.open('memory://'); "
        "print([name for name in ('pyarrow', 'numpy', 'pandas', 'boto3', 'prefect') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


PEAK = """
import asyncio, resource, sys
sys.path.insert(0, sys.argv[1])
from test_store import FROM, STAMP, page
from gridtide.lake import Draft, Lake

async def write(pages):
    with Draft("parquet", FROM) as draft:
        for _ in range(pages):
            draft.append(one)
        await Lake.open(sys.argv[2]).put_draft(draft, "eia", "demand", STAMP)

one = page(0, 5_000)
asyncio.run(write(int(sys.argv[3])))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_is_flat_in_the_rows(tmp_path: Path) -> None:
    """Four times the rows take at most the memory of one or two row groups more."""
    peaks = []
    for pages in (70, 280):
        command = [sys.executable, "-c", PEAK, str(Path(__file__).parent), str(tmp_path / str(pages)), str(pages)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": "."}
        )
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] - peaks[0] < 25, peaks


async def test_a_superseded_file_is_told_by_its_name(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    """A file is left out from its first mark on, unless superseded files are requested; its content stays."""
    one, other = await put(lake, page(0, 2)), await put(lake, page(0, 3))
    moment = await lake.supersede(one.path)
    await lake.supersede(one.path)
    assert [file.path for file in await lake.list_files("eia", "demand")] == [other.path]
    both = await lake.list_files("eia", "demand", superseded=True)
    assert [(file.path, file.superseded_at) for file in both] == [(one.path, moment), (other.path, None)]
    assert (await lake.read_table(one.path)).num_rows == 2
    assert not caplog.records


async def test_a_mark_of_the_future_is_passed_over(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    """A mark with a time in the future has no effect, with a warning."""
    one = await put(lake, page(0, 2))
    mark = f"{one.path}.superseded_29990101T000000000000"
    await lake.store.put(mark, b"")
    [file] = await lake.list_files("eia", "demand", superseded=True)
    assert (file.path, file.superseded_at) == (one.path, None)
    [warning] = [record.getMessage() for record in caplog.records]
    assert "in the future" in warning
    assert warning.endswith(mark.removeprefix("eia/"))


async def test_a_missing_file_keeps_no_other_from_being_removed(lake: Lake) -> None:
    """Those before and after it are removed."""
    for name in ("a", "c"):
        await lake.store.put(f"set/{name}", b"1", replace=True)
    await lake.store.remove(["set/a", "set/b", "set/c"])
    assert await lake.store.list_objects("set") == []


async def test_a_folder_is_removed_as_abandoned_only_if_all_of_it_is_old(lake: Lake) -> None:
    """A file that was changed after the moment keeps the others; a folder that is not there is no error."""
    for name in ("a", "b"):
        await lake.store.put(f"set/new/{name}", b"1", replace=True)
    now = datetime.now(UTC)
    await lake.store.remove_abandoned("set/new", now - timedelta(hours=1))
    assert len(await lake.store.list_objects("set/new")) == 2
    await lake.store.remove_abandoned("set/new", now + timedelta(hours=1))
    await lake.store.remove_abandoned("set/new", now + timedelta(hours=1))
    assert await lake.store.list_folder("set") == ([], [])
