"""Joins new hours to the arrays of a stored set.

the set as it is stored |---------------------------------------|
derived from the lake                            |- compared ---|--- added ---|
the extended set        |---------------------------------------|--- added ---|
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gridtide.observations.array_types import Mask
from gridtide.observations.availability import NEVER_KNOWN
from gridtide.periods import Period
from gridtide.training import training_set
from gridtide.training.extending.parent import Parent
from gridtide.training.features.bases import Base, derive_bases
from gridtide.training.features.columns import Feature
from gridtide.training.features.future import FUTURE_ARRAYS, FutureBase
from gridtide.training.future_set import FutureSet, derive_later_future
from gridtide.training.realtime import take_named_columns
from gridtide.training.series.cleaning import MISSING
from gridtide.training.series.hourly import Hourly
from gridtide.training.series.matching import LocationSeries, parse_key, parse_kind, parse_shifts
from gridtide.training.spec import TrainingSpec
from gridtide.training.stored.choices import list_observed
from gridtide.training.stored.scales import find_scale
from gridtide.training.training_set import TrainingSet, count_known_before
from gridtide.training.windows import splits
from gridtide.training.windows.placing import divide_locations

STEP_ARRAYS = ("values", "mask", "quality", "targets", "target_mask")
"""The arrays (R, T, …) of a set that have its steps as their second axis."""


@dataclass(frozen=True)
class DerivedSteps:
    """Steps of `period` in the columns and scales of a stored set: `bases`, by location, `arrays`: those of
    `STEP_ARRAYS`, and `future`: what was known of them, with times from the first of them."""

    period: Period
    bases: Sequence[Base]
    arrays: Mapping[str, npt.NDArray[Any]]
    future: FutureBase


def derive_steps(parent: Parent, spec: TrainingSpec, hourly: Hourly, period: Period) -> DerivedSteps:
    """Derives the steps of `period` from the series in `hourly` as those of `parent` were derived."""
    numbers = {name: number for number, name in enumerate(hourly.names)}
    located = [
        LocationSeries(
            {parse_key(key, hourly.step)[0]: numbers[name] for key, name in derivation.inputs if name is not None},
            {parse_kind(key): numbers[name] for key, name in derivation.targets},
            {parse_kind(key): numbers[name] for key, name in derivation.future},
        )
        for derivation in parent.derivations
    ]
    shifts = parse_shifts((key for key, _ in parent.derivations[0].inputs), hourly.step)
    limits = [parent.limits(number) for number in range(len(located))]
    bases = derive_bases(spec, hourly, period, located, shifts, limits)
    future_columns = [location.get("future", []) for location in parent.manifest["locations"]]
    scales = (
        [find_scale(parent.manifest, parent.arrays, "future", number) for number in range(len(located))]
        if spec.has_future
        else []
    )
    future = (
        derive_later_future(spec, future_columns, scales, bases, period) if scales else _without_future(parent, period)
    )
    return DerivedSteps(period, bases, _shape_arrays(parent, bases), future)


def _without_future(parent: Parent, period: Period) -> FutureBase:
    """Returns a base of the steps of `period` without covariates."""
    places, steps = len(parent.derivations), period.duration // parent.spec.resolution
    empty = np.zeros((places, 0, steps + 1), np.int32)
    return FutureBase(empty, empty.reshape(-1), np.empty(0, np.float32), np.empty((places, steps, 0), np.float32))


def _shape_arrays(parent: Parent, bases: Sequence[Base]) -> dict[str, npt.NDArray[Any]]:
    """Returns the arrays of `STEP_ARRAYS` of `bases`, in the columns and scales of `parent`."""
    columns, quality, targets = [], [], []
    for base, location in zip(bases, parent.manifest["locations"], strict=True):
        names = [column["name"] for column in location["columns"]]
        columns.append(take_named_columns(base, names, slice(0, len(base.values))))
        quality.append(_take_quality(base, names[: parent.inputs]))
        left_out = [f"target {name}" in location["unscaled"] for name in base.target_names]
        targets.append(np.where(left_out, np.nan, base.targets))
    inputs, goals = (
        [find_scale(parent.manifest, parent.arrays, part, number) for number in range(len(bases))]
        for part in ("inputs", "targets")
    )
    return {
        "values": training_set.scale_bases([values for values, _ in columns], inputs),
        "mask": np.stack([mask for _, mask in columns]),
        "quality": np.stack(quality),
        "targets": training_set.scale_bases(targets, goals),
        "target_mask": ~np.isnan(np.stack(targets)),
    }


def _take_quality(base: Base, names: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Returns the state of each cell of `base` in the input columns `names`, (T, I)."""
    numbers = {feature.name: number for number, feature in enumerate(base.columns[: base.quality.shape[1]])}
    quality = np.full((len(base.values), len(names)), MISSING, np.uint8)
    for position, name in enumerate(names):
        if name in numbers and name != "absent":
            quality[:, position] = base.quality[:, numbers[name]]
    return quality


