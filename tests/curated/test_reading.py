"""Reading the files of the lake as one table."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gridtide import curated
from gridtide.config.loading import parse
from gridtide.entries.entry import Entry
from gridtide.lake import Draft, Lake, Provenance
from gridtide.observations.table import SCHEMA, Row, empty, from_rows
from gridtide.periods import Period

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ENTRIES = parse(
    {
        "apis": [
            {"name": name, "url": "https://api.eia.gov/v2/x/", "output_folder": name, "format": name}
            for name in ("csv", "parquet")
        ]
    }
).apis


def row(hour: int, value: float | None, published: datetime | None = None) -> Row:
    """One hourly value."""
    return Row(START + hour * HOUR, START + (hour + 1) * HOUR, "ISNE", "demand", "MWh", value, published)


async def put(lake: Lake, entry: Entry, asked: int, rows: list[Row], period: Period | None = None) -> None:
    """Store `rows`, retrieved `asked` hours after the start."""
    stamp = START + asked * HOUR
    with Draft(entry.format, Provenance(entry.name, period, entry.fingerprint)) as draft:
        draft.append(from_rows("eia", rows, stamp))
        await lake.put_draft(draft, entry.output_folder, entry.file_prefix, stamp)


async def test_the_latest_retrieval_of_a_key_is_read(tmp_path: Path) -> None:
    """The latest retrieval of a key counts, from CSV and Parquet, also if it is null; a vintage is a key of its own."""
    lake = Lake.open(str(tmp_path))
    csv, parquet = ENTRIES
    early = START - HOUR
    await put(lake, parquet, 10, [row(0, 1.0), row(1, 2.0), row(2, 3.0)])
    await put(lake, csv, 11, [row(1, 20.0), row(2, None), row(3, 4.0, early)])
    await put(lake, csv, 12, [row(3, 5.0)])
    read = await curated.read(lake, ENTRIES, START, START + 24 * HOUR)
    assert read.schema.equals(SCHEMA)
    found = [(r["interval_start"], r["published_at"], r["value"]) for r in read.to_pylist()]
    assert found == [
        (START, None, 1.0),
        (START + HOUR, None, 20.0),
        (START + 2 * HOUR, None, None),
        (START + 3 * HOUR, None, 5.0),
        (START + 3 * HOUR, early, 4.0),
    ]


async def test_only_what_starts_in_the_period_is_read(tmp_path: Path) -> None:
    """The period is half-open: rows at its start are read, rows at its end are not."""
    lake = Lake.open(str(tmp_path))
    await put(lake, ENTRIES[1], 10, [row(hour, float(hour)) for hour in range(5)], Period(START, START + 5 * HOUR))
    read = await curated.read(lake, ENTRIES, START + HOUR, START + 3 * HOUR)
    assert read["value"].to_pylist() == [1.0, 2.0]


async def test_an_empty_lake_reads_as_no_observations(tmp_path: Path) -> None:
    """An empty lake gives no rows and no error."""
    assert (await curated.read(Lake.open(str(tmp_path)), ENTRIES, START, START + HOUR)).equals(empty())


async def test_as_of_reads_what_was_stored_then(tmp_path: Path) -> None:
    """With `as_of`, files that were stored later do not count."""
    lake = Lake.open(str(tmp_path))
    await put(lake, ENTRIES[1], 10, [row(0, 1.0)])
    (file,) = await lake.list_files(ENTRIES[1].output_folder, ENTRIES[1].file_prefix)
    then = (await lake.read_metadata(file.path)).stored_at
    await put(lake, ENTRIES[1], 11, [row(0, 2.0)])
    for as_of, value in ((then, 1.0), (None, 2.0)):
        read = await curated.read(lake, ENTRIES, START, START + HOUR, as_of)
        assert read["value"].to_pylist() == [value]


FEW_FILES = """
import asyncio, resource, sys
from datetime import datetime, timedelta, UTC
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
import pytest

from gridtide import curated
from gridtide.lake import Lake
from tests.support.lakes import START, entry, put, row

async def main():
    lake, of = Lake.open(sys.argv[1]), entry()
    for number in range(300):
        await put(lake, of, 1000 + number, [row(number, float(number))])
    table = await curated.read(lake, [of], START, START + timedelta(hours=300))
    print(table.num_rows)

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_process_that_may_open_256_files_reads_a_lake_of_300(tmp_path: Path) -> None:
    """Files are opened a few at a time, whatever their number."""
    run = subprocess.run([sys.executable, "-c", FEW_FILES, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (run.stdout.strip(), run.stderr) == ("300", "")
