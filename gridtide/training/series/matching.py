"""Which series each location of a spec has, and which hours its columns look at.

    patterns ─► the series of each location, by kind ─► after how many rows each is known ─► shifts

What two locations have in common is a kind: source, variable, and a number among those of a location.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from gridtide.errors import TrainingError
from gridtide.training.series.hourly import Delay, Hourly
from gridtide.training.spec import ALL_INPUTS, TrainingSpec
from gridtide.variables import SeriesName, find_variable, matches_any

KNOWN_AHEAD = -2
"""A series with at most this usual delay is known before its hour begins: a forecast, or a day-ahead product. What of
it comes later on some days is missing on these days."""


SeriesKind = tuple[str, str, int]
"""Source, variable, and the number of a series among those of a location that have both, from 0."""


@dataclass(frozen=True)
class LocationSeries:
    """The series of a location, as numbers in an `Hourly`, by kind: its inputs and its targets."""

    inputs: Mapping[SeriesKind, int]
    targets: Mapping[SeriesKind, int]


@dataclass(frozen=True)
class LocationInputs:
    """What the shifts of all locations follow from, of one of them.

    `delays`: of each kind of input after how many rows its values are known in train hours, None where it has
    none there; `inputs`: the names of its inputs; `targets`: the kinds of its targets.
    """

    delays: Mapping[SeriesKind, Delay | None]
    inputs: tuple[str, ...]
    targets: tuple[SeriesKind, ...]


def locate_series(spec: TrainingSpec, hourly: Hourly, stored: Collection[str]) -> list[LocationSeries]:
    """The series in `hourly` of each location of `spec`; `stored` are the names of all that were read.

    Raises `TrainingError` for a pattern without a series, and a series in another unit than its variable has.
    """
    return [
        LocationSeries(*(_by_kind(spec, hourly, patterns, stored) for patterns in (location.inputs, location.targets)))
        for location in spec.locations
    ]


def _by_kind(
    spec: TrainingSpec, hourly: Hourly, patterns: Sequence[str], stored: Collection[str]
) -> dict[SeriesKind, int]:
    """The number in `hourly` of every series that matches, by its kind, sorted by kind."""
    numbers = {name: number for number, name in enumerate(hourly.names)}
    alike: dict[tuple[str, str], list[int]] = defaultdict(list)
    for name in match_series(patterns, hourly.names, spec, stored):
        source, _, variable = SeriesName.parse(name)
        registered, unit = find_variable(source, variable), hourly.units[numbers[name]]
        if registered is not None and registered.unit != unit:
            raise TrainingError(
                spec.name,
                f"{name} comes in {unit}, not in {registered.unit}",
                "Leave it out, or mend the entry that stores it",
            )
        alike[source, variable].append(numbers[name])
    return {(*key, place): number for key in sorted(alike) for place, number in enumerate(alike[key])}


def match_series(
    patterns: Iterable[str], names: Collection[str], spec: TrainingSpec, stored: Collection[str]
) -> list[str]:
    """Those of `names` that match any of `patterns`, sorted.

    Raises `TrainingError` for a pattern that matches none, with names that it may have meant, of those `stored`.
    """
    matching: set[str] = set()
    for pattern in patterns:
        hits = [name for name in names if matches_any(name, [pattern])]
        if not hits:
            fix = (
                f"The lake has {len(stored)} series in this period, such as {', '.join(similar_names(pattern, stored))}"
                if stored
                else "The lake has no series of these entries in this period; ingest or backfill first"
            )
            raise TrainingError(spec.name, f'"{pattern}" matches no series', fix)
        matching.update(hits)
    return sorted(matching)


def similar_names(pattern: str, names: Collection[str]) -> list[str]:
    """Those of `names` that `pattern` may have meant, or else the first of them."""
    return get_close_matches(pattern, sorted(names), n=5, cutoff=0.5) or sorted(names)[:10]


def measure_delays(hourly: Hourly, series: LocationSeries, train: slice) -> LocationInputs:
    """After how many rows the inputs `series` of a location are known in the rows `train` of `hourly`."""
    delays = {kind: hourly.delay(number, train) for kind, number in series.inputs.items()}
    inputs = tuple(hourly.names[number] for number in series.inputs.values())
    return LocationInputs(delays, inputs, tuple(series.targets))


def common_shifts(spec: TrainingSpec, locations: Sequence[LocationInputs]) -> dict[SeriesKind, tuple[int, ...]]:
    """Which hours the columns of each kind look at in all `locations`: its leads if it is known ahead everywhere,
    else the freshest that is known everywhere.

    Raises `TrainingError` where locations have different targets, and for a pattern of what features are
    made of that matches no input of any location.
    """
    if len({location.targets for location in locations}) > 1:
        raise TrainingError(
            spec.name, "the locations have different targets", "Give each the same variables to predict"
        )
    inputs = {name for location in locations for name in location.inputs}
    patterns = spec.features.of if spec.features.makes_history and spec.features.of != ALL_INPUTS else ()
    for pattern in patterns:
        if not any(matches_any(name, [pattern]) for name in inputs):
            fix = f"The inputs are such as {', '.join(similar_names(pattern, inputs))}"
            raise TrainingError(spec.name, f'features.of: "{pattern}" matches no input', fix)
    delays: dict[SeriesKind, list[Delay]] = defaultdict(list)
    for location in locations:
        for kind, delay in location.delays.items():
            delays[kind] += [] if delay is None else [delay]
    return {kind: _lookback_shifts(spec, delays[kind]) for kind in sorted(delays)}


def _lookback_shifts(spec: TrainingSpec, delays: Sequence[Delay]) -> tuple[int, ...]:
    """Which hours the columns of a kind look at, whose series are known after `delays` rows."""
    if not delays:
        return ()
    if max(delay.usual for delay in delays) <= KNOWN_AHEAD:
        return tuple(sorted(set(spec.leads)))
    return (-max(delay.longest for delay in delays),)


def format_key(kind: SeriesKind, shift: int) -> str:
    """What the input columns of all locations that have `kind` and look at `shift` are called.

    >>> format_key(("eia", "demand", 0), -2)
    'eia/0/demand-2h'
    """
    source, variable, number = kind
    return f"{source}/{number}/{variable}{shift:+d}h"


def parse_key(key: str) -> tuple[SeriesKind, int]:
    """The kind and the shift that `format_key` made `key` of.

    >>> parse_key("open_meteo/0/temperature_2m_forecast+24h")
    (('open_meteo', 'temperature_2m_forecast', 0), 24)
    """
    source, number, label = key.split("/", 2)
    variable, shift = re.fullmatch(r"(.+)([+-]\d+)h", label).groups()  # type: ignore[union-attr]  # as formatted above
    return (source, variable, int(number)), int(shift)


def parse_shifts(keys: Iterable[str]) -> dict[SeriesKind, tuple[int, ...]]:
    """By kind, which hours the input columns with these `keys` look at.

    >>> parse_shifts(["eia/0/demand-2h", "open_meteo/0/temperature_2m_forecast+24h"])
    {('eia', 'demand', 0): (-2,), ('open_meteo', 'temperature_2m_forecast', 0): (24,)}
    """
    shifts: dict[SeriesKind, tuple[int, ...]] = {}
    for kind, shift in map(parse_key, keys):
        shifts[kind] = (*shifts.get(kind, ()), shift)
    return shifts
