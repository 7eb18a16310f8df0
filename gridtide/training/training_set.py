"""A training set in memory, and how it is assembled from bases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gridtide.errors import TrainingError
from gridtide.observations.array_types import Mask
from gridtide.periods import Period
from gridtide.training.features.bases import Base
from gridtide.training.features.columns import UNSCALED
from gridtide.training.future_set import FutureSet, assemble_future
from gridtide.training.series.cleaning import MISSING, REPORTED
from gridtide.training.spec import TrainingSpec
from gridtide.training.stored.scales import is_transformed
from gridtide.training.tensors import AnyTensor, LazyTensor
from gridtide.training.windows import scaling, splits
from gridtide.training.windows.placing import ObservedCells, divide_locations
from gridtide.training.windows.windows import Windows

SCALED_ROWS = 4096
"""The number of rows that are scaled at a time, so that they stay in the cache."""


BOUNDED = "calendar/"
"""The prefix of the keys of columns that need no scale, because their values always lie between −1 and 1."""


def assemble(spec: TrainingSpec, period: Period, bases: Iterable[Base]) -> TrainingSet:
    """Divides `bases`, each T steps of the same columns, into windows and splits, and scales them.

    Columns that no location observes in a train step, or that have no scale there, are dropped; the set lists them
    together with the inputs that have no column. Raises `TrainingError` for a requested split without windows, and for
    columns without a scale if the spec refuses them.

    The set keeps the arrays of `bases`, and scales them one location at a time when they are read: with all of them a
    second time, sets of years would not fit into the memory of small machines. For the same reason `bases` are replaced
    one by one, so that a caller who does not keep them never has the arrays of more than one twice.
    """
    bases = list(bases)
    bounds = splits.find_bounds(spec, period)
    train = slice(0, bounds.train_end)
    if not any(base.mask[train].any() for base in bases):
        raise TrainingError(spec.name, "no input is observed in any train step", "Choose another period or inputs")
    scales, unscaled = _scale_inputs(spec, bases, train)
    target_scales, targets_unscaled = _scale_targets(spec, bases, train)
    names_unscaled = [_name_unscaled(*pair) for pair in zip(bases, unscaled, targets_unscaled, strict=True)]
    names = [[column.name for column in base.columns] for base in bases]
    unused = {name for base in bases for name in _unused_columns(base)}
    for number, (cells, target_cells) in enumerate(zip(unscaled, targets_unscaled, strict=True)):
        bases[number] = _leave_out(bases[number], cells, target_cells)
    alive = np.any([base.mask[train].any(axis=0) for base in bases], axis=0)
    if not alive.any():
        raise TrainingError(spec.name, "no input varies in the train steps", "Choose another period or inputs")
    unobserved = {name for columns in names for name, keep in zip(columns, alive, strict=True) if not keep}
    dropped = sorted(unobserved | unused)
    if not alive.all():
        for number in range(len(bases)):
            bases[number] = _keep_columns(bases[number], alive)
        scales = [scale.take(alive) for scale in scales]
    _check_own_inputs(spec, bases)
    targets = [base.targets for base in bases]
    placed = _divide_windows(spec, period, bounds, bases)
    future = assemble_future(spec, period, train, bases)
    return TrainingSet(
        spec,
        period,
        bounds,
        tuple(bases),
        tuple(dropped),
        scale_lazily([base.values for base in bases], scales),
        stack_lazily([base.mask for base in bases]),
        stack_lazily([base.quality for base in bases]),
        scale_bases(targets, target_scales),
        np.stack([~np.isnan(values) for values in targets]),
        {split: rows[:, :2] for split, rows in placed.items()},
        {split: rows[:, 2:] for split, rows in placed.items()},
        tuple(scales),
        tuple(target_scales),
        tuple((*names, *future.unscaled[number]) for number, names in enumerate(names_unscaled)),
        future,
        measure_known_before(spec, bases, placed),
    )


def _scale_inputs(spec: TrainingSpec, bases: Sequence[Base], train: slice) -> tuple[list[scaling.Scale], list[Mask]]:
    """Returns the scale of each of `bases`, and which of its columns (F,) have no scale and are left out."""
    if spec.scaling == "none":
        identity = scaling.identity_scale(len(bases[0].columns))
        return [identity] * len(bases), [np.zeros(len(base.columns), bool) for base in bases]
    counts = np.stack([base.mask[train].sum(axis=0) for base in bases])
    bounded = np.array([not is_transformed(column.key) for column in bases[0].columns], bool)
    scales = [scaling.fit_scale(base.values[train], base.mask[train], spec.scaling, bounded) for base in bases]
    concerned = [
        np.array([column.name != "absent" and not column.key.startswith(BOUNDED) for column in base.columns])
        for base in bases
    ]
    if spec.unscaled_inputs == "pool":
        scales = _fill_pooled(scales, counts, concerned)
    unscaled = [mask & (scale.spread == 0) for scale, mask in zip(scales, concerned, strict=True)]
    if spec.unscaled_inputs == "refuse" and any(cells.any() for cells in unscaled):
        raise _without_scale(
            spec,
            "inputs",
            {base.location: _column_names(base, cells) for base, cells in zip(bases, unscaled, strict=True)},
        )
    return scales, unscaled


def _scale_targets(spec: TrainingSpec, bases: Sequence[Base], train: slice) -> tuple[list[scaling.Scale], list[Mask]]:
    """Returns the scale of the targets of each of `bases`, and which of them (K,) have no scale and are left out."""
    columns = bases[0].targets.shape[1]
    if spec.target_method == "none":
        return [scaling.identity_scale(columns)] * len(bases), [np.zeros(columns, bool) for _ in bases]
    masks = [~np.isnan(base.targets[train]) for base in bases]
    scales = [
        scaling.fit_scale(base.targets[train], mask, spec.target_method)
        for base, mask in zip(bases, masks, strict=True)
    ]
    if spec.unscaled_targets == "pool":
        counts = np.stack([mask.sum(axis=0) for mask in masks])
        scales = _fill_pooled(scales, counts, [np.ones(columns, bool)] * len(bases))
    unscaled = [scale.spread == 0 for scale in scales]
    if spec.unscaled_targets != "drop" and any(cells.any() for cells in unscaled):
        names = {
            base.location: [name for name, cell in zip(base.target_names, cells, strict=True) if cell]
            for base, cells in zip(bases, unscaled, strict=True)
        }
        raise _without_scale(spec, "targets", names)
    return scales, unscaled


def _fill_pooled(
    scales: Sequence[scaling.Scale], counts: npt.NDArray[np.int64], concerned: Sequence[Mask]
) -> list[scaling.Scale]:
    """Returns `scales`, with the pooled scale of all locations in the columns of `concerned` that have no spread."""
    pooled = scaling.pool_scales(scales, counts)
    return [
        scale.replace_where(mask & (scale.spread == 0), pooled) for scale, mask in zip(scales, concerned, strict=True)
    ]


def _check_own_inputs(spec: TrainingSpec, bases: Sequence[Base]) -> None:
    """Raises `TrainingError` if windows are to scale targets and a target is no input of its location."""
    for base in bases if spec.scaling == "per_window" else ():
        inputs = {column.series for column in base.columns[: base.quality.shape[1]] if column.lookback >= 0}
        if absent := sorted(set(base.target_names) - inputs):
            raise TrainingError(
                spec.name,
                f"scaling per_window: {', '.join(absent)} is not among the inputs of {base.location}, whose context "
                "scales it",
                "Add it to the inputs, or choose another scaling",
            )


def _without_scale(spec: TrainingSpec, kind: str, names: Mapping[str, Sequence[str]]) -> TrainingError:
    listed = "; ".join(f"{location}: {', '.join(columns)}" for location, columns in names.items() if columns)
    return TrainingError(
        spec.name,
        f"{kind} are never observed, or constant, in the train hours, so that nothing scales them ({listed})",
        f"Choose another period, train_end or series, or unscaled_{kind} pool or drop",
    )


def _column_names(base: Base, chosen: Mask) -> list[str]:
    return [column.name for column, cell in zip(base.columns, chosen, strict=True) if cell]


def _name_unscaled(base: Base, columns: Mask, targets: Mask) -> tuple[str, ...]:
    """Returns the names of the columns and targets of `base` that have no scale."""
    target_names = (f"target {name}" for name, cell in zip(base.target_names, targets, strict=True) if cell)
    return (*_column_names(base, columns), *target_names)


def _leave_out(base: Base, columns: Mask, targets: Mask) -> Base:
    """Returns `base` without `columns` (F,) and `targets` (K,), which become missing throughout, as if the location had
    no such series."""
    base = replace(base, targets=np.where(targets, np.nan, base.targets))
    if not columns.any():
        return base
    inputs = columns[: base.quality.shape[1]]
    features = tuple(
        replace(column, name="absent", unit="", formula=UNSCALED, series=None) if cell else column
        for column, cell in zip(base.columns, columns, strict=True)
    )
    return replace(
        base,
        columns=features,
        values=np.where(columns, np.float32(np.nan), base.values),
        mask=base.mask & ~columns,
        quality=np.where(inputs, np.uint8(MISSING), base.quality),
    )


def _divide_windows(
    spec: TrainingSpec, period: Period, bounds: splits.Bounds, bases: Sequence[Base]
) -> dict[str, npt.NDArray[np.int64]]:
    """Returns the location, the start, and the range of steps to predict, of the windows of each split, (N, 4)."""
    observed = []
    for base in bases:
        is_input = [feature.series is not None for feature in base.columns[: base.quality.shape[1]]]
        observed.append(ObservedCells(base.quality[:, is_input] == REPORTED, ~np.isnan(base.targets)))
    return divide_locations(spec, period, bounds, observed).rows


def _unused_columns(base: Base) -> set[str]:
    """Returns the inputs without a column: they have no values, or are known ahead and the spec has no leads."""
    return base.repeats.keys() - {column.series for column in base.columns} - set(base.target_names)


def _keep_columns(base: Base, alive: npt.NDArray[np.bool_]) -> Base:
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
    """Scales each of `parts` (T, F) into one array (R, T, F); missing values become 0, the train mean."""
    return np.asarray(scale_lazily(parts, scales))


def scale_lazily(parts: Sequence[npt.NDArray[np.floating]], scales: Sequence[scaling.Scale]) -> LazyTensor:
    """As `scale_bases`, but each location is scaled when it is needed."""

    def scale_location(number: int) -> npt.NDArray[np.float32]:
        scaled_values = np.empty(parts[number].shape, np.float32)
        for rows in _list_blocks(len(scaled_values)):
            scaled = scales[number].apply(parts[number][rows])
            np.copyto(scaled, 0.0, where=np.isnan(scaled))
            scaled_values[rows] = scaled
        return scaled_values

    return LazyTensor((len(parts), *parts[0].shape), np.dtype(np.float32), scale_location)


def stack_lazily(parts: Sequence[npt.NDArray[Any]]) -> LazyTensor:
    """Stacks `parts`, each (T, F), into one tensor (R, T, F), whose items are contiguous copies of them."""

    def copy_location(number: int) -> npt.NDArray[Any]:
        contiguous = np.empty(parts[number].shape, parts[number].dtype)
        for rows in _list_blocks(len(contiguous)):
            contiguous[rows] = parts[number][rows]
        return contiguous

    return LazyTensor((len(parts), *parts[0].shape), parts[0].dtype, copy_location)


def _list_blocks(steps: int) -> list[slice]:
    """Returns blocks of `SCALED_ROWS` of all `steps`, which stay in the cache whatever the memory layout of the
    parts."""
    return [slice(first, first + SCALED_ROWS) for first in range(0, steps, SCALED_ROWS)]


@dataclass(frozen=True)
class TrainingSet:
    """R locations over the T hours of `period`, with F input columns and K targets, scaled by train steps.

    `values` (R, T, F) float32, 0 where missing, which may be scaled when they are read; `mask` (R, T, F) where
    observed; `quality` (R, T, I) the state of each cell of the first I columns, the inputs (see `cleaning`); `targets`
    (R, T, K) float32; `target_mask` (R, T, K); `windows` per split (N, 2): location and start step; `target_steps` per
    split (N, 2): the half-open range of the steps to predict; `scales` and `target_scales`, one per location;
    `unscaled`: per location, the columns and targets left out for lack of a scale; `future`: the covariates of the
    steps to predict; `known_before`: per location, the share of the values of each target that were known before t0;
    `extends`: for a set that extends another one, what the manifest says of that.
    """

    spec: TrainingSpec
    period: Period
    bounds: splits.Bounds
    bases: tuple[Base, ...]
    dropped: tuple[str, ...]
    values: AnyTensor
    mask: AnyTensor
    quality: AnyTensor
    targets: npt.NDArray[np.float32]
    target_mask: npt.NDArray[np.bool_]
    windows: Mapping[str, npt.NDArray[np.int64]]
    target_steps: Mapping[str, npt.NDArray[np.int64]]
    scales: tuple[scaling.Scale, ...]
    target_scales: tuple[scaling.Scale, ...]
    unscaled: tuple[tuple[str, ...], ...]
    future: FutureSet
    known_before: tuple[Mapping[str, float], ...]
    extends: Mapping[str, Any] | None = None

    def largest_scaled(self, location: int) -> dict[str, npt.NDArray[np.float32]]:
        """Returns, by split, the largest distance of each column of `location` from its train mean in standard
        deviations, (F,); 0 where nothing is observed."""
        largest, scaled_values = {}, self.values[location]
        for split, (begin, end) in self.bounds.ranges().items():
            values = scaled_values[begin:end]
            extremes = np.maximum(values.max(axis=0, initial=0), -values.min(axis=0, initial=0))
            largest[split] = extremes
        return largest

    def read_future(self, split: str) -> tuple[npt.NDArray[np.float32], Mask]:
        """Returns the covariates of the steps to predict of the windows of `split`, scaled, 0 where not known at t0,
        and where they are known, (N, H, G) each."""
        location, start = self.windows[split].T
        windows = Windows(start, *self.target_steps[split].T)
        gathered = self.future.base.gather(location, start + self.spec.seq_len, windows, self.spec.horizon)
        return np.nan_to_num(gathered, nan=0.0), ~np.isnan(gathered)


def measure_known_before(
    spec: TrainingSpec, bases: Sequence[Base], placed: Mapping[str, npt.NDArray[np.int64]]
) -> tuple[dict[str, float], ...]:
    """Returns, by location and by its targets, the share of the observed values, over all windows, that were known
    before t0."""
    return tuple(
        {
            name: known_count / max(observed_count, 1)
            for name, known_count, observed_count in zip(
                base.target_names, *count_known_before(spec, base, number, placed.values()).tolist(), strict=True
            )
        }
        for number, base in enumerate(bases)
    )


def count_known_before(
    spec: TrainingSpec, base: Base, location: int, placed: Iterable[npt.NDArray[np.int64]]
) -> npt.NDArray[np.int64]:
    """Returns the number of target values in windows that were known before t0, and of all that are observed, (2, K);
    `base` is that of `location`, `placed` are windows (N, 4) of all locations."""
    counts = np.zeros((2, len(base.target_names)), np.int64)
    for rows in placed:
        for _, start, first_target, target_end in rows[rows[:, 0] == location].tolist():
            steps = slice(first_target, target_end)
            observed = ~np.isnan(base.targets[steps])
            counts += (observed & (base.targets_known[steps] < start + spec.seq_len)).sum(axis=0), observed.sum(axis=0)
    return counts
