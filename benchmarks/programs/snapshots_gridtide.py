"""Gridtide: reads the collected files, or the compacted months, as hourly rows. Usage: folder"""

import asyncio

from benchmarks.snapshots import ENTRY, PERIOD, SERIES, Matrix, measured
from gridtide import curated
from gridtide.lake import Lake
from gridtide.training.series.hourly_grid import HourlyGrid


async def gathered(lake: Lake) -> HourlyGrid:
    """Pin the files and gather their series, as the preparation of a training set does."""
    grid = HourlyGrid(PERIOD, lambda name: True)
    pinned = await curated.list_inputs(lake, [ENTRY], PERIOD)
    async for _, table in curated.read_tables(lake, [ENTRY], pinned, PERIOD):
        grid.add(table, ENTRY.available)
    return grid


def read(lake: Lake) -> Matrix:
    """The values by hour and series."""
    hourly = asyncio.run(gathered(lake)).finish()
    numbers = [hourly.names.index(f"eia/{location}/{variable}") for location, variable in SERIES]
    return hourly.values.T if numbers == sorted(numbers) else hourly.values[numbers].T


measured(read)
