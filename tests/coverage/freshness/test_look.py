"""Checks of the series of a lake, with and without the state of the previous check."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from gridtide import curated
from gridtide.config.loading import parse
from gridtide.coverage.freshness.look import SeriesLook, look_at_series
from gridtide.coverage.freshness.memory import SeriesMemory, load_memory, save_memory, update_memory
from gridtide.entries.entry import Entry
from gridtide.lake import Draft, Lake, Provenance
from gridtide.observations.table import Row, from_rows
from gridtide.periods import HOUR, Period
from gridtide.sources.registry import find_entry_scope

DAY = 24 * HOUR
TODAY = datetime(2024, 3, 10, tzinfo=UTC)
API = {"name": "grid", "source": "synthetic", "output_folder": "grid", "expect": {"locations": ["A", "Z"]}}
ENTRY = parse({"apis": [API]}).apis[0]
WIDENED = {"name": "grid", "source": "synthetic", "output_folder": "grid"}
MEMORY = "processed/grid/grid/series.json"

Values = dict[str, Callable[[datetime], float | None]]
"""By location, the value of each hour."""


async def put(lake: Lake, period: Period, values: Values, stamp: datetime) -> None:
    """Store a file of `period` with the hours of each location, those without a row left out."""
    hours = [period.start + n * HOUR for n in range(period.duration // HOUR)]
    rows = [
        Row(hour, hour + HOUR, location, "load", "MW", value)
        for location, value_at in values.items()
        for hour in hours
        if (value := value_at(hour)) != -1
    ]
    with Draft("parquet", Provenance("grid", period, ENTRY.fingerprint)) as draft:
        draft.append(from_rows("synthetic", rows, stamp))
        await lake.put_draft(draft, "grid", "grid", stamp)


def until(end: datetime, then: float | None = -1) -> Callable[[datetime], float | None]:
    """Values up to `end`, and `then` afterwards: no row if that is -1."""
    return lambda hour: 5.0 + hour.hour % 3 if hour < end else then


async def look(lake: Lake, now: datetime) -> SeriesLook:
    """One look, which is kept."""
    result = await look_at_series(lake, ENTRY, await load_memory(lake, ENTRY), now)
    await save_memory(lake, ENTRY, result.memory)
    return result


FATES: Values = {
    "A": until(TODAY),
    "B": until(TODAY - HOUR),
    "C": until(TODAY - 10 * DAY),
    "D": until(TODAY - 60 * DAY),
    "E": until(TODAY - 10 * DAY, None),
    "F": until(TODAY - 10 * DAY, 0.0),
    "sun": lambda hour: float(6 <= hour.hour < 18),
}
SILENT = [
    "C/load since 2024-02-28T23:00Z",
    "D/load since 2024-01-09T23:00Z",
    "E/load since 2024-02-28T23:00Z (nulls)",
    "F/load since 2024-02-28T23:00Z (zeros)",
    "Z so far",
]


@pytest.mark.parametrize("days", [90, 7])
async def test_series_that_stop_while_others_go_on_are_silent(tmp_path: Path, days: int) -> None:
    """Series that stopped, or have only nulls or zeros, while others continue are silent; so is an expected location
    without values."""
    lake, start = Lake.open(str(tmp_path)), TODAY - 90 * DAY
    while start < TODAY:
        end = min(start + days * DAY, TODAY)
        await put(lake, Period(start, end), FATES, end)
        start = end
    first = await look(lake, TODAY)
    assert list(map(str, first.silent)) == SILENT
    assert first.is_news
    assert first.new == first.back == []
    second = await look(lake, TODAY + HOUR)
    assert list(map(str, second.silent)) == SILENT
    assert not second.is_news


async def test_what_is_back_and_what_is_new_is_told_once(tmp_path: Path) -> None:
    """Series that return or are new since the previous check are reported once."""
    lake = Lake.open(str(tmp_path))
    await put(lake, Period(TODAY - 40 * DAY, TODAY), FATES, TODAY)
    await look(lake, TODAY)
    healed: Values = {name: until(TODAY + DAY) for name in ("A", "B", "C", "F", "G")} | {"E": lambda _: None}
    tomorrow = TODAY + DAY
    await put(lake, Period(TODAY, tomorrow), healed, tomorrow)
    after = await look(lake, tomorrow)
    assert after.back == [("C", "load"), ("F", "load")]
    assert after.new == [("G", "load")]
    assert after.is_news
    assert [series.location for series in after.silent] == ["E", "sun", "Z"]
    again = await look(lake, tomorrow)
    assert (again.back, again.new, again.is_news) == ([], [], False)


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"stamp": 5, "series": [], "reported": []}', None])
async def test_without_its_memory_a_look_only_takes_longer(tmp_path: Path, damage: bytes | None) -> None:
    """Without its state, or with a damaged one, a check gives the same result from the files, also from compacted
    months."""
    lake = Lake.open(str(tmp_path))
    await put(lake, Period(TODAY - 90 * DAY, TODAY - 30 * DAY), FATES, TODAY - 30 * DAY)
    await put(lake, Period(TODAY - 30 * DAY, TODAY), FATES, TODAY)
    first = await look(lake, TODAY)
    await curated.compact(lake, ENTRY)
    await curated.prune(lake, ENTRY, TODAY + 365 * DAY)
    if damage is None:
        await lake.store.remove([MEMORY])
    else:
        await lake.store.put(MEMORY, damage, replace=True)
    again = await look(lake, TODAY)
    assert list(map(str, again.silent)) == list(map(str, first.silent)) == SILENT
    moments = [
        {label: (rows.row, rows.value, rows.nonzero) for label, rows in result.memory.last_rows.items()}
        for result in (first, again)
    ]
    assert moments[0] == moments[1]


async def test_a_damaged_file_hides_no_other(tmp_path: Path) -> None:
    """It is left out; coverage reports it."""
    lake = Lake.open(str(tmp_path))
    await put(lake, Period(TODAY - 2 * DAY, TODAY - DAY), {"A": until(TODAY)}, TODAY - DAY)
    await put(lake, Period(TODAY - DAY, TODAY), {"B": until(TODAY)}, TODAY)
    newest = max((tmp_path / "grid").glob("*.parquet"))
    newest.write_bytes(newest.read_bytes()[:-100])
    memory = await update_memory(lake, ENTRY, SeriesMemory(), TODAY)
    assert list(memory.last_rows) == [("A", "load")]


async def test_files_of_the_future_do_not_stop_the_looks(tmp_path: Path) -> None:
    """A clock that was ahead made one file, and a memory: files that come after it was set back are read."""
    lake = Lake.open(str(tmp_path))
    await put(lake, Period(TODAY - DAY, TODAY), {"A": until(TODAY), "B": until(TODAY)}, TODAY + 20 * DAY)
    await look(lake, TODAY + 20 * DAY)
    await put(lake, Period(TODAY, TODAY + DAY), {"A": until(TODAY + DAY)}, TODAY + DAY)
    after = await look(lake, TODAY + DAY)
    assert after.memory.stamp == TODAY + DAY
    assert after.memory.last_rows["A", "load"].value == TODAY + 23 * HOUR
    assert [series.location for series in after.silent] == ["B", "Z"]


async def test_a_series_that_was_renamed_is_not_silent(tmp_path: Path) -> None:
    """A series with an alias is not silent, and names that were stored before the alias are joined."""
    lake = Lake.open(str(tmp_path))
    await put(lake, Period(TODAY - 30 * DAY, TODAY - DAY), {"A": until(TODAY), "old": until(TODAY)}, TODAY - DAY)
    await look(lake, TODAY - DAY)
    await put(lake, Period(TODAY - DAY, TODAY), {"A": until(TODAY), "new": until(TODAY)}, TODAY)
    assert [series.location for series in (await look(lake, TODAY)).silent] == ["old", "Z"]
    alias = {"from": "synthetic/old/load", "to": "synthetic/new/load"}
    renamed = parse({"apis": [API | {"aliases": [alias]}]}).apis[0]
    after = await look_at_series(lake, renamed, await load_memory(lake, renamed), TODAY)
    assert [series.location for series in after.silent] == ["Z"]
    assert after.memory.last_rows.keys() == {("A", "load"), ("new", "load")}
    assert after.is_news


def entry_with(regions: str) -> Entry:
    """Returns an entry that requests these regions."""
    return parse({"apis": [WIDENED | {"params": {"authority": list(regions)}}]}).apis[0]


async def put_regions(lake: Lake, entry: Entry, day: datetime, regions: str) -> None:
    """Stores a day of these regions as an answer to `entry`."""
    period = Period(day, day + DAY)
    rows = [Row(day + n * HOUR, day + (n + 1) * HOUR, name, "load", "MW", 5.0) for name in regions for n in range(24)]
    scope = find_entry_scope(entry).as_text()
    with Draft("parquet", Provenance("grid", period, entry.fingerprint, scope=scope)) as draft:
        draft.append(from_rows("synthetic", rows, period.end))
        await lake.put_draft(draft, "grid", "grid", period.end)


@pytest.mark.parametrize(
    ("steps", "silent_by_step"),
    [
        (("ABC AB", "ABCF ABF", "ABCF ABF"), ("C", "C", "C")),
        (("ABC AB", "ABF ABF"), ("C", "")),
        (("ABC AB", "ABCF ABF", "ABF ABF"), ("C", "C", "")),
        (("ABC AB", "ABCF ABF", "ABC ABC"), ("C", "C", "")),
        (("ABCF AB", "ABC AB", "ABC ABC"), ("CF", "C", "")),
    ],
)
@pytest.mark.parametrize("memory", ["", "lost", "older", "lost, and files compacted"])
async def test_a_silent_series_stays_silent_while_its_entry_changes(
    tmp_path: Path, steps: Sequence[str], silent_by_step: Sequence[str], memory: str
) -> None:
    """A series is silent until it has values or is no longer requested, whatever else the entry gains or loses, and
    whatever became of the state and the files of the checks before."""
    lake, day = Lake.open(str(tmp_path)), TODAY - 20 * DAY
    while day < TODAY:
        await put_regions(lake, entry_with(steps[0].split()[0]), day, steps[0].split()[0])
        day += DAY
    silent_so_far = []
    for step in steps:
        requested, answered = step.split()
        entry = entry_with(requested)
        await put_regions(lake, entry, day, answered)
        day += DAY
        result = await look_at_series(lake, entry, await load_memory(lake, entry), day)
        await save_memory(lake, entry, result.memory)
        silent_so_far.append("".join(series.location for series in result.silent))
        if "compacted" in memory:
            await curated.compact(lake, entry)
            await curated.prune(lake, entry, day + 365 * DAY)
        if "lost" in memory:
            await lake.store.remove([MEMORY])
        if "older" in memory:
            document = msgspec.json.decode(await lake.store.read(MEMORY))
            document = {"stamp": document["stamp"], "series": [item[:6] for item in document["series"]], "reported": []}
            await lake.store.put(MEMORY, msgspec.json.encode(document), replace=True)
    assert tuple(silent_so_far) == tuple(silent_by_step)


@pytest.mark.parametrize(
    ("zeros_before", "expected"), [(0, ["E (nulls)", "E (zeros)", ""]), (4, ["E (nulls)", "", ""])]
)
async def test_a_series_of_nulls_then_zeros_is_back_when_its_values_are(
    tmp_path: Path, zeros_before: int, expected: list[str]
) -> None:
    """Zeros after nulls are the same silence, unless the series was zero now and then before."""
    lake = Lake.open(str(tmp_path))

    def value_of(hour: datetime) -> float | None:
        if hour < TODAY:
            return 0.0 if hour.hour < zeros_before else 5.0
        return None if hour < TODAY + DAY else 0.0 if hour < TODAY + 2 * DAY else 5.0

    await put(lake, Period(TODAY - 20 * DAY, TODAY), {"A": until(TODAY), "E": value_of}, TODAY)
    looks = []
    for day in range(3):
        start = TODAY + day * DAY
        await put(lake, Period(start, start + DAY), {"A": until(start + DAY), "E": value_of}, start + DAY)
        result = await look(lake, start + DAY)
        looks.append("".join(f"E ({series.stored})" for series in result.silent if series.location == "E"))
    assert looks == expected
    assert result.back == ([("E", "load")] if zeros_before == 0 else [])
