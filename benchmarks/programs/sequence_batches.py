"""Measures one loader of a training set beside memcpy. Usage: loader file batch_size batches [rounds]

Prints JSON: the seconds to open the set (`open`), and from then to the first batch (`first`). Unless `rounds` is 0,
also GB/s of all arrays of a batch (`all`), of `x` alone while all arrays are loaded (`x`), and of memcpy, which is
`numpy.copyto` of the windows of one batch's x into one buffer.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from gridtide.training import tensors

H = 24
NAMES = ("values", "mask", "targets", "target_mask")
Batches = Callable[[], Iterator[Any]]
Loader = Callable[[Path, int, int], Batches]


def order(windows: Any, size: int) -> Iterator[Any]:
    """The starts of the windows, shuffled, `size` at a time."""
    starts = np.random.default_rng(0).permutation(windows[:, 1])
    return iter(starts[: len(starts) // size * size].reshape(-1, size))


def gridtide(layout: Any = "contiguous", rank: int = 0, ranks: int = 1, *, read: bool = False, **keys: Any) -> Loader:
    """Gridtide's loader for one rank of a ring. With `read`, opening includes reading the whole base."""

    def loader(path: Path, length: int, size: int) -> Batches:
        from gridtide.mlx_store import iterate_batches, mx, open_store
        from gridtide.training.ring import Shard

        store = open_store(path, Shard(layout, rank, ranks))
        if read:
            mx.eval([blocks.pieces for blocks in store.blocks.values()])

        def batches() -> Iterator[Any]:
            for batch in iterate_batches(store, "train", batch_size=size, **keys):
                mx.eval(batch)
                yield batch

        return batches

    return loader


def arrays(path: Path, length: int, size: int) -> Batches:
    """Gridtide's reader without MLX: NumPy arrays, gathered when they are asked for."""
    from gridtide.array_store import open_arrays

    store = open_arrays(path)
    return lambda: store.iterate_batches("train", batch_size=size)


def arrays_torch(path: Path, length: int, size: int) -> Batches:
    """torch's DataLoader over that reader, which takes whole batches in Gridtide's order."""
    from torch.utils.data import DataLoader

    from gridtide.array_store import open_arrays

    store = open_arrays(path)
    options = {"batch_size": None, "sampler": store.plan("train", size)}
    return lambda: iter(DataLoader(store.dataset("train"), **options))


def torch(path: Path, length: int, size: int) -> Batches:
    """torch's DataLoader over slices of tensors in memory, without worker processes, which is its fastest mode here."""
    import torch
    from torch.utils.data import DataLoader, Dataset

    mapped, _ = tensors.open_mapped(path)
    values, mask, targets, target_mask = (torch.from_numpy(np.array(mapped[name][0])) for name in NAMES)
    starts = mapped["windows.train"][:, 1].tolist()

    class Windows(Dataset[Any]):
        def __len__(self) -> int:
            return len(starts)

        def __getitem__(self, index: int) -> Any:
            start, t0 = starts[index], starts[index] + length
            return {
                "x": values[start:t0],
                "mask": mask[start:t0],
                "y": targets[t0 : t0 + H],
                "y_mask": target_mask[t0 : t0 + H],
            }

    return lambda: iter(DataLoader(Windows(), batch_size=size, shuffle=True, drop_last=True))


def pandas(path: Path, length: int, size: int) -> Batches:
    """A loader that slices a table window by window into lists and stacks them."""
    import mlx.core as mx
    import pandas as pd

    mapped, _ = tensors.open_mapped(path)
    values, mask, targets, target_mask = (pd.DataFrame(np.array(mapped[name][0])) for name in NAMES)

    def batches() -> Iterator[Any]:
        for starts in order(mapped["windows.train"], size):
            arrays: dict[str, list[Any]] = {"x": [], "mask": [], "y": [], "y_mask": []}
            for start in starts:
                t0 = start + length
                arrays["x"].append(values.iloc[start:t0].to_numpy())
                arrays["mask"].append(mask.iloc[start:t0].to_numpy())
                arrays["y"].append(targets.iloc[t0 : t0 + H].to_numpy())
                arrays["y_mask"].append(target_mask.iloc[t0 : t0 + H].to_numpy())
            batch = {name: mx.array(np.stack(parts)) for name, parts in arrays.items()}
            mx.eval(batch)
            yield batch

    return batches