def find_different(parent: Parent, derived: DerivedSteps) -> dict[str, dict[str, Any]]:
    """Returns, by location, how many of the stored steps that were derived anew differ from what is stored, and the
    first and the last of them; only locations with any."""
    step = parent.spec.resolution
    first = (derived.period.start - parent.period.start) // step
    rows = slice(first, first + derived.period.duration // step)
    is_different = np.zeros(derived.arrays["mask"].shape[:2], bool)
    for name in STEP_ARRAYS:
        is_different |= (parent.arrays[name][:, rows] != derived.arrays[name]).any(axis=2)
    if parent.spec.has_future:
        is_different |= _find_other_versions(read_future(parent).take_steps(rows), _shift_times(derived.future, first))
    different = {}
    for location, mask in zip(parent.manifest["locations"], is_different, strict=True):
        steps = np.flatnonzero(mask)
        if len(steps):
            begin, end = (derived.period.start + int(number) * step for number in steps[[0, -1]])
            different[location["name"]] = {"steps": len(steps), "from": begin.isoformat(), "to": end.isoformat()}
    return different


def _find_other_versions(stored: FutureBase, derived: FutureBase) -> Mask:
    """Returns the steps (R, T) of which `stored` and `derived` know other versions of a forecast."""
    is_different = np.zeros(stored.calendar.shape[:2], bool)
    for place, number in np.ndindex(*stored.begin.shape[:2]):
        versions = []
        for base in (stored, derived):
            begin = base.begin[place, number]
            chosen = slice(begin[0], begin[-1])
            row = np.repeat(np.arange(len(begin) - 1), np.diff(begin))
            versions.append(
                {*zip(row.tolist(), base.known_row[chosen].tolist(), base.value[chosen].tolist(), strict=True)}
            )
        is_different[place, [row for row, _, _ in versions[0] ^ versions[1]]] = True
    return is_different


def read_future(parent: Parent) -> FutureBase:
    """Returns what was known of the steps of `parent`, as it is stored."""
    rows_per_day = round(86400 / parent.spec.resolution.total_seconds())
    begin, known_row, value, calendar = (parent.arrays[f"future_{name}"] for name in FUTURE_ARRAYS)
    return FutureBase(begin, known_row, value, calendar, rows_per_day)


def _shift_times(base: FutureBase, steps: int) -> FutureBase:
    """Returns `base` with times that count from that many `steps` earlier."""
    return replace(base, known_row=(base.known_row + np.int32(steps)).astype(np.int32))


def join_set(
    parent: Parent, spec: TrainingSpec, compared: DerivedSteps, added: DerivedSteps, extends: Mapping[str, Any]
) -> TrainingSet:
    """Returns the set of `parent` and the steps `added`, with the windows of `spec`; `compared` are the last steps of
    `parent` as they are derived now. Raises `TrainingError` for a requested split without windows."""
    period = Period(parent.period.start, added.period.end)
    arrays = {name: np.concatenate([parent.arrays[name], added.arrays[name]], axis=1) for name in STEP_ARRAYS}
    bounds = splits.find_bounds(spec, period)
    placed = divide_locations(spec, period, bounds, list_observed(parent.manifest, arrays, bounds.steps)).rows
    bases = tuple(_join_base(parent, number, arrays, base) for number, base in enumerate(added.bases))
    scales, target_scales = (
        tuple(find_scale(parent.manifest, parent.arrays, part, number) for number in range(len(bases)))
        for part in ("inputs", "targets")
    )
    return TrainingSet(
        spec,
        period,
        bounds,
        bases,
        tuple(parent.manifest["dropped"]),
        arrays["values"],
        arrays["mask"],
        arrays["quality"],
        arrays["targets"],
        arrays["target_mask"],
        {split: rows[:, :2] for split, rows in placed.items()},
        {split: rows[:, 2:] for split, rows in placed.items()},
        scales,
        target_scales,
        tuple(tuple(location["unscaled"]) for location in parent.manifest["locations"]),
        _join_future(parent, added),
        _join_known_before(parent, spec, bases, compared, added, placed),
        extends,
    )


def _join_future(parent: Parent, added: DerivedSteps) -> FutureSet:
    places = parent.manifest["locations"]
    columns = tuple(tuple(Feature(**column) for column in place.get("future", [])) for place in places)
    if not parent.spec.has_future:
        return FutureSet(added.future, columns, (), ())
    later = _shift_times(added.future, len(parent.arrays["time"]))
    scales = tuple(find_scale(parent.manifest, parent.arrays, "future", number) for number in range(len(places)))
    return FutureSet(read_future(parent).append(later), columns, scales, ())


def _join_base(parent: Parent, number: int, arrays: Mapping[str, npt.NDArray[Any]], added: Base) -> Base:
    """Returns the base of the location `number` over all steps of `arrays`; its values are inverted from those."""
    location = parent.manifest["locations"][number]
    inputs, goals = (find_scale(parent.manifest, parent.arrays, part, number) for part in ("inputs", "targets"))
    targets = np.where(
        arrays["target_mask"][number], goals.invert(arrays["targets"][number].astype(np.float64)), np.nan
    )
    corrections = parent.manifest.get("corrections", {})
    own_series = {*location["repeats"], *added.repeats}
    return replace(
        added,
        columns=tuple(Feature(**column) for column in location["columns"]),
        values=inputs.invert(arrays["values"][number].astype(np.float64)).astype(np.float32),
        mask=arrays["mask"][number],
        quality=arrays["quality"][number],
        targets=targets,
        rejected=_add_counts(location["rejected"], added.rejected),
        repeats=_add_counts({"": location["repeats"]}, {"": added.repeats})[""],
        limits=location["limits"],
        corrections={
            kind: [
                *(record for record in corrections.get(kind, []) if record["series"] in own_series),
                *added.corrections.get(kind, []),
            ]
            for kind in {*corrections, *added.corrections}
        },
        derivation=parent.derivations[number],
    )


def _add_counts(
    first: Mapping[str, Mapping[str, int]], second: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, int]]:
    """Returns the sums of both, by name and rule; names that only `second` has are left out, as the set has no column
    of them."""
    return {
        name: {
            rule: counts.get(rule, 0) + second.get(name, {}).get(rule, 0) for rule in {**counts, **second.get(name, {})}
        }
        for name, counts in first.items()
    }


