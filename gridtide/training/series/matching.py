"""Finds the series of each location of a spec, and the hours that its columns show.

    patterns ─► the series of each location, by kind ─► the delay after which each is known ─► shifts

Series of different locations correspond by their kind: source, variable, role, and a number among those of the location
that have these three.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from typing import NamedTuple

from gridtide.errors import TrainingError
from gridtide.periods import DAY, HOUR
from gridtide.sources.registry import find_variable
from gridtide.training.series.hourly import Delay, Hourly
from gridtide.training.series.steps import format_shift, parse_shift
from gridtide.training.spec import ALL_INPUTS, TrainingSpec
from gridtide.variables import SeriesName, matches_any

KNOWN_AHEAD, KNOWN_DAY_AHEAD = -2, -1
"""A series with at most this usual delay is known before its hour, or its day, begins: a forecast, or a day-ahead
product. On days when some of its values come later, those are missing. Among hours, a value that is known just by the
start of its interval is none: a reading is too."""


class SeriesKind(NamedTuple):
    """The kind of a series: series of several locations with the same kind have the same columns.

    `role` is the spec's, such as `own` or `neighbour`, empty for inputs without roles and for targets. `number` counts,
    from 0, the series of a location that have the same source, variable and role, in the spec's order.
    """

    source: str
    variable: str
    role: str
    number: int


@dataclass(frozen=True)
class LocationSeries:
    """The inputs, targets and forecasts of the future of a location: the numbers of the series in an `Hourly`, by
    kind."""

    inputs: Mapping[SeriesKind, int]
    targets: Mapping[SeriesKind, int]
    future: Mapping[SeriesKind, int] = field(default_factory=dict)


@dataclass(frozen=True)
class LocationInputs:
    """What the shifts depend on, for one location.

    `delays`: by kind of input, the delay of its values in train hours, None if it has no values there; `inputs`: the
    names of its inputs; `targets`: the kinds of its targets.
    """

    delays: Mapping[SeriesKind, Delay | None]
    inputs: tuple[str, ...]
    targets: tuple[SeriesKind, ...]


def locate_series(spec: TrainingSpec, hourly: Hourly, names_read: Collection[str]) -> list[LocationSeries]:
    """Returns the series in `hourly` of each location of `spec`; `names_read` are those of all series that were read.

    Raises `TrainingError` for a pattern without a series, for a series whose unit is not that of its variable, and for
    a series with two roles.
    """
    return [
        LocationSeries(
            _number_by_kind(spec, hourly, location.patterns_by_role, names_read),
            _number_by_kind(spec, hourly, {"": location.targets}, names_read),
            _number_by_kind(spec, hourly, {"": location.future}, names_read),
        )
        for location in spec.locations
    ]


def _number_by_kind(
    spec: TrainingSpec, hourly: Hourly, patterns: Mapping[str, Sequence[str]], names_read: Collection[str]
) -> dict[SeriesKind, int]:
    """Returns the number in `hourly` of every series that matches the `patterns` of a role, by its kind, sorted by
    kind."""
    numbers = {name: number for number, name in enumerate(hourly.names)}
    roles: dict[str, str] = {}
    numbers_by_variable: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for role, patterns_of_role in patterns.items():
        for name in match_series(patterns_of_role, hourly.names, spec, names_read):
            if roles.setdefault(name, role) != role:
                raise TrainingError(
                    spec.name, f"{name} is both {roles[name]} and {role}", "Name each series in one role only"
                )
            source, _, variable = SeriesName.parse(name)
            description, unit = find_variable(source, variable), hourly.units[numbers[name]]
            if description is not None and description.unit != unit:
                raise TrainingError(
                    spec.name,
                    f"{name} comes in {unit}, not in {description.unit}",
                    "Leave it out, or correct the entry that stores it",
                )
            numbers_by_variable[source, variable, role].append(numbers[name])
    return {
        SeriesKind(*variable_key, index): number
        for variable_key in sorted(numbers_by_variable)
        for index, number in enumerate(numbers_by_variable[variable_key])
    }


def match_series(
    patterns: Iterable[str], names: Collection[str], spec: TrainingSpec, names_read: Collection[str]
) -> list[str]:
    """Returns the `names` that match any of `patterns`, in the order of the patterns, and sorted within one pattern.

    Raises `TrainingError` for a pattern that matches none; the error lists similar ones of `names_read`.
    """
    matching: dict[str, None] = {}  # in this order, each once
    for pattern in patterns:
        matches = sorted(name for name in names if matches_any(name, [pattern]))
        if not matches:
            similar = ", ".join(similar_names(pattern, names_read))
            fix = (
                f"The lake has {len(names_read)} series in this period, such as {similar}"
                if names_read
                else "The lake has no series of these entries in this period; ingest or backfill first"
            )
            raise TrainingError(spec.name, f'"{pattern}" matches no series', fix)
        matching |= dict.fromkeys(matches)
    return list(matching)


def similar_names(pattern: str, names: Collection[str]) -> list[str]:
    """Returns the `names` that are most similar to `pattern`, or else the first ten."""
    return get_close_matches(pattern, sorted(names), n=5, cutoff=0.5) or sorted(names)[:10]


def measure_delays(hourly: Hourly, series: LocationSeries, train: slice) -> LocationInputs:
    """Measures the delays of the inputs `series` of a location in the rows `train` of `hourly`."""
    delays = {kind: hourly.delay(number, train) for kind, number in series.inputs.items()}
    inputs = tuple(hourly.names[number] for number in series.inputs.values())
    return LocationInputs(delays, inputs, tuple(series.targets))


def common_shifts(spec: TrainingSpec, locations: Sequence[LocationInputs]) -> dict[SeriesKind, tuple[int, ...]]:
    """Returns, by kind, the shifts of its columns in all `locations`: the spec's leads if it is known ahead everywhere,
    else the freshest hour that is known everywhere.

    Raises `TrainingError` if locations have different targets, and for a pattern in `features.of` that matches no input
    of any location.
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
    return {kind: _choose_lookback_shifts(spec, delays[kind]) for kind in sorted(delays)}


