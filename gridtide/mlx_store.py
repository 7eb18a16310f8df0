"""Training sets as MLX arrays. The only module that imports MLX.

The base of each location stays one array of rows; a batch is gathered from it by row blocks
(`mx.as_strided` views every block of L rows, `mx.take` copies those that are wanted).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gridtide import sequences, splits, tensors
from gridtide.errors import TrainingError
from gridtide.ring import Shard
from gridtide.scaling import Scale

try:
    import mlx.core as mx
except ImportError as error:
    raise TrainingError(
        "MLX",
        f"cannot be imported: {error}",
        "Install gridtide[mlx] (Apple silicon with macOS 14 or later, or Linux with glibc 2.35 or later)",
    ) from error

CACHE = 1 << 30
"""Bytes MLX may keep for reuse: below a batch's size every batch allocates anew, which takes 8 times as long."""

LARGEST = 2**31
"""MLX addresses the elements of a strided array with 32 bits."""

Batch = dict[str, Any]


WHOLE = Shard("contiguous", rank=0, ranks=1)
"""The shard of a process that is alone."""


@dataclass(frozen=True)
class Store:
    """An opened training set: R locations, T steps, F inputs, K targets, as one rank sees it.

    `mapped`: every tensor of the file as a NumPy memory map. `values`, `mask` (rows, F) and `labels`,
    `label_mask` (rows, K): MLX arrays in the order of the rank's shard; `targets`, `target_mask`
    (R·T, K) in the order of time.
    """

    manifest: Mapping[str, Any]
    mapped: Mapping[str, npt.NDArray[np.generic]]
    shard: Shard
    values: Any
    mask: Any
    labels: Any
    label_mask: Any
    targets: Any
    target_mask: Any

    @property
    def steps(self) -> int:
        """T, the steps of each location."""
        return int(self.mapped["values"].shape[1])

    @property
    def length(self) -> int:
        """The steps of context over all ranks: `seq_len`, rounded up to what the shard can deal out."""
        return self.shard.rounded(self.manifest["spec"]["seq_len"])

    def windows(self, split: str) -> npt.NDArray[np.int64]:
        """Location and start step of the windows of `split`, (N, 2); raises `TrainingError` for another name."""
        if split not in splits.NAMES:
            raise TrainingError(split, "is no split", f"The splits are: {', '.join(splits.NAMES)}")
        return self.mapped[f"windows.{split}"]  # type: ignore[return-value]  # written as int64

    def target_scale(self, location: int = 0) -> Scale:
        """How the targets (…, K) of `location` were scaled; `invert` gives them back in their units."""
        mean, deviation = self.mapped["target_mean"], self.mapped["target_deviation"]
        return Scale(np.array(mean[location], np.float64), np.array(deviation[location], np.float64))


def open_store(path: str | Path, shard: Shard = WHOLE) -> Store:
    """The training set in the safetensors file at `path`, as `shard` sees it.

    Raises `StorageError` where there is none, `TrainingError` where a base is too large for MLX.
    """
    mapped, metadata = tensors.open_mapped(path)
    if mapped["values"].size >= LARGEST:
        raise TrainingError(
            str(path), f"holds {mapped['values'].size} values, MLX addresses {LARGEST}", "Split the set by locations"
        )
    mx.set_cache_limit(max(CACHE, mx.set_cache_limit(CACHE)))
    manifest = json.loads(metadata["manifest"])
    front = shard.rounded(manifest["spec"]["seq_len"]) - manifest["spec"]["seq_len"]
    values, mask, targets, target_mask = (mapped[name] for name in ("values", "mask", "targets", "target_mask"))
    return Store(
        manifest,
        mapped,
        shard,
        values=_arranged(values, front, shard),
        mask=_arranged(mask, front, shard),
        labels=_arranged(targets, front, shard),
        label_mask=_arranged(target_mask, front, shard),
        targets=_arranged(targets, 0, WHOLE),
        target_mask=_arranged(target_mask, 0, WHOLE),
    )


