"""Ours: `backfill` of two entries through Prefect into a local lake. argv: base years folder"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta

from flows.backfill import backfill

base, years, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
AUTHORITIES = ["CISO", "ISNE", "NYIS", "PJM", "MISO", "ERCO", "SWPP", "BPAT"]
FACETS = {
    "region-data": {"facets[type][]": ["D", "NG"]},
    "fuel-type-data": {"facets[fueltype][]": ["COL", "NG", "NUC", "SUN", "WAT", "WND"]},
}
APIS = [
    {
        "name": route,
        "source": "eia",
        "url": f"{base}/v2/electricity/rto/{route}/data/",
        "params": {"facets[respondent][]": AUTHORITIES, **facets},
        "output_folder": route,
        "rate_limit": None,
        "concurrency": 5,
        "raw": False,
    }
    for route, facets in FACETS.items()
]
START = datetime(2014, 1, 1, tzinfo=UTC)


async def main() -> None:
    """All years."""
    report = await backfill(START, START + timedelta(hours=8760 * years), {"lake": folder, "apis": APIS})
    if report["summary"]["rows"] != years * 8760 * 64:
        raise SystemExit(f"{report['summary']['rows']} rows")


asyncio.run(main())
