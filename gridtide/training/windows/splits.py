"""Which windows train, validate and test: by the time of what they predict.

    train            gap  validation      gap  test
    |----------------|    |---------------|    |----------|
                   [context.........][y]                       a validation window: its context reaches back

A window belongs to the split that holds all of its target steps; its context may reach back into
earlier splits, unless `strict`, which asks that it does not. Validation and test may be left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gridtide.errors import TrainingError
from gridtide.observations.array_types import Integers
from gridtide.periods import HOUR, Period
from gridtide.training.spec import TrainingSpec

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
        """The half-open range of target steps of each split."""
        begins = {"train": 0, "validation": self.train_end + self.gap, "test": self.validation_end + self.gap}
        ends = self.train_end, self.validation_end, self.steps
        return {name: (begin, max(begin, end)) for (name, begin), end in zip(begins.items(), ends, strict=True)}


def requested_splits(spec: TrainingSpec) -> tuple[str, ...]:
    """The splits that `spec` is to have: those whose share is not 0."""
    shares = {"train": 1.0, "validation": spec.splits.validation, "test": spec.splits.test}
    return tuple(name for name in SPLITS if shares[name])


def split_ends(spec: TrainingSpec, period: Period) -> tuple[int, int]:
    """The steps of `period` at which train and validation of `spec` end, wherever they lie."""
    steps, rule = period.duration // HOUR, spec.splits
    if rule.train_end and rule.validation_end:
        return (rule.train_end - period.start) // HOUR, (rule.validation_end - period.start) // HOUR
    validation_end = round(steps * (1 - rule.test))
    return validation_end - round(steps * rule.validation), validation_end


def train_slice(spec: TrainingSpec, rows: Period, hours: Period) -> slice:
    """The train hours of a set over `rows`, as places in the longer `hours`."""
    first = (rows.start - hours.start) // HOUR
    train_end, _ = split_ends(spec, rows)
    return slice(first, first + max(train_end, 0))


def find_bounds(spec: TrainingSpec, period: Period) -> Bounds:
    """The splits of `spec` as steps of `period`; raises `TrainingError` where they do not share it out."""
    steps = period.duration // HOUR
    train_end, validation_end = split_ends(spec, period)
    lengths = {"train": train_end, "validation": validation_end - train_end, "test": steps - validation_end}
    if any(length < 0 or (length > 0) != (name in requested_splits(spec)) for name, length in lengths.items()):
        first, second = (f"{period.start + step * HOUR:%Y-%m-%dT%H:%M}" for step in (train_end, validation_end))
        raise TrainingError(
            spec.name,
            f"the splits (train to {first}, validation to {second}) do not lie within "
            f"the period {period} of {steps} steps, with a step for each of {', '.join(requested_splits(spec))}",
            "Choose train_end and validation_end inside it, in this order, or larger shares; 0 is for no such split, "
            "which then has no step",
        )
    return Bounds(train_end, validation_end, steps, spec.splits.gap)


def divide_windows(
    starts: Integers, bounds: Bounds, *, seq_len: int, horizon: int, strict: bool = False
) -> Mapping[str, Integers]:
    """The window `starts` (N,) of each split, in the order given; windows that straddle two belong to none.

    A window that starts at step `s` has its context in `[s, s + seq_len)` and predicts the `horizon`
    steps after it.
    """
    first, last = starts + seq_len, starts + seq_len + horizon
    earliest = starts if strict else first
    return {
        name: starts[(earliest >= begin) & (first >= begin) & (last <= end)]
        for name, (begin, end) in bounds.ranges().items()
    }
