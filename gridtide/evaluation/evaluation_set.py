"""A training set as forecasters see it: windows in the order of their t0, and what was known of each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gridtide.errors import StorageError, TrainingError
from gridtide.observations.array_types import Floats, Integers
from gridtide.periods import DAY, Period
from gridtide.training import tensors
from gridtide.training.features.calendar import local_hours
from gridtide.training.spec import RESOLUTIONS
from gridtide.training.stored.covariates import gather_covariates
from gridtide.training.stored.scales import find_scale
from gridtide.training.windows.splits import SPLITS
from gridtide.variables import matches_any

SEQUENCES = "sequences.safetensors"


class OwnHistory(NamedTuple):
    """The target as an input shows it: `values` (T,): of each step, NaN where not observed; `delay`: the step is known
    from that many steps after it on."""

    values: Floats
    delay: int


@dataclass(frozen=True)
class EvaluationSet:
    """A training set at `path`: N windows of R locations over T steps, for the target number `target`.

    `location`, `t0`, `first_target`, `target_end` (N,): of each window its location, the step at whose start it is
    predicted, and the steps to predict. `split` (N,): the number of its split in `SPLITS`. `rank` (N,): its number
    within the tensors of its split. Windows are sorted by t0, then by location. `hidden` are patterns of series that
    forecasters that learn do not see.
    """

    path: Path
    manifest: Mapping[str, Any]
    arrays: Mapping[str, npt.NDArray[Any]]
    target: int
    location: Integers
    t0: Integers
    first_target: Integers
    target_end: Integers
    split: Integers
    rank: Integers
    hidden: tuple[str, ...] = ()

    @property
    def horizon(self) -> int:
        """H, the most steps that a window predicts."""
        return int(self.manifest["spec"]["horizon"])

    @cached_property
    def step(self) -> timedelta:
        """The length of a step."""
        return RESOLUTIONS[self.manifest["spec"].get("resolution", "PT1H")]

    @property
    def day(self) -> int:
        """The number of steps of a day."""
        return DAY // self.step

    @property
    def week(self) -> int:
        """The number of steps of a week."""
        return 7 * self.day

    @property
    def period(self) -> Period:
        """The period of the T steps of the set."""
        begin, end = self.manifest["period"]
        return Period(datetime.fromisoformat(begin), datetime.fromisoformat(end))

    @property
    def locations(self) -> list[dict[str, Any]]:
        """The locations of the manifest."""
        return list(self.manifest["locations"])

    @property
    def target_name(self) -> str:
        """The variable of the target, such as `demand`."""
        return str(self.locations[0]["targets"][self.target].rpartition("/")[2])

    @property
    def steps(self) -> Integers:
        """The steps to predict of each window, (N, H); beyond the last step of a window they go on."""
        return self.first_target[:, None] + np.arange(self.horizon)

    @cached_property
    def series(self) -> Floats:
        """The target of each location in its unit, (R, T); NaN where not observed."""
        values = []
        for location, scaled_values in enumerate(self.arrays["targets"].astype(np.float64)):
            scale = find_scale(self.manifest, self.arrays, "targets", location)
            values.append(scale.invert(scaled_values)[:, self.target])
        return np.where(self.arrays["target_mask"][:, :, self.target], np.stack(values), np.nan)

    @cached_property
    def truth(self) -> Floats:
        """The target of each window in its unit, (N, H); NaN where not observed and beyond the last step."""
        steps = np.minimum(self.steps, self.series.shape[1] - 1)
        values = self.series[self.location[:, None], steps]
        return np.where(self.steps < self.target_end[:, None], values, np.nan)

    def own_history(self, location: int) -> OwnHistory:
        """Returns the target of `location` as its input shows it; raises `TrainingError` if the target is no input."""
        number = self._own_column(location)
        delay = self.own_delay(location)
        return OwnHistory(shift_earlier(self.column(location, number), delay), delay)

    def own_delay(self, location: int) -> int:
        """Returns the steps after which a value of the target of `location` is known; raises as `own_history` does."""
        return int(self.locations[location]["columns"][self._own_column(location)]["lookback"])

    def _own_column(self, location: int) -> int:
        description = self.locations[location]
        name = description["targets"][self.target]
        inputs = description["columns"][: self.arrays["quality"].shape[2]]
        for number, column in enumerate(inputs):
            if column["series"] == name and column["lookback"] >= 0:
                return number
        raise TrainingError(
            self.manifest["spec"]["name"],
            f"the target {name} is not among the inputs of {description['name']}, so its past is not known at t0",
            "Add it to the inputs",
        )

    def column(self, location: int, number: int) -> Floats:
        """Returns column `number` of `location` in its unit, (T,); NaN where not observed."""
        scale = find_scale(self.manifest, self.arrays, "inputs", location)
        column = scale.take(np.arange(len(scale.mean)) == number)
        values = column.invert(self.arrays["values"][location, :, number : number + 1].astype(np.float64))[:, 0]
        return np.where(self.arrays["mask"][location, :, number], values, np.nan)

    def future(self, location: int, windows: Integers) -> tuple[list[str], Floats]:
        """Returns names (G,) and values (N, H, G), in their units, of the covariates of the steps to predict of
        `windows` at `location`; NaN where not known at t0."""
        columns = self.locations[location].get("future", [])
        values = np.full((len(windows), self.horizon, len(columns)), np.nan)
        for number, split in enumerate(SPLITS):
            chosen = self.split[windows] == number
            if columns and chosen.any():
                ranks = self.rank[windows[chosen]]
                cells = gather_covariates(self.arrays, split, ranks, self.manifest["spec"]["seq_len"], self.horizon)
                if cells is not None:
                    scale = find_scale(self.manifest, self.arrays, "future", location)
                    values[chosen] = scale.invert(cells.astype(np.float64))
        return [column["name"] for column in columns], values

    def is_visible(self, series: str | None) -> bool:
        """Whether forecasters that learn see `series`."""
        return series is None or not matches_any(series, self.hidden)

    def local_times(self, location: int) -> npt.NDArray[np.datetime64]:
        """Returns the local time of each step at `location`, (T,); of days the midnight of the local day that contains
        their noon."""
        return local_hours(self.period, self.manifest["spec"]["locations"][location]["timezone"], step=self.step)

    def minutes_of_day(self, location: int) -> Integers:
        """Returns the local minute of the day at which each step at `location` begins, (T,); 0 for days."""
        local = self.local_times(location)
        minutes: Integers = (local - local.astype("datetime64[D]")).astype("timedelta64[m]").astype(np.int64)
        return minutes

    def months(self) -> Integers:
        """Returns the month in UTC of each step, from 1 on, (T,)."""
        local = local_hours(self.period, "UTC", step=self.step)
        months: Integers = local.astype("datetime64[M]").astype(np.int64) % 12 + 1
        return months

    def moment(self, step: int) -> datetime:
        """Returns the start of `step`, UTC."""
        return self.period.start + step * self.step


def shift_earlier(values: Floats, rows: int) -> Floats:
    """Returns `values` (T,) that many `rows` earlier, or later if negative; NaN where there are none."""
    shifted_values = np.full_like(values, np.nan)
    if rows >= 0:
        shifted_values[: len(values) - rows] = values[rows:]
    else:
        shifted_values[-rows:] = values[:rows]
    return shifted_values


def open_evaluation(path: Path, target: int = 0, hidden: Sequence[str] = ()) -> EvaluationSet:
    """Opens the training set in the folder or file `path`; series that match `hidden` are not learned from.

    Raises `StorageError` if it is not a training set, `TrainingError` if it has no such target.
    """
    file = path / SEQUENCES if path.is_dir() else path
    arrays, metadata = tensors.open_mapped(file)
    if "manifest" not in metadata:
        raise StorageError(str(file), "is not a training set", "Name a file that `gridtide prepare` wrote")
    manifest = json.loads(metadata["manifest"])
    names = [name.rpartition("/")[2] for name in manifest["locations"][0]["targets"]]
    if not 0 <= target < len(names):
        targets_text = ", ".join(f"{number} ({name})" for number, name in enumerate(names)) or "none"
        fix = "Choose one of them" if names else "Prepare a set with targets"
        raise TrainingError(manifest["spec"]["name"], f"has no target number {target}, only {targets_text}", fix)
    spec, columns = manifest["spec"], []
    for number, split in enumerate(SPLITS):
        windows = np.asarray(arrays[f"windows.{split}"])
        t0 = windows[:, 1] + spec["seq_len"]
        steps = arrays.get(f"target_steps.{split}", np.stack([t0, t0 + spec["horizon"]], axis=1))
        ranks = np.arange(len(windows))
        columns.append([windows[:, 0], t0, steps[:, 0], steps[:, 1], np.full(len(windows), number), ranks])
    window_fields = [np.concatenate(parts).astype(np.int64) for parts in zip(*columns, strict=True)]
    order = np.lexsort((window_fields[0], window_fields[1]))
    location, t0, first_target, target_end, split_number, rank = (column[order] for column in window_fields)
    return EvaluationSet(
        *(file, manifest, arrays, target),
        *(location, t0, first_target, target_end, split_number, rank),
        hidden=tuple(hidden),
    )
