"""Windows over a base of T steps, represented by their start steps.

    start                t0      first target
    |------ seq_len -----|- gap -|-- horizon --|        context [start, t0), targets after the gap

With a gate, t0 is an hour of the local day, and the targets are the 23, 24 or 25 hours of the next one.

Windows are never materialised here.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
from numpy.random import default_rng

from gridtide.observations.array_types import Integers, Mask
from gridtide.periods import HOUR, Period, describe_duration, local_day


class Windows(NamedTuple):
    """N windows: `start` (N,): the first step of the context; `first_target`, `target_end` (N,): the half-open range of
    the steps to predict."""

    start: Integers
    first_target: Integers
    target_end: Integers

    def where(self, selection: Integers | Mask) -> Windows:
        """Returns the windows at the indices `selection`, or where it is True if it is a mask."""
        return Windows(*(column[selection] for column in self))


def place_windows(steps: int, *, seq_len: int, horizon: int, stride: int, gap: int = 0) -> Windows:
    """Returns all windows within `steps`, `stride` apart, counted from the first step; `gap` steps lie between context
    and targets.

    A window exactly as long as the data is one window.

    >>> place_windows(10, seq_len=5, horizon=2, stride=2, gap=1).start.tolist()
    [0, 2]
    """
    start = np.arange(0, steps - seq_len - gap - horizon + 1, stride)
    first_target = start + seq_len + gap
    return Windows(start, first_target, first_target + horizon)


def place_gate_windows(
    period: Period, timezone: str, gate_hour: int, *, seq_len: int, step: timedelta = HOUR
) -> Windows:
    """Returns the windows within the steps of `period` whose contexts end at `gate_hour` of a local day, and whose
    targets are the steps of the next one; `gate_hour` counts as the clock shows it, the first time if it does so twice.

    Days on which the clock skips the gate hour are predicted at the hour after it. Raises `ValueError` if a day of
    `timezone` does not begin with a step.

    >>> from datetime import UTC
    >>> days = Period(datetime(2024, 3, 8, 5, tzinfo=UTC), datetime(2024, 3, 11, 4, tzinfo=UTC))
    >>> windows = place_gate_windows(days, "America/New_York", 10, seq_len=24)
    >>> (windows.target_end - windows.first_target).tolist()
    [23]
    """
    zone, rows = ZoneInfo(timezone), []
    day = period.start.astimezone(zone).date()
    while (next_day := local_day(day + timedelta(days=1), zone)).start < period.end:
        moments = (datetime(day.year, day.month, day.day, gate_hour, tzinfo=zone), next_day.start, next_day.end)
        offsets = [moment - period.start for moment in moments]
        if any(offset % step for offset in offsets):
            raise ValueError(f"the days of {timezone} do not begin with a step of {describe_duration(step)} in UTC")
        rows.append([offset // step for offset in offsets])
        day += timedelta(days=1)
    columns = np.array(rows, np.int64).reshape(-1, 3).T
    windows = Windows(columns[0] - seq_len, columns[1], columns[2])
    return windows.where((windows.start >= 0) & (windows.target_end <= period.duration // step))


def measure_observed_share(mask: Mask, begin: Integers, end: Integers) -> npt.NDArray[np.float64]:
    """Returns the share of observed cells of `mask` (T, F) within `[begin, end)`, (N,)."""
    cumulative_count = np.concatenate([[0], np.cumsum(mask.sum(axis=1))])
    cell_count = np.maximum((end - begin) * mask.shape[1], 1)
    share: npt.NDArray[np.float64] = (cumulative_count[end] - cumulative_count[begin]) / cell_count
    return share


def select_observed(
    candidates: Windows, mask: Mask, target_mask: Mask, *, seq_len: int, min_inputs: float, min_targets: float
) -> Windows:
    """Returns the `candidates` whose context and targets are observed to at least the given shares.

    `mask` is (T, F), `target_mask` (T, K).
    """
    input_share = measure_observed_share(mask, candidates.start, candidates.start + seq_len)
    target_share = measure_observed_share(target_mask, candidates.first_target, candidates.target_end)
    return candidates.where((input_share >= min_inputs) & (target_share >= min_targets))


def shuffle_windows(count: int, *, seed: int, epoch: int) -> Integers:
    """Returns the permutation of `count` windows in `epoch`: a different one each epoch, the same for the same seed."""
    return default_rng([seed, epoch]).permutation(count)


def batch_windows(count: int, size: int, *, shuffle: bool, seed: int = 0, epoch: int = 0) -> Integers:
    """Returns indices of windows in batches of `size`: (batches, size).

    If shuffled, the incomplete last batch is left out (another epoch includes its windows). In order, all windows are
    included: the last batch is padded with −1.
    """
    if shuffle:
        return shuffle_windows(count, seed=seed, epoch=epoch)[: count // size * size].reshape(-1, size)
    return np.concatenate([np.arange(count), np.full(-count % size, -1)]).reshape(-1, size)
