"""Catalogues without a lake, for tests of their page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from gridtide.catalog.entry_files import CatalogFile, EntryFiles
from gridtide.catalog.lineage.kept_bodies import Body
from gridtide.catalog.lineage.training_sets import SetRecord
from gridtide.catalog.making import EntryParts, describe_lake
from gridtide.catalog.page.page_data import LakePicture
from gridtide.catalog.recent_rows import RecentSeries, VintageCounts
from gridtide.catalog.records import QualityBlock
from gridtide.config.loading import parse
from gridtide.coverage.freshness.memory import SeriesMemory
from gridtide.curated import Input
from gridtide.entries.entry import Entry
from gridtide.lake import File, Metadata, file_name
from gridtide.periods import Period

NOW = datetime(2026, 3, 1, 6, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SILENT, FAILING = ("B0000", "demand"), ("B0001", "demand")


def picture(series: int = 2000, entries: int = 4, files: int = 50, description: str = "Demand") -> LakePicture:
    """A lake of `entries` entries with `series` series in all and `files` daily files each, up to `NOW`: a series is
    silent, another fails its checks, a training set was made from the files of the first entry."""
    names = [f"demand_{number}" for number in range(entries)]
    apis = [
        {"name": name, "url": "https://api.eia.gov/v2/electricity/rto/region-data/data/", "output_folder": name}
        | {"schedule": "hourly", "description": description}
        for name in names
    ]
    config = parse({"apis": apis, "schedules": {"hourly": {"cron": "12 * * * *"}}})
    parts = [_parts(entry, number, series // entries, files) for number, entry in enumerate(config.apis)]
    days = {f"{NOW - number * DAY:%Y-%m-%d}": "fail" if number == 3 else "good" for number in range(60)}
    quality = {f"eia/{'/'.join(FAILING)}": QualityBlock("fail", {"good": 59, "fail": 1}, days)}
    catalogue = describe_lake(config, parts, NOW, quality)
    inputs = tuple(Input(names[0], file.path, file.metadata.content_hash) for file in parts[0].files.files)
    of_set = SetRecord(
        *("island", "features/island/manifest.json", "f" * 64),
        *(("2026-01-10T00:00:00+00:00", "2026-03-01T00:00:00+00:00"), ("B0000",), ("eia/B0000/demand",)),
        *({"gridtide": "0.1.0"}, inputs),
    )
    folder = f"raw/{names[0]}/{parts[0].files.files[-1].path.rpartition('/')[2].removesuffix('.parquet')}"
    bodies = {names[0]: {parts[0].files.files[-1].path: [Body(f"{folder}/00.zst", 100), Body(f"{folder}/11.zst", 50)]}}
    schedules = [
        {
            "name": "ingest/hourly",
            "cron": "12 * * * *",
            "timezone": "UTC",
            "active": True,
            "next": "2026-03-01T06:12:00Z",
        }
        | {"last": {"state": "Failed", "time": "2026-03-01T05:12:00Z", "message": "1 of 4 entries failed"}},
        {
            "name": "retention/weekly",
            "cron": "5 4 * * 1",
            "timezone": "UTC",
            "active": True,
            "next": None,
            "last": None,
        },
    ]
    return LakePicture(catalogue, parts, [of_set], bodies, schedules)


def _parts(entry: Entry, number: int, series: int, files: int) -> EntryParts:
    labels = [(f"B{number}{index // 4:03d}", _VARIABLES[index % 4]) for index in range(series)]
    start = NOW - 28 * DAY
    hours = np.arange(28 * 24)
    recent = {
        label: RecentSeries(
            *("MWh", start, HOUR, 100 + index + 10 * np.sin(hours / 24 * 2 * np.pi)),
            *(NOW - 3 * HOUR, 101.5, HOUR, len(hours), 0, VintageCounts(1.0, 1)),
        )
        for index, label in enumerate(labels)
    }
    listed = [_file(entry, index, frozenset(labels)) for index in range(files)]
    reported = {SILENT: NOW - 4 * DAY} if number == 0 else {}
    return EntryParts(EntryFiles(entry, listed), recent, SeriesMemory(reported=reported), [])


_VARIABLES = ["demand", "demand_forecast_day_ahead", "net_generation", "net_interchange"]


def _file(entry: Entry, index: int, labels: frozenset[tuple[str, str]]) -> CatalogFile:
    end = NOW - (49 - index) * DAY - 3 * HOUR
    period = Period(end - DAY, end)
    stamp = end + 3 * HOUR
    path = f"{entry.output_folder}/{file_name(entry.file_prefix, stamp, period, 'parquet')}"
    metadata = Metadata(entry.name, period, entry.fingerprint, 12_000, f"{index:064x}", stamp, "0.1.0")
    return CatalogFile(File(path, stamp, period, "parquet", 80_000), metadata, labels, (f"{end:%Y-%m}",))
