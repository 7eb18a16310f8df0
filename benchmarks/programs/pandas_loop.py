"""A peer of ingest: the usual code with requests and pandas, page by page. Usage: base rows folder"""

import sys
from pathlib import Path

import pandas as pd
import requests

base, rows, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
frames = []
for offset in range(0, rows, 5000):
    params = {"api_key": "x", "frequency": "hourly", "data[0]": "value", "offset": offset, "length": 5000}
    response = requests.get(f"{base}/v2/electricity/rto/region-data/data/", params=params, timeout=60)  # type: ignore[arg-type]  # as written by most
    response.raise_for_status()
    frames.append(pd.DataFrame(response.json()["response"]["data"]))
table = pd.concat(frames, ignore_index=True)
table["period"] = pd.to_datetime(table["period"], utc=True)
table["value"] = pd.to_numeric(table["value"])
folder.mkdir(parents=True, exist_ok=True)
table.to_parquet(folder / "table.parquet")
