"""Windows over a base of T steps, represented by their start steps.

    start                t0
    |------ seq_len -----|-- horizon --|        context [start, t0), targets [t0, t0 + horizon)

Windows are never materialised here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.random import default_rng

from gridtide.observations.array_types import Integers, Mask


def window_starts(steps: int, *, seq_len: int, horizon: int, stride: int) -> Integers:
    """Returns all starts of windows within `steps`, `stride` apart, counted from the first step.

    A window exactly as long as the data is one window.

    >>> window_starts(10, seq_len=6, horizon=2, stride=2).tolist()
    [0, 2]
    """
    return np.arange(0, steps - seq_len - horizon + 1, stride)


def observed_share(mask: Mask, begin: Integers, length: int) -> npt.NDArray[np.float64]:
    """Returns the share of observed cells of `mask` (T, F) within `[begin, begin + length)`, (N,)."""
    cumulative_count = np.concatenate([[0], np.cumsum(mask.sum(axis=1))])
    cell_count = max(length * mask.shape[1], 1)
    share: npt.NDArray[np.float64] = (cumulative_count[begin + length] - cumulative_count[begin]) / cell_count
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
    """Returns the `candidates` (N,) whose context and targets are observed to at least the given shares.

    `mask` is (T, F), `target_mask` (T, K).
    """
    input_share = observed_share(mask, candidates, seq_len)
    target_share = observed_share(target_mask, candidates + seq_len, horizon)
    return candidates[(input_share >= min_inputs) & (target_share >= min_targets)]


def shuffle_windows(count: int, *, seed: int, epoch: int) -> Integers:
    """Returns the permutation of `count` windows in `epoch`: a different one each epoch, the same for the same seed."""
    return default_rng([seed, epoch]).permutation(count)


def batch_windows(count: int, size: int, *, shuffle: bool, seed: int = 0, epoch: int = 0) -> Integers:
    """Returns indices of windows in batches of `size`: (batches, size).

    If shuffled, the incomplete last batch is left out (another epoch includes its windows). In order, all windows are
    included: the last batch is padded with −1.
    """
    if shuffle:
        return shuffle_windows(count, seed=seed, epoch=epoch)[: count // size * size].reshape(-1, size)
    return np.concatenate([np.arange(count), np.full(-count % size, -1)]).reshape(-1, size)
