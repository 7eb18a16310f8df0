"""Reads a training set with other windows, columns or splits than it was prepared with.

Only the base of each location is stored, so all of these are views of one file:

    the base   |--------------------------------------------------------------|
    prepared   [ seq_len ][ horizon ]    [ seq_len ][ horizon ]
    chosen     [seq][h] [seq][h] [seq][h] [seq][h] …

What was fitted on the train hours of the set stays as it is: scales, limits, which columns there are. Splits whose
train hours end earlier are therefore refused; with them, validation hours would have been used for training.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gridtide.errors import TrainingError
from gridtide.periods import Period
from gridtide.training.series.cleaning import REPORTED
from gridtide.training.spec import TrainingSpec, load_spec
from gridtide.training.windows import splits
from gridtide.training.windows.placing import ObservedCells, divide_locations

CHOICES = ("seq_len", "horizon", "stride", "gap", "gate", "end", "splits", "min_inputs", "min_targets")
"""The keys of the spec that can be chosen when a set is read; and `columns`."""

BY_COLUMN = {"values": 2, "mask": 2, "mean": 1, "deviation": 1, "knots": 1}
"""The axis of the columns of the tensors that have one."""


class SetView(NamedTuple):
    """A training set as it is read: its manifest and tensors, as if it had been prepared so; and the numbers of its
    `columns` (F,) among those of the file, None for all."""

    manifest: Mapping[str, Any]
    mapped: Mapping[str, npt.NDArray[Any]]
    columns: npt.NDArray[np.int64] | None = None


def choose_view(
    manifest: Mapping[str, Any], mapped: Mapping[str, npt.NDArray[Any]], choices: Mapping[str, Any]
) -> SetView:
    """Returns the set with this `manifest` and these tensors with other windows, columns or splits.

    `choices` are keys of the spec in `CHOICES`, with their meaning there (`splits` replaces that of the spec as a
    whole), and `columns`: patterns of names or keys of columns, in which * stands for any characters. The windows are
    those that a set of this spec would have over the same hours. Tensors are not copied, apart from chosen columns.

    Raises `TrainingError` for an unknown choice, for values that the spec does not accept, for a pattern that matches
    no column, for splits whose train hours end before those of the set, and for a requested split without windows.
    """
    if not choices:
        return SetView(manifest, mapped)
    name = manifest["spec"]["name"]
    if unknown := sorted(choices.keys() - {*CHOICES, "columns"}):
        raise TrainingError(
            name, f"{', '.join(unknown)} cannot be chosen when it is read", f"Choose {', '.join(CHOICES)} or columns"
        )
    columns = _find_columns(manifest, choices["columns"]) if choices.get("columns") is not None else None
    if columns is not None:
        manifest, mapped = _take_columns(manifest, mapped, columns)
    document = manifest["spec"] | {key: value for key, value in choices.items() if key != "columns"}
    spec = load_spec(document)
    period = _find_period(spec, manifest)
    bounds = splits.find_bounds(spec, period)
    _check_train_end(spec, period, bounds.train_end, int(manifest["bounds"]["train_end"]))
    placed = divide_locations(spec, period, bounds, list_observed(manifest, mapped, bounds.steps)).rows
    unchanged = {key: array for key, array in mapped.items() if not key.startswith(("target_steps.", "windows."))}
    if any(key.startswith("future.") for key in unchanged):
        raise TrainingError(
            name, "stores the covariates of the steps to predict by window, as sets did before", "Prepare it again"
        )
    windows = {f"windows.{split}": rows[:, :2] for split, rows in placed.items()}
    steps = {f"target_steps.{split}": rows[:, 2:] for split, rows in placed.items()}
    chosen = {**manifest, "spec": spec.model_dump(mode="json"), "bounds": asdict(bounds)}
    return SetView(chosen, {**unchanged, **windows, **steps}, columns)


def roll_origin(manifest: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """Returns the choices of `count` folds of rolling origin: each trains on all hours before a part of the test hours,
    and tests on this part; the parts are equally long.

    Raises `TrainingError` if the set of `manifest` has fewer test steps than folds.
    """
    period = Period(*map(datetime.fromisoformat, manifest["period"]))
    bounds = splits.Bounds(**manifest["bounds"])
    begin, end = bounds.ranges()["test"]
    if not 0 < count <= end - begin:
        raise TrainingError(
            manifest["spec"]["name"],
            f"has {end - begin} test steps, not enough for {count} folds",
            "Ask for at least one fold, or prepare it with a larger share for test",
        )
    step = period.duration / int(bounds.steps)
    edges = [period.start + (begin + (end - begin) * number // count) * step for number in range(count + 1)]
    strict = bool(manifest["spec"].get("splits", {}).get("strict", False))
    return [
        {
            "end": edges[number + 1].isoformat(),
            "splits": {
                "train_end": edges[number].isoformat(),
                "validation_end": edges[number].isoformat(),
                "validation": 0,
                "gap": bounds.gap,
                "strict": strict,
            },
        }
        for number in range(count)
    ]


def _find_period(spec: TrainingSpec, manifest: Mapping[str, Any]) -> Period:
    """Returns the hours of the set of `manifest`, up to the end of `spec` if it is earlier."""
    start, end = map(datetime.fromisoformat, manifest["period"])
    if spec.end is not None and not start < spec.end <= end:
        raise TrainingError(spec.name, f"end {spec.end} is not within its period up to {end}", "Choose an earlier end")
    return Period(start, spec.end or end)


def _check_train_end(spec: TrainingSpec, period: Period, train_end: int, fitted_end: int) -> None:
    if train_end < fitted_end:
        chosen, fitted = (
            f"{period.start + step * spec.resolution:%Y-%m-%dT%H:%MZ}" for step in (train_end, fitted_end)
        )
        raise TrainingError(
            spec.name,
            f"its scales and columns were fitted on hours up to {fitted}, so that training that ends at {chosen} would "
            "have seen what it is validated on",
            f"Let train end at {fitted} or later, or prepare a set with the earliest train_end that you compare",
        )


def _find_columns(manifest: Mapping[str, Any], patterns: Iterable[str]) -> npt.NDArray[np.int64]:
    """Returns the numbers of the columns of which a name or the key matches any of `patterns`, in their order in the
    file; raises `TrainingError` for a pattern that matches none."""
    labels_by_column = [
        {label for column in columns for label in (column["name"], column["key"])}
        for columns in zip(*(location["columns"] for location in manifest["locations"]), strict=True)
    ]
    chosen = set[int]()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        matches = {
            number
            for number, labels in enumerate(labels_by_column)
            if any(fnmatchcase(label, pattern) for label in labels)
        }
        if not matches:
            examples = ", ".join(column["name"] for column in manifest["locations"][0]["columns"][:5])
            raise TrainingError(
                manifest["spec"]["name"], f'"{pattern}" matches no column', f"There are columns such as {examples}"
            )
        chosen |= matches
    return np.array(sorted(chosen), np.int64)


def _take_columns(
    manifest: Mapping[str, Any], mapped: Mapping[str, npt.NDArray[Any]], columns: npt.NDArray[np.int64]
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Returns manifest and tensors with `columns` (F,) only."""
    inputs = columns[columns < mapped["quality"].shape[2]]
    narrowed = {name: np.take(mapped[name], columns, axis=axis) for name, axis in BY_COLUMN.items() if name in mapped}
    narrowed["quality"] = np.take(mapped["quality"], inputs, axis=2)
    locations = [
        {**location, "columns": [location["columns"][number] for number in columns]}
        for location in manifest["locations"]
    ]
    return {**manifest, "locations": locations}, {**mapped, **narrowed}


def list_observed(
    manifest: Mapping[str, Any], mapped: Mapping[str, npt.NDArray[Any]], steps: int
) -> list[ObservedCells]:
    """Returns what is observed of inputs and targets in the first `steps`, by location; of a location without inputs
    all."""
    observed = []
    for number, location in enumerate(manifest["locations"]):
        quality = mapped["quality"][number, :steps]
        is_input = [column["series"] is not None for column in location["columns"][: quality.shape[1]]]
        cells = quality[:, is_input] == REPORTED if any(is_input) else np.ones((len(quality), 1), bool)
        observed.append(ObservedCells(cells, mapped["target_mask"][number, :steps]))
    return observed
