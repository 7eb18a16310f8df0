"""The index of footers is only a cache: whatever becomes of it, the same is read, and mostly with fewer requests."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace

from gridtide.errors import StorageError
from gridtide.lake import Draft, File, Lake, Metadata, Provenance
from gridtide.lake.files.footer_index import INDEX_FOLDER, FooterIndex, decode_index, encode_index
from gridtide.lake.soundness import FEWEST_INDEXED, read_metadata
from gridtide.periods import Period
from tests.support.lakes import START
from tests.support.upstreams.counting_proxy import count_requests

DAY = timedelta(days=1)
INDEX = f"{INDEX_FOLDER}/grid.zst"


async def put_day(lake: Lake, day: int, scope: str = "") -> None:
    """Store a file without rows for a day."""
    absent = [Period(START, START + DAY)] if day % 7 == 0 else []
    skipped = [{"reason": "a test", "count": day, "example": "x"}] if day % 5 == 0 else []
    provenance = Provenance("grid", Period(START + day * DAY, START + (day + 1) * DAY), "f", skipped, scope, absent)
    with Draft("parquet", provenance) as draft:
        await lake.put_draft(draft, "grid", "grid", START)


async def fill(lake: Lake, days: int) -> list[File]:
    """Store a file for each of `days`, with one of two scopes; returns what the lake lists."""
    for day in range(days):
        await put_day(lake, day, f"scope {day % 2}")
    return await lake.list_files("grid", "grid")


async def open_each(lake: Lake, files: list[File]) -> list[str]:
    """What reading each file by itself gives, as text."""
    return [str(content) for content in await read_metadata(lake, files, indexed=False)]


def flip_bytes(path: Path) -> None:
    """Change every fiftieth byte of the file at `path`."""
    body = bytearray(path.read_bytes())
    body[::50] = bytes(byte ^ 0xFF for byte in body[::50])
    path.write_bytes(body)


def confuse(path: Path) -> None:
    """Give each row of the index to another file, as if the files had been replaced since."""
    index = decode_index(path.read_bytes())
    rows = list(index.rows.values())
    moved = {row.name: replace(other, name=row.name) for row, other in pairwise([*rows, rows[0]])}
    path.write_bytes(encode_index(FooterIndex(index.kinds, moved)))


def halve(path: Path) -> None:
    """Leave every second row of the index."""
    index = decode_index(path.read_bytes())
    path.write_bytes(encode_index(FooterIndex(index.kinds, dict(list(index.rows.items())[::2]))))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "removed": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "short": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "flipped": flip_bytes,
    "foreign": lambda path: path.write_bytes(b"not an index" * 10),
    "halved": halve,
    "confused": confuse,
}


async def test_whatever_becomes_of_an_index_the_same_is_read(tmp_path: Path) -> None:
    """With an index that is sound, removed, damaged, incomplete or of other files, each file has the metadata that its
    own footer states, and afterwards there is a sound index again."""
    lake = Lake.open(str(tmp_path))
    files = await fill(lake, FEWEST_INDEXED)
    expected = await open_each(lake, files)
    assert not (tmp_path / INDEX_FOLDER).exists()
    for _ in range(2):  # without an index, and with the one that the first look left
        assert [str(content) for content in await read_metadata(lake, files)] == expected
    sound = (tmp_path / INDEX).read_bytes()
    for damage in DAMAGES.values():
        (tmp_path / INDEX).write_bytes(sound)
        damage(tmp_path / INDEX)
        assert [str(content) for content in await read_metadata(lake, files)] == expected


async def test_files_that_changed_since_are_opened(tmp_path: Path) -> None:
    """A file that was replaced, even by one of the same size, is judged by what it is now; a new file is read."""
    lake = Lake.open(str(tmp_path))
    files = await fill(lake, FEWEST_INDEXED)
    await read_metadata(lake, files)
    (tmp_path / files[1].path).write_bytes((tmp_path / files[3].path).read_bytes())
    (tmp_path / files[2].path).write_bytes(b"PAR1" * (files[2].size // 4) + b"x" * (files[2].size % 4))
    await put_day(lake, FEWEST_INDEXED + 1)
    listed = await lake.list_files("grid", "grid")
    contents = await read_metadata(lake, listed)
    problems = [file.path for file, content in zip(listed, contents, strict=True) if isinstance(content, StorageError)]
    assert problems == [files[1].path, files[2].path]
    assert [str(content) for content in contents] == await open_each(lake, listed)
    assert isinstance(contents[-1], Metadata)


async def test_a_lake_that_cannot_be_written_is_read(tmp_path: Path) -> None:
    """If the index cannot be stored, its place being taken by a file, the files are read all the same."""
    lake = Lake.open(str(tmp_path))
    files = await fill(lake, FEWEST_INDEXED)
    (tmp_path / INDEX_FOLDER).write_text("in the way")
    assert all(isinstance(content, Metadata) for content in await read_metadata(lake, files))


async def test_few_files_have_no_index(tmp_path: Path) -> None:
    """A folder of few files gets none: opening them takes less."""
    lake = Lake.open(str(tmp_path))
    await read_metadata(lake, await fill(lake, 3))
    assert not (tmp_path / INDEX_FOLDER).exists()


@pytest.mark.slow
async def test_footers_on_s3_are_requested_once(bucket: str, s3_url: str) -> None:
    """The first look at a folder of S3 requests each footer and stores the index; the next one requests the listing and
    the index, and with one more file that file."""
    async with count_requests(s3_url) as (url, counts):
        lake = Lake.open(f"s3://{bucket}/lake", endpoint_url=url)
        files = await fill(lake, FEWEST_INDEXED)
        counts.clear()
        first = await read_metadata(lake, files)
        assert counts == {"GET": FEWEST_INDEXED + 1, "PUT": 1}
        counts.clear()
        assert await read_metadata(lake, await lake.list_files("grid", "grid")) == first
        assert counts == {"LIST": 2, "GET": 1}
        await put_day(lake, FEWEST_INDEXED + 1)
        counts.clear()
        await read_metadata(lake, await lake.list_files("grid", "grid"))
        assert counts == {"LIST": 2, "GET": 2}
