"""A peer of reading history: concatenates all files, keeps the newest of each key, pivots. Usage: folder"""

from pathlib import Path

import pandas as pd

from benchmarks.snapshots import ENTRY, HOURS, SERIES, START, Matrix, measured
from gridtide.lake import Lake


def read(lake: Lake) -> Matrix:
    """The values by hour and series."""
    files = sorted(Path(lake.uri, ENTRY.output_folder).glob("*.parquet"))
    rows = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    rows = rows.sort_values("retrieved_at", kind="stable")
    rows = rows.drop_duplicates(["interval_start", "location", "variable"], keep="last")
    wide = rows.pivot(index="interval_start", columns=["location", "variable"], values="value")
    index = pd.date_range(START, periods=HOURS, freq="h")
    return wide.reindex(index=index, columns=pd.MultiIndex.from_tuples(SERIES)).to_numpy()


measured(read)
