"""Gridtide: collects one entry into a local lake, without Prefect. Usage: base rows folder raw"""

import asyncio
import sys
from datetime import UTC, datetime

from gridtide.collect.collection import collect
from gridtide.config.loading import parse
from gridtide.http.client import Http
from gridtide.lake import Lake

base, rows, folder, raw = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4] == "raw"
ENTRY = parse(
    {
        "apis": [
            {
                "name": "eia_region",
                "source": "eia",
                "url": f"{base}/v2/electricity/rto/region-data/data/",
                "output_folder": "eia_region",
                "rate_limit": None,
                "concurrency": 8,
                "raw": raw,
            }
        ]
    }
).apis[0]


async def main() -> None:
    """Collect all rows of the upstream into one file."""
    lake = Lake.open(folder)
    async with Http({"EIA_API_KEY": "k" + "0123456789" * 4}) as http:
        collected = await collect(ENTRY, lake=lake, http=http, stamp=datetime.now(UTC))
    if collected.rows != rows:
        raise SystemExit(f"{collected.rows} rows, {rows} expected")


asyncio.run(main())
