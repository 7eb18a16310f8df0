"""Reads a table of a database: `collect` into a lake, or `driver` for ADBC alone; prints seconds, CPU and MB as JSON.

`database_rows.py MODE URL LAKE`
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from datetime import UTC, datetime

PERIOD = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


async def collect_table(url: str, folder: str) -> int:
    """Collects the table `readings` and returns the number of its rows."""
    from gridtide.collect import collect
    from gridtide.config.loading import parse
    from gridtide.database.upstreams import Upstreams
    from gridtide.lake import Lake
    from gridtide.periods import Period

    entry = {"name": "readings", "source": "sql", "auth": {"kind": "database_url", "env": "URL"}, "table": "readings"}
    entry |= {"time": "ts", "location": "meter", "value": {"mw": "load"}, "unit": "MW", "interval": "PT1H"}
    entry |= {"deadline": "PT2H", "timeout": 3600, "output_folder": "readings"}
    async with Upstreams({"URL": url}) as upstreams:
        collected = await collect(
            parse({"apis": [entry]}).apis[0],
            lake=Lake.open(folder),
            http=upstreams,
            stamp=datetime.now(UTC).replace(microsecond=0),
            period=Period(*PERIOD),
        )
    return collected.rows


def read_with_driver(url: str) -> int:
    """Reads the same columns with ADBC, by its fastest way, and returns the number of rows."""
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("select ts, meter, mw from readings")
        return sum(batch.num_rows for batch in cursor.fetch_record_batch())


def main(mode: str, url: str, folder: str) -> None:
    """Measure one reading."""
    start_time = time.perf_counter()
    rows = asyncio.run(collect_table(url, folder)) if mode == "collect" else read_with_driver(url)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = time.perf_counter() - start_time
    print(json.dumps({"rows": rows, "seconds": seconds, "cpu": time.process_time(), "mb": peak}))


main(*sys.argv[1:])