def _join_known_before(
    parent: Parent,
    spec: TrainingSpec,
    bases: Sequence[Base],
    compared: DerivedSteps,
    added: DerivedSteps,
    placed: Mapping[str, npt.NDArray[np.int64]],
) -> tuple[dict[str, float], ...]:
    """Returns, by location and target, the share of the values that were known before t0: over the windows of `parent`,
    and over those that end in the steps `added`."""
    first = (compared.period.start - parent.period.start) // spec.resolution
    end = len(parent.arrays["time"])
    joined = []
    for number, base in enumerate(bases):
        known_rows = np.full(base.targets.shape, NEVER_KNOWN, np.int64)
        known_rows[first:end] = _count_from(compared.bases[number].targets_known, first)
        known_rows[end:] = _count_from(added.bases[number].targets_known, end)
        windows = (rows[(rows[:, 3] > end) & (rows[:, 2] >= first)] for rows in placed.values())
        counts = count_known_before(spec, replace(base, targets_known=known_rows), number, windows)
        observed = _count_observed(parent, number)
        shares = parent.manifest["locations"][number]["known_before"]
        earlier = np.array(
            [round(shares[name] * count) for name, count in zip(base.target_names, observed, strict=True)]
        )
        totals = np.maximum(counts[1] + observed, 1)
        joined.append(dict(zip(base.target_names, ((counts[0] + earlier) / totals).tolist(), strict=True)))
    return tuple(joined)


def _count_from(known_rows: npt.NDArray[np.int64], first: int) -> npt.NDArray[np.int64]:
    """Returns `known_rows`, which count from the row `first`, counted from the first row of the set."""
    return np.where(known_rows == NEVER_KNOWN, NEVER_KNOWN, known_rows + first)


def _count_observed(parent: Parent, location: int) -> npt.NDArray[np.int64]:
    """Returns the number of observed values of each target of `location`, over all windows of `parent`, (K,)."""
    mask, spec = parent.arrays["target_mask"][location], parent.spec
    counts = np.zeros(mask.shape[1], np.int64)
    for split in splits.SPLITS:
        windows = parent.arrays[f"windows.{split}"]
        first = windows[:, 1] + spec.seq_len
        steps = parent.arrays.get(f"target_steps.{split}", np.stack([first, first + spec.horizon], axis=1))
        for begin, end in steps[windows[:, 0] == location].tolist():
            counts += mask[begin:end].sum(axis=0)
    return counts
