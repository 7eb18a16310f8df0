"""A peer of backfill: requests and pandas, slice by slice, one file per year. Usage: base years folder"""

import sys
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import requests

base, years, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
folder.mkdir(parents=True)
for year in range(years):
    for route, hours in (("region-data", 5000 // 16), ("fuel-type-data", 5000 // 48)):
        frames = []
        first = datetime(2014, 1, 1) + timedelta(hours=8760 * year)
        for at in range(0, 8760, hours):
            ends = {"start": at + 1, "end": min(at + hours, 8760)}
            params = {name: f"{first + timedelta(hours=hour):%Y-%m-%dT%H}" for name, hour in ends.items()}
            response = requests.get(f"{base}/v2/electricity/rto/{route}/data/", params=params, timeout=60)
            response.raise_for_status()
            frames.append(pd.DataFrame(response.json()["response"]["data"]))
        table = pd.concat(frames, ignore_index=True)
        table["period"] = pd.to_datetime(table["period"], utc=True)
        table["value"] = pd.to_numeric(table["value"])
        table.to_parquet(folder / f"{route}-{year}.parquet")
