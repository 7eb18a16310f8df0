"""What a model may see at each step: columns of values as they were known then; pure and causal.

Row `r` of a column holds only what was available by the end of hour `r`. A window whose last context
row is `t0 − 1` therefore sees nothing that was not available at the start of hour `t0`, whatever its
length: no column needs to know where a window begins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt

from gridtide.cleaning import fill_forward
from gridtide.errors import TrainingError
from gridtide.features import Columns, Feature, derive
from gridtide.hourly import Hourly
from gridtide.periods import Period
from gridtide.spec import Location, TrainingSpec

KNOWN_AHEAD = -2
"""A series with at most this delay is known before its hour begins: a forecast, or a day-ahead product."""


@dataclass(frozen=True)
class Base:
    """One location's T steps of F columns and K targets.

    `values` (T, F): gaps filled within the limit, NaN beyond. `mask` (T, F): what was observed.
    `targets` (T, K): NaN where not observed. `target_names`: K series.
    """

    location: str
    columns: tuple[Feature, ...]
    values: npt.NDArray[np.float64]
    mask: npt.NDArray[np.bool_]
    target_names: tuple[str, ...]
    targets: npt.NDArray[np.float64]


def matching(patterns: Iterable[str], names: Collection[str], spec: TrainingSpec, seen: Collection[str]) -> list[str]:
    """Those of `names` that match any of `patterns`, sorted.

    Raises `TrainingError` for a pattern that matches none, naming what is alike or there instead.
    """
    found: set[str] = set()
    for pattern in patterns:
        hits = [name for name in names if fnmatchcase(name, pattern)]
        if not hits:
            alike = get_close_matches(pattern, sorted(seen), n=5, cutoff=0.5) or sorted(seen)[:10]
            there = (
                f"The lake has {len(seen)} series in this period, such as {', '.join(alike)}"
                if seen
                else ("The lake has no series of these entries in this period; ingest or backfill first")
            )
            raise TrainingError(spec.name, f'"{pattern}" matches no series', there)
        found.update(hits)
    return sorted(found)


def bases(spec: TrainingSpec, hourly: Hourly, period: Period, seen: Collection[str]) -> list[Base]:
    """One base per location of `spec` over the hours of `period`, which lies within that of `hourly`.

    All have the same columns, in the same order: one that a location lacks is missing throughout.
    Raises `TrainingError` for a pattern without a series, and for a target without a value.
    """
    places = [_series(spec, hourly, location.inputs, seen) for location in spec.locations]
    targets = [_series(spec, hourly, location.targets, seen) for location in spec.locations]
    if len({tuple(place) for place in targets}) > 1:
        raise TrainingError(
            spec.name, "the locations have different targets", "Give each the same variables to predict"
        )
    kinds = sorted({kind for place in places for kind in place})
    shifts = {kind: _shifts(spec, hourly, [place[kind] for place in places if kind in place]) for kind in kinds}
    return [
        _base(spec, hourly, period, location, [(place.get(kind), s) for kind in kinds for s in shifts[kind]], goals)
        for location, place, goals in zip(spec.locations, places, targets, strict=True)
    ]


_Kind = tuple[str, str, int]
"""Source, variable, and the how-manieth of a location's series with both: what two locations have in common."""


def _series(spec: TrainingSpec, hourly: Hourly, patterns: Sequence[str], seen: Collection[str]) -> dict[_Kind, int]:
    """The number in `hourly` of every series that matches, by its kind, sorted by kind."""
    numbers = {name: number for number, name in enumerate(hourly.names)}
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for name in matching(patterns, hourly.names, spec, seen):
        source, place_and_variable = name.split("/", 1)
        found[source, place_and_variable.rsplit("/", 1)[1]].append(numbers[name])
    return {(*key, nth): number for key in sorted(found) for nth, number in enumerate(found[key])}


def _shifts(spec: TrainingSpec, hourly: Hourly, numbers: Sequence[int]) -> tuple[int, ...]:
    """Which hours the columns of one kind look at: its leads if known ahead, else the freshest known."""
    delays = [delay for number in numbers if (delay := hourly.delay(number)) is not None]
    if not delays:
        return ()
    return tuple(sorted(set(spec.leads))) if max(delays) <= KNOWN_AHEAD else (-max(delays),)


def _base(
    spec: TrainingSpec,
    hourly: Hourly,
    period: Period,
    place: Location,
    inputs: Sequence[tuple[int | None, int]],
    targets: dict[_Kind, int],
) -> Base:
    asked = spec.features
    columns = derive(
        _as_known(hourly, inputs, spec.fill_limit),
        hourly.period,
        timezone=place.timezone,
        calendar=asked.calendar,
        lags=asked.lags,
        windows=asked.rolling,
    )
    first = (period.start - hourly.period.start) // timedelta(hours=1)
    rows = slice(first, first + period.duration // timedelta(hours=1))
    goals = list(targets.values())
    names = tuple(hourly.names[goal] for goal in goals)
    truth = hourly.values[goals, rows].T
    for name, values in zip(names, truth.T, strict=True):
        if np.isnan(values).all():
            raise TrainingError(spec.name, f"the target {name} has no value in {period}", "Choose another period")
    return Base(place.name, columns.features, columns.values[:, rows].T, columns.observed[:, rows].T, names, truth)


def _as_known(hourly: Hourly, inputs: Sequence[tuple[int | None, int]], fill_limit: int) -> Columns:
    """Series and shift of each of `inputs` as a column, gaps filled forward; a series of None is all missing."""
    known = np.full((len(inputs), hourly.values.shape[1]), np.nan)
    features = []
    for index, (number, shift) in enumerate(inputs):
        if number is None:
            features.append(Feature("absent", "", "this location has no such series", -shift, None))
            continue
        known[index] = hourly.as_known(number, shift)
        name, unit = hourly.names[number], hourly.units[number]
        text = f"latest value of {name} for the row's hour {shift:+d} h that was available by the row's end"
        features.append(Feature(f"{name}{shift:+d}h", unit, text, -shift, name))
    filled, observed = fill_forward(known, fill_limit)
    return Columns(tuple(features), filled, observed)
