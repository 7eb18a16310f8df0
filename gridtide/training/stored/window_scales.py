"""Batches whose windows are scaled each by itself, and their targets back in units; for MLX and NumPy alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gridtide.errors import TrainingError
from gridtide.observations.array_types import Integers
from gridtide.training.stored.scales import find_scale, is_transformed

LEAST_DEVIATION = 1e-6
"""A column whose deviation in a window is below this share of that of the train steps counts as constant."""


def is_scaled_by_window(manifest: Mapping[str, Any], ranks: int) -> bool:
    """Returns whether the batches of the set are scaled by `scale_windows`; raises `TrainingError` if they are, and a
    window is divided among several `ranks`."""
    if manifest["spec"].get("scaling") != "per_window":
        return False
    if ranks > 1:
        name = manifest["spec"]["name"]
        raise TrainingError(name, "scales by whole windows, not by parts of them", "Choose another scaling for a ring")
    return True


def scale_windows(
    library: Any,
    manifest: Mapping[str, Any],
    mapped: Mapping[str, npt.NDArray[Any]],
    batch: Mapping[str, Any],
    location: Integers,
) -> dict[str, Any]:
    """Returns `batch` with each column of `x` scaled by what is observed of it in the window, and the targets, if there
    are any, as their own column is. Calendar columns stay; a column that does not vary in the window is only centred.

    `library` is that of the arrays in `batch`: `mlx.core` or `numpy`, with the same bits. `y_mean` and `y_deviation`
    (B, 1, K) convert targets back to their units: `y · y_deviation + y_mean`. Cells that are missing stay 0, the
    window's mean.
    """
    columns = manifest["locations"][0]["columns"]
    is_scaled = library.array(np.array([is_transformed(column["key"]) for column in columns], bool))
    x, mask = batch["x"], batch["mask"]
    count = library.maximum(mask.sum(axis=1, keepdims=True), 1).astype(library.float32)
    mean = library.where(is_scaled, _sum_steps(library, x * mask) / count, 0)
    difference = (x - mean) * mask
    deviation = library.sqrt(_sum_steps(library, difference * difference) / count)
    deviation = library.where(is_scaled & (deviation > LEAST_DEVIATION), deviation, 1)
    scaled = {**batch, "x": library.where((x == 0) & ~mask, 0, (x - mean) / deviation)}
    own = np.array([_find_own_columns(place) for place in manifest["locations"]])[location]  # (B, K)
    places = location[:, None], own
    column_mean, column_deviation = (library.array(mapped[name][places][:, None]) for name in ("mean", "deviation"))
    own_index = library.array(own[:, None])
    scaled["y_mean"] = library.take_along_axis(mean, own_index, axis=2) * column_deviation + column_mean
    scaled["y_deviation"] = library.take_along_axis(deviation, own_index, axis=2) * column_deviation
    for name, observed in (("y", "y_mask"), ("labels", "label_mask")):
        if name in batch:
            target_mean, target_deviation = (
                library.array(mapped[f"target_{part}"][location][:, None]) for part in ("mean", "deviation")
            )
            values = (batch[name] * target_deviation + target_mean - scaled["y_mean"]) / scaled["y_deviation"]
            scaled[name] = library.where(batch[observed], values, 0)
    return scaled


def _sum_steps(library: Any, values: Any) -> Any:
    """Sums `values` (B, L, F) over the steps: (B, 1, F).

    MLX and NumPy each add in an order of their own. Adding the second half of the steps to the first, again and again,
    is the same order in both, so the sums have the same bits.
    """
    while (steps := values.shape[1]) > 1:
        half = steps // 2
        pairs = values[:, :half] + values[:, half : 2 * half]
        values = library.concatenate([pairs, values[:, 2 * half :]], axis=1) if steps % 2 else pairs
    return values


def _find_own_columns(place: Mapping[str, Any]) -> list[int]:
    """Returns the number of the input column of each target of the location `place` of a manifest."""
    freshest: dict[str | None, int] = {}
    for number, column in enumerate(place["columns"]):
        if column["lookback"] >= 0:
            freshest.setdefault(column["series"], number)
    return [freshest[name] for name in place["targets"]]


def invert_targets(
    manifest: Mapping[str, Any], mapped: Mapping[str, npt.NDArray[Any]], batch: Mapping[str, Any], targets: Any
) -> npt.NDArray[np.float64]:
    """Converts `targets` (B, H, K), such as the `y` of `batch` or predictions of them, back to values in their
    units."""
    scaled = np.array(targets, np.float64)
    if "y_mean" in batch:
        mean, deviation = (np.array(batch[name], np.float64) for name in ("y_mean", "y_deviation"))
        return np.asarray(scaled * deviation + mean)
    locations = np.array(batch["location_id"]).tolist()
    scales = [find_scale(manifest, mapped, "targets", place) for place in range(len(manifest["locations"]))]
    return np.stack([scales[place].invert(part) for place, part in zip(locations, scaled, strict=True)])
