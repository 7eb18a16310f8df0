"""Lakes filled file by file, for tests of reading."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gridtide.collect import collect
from gridtide.config.loading import parse
from gridtide.database.upstreams import Upstreams
from gridtide.entries.entry import Entry
from gridtide.lake import Draft, Lake, Provenance, Stored
from gridtide.observations.arrays import dictionary_array
from gridtide.observations.constant_columns import ConstantColumns
from gridtide.observations.table import RETRIEVALS, SCHEMA, TIME, Row, from_rows
from gridtide.observations.times import UNPUBLISHED, read_times
from gridtide.periods import Period, floor
from gridtide.training import preparation

START = datetime(2024, 1, 31, 20, tzinfo=UTC)
"""Four hours before a month ends, so that few hours make two months."""


HOUR = timedelta(hours=1)


def entry(name: str = "demand", form: str = "parquet") -> Entry:
    """An entry named so, with files of `form` in a folder of this name, available after two hours."""
    api = {"name": name, "url": "https://api.eia.gov/v2/x/", "output_folder": name, "format": form}
    return parse({"apis": [api | {"available": {"lag": "PT2H"}}]}).apis[0]


def row(hour: int, value: float | None, published: datetime | None = None, location: str = "ISNE") -> Row:
    """One hourly value."""
    return Row(START + hour * HOUR, START + (hour + 1) * HOUR, location, "demand", "MWh", value, published)


async def put(lake: Lake, of: Entry, asked: float, rows: Sequence[Row], period: Period | None = None) -> Stored:
    """Store `rows`, retrieved `asked` hours after the start."""
    stamp = START + asked * HOUR
    with Draft(of.format, Provenance(of.name, period, of.fingerprint)) as draft:  # type: ignore[arg-type]
        draft.append(from_rows("eia", rows, stamp))
        return await lake.put_draft(draft, of.output_folder, of.file_prefix, stamp)


def complete_table(table: pa.Table) -> pa.Table:
    """`table` with all its constant columns."""
    constants = ConstantColumns.of_table(table).values
    columns = []
    for field in SCHEMA:
        if field.name in table.column_names:
            columns.append(table[field.name].combine_chunks())
        elif field.type == TIME:
            moments = read_times(table, field.name)
            columns.append(pa.array([None if m == UNPUBLISHED else int(m) for m in moments], TIME))
        else:
            columns.append(dictionary_array(np.zeros(table.num_rows, np.int32), [constants[field.name]]))
    complete = pa.Table.from_arrays(columns, schema=SCHEMA)
    if RETRIEVALS.name in table.column_names:
        complete = complete.append_column(RETRIEVALS, table[RETRIEVALS.name])
    return complete


ONLINE_SETTINGS: dict[str, Any] = {
    "online": {"env": "FEATURES_URL", "sets": ["newest", "missing"], "lifetime": "PT1H"},
    "apis": [
        {
            "name": "grid",
            "source": "synthetic",
            "output_folder": "grid",
            "params": {"variables": ["demand", "temperature_2m"]},
        }
    ],
}
"""A configuration with the set `newest`, and one that is not in the lake."""


async def fill_newest(folder: Path, **keys: Any) -> Lake:
    """Thirty days until now in the lake at `folder`, and the set `newest` of them; `keys` are keys of its spec."""
    opened, config, now = Lake.open(str(folder)), parse(ONLINE_SETTINGS), floor(datetime.now(UTC), HOUR)
    place = {"name": "ISNE", "timezone": "America/New_York"}
    spec = {
        "name": "newest",
        "locations": [{**place, "targets": ["synthetic/ISNE/demand"], "inputs": ["synthetic/ISNE/*"]}],
        "start": (now - timedelta(days=28)).isoformat(),
        "end": (now - timedelta(days=2)).isoformat(),
        "seq_len": 48,
        "pictures": False,
    }
    async with Upstreams({}) as upstreams:
        period = Period(now - timedelta(days=30), now)
        await collect(config.apis[0], lake=opened, http=upstreams, stamp=now, period=period)
    await preparation.prepare(spec | keys, config, opened)
    return opened
