"""Bases: at each step, the columns of values as they were known then; pure and causal.

Row `r` of a column contains only what was available by the end of hour `r`. A window whose last context row is `t0 − 1`
therefore sees nothing that was not available at the start of hour `t0`, whatever its length: columns do not depend on
where a window begins.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt

from gridtide.errors import TrainingError
from gridtide.observations.array_types import Floats, Integers, Mask
from gridtide.periods import Period
from gridtide.quality.checks import extend_repeats
from gridtide.quality.natures import find_nature
from gridtide.quality.screening import CAUSAL_LIMITS
from gridtide.threads import compute_columns
from gridtide.training.features.columns import ABSENT, Columns, Feature, align_columns
from gridtide.training.features.derive import derive_columns
from gridtide.training.features.future import Forecast, collect_forecasts, fit_forecast_limits
from gridtide.training.series.cleaning import (
    REPORTED,
    Cleaned,
    clean_columns,
    fit_limits,
    reject_values,
)
from gridtide.training.series.hourly import Hourly
from gridtide.training.series.matching import (
    LocationSeries,
    SeriesKind,
    common_shifts,
    format_key,
    format_kind,
    locate_series,
    measure_delays,
)
from gridtide.training.series.steps import describe_row, format_shift, split_phases
from gridtide.training.spec import Location, TrainingSpec
from gridtide.training.windows import splits
from gridtide.variables import SeriesName

UNIT_RULE = "unit"
"""The rule by which hours are counted that have no value because their newest observation is in a unit that cannot be
converted."""


@dataclass(frozen=True)
class Derivation:
    """What a base was derived from, so that later steps can be derived in the same way.

    `inputs`: the key of each input column, dropped ones too, and its series, None where the location has none;
    `targets` and `future`: the key of the kind of each series, and its name, in the order of the arrays; `units`: by
    series; `limits`: by target, the lowest and highest accepted value.
    """

    inputs: Sequence[tuple[str, str | None]]
    targets: Sequence[tuple[str, str]]
    future: Sequence[tuple[str, str]]
    units: Mapping[str, str]
    limits: Mapping[str, Sequence[float]]


NOTHING_DERIVED = Derivation((), (), (), {}, {})


@dataclass(frozen=True)
class Base:
    """T steps of F columns and K targets of one location.

    `values` (T, F): gaps filled within the limit, NaN beyond. `mask` (T, F): where observed. `quality` (T, I): the
    state of each cell of the first I columns, the inputs (see `cleaning`). `targets` (T, K): NaN where not observed, or
    rejected. `targets_known` (T, K): the step by whose end a first version of each target was known. `target_names`: K
    series. `rejected`: by input or target and by rule, the number of rejected cells. `repeats`: by series, the number
    of observations with the key of another one. `limits`: by input, the lowest and highest accepted value, if there are
    limits. `forecasts`: by kind, the versions of the forecasts of the steps to predict. `corrections`: the records of
    its series that were shifted and renamed as they were read (`curated.Corrections`). `derivation`: what it was
    derived from.
    """

    location: str
    columns: tuple[Feature, ...]
    values: npt.NDArray[np.float32]
    mask: Mask
    quality: npt.NDArray[np.uint8]
    target_names: tuple[str, ...]
    targets: Floats
    targets_known: Integers
    rejected: Mapping[str, Mapping[str, int]]
    repeats: Mapping[str, int]
    limits: Mapping[str, Sequence[float]]
    forecasts: Mapping[SeriesKind, Forecast] = field(default_factory=dict)
    corrections: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    derivation: Derivation = NOTHING_DERIVED


def build_bases(spec: TrainingSpec, hourly: Hourly, rows: Period, names_read: Collection[str]) -> list[Base]:
    """Builds one base per location of `spec` over the hours `rows`, which lie within those of `hourly`.

    `names_read` are the names of all series that were read. All bases have the same columns in the same order; a column
    that a location lacks is missing throughout. Raises `TrainingError` as `locate_series` and `common_shifts` do, and
    for a target without a value.
    """
    located = locate_series(spec, hourly, names_read)
    train = splits.train_slice(spec, rows, hourly.period)
    shifts = common_shifts(spec, [measure_delays(hourly, series, train) for series in located])
    return derive_bases(spec, hourly, rows, located, shifts)


def derive_bases(
    spec: TrainingSpec,
    hourly: Hourly,
    rows: Period,
    located: Sequence[LocationSeries],
    shifts: Mapping[SeriesKind, Sequence[int]],
    limits: Sequence[Mapping[str, Sequence[float]]] | None = None,
) -> list[Base]:
    """Derives one base per location of `spec` from its series `located` in `hourly`; the columns show the hours at
    `shifts`.

    `limits`, by location and by input (and `target …`, `future …`), are those of an earlier set; if None, they are
    fitted on the train hours, and `TrainingError` is raised for a target without a value.
    """
    return align_bases(
        [
            _derive_base(spec, hourly, rows, location, series, shifts, limits[number] if limits else None)
            for number, (location, series) in enumerate(zip(spec.locations, located, strict=True))
        ]
    )


def _derive_base(
    spec: TrainingSpec,
    hourly: Hourly,
    rows: Period,
    location: Location,
    series: LocationSeries,
    shifts: Mapping[SeriesKind, Sequence[int]],
    limits: Mapping[str, Sequence[float]] | None,
) -> Base:
    """Derives the base of `location`, with the columns made of its own series."""
    inputs, cleaned, accepted = _clean_inputs(spec, hourly, rows, series.inputs, shifts, limits)
    columns = derive_columns(inputs, hourly.period, location, spec.features)
    first_row = (rows.start - hourly.period.start) // hourly.step
    inside = slice(first_row, first_row + rows.duration // hourly.step)
    target_numbers = list(series.targets.values())
    target_limits = _find_target_limits(spec, hourly, rows, target_numbers, limits)
    target_values, rejected = _clean_targets(spec, hourly, inside, target_numbers, target_limits)
    if limits is None:
        _check_targets(spec, hourly, rows, target_numbers, target_values, rejected)
    forecast_limits: Mapping[str, Sequence[float]]
    if limits is None:
        train = splits.train_slice(spec, rows, hourly.period)
        forecast_limits = fit_forecast_limits(hourly, train, series.future, spec.cleaning.absurd)
    else:
        forecast_limits = {
            hourly.names[number]: limits[key]
            for number in series.future.values()
            if (key := f"future {hourly.names[number]}") in limits
        }
    forecasts, rejected_versions = collect_forecasts(hourly, rows, series.future, spec.cleaning, forecast_limits)
    accepted |= {f"future {name}": bounds for name, bounds in forecast_limits.items()}
    return Base(
        location.name,
        columns.features,
        columns.values[:, inside].T,
        columns.observed[:, inside].T,
        cleaned.quality[:, inside].T,
        tuple(hourly.names[target_number] for target_number in target_numbers),
        target_values,
        np.array(
            [hourly.first_known_rows(target_number)[inside] - first_row for target_number in target_numbers], np.int64
        )
        .reshape(-1, len(target_values))
        .T,
        _count_rejected(inputs.features, cleaned, hourly, inside) | rejected | rejected_versions,
        {hourly.names[number]: int(hourly.repeats[number]) for number in (*series.inputs.values(), *target_numbers)},
        accepted,
        forecasts,
        _select_corrections(hourly, {*series.inputs.values(), *target_numbers, *series.future.values()}),
        _describe_derivation(hourly, inputs.features, series, target_limits),
    )


def _describe_derivation(
    hourly: Hourly, inputs: Sequence[Feature], series: LocationSeries, target_limits: Floats
) -> Derivation:
    """Returns what a base with these `inputs`, and targets within `target_limits` (K, 2), was derived from."""
    numbers = {*series.inputs.values(), *series.targets.values(), *series.future.values()}
    return Derivation(
        [(feature.key, feature.series) for feature in inputs],
        [(format_kind(kind), hourly.names[number]) for kind, number in series.targets.items()],
        [(format_kind(kind), hourly.names[number]) for kind, number in series.future.items()],
        {hourly.names[number]: hourly.units[number] for number in sorted(numbers)},
        {
            hourly.names[number]: (float(lowest), float(highest))
            for number, (lowest, highest) in zip(series.targets.values(), target_limits, strict=True)
            if np.isfinite(lowest)
        },
    )


def _select_corrections(hourly: Hourly, numbers: Collection[int]) -> dict[str, list[Mapping[str, Any]]]:
    """Returns the corrections of the series `numbers` in `hourly`."""
    names = {hourly.names[number] for number in numbers}
    return {
        kind: [record for record in records if record["series"] in names]
        for kind, records in hourly.corrections.items()
    }


def align_bases(bases: Sequence[Base]) -> list[Base]:
    """Gives all `bases` the columns of all of them, in the same order."""
    aligned = align_columns([Columns(base.columns, base.values.T, base.mask.T) for base in bases])
    return [
        replace(base, columns=columns.features, values=columns.values.T, mask=columns.observed.T)
        for base, columns in zip(bases, aligned, strict=True)
    ]


def _clean_inputs(
    spec: TrainingSpec,
    hourly: Hourly,
    rows: Period,
    numbers: Mapping[SeriesKind, int],
    shifts: Mapping[SeriesKind, Sequence[int]],
    limits: Mapping[str, Sequence[float]] | None,
) -> tuple[Columns, Cleaned, dict[str, Sequence[float]]]:
    """Returns the inputs of one location over the rows of `hourly`, cleaned; a kind that it lacks is missing
    throughout. Also returns `limits` by input, which are fitted on train hours if None."""
    planned = [(kind, numbers.get(kind), shift) for kind in shifts for shift in shifts[kind]]
    features, natures = [], []
    for kind, number, shift in planned:
        key, variable = format_key(kind, shift, hourly.step), kind.variable
        if number is None:
            features.append(Feature("absent", "", ABSENT, -shift, None, key))
            natures.append(find_nature(variable, ""))
            continue
        name, unit = hourly.names[number], hourly.units[number]
        described = describe_row(shift, hourly.step)
        formula = f"latest value of {name} for {described} that was available by the row's end"
        features.append(Feature(f"{name}{format_shift(shift, hourly.step)}", unit, formula, -shift, name, key))
        natures.append(find_nature(variable, unit))
    values = _look_up_columns(hourly, [(number, shift) for _, number, shift in planned])
    if limits is None:
        bounds = fit_limits(values[:, splits.train_slice(spec, rows, hourly.period)], spec.cleaning.absurd)
    else:
        bounds = np.array([limits.get(feature.name, (-np.inf, np.inf)) for feature in features]).reshape(-1, 2)
    ahead = [feature.lookback < 0 for feature in features]
    train = _train_rows(spec, hourly, rows)
    cleaned = clean_columns(values, natures, spec.cleaning, train, bounds, ahead, spec.quality, hourly.step)
    accepted_limits = {
        feature.name: (float(lowest), float(highest))
        for feature, (lowest, highest) in zip(features, bounds, strict=True)
        if np.isfinite(lowest) and feature.series is not None
    }
    columns = Columns(tuple(features), cleaned.values, cleaned.quality == REPORTED, hourly.step)
    return columns, cleaned, dict(accepted_limits)


def _look_up_columns(hourly: Hourly, planned: Sequence[tuple[int | None, int]]) -> Floats:
    """Returns what each row of `hourly` knew of each series by its number, so many rows later, (C, T); NaN without a
    series."""
    values = np.empty((len(planned), hourly.values.shape[1]))

    def look_up(column: int) -> None:
        number, shift = planned[column]
        values[column] = np.nan if number is None else hourly.as_known(number, shift)

    compute_columns(look_up, *values.shape)
    return values


def _train_rows(spec: TrainingSpec, hourly: Hourly, rows: Period) -> slice:
    """Returns the rows of `hourly` before the end of the training period, the only rows that rules may be fitted on."""
    if not spec.cleaning.is_fitted:
        return slice(0, 0)
    train_end, _ = splits.split_ends(spec, rows)
    return slice(0, (rows.start - hourly.period.start) // hourly.step + train_end)


def _find_target_limits(
    spec: TrainingSpec,
    hourly: Hourly,
    rows: Period,
    target_numbers: Sequence[int],
    limits: Mapping[str, Sequence[float]] | None,
) -> Floats:
    """Returns the lowest and the highest accepted value of each target, (K, 2): those of `limits`, or else fitted on
    the train hours."""
    if limits is None:
        train = splits.train_slice(spec, rows, hourly.period)
        return fit_limits(hourly.values[target_numbers][:, train], spec.cleaning.absurd)
    names = [f"target {hourly.names[number]}" for number in target_numbers]
    return np.array([limits.get(name, (-np.inf, np.inf)) for name in names], float).reshape(-1, 2)


def _clean_targets(
    spec: TrainingSpec, hourly: Hourly, inside: slice, target_numbers: Sequence[int], limits: Floats
) -> tuple[Floats, dict[str, dict[str, int]]]:
    """Returns the true values (T, K) of the series `target_numbers` without impossible ones and those outside `limits`
    (K, 2), and the number rejected of each."""
    names = [hourly.names[goal] for goal in target_numbers]
    natures = [
        find_nature(SeriesName.parse(name).variable, hourly.units[goal])
        for name, goal in zip(names, target_numbers, strict=True)
    ]
    observed = hourly.values[target_numbers]
    target_values, rules = reject_values(observed, natures, spec.cleaning, limits, spec.quality, hourly.step)
    run_length = CAUSAL_LIMITS.repeat if spec.cleaning.is_screened else spec.cleaning.repeat
    for phase in split_phases(rules["repeat"], hourly.step):
        phase[:] = extend_repeats(phase, run_length)
    rules["repeat"] &= ~np.isnan(observed)
    target_values[rules["repeat"]] = np.nan
    rejected = {
        f"target {name}": {rule: int(np.count_nonzero(cells[index, inside])) for rule, cells in rules.items()}
        | _count_refused(hourly, target_numbers[index], inside)
        for index, name in enumerate(names)
    }
    return target_values[:, inside].T, rejected


def _check_targets(
    spec: TrainingSpec,
    hourly: Hourly,
    rows: Period,
    target_numbers: Sequence[int],
    target_values: Floats,
    rejected: Mapping[str, Mapping[str, int]],
) -> None:
    """Raises `TrainingError` for a target without any value among `target_values` (T, K)."""
    for number, values in zip(target_numbers, target_values.T, strict=True):
        if np.isnan(values).all():
            name = hourly.names[number]
            raise _target_without_values(spec, hourly, rows, name, rejected[f"target {name}"])


def _target_without_values(
    spec: TrainingSpec, hourly: Hourly, rows: Period, name: str, rejected: Mapping[str, int]
) -> TrainingError:
    counts = ", ".join(f"{count} as {rule}" for rule, count in rejected.items() if count)
    filled = [series for series, values in zip(hourly.names, hourly.values, strict=True) if not np.isnan(values).all()]
    similar = get_close_matches(name, filled, n=5, cutoff=0.5) or filled[:5]
    return TrainingError(
        spec.name,
        f"the target {name} has no value in {rows}" + (f" (rejected: {counts})" if counts else ""),
        f"Choose another period or target; with values there are {', '.join(similar)}"
        if similar
        else "Choose another period; no series of this spec has a value in it",
    )


def _count_rejected(
    features: Sequence[Feature], cleaned: Cleaned, hourly: Hourly, inside: slice
) -> dict[str, dict[str, int]]:
    """Returns, by input and rule, the number of rejected cells within the rows `inside`."""
    numbers = {name: number for number, name in enumerate(hourly.names)}
    return {
        feature.name: {rule: int(np.count_nonzero(cells[index, inside])) for rule, cells in cleaned.rejected.items()}
        | _count_refused(hourly, numbers[feature.series], inside)
        for index, feature in enumerate(features)
        if feature.series is not None
    }


def _count_refused(hourly: Hourly, number: int, inside: slice) -> dict[str, int]:
    """Counts the hours within `inside` of series `number` that have no value because of their unit, by rule; empty if
    there are none."""
    refused = hourly.refused.get(number)
    return {} if refused is None else {UNIT_RULE: int(refused[inside].sum())}
