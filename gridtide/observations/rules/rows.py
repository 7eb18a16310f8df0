"""Judges single rows: units, ranges, allowed values, and intervals that go back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gridtide.entries.expect.rules import AllowedRule, Expectation, MonotoneRule, RangeRule, RowRule, UnitRule
from gridtide.observations import times
from gridtide.observations.array_types import Integers, Mask
from gridtide.observations.series import SeriesNumbers

SeriesKey = tuple[str, str, str]
"""The location, variable and unit of a series."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The rows of a table that break `rule`, (rows,), and the `reason`, which describes the first of them."""

    rule: Expectation
    is_broken: Mask
    reason: str

    @property
    def count(self) -> int:
        """The number of rows that break the rule."""
        return int(np.count_nonzero(self.is_broken))


@dataclass(frozen=True, slots=True)
class NumberedRows:
    """Observations with the number of the series of each row, (rows,), and the `keys` of the series by number."""

    table: pa.Table
    numbers: Integers
    keys: Sequence[SeriesKey]

    @classmethod
    def of(cls, table: pa.Table) -> NumberedRows:
        """Numbers the series of `table`, in the order in which they occur."""
        keys: dict[SeriesKey, int] = {}

        def number(_source: str, location: str, variable: str, unit: str) -> int:
            return keys.setdefault((location, variable, unit), len(keys))

        numbers = SeriesNumbers(number).of(table)
        return cls(table, numbers, list(keys))

    def select(self, chosen: Sequence[bool]) -> Mask:
        """Returns which rows are of a series that is `chosen`, by its number."""
        return np.array(chosen, bool)[self.numbers] if len(self.keys) else np.empty(0, bool)


def judge_rows(rows: NumberedRows, rules: Sequence[RowRule]) -> list[Verdict]:
    """Returns a verdict for each of `rules` that rows break."""
    verdicts = []
    values = times.to_floats(rows.table["value"]) if rules else np.empty(0)
    for rule in rules:
        chosen = [rule.selects(location, variable) for location, variable, _ in rows.keys]
        if not any(chosen):
            continue
        broken = _find_broken(rows, rule, values, chosen)
        if broken.any():
            verdicts.append(Verdict(rule, broken, _describe_first(rows, rule, broken)))
    return verdicts


def _find_broken(rows: NumberedRows, rule: RowRule, values: np.ndarray, chosen: Sequence[bool]) -> Mask:
    match rule:
        case UnitRule():
            units = [unit not in rule.units for _, _, unit in rows.keys]
            return rows.select([is_chosen and is_other for is_chosen, is_other in zip(chosen, units, strict=True)])
        case RangeRule():  # comparisons with NaN, a null, are false
            broken: Mask = (values < rule.lowest) | (values > rule.highest)
        case AllowedRule():
            broken = ~(np.isin(values, rule.values) | np.isnan(values))
        case MonotoneRule():
            broken = _go_back(rows)
    return broken if all(chosen) else broken & rows.select(chosen)


def _go_back(rows: NumberedRows) -> Mask:
    """Returns the rows whose interval starts before an earlier row of their series."""
    starts = times.to_microseconds(rows.table["interval_start"])
    if (starts[1:] >= starts[:-1]).all():
        return np.zeros(len(starts), bool)
    broken = np.zeros(len(starts), bool)
    order = np.argsort(rows.numbers, kind="stable")  # by series, in the order of the rows
    bounds = np.flatnonzero(np.diff(rows.numbers[order])) + 1
    for positions in np.split(order, bounds):
        own_starts = starts[positions]
        broken[positions] = own_starts < np.maximum.accumulate(own_starts)
    return broken


def _describe_first(rows: NumberedRows, rule: RowRule, broken: Mask) -> str:
    """Describes the first row that breaks `rule`, and what would be right."""
    row = rows.table.slice(int(np.argmax(broken)), 1).to_pylist()[0]
    name = f"{row['location']}/{row['variable']} at {row['interval_start']:%Y-%m-%dT%H:%MZ}"
    value = "null" if row["value"] is None else f"{row['value']:g}"
    match rule:
        case UnitRule():
            return f"{name} is in {row['unit']}, not {' or '.join(rule.units)}"
        case RangeRule():
            count = int(np.count_nonzero(broken))
            of_variable = rule.variable or f"{row['location']}/{row['variable']}"
            bounds = f"{rule.lowest:g} to {rule.highest:g}"
            return f"{count} values of {of_variable} are outside {bounds}, the first is {value}"
        case AllowedRule():
            return f"{name} is {value}, not {' or '.join(f'{number:g}' for number in rule.values)}"
        case MonotoneRule():
            return f"{name} comes after a later interval of its series"
