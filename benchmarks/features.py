"""Measures the features of ten years of 60 series, from the files of the lake to the saved set, beside a pandas
loop."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.ingest import Row
from gridtide import curated
from gridtide.config.loading import parse
from gridtide.lake import Draft, Lake, Provenance
from gridtide.observations import arrays
from gridtide.observations.table import from_columns
from gridtide.periods import Period
from gridtide.training import preparation
from gridtide.training.features import rolling

HOURS = 87_600
PLACES = tuple(f"R{number:02d}" for number in range(15))
VARIABLES = ("demand", "demand_forecast_day_ahead", "net_generation", "net_interchange")
START = datetime(2014, 1, 1, tzinfo=UTC)
SNAPSHOT = 73
"""Hours from one file to the next, each of which holds twice as many."""

HOUR = timedelta(hours=1)
PERIOD = Period(START, START + HOURS * HOUR)
WINDOWS, LAGS, LIMIT = (24, 168), (24, 168), 6

CONFIG = parse(
    {
        "apis": [
            {
                "name": "regions",
                "url": "https://api.eia.gov/v2/electricity/rto/region-data/data/",
                "output_folder": "regions",
                "available": {"lag": "PT1H"},
            }
        ]
    }
)
SPEC: dict[str, Any] = {
    "name": "ten_years",
    "locations": [{"name": "all", "targets": [f"eia/{PLACES[0]}/demand"], "inputs": ["eia/*/*"]}],
    "start": PERIOD.start.isoformat(),
    "end": PERIOD.end.isoformat(),
    "leads": [1],
    "pictures": False,
    "cleaning": {"fill_limit": LIMIT},
    "features": {
        "calendar": True,
        "of": ["eia/*/demand"],
        "lags": LAGS,
        "rolling": WINDOWS,
        "statistics": ["mean"],
    },
}


def measure() -> list[Row]:
    """The seconds from files to the saved set, before and after a compaction, beside those of reading the files alone,
    and of the pandas loop."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_fill_lake(Lake.open(folder)))
        collected = min(_time_prepare(folder) for _ in range(3))
        reading_files = min(_time_reading(folder) for _ in range(3))
        asyncio.run(curated.compact(Lake.open(folder), CONFIG.entry("regions")))
        compacted = min(_time_prepare(folder) for _ in range(3))
        reading_months = min(_time_reading(folder) for _ in range(3))
        count = asyncio.run(preparation.prepare(SPEC, CONFIG, Lake.open(folder)))["shape"]["features"]
        peer = min(_time_pandas(Path(folder)) for _ in range(2))  # last, as it leaves the memory in pieces
    return [
        {
            "name": f"{files} → {count} features → saved, {HOURS:,} h × {len(PLACES) * len(VARIABLES)} series",
            "unit": "s",
            "ours": ours,
            "peer": peer,
            "peer_name": "pandas loop",
            "limit": limit,
            "limit_name": "reading the same files",
        }
        for files, ours, limit in (
            (f"{HOURS // SNAPSHOT:,} files", collected, reading_files),
            ("compacted months", compacted, reading_months),
        )
    ] + [_measure_rolling()]


def _measure_rolling() -> Row:
    """The seconds of all rolling statistics of 60 series over two windows, beside pandas, which computes them one by
    one."""
    values = np.random.default_rng(0).normal(size=(60, HOURS))
    values[values > 2] = np.nan
    frame = pd.DataFrame(values.T)

    def pandas() -> None:
        for hours in WINDOWS:
            rolled = frame.rolling(hours, min_periods=1)
            _ = rolled.mean(), rolled.std(ddof=0), rolled.min(), rolled.max()

    def seconds(call: Callable[[], object]) -> float:
        began = time.perf_counter()
        call()
        return time.perf_counter() - began

    return {
        "name": f"mean, std, min and max over {WINDOWS[0]} and {WINDOWS[1]} h, {HOURS:,} h × 60 series",
        "unit": "s",
        "ours": min(seconds(lambda: rolling.compute_rolling(values, WINDOWS)) for _ in range(3)),
        "peer": min(seconds(pandas) for _ in range(2)),
        "peer_name": "pandas",
        "limit": None,
        "limit_name": None,
    }


