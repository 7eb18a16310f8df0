"""The catalogue says of each series what the files of the lake hold, and nothing more."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from deployments.cli.catalog import tabulate_series
from gridtide import curated
from gridtide.catalog.corrections import describe_correction
from gridtide.catalog.entry_files import read_entry_files, rename_labels
from gridtide.catalog.making import describe_lake, read_entries
from gridtide.catalog.records import Catalogue, SeriesRecord, format_moment
from gridtide.catalog.writing import encode_json
from gridtide.config.loading import load
from gridtide.coverage.freshness.memory import SeriesMemory, save_memory
from gridtide.entries.aliases import Alias
from gridtide.entries.entry import Config, Entry, Schedule
from gridtide.entries.shifts import Shift
from gridtide.lake import Lake
from gridtide.periods import Period
from tests.support.lakes import HOUR, START, entry, put, row

DAY = timedelta(days=1)
NOW = START + 60 * HOUR


def hours(first: int, end: int) -> Period:
    """The hours from `first` to `end` after the start."""
    return Period(START + first * HOUR, START + end * HOUR)


async def put_hours(lake: Lake, of: Entry, first: int, end: int, *locations: str) -> None:
    """Store a file for the hours from `first` to `end`, retrieved three hours later, with its own hour as value."""
    rows = [row(hour, float(hour), location=location) for location in locations for hour in range(first, end)]
    await put(lake, of, end + 3, rows, hours(first, end))


def configured(*entries: Entry, cron: str = "12 * * * *") -> Config:
    """A configuration of `entries`, all with one schedule."""
    scheduled = tuple(msgspec.structs.replace(entry, schedule="often") for entry in entries)
    return Config(schedules={"often": Schedule(cron)}, apis=scheduled)


async def make(lake: Lake, config: Config) -> Catalogue:
    """The catalogue of `lake` at `NOW`."""
    return describe_lake(config, await read_entries(lake, config.apis, NOW), NOW)


def by_name(catalogue: Catalogue) -> dict[str, SeriesRecord]:
    """The series of `catalogue` by name."""
    return {str(series.name): series for series in catalogue.series}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake."""
    return Lake.open(str(tmp_path))


async def test_a_series_is_covered_by_the_files_that_list_it(lake: Lake) -> None:
    """Coverage is the share of the time from the first to the last file of a series that its files answer."""
    demand = entry()
    await put_hours(lake, demand, 0, 10, "ISNE", "CISO")
    await put_hours(lake, demand, 10, 20, "ISNE")
    await put_hours(lake, demand, 30, 40, "ISNE", "CISO")
    series = by_name(await make(lake, configured(demand)))
    assert list(series["eia/ISNE/demand"].covered_time) == [hours(0, 20), hours(30, 40)]
    assert series["eia/ISNE/demand"].coverage == 0.75
    assert list(series["eia/CISO/demand"].covered_time) == [hours(0, 10), hours(30, 40)]
    assert series["eia/CISO/demand"].coverage == 0.5
    assert (series["eia/ISNE/demand"].files, series["eia/CISO/demand"].files) == (3, 2)


async def test_a_series_says_what_it_is(lake: Lake) -> None:
    """A series has its unit, resolution, meaning, licence, and its last value by the time of the look."""
    demand = entry()
    await put_hours(lake, demand, 0, 50, "ISNE")
    catalogue = await make(lake, configured(demand))
    record = by_name(catalogue)["eia/ISNE/demand"].as_dict()
    assert {key: record[key] for key in ("source", "location", "variable", "unit", "meaning", "resolution")} == {
        "source": "eia",
        "location": "ISNE",
        "variable": "demand",
        "unit": "MWh",
        "meaning": "Demand",
        "resolution": 3600,
    }
    assert record["freshness"]["last_value"] == format_moment(START + 49 * HOUR)
    assert record["freshness"]["value"] == 49.0
    licence = catalogue.licences["eia"]
    assert licence is not None
    assert licence.url.startswith("https://www.eia.gov/")


async def test_nulls_and_vintages_of_the_last_weeks_are_counted(lake: Lake) -> None:
    """Each interval counts once; a null is counted and is no last value; a changed value is another vintage."""
    demand = entry()
    await put(lake, demand, 5, [row(0, 1.0), row(1, 2.0), row(2, 3.0), row(3, None)], hours(0, 4))
    await put(lake, demand, 6, [row(1, 2.0), row(2, 4.0), row(3, None)], hours(1, 4))
    (series,) = (await make(lake, configured(demand))).series
    assert series.recent is not None
    assert (series.recent.rows, series.recent.nulls, series.recent.vintages) == (4, 1, (1.25, 2))
    assert (series.last_value, series.recent.value) == (START + 2 * HOUR, 4.0)


@pytest.mark.parametrize(
    ("end", "cron", "state"),
    [
        (56, "12 * * * *", "fresh"),  # due is hour 58: two hours behind, and a run stored a file an hour ago
        (51, "12 * * * *", "late"),
        (51, "12 */12 * * *", "fresh"),
    ],
)
async def test_a_series_is_late_when_its_schedule_does_not_explain_its_age(
    lake: Lake, end: int, cron: str, state: str
) -> None:
    """A series is late if it is behind what is due by more than three intervals and the time between two runs."""
    demand = entry()
    await put_hours(lake, demand, 0, end, "ISNE")
    (series,) = (await make(lake, configured(demand, cron=cron))).series
    assert series.freshness == state
    assert series.late_by == (58 - end) * HOUR


