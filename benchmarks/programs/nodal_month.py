"""Writes or compacts a month of hourly day-ahead prices with four components. Usage: folder nodes fill|compact

`fill` writes a file per day; `compact` prints the number of compacted rows.
"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from gridtide import curated
from gridtide.config.loading import parse
from gridtide.lake import Draft, Lake, Provenance
from gridtide.observations import arrays
from gridtide.observations.table import from_columns
from gridtide.periods import Period

URL = "http://oasis.caiso.com/oasisapi/SingleZip"
API = {
    "name": "lmp",
    "url": URL,
    "params": {"queryname": "PRC_LMP", "market_run_id": "DAM", "grp_type": "ALL"},
    "output_folder": "lmp",
}
ENTRY = parse({"apis": [API]}).apis[0]
START = datetime(2024, 3, 1, tzinfo=UTC)
DAYS, HOURS = 31, 24
PARTS = ["lmp_day_ahead", *(f"lmp_day_ahead_{part}" for part in ("energy", "congestion", "loss", "ghg"))]
HOUR = 3_600_000_000


def day(number: int, nodes: int, random: np.random.Generator) -> pa.Table:
    """The rows of the day `number`, hour by hour."""
    shape = (HOURS, nodes, len(PARTS))
    hour, node, part = (axis.ravel() for axis in np.indices(shape))
    values = random.normal(40, 10, shape).round(5)
    values[:, :, -1] = 0
    start = int((START + timedelta(days=number)).timestamp() * 1e6) + hour * HOUR
    return from_columns(
        "caiso",
        START + timedelta(days=60, seconds=5 * number),
        interval_start=start,
        interval_end=start + HOUR,
        location=arrays.dictionary_array(node, [f"NODE_{n:05}-APND" for n in range(nodes)]),
        variable=arrays.dictionary_array(part, PARTS),
        unit="USD/MWh",
        value=values.ravel(),
    )


async def fill(lake: Lake, nodes: int) -> None:
    """Write a file for each day."""
    random = np.random.default_rng(0)
    for number in range(DAYS):
        begin = START + timedelta(days=number)
        about = Provenance(ENTRY.name, Period(begin, begin + timedelta(days=1)), ENTRY.fingerprint)
        with Draft("parquet", about) as draft:
            draft.append(day(number, nodes, random))
            await lake.put_draft(draft, ENTRY.output_folder, ENTRY.file_prefix, START + timedelta(days=60))


async def compact(lake: Lake) -> int:
    """Compact the files, and return the number of rows."""
    return (await curated.compact(lake, ENTRY)).rows


if __name__ == "__main__":
    opened = Lake.open(sys.argv[1])
    if sys.argv[3] == "fill":
        asyncio.run(fill(opened, int(sys.argv[2])))
    else:
        print(asyncio.run(compact(opened)))
