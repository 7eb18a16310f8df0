"""A half year of EIA-930 as one CSV of 300,000 rows and 100 columns, beside pandas' own reading of it."""

from __future__ import annotations

import json
import random
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from benchmarks.ingest import Row
from benchmarks.processes import run

ROWS, VALUES, AUTHORITIES = 300_000, 95, 68
HOURS = ROWS // AUTHORITIES + 1
FIRST_HOUR = datetime(2025, 7, 1)
MEMORY_LIMIT_MB = 500.0
LABELS = [
    "Balancing Authority",
    "Data Date",
    "Hour Number",
    "Local Time at End of Hour",
    "UTC Time at End of Hour",
]
COLUMNS = [f"Net Generation {number} (MW)" for number in range(VALUES)]


def measure() -> list[Row]:
    """CPU seconds and MB, of whole numbers and of numbers with marks between thousands in quotes."""
    rows: list[Row] = []
    for style in ("plain", "thousands"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{style}.csv"
            path.write_text(write_table(thousands=style == "thousands"))
            ours = json.loads(run("large_csv_gridtide", str(path), style).output)
            peer = json.loads(run("large_csv_pandas", str(path), style).output)
            collected = json.loads(run("large_csv_collect", str(path), style).output)
        name = f"{ROWS:,} rows of {len(LABELS) + VALUES} columns, {style}"
        peers = {"peer_name": "pandas.read_csv"}
        rows.append(
            {"name": f"{name}: reading", "unit": "s of CPU", "ours": ours["cpu"], "peer": peer["cpu"], **peers}
            | {"limit": 2 * peer["cpu"], "limit_name": "twice pandas"}
        )
        rows.append(
            {"name": f"{name}: memory", "unit": "MB", "ours": ours["mb"], "peer": peer["mb"], **peers}
            | {"limit": MEMORY_LIMIT_MB, "limit_name": "goal"}
        )
        rows.append(
            {"name": f"{name}: memory of a collection into a lake", "unit": "MB", "ours": collected["mb"]}
            | {"peer": peer["mb"], "peer_name": "pandas.read_csv, reading alone"}
            | {"limit": MEMORY_LIMIT_MB, "limit_name": "goal"}
        )
    return rows


def write_table(*, thousands: bool, rows: int = ROWS) -> str:
    """The table: a quarter of the cells are empty, the others whole numbers of up to six digits."""
    chance = random.Random(0)  # noqa: S311 - the same numbers in every run
    lines = [",".join(_write_cell(chance, thousands=thousands) for _ in range(VALUES)) for _ in range(2000)]
    body = [",".join([*LABELS, *COLUMNS])]
    for number in range(rows):
        authority, hour = divmod(number, HOURS)
        utc = FIRST_HOUR + timedelta(hours=hour + 5)
        local = utc - timedelta(hours=5)
        clocks = f"{local:%m/%d/%Y},{local.hour + 1},{local:%m/%d/%Y %H:%M},{utc:%m/%d/%Y %H:%M}"
        body.append(f"BA{authority:02},{clocks},{lines[chance.randrange(len(lines))]}")
    return "\n".join([*body, ""])


def _write_cell(chance: random.Random, *, thousands: bool) -> str:
    if chance.random() < 0.25:
        return ""
    number = int(10 ** chance.uniform(0, 5.2)) * chance.choice((1, 1, 1, -1))
    grouped = f"{number:,}"
    return f'"{grouped}"' if thousands and "," in grouped else str(number)