async def test_a_silent_series_is_the_monitors_word(lake: Lake) -> None:
    """What the monitor reported as silent is silent; without a schedule nothing is late."""
    demand = entry()
    await put_hours(lake, demand, 0, 20, "ISNE", "CISO")
    await save_memory(lake, demand, SeriesMemory(reported={("CISO", "demand"): START}))
    config = configured(demand)
    unscheduled = msgspec.structs.replace(config, apis=(demand,))
    assert [series.freshness for series in (await make(lake, unscheduled)).series] == ["silent", "unscheduled"]


async def test_compacted_and_pruned_files_are_described_as_before(lake: Lake) -> None:
    """A compaction, and the removal of compacted files, change nothing in what is said of a series."""
    demand = entry()
    await put_hours(lake, demand, 0, 10, "ISNE", "CISO")
    await put_hours(lake, demand, 10, 40, "ISNE")
    config = configured(demand)
    before = [series.as_dict() for series in (await make(lake, config)).series]
    await curated.compact(lake, demand)
    assert [series.as_dict() for series in (await make(lake, config)).series] == before
    await curated.prune(lake, demand, datetime.now(UTC) + 90 * DAY)
    catalogue = await make(lake, config)
    assert catalogue.entries[0].removed_files == 2
    assert [series.as_dict() for series in catalogue.series] == before


async def test_a_damaged_file_is_a_problem_and_no_failure(lake: Lake, tmp_path: Path) -> None:
    """A file that cannot be read is named; the other files are described."""
    demand = entry()
    await put_hours(lake, demand, 0, 10, "ISNE")
    await put_hours(lake, demand, 10, 20, "ISNE")
    damaged = sorted((tmp_path / "demand").glob("*.parquet"))[-1]
    damaged.write_bytes(damaged.read_bytes()[:100])
    catalogue = await make(lake, configured(demand))
    assert list(catalogue.series[0].covered_time) == [hours(0, 10)]
    assert any(damaged.name in problem for problem in catalogue.entries[0].problems)


async def test_an_entry_without_files_has_no_series(lake: Lake) -> None:
    """An entry without files is listed with nothing covered."""
    catalogue = await make(lake, configured(entry()))
    assert (catalogue.entries[0].files, catalogue.entries[0].coverage, catalogue.series) == (0, None, [])


async def test_the_same_lake_gives_the_same_bytes(lake: Lake) -> None:
    """The catalogue of the same lake at the same time has the same bytes."""
    for name in ("b", "a"):
        await put_hours(lake, entry(name), 0, 10, "ISNE", "CISO", "PJM")
    config = configured(entry("b"), entry("a"))
    assert encode_json((await make(lake, config)).as_dict()) == encode_json((await make(lake, config)).as_dict())


async def test_files_that_list_no_series_are_read(lake: Lake) -> None:
    """The series of a file of version 0.1.0, whose footer lists none, are those of its rows."""
    fixture = Path(__file__).parents[1] / "fixtures" / "lake_0_1_0"
    old = Lake.open(str(fixture / "lake"), make=False)
    read = [await read_entry_files(old, entry) for entry in load(fixture / "api_config.json").apis if entry.tabular]
    unlisted = [file for files in read for file in files.files if not file.metadata.series and file.metadata.rows]
    assert any(not file.file.removed for file in unlisted)
    assert all(file.series for file in unlisted if not file.file.removed)


async def test_a_series_says_what_is_corrected_of_it(lake: Lake) -> None:
    """An alias and a shift are with the series that they concern, whose stored name the shift names, and with no
    other."""
    of = msgspec.structs.replace(
        entry("demand"),
        aliases=(Alias(old_name="eia/ISNE/demand", new_name="eia/ISNE/load"),),
        shift=Shift(by=timedelta(hours=1), since="2024-01-01", until="2024-02-01", series="eia/ISNE/demand"),
    )
    await put_hours(lake, of, 0, 24, "ISNE", "CISO")
    series = by_name(await make(lake, configured(of)))
    assert [dict(correction) for correction in series["eia/ISNE/load"].corrections] == [
        {"kind": "alias", "from": "eia/ISNE/demand", "to": "eia/ISNE/load", "since": None, "before": None},
        {"kind": "shift", "by": "PT1H", "from": "2024-01-01", "until": "2024-02-01"},
    ]
    assert [describe_correction(correction) for correction in series["eia/ISNE/load"].corrections] == [
        "stored as eia/ISNE/demand",
        "read PT1H later from 2024-01-01 until 2024-02-01",
    ]
    assert series["eia/CISO/demand"].corrections == []
    assert series["eia/ISNE/load"].as_dict()["corrections"][1]["by"] == "PT1H"
    table = Console(width=200, record=True, file=io.StringIO())
    table.print(tabulate_series(await make(lake, configured(of))))
    assert "renamed, shifted" in table.export_text()


def test_an_alias_renames_the_series_of_a_file() -> None:
    """A series is listed under the name it is read as: both names where the alias counts for a part of the file."""
    alias = Alias(old_name="eia/A/load", new_name="eia/A/demand", before="2024-02-01T00:00Z")
    labels = frozenset({("A", "load"), ("B", "load")})
    january, february = hours(-48, -24), hours(24, 48)
    assert rename_labels(labels, "eia", [alias], january) == {("A", "demand"), ("B", "load")}
    assert rename_labels(labels, "eia", [alias], february) == labels
    assert rename_labels(labels, "eia", [alias], hours(-48, 48)) == {("A", "demand"), *labels}
    assert rename_labels(labels, "caiso", [alias], january) == labels
