"""A training set in memory: what is assembled, drawn and written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gridtide import scaling, splits
from gridtide.bases import Base
from gridtide.periods import Period
from gridtide.spec import TrainingSpec


@dataclass(frozen=True)
class TrainingSet:
    """R locations over T steps from `start`, F inputs, K targets, scaled by train steps.

    `values` (R, T, F) float32, 0 where missing; `mask` (R, T, F) what was observed; `quality` (R, T, I)
    what the cells of the first I columns, the inputs, are (see `cleaning`); `targets` (R, T, K) float32;
    `target_mask` (R, T, K); `windows` per split (N, 2): location, start step; `scales` and
    `target_scales`, one per location.
    """

    spec: TrainingSpec
    period: Period
    bounds: splits.Bounds
    bases: tuple[Base, ...]
    dropped: tuple[str, ...]
    values: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]
    quality: npt.NDArray[np.uint8]
    targets: npt.NDArray[np.float32]
    target_mask: npt.NDArray[np.bool_]
    windows: Mapping[str, npt.NDArray[np.int64]]
    scales: tuple[scaling.Scale, ...]
    target_scales: tuple[scaling.Scale, ...]
