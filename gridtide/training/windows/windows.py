"""Windows over a base of T steps, as numbers: which starts are valid, and in which order they come.

    start                t0
    |------ seq_len -----|-- horizon --|        context [start, t0), targets [t0, t0 + horizon)

Windows are never materialised here: a window is its start.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.random import default_rng

from gridtide.observations.array_types import Integers, Mask


def window_starts(steps: int, *, seq_len: int, horizon: int, stride: int) -> Integers:
    """All starts of windows within `steps`, `stride` apart, counted from the first step.

    A window exactly as long as the data is one window.

    >>> starts(10, seq_len=6, horizon=2, stride=2).tolist()
    [0, 2]
    """
    return np.arange(0, steps - seq_len - horizon + 1, stride)


def observed_share(mask: Mask, begin: Integers, length: int) -> npt.NDArray[np.float64]:
    """Which share of the cells of `mask` (T, F) within `[begin, begin + length)` is observed, (N,)."""
    per_step = np.concatenate([[0], np.cumsum(mask.sum(axis=1))])
    cells = max(length * mask.shape[1], 1)
    share: npt.NDArray[np.float64] = (per_step[begin + length] - per_step[begin]) / cells
    return share


def select_observed(
    candidates: Integers,
    mask: Mask,
    target_mask: Mask,
    *,
    seq_len: int,
    horizon: int,
    min_inputs: float,
    min_targets: float,
) -> Integers:
    """Those of `candidates` (N,) whose context and targets are observed to at least the given shares.

    `mask` is (T, F), `target_mask` (T, K).
    """
    inputs = observed_share(mask, candidates, seq_len)
    targets = observed_share(target_mask, candidates + seq_len, horizon)
    return candidates[(inputs >= min_inputs) & (targets >= min_targets)]


def shuffle_windows(count: int, *, seed: int, epoch: int) -> Integers:
    """The permutation of `count` windows in `epoch`: another each epoch, the same for the same seed."""
    return default_rng([seed, epoch]).permutation(count)


def batch_windows(count: int, size: int, *, shuffle: bool, seed: int = 0, epoch: int = 0) -> Integers:
    """Indices of windows, `size` at a time: (batches, size).

    Shuffled, the incomplete batch at the end is left out (its windows come in another epoch). In
    order, every window comes: the last batch is filled up with −1.
    """
    if shuffle:
        return shuffle_windows(count, seed=seed, epoch=epoch)[: count // size * size].reshape(-1, size)
    return np.concatenate([np.arange(count), np.full(-count % size, -1)]).reshape(-1, size)
