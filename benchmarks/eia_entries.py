"""The entries whose history benchmarks collect: demand and generation of eight balancing authorities."""

from __future__ import annotations

from typing import Any

AUTHORITIES = ["CISO", "ISNE", "NYIS", "PJM", "MISO", "ERCO", "SWPP", "BPAT"]
FACETS = {
    "region-data": {"facets[type][]": ["D", "NG"]},
    "fuel-type-data": {"facets[fueltype][]": ["COL", "NG", "NUC", "SUN", "WAT", "WND"]},
}


def entries(base: str) -> list[dict[str, Any]]:
    """An entry for each route of the upstream at `base`, without quota and without stored bodies."""
    return [
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