def _choose_lookback_shifts(spec: TrainingSpec, delays: Sequence[Delay]) -> tuple[int, ...]:
    """Returns the shifts of the columns of a kind whose series have these `delays`."""
    if not delays:
        return ()
    if max(delay.usual for delay in delays) <= (KNOWN_AHEAD if spec.resolution < DAY else KNOWN_DAY_AHEAD):
        return tuple(sorted(set(spec.leads)))
    return (-max(delay.longest for delay in delays),)


def format_key(kind: SeriesKind, shift: int, step: timedelta = HOUR) -> str:
    """Returns the key of the input columns of `kind` at `shift`, the same for all locations.

    >>> format_key(SeriesKind("eia", "demand", "", 0), -2)
    'eia/0/demand-2h'
    >>> format_key(SeriesKind("eia", "demand", "neighbour", 1), -2)
    'eia/neighbour.1/demand-2h'
    """
    role_number = f"{kind.role}.{kind.number}" if kind.role else str(kind.number)
    return f"{kind.source}/{role_number}/{kind.variable}{format_shift(shift, step)}"


def parse_key(key: str, step: timedelta = HOUR) -> tuple[SeriesKind, int]:
    """Returns the kind and the shift of a key that `format_key` made.

    >>> parse_key("open_meteo/0/temperature_2m_forecast+24h")
    (SeriesKind(source='open_meteo', variable='temperature_2m_forecast', role='', number=0), 24)
    """
    source, role_number, label = key.split("/", 2)
    variable, shift = re.fullmatch(r"(.+?)([+-]\d+(?:h|min|d))", label).groups()  # type: ignore[union-attr]  # as above
    role, _, number = role_number.rpartition(".")
    return SeriesKind(source, variable, role, int(number)), parse_shift(shift, step)


def format_kind(kind: SeriesKind) -> str:
    """Returns the key of a series of `kind` that has no role: of a target, or of a forecast of the future.

    >>> format_kind(SeriesKind("eia", "demand", "", 0))
    'eia/0/demand'
    """
    return f"{kind.source}/{kind.number}/{kind.variable}"


def parse_kind(key: str) -> SeriesKind:
    """Returns the kind of a key that `format_kind` made.

    >>> parse_kind("eia/0/demand")
    SeriesKind(source='eia', variable='demand', role='', number=0)
    """
    source, number, variable = key.split("/", 2)
    return SeriesKind(source, variable, "", int(number))


def parse_shifts(keys: Iterable[str], step: timedelta = HOUR) -> dict[SeriesKind, tuple[int, ...]]:
    """Returns, by kind, the shifts of the input columns with these `keys`.

    >>> parse_shifts(["eia/0/demand-2h"])
    {SeriesKind(source='eia', variable='demand', role='', number=0): (-2,)}
    """
    shifts: dict[SeriesKind, tuple[int, ...]] = {}
    for kind, shift in (parse_key(key, step) for key in keys):
        shifts[kind] = (*shifts.get(kind, ()), shift)
    return shifts
