"""Writes 1,200 hourly snapshots of 60 series, each overlapping the previous one by half: ten years, 10.4 M rows.

If two snapshots contain a value, the newer one counts; 1 % of the values is missing. Several programs read these
snapshots.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gridtide.config.loading import parse
from gridtide.lake import Draft, Lake, Provenance
from gridtide.observations import arrays
from gridtide.observations.table import from_columns
from gridtide.periods import Period

Matrix = npt.NDArray[np.float64]

HOURS = 87_600
STEP = 73
"""Hours from snapshot to snapshot; each holds twice as many."""

START = datetime(2015, 7, 1, tzinfo=UTC)
PERIOD = Period(START, START + timedelta(hours=HOURS))
LOCATIONS = [f"R{number:02}" for number in range(15)]
VARIABLES = ["demand", "demand_forecast_day_ahead", "net_generation", "total_interchange"]
SERIES = [(location, variable) for location in LOCATIONS for variable in VARIABLES]

URL = "https://api.eia.gov/v2/electricity/rto/region-data/data/"
ENTRY = parse({"apis": [{"name": "snapshots", "url": URL, "output_folder": "snapshots"}]}).apis[0]


async def fill(lake: Lake) -> Matrix:
    """Write the snapshots into `lake`; returns the newest values, (hours, series)."""
    noise = np.random.default_rng(0)
    level = np.cumsum(noise.standard_normal((HOURS, len(SERIES))), axis=0) + 1000 * np.arange(len(SERIES))
    level[noise.random(level.shape) < 0.01] = np.nan
    newest = np.full(level.shape, np.nan)
    for number in range(HOURS // STEP):
        end = (number + 1) * STEP
        hours = slice(max(0, end - 2 * STEP), end)
        values = level[hours] + 0.001 * number
        newest[hours] = np.where(np.isnan(values), newest[hours], values)
        retrieved_at = START + timedelta(hours=end + 5)
        with Draft("parquet", Provenance(ENTRY.name, None, ENTRY.fingerprint)) as draft:
            draft.append(_build_table(values, hours.start, retrieved_at))
            await lake.put_draft(draft, ENTRY.output_folder, ENTRY.file_prefix, retrieved_at)
    return newest


def measured(read: Callable[[Lake], Matrix]) -> None:
    """Read the lake of the command line with `read`, and print seconds, CPU seconds, and MB in addition to the result.

    The measurement starts after all imports. Ends with an error if the result is not the expected one.
    """
    folder = Path(sys.argv[1])
    lake = Lake.open(str(folder / "lake"))
    before, busy, started = _parse_memory("VmRSS"), time.process_time(), time.perf_counter()
    matrix = read(lake)
    seconds, cpu = time.perf_counter() - started, time.process_time() - busy
    beyond = _parse_memory("VmHWM") - before - matrix.nbytes / 2**20
    if not np.array_equal(matrix, np.load(folder / "expected.npy", mmap_mode="r"), equal_nan=True):
        raise SystemExit("not the newest values")
    print(json.dumps({"seconds": seconds, "cpu": cpu, "mb": beyond}))


def _parse_memory(line: str) -> float:
    """The memory of this process that Linux reports: `VmRSS` now, `VmHWM` at most; 0 on other systems."""
    status = Path("/proc/self/status")
    text = status.read_text() if status.exists() else ""
    return sum(int(text_line.split()[1]) for text_line in text.splitlines() if text_line.startswith(line)) / 2**10


def _build_table(values: Matrix, first: int, retrieved_at: datetime) -> pa.Table:
    hour, series = np.nonzero(~np.isnan(values))
    start = int(START.timestamp() * 1e6) + (first + hour) * 3_600_000_000
    return from_columns(
        "eia",
        retrieved_at,
        interval_start=start,
        interval_end=start + 3_600_000_000,
        location=arrays.dictionary_array(series // len(VARIABLES), LOCATIONS),
        variable=arrays.dictionary_array(series % len(VARIABLES), VARIABLES),
        unit="MWh",
        value=values[hour, series],
    )
