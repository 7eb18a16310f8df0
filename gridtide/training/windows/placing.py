"""Places the windows of all locations of a set, and divides them into splits.

The same function serves a set that is prepared and one that is read with other windows, so that both have the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gridtide.errors import TrainingError
from gridtide.observations.array_types import Mask
from gridtide.periods import HOUR, Period
from gridtide.training.spec import Location, TrainingSpec
from gridtide.training.windows import splits
from gridtide.training.windows.windows import Windows, place_gate_windows, place_windows, select_observed


class ObservedCells(NamedTuple):
    """What is observed at a location: of its inputs (T, I), and of its targets (T, K)."""

    inputs: Mask
    targets: Mask


class PlacedWindows(NamedTuple):
    """The windows of a set. `rows`: by split, the location, the start, and the half-open range of steps to predict,
    (N, 4); `candidates`: the number of windows of a location before those with too few observed cells are left out."""

    rows: dict[str, npt.NDArray[np.int64]]
    candidates: int


def divide_locations(
    spec: TrainingSpec, period: Period, bounds: splits.Bounds, observed: Sequence[ObservedCells]
) -> PlacedWindows:
    """Returns the windows of all locations of `spec` over `period`, divided by `bounds`; `observed`: by location.

    Raises `TrainingError` if a requested split has no window, and as `_place_candidates` does.
    """
    parts_by_split: dict[str, list[npt.NDArray[np.int64]]] = {name: [] for name in splits.SPLITS}
    candidate_count = 0
    for number, (cells, location) in enumerate(zip(observed, spec.locations, strict=True)):
        candidates = _place_candidates(spec, location, period)
        candidate_count = max(candidate_count, len(candidates.start))
        valid_windows = select_observed(
            candidates,
            cells.inputs,
            cells.targets,
            seq_len=spec.seq_len,
            min_inputs=spec.min_inputs,
            min_targets=spec.min_targets,
        )
        for name, windows in splits.divide_windows(valid_windows, bounds, strict=spec.splits.strict).items():
            parts_by_split[name].append(np.stack([np.full(len(windows.start), number), *windows], axis=1))
    placed = PlacedWindows({name: np.concatenate(parts) for name, parts in parts_by_split.items()}, candidate_count)
    _check_windows(spec, period, bounds, observed, placed)
    return placed


def _place_candidates(spec: TrainingSpec, location: Location, period: Period) -> Windows:
    """Returns all windows of `location` within `period`; raises `TrainingError` for a gate in a time zone whose days do
    not begin with a step."""
    if spec.gate is None:
        shape = {"seq_len": spec.seq_len, "horizon": spec.horizon, "stride": spec.stride, "gap": spec.gap}
        return place_windows(period.duration // spec.resolution, **shape)
    try:
        gate_hour = int(spec.gate[:2])
        return place_gate_windows(period, location.timezone, gate_hour, seq_len=spec.seq_len, step=spec.resolution)
    except ValueError as error:
        raise TrainingError(spec.name, f"gate: {error}", f"Leave out the gate, or {location.name}") from error


def _check_windows(
    spec: TrainingSpec, period: Period, bounds: splits.Bounds, observed: Sequence[ObservedCells], placed: PlacedWindows
) -> None:
    """Raises `TrainingError` if a requested split has no window."""
    counts = {name: len(rows) for name, rows in placed.rows.items()}
    empty_splits = [name for name in splits.requested_splits(spec) if not counts[name]]
    if empty_splits:
        window_counts = ", ".join(f"{name} {count}" for name, count in counts.items())
        step, unit = spec.resolution, "h" if spec.resolution == HOUR else "steps"
        ranges = ", ".join(f"{name} {max(end - begin, 0)} {unit}" for name, (begin, end) in bounds.ranges().items())
        steps = np.flatnonzero(np.any([cells.targets.any(axis=1) for cells in observed], axis=0))
        observed_period = Period(*(period.start + int(window_row) * step for window_row in (steps[0], steps[-1] + 1)))
        raise TrainingError(
            spec.name,
            f"no window falls into {' and '.join(empty_splits)} "
            f"(windows: {window_counts}; targets: {ranges}, observed in "
            f"{observed_period}; a window is {spec.seq_len} + {spec.horizon} {unit}, one every {spec.stride} {unit}, "
            f"{placed.candidates} fit)",
            "Use another or longer period, a shorter seq_len, horizon or gap, other splits (a share of 0 is for none), "
            "or lower min_inputs and min_targets",
        )
