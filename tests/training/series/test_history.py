"""The history that is read before the first row of a set."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gridtide.lake import Lake
from gridtide.training import preparation, tensors
from tests.support.grids import START, configuration, every_kind, fill

DAYS = 90
RUN = range(24 * 10, 24 * 60)
"""The hours in which demand is constant."""


@pytest.mark.parametrize("cleaning", [{"stale": 600}, {"stale": 30, "repeat": 700, "fill_limit": 48}, {}])
def test_first_rows_are_judged_as_in_a_set_that_begins_earlier(tmp_path: Path, cleaning: dict[str, Any]) -> None:
    """However long the rules look back, the rows that two sets share have the same values, masks and qualities."""
    source, rule, rows = every_kind(DAYS)["demand"]
    rows = [row._replace(value=9000.0) if number in RUN else row for number, row in enumerate(rows)]
    kinds = {"demand": (source, rule, rows)}
    lake = Lake.open(str(tmp_path))
    asyncio.run(fill(lake, kinds))
    spec: dict[str, Any] = {
        "locations": [{"name": "ISNE", "targets": ["eia/ISNE/demand"], "inputs": ["eia/ISNE/*"]}],
        "seq_len": 24,
        "horizon": 24,
        "pictures": False,
        "scaling": "none",
        "features": {"calendar": False},
        "splits": {"validation": 0, "test": 0},
        "cleaning": cleaning | {"absurd": 0},
    }
    mapped = []
    for name, day in (("earlier", 2), ("later", 36)):
        start = (START + timedelta(days=day)).isoformat()
        report = asyncio.run(preparation.prepare(spec | {"name": name, "start": start}, configuration(kinds), lake))
        mapped.append(tensors.open_mapped(tmp_path / report["path"])[0])
    steps = len(mapped[1]["time"])
    for name in ("values", "mask", "quality", "target_mask"):
        np.testing.assert_array_equal(mapped[0][name][:, -steps:], mapped[1][name])
    assert (mapped[1]["quality"] == 3).any()
