"""What a model may see at each step: columns of values as they were known then; pure and causal.

Row `r` of a column holds only what was available by the end of hour `r`. A window whose last context
row is `t0 − 1` therefore sees nothing that was not available at the start of hour `t0`, whatever its
length: no column needs to know where a window begins.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt

from gridtide import variables
from gridtide.errors import TrainingError
from gridtide.periods import HOUR, Period
from gridtide.training.features.columns import ABSENT, Columns, Feature, align_columns
from gridtide.training.features.derive import derive_columns
from gridtide.training.series.cleaning import REPORTED, Cleaned, clean_columns, reject_values
from gridtide.training.series.hourly import Hourly
from gridtide.training.series.plausible import find_nature
from gridtide.training.spec import Location, TrainingSpec
from gridtide.training.windows import splits

KNOWN_AHEAD = -2
"""A series with at most this delay is known before its hour begins: a forecast, or a day-ahead product."""


SeriesKind = tuple[str, str, int]
"""Source, variable, and the how-manieth of a location's series with both: what two locations have in common."""


@dataclass(frozen=True)
class Base:
    """One location's T steps of F columns and K targets.

    `values` (T, F): gaps filled within the limit, NaN beyond. `mask` (T, F): what was observed.
    `quality` (T, I): of the first I columns, which are the inputs, what each cell is (see `cleaning`).
    `targets` (T, K): NaN where not observed, or rejected. `target_names`: K series. `rejected`: by input
    or target, by rule, how many cells were thrown out. `repeats`: by series, how many observations had
    the key of another.
    """

    location: str
    columns: tuple[Feature, ...]
    values: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]
    quality: npt.NDArray[np.uint8]
    target_names: tuple[str, ...]
    targets: npt.NDArray[np.float64]
    rejected: Mapping[str, Mapping[str, int]]
    repeats: Mapping[str, int]


@dataclass(frozen=True)
class LocationInputs:
    """What a location has: of each kind of input after how many rows 99 % of its values are known, the latest of
    its series, None where none has a value; the names of its inputs; and the kinds of its targets."""

    delays: Mapping[SeriesKind, int | None]
    inputs: tuple[str, ...]
    targets: tuple[SeriesKind, ...]


def match_series(
    patterns: Iterable[str], names: Collection[str], spec: TrainingSpec, seen: Collection[str]
) -> list[str]:
    """Those of `names` that match any of `patterns`, sorted.

    Raises `TrainingError` for a pattern that matches none, naming what is alike or there instead.
    """
    found: set[str] = set()
    for pattern in patterns:
        hits = [name for name in names if fnmatchcase(name, pattern)]
        if not hits:
            there = (
                f"The lake has {len(seen)} series in this period, such as {', '.join(similar_names(pattern, seen))}"
                if seen
                else ("The lake has no series of these entries in this period; ingest or backfill first")
            )
            raise TrainingError(spec.name, f'"{pattern}" matches no series', there)
        found.update(hits)
    return sorted(found)


def similar_names(pattern: str, names: Collection[str]) -> list[str]:
    """Those of `names` that `pattern` may have meant, or else the first of them."""
    return get_close_matches(pattern, sorted(names), n=5, cutoff=0.5) or sorted(names)[:10]


def build_bases(
    spec: TrainingSpec,
    hourly: Hourly,
    period: Period,
    seen: Collection[str],
    earlier: Mapping[SeriesKind, Sequence[int]] | None = None,
) -> list[Base]:
    """One base per location of `spec` over the hours of `period`, which lies within that of `hourly`.

    All have the same columns, in the same order: one that a location lacks is missing throughout.
    `earlier` are the shifts of a set whose columns these are to be; else they follow from the delays.
    Raises `TrainingError` for a pattern without a series, a series in another unit than its variable has,
    and a target without a value.
    """
    shifts = dict(earlier or {}) or common_shifts(spec, find_inputs(spec, hourly, seen))
    return align_bases([_base(spec, hourly, period, location, seen, shifts) for location in spec.locations])


