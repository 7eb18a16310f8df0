"""Prepares a training set of the regions in a Parquet file of EIA's hourly rows.

The columns of the file are `timestamp` (the end of the hour, UTC), `region`, `data_type` (demand, generation),
`fuel_type` and `value` (MWh).
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

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

REGIONS_BY_ZONE = {
    "America/New_York": "ISNE NYIS PJM MISO DUK CPLE CPLW SCEG SC SEPA YAD FPL FPC TEC TAL JEA GVL FMPP HST NSB SEC "
    "LGEE OVEC",
    "America/Chicago": "ERCO SWPP SPA SOCO TVA AECI AEC EEI GLHB",
    "America/Denver": "PSCO WACM WAUW NWMT GWA WWA EPE PNM PACE IPCO",
    "America/Phoenix": "AZPS SRP TEPC WALC DEAA HGMA GRIF",
    "America/Los_Angeles": "CISO BANC LDWP TIDC IID NEVP BPAT AVA AVRN CHPD DOPD GCPD GRID PACW PGE PSEI SCL TPWR",
}
"""The balancing authorities by the time zone in which most of their load is."""

ZONES = {region: zone for zone, regions in REGIONS_BY_ZONE.items() for region in regions.split()}

API = {
    "name": "eia_rows",
    "url": "https://api.eia.gov/v2/electricity/rto/region-data/data/",
    "output_folder": "eia_rows",
    "available": {"lag": "PT5H"},
}


def build_spec(regions: list[str]) -> dict[str, Any]:
    """The spec of a set that predicts the demand of each of `regions`; stops at a region whose time zone is not
    listed."""
    if unlisted := sorted(set(regions) - ZONES.keys()):
        raise SystemExit(f"the time zone of {', '.join(unlisted)} is not listed; add it to REGIONS_BY_ZONE")
    locations = [
        {"name": name, "timezone": ZONES[name], "targets": [f"eia/{name}/demand"], "inputs": [f"eia/{name}/*"]}
        for name in regions
    ]
    return {"name": "regions", "locations": locations, "seq_len": 168, "pictures": False}


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
    regions = pc.unique(rows["region"]).to_pylist()
    report = await preparation.prepare(build_spec(regions), config, lake)
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