def mlx_data(path: Path, length: int, size: int) -> Batches:
    """mlx-data's buffer of starts, each mapped to its window."""
    import mlx.core as mx
    import mlx.data as dx

    mapped, _ = tensors.open_mapped(path)
    values, mask, targets, target_mask = (np.array(mapped[name][0]) for name in NAMES)
    mask, target_mask = mask.view(np.uint8), target_mask.view(np.uint8)  # it knows no bool

    def windows(sample: dict[str, Any]) -> dict[str, Any]:
        start = int(sample["start"])
        t0 = start + length
        return {
            "x": values[start:t0],
            "mask": mask[start:t0],
            "y": targets[t0 : t0 + H],
            "y_mask": target_mask[t0 : t0 + H],
        }

    def batches() -> Iterator[Any]:
        starts = [{"start": start} for start in mapped["windows.train"][:, 1].tolist()]
        buffer = dx.buffer_from_vector(starts).shuffle().sample_transform(windows).batch(size)
        for number in range(len(buffer)):
            batch = {name: mx.array(array) for name, array in buffer[number].items()}
            mx.eval(batch)
            yield batch

    return batches


PEERS: dict[str, Loader] = {"torch": torch, "pandas": pandas, "mlx_data": mlx_data}

LOADERS: dict[str, Loader] = {
    "gridtide": gridtide(),
    "no_prefetch": gridtide(prefetch=False),
    "read": gridtide(read=True),
    "arrays": arrays,
    "arrays_torch": arrays_torch,
    **PEERS,
    **{f"{layout}_{n}": gridtide(layout, 1, n) for layout in ("contiguous", "zigzag", "striped") for n in (2, 4)},
}


def memcpy(path: Path, length: int, size: int, share: int) -> Batches:
    """Copy the windows of one batch's x (a `share`th of each, for a rank) into one buffer."""
    mapped, _ = tensors.open_mapped(path)
    values, run = np.array(mapped["values"][0]), length // share
    buffer = np.zeros((size, run, values.shape[1]), np.float32)

    def batches() -> Iterator[Any]:
        for starts in order(mapped["windows.train"], size):
            for row, start in enumerate(starts.tolist()):
                np.copyto(buffer[row], values[start : start + run])
            yield {"x": buffer}

    return batches


def spent(batches: Iterator[Any], count: int) -> tuple[float, int, int]:
    """The seconds of `count` batches, and the sizes of all arrays and of x of one batch."""
    began = time.perf_counter()
    for number, batch in enumerate(islice(batches, count), 1):
        if number == count:
            seconds = time.perf_counter() - began
            return seconds, sum(array.nbytes for array in batch.values()), batch["x"].nbytes
    raise SystemExit(f"there are fewer than {count} batches")


def main(name: str, file: str, size: int, count: int, rounds: int = 15) -> None:
    """Measure the loader `name` in short turns with memcpy, so that other load affects both."""
    if name not in PEERS:
        from gridtide import mlx_store  # noqa: F401  # which is no part of opening
    path = Path(file)
    _, metadata = tensors.open_mapped(path)
    length = json.loads(metadata["manifest"])["spec"]["seq_len"]
    began = time.perf_counter()
    ours = LOADERS[name](path, length, size)
    opened = time.perf_counter()
    batches = ours()
    next(batches)
    times = {"open": opened - began, "first": time.perf_counter() - opened}
    if rounds == 0:
        spent(batches, count)
        print(json.dumps(times))
        return
    limit = memcpy(path, length, size, int(name.rpartition("_")[2]) if name[-1].isdigit() else 1)
    rates: dict[str, list[float]] = {"all": [], "x": [], "memcpy": []}
    for _ in range(rounds):
        seconds, _, nbytes = spent(limit(), count)
        rates["memcpy"].append(count * nbytes / seconds / 1e9)
        seconds, batch_bytes, x = spent(ours(), count)
        rates["all"].append(count * batch_bytes / seconds / 1e9)
        rates["x"].append(count * x / seconds / 1e9)
    middle = {key: statistics.median(turns) for key, turns in rates.items()}
    print(json.dumps({**middle, **times}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
