"""What files say of themselves, the damaged ones beside the others."""

from datetime import timedelta
from pathlib import Path

from gridtide import footers
from gridtide.errors import StorageError
from gridtide.lake import Draft, Lake, Metadata, Provenance
from gridtide.periods import Period
from tests.lakes import START


async def test_each_file_is_told_in_its_place(tmp_path: Path) -> None:
    """A file that is empty, and one with the content of another, hide none of those around them."""
    lake, day = Lake.open(str(tmp_path)), timedelta(days=1)
    for n in range(4):
        with Draft("parquet", Provenance("grid", Period(START + n * day, START + (n + 1) * day), "")) as draft:
            await lake.put_draft(draft, "grid", "grid", START)
    files = sorted(await lake.files("grid", "grid"), key=lambda file: file.path)
    (tmp_path / files[1].path).write_bytes(b"")
    (tmp_path / files[2].path).write_bytes((tmp_path / files[3].path).read_bytes())
    first, empty, other, last = await footers.said(lake, files)
    assert isinstance(first, Metadata)
    assert isinstance(last, Metadata)
    assert (first.period, last.period) == (files[0].period, files[3].period)
    assert isinstance(empty, StorageError)
    assert str(empty).startswith(f"{files[1].path}: is damaged")
    assert isinstance(other, StorageError)
    assert str(other).startswith(f"{files[2].path}: says of itself to be of {files[3].period}, its name says")
