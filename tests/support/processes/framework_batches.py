"""Prints what a framework makes of the windows of a training set. Usage: framework folder

For each array of the train windows 0 to 5: its dtype, shape and hash. Frameworks start threads, after which a process
should not be forked, so they run in a process of their own.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gridtide.array_store import WindowDataset, open_arrays

COUNT = 6


def describe_arrays(batch: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The dtype, shape and hash of each array."""
    arrays = {name: np.ascontiguousarray(array) for name, array in batch.items()}
    return {
        name: [str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]
        for name, array in sorted(arrays.items())
    }


def use_numpy(windows: WindowDataset) -> Mapping[str, Any]:
    """The batch itself."""
    return windows[range(COUNT)]


def use_jax(windows: WindowDataset) -> Mapping[str, Any]:
    """The batch as arrays of JAX."""
    import jax

    placed: Mapping[str, Any] = jax.device_put(windows[range(COUNT)])
    assert all(isinstance(array, jax.Array) for array in placed.values())
    return placed


def use_datasets(windows: WindowDataset) -> Mapping[str, Any]:
    """A dataset of numbers, whose windows are gathered when they are asked for; also one that was copied."""
    import datasets

    numbers = datasets.Dataset.from_dict({"window": range(len(windows))})
    rows: Mapping[str, Any] = numbers.with_transform(lambda part: windows[part["window"]])[:COUNT]
    copied = datasets.Dataset.from_generator(windows.iterate).with_format("numpy")[:COUNT]
    for name, array in rows.items():  # its integers become longer
        assert np.array(copied[name]).astype(array.dtype).tobytes() == array.tobytes(), name
    return rows


def use_torch(windows: WindowDataset) -> Mapping[str, Any]:
    """A batch from two workers, of windows that are gathered one by one or all at once."""
    from torch.utils.data import DataLoader

    batch = next(iter(DataLoader(windows, batch_size=COUNT, num_workers=2)))
    plan = np.arange(COUNT)[None]
    whole = next(iter(DataLoader(windows, batch_size=None, sampler=plan, num_workers=2)))
    assert all(batch[name].equal(whole[name]) for name in whole)
    return {name: tensor.numpy() for name, tensor in batch.items()}


FRAMEWORKS: dict[str, Callable[[WindowDataset], Mapping[str, Any]]] = {
    "numpy": use_numpy,
    "jax": use_jax,
    "datasets": use_datasets,
    "torch": use_torch,
}

if __name__ == "__main__":
    print(json.dumps(describe_arrays(FRAMEWORKS[sys.argv[1]](open_arrays(sys.argv[2]).dataset("train")))))
