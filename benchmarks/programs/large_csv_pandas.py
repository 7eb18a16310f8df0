"""The peer: the same file as a frame. argv: file, style"""

import json
import sys
import time
from pathlib import Path

import pandas as pd

started = time.process_time()
frame = pd.read_csv(sys.argv[1], thousands="," if sys.argv[2] == "thousands" else None)
cpu = time.process_time() - started
status = Path("/proc/self/status").read_text()
peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
print(json.dumps({"cpu": cpu, "mb": peak / 2**10}))
