"""A training set in memory: what is assembled, drawn and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from gridtide.errors import TrainingError
from gridtide.periods import Period
from gridtide.training.features.bases import Base
from gridtide.training.series.cleaning import REPORTED
from gridtide.training.spec import TrainingSpec
from gridtide.training.windows import scaling, splits
from gridtide.training.windows import windows as windows_module

if TYPE_CHECKING:
    pass

from dataclasses import dataclass

A = TypeVar("A", bound=np.generic)


Cells = tuple[int, slice]
"""Rows of one of several bases."""


SCALED_ROWS = 4096
"""Rows that are scaled at a time."""


def assemble(wanted: TrainingSpec, period: Period, made: Sequence[Base]) -> TrainingSet:
    """Windows, splits and scaling of the bases `made`, each T steps of the same columns.

    Columns that no location observes in a train step are dropped, and told with the inputs without one.
    Raises `TrainingError` for a split without windows that is asked for.
    """
    bounds = splits.find_bounds(wanted, period)
    train = slice(0, bounds.train_end)
    alive = np.any([base.mask[train].any(axis=0) for base in made], axis=0)
    if not alive.any():
        raise TrainingError(wanted.name, "no input is observed in any train step", "Choose another period or inputs")
    dead = {c.name for base in made for c, keep in zip(base.columns, alive, strict=True) if not keep}
    dropped = sorted(dead | {name for base in made for name in _unused(base)})
    made = list(made) if alive.all() else [_keep(base, alive) for base in made]
    windows = _windows(wanted, period, bounds, made)
    standard = wanted.scaling == "standard"
    scales = [
        scaling.fit_scale(base.values[train], base.mask[train])
        if standard
        else scaling.identity_scale(len(base.columns))
        for base in made
    ]
    target_masks = [~np.isnan(base.targets) for base in made]
    target_scales = [
        scaling.fit_scale(base.targets[train], seen[train])
        if standard
        else scaling.identity_scale(base.targets.shape[1])
        for base, seen in zip(made, target_masks, strict=True)
    ]
    return TrainingSet(
        wanted,
        period,
        bounds,
        tuple(made),
        tuple(dropped),
        scale_bases([base.values for base in made], scales),
        stack_bases([base.mask for base in made]),
        stack_bases([base.quality for base in made]),
        scale_bases([base.targets for base in made], target_scales),
        np.stack(target_masks),
        windows,
        tuple(scales),
        tuple(target_scales),
    )


def _windows(
    wanted: TrainingSpec, period: Period, bounds: splits.Bounds, made: Sequence[Base]
) -> dict[str, npt.NDArray[np.int64]]:
    """Location and start (N, 2) of the windows of each split."""
    shape = {"seq_len": wanted.seq_len, "horizon": wanted.horizon}
    candidates = windows_module.window_starts(bounds.steps, **shape, stride=wanted.stride)
    found: dict[str, list[npt.NDArray[np.int64]]] = {name: [] for name in splits.SPLITS}
    for number, base in enumerate(made):
        own = [feature.series is not None for feature in base.columns[: base.quality.shape[1]]]
        valid = windows_module.select_observed(
            candidates,
            base.quality[:, own] == REPORTED,
            ~np.isnan(base.targets),
            **shape,
            min_inputs=wanted.min_inputs,
            min_targets=wanted.min_targets,
        )
        for name, starts in splits.divide_windows(valid, bounds, **shape, strict=wanted.splits.strict).items():
            found[name].append(np.stack([np.full(len(starts), number), starts], axis=1))
    windows = {name: np.concatenate(parts) for name, parts in found.items()}
    empty = [name for name in splits.requested_splits(wanted) if not len(windows[name])]
    if empty:
        counts = ", ".join(f"{name} {len(starts)}" for name, starts in windows.items())
        ranges = ", ".join(f"{name} {max(end - begin, 0)} h" for name, (begin, end) in bounds.ranges().items())
        there = np.flatnonzero(np.any([~np.isnan(base.targets).all(axis=1) for base in made], axis=0))
        known = Period(*(period.start + int(step) * timedelta(hours=1) for step in (there[0], there[-1] + 1)))
        raise TrainingError(
            wanted.name,
            f"no window falls into {' and '.join(empty)} (windows: {counts}; targets: {ranges}, observed in {known}; "
            f"a window is {wanted.seq_len} + {wanted.horizon} h, one every {wanted.stride} h, {len(candidates)} fit)",
            "Use another or longer period, a shorter seq_len, horizon or gap, other splits (a share of 0 is for none), "
            "or lower min_inputs and min_targets",
        )
    return windows


def _unused(base: Base) -> set[str]:
    """The inputs of which there is no column: nothing is known of them, or they are known ahead without a lead."""
    return base.repeats.keys() - {column.series for column in base.columns} - set(base.target_names)


def _keep(base: Base, alive: npt.NDArray[np.bool_]) -> Base:
    columns = tuple(column for column, keep in zip(base.columns, alive, strict=True) if keep)
    inputs = alive[: base.quality.shape[1]]
    return replace(
        base,
        columns=columns,
        values=base.values[:, alive],
        mask=base.mask[:, alive],
        quality=base.quality[:, inputs],
    )


def scale_bases(parts: Sequence[npt.NDArray[np.floating]], scales: Sequence[scaling.Scale]) -> npt.NDArray[np.float32]:
    """Each of `parts` (T, F) scaled, with 0 (the train mean) where they are missing: (R, T, F)."""
    found = np.empty((len(parts), *parts[0].shape), np.float32)
    for part, rows in _blocks(found):
        block = scales[part].apply(parts[part][rows])
        np.copyto(block, 0.0, where=np.isnan(block))
        found[part, rows] = block
    return found


def stack_bases(parts: Sequence[npt.NDArray[A]]) -> npt.NDArray[A]:
    """`parts`, each (T, F), as one array (R, T, F) whose rows lie together."""
    found = np.empty((len(parts), *parts[0].shape), parts[0].dtype)
    for part, rows in _blocks(found):
        found[part, rows] = parts[part][rows]
    return found


def _blocks(stack: npt.NDArray[np.generic]) -> list[Cells]:
    """`BLOCK` rows at a time of `stack` (R, T, F): they stay in the cache, whichever way its parts are laid out."""
    count, steps = stack.shape[:2]
    return [
        (part, slice(first, first + SCALED_ROWS)) for part in range(count) for first in range(0, steps, SCALED_ROWS)
    ]


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
