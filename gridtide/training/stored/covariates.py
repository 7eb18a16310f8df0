"""The covariates of the steps to predict, as they are read from a training set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gridtide.observations.array_types import Integers
from gridtide.training.features.future import FUTURE_ARRAYS, FutureBase
from gridtide.training.windows.windows import Windows

ALL_WINDOWS = slice(None)
"""The numbers of all windows of a split."""


def gather_covariates(
    mapped: Mapping[str, npt.NDArray[Any]], split: str, numbers: Integers, seq_len: int, horizon: int
) -> npt.NDArray[np.float32] | None:
    """Returns the covariates of the windows `numbers` (B,) of `split`, scaled, NaN where not known at t0, (B, horizon,
    G); None if the set of the tensors `mapped` has none.

    Sets that were prepared before they were stored once have them by window.
    """
    if f"future.{split}" in mapped:
        return np.where(mapped[f"future_mask.{split}"][numbers], mapped[f"future.{split}"][numbers], np.float32(np.nan))
    if "future_begin" not in mapped:
        return None
    location, start = mapped[f"windows.{split}"][numbers].T
    steps = find_target_steps(mapped, split, seq_len, horizon, numbers)
    arrays = {name: mapped[f"future_{name}"] for name in FUTURE_ARRAYS}
    base = FutureBase(**arrays, rows_per_day=86_400 // int(np.diff(mapped["time"][:2])[0]))
    return base.gather(location, start + seq_len, Windows(start, *steps.T), horizon)


def find_target_steps(
    mapped: Mapping[str, npt.NDArray[Any]],
    split: str,
    seq_len: int,
    horizon: int,
    numbers: Integers | slice = ALL_WINDOWS,
) -> npt.NDArray[np.int64]:
    """Returns the half-open range of the steps to predict of the windows `numbers` (B,) of `split`, (B, 2); of all
    without `numbers`. Only sets with a gap or a gate store it.

    Each batch calls it: it reads no other windows, of which there may be a million.
    """
    if f"target_steps.{split}" in mapped:
        steps: npt.NDArray[np.int64] = mapped[f"target_steps.{split}"][numbers]
        return steps
    first = mapped[f"windows.{split}"][numbers, 1] + seq_len
    return np.stack([first, first + horizon], axis=1)
