"""Small training sets without a lake."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from gridtide.periods import Period
from gridtide.training import manifest, tensors
from gridtide.training.features.bases import build_bases
from gridtide.training.series.hourly_grid import HourlyGrid
from gridtide.training.spec import load_spec
from gridtide.training.training_set import TrainingSet, assemble
from gridtide.training.windows import windows as windows_module
from tests.support.grids import PATTERNS, START, every_kind, tables


def training_set(days: int, **keys: Any) -> TrainingSet:
    """A set that predicts the demand of two locations over `days` days; `keys` are keys of the spec."""
    kinds = every_kind(days)
    source, rule, rows = kinds["demand"]
    kinds["other"] = (source, rule, [row._replace(location="NYIS") for row in rows])
    places = [
        {"name": "ISNE", "targets": ["eia/ISNE/demand"], "inputs": PATTERNS},
        {"name": "NYIS", "targets": ["eia/NYIS/demand"], "inputs": ["eia/NYIS/*"]},
    ]
    wanted = load_spec({"name": "two", "locations": places} | keys)
    period = Period(START, START + timedelta(days=days))
    grid = HourlyGrid(Period(START, period.end + timedelta(days=2)), lambda name: True)
    for available, table in tables(kinds):
        grid.add(table, available)
    return assemble(wanted, period, build_bases(wanted, grid.finish(), period, grid.names_read))


def write_training_set(path: Path, days: int, **keys: Any) -> None:
    """Write the `training_set` of `days` and `keys` to `path`."""
    made = training_set(days, **keys)
    text = manifest.to_json(manifest.describe_set(made, []))
    path.write_bytes(b"".join(tensors.encode_tensors(manifest.to_tensors(made), {"manifest": text})))


def write_random_set(
    path: Path, random: np.random.Generator, *, locations: int, steps: int, seq_len: int, horizon: int
) -> dict[str, Any]:
    """Write a set with random values to `path`, with all windows in train; returns its tensors."""
    starts = windows_module.place_windows(steps, seq_len=seq_len, horizon=horizon, stride=1).start
    numbers = np.repeat(np.arange(locations), len(starts))
    given = {
        "values": random.random((locations, steps, 3), np.float32),
        "mask": random.random((locations, steps, 3)) < 0.7,
        "targets": random.random((locations, steps, 2), np.float32),
        "target_mask": random.random((locations, steps, 2)) < 0.7,
        "windows.train": np.stack([numbers, np.tile(starts, locations)], axis=1),
    }
    asked = {"name": "random", "seq_len": seq_len, "horizon": horizon, "ring": {"layout": "contiguous", "ranks": 1}}
    path.write_bytes(b"".join(tensors.encode_tensors(given, {"manifest": manifest.to_json({"spec": asked})})))
    return given
