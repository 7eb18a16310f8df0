"""Writes a training set of one location with random values, 90 % of them observed. Usage: file steps seq_len"""

import json
import sys
from pathlib import Path

import numpy as np

from gridtide.training import tensors

FEATURES, HORIZON = 64, 24

path, steps, seq_len = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
random = np.random.default_rng(0)
starts = np.arange(0, steps - seq_len - HORIZON + 1, 24)
arrays = {
    "values": random.standard_normal((1, steps, FEATURES), np.float32),
    "mask": random.random((1, steps, FEATURES), np.float32) < 0.9,
    "targets": random.standard_normal((1, steps, 1), np.float32),
    "target_mask": np.ones((1, steps, 1), bool),
    "time": 3600 * np.arange(steps),
    "windows.train": np.stack([np.zeros_like(starts), starts], axis=1),
}
spec = {"name": "random", "seq_len": seq_len, "horizon": HORIZON, "ring": {"layout": "contiguous", "ranks": 1}}
path.write_bytes(b"".join(tensors.encode_tensors(arrays, {"manifest": json.dumps({"spec": spec})})))
