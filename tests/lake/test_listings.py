"""Names that the store library refuses stop no entry: they are passed over and named."""

from __future__ import annotations

import os
from pathlib import Path

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from obstore.exceptions import InvalidPathError
from obstore.store import LocalStore

from gridtide.errors import StorageError
from gridtide.lake import Lake
from gridtide.lake.listings import FolderContent, is_readable, list_local_folder, list_store

FILE = "load/load_20240310_061200_20240101T0000_20240102T0000.csv"

NAMES = [b"B\xe4r.csv", b"a\nb.csv", b"\x01", b"tab\there", b"x\x7f", b"\xff\xfe"]
"""Names from Windows shares and of broken programs, as bytes."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A lake with one file."""
    (tmp_path / FILE).parent.mkdir()
    (tmp_path / FILE).write_text("")
    return tmp_path


def put(folder: Path, name: bytes) -> None:
    """An empty file called `name`."""
    path = os.path.join(os.fsencode(folder), name)  # noqa: PTH118  # a name that is not a text
    os.close(os.open(path, os.O_CREAT))


@pytest.mark.parametrize("name", NAMES)
async def test_a_strange_name_beside_the_lakes_files_is_passed_over(
    folder: Path, name: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The lake's own file is listed, and so is what lies below; the strange name is in a warning, on one line."""
    put(folder / "load", name)
    lake = Lake.open(str(folder))
    assert [file.path for file in await lake.list_files("load", "load")] == [FILE]
    (warning,) = caplog.messages
    assert ascii("load/" + os.fsdecode(name)) in warning
    assert warning.isprintable()
    assert [file.path for file in await lake.store.list_objects("load")] == [FILE]
    await lake.store.probe()


FOREIGN = [
    "my notes.csv",
    "Übersicht.parquet",
    "a [old].csv",
    "load (1).parquet",
    "x#%&.txt",
    "load 2 (conflicted copy).parquet",
]
"""Names that people and programs that synchronise folders give."""


@pytest.mark.parametrize("name", FOREIGN)
async def test_foreign_files_beside_the_lakes_files_are_no_files_of_an_entry(folder: Path, name: str) -> None:
    """Spaces, letters beyond ASCII, brackets and copies of the lake's own names do no harm."""
    copy = FILE.rpartition("/")[2].replace(".", " (conflicted copy 2026-01-10).", 1)
    for foreign in (name, copy):
        (folder / "load" / foreign).write_text("mine")
    lake = Lake.open(str(folder))
    assert [file.path for file in await lake.list_files("load", "load")] == [FILE]
    assert len(await lake.store.list_objects("load")) == 3


async def test_links_that_lead_nowhere_or_round_are_passed_over(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """To themselves, to a folder around them, to what is gone; the folder is listed to its end."""
    links = {"itself": "itself", "around": "..", "gone": "nowhere"}
    for name, target in links.items():
        (folder / "load" / name).symlink_to(target)
    lake = Lake.open(str(folder))
    assert [file.path for file in await lake.list_files("load", "load")] == [FILE]
    assert "'load/itself'" in caplog.text
    assert FILE in [file.path for file in await lake.store.list_objects("")]


def test_a_strange_folder_is_passed_over(folder: Path) -> None:
    """With all that is in it."""
    (folder / "load" / "a\nb").mkdir()
    (folder / "load" / "a\nb" / "file.csv").write_text("")
    for recursive in (False, True):
        listing = list_local_folder(str(folder), "load", recursive)
        assert ([file.path for file in listing.objects], listing.refusals) == ([FILE], ["load/a\nb"])


async def test_a_folder_that_may_not_be_looked_at_is_an_error(folder: Path) -> None:
    """Less than there is would be taken for all."""
    put(folder / "load", b"a\nb")
    (folder / "load" / "file").write_text("")
    (folder / "load" / "below").symlink_to("file/below")  # not even root looks below a file
    with pytest.raises(StorageError, match="Not a directory"):
        await Lake.open(str(folder)).list_files("load", "load")


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(min_size=1, max_size=4).filter(lambda name: not set(name) & set(b"/\0")), max_size=4))
def test_what_is_listed_is_what_the_store_library_lists(
    tmp_path_factory: pytest.TempPathFactory, names: list[bytes]
) -> None:
    """Whatever names there are: all that it can read, with the same tags, times and sizes; it refuses what we name."""
    folder = tmp_path_factory.mktemp("any")
    (folder / "below").mkdir()
    for name in {*names, b"plain.csv"} - {b".", b".."}:
        put(folder / "below", name)
    for recursive in (False, True):
        ours = list_local_folder(str(folder), "below", recursive)
        try:
            theirs = list_store(LocalStore(str(folder)), "below", recursive)
        except InvalidPathError:
            assert ours.refusals
            theirs = FolderContent(ours.folders, ours.objects, ours.refusals)
        assert ours == theirs


async def test_strange_keys_of_a_bucket_are_passed_over(bucket: str, caplog: pytest.LogCaptureFixture) -> None:
    """Keys with empty parts, dots and control characters; the marks of folders are no news."""
    client = boto3.client("s3", region_name="us-east-1")
    strange = ["load//twice.csv", "load/a\tb.csv", "load/./dot.csv", "load/../up.csv"]
    for key in (FILE, "load/", "load/below/", "load/ü [1].csv", *strange):
        client.put_object(Bucket=bucket, Key=f"prefix/{key}", Body=b"x")
    lake = Lake.open(f"s3://{bucket}/prefix")
    assert [file.path for file in await lake.list_files("load", "load")] == [FILE]
    assert "'load/a\\tb.csv'" in caplog.text
    folders, files = await lake.store.list_folder("load")
    assert folders == ["load/below"]
    assert [file.path for file in files] == [FILE, "load/ü [1].csv"]
    everything = await lake.store.list_objects("load")
    assert [file.path for file in everything] == [FILE, "load/ü [1].csv"]
    client.delete_object(Bucket=bucket, Key="prefix/load/a\tb.csv")
    assert everything[0].e_tag == client.head_object(Bucket=bucket, Key=f"prefix/{FILE}")["ETag"]
    await lake.store.probe()


def test_names_of_the_lake_can_be_read() -> None:
    """So can any printable text."""
    assert is_readable(FILE)
    assert is_readable("eia/München #1 [a] 100%.csv")


@pytest.mark.parametrize("scheme", ["local", "memory"])
async def test_a_range_of_names_is_listed_as_filtering_all_names(scheme: str, tmp_path: Path) -> None:
    """The files of a range are those whose folder is in it, in the order of paths, whatever the bounds."""
    store = Lake.open(str(tmp_path) if scheme == "local" else "memory://").store
    paths = [f"raw/eia/{day}/{number}.zst" for day in (20240101, 20240102, 20240103, "demand_2024") for number in "12"]
    for path in [*paths, "raw/other/20240102/1.zst"]:
        await store.put(path, b"")
    for start in ("0", "20240102", "20240103", "demand_0"):
        for end in ("0", "20240102", "20240104", "demand_2023", "z"):
            expected = [path for path in paths if start <= path.removeprefix("raw/eia/") < end]
            assert [file.path for file in await store.list_range("raw/eia", start, end)] == expected
