"""Files of an entry that was renamed, or that has another folder by now."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gridtide import curated
from gridtide.config.loading import parse
from gridtide.entries.entry import Entry
from gridtide.lake import Draft, Lake, Provenance
from gridtide.lake.moved_files import find_moved
from gridtide.observations.table import Row, from_rows
from gridtide.periods import DAY, HOUR, Period
from gridtide.sources.registry import find_entry_scope

START = datetime(2024, 3, 1, tzinfo=UTC)


def entry_of(name: str, folder: str, variable: str = "load", **keys: Any) -> Entry:
    """A synthetic entry of one variable."""
    params = {"variables": [variable]}
    api = {"name": name, "source": "synthetic", "output_folder": folder, "params": params, **keys}
    return parse({"apis": [api]}).apis[0]


async def store(lake: Lake, of: Entry, noted: bool = True) -> None:
    """Two files of the entry, which say what was asked if it was `noted`."""
    scope = find_entry_scope(of).as_text() if noted else ""
    for n in range(2):
        period = Period(START + n * DAY, START + (n + 1) * DAY)
        with Draft("parquet", Provenance(of.name, period, of.fingerprint, scope=scope)) as draft:
            row = Row(period.start, period.start + HOUR, "ISNE", "load", "MWh", 5.0)
            draft.append(from_rows("synthetic", [row], START))
            await lake.put_draft(draft, of.output_folder, of.file_prefix, START)


async def texts(lake: Lake, of: Entry, *configured: Entry) -> list[str]:
    """What is said of the files of the entry elsewhere."""
    return [moved.describe(of) for moved in await find_moved(lake, of, configured)]


async def test_files_in_another_folder_are_named(tmp_path: Path) -> None:
    """By the name of the entry, in whatever folder; with the keys that the entry needs to go on with them."""
    lake, before = Lake.open(str(tmp_path)), entry_of("load", "grid/hourly")
    await store(lake, before)
    assert await texts(lake, entry_of("load", "load", "demand")) == [
        "no files are in load/load_…, but grid/hourly/load_… holds files of this entry; to go on with them, give the "
        'entry "output_folder": "grid/hourly"'
    ]


async def test_files_of_a_renamed_entry_are_named_by_what_they_asked(tmp_path: Path) -> None:
    """Also those of a version that noted only a fingerprint; not those that asked for something else."""
    lake = Lake.open(str(tmp_path))
    await store(lake, entry_of("load", "grid"))
    await store(lake, entry_of("old", "grid"), noted=False)
    await store(lake, entry_of("demand", "demand", "demand"))
    (tmp_path / "raw").mkdir()
    (tmp_path / "grid" / "notes.txt").write_text("")
    (tmp_path / "grid" / "junk_20240301_000000.parquet").write_bytes(b"junk")
    assert await texts(lake, entry_of("system", "grid")) == [
        f'no files are in grid/system_…, but grid/{name}_… holds files of "{name}" with the same data; to go on '
        f'with them, give the entry "file_prefix": "{name}"'
        for name in ("load", "old")
    ]


async def test_files_of_another_entry_of_the_configuration_stay_its_own(tmp_path: Path) -> None:
    """Two entries that ask the same, such as one in CSV, are not taken for each other; nor is a new entry for any. A
    part of what an entry asks is enough, as the last file may be of a part that was asked alone."""
    lake, before = Lake.open(str(tmp_path)), entry_of("load", "load")
    await store(lake, before)
    same = entry_of("copy", "copy", format="csv")
    assert await texts(lake, same, before, same) == []
    assert await texts(lake, entry_of("wind", "wind", "generation_wind")) == []
    assert len(await texts(lake, entry_of("all", "all", params={"variables": ["load", "demand"]}))) == 1
    assert len(await texts(lake, same)) == 1


async def test_an_entry_whose_files_were_all_pruned_is_told_where_its_months_are(tmp_path: Path) -> None:
    """Months are the only copy of pruned files: an entry with another folder or name is told of them, and goes on with
    them."""
    lake, before = Lake.open(str(tmp_path)), entry_of("load", "grid/hourly")
    await store(lake, before)
    await curated.compact(lake, before)
    assert (await curated.prune(lake, before, datetime.now(UTC) + 365 * DAY)).files == 2
    assert await texts(lake, entry_of("load", "load")) == [
        "no files are in load/load_…, but grid/hourly/load_… holds files of this entry; to go on with them, give the "
        'entry "output_folder": "grid/hourly"'
    ]
    assert len(await texts(lake, entry_of("system", "grid/hourly"))) == 1
    assert await texts(lake, entry_of("wind", "wind", "generation_wind")) == []
    assert await texts(lake, entry_of("copy", "copy"), before) == []


async def test_files_in_both_places_can_be_joined_in_either(tmp_path: Path) -> None:
    """Where a folder was moved while a run wrote into it, each place lacks what the other has."""
    lake, before, now = Lake.open(str(tmp_path)), entry_of("load", "old"), entry_of("system", "new")
    await store(lake, before)
    (moved,) = await find_moved(lake, now, [])
    assert moved.describe(now, has_files=True) == (
        'new/system_… holds only newer files, but old/load_… holds files of "load" with the same data; to go on with '
        'them, give the entry "output_folder": "old", "file_prefix": "load", and move the newer files there; or move '
        "the older ones to new, their names with system_ at the beginning"
    )
