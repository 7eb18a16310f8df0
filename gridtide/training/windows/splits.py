"""Divides windows into train, validation and test by the time of their targets.

    train            gap  validation      gap  test
    |----------------|    |---------------|    |----------|
                   [context.........][y]                       a validation window: its context reaches back

A window belongs to the split that contains all of its target steps. Its context may reach back into earlier splits,
unless `strict` forbids it. Validation and test may be left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gridtide.errors import TrainingError
from gridtide.periods import Period
from gridtide.training.spec import TrainingSpec
from gridtide.training.windows.windows import Windows

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Target steps: train `[0, train_end)`, validation `[train_end + gap, validation_end)`, test
    `[validation_end + gap, steps)`."""

    train_end: int
    validation_end: int
    steps: int
    gap: int = 0

    def ranges(self) -> dict[str, tuple[int, int]]:
        """Returns the half-open range of target steps of each split."""
        begins = {"train": 0, "validation": self.train_end + self.gap, "test": self.validation_end + self.gap}
        ends = self.train_end, self.validation_end, self.steps
        return {name: (begin, max(begin, end)) for (name, begin), end in zip(begins.items(), ends, strict=True)}


def requested_splits(spec: TrainingSpec) -> tuple[str, ...]:
    """Returns the splits that `spec` requests: those whose share is not 0."""
    shares = {"train": 1.0, "validation": spec.splits.validation, "test": spec.splits.test}
    return tuple(name for name in SPLITS if shares[name])


def split_ends(spec: TrainingSpec, period: Period) -> tuple[int, int]:
    """Returns the steps of `period` at which train and validation of `spec` end; they may lie outside the period."""
    step, split_rules = spec.resolution, spec.splits
    step_count = period.duration // step
    if split_rules.train_end and split_rules.validation_end:
        return (split_rules.train_end - period.start) // step, (split_rules.validation_end - period.start) // step
    validation_end = round(step_count * (1 - split_rules.test))
    return validation_end - round(step_count * split_rules.validation), validation_end


def train_slice(spec: TrainingSpec, rows: Period, hours: Period) -> slice:
    """Returns the train hours of a set over `rows` as positions in the longer period `hours`."""
    first_row = (rows.start - hours.start) // spec.resolution
    train_end, _ = split_ends(spec, rows)
    return slice(first_row, first_row + max(train_end, 0))


def find_bounds(spec: TrainingSpec, period: Period) -> Bounds:
    """Returns the splits of `spec` as steps of `period`; raises `TrainingError` if they do not divide the period."""
    steps = period.duration // spec.resolution
    train_end, validation_end = split_ends(spec, period)
    lengths = {"train": train_end, "validation": validation_end - train_end, "test": steps - validation_end}
    if any(length < 0 or (length > 0) != (name in requested_splits(spec)) for name, length in lengths.items()):
        train_moment, validation_moment = (
            f"{period.start + step * spec.resolution:%Y-%m-%dT%H:%M}" for step in (train_end, validation_end)
        )
        raise TrainingError(
            spec.name,
            f"the splits (train to {train_moment}, validation to {validation_moment}) do not lie within "
            f"the period {period} of {steps} steps, with a step for each of {', '.join(requested_splits(spec))}",
            "Choose train_end and validation_end inside it, in this order, or larger shares; 0 is for no such split, "
            "which then has no step",
        )
    return Bounds(train_end, validation_end, steps, spec.splits.gap)


def divide_windows(windows: Windows, bounds: Bounds, *, strict: bool = False) -> Mapping[str, Windows]:
    """Returns the `windows` of each split, in the given order; windows that straddle two splits belong to none."""
    constrained_begin = windows.start if strict else windows.first_target
    return {
        name: windows.where(
            (constrained_begin >= begin) & (windows.first_target >= begin) & (windows.target_end <= end)
        )
        for name, (begin, end) in bounds.ranges().items()
    }
