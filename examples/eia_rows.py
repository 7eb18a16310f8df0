"""Prepares a training set of three regions from a Parquet file of EIA's hourly rows.

The columns of the file are `timestamp` (the end of the hour, UTC), `region`, `data_type` (demand, generation),
`fuel_type` and `value` (MWh).
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gridtide.config.loading import parse
from gridtide.entries.entry import Config
from gridtide.lake import Draft, Lake, Provenance
from gridtide.observations.table import from_columns
from gridtide.periods import Period
from gridtide.sources.eia import FUELS_BY_CODE
from gridtide.training import preparation

ZONES = {"ISNE": "America/New_York", "PACW": "America/Los_Angeles", "ERCO": "America/Chicago"}

API = {
    "name": "eia_rows",
    "url": "https://api.eia.gov/v2/electricity/rto/region-data/data/",
    "output_folder": "eia_rows",
    "available": {"lag": "PT5H"},
}

SPEC = {
    "name": "regions",
    "locations": [
        {"name": name, "timezone": zone, "targets": [f"eia/{name}/demand"], "inputs": [f"eia/{name}/*"]}
        for name, zone in ZONES.items()
    ],
    "seq_len": 168,
    "pictures": False,
}


def prepare_rows(path: Path, lake: str) -> str:
    """Write the rows of the file at `path` into `lake`, prepare the set there, and return its folder."""
    report_path = asyncio.run(_store_and_prepare(pq.read_table(path), parse({"lake": lake, "apis": [API]})))
    return str((Path(lake) / report_path).parent)


async def _store_and_prepare(rows: pa.Table, config: Config) -> str:
    lake, entry = Lake.open(config.lake), config.entry("eia_rows")
    table = _observations(rows)
    bounds = pc.min_max(table["interval_start"]).as_py()
    period = Period(bounds["min"], bounds["max"] + timedelta(hours=1))
    with Draft("parquet", Provenance(entry.name, period, entry.fingerprint)) as draft:
        draft.append(table)
        await lake.put_draft(draft, entry.output_folder, entry.file_prefix, datetime.now(UTC))
    report = await preparation.prepare(SPEC, config, lake)
    return str(report["path"])


def _observations(rows: pa.Table) -> pa.Table:
    ends = rows["timestamp"].to_numpy().astype("datetime64[us]").astype(np.int64)
    variables = [
        "demand" if kind == "demand" else f"generation_{FUELS_BY_CODE[fuel]}"
        for kind, fuel in zip(rows["data_type"].to_pylist(), rows["fuel_type"].to_pylist(), strict=True)
    ]
    return from_columns(
        "eia",
        datetime.now(UTC),
        interval_start=ends - 3_600_000_000,
        interval_end=ends,
        location=rows["region"].to_pylist(),
        variable=variables,
        unit="MWh",
        value=rows["value"].to_numpy(),
    )
