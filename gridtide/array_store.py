"""Training sets as NumPy arrays, for PyTorch, JAX, Hugging Face `datasets` and anything else that takes these.

The tensors of the file are memory maps; the rows of a batch are copied once, from the map into the batch. Windows,
masks, order and shards are those of `gridtide.mlx_store`, to the bit, and MLX is not needed.

    store = open_arrays("lake/features/isne_demand")
    for batch in store.iterate_batches("train", batch_size=32): ...                              NumPy
    DataLoader(store.dataset("train"), batch_size=32, shuffle=True, num_workers=4)               PyTorch
    jax.device_put(batch)                                                                        JAX
    numbers = datasets.Dataset.from_dict({"window": range(len(windows))})                        Hugging Face
    numbers.with_transform(lambda rows: windows[rows["window"]])
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gridtide.errors import StorageError, TrainingError
from gridtide.observations.array_types import Integers
from gridtide.training.ring import Shard
from gridtide.training.stored.choices import choose_view
from gridtide.training.stored.covariates import find_target_steps, gather_covariates
from gridtide.training.stored.opening import SEQUENCES_FILE, read_set
from gridtide.training.stored.window_scales import invert_targets, is_scaled_by_window, scale_windows
from gridtide.training.windows import splits
from gridtide.training.windows.windows import batch_windows

WHOLE_WINDOW = Shard("contiguous", rank=0, ranks=1)
"""The shard of a process that holds all of every window."""

ArrayBatch = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class ArrayStore:
    """An opened training set of R locations, T steps, F inputs and K targets, as seen by `shard`.

    `mapped`: its tensors by name. `origin`: what opens it again in another process.
    """

    manifest: Mapping[str, Any]
    mapped: Mapping[str, npt.NDArray[Any]]
    shard: Shard
    origin: tuple[Path, Mapping[str, Any]]

    def __reduce__(self) -> tuple[Any, ...]:
        """Opens the file anew where this is unpickled, as in the workers of a loader: the maps are not copied."""
        file_path, choices = self.origin
        return _open_choices, (file_path, self.shard, choices)

    @property
    def length(self) -> int:
        """The number of steps of context over all ranks: `seq_len`, rounded up to what the shard can divide."""
        return self.shard.rounded(int(self.manifest["spec"]["seq_len"]))

    def windows(self, split: str) -> npt.NDArray[np.int64]:
        """Returns location and start step of the windows of `split`, (N, 2); raises `TrainingError` for an unknown
        split, and for one that the spec leaves out."""
        if split not in splits.SPLITS:
            raise TrainingError(split, "is not a split", f"The splits are: {', '.join(splits.SPLITS)}")
        split_windows: npt.NDArray[np.int64] = self.mapped[f"windows.{split}"]
        if not len(split_windows):
            raise TrainingError(split, "is a split that the set's spec leaves out", "Prepare it with a share above 0")
        return split_windows

    def dataset(self, split: str) -> WindowDataset:
        """Returns the windows of `split` as a map-style dataset."""
        return WindowDataset(self, split)

    def iterate_batches(
        self, split: str, *, batch_size: int, shuffle: bool | None = None, seed: int = 0, epoch: int = 0
    ) -> Iterator[ArrayBatch]:
        """Iterates over the windows of `split` in the order of `gridtide.mlx_store.iterate_batches`, which also
        describes a batch: the same arrays, here of NumPy."""
        return (self.gather(split, numbers) for numbers in self.plan(split, batch_size, shuffle, seed, epoch))

    def plan(self, split: str, batch_size: int, shuffle: bool | None = None, seed: int = 0, epoch: int = 0) -> Integers:
        """Returns the numbers of the windows of each batch, (batches, batch_size), −1 for a filler: a sampler for a
        loader. Raises `TrainingError` if there is no complete batch."""
        count = len(self.windows(split))
        shuffled = split == "train" if shuffle is None else shuffle
        if batch_size < 1 or (shuffled and batch_size > count):
            raise TrainingError(f"batch_size {batch_size}", f"{split} has {count} windows", "Choose 1 to that many")
        return batch_windows(count, batch_size, shuffle=shuffled, seed=seed, epoch=epoch)

    def gather(self, split: str, numbers: Sequence[int] | Integers) -> ArrayBatch:
        """Returns the windows `numbers` (B,) of `split` as a batch; −1 is a filler, whose masks are False."""
        chosen = np.asarray(numbers, np.int64)
        spec = self.manifest["spec"]
        location, start = self.windows(split)[chosen].T
        batch = {
            "x": self._gather_rows("values", location, start),
            "mask": self._gather_rows("mask", location, start),
            "labels": self._gather_rows("targets", location, start + 1),
            "label_mask": self._gather_rows("target_mask", location, start + 1),
        }
        future = gather_covariates(self.mapped, split, chosen, spec["seq_len"], spec["horizon"])
        if future is not None:
            batch |= {"x_future": np.nan_to_num(future, nan=0.0), "future_mask": ~np.isnan(future)}
        if "static" in self.mapped:
            batch["static"] = self.mapped["static"][location]
        batch |= self._gather_targets(split, chosen, location)
        if is_scaled_by_window(self.manifest, self.shard.ranks):
            batch = scale_windows(np, self.manifest, self.mapped, batch, location)
        positions = self.shard.positions(self.length)
        batch |= {
            "position_ids": np.broadcast_to(positions, (len(chosen), len(positions))).copy(),
            "start": np.where(chosen >= 0, start, -1).astype(np.int32),
            "location_id": location.astype(np.int32),
        }
        for name in [name for name in batch if name.endswith("mask")]:
            batch[name][chosen < 0] = False
        return batch

    def invert(self, batch: Mapping[str, Any], targets: Any) -> npt.NDArray[np.float64]:
        """Converts `targets` (B, H, K), such as the `y` of `batch` or predictions of them, back to values in their
        units."""
        return invert_targets(self.manifest, self.mapped, batch, targets)

    def _gather_rows(self, tensor: str, location: Integers, start: Integers) -> npt.NDArray[Any]:
        """Copies the shard's rows of the windows at `start` (B,) of their `location` (B,): (B, length / ranks, C).

        The window begins earlier if its length was rounded up; rows before the first step are 0.
        """
        base = self.mapped[tensor]
        stride = self.shard.ranks if self.shard.layout == "striped" else 1
        begins = start - (self.length - int(self.manifest["spec"]["seq_len"]))
        rows = np.empty((len(start), self.length // self.shard.ranks, base.shape[2]), base.dtype)
        place = 0
        for offset, count in self.shard.runs(self.length):
            for number, first in enumerate((begins + offset).tolist()):
                missing = min(max(-(first // stride), 0), count)
                target = rows[number, place : place + count]
                target[:missing] = 0
                first += missing * stride
                target[missing:] = base[location[number], first : first + (count - missing) * stride : stride]
            place += count
        return rows

    def _gather_targets(self, split: str, chosen: Integers, location: Integers) -> ArrayBatch:
        """Returns the targets of the steps to predict, (B, H, K), and where they were observed."""
        spec = self.manifest["spec"]
        target_range = find_target_steps(self.mapped, split, spec["seq_len"], spec["horizon"], chosen)
        steps = target_range[:, :1] + np.arange(spec["horizon"])
        indices = location[:, None], np.minimum(steps, self.mapped["values"].shape[1] - 1)
        is_target = (steps < target_range[:, 1:])[..., None]
        targets = {
            "y": np.where(is_target, self.mapped["targets"][indices], np.float32(0)),
            "y_mask": np.where(is_target, self.mapped["target_mask"][indices], False),
        }
        if "weights" in self.mapped:
            targets["weight"] = np.where(is_target[..., 0], self.mapped["weights"][indices], np.float32(0))
        return targets


@dataclass(frozen=True)
class WindowDataset:
    """The windows of a split as PyTorch's loaders take them (a map-style dataset), also with workers.

    `dataset[5]` is a window, the arrays of a batch without their first axis; `dataset[[5, 7]]` is a batch. With
    `DataLoader(dataset, batch_size=None, sampler=store.plan("train", 32))` each batch is gathered as a whole.
    """

    store: ArrayStore
    split: str

    def __len__(self) -> int:
        return len(self.store.windows(self.split))

    def __getitem__(self, number: int | Sequence[int] | Integers) -> ArrayBatch:
        if np.ndim(number):
            return self.store.gather(self.split, np.asarray(number))
        if not -len(self) <= int(number) < len(self):  # type: ignore[arg-type]  # it has no dimension
            raise IndexError(f"{self.split} has {len(self)} windows, not number {number}")
        position = int(number) % len(self)  # type: ignore[arg-type]
        return {name: array[0] for name, array in self.store.gather(self.split, [position]).items()}

    def __getitems__(self, numbers: Sequence[int]) -> list[ArrayBatch]:
        """Returns the windows `numbers`, gathered at once: PyTorch calls this instead of a `dataset[5]` for each."""
        batch = self.store.gather(self.split, numbers)
        return [{name: array[row] for name, array in batch.items()} for row in range(len(numbers))]

    def iterate(self) -> Iterator[ArrayBatch]:
        """Iterates over the windows in their order, each as `dataset[number]`."""
        return (self[number] for number in range(len(self)))


def open_arrays(path: str | Path, shard: Shard = WHOLE_WINDOW, **choices: Any) -> ArrayStore:
    """Opens the training set in the safetensors file at the local `path`, or in that folder, as seen by `shard`.

    With `choices` it has other windows, columns or splits, as with `gridtide.mlx_store.open_store`. Raises
    `StorageError` if the file is missing or is not a training set, `TrainingError` for choices that it does not have.
    """
    if "://" in str(path):
        raise StorageError(str(path), "is not on this machine, so it cannot be mapped", "Copy the file and name it")
    folder_or_file = Path(path)
    return _open_choices(folder_or_file / SEQUENCES_FILE if folder_or_file.is_dir() else folder_or_file, shard, choices)


def _open_choices(file_path: Path, shard: Shard, choices: Mapping[str, Any]) -> ArrayStore:
    view = choose_view(*read_set(file_path)[:2], choices)
    is_scaled_by_window(view.manifest, shard.ranks)
    return ArrayStore(view.manifest, view.mapped, shard, (file_path, choices))