def _base(
    spec: TrainingSpec,
    hourly: Hourly,
    period: Period,
    location: Location,
    seen: Collection[str],
    shifts: Mapping[SeriesKind, Sequence[int]],
) -> Base:
    """The base of `location`, with the columns that are made of its own series."""
    place, goals = (_series(spec, hourly, some, seen) for some in (location.inputs, location.targets))
    inputs, cleaned = _inputs(spec, hourly, period, place, shifts)
    columns = derive_columns(inputs, hourly.period, location, spec.features)
    first = (period.start - hourly.period.start) // HOUR
    rows = slice(first, first + period.duration // HOUR)
    truth, rejected = _targets(spec, hourly, period, rows, list(goals.values()))
    return Base(
        location.name,
        columns.features,
        columns.values[:, rows].T,
        columns.observed[:, rows].T,
        cleaned.quality[:, rows].T,
        tuple(hourly.names[goal] for goal in goals.values()),
        truth,
        _rejected(inputs.features, cleaned, rows) | rejected,
        {hourly.names[number]: int(hourly.repeats[number]) for number in (*place.values(), *goals.values())},
    )


def find_inputs(spec: TrainingSpec, hourly: Hourly, seen: Collection[str]) -> list[LocationInputs]:
    """What each location of `spec` has in `hourly`; raises as `build_bases` does."""
    found = []
    for location in spec.locations:
        inputs, targets = (_series(spec, hourly, some, seen) for some in (location.inputs, location.targets))
        delays = {kind: hourly.delay(number) for kind, number in inputs.items()}
        found.append(LocationInputs(delays, tuple(hourly.names[number] for number in inputs.values()), tuple(targets)))
    return found


def common_shifts(spec: TrainingSpec, places: Sequence[LocationInputs]) -> dict[SeriesKind, tuple[int, ...]]:
    """Which hours the columns of each kind look at, in all `places`: its leads if it is known ahead everywhere,
    else the freshest that is known everywhere. Raises `TrainingError` where places have different targets, and for
    a pattern of what features are made of that matches no input of any place."""
    if len({place.targets for place in places}) > 1:
        raise TrainingError(
            spec.name, "the locations have different targets", "Give each the same variables to predict"
        )
    inputs = {name for place in places for name in place.inputs}
    for pattern in spec.features.of if spec.features.lags or spec.features.rolling else ():
        if not any(fnmatchcase(name, pattern) for name in inputs):
            there = f"The inputs are such as {', '.join(similar_names(pattern, inputs))}"
            raise TrainingError(spec.name, f'features.of: "{pattern}" matches no input', there)
    delays: dict[SeriesKind, list[int]] = defaultdict(list)
    for place in places:
        for kind, delay in place.delays.items():
            delays[kind] += [] if delay is None else [delay]
    return {kind: _shifts(spec, delays[kind]) for kind in sorted(delays)}


def align_bases(made: Sequence[Base]) -> list[Base]:
    """The bases `made`, each aligned with some of the others, with the columns of all."""
    columns = align_columns([Columns(base.columns, base.values.T, base.mask.T) for base in made])
    return [
        replace(base, columns=every.features, values=every.values.T, mask=every.observed.T)
        for base, every in zip(made, columns, strict=True)
    ]


def _series(
    spec: TrainingSpec, hourly: Hourly, patterns: Sequence[str], seen: Collection[str]
) -> dict[SeriesKind, int]:
    """The number in `hourly` of every series that matches, by its kind, sorted by kind."""
    numbers = {name: number for number, name in enumerate(hourly.names)}
    of_kind: dict[tuple[str, str], list[int]] = defaultdict(list)
    for name in match_series(patterns, hourly.names, spec, seen):
        source, place_and_variable = name.split("/", 1)
        variable = place_and_variable.rsplit("/", 1)[1]
        row, unit = variables.find_variable(source, variable), hourly.units[numbers[name]]
        if row is not None and row.unit != unit:
            raise TrainingError(
                spec.name,
                f"{name} comes in {unit}, not in {row.unit}",
                "Leave it out, or mend the entry that stores it",
            )
        of_kind[source, variable].append(numbers[name])
    return {(*key, nth): number for key in sorted(of_kind) for nth, number in enumerate(of_kind[key])}


def parse_shifts(keys: Iterable[str]) -> dict[SeriesKind, tuple[int, ...]]:
    """By kind, which hours the input columns with these `keys` look at.

    >>> shifts_of(["eia/0/demand-2h", "open_meteo/0/temperature_2m_forecast+24h"])
    {('eia', 'demand', 0): (-2,), ('open_meteo', 'temperature_2m_forecast', 0): (24,)}
    """
    found: dict[SeriesKind, tuple[int, ...]] = {}
    for key in keys:
        source, nth, rest = key.split("/", 2)
        variable, shift = re.fullmatch(r"(.+)([+-]\d+)h", rest).groups()  # type: ignore[union-attr]  # made so below
        kind = (source, variable, int(nth))
        found[kind] = (*found.get(kind, ()), int(shift))
    return found


def _shifts(spec: TrainingSpec, delays: Sequence[int]) -> tuple[int, ...]:
    """Which hours the columns of a kind look at, whose series are known after `delays` rows."""
    if not delays:
        return ()
    return tuple(sorted(set(spec.leads))) if max(delays) <= KNOWN_AHEAD else (-max(delays),)


def _inputs(
    spec: TrainingSpec,
    hourly: Hourly,
    period: Period,
    place: Mapping[SeriesKind, int],
    shifts: Mapping[SeriesKind, Sequence[int]],
) -> tuple[Columns, Cleaned]:
    """One location's inputs over the rows of `hourly`, cleaned; all missing where it lacks a kind."""
    wanted = [(kind, place.get(kind), shift) for kind in shifts for shift in shifts[kind]]
    features, natures = [], []
    for (source, variable, nth), number, shift in wanted:
        key = f"{source}/{nth}/{variable}{shift:+d}h"
        if number is None:
            features.append(Feature("absent", "", ABSENT, -shift, None, key))
            natures.append(find_nature(variable, ""))
            continue
        name, unit = hourly.names[number], hourly.units[number]
        text = f"latest value of {name} for the row's hour {shift:+d} h that was available by the row's end"
        features.append(Feature(f"{name}{shift:+d}h", unit, text, -shift, name, key))
        natures.append(find_nature(variable, unit))
    known = np.full((len(wanted), hourly.values.shape[1]), np.nan)
    for index, (_, number, shift) in enumerate(wanted):
        if number is not None:
            known[index] = hourly.as_known(number, shift)
    cleaned = clean_columns(known, natures, spec.cleaning, _train_rows(spec, hourly, period))
    return Columns(tuple(features), cleaned.values, cleaned.quality == REPORTED), cleaned


def _train_rows(spec: TrainingSpec, hourly: Hourly, period: Period) -> slice:
    """The rows of `hourly` before the end of the training period, which is all that may be fitted on."""
    if not spec.cleaning.is_fitted:
        return slice(0, 0)
    train_end, _ = splits.split_ends(spec, period)
    return slice(0, (period.start - hourly.period.start) // HOUR + train_end)


def _targets(
    spec: TrainingSpec, hourly: Hourly, period: Period, rows: slice, goals: Sequence[int]
) -> tuple[npt.NDArray[np.float64], dict[str, dict[str, int]]]:
    """The truth (T, K) of the series `goals`, less what cannot be true, and what was rejected of each.

    Raises `TrainingError` for a target of which nothing is left.
    """
    names = [hourly.names[goal] for goal in goals]
    natures = [find_nature(name.rsplit("/", 1)[1], hourly.units[goal]) for name, goal in zip(names, goals, strict=True)]
    truth, found = reject_values(hourly.values[goals], natures, spec.cleaning)
    rejected = {
        f"target {name}": {rule: int(cells[index, rows].sum()) for rule, cells in found.items()}
        for index, name in enumerate(names)
    }
    for name, values in zip(names, truth[:, rows], strict=True):
        if np.isnan(values).all():
            raise _without_values(spec, hourly, period, name, rejected[f"target {name}"])
    return truth[:, rows].T, rejected


def _without_values(
    spec: TrainingSpec, hourly: Hourly, period: Period, name: str, rejected: Mapping[str, int]
) -> TrainingError:
    thrown = ", ".join(f"{count} as {rule}" for rule, count in rejected.items() if count)
    rich = [other for other, values in zip(hourly.names, hourly.values, strict=True) if not np.isnan(values).all()]
    there = get_close_matches(name, rich, n=5, cutoff=0.5) or rich[:5]
    return TrainingError(
        spec.name,
        f"the target {name} has no value in {period}" + (f" (rejected: {thrown})" if thrown else ""),
        f"Choose another period or target; with values there are {', '.join(there)}"
        if there
        else "Choose another period; no series of this spec has a value in it",
    )


def _rejected(features: Sequence[Feature], cleaned: Cleaned, rows: slice) -> dict[str, dict[str, int]]:
    return {
        feature.name: {rule: int(cells[index, rows].sum()) for rule, cells in cleaned.rejected.items()}
        for index, feature in enumerate(features)
        if feature.series is not None
    }