async def _fill_lake(lake: Lake) -> None:
    """Write overlapping snapshots, as scheduled runs with a `reread` do; 1 % of the values is missing, and 1 % is
    revised."""
    random = np.random.default_rng(0)
    entry = CONFIG.entry("regions")
    first = int(START.timestamp()) * 1_000_000
    labels = [(place, variable) for place in PLACES for variable in VARIABLES]
    truth = 10_000 + 2_000 * np.sin(np.arange(HOURS)[:, None] * 2 * np.pi / 24 + np.arange(len(labels)))
    truth = np.round(truth + random.normal(scale=100, size=truth.shape))
    truth[random.random(truth.shape) < 0.01] = np.nan
    for number in range(HOURS // SNAPSHOT):
        begin, end = max(number - 1, 0) * SNAPSHOT, (number + 1) * SNAPSHOT
        part = Period(START + begin * HOUR, START + end * HOUR)
        step = np.arange(begin, end)
        value = truth[begin:end] + 10 * (random.random((end - begin, len(labels))) < 0.01)
        at = np.repeat(first + step * 3_600_000_000, len(labels))
        code = np.tile(np.arange(len(labels)), end - begin)
        table = from_columns(
            "eia",
            part.end + HOUR,
            interval_start=at,
            interval_end=at + 3_600_000_000,
            location=arrays.dictionary_array(code, [place for place, _ in labels]),
            variable=arrays.dictionary_array(code, [variable for _, variable in labels]),
            unit="MWh",
            value=value.reshape(-1),
        )
        with Draft("parquet", Provenance(entry.name, part, entry.fingerprint)) as draft:
            draft.append(table)
            await lake.put_draft(draft, entry.output_folder, entry.file_prefix, part.end + HOUR)


def _time_prepare(folder: str) -> float:
    began = time.perf_counter()
    asyncio.run(preparation.prepare(SPEC, CONFIG, Lake.open(folder)))
    return time.perf_counter() - began


def _time_reading(folder: str) -> float:
    """The seconds until all tables that a preparation reads are in memory, one after another."""

    async def read() -> int:
        lake, entry, rows = Lake.open(folder), CONFIG.entry("regions"), 0
        pinned = await curated.list_inputs(lake, [entry], PERIOD)
        async for _, table in curated.read_tables(lake, [entry], pinned, PERIOD):
            rows += table.num_rows
        return rows

    began = time.perf_counter()
    if asyncio.run(read()) < HOURS * len(PLACES) * len(VARIABLES) * 0.9:
        raise SystemExit("not all rows were read")
    return time.perf_counter() - began


def _time_pandas(folder: Path) -> float:
    """The seconds of the usual pandas code: read each file, keep the newest values, pivot, then derive column by
    column."""
    began = time.perf_counter()
    files = sorted(folder.glob("regions/*.parquet"))
    table = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    table = table.sort_values("retrieved_at", kind="stable")
    table = table.drop_duplicates(["interval_start", "location", "variable"], keep="last")
    wide = table.pivot(index="interval_start", columns=["location", "variable"], values="value")
    index = pd.date_range(PERIOD.start, PERIOD.end, freq="h", inclusive="left")
    wide = wide.reindex(index).ffill(limit=LIMIT)
    columns = {}
    for place, variable in wide.columns:
        series = wide[place, variable]
        columns[f"{place} {variable}"] = series
        if variable == "demand":
            for hours in LAGS:
                columns[f"{place} {variable} lag {hours}"] = series.shift(hours)
            for hours in WINDOWS:
                columns[f"{place} {variable} mean {hours}"] = series.rolling(hours, min_periods=1).mean()
    frame = pd.DataFrame(columns)
    local = index
    for name, value, length in (
        ("hour", local.hour, 24),
        ("weekday", local.dayofweek, 7),
        ("day", local.dayofyear, 366),
    ):
        frame[f"{name} sin"] = np.sin(2 * np.pi * value / length)
        frame[f"{name} cos"] = np.cos(2 * np.pi * value / length)
    train = index < index[int(HOURS * 0.7)]
    scaled = (frame - frame[train].mean()) / frame[train].std()
    np.savez(folder / "loop.npz", values=scaled.to_numpy("float32"), mask=frame.notna().to_numpy())
    return time.perf_counter() - began