def iterate_batches(
    store: Store, split: str, *, batch_size: int, shuffle: bool | None = None, seed: int = 0, epoch: int = 0
) -> Iterator[Batch]:
    """The windows of `split`, B at a time, as dicts of MLX arrays of fixed shapes.

    `x` (B, L, F) float32 and `mask` (B, L, F) bool: the context and what of it was observed;
    `y` (B, H, K) float32 and `y_mask` (B, H, K): the targets; `position_ids` (B, L) int32: 0 … L − 1;
    `start` (B,) int32: the step of the window's first row, −1 in a row that only fills up the last
    batch (its masks are False); `location_id` (B,) int32.

    A rank of a ring gets of the context its shard: L is then the rank's share, `position_ids` the
    places in the whole window (which begins earlier if its length was rounded up: real history, or
    masked rows where there is none), and `labels`, `label_mask` (B, L, K) the targets one step after
    each place. `y` and everything of the window as a whole is the same on all ranks.

    `shuffle` (by default for train only) orders by `seed` and `epoch`, and leaves out the incomplete
    batch at the end; in order, every window comes. Raises `TrainingError` when there is no whole batch.
    """
    windows = store.windows(split)
    shuffled = split == "train" if shuffle is None else shuffle
    if batch_size < 1 or (shuffled and batch_size > len(windows)):
        raise TrainingError(
            f"batch_size {batch_size}", f"{split} has {len(windows)} windows", "Choose one from 1 to that many"
        )
    for chosen in sequences.batches(len(windows), batch_size, shuffle=shuffled, seed=seed, epoch=epoch):
        yield gather(store, windows[chosen], chosen >= 0)


def gather(store: Store, windows: npt.NDArray[np.int64], real: npt.NDArray[np.bool_]) -> Batch:
    """One batch of the `windows` (B, 2); where `real` (B,) is False, a filler without anything observed."""
    asked = store.manifest["spec"]
    location, start = windows[:, 0].astype(np.int32), windows[:, 1].astype(np.int32)
    front = store.length - asked["seq_len"]
    rows = location * (front + store.steps) + start
    ahead = mx.array(location * store.steps + start + asked["seq_len"])
    counts = mx.array(real)[:, None, None]
    positions = mx.array(store.shard.positions(store.length))
    batch = {
        "x": _held(store.values, rows, store),
        "mask": _held(store.mask, rows, store) & counts,
        "y": _blocks(store.targets, ahead, asked["horizon"]),
        "y_mask": _blocks(store.target_mask, ahead, asked["horizon"]) & counts,
        "position_ids": mx.broadcast_to(positions, (len(start), len(positions))),
        "start": mx.array(np.where(real, start, -1).astype(np.int32)),
        "location_id": mx.array(location),
    }
    if store.shard.ranks > 1:
        batch["labels"] = _held(store.labels, rows + 1, store)
        batch["label_mask"] = _held(store.label_mask, rows + 1, store) & counts
    return batch


def _arranged(tensor: npt.NDArray[np.generic], front: int, shard: Shard) -> Any:
    """`tensor` (R, T, C) as rows (N, C) of an MLX array of its own, `front` empty ones before each location.

    Striped, row `i` of the `ranks` that have the same remainder is next to row `i + ranks`, so that
    a rank's steps lie together wherever a window starts.
    """
    locations, steps, width = tensor.shape
    tail = -(locations * (front + steps)) % shard.ranks if shard.layout == "striped" else 0
    rows = np.zeros((locations * (front + steps) + tail, width), tensor.dtype)
    rows[: len(rows) - tail].reshape(locations, front + steps, width)[:, front:] = tensor
    if shard.layout == "striped":
        rows = np.ascontiguousarray(rows.reshape(-1, shard.ranks, width).swapaxes(0, 1)).reshape(rows.shape)
    return mx.array(rows)


def _held(base: Any, rows: npt.NDArray[np.int32], store: Store) -> Any:
    """What the rank holds of the windows that begin at `rows` (B,) of `base`: (B, length / ranks, C)."""
    shard = store.shard
    runs = shard.runs(store.length)
    firsts = rows[:, None] + np.array([first for first, _ in runs], np.int32)
    if shard.layout == "striped":
        firsts = firsts % shard.ranks * (base.shape[0] // shard.ranks) + firsts // shard.ranks
    blocks = _blocks(base, mx.array(firsts.reshape(-1)), runs[0][1])
    return blocks.reshape(len(rows), -1, base.shape[1])


def _blocks(base: Any, rows: Any, length: int) -> Any:
    """The `length` rows of `base` (N, C) from each of `rows` (B,) on: (B, length, C)."""
    count, width = base.shape
    views = mx.as_strided(base, (count - length + 1, length, width), (width, width, 1))
    return mx.take(views, rows, axis=0)
