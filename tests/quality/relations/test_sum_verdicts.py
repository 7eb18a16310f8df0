"""Sums across series of any entry: which are found, and what is said of their days and hours."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from gridtide.entries.expect.rules import OppositeRule, SumRule
from gridtide.quality.daily import DayVerdict, HourlySeries
from gridtide.quality.flags import Flag
from gridtide.quality.relations.equations import Relation, find_known_relations, find_ruled_relations
from gridtide.quality.relations.sum_verdicts import RelationResiduals, judge_relations
from tests.quality.test_screening import demand_wave

START = datetime(2024, 3, 1, tzinfo=UTC)
DAYS, FIRST_DAY = 30, 10

EQUATIONS = {
    "balance": ("eia/ISNE/demand", ("eia/ISNE/net_generation", "-eia/ISNE/net_interchange")),
    "fuels": ("eia/ISNE/net_generation", ("eia/ISNE/generation_wind", "eia/ISNE/generation_natural_gas")),
    "neighbours": ("eia/ISNE/net_interchange", ("eia/ISNE>NYIS/interchange", "eia/ISNE>HQT/interchange")),
    "opposite": ("eia/ISNE>NYIS/interchange", ("-eia/NYIS>ISNE/interchange",)),
    "subregions": ("eia/ISNE/demand", ("eia/ISNE/4001/demand", "eia/ISNE/4002/demand")),
    "components": (
        "iso_ne/4000/lmp_day_ahead",
        (
            "iso_ne/4000/lmp_day_ahead_energy",
            "iso_ne/4000/lmp_day_ahead_congestion",
            "iso_ne/4000/lmp_day_ahead_loss",
            "iso_ne/4000/lmp_day_ahead_ghg",
        ),
    ),
}
"""By name, a total and what it is the sum of, with a minus before what is subtracted."""

NAMES = tuple(dict.fromkeys(name.lstrip("-") for total, parts in EQUATIONS.values() for name in (total, *parts)))


def as_equations(relations: list[Relation], names: tuple[str, ...] = NAMES) -> dict[str, tuple[str, set[str]]]:
    """The relations by name, with the names of their series."""
    return {
        relation.name: (
            names[relation.total],
            {("-" if sign < 0 else "") + names[number] for number, sign in relation.signs.items()},
        )
        for relation in relations
    }


def test_every_kind_of_sum_is_found_by_what_series_measure() -> None:
    """Each sum has exactly its parts, whichever entry they are of; series without a counterpart have none."""
    found = as_equations(find_known_relations(NAMES))
    assert found == {name: (total, set(parts)) for name, (total, parts) in EQUATIONS.items()}
    assert find_known_relations(["eia/ISNE/demand", "eia/ISNE/4001/demand", "iso_ne/32/load", "eia/A>B/flow"]) == []


@pytest.mark.parametrize("name", EQUATIONS)
def test_each_kind_of_sum_is_judged_by_its_days_and_hours(name: str) -> None:
    """A day on which one part is a tenth too large is suspect, all others are good; the residual of each hour is what
    was added."""
    total, signed_parts = EQUATIONS[name]
    parts = {part.lstrip("-"): -1.0 if part.startswith("-") else 1.0 for part in signed_parts}
    values = {part: demand_wave(DAYS * 24, seed) for seed, part in enumerate(parts)}
    values[total] = np.sum([sign * values[part] for part, sign in parts.items()], axis=0)
    added = np.zeros(DAYS * 24)
    added[20 * 24 : 21 * 24] = 0.1 * np.abs(values[total][20 * 24 : 21 * 24])
    broken = next(iter(parts))
    values[broken] = values[broken] + parts[broken] * added
    hourly = HourlySeries(tuple(values), ("MWh",) * len(values), np.stack(list(values.values())), START)
    verdicts, residuals, _ = judge_relations(hourly, find_known_relations(hourly.names), FIRST_DAY)
    by_check = {check: [v for v in verdicts if v.check == check] for check in (f"consistency.{name}", "consistency")}
    for of_check in by_check.values():
        assert {(v.series, v.day) for v in of_check} == {
            (total, (START + timedelta(days=day)).date()) for day in range(FIRST_DAY, DAYS)
        }
        assert [v.day for v in of_check if v.flag == Flag.SUSPECT] == [date(2024, 3, 21)]
        assert next(v.value for v in of_check if v.flag == Flag.SUSPECT) == pytest.approx(0.1, rel=0.2)
    (of_relation,) = [residual for residual in residuals if residual.relation == name]
    assert of_relation.series == total
    np.testing.assert_array_equal(of_relation.hours, np.arange(FIRST_DAY * 24, DAYS * 24))
    np.testing.assert_allclose(of_relation.residuals, added[FIRST_DAY * 24 :], atol=1e-6)


def judge_rule(
    rule: SumRule | OppositeRule, values: dict[str, np.ndarray]
) -> tuple[list[DayVerdict], list[RelationResiduals]]:
    """What `rule` alone says of series by name."""
    hourly = HourlySeries(tuple(values), ("MWh",) * len(values), np.stack(list(values.values())), START)
    verdicts, residuals, problems = judge_relations(hourly, find_ruled_relations(hourly.names, rule), 0)
    assert problems == []
    return verdicts, residuals


def test_parts_are_summed_in_the_unit_of_their_total() -> None:
    """Megawatts and gigawatts of hours add up to megawatt hours; a sum with a price is told, and not judged."""
    parts = np.stack([demand_wave(48), demand_wave(48, 1) / 1000])
    names = ("eia/A/demand", "eia/A/1/demand", "eia/A/2/demand")
    values = np.stack([parts[0] + 1000 * parts[1], *parts])
    (relation,) = find_known_relations(names)
    hourly = HourlySeries(names, ("MWh", "MW", "GW"), values, START)
    verdicts, (residuals,), problems = judge_relations(hourly, [relation], 0)
    assert {verdict.flag for verdict in verdicts} == {Flag.GOOD}
    np.testing.assert_allclose(residuals.residuals, 0, atol=1e-6)
    assert problems == []
    of_prices = replace(hourly, units=("MWh", "MW", "USD/MWh"))
    assert judge_relations(of_prices, [relation], 0) == (
        *([], []),
        ["the sum subregions of eia/A/demand: parts in MW, USD/MWh are no MWh"],
    )


def test_a_rule_sums_series_of_several_sources_up_to_its_tolerance() -> None:
    """A single hour beyond the tolerance makes its day suspect; an hour within it, or one that lacks a part, does
    not."""
    rule = SumRule(kind="sum", total="eia/ISNE/demand", plus="iso_ne/*/load", tolerance=5.0)
    values = {"iso_ne/4001/load": demand_wave(72), "iso_ne/4002/load": demand_wave(72, 1)}
    values["eia/ISNE/demand"] = sum(values.values())
    values["eia/ISNE/demand"][[10, 30]] += [4.9, 5.1]
    values["iso_ne/4001/load"][50] = np.nan
    values["eia/ISNE/demand"][50] += 1000
    verdicts, residuals = judge_rule(rule, values)
    flags = {v.day.day: v.flag for v in verdicts if v.check == "consistency.eia/ISNE/demand = iso_ne/*/load"}
    assert flags == {1: Flag.GOOD, 2: Flag.SUSPECT, 3: Flag.GOOD}
    assert 50 not in residuals[0].hours
    assert len(residuals[0].hours) == 71


def test_a_rule_with_a_pattern_sums_at_each_location() -> None:
    """Each total has the parts at its location, and below it; two rules of one total have different names."""
    names = ("eia/A/demand", "eia/A/1/demand", "eia/A/2/demand", "eia/B/demand", "eia/B/9/demand", "miso/A/1/demand")
    rule = SumRule(kind="sum", total="eia/*/demand", plus="eia/*/*/demand", share=0.02)
    assert [
        (names[relation.total], sorted(names[number] for number in relation.signs))
        for relation in find_ruled_relations(names, rule)
    ] == [("eia/A/demand", ["eia/A/1/demand", "eia/A/2/demand"]), ("eia/B/demand", ["eia/B/9/demand"])]
    other = SumRule(kind="sum", total="eia/*/demand", plus="eia/*/net_generation", minus="eia/*/net_interchange")
    present = find_ruled_relations((*names, "eia/A/net_generation", "eia/A/net_interchange"), other)
    assert [relation.name for relation in present] == ["eia/*/demand = eia/*/net_generation - eia/*/net_interchange"]
    assert find_ruled_relations(names, other) == []


def test_opposite_exchanges_are_compared_by_a_rule() -> None:
    """From A to B must be minus from B to A."""
    flow = demand_wave(48)
    rule = OppositeRule(kind="opposite", series="eia/*/interchange", share=0.01)
    verdicts, _ = judge_rule(rule, {"eia/A>B/interchange": flow, "eia/B>A/interchange": -flow})
    assert {v.flag for v in verdicts} == {Flag.GOOD}
    verdicts, _ = judge_rule(rule, {"eia/A>B/interchange": flow, "eia/B>A/interchange": flow})
    assert {v.flag for v in verdicts} == {Flag.SUSPECT}
