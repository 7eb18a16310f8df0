"""Rows and sums are judged by the rules of `expect`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtide.entries.expect.rules import CrossRule, Expect, OppositeRule, RowRule, SumRule
from gridtide.entries.structs import read_value
from gridtide.observations.rules.rows import NumberedRows, judge_rows
from gridtide.observations.rules.sums import judge_equations
from gridtide.observations.table import Row, from_rows

START = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def rule(**keys: Any) -> Any:
    """The rule with these keys, as it is read from the configuration."""
    problems: list[str] = []
    expect = read_value(Expect, {"rules": [keys]}, "expect", problems)
    assert problems == []
    return expect.rules[0]


def value(hour: int, location: str, variable: str, number: float | None, unit: str = "MWh") -> Row:
    """The value of an hour."""
    return Row(START + hour * HOUR, START + (hour + 1) * HOUR, location, variable, unit, number)


def table(*rows: Row) -> pa.Table:
    """A table of these rows."""
    return from_rows("eia", rows, START)


def broken(rows: pa.Table, tested: RowRule) -> list[int]:
    """The positions of the rows that break the rule."""
    verdicts = judge_rows(NumberedRows.of(rows), [tested])
    return [position for verdict in verdicts for position in np.flatnonzero(verdict.is_broken).tolist()]


def unequal(rows: pa.Table, tested: CrossRule) -> list[int]:
    """The positions of the rows whose equation does not hold."""
    verdict, _ = judge_equations(NumberedRows.of(rows), tested)
    return [] if verdict is None else np.flatnonzero(verdict.is_broken).tolist()


ROWS = table(
    value(0, "ISNE", "demand", 10.0),
    value(1, "ISNE", "demand", None),
    value(2, "ISNE", "demand", 30.0, "MW"),
    value(0, "CISO", "demand", -1.0),
    value(0, "ISNE/4001", "demand", 99.0),
    value(0, "ISNE", "marginal", 0.5),
    value(1, "CISO", "demand", 5.0),
)


@pytest.mark.parametrize(
    ("keys", "positions"),
    [
        ({"kind": "range", "variable": "demand", "lowest": 0, "highest": 50}, [3, 4]),
        ({"kind": "range", "series": "eia/*/demand", "lowest": 0, "highest": 50}, [3]),
        ({"kind": "range", "series": ["eia/ISNE/*", "eia/*/*/demand"], "highest": 9}, [0, 2, 4]),
        ({"kind": "range", "lowest": 0}, [3]),
        ({"kind": "unit", "series": "eia/ISNE/demand", "unit": "MWh"}, [2]),
        ({"kind": "unit", "unit": ["MWh", "MW"]}, []),
        ({"kind": "allowed", "variable": "marginal", "values": [0, 1]}, [5]),
        ({"kind": "allowed", "series": "eia/ISNE/demand", "values": [10, 30]}, []),
        ({"kind": "monotone"}, []),
        ({"kind": "range", "series": "eia/NONE/demand", "lowest": 1000}, []),
    ],
)
def test_rows_that_break_a_rule(keys: dict[str, Any], positions: list[int]) -> None:
    """Ranges, units and allowed values are compared for the series of the rule alone; a null breaks none of them."""
    assert broken(ROWS, rule(**keys)) == positions


def test_times_that_go_back_are_found_within_a_series() -> None:
    """A row is judged against the earlier rows of its own series, however the series alternate."""
    hours = [("A", 0), ("B", 5), ("A", 2), ("B", 4), ("A", 1), ("A", 2), ("B", 6)]
    rows = table(*(value(hour, location, "load", 1.0) for location, hour in hours))
    assert broken(rows, rule(kind="monotone")) == [3, 4]
    assert broken(rows, rule(kind="monotone", series="eia/A/load")) == [4]


SUMS: dict[str, tuple[dict[str, Any], list[tuple[str, str, float]]]] = {
    "demand": (
        {"total": "eia/*/demand", "plus": "eia/*/net_generation", "minus": "eia/*/net_interchange"},
        [("ISNE", "demand", 100.0), ("ISNE", "net_generation", 80.0), ("ISNE", "net_interchange", -20.0)],
    ),
    "fuel mix": (
        {"total": "eia/*/net_generation", "plus": "eia/*/net_generation_*"},
        [("ISNE", "net_generation", 9.0), ("ISNE", "net_generation_gas", 5.0), ("ISNE", "net_generation_wind", 4.0)],
    ),
    "sub-regions": (
        {"total": "eia/*/demand", "plus": "eia/*/*/demand"},
        [("ISNE", "demand", 7.0), ("ISNE/4001", "demand", 3.0), ("ISNE/4002", "demand", 4.0)],
    ),
    "price": (
        {"total": "eia/*/lmp", "plus": ["eia/*/lmp_energy", "eia/*/lmp_congestion", "eia/*/lmp_loss", "eia/*/lmp_ghg"]},
        [("N1", "lmp", 30.0), ("N1", "lmp_energy", 28.5), ("N1", "lmp_congestion", -0.5), ("N1", "lmp_loss", 2.0)],
    ),
}


@pytest.mark.parametrize("name", SUMS)
def test_sums_hold_or_all_their_rows_break_the_rule(name: str) -> None:
    """An interval with the right sum breaks nothing; in one that differs, all rows of the equation do; one without all
    of its values is not judged."""
    keys, terms = SUMS[name]
    right = [value(0, *term) for term in terms]
    wrong = [
        value(1, location, variable, number + (variable == terms[0][1]) * 2) for location, variable, number in terms
    ]
    if name == "sub-regions":  # all are called demand
        wrong[1:] = [value(1, *term) for term in terms[1:]]
    lacking = [value(2, *term) for term in terms[:-1]] + [value(2, *terms[-1][:2], None)]
    rows = table(*right, *wrong, *lacking)
    tested = rule(kind="sum", **keys)
    assert unequal(rows, tested) == list(range(len(terms), 2 * len(terms)))
    assert judge_equations(NumberedRows.of(rows), tested)[1] == 2
    assert unequal(rows, rule(kind="sum", tolerance=2, **keys)) == []
    assert unequal(rows, rule(kind="sum", share=0.5, **keys)) == []


def test_sums_are_in_the_unit_of_the_total() -> None:
    """Whichever units parts have, also one that changes within the answer, their numbers are those of the total's
    unit; a part in another dimension is not summed."""
    rows = table(
        value(0, "A", "demand", 3000.0),
        *(value(0, "A/1", "demand", 1.0, "GW"), value(0, "A/2", "demand", 2000.0, "MW")),
        value(1, "A", "demand", 3000.0),
        *(value(1, "A/1", "demand", 1000.0), value(1, "A/2", "demand", 2000.0)),
        value(2, "A", "demand", 3.0, "GWh"),
        *(value(2, "A/1", "demand", 1.0), value(2, "A/2", "demand", 2000.0)),
    )
    tested = rule(kind="sum", total="eia/*/demand", plus="eia/*/*/demand", share=0.001)
    assert unequal(rows, tested) == [6, 7, 8]
    assert judge_equations(NumberedRows.of(rows), tested)[1] == 3
    prices = table(value(0, "A", "demand", 3.0), value(0, "A/1", "demand", 1.0, "USD/MWh"))
    assert judge_equations(NumberedRows.of(prices), tested) == (None, 0)
    opposite = rule(kind="opposite", series="eia/*/flow")
    exchanges = table(value(0, "A>B", "flow", 1.0, "GW"), value(0, "B>A", "flow", -1000.0, "MW"))
    assert unequal(exchanges, opposite) == []
    assert judge_equations(NumberedRows.of(exchanges), opposite)[1] == 1


def test_every_total_of_a_pattern_is_judged() -> None:
    """Two totals at one location that a pattern matches are two sums, whichever of them comes first."""
    rows = table(*(value(0, "A", name, 5.0) for name in ("load_gross", "load_net")), value(0, "A", "metered", 5.0))
    tested = rule(kind="sum", total="eia/*/load_*", plus="eia/*/metered")
    assert judge_equations(NumberedRows.of(rows), tested) == (None, 2)


def test_opposite_directions_have_opposite_values() -> None:
    """From A to B is minus from B to A; a direction without its opposite is not judged."""
    rows = table(
        *(value(0, "CISO>BPAT", "interchange", 5.0), value(0, "BPAT>CISO", "interchange", -5.0)),
        *(value(1, "CISO>BPAT", "interchange", 5.0), value(1, "BPAT>CISO", "interchange", 5.0)),
        value(1, "CISO>LDWP", "interchange", 5.0),
    )
    assert unequal(rows, rule(kind="opposite", series="eia/*/interchange")) == [2, 3]
    assert unequal(rows, rule(kind="opposite", series="eia/*/interchange", tolerance=10)) == []


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["A", "B"]), st.sampled_from(["t", "p", "q"]), st.integers(-3, 3)),
        max_size=40,
        unique_by=lambda row: row[:3],
    ),
    st.integers(0, 3),
)
def test_sums_agree_with_brute_force(rows: list[tuple[int, str, str, int]], tolerance: int) -> None:
    """The rows that break a sum are those of the intervals in which t differs from p - q, row by row."""
    numbers = {row[:3]: row[3] for row in rows}
    series = {row[1:3] for row in rows}
    expected = set()
    for hour in range(4):
        for location in ("A", "B"):
            terms = [name for name in "tpq" if (location, name) in series]
            if "t" not in terms or len(terms) == 1 or any((hour, location, name) not in numbers for name in terms):
                continue
            total, plus, minus = (numbers.get((hour, location, name), 0) for name in "tpq")
            if abs(total - (plus - minus)) > tolerance:
                expected |= {(hour, location, name) for name in terms}
    made = table(*(value(hour, location, name, number) for hour, location, name, number in rows))
    tested = rule(kind="sum", total="eia/*/t", plus="eia/*/p", minus="eia/*/q", tolerance=tolerance)
    assert {rows[position][:3] for position in unequal(made, tested)} == expected


def test_rules_are_what_the_configuration_says() -> None:
    """The kinds across series are read as such."""
    assert isinstance(rule(kind="sum", total="eia/*/t", plus="eia/*/p"), SumRule)
    assert isinstance(rule(kind="opposite", series="eia/*/interchange"), OppositeRule)
