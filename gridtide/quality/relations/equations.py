"""Finds which series add up to which others, by what they measure and by the rules of a configuration; pure.

    balance      net generation − net interchange = load                at one location
    fuels        the generation of each fuel = net generation           at one location
    neighbours   A>B + A>C + … = the net interchange of A
    opposite     A>B = −(B>A)
    subregions   the load of A/1, A/2, … = the load of A
    components   energy + congestion + loss (+ ghg) = price             at one location

Rules of entries and the `checks` of a configuration name other sums.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gridtide.entries.expect.rules import CrossRule, SumRule, as_patterns
from gridtide.observations.rules.sums import SIDES
from gridtide.sources.registry import find_quantity
from gridtide.variables import WILDCARDS, SeriesName, matches_any

COMPONENTS, OPTIONAL_COMPONENTS = ("energy", "congestion", "loss"), ("ghg",)
"""The endings of the variables that are the parts of a price; the optional ones are added where they are."""

FEWEST_SUBREGIONS = 2
"""The fewest parts of a location that are summed."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A sum: series number `total` is the sum of others by their `signs`, up to `tolerance` and the `share` of the
    total; `share` is None if what is usual decides."""

    name: str
    total: int
    signs: Mapping[int, int]
    tolerance: float = 0.0
    share: float | None = None


def find_known_relations(names: Sequence[str]) -> list[Relation]:
    """Returns the sums among the series `names` (C,) that hold by what they measure, by total and name."""
    numbers = {SeriesName.parse(name): number for number, name in enumerate(names)}
    relations = [
        *_find_power_sums(numbers),
        *_find_exchange_sums(numbers),
        *_find_subregions(numbers),
        *_find_components(numbers),
    ]
    return sorted(relations, key=lambda relation: (relation.total, relation.name))


def find_ruled_relations(names: Sequence[str], rule: CrossRule) -> list[Relation]:
    """Returns the sums among the series `names` (C,) that `rule` is about; empty if it names what is not there.

    A total without wildcards is the sum of all series that match; other totals are that of the series at their
    location, or below it.
    """
    numbers = {SeriesName.parse(name): number for number, name in enumerate(names)}
    if not isinstance(rule, SumRule):
        matching = {name: number for name, number in numbers.items() if matches_any(str(name), [rule.series])}
        return [
            Relation(name_rule(rule), total, {opposite: -1}, rule.tolerance, rule.share)
            for total, opposite in _find_opposites(matching)
        ]
    totals = {name: number for name, number in numbers.items() if matches_any(str(name), [rule.total])}
    is_single = not set(rule.total) & WILDCARDS.keys()
    signs_by_total: dict[int, dict[int, int]] = defaultdict(dict)
    for name, number in numbers.items():
        sign = _sign_of(rule, str(name))
        total = next(iter(totals), None) if is_single else _find_total(totals, name)
        if sign and total is not None and number != totals[total]:
            signs_by_total[totals[total]][number] = sign
    return [
        Relation(name_rule(rule), total, signs, rule.tolerance, rule.share)
        for total, signs in sorted(signs_by_total.items())
    ]


def name_rule(rule: CrossRule) -> str:
    """Returns `rule` as an equation, so that two rules of one total have different names."""
    return rule.equation if isinstance(rule, SumRule) else rule.name


def _sign_of(rule: SumRule, name: str) -> int:
    if matches_any(name, as_patterns(rule.plus)):
        return 1
    return -1 if matches_any(name, as_patterns(rule.minus)) else 0


def _find_total(totals: Iterable[SeriesName], name: SeriesName) -> SeriesName | None:
    """Returns which of `totals`, of the same source, has `name` as a part: at its location, or the nearest above it."""
    by_location = {total.location: total for total in totals if total.source == name.source}
    location = name.location
    while location and location not in by_location:
        location = location.rpartition("/")[0]
    return by_location.get(location)


def _find_power_sums(numbers: Mapping[SeriesName, int]) -> Iterator[Relation]:
    """Yields the balance and the sum of fuels of each location that has exactly one series of each total."""
    kinds: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for name, number in numbers.items():
        quantity = find_quantity(name.source, name.variable)
        if quantity is not None:
            kinds[name.source, name.location][quantity.kind].append(number)
    for of_kind in kinds.values():
        load, generation, interchange = (of_kind[kind] for kind in ("load", "net_generation", "net_interchange"))
        if len(load) == len(generation) == len(interchange) == 1:
            yield Relation("balance", load[0], {generation[0]: 1, interchange[0]: -1})
        if len(generation) == 1 and len(of_kind["generation"]) > 1:
            yield Relation("fuels", generation[0], dict.fromkeys(of_kind["generation"], 1))


def _find_exchange_sums(numbers: Mapping[SeriesName, int]) -> Iterator[Relation]:
    """Yields the opposite of each exchange, and the sum of the exchanges of each location with a net interchange."""
    exchanges = {name: number for name, number in numbers.items() if SIDES in name.location}
    for total, opposite in _find_opposites(exchanges):
        yield Relation("opposite", total, {opposite: -1})
    parts: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    for name, number in exchanges.items():
        if name.variable == "interchange":
            parts[name.source, name.location.partition(SIDES)[0]][number] = 1
    for name, number in numbers.items():
        quantity = find_quantity(name.source, name.variable)
        if quantity and quantity.kind == "net_interchange" and parts[name.source, name.location]:
            yield Relation("neighbours", number, parts[name.source, name.location])


def _find_opposites(exchanges: Mapping[SeriesName, int]) -> Iterator[tuple[int, int]]:
    """Yields the numbers of each exchange `A>B` and of `B>A`, once."""
    for name, number in exchanges.items():
        start, _, end = name.location.partition(SIDES)
        opposite = exchanges.get(name._replace(location=f"{end}{SIDES}{start}"))
        if opposite is not None and start < end:
            yield number, opposite


def _find_subregions(numbers: Mapping[SeriesName, int]) -> Iterator[Relation]:
    """Yields the sum of the parts of each location that has a load, directly below it."""
    parts: dict[SeriesName, dict[int, int]] = defaultdict(dict)
    for name, number in numbers.items():
        above, separator, _ = name.location.rpartition("/")
        quantity = find_quantity(name.source, name.variable)
        if separator and quantity and quantity.kind == "load":
            parts[name._replace(location=above)][number] = 1
    for name, signs in parts.items():
        if name in numbers and len(signs) >= FEWEST_SUBREGIONS:
            yield Relation("subregions", numbers[name], signs)


def _find_components(numbers: Mapping[SeriesName, int]) -> Iterator[Relation]:
    for name, number in numbers.items():
        components, optional = (
            [name._replace(variable=f"{name.variable}_{ending}") for ending in endings]
            for endings in (COMPONENTS, OPTIONAL_COMPONENTS)
        )
        if all(component in numbers for component in components):
            present = [numbers[component] for component in (*components, *optional) if component in numbers]
            yield Relation("components", number, dict.fromkeys(present, 1))
