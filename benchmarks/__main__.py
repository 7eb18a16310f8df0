"""`make bench`: runs every section, writes the results to `benchmarks/results.json` and prints them as ratios.

`python -m benchmarks [SECTION …]`
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

SECTIONS = (
    "ingest",
    "metrics",
    "prefect_overhead",
    "quota",
    "backfill",
    "history",
    "sequences",
    "shipped_config",
    "features",
    "large_csv",
    "databases",
    "operator_pages",
    "deployed",
    "cluster",
)
RESULTS = Path(__file__).parent / "results.json"


def main(sections: list[str]) -> None:
    """Measure `sections` (all if empty); the results of other sections are kept."""
    unknown = set(sections) - set(SECTIONS)
    if unknown:
        raise SystemExit(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    if len(sections) == 1:
        _measure_section(sections[0])
        return
    for section in sections or SECTIONS:
        # each in a process of its own: what one held at most, Linux counts for the processes that it starts later, too
        subprocess.run([sys.executable, "-m", "benchmarks", section], check=True)


def _measure_section(section: str) -> None:
    measured = [{"section": section, **row} for row in importlib.import_module(f"benchmarks.{section}").measure()]
    earlier = json.loads(RESULTS.read_text()) if RESULTS.is_file() else []
    results = [row for row in earlier if row["section"] != section] + measured
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    Console(width=160).print(_format_table(measured))


def _format_table(rows: list[dict[str, Any]]) -> Table:
    table = Table("what", "unit", "ours", "peer", "ours/peer", "limit", "ours/limit")
    for row in rows:
        peer, limit = row["peer"], row["limit"]
        table.add_row(
            row["name"],
            row["unit"],
            f"{row['ours']:,.4g}",
            f"{peer:,.4g} {row['peer_name']}" if peer else "–",
            f"{row['ours'] / peer:.2f}" if peer else "–",
            f"{limit:,.4g} {row['limit_name']}" if limit else "–",
            f"{row['ours'] / limit:.2f}" if limit else "–",
        )
    return table


if __name__ == "__main__":
    main(sys.argv[1:])
