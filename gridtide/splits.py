"""Which windows train, validate and test: by the time of what they predict.

    train            gap  validation      gap  test
    |----------------|    |---------------|    |----------|
                   [context.........][y]                       a validation window: its context reaches back

A window belongs to the split that holds all of its target steps; its context may reach back into
earlier splits, unless `strict`, which asks that it does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from gridtide.errors import TrainingError
from gridtide.periods import Period
from gridtide.spec import TrainingSpec

Starts = npt.NDArray[np.int64]

NAMES = ("train", "validation", "test")


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
        return {
            "train": (0, self.train_end),
            "validation": (self.train_end + self.gap, self.validation_end),
            "test": (self.validation_end + self.gap, self.steps),
        }


def bounds(wanted: TrainingSpec, period: Period) -> Bounds:
    """The splits of `wanted` as steps of `period`; raises `TrainingError` where one lies outside it."""
    hour = timedelta(hours=1)
    steps, rule = period.duration // hour, wanted.splits
    if rule.train_end and rule.validation_end:
        train_end = (rule.train_end - period.start) // hour
        validation_end = (rule.validation_end - period.start) // hour
    else:
        validation_end = round(steps * (1 - rule.test))
        train_end = validation_end - round(steps * rule.validation)
    if not 0 < train_end < validation_end < steps:
        first, second = (f"{period.start + step * hour:%Y-%m-%dT%H:%M}" for step in (train_end, validation_end))
        raise TrainingError(
            wanted.name,
            f"the splits (train to {first}, validation to {second}) do not lie within "
            f"the period {period} of {steps} steps, with a step for each",
            "Choose train_end and validation_end inside it, in this order, or larger shares",
        )
    return Bounds(train_end, validation_end, steps, rule.gap)


def divide(starts: Starts, bounds: Bounds, *, seq_len: int, horizon: int, strict: bool = False) -> Mapping[str, Starts]:
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
