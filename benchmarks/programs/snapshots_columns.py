"""The limit of reading history: reads time, location, variable and value of all files, and nothing else. Usage:
folder"""

import json
import sys
import time
from pathlib import Path

import pyarrow.dataset as ds

from benchmarks.snapshots import ENTRY

files = sorted(str(file) for file in Path(sys.argv[1], "lake", ENTRY.output_folder).glob("*.parquet"))
labels = ds.ParquetFileFormat(dictionary_columns=["location", "variable"])
busy, started = time.process_time(), time.perf_counter()
for _ in ds.dataset(files, format=labels).to_batches(columns=["interval_start", "location", "variable", "value"]):
    pass
print(json.dumps({"seconds": time.perf_counter() - started, "cpu": time.process_time() - busy}))
