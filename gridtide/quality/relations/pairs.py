"""Finds series that should say the same: a quantity from two sources, and forecasts with what came; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gridtide.entries.expect.checks import CompareRule
from gridtide.sources.registry import find_operator, find_quantity, list_system_locations
from gridtide.variables import CUSTOMARY_NAMES, WILDCARDS, Quantity, QuantityKind, SeriesName, matches_any

ACTUAL_KINDS: dict[QuantityKind, QuantityKind] = {"load_forecast": "load", "generation_forecast": "generation"}
"""What forecasts of each kind are compared with."""

SHARED_FUELS = frozenset({"solar", "wind", "nuclear", "coal"})
"""The fuels that all sources delimit alike."""


@dataclass(frozen=True, slots=True)
class AgreementLimits:
    """What two series may differ by in a month: the `bias` as a share, the least `correlation`, and the `drift` of the
    bias from the month before."""

    bias: float
    correlation: float
    drift: float


SAME_QUANTITY = AgreementLimits(0.05, 0.95, 0.02)
"""Limits for two meters of one quantity. Operators and EIA count behind-the-meter and pumped storage differently."""

LOAD_FORECAST = AgreementLimits(0.05, 0.9, 0.05)
"""Limits for day-ahead forecasts of load, whose errors are 1 to 5 %."""

GENERATION_FORECAST = AgreementLimits(0.25, 0.6, 0.25)
"""Limits for day-ahead forecasts of wind and solar."""


@dataclass(frozen=True, slots=True)
class SeriesPair:
    """The names of a series and of its reference, and the limits of their differences; `is_forecast` if one of them
    forecasts the other."""

    series: str
    reference: str
    limits: AgreementLimits
    is_forecast: bool = False


def find_known_pairs(names: Iterable[str]) -> list[SeriesPair]:
    """Returns the pairs among the series `names` that should agree by what they measure, sorted."""
    by_quantity = _group_by_quantity(names)
    pairs = [*_pair_forecasts(by_quantity), *_pair_sources(by_quantity)]
    return sorted(pairs, key=lambda pair: (pair.series, pair.reference))


def find_ruled_pairs(names: Sequence[str], rule: CompareRule) -> list[SeriesPair]:
    """Returns the pairs among the series `names` that `rule` is about; empty if it names what is not there.

    With a wildcard in the reference, each series is compared with the reference at its location.
    """
    limits = AgreementLimits(rule.bias, rule.correlation, rule.drift)
    matching = [name for name in names if matches_any(name, [rule.series])]
    references = [name for name in names if matches_any(name, [rule.reference])]
    is_single = not set(rule.reference) & WILDCARDS.keys()
    return [
        SeriesPair(name, reference, limits, rule.forecast)
        for name in sorted(matching)
        for reference in sorted(references)
        if name != reference and (is_single or SeriesName.parse(reference).location == SeriesName.parse(name).location)
    ]


_Place = tuple[str, str]
"""A source and a location; the locations of a source that name its whole system are one place, the empty one."""


def _group_by_quantity(names: Iterable[str]) -> dict[_Place, dict[Quantity, str]]:
    """Returns, for each place, the series of each quantity; of several, the one whose name has precedence."""
    series_by_place: dict[_Place, dict[Quantity, list[SeriesName]]] = defaultdict(lambda: defaultdict(list))
    for name in map(SeriesName.parse, names):
        quantity = find_quantity(name.source, name.variable)
        if quantity is not None:
            is_system = name.location in list_system_locations(name.source) and quantity.kind.startswith("load")
            series_by_place[name.source, "" if is_system else name.location][quantity].append(name)
    order = {variable: number for number, variable in enumerate(CUSTOMARY_NAMES)}
    return {
        place: {
            quantity: str(min(of_quantity, key=lambda name: (order.get(name.variable, len(order)), name)))
            for quantity, of_quantity in by_quantity.items()
        }
        for place, by_quantity in series_by_place.items()
    }


def _pair_forecasts(series_by_place: dict[_Place, dict[Quantity, str]]) -> Iterator[SeriesPair]:
    for by_quantity in series_by_place.values():
        for quantity, series in by_quantity.items():
            actual = by_quantity.get(Quantity(ACTUAL_KINDS.get(quantity.kind, quantity.kind), quantity.fuel))
            if quantity.kind in ACTUAL_KINDS and actual is not None:
                limits = LOAD_FORECAST if quantity.kind == "load_forecast" else GENERATION_FORECAST
                yield SeriesPair(series, actual, limits, is_forecast=True)


def _pair_sources(series_by_place: dict[_Place, dict[Quantity, str]]) -> Iterator[SeriesPair]:
    for (source_name, location), by_quantity in series_by_place.items():
        operator = find_operator(source_name, location)
        if operator is None:
            continue
        of_operator = _collect_system(series_by_place, operator)
        for quantity, series in by_quantity.items():
            is_shared = quantity.kind == "load" or (quantity.kind == "generation" and quantity.fuel in SHARED_FUELS)
            if is_shared and quantity in of_operator:
                yield SeriesPair(series, of_operator[quantity], SAME_QUANTITY)


def _collect_system(series_by_place: dict[_Place, dict[Quantity, str]], source_name: str) -> dict[Quantity, str]:
    """Returns the series of the whole system of a source. Generation is that of a single location which has it: hubs
    are parts of the system. Some products name the system as the source is called."""
    places = [(source_name, location) for location in {*list_system_locations(source_name), source_name.upper()}]
    with_generation = [
        place for place in places if any(quantity.kind == "generation" for quantity in series_by_place.get(place, {}))
    ]
    generation = series_by_place[with_generation[0]] if len(with_generation) == 1 else {}
    return {**generation, **series_by_place.get((source_name, ""), {})}
