"""Reading the metadata of files of which some are damaged."""

import json
import os
from datetime import timedelta
from operator import attrgetter
from pathlib import Path

from gridtide.errors import StorageError
from gridtide.lake import Draft, Lake, Metadata, Provenance, soundness
from gridtide.periods import Period
from tests.support.lakes import START

DAY = timedelta(days=1)
path_of = attrgetter("path")


async def test_each_file_is_told_in_its_place(tmp_path: Path) -> None:
    """An empty file and one with the content of another are reported, and the files around them are read."""
    lake = Lake.open(str(tmp_path))
    for n in range(4):
        with Draft("parquet", Provenance("grid", Period(START + n * DAY, START + (n + 1) * DAY), "")) as draft:
            await lake.put_draft(draft, "grid", "grid", START)
    files = sorted(await lake.list_files("grid", "grid"), key=path_of)
    (tmp_path / files[1].path).write_bytes(b"")
    (tmp_path / files[2].path).write_bytes((tmp_path / files[3].path).read_bytes())
    first, empty, other, last = await soundness.read_metadata(lake, files)
    assert isinstance(first, Metadata)
    assert isinstance(last, Metadata)
    assert (first.period, last.period) == (files[0].period, files[3].period)
    assert isinstance(empty, StorageError)
    assert str(empty).startswith(f"{files[1].path}: is damaged")
    assert isinstance(other, StorageError)
    assert str(other).startswith(f"{files[2].path}: states the period {files[3].period}, its name")


async def test_a_csv_of_another_size_than_its_sidecar_says_is_damaged(tmp_path: Path) -> None:
    """A CSV of another size than in its sidecar is damaged; without a size in the sidecar it is accepted."""
    lake = Lake.open(str(tmp_path))
    for n in range(3):
        with Draft("csv", Provenance("grid", Period(START + n * DAY, START + (n + 1) * DAY), "")) as draft:
            await lake.put_draft(draft, "grid", "grid", START)
    sound, junk, old = [tmp_path / file.path for file in sorted(await lake.list_files("grid", "grid"), key=path_of)]
    size = junk.stat().st_size
    junk.write_bytes(b"junk")
    old.write_bytes(b"junk")
    sidecar = old.with_name(f"{old.name}.meta.json")
    sidecar.write_text(json.dumps({k: v for k, v in json.loads(sidecar.read_text()).items() if k != "size"}))
    files = await lake.list_files("grid", "grid")
    checked = await soundness.check_files(lake, files, Period(START, START + 3 * DAY))
    assert checked.damaged_files == {f"grid/{junk.name}"}
    assert len(checked.problems) == 1
    assert f"{junk.name}: is damaged: it has 4 bytes, its sidecar states {size}." in checked.problems[0]
    later = await soundness.check_files(lake, files, Period(START + 2 * DAY, START + 4 * DAY))
    assert (later.damaged_files, later.problems) == (frozenset(), [])
    assert (await lake.read_metadata(f"grid/{sound.name}")).size == sound.stat().st_size


async def test_a_file_that_cannot_be_read_is_not_damaged(tmp_path: Path) -> None:
    """A file that is temporarily unreadable is reported, but not as damaged, so it is not collected again."""
    lake = Lake.open(str(tmp_path))
    with Draft("parquet", Provenance("grid", Period(START, START + DAY), "")) as draft:
        stored = await lake.put_draft(draft, "grid", "grid", START)
    files = await lake.list_files("grid", "grid")
    (tmp_path / stored.path).unlink()
    checked = await soundness.check_files(lake, files, Period(START, START + DAY))
    assert (checked.damaged_files, checked.contents) == (frozenset(), {})
    assert len(checked.problems) == 1
    assert checked.problems[0].startswith(f"{stored.path}: cannot be read")


async def test_what_was_checked_before_is_not_read_again(tmp_path: Path) -> None:
    """A file that is gone since is sound as it was; a new one is read, and what was wrong before is still told."""
    lake = Lake.open(str(tmp_path))
    periods = [Period(START + n * DAY, START + (n + 1) * DAY) for n in range(2)]
    paths = []
    for period in periods:
        with Draft("parquet", Provenance("grid", period, "")) as draft:
            paths.append((await lake.put_draft(draft, "grid", "grid", START)).path)
    files = await lake.list_files("grid", "grid")
    before = await soundness.check_files(lake, files, periods[0])
    assert before.contents.keys() == {paths[0]}
    (tmp_path / paths[0]).unlink()
    after = await soundness.check_files(lake, files, Period(START, START + 2 * DAY), before)
    assert (after.contents.keys(), after.problems) == (set(paths), [])


async def test_a_named_pipe_with_a_name_of_the_lake_stops_no_reader(tmp_path: Path) -> None:
    """A reader does not wait for somebody to write into it: it is a damaged file, or passed over."""
    lake = Lake.open(str(tmp_path))
    (tmp_path / "grid").mkdir()
    os.mkfifo(tmp_path / "grid" / "grid_20240310_061200_20240301T0000_20240302T0000.parquet")
    files = await lake.list_files("grid", "grid")
    checked = await soundness.check_files(lake, files, Period(START - 30 * DAY, START + 999 * DAY))
    assert checked.contents == {}
    assert len(checked.damaged_files) == len(files)
