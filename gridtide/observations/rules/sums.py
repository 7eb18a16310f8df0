"""Judges values across series: sums and opposite directions, by interval.

    key of a row = (equation, interval, publication)     sign: +1 on the left side, -1 on the right side

    ISNE demand          +1 ┐
    ISNE net_generation  -1 ├─► Σ sign · value = residual, compared with the tolerance
    ISNE net_interchange +1 ┘

An interval is judged if each series of the equation that occurs in the table has a value in it. Values are converted to
the unit of the total, whichever units the rows have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gridtide.entries.expect.rules import CrossRule, OppositeRule, SumRule, selects_series
from gridtide.observations import times
from gridtide.observations.array_types import Floats, Integers, Mask
from gridtide.observations.rules.rows import NumberedRows, Verdict
from gridtide.variables import find_hourly_conversion

SIDES = ">"
"""Separates the two locations of an exchange."""

MOST_CODES = 1 << 62
"""The most codes of rows that are numbered without sorting their columns."""

FLOAT_SLACK = 1e-9
"""The part of the sum of magnitudes by which a residual may differ from 0, as sums of floats do."""


@dataclass(frozen=True, slots=True)
class Equation:
    """The series of an equation: the sign of each by its number, times what its unit is of that of the total; `whole`
    are those of whose magnitude a share is tolerated. A series whose rows have several units has several numbers;
    `size` counts it once."""

    label: str
    signs: Mapping[int, float]
    whole: frozenset[int]
    size: int


@dataclass(frozen=True, slots=True)
class Residuals:
    """The residual of each judged interval of a rule's equations: the number of the equation and the start of the
    interval (µs since 1970), the `residual`, and what it may be at most, each (intervals,); and the rows of each
    interval: `rows` (terms,) belong to the interval `owners` (terms,)."""

    equation: Integers
    start: Integers
    residual: Floats
    limit: Floats
    rows: Integers
    owners: Integers


def find_equations(rows: NumberedRows, rule: CrossRule) -> list[Equation]:
    """Returns the equations of `rule` that have series on both sides."""
    return _find_sums(rows, rule) if isinstance(rule, SumRule) else _find_opposites(rows, rule)


def measure_residuals(rows: NumberedRows, rule: CrossRule, equations: Sequence[Equation]) -> Residuals:
    """Returns the residuals of `equations` of `rule` in each interval in which all of their series have a value."""
    parts = [_find_terms(rows, equation, number) for number, equation in enumerate(equations)]
    terms, equation_numbers, signs, is_whole = (
        np.concatenate(columns) if columns else np.empty(0, kind)
        for columns, kind in zip(zip(*parts, strict=True) if parts else [()] * 4, ("i8", "i8", "f8", "?"), strict=True)
    )
    starts = times.read_times(rows.table, "interval_start")[terms]
    ends = times.read_times(rows.table, "interval_end")[terms]
    published = times.read_times(rows.table, "published_at")[terms]
    codes = _combine_codes([equation_numbers, starts, ends - starts, published])
    _, first_terms, owners = np.unique(codes, return_index=True, return_inverse=True)
    values, count = times.to_floats(rows.table["value"])[terms], len(first_terms)
    signed_values = signs * values
    residual = np.bincount(owners, signed_values, count)
    magnitude = np.bincount(owners, np.abs(signed_values), count)
    whole = np.bincount(owners, np.where(is_whole, np.abs(signed_values), 0), count)
    limit = rule.tolerance + rule.share * whole + FLOAT_SLACK * magnitude
    sizes = np.array([equation.size for equation in equations], np.int64)[equation_numbers[first_terms]]
    is_judged = (np.bincount(owners, minlength=count) == sizes) & ~np.isnan(residual)
    positions, is_of_judged = np.cumsum(is_judged) - 1, is_judged[owners]
    return Residuals(
        equation_numbers[first_terms][is_judged],
        starts[first_terms][is_judged],
        residual[is_judged],
        limit[is_judged],
        terms[is_of_judged],
        positions[owners[is_of_judged]],
    )


def judge_equations(rows: NumberedRows, rule: CrossRule) -> tuple[Verdict | None, int]:
    """Returns the verdict on all rows of the intervals whose residual is too large, None if there is none; and the
    number of intervals that could be judged."""
    equations = find_equations(rows, rule)
    residuals = measure_residuals(rows, rule, equations)
    too_large = np.abs(residuals.residual) > residuals.limit
    if not too_large.any():
        return None, len(too_large)
    broken: Mask = np.zeros(rows.table.num_rows, bool)
    broken[residuals.rows[too_large[residuals.owners]]] = True
    first = int(np.argmax(too_large))
    moment = np.datetime64(int(residuals.start[first]), "us").item()
    reason = (
        f"{equations[residuals.equation[first]].label} differs by {residuals.residual[first]:g} "
        f"at {moment:%Y-%m-%dT%H:%MZ}, in {int(too_large.sum())} of {len(too_large)} intervals"
    )
    return Verdict(rule, broken, reason), len(too_large)


def _find_terms(rows: NumberedRows, equation: Equation, number: int) -> tuple[Integers, Integers, Floats, Mask]:
    """Returns the positions of the rows of `equation`, its `number`, the signs of the rows, and whether they are of the
    whole, each (terms,)."""
    signs = np.zeros(len(rows.keys))
    signs[list(equation.signs)] = list(equation.signs.values())
    is_whole = np.isin(np.arange(len(rows.keys)), list(equation.whole))
    terms = np.flatnonzero(signs[rows.numbers])
    series_numbers = rows.numbers[terms]
    return terms, np.full(len(terms), number), signs[series_numbers], is_whole[series_numbers]


def _combine_codes(columns: Sequence[Integers]) -> Integers:
    """Returns a number for each row, (rows,), that is the same for rows with equal numbers in all `columns`."""
    codes, code_count = np.zeros(len(columns[0]), np.int64), 1
    for column in columns if len(codes) else ():
        lowest, highest = int(column.min()), int(column.max())
        width = highest - lowest + 1
        if code_count * width < MOST_CODES:
            column_codes = column - lowest
        else:  # the codes would not fit 64 bits
            distinct, column_codes = np.unique(column, return_inverse=True)
            width = len(distinct)
        codes, code_count = codes * width + column_codes, code_count * width
    return codes


def _find_sums(rows: NumberedRows, rule: SumRule) -> list[Equation]:
    totals: dict[str, dict[str, dict[int, int]]] = {}
    for number, (location, variable, _) in enumerate(rows.keys):
        if _is_total(rule, location, variable):
            totals.setdefault(location, {}).setdefault(variable, {})[number] = 1
    members: dict[str, dict[int, int]] = {}
    for number, (location, variable, _) in enumerate(rows.keys):
        sign = _sign_of(rule, location, variable)
        total = _find_total(totals, location)
        if sign and total is not None:
            members.setdefault(total, {})[number] = sign
    equations = []
    for location, signs in members.items():
        for variable, whole in totals[location].items():
            parts = {number: sign for number, sign in signs.items() if number not in whole}
            if parts:
                equations.append(_convert_equation(f"{location}/{variable}", rows, whole, parts))
    return [equation for equation in equations if equation is not None]


def _convert_equation(
    label: str, rows: NumberedRows, whole: Mapping[int, int], parts: Mapping[int, int]
) -> Equation | None:
    """Returns the equation of the signs `whole` and `parts` of series, by number, in the unit of the first of `whole`;
    None if the unit of a series cannot be converted to it."""
    unit = rows.keys[next(iter(whole))][2]
    signs: dict[int, float] = {}
    for number, sign in (*whole.items(), *parts.items()):
        conversion = find_hourly_conversion(rows.keys[number][2], unit)
        if conversion is None or conversion.offset:
            return None
        signs[number] = sign * conversion.factor
    return Equation(label, signs, frozenset(whole), len({rows.keys[number][:2] for number in signs}))


def _is_total(rule: SumRule, location: str, variable: str) -> bool:
    """Whether the series of this location and variable is a total of `rule`."""
    return selects_series(rule.total, location, variable)


def _sign_of(rule: SumRule, location: str, variable: str) -> int:
    """Returns the sign of a series on the side of the total: -1 for `plus`, +1 for `minus`, 0 for neither."""
    if selects_series(rule.plus, location, variable):
        return -1
    return 1 if selects_series(rule.minus, location, variable) else 0


def _find_total(totals: Iterable[str], location: str) -> str | None:
    """Returns which of the locations `totals` has `location` as a part: itself, or the nearest above it."""
    locations = set(totals)
    while location and location not in locations:
        location = location.rpartition("/")[0]
    return location or None


def _find_opposites(rows: NumberedRows, rule: OppositeRule) -> list[Equation]:
    numbers: dict[tuple[str, str], list[int]] = {}
    for number, (location, variable, _) in enumerate(rows.keys):
        if selects_series(rule.series, location, variable):
            numbers.setdefault((location, variable), []).append(number)
    equations = []
    for (location, variable), own_numbers in numbers.items():
        start, _, end = location.partition(SIDES)
        opposite = numbers.get((f"{end}{SIDES}{start}", variable))
        if opposite is not None and start < end:
            label = f"{location}/{variable} and its opposite"
            signs = dict.fromkeys(own_numbers, 1), dict.fromkeys(opposite, 1)
            equations.append(_convert_equation(label, rows, *signs))
    return [equation for equation in equations if equation is not None]
