"""Gridtide: runs `backfill` with two entries through Prefect into a local lake. Usage: base years folder"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta

from benchmarks.eia_entries import entries
from flows.backfill import backfill

base, years, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
START = datetime(2014, 1, 1, tzinfo=UTC)


async def main() -> None:
    """Backfill all years."""
    report = await backfill(START, START + timedelta(hours=8760 * years), {"lake": folder, "apis": entries(base)})
    if report["summary"]["rows"] != years * 8760 * 64:
        raise SystemExit(f"{report['summary']['rows']} rows")


asyncio.run(main())
