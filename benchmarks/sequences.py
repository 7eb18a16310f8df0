"""Measures batches of windows: speed beside memcpy, torch, pandas and mlx-data; memory; reading from disk; rings.

The rate of a loader counts all arrays of a batch (x, mask, y, y_mask), because training needs all of them. The limit
is the rate of memcpy of x.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.ingest import Row
from benchmarks.processes import run
from gridtide.mlx_store import get_real_time_context, mx, open_store

BATCH = 8
PEERS = {"torch": "torch DataLoader", "mlx_data": "mlx-data", "pandas": "pandas + lists"}
MODULES = {"torch": "torch", "mlx_data": "mlx.data", "pandas": "pandas"}


def measure() -> list[Row]:
    """The rows for windows of a year in ten years and of a month in a hundred years, with the peers that are
    installed."""
    with tempfile.TemporaryDirectory() as folder:
        day, year, month = (Path(folder, f"{name}.safetensors") for name in ("day", "year", "month"))
        run("sequence_set", str(day), "1440", "24")
        run("sequence_set", str(year), "87600", "8760")
        run("sequence_set", str(month), "876000", "720")
        return [
            *_measure_batches(year, "windows of 8760 h, base of 22 MB", 12),
            *_measure_batches(month, "windows of 720 h, base of 224 MB", 100),
            *_measure_memory(year, day),
            _measure_disk(month, 8760),
            *_measure_ranks(year),
        ]


def _time_loader(loader: str, path: Path, batches: int, rounds: int = 15) -> dict[str, float]:
    arguments = loader, str(path), str(BATCH), str(batches), str(rounds)
    figures: dict[str, float] = json.loads(run("sequence_batches", *arguments).output)
    return figures


def _time_first_batch(loader: str, path: Path) -> dict[str, float]:
    """The seconds to open a set, and from then to the first batch, in a cold process: the medians of five processes."""
    figures = [_time_loader(loader, path, 1, rounds=0) for _ in range(5)]
    return {name: statistics.median(process_figures[name] for process_figures in figures) for name in figures[0]}


def _measure_batches(path: Path, what: str, batches: int) -> list[Row]:
    ours = _time_loader("gridtide", path, batches)
    read, opening = _time_first_batch("read", path), _time_first_batch("gridtide", path)
    rows = [
        _build_row(f"{what}: all arrays of a batch", "GB/s", ours["all"], ours["memcpy"]),
        _build_row(f"{what}: x alone, while all arrays come", "GB/s", ours["x"], ours["memcpy"]),
        _build_row(f"{what}: first batch of an opened store", "ms", 1e3 * read["first"], 30, "goal"),
        _build_row(
            f"{what}: first batch, from opening on", "ms", 1e3 * sum(opening.values()), 1e3 * read["open"], "reading it"
        ),
    ]
    without_mlx = _time_loader("arrays", path, batches)
    numpy_row = _build_row(f"{what}: all arrays, without MLX", "GB/s", without_mlx["all"], without_mlx["memcpy"])
    beside = ours["all"] / ours["memcpy"] * without_mlx["memcpy"]  # as if memcpy had run as fast beside both
    rows.append({**numpy_row, "peer": beside, "peer_name": "with MLX"})
    for loader, name in PEERS.items():
        if importlib.util.find_spec(MODULES[loader]) is None:
            print(f"sequences: {name} is left out, it is not installed")
            continue
        theirs = _time_loader(loader, path, batches)
        share = theirs["all"] / theirs["memcpy"] * ours["memcpy"]  # as if memcpy had run as fast beside both
        rows.append(
            {
                **_build_row(f"{what}: all arrays, {name}", "GB/s", ours["all"], ours["memcpy"]),
                "peer": share,
                "peer_name": name,
            }
        )
    return rows


def _measure_memory(path: Path, small: Path) -> list[Row]:
    """The peak memory without that of a `small` set, which is the memory of the code."""
    loaders, arguments = ("gridtide", "no_prefetch"), (str(BATCH), "5", "0")
    code = {name: run("sequence_batches", name, str(small), *arguments).peak_mb for name in loaders}
    used = {name: run("sequence_batches", name, str(path), *arguments).peak_mb - code[name] for name in loaders}
    store = open_store(path)
    base = sum(store.mapped[name].nbytes for name in ("values", "mask"))
    limit = base * (1 + 2 * BATCH * store.length / store.steps) / 2**20
    return [
        _build_row("windows of 8760 h: peak memory", "MB", used["gridtide"], limit, "one base + two batches"),
        _build_row(
            "windows of 8760 h: peak memory, prefetch=False", "MB", used["no_prefetch"], limit, "one base + two batches"
        ),
    ]


def _measure_disk(path: Path, hours: int) -> Row:
    """The time to get a window of an open file, whose pages are in memory, as MLX arrays."""
    store = open_store(path)
    mx.eval([block.pieces for block in store.blocks.values()])  # else it is still being read meanwhile
    values, mask = np.array(store.mapped["values"][0, -hours:]), np.array(store.mapped["mask"][0, -hours:])
    buffers = np.zeros_like(values), np.zeros_like(mask)

    def copied() -> None:
        np.copyto(buffers[0], values)
        np.copyto(buffers[1], mask)

    def read() -> None:
        mx.eval(get_real_time_context(store, hours))

    copying, reading = zip(*((_time_call(copied), _time_call(read)) for _ in range(200)), strict=True)
    return _build_row(f"a window of {hours} h from disk", "ms", 1e3 * min(reading), 1e3 * min(copying))


def _time_call(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _measure_ranks(path: Path) -> list[Row]:
    rows = []
    for layout in ("contiguous", "zigzag", "striped"):
        for ranks in (2, 4):
            figures = _time_loader(f"{layout}_{ranks}", path, 24)
            rows.append(
                _build_row(f"a rank's block, {layout}, {ranks} ranks", "GB/s", figures["all"], figures["memcpy"])
            )
    return rows


def _build_row(name: str, unit: str, ours: float, limit: float, limit_name: str = "memcpy of x") -> Row:
    return {
        "name": name,
        "unit": unit,
        "ours": ours,
        "peer": None,
        "peer_name": None,
        "limit": limit,
        "limit_name": limit_name,
    }
