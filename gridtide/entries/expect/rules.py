"""The rules of `expect`: what rows and answers must be like, and what happens to those that are not.

`warn` only tells, `reject` keeps the rows apart under `rejected/`, `fail` refuses the answer to their request, or for
rules across series their day.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gridtide.entries.field_types import Duration, PrintableText, Text
from gridtide.entries.structs import StrictStruct
from gridtide.variables import SeriesName, matches_any

Severity = Literal["warn", "reject", "fail"]

AnswerSeverity = Literal["warn", "fail"]
"""For rules about a whole answer, of which no row can be rejected."""

Amount = Annotated[float, Meta(ge=0)]


def check_series_pattern(text: str) -> None:
    """Raises `ValueError` unless `text` is a series, or a pattern of series."""
    SeriesName.parse(text)


SeriesPattern = Annotated[str, Meta(min_length=1), check_series_pattern]
"""`source/location/variable`, in which `*` stands for any characters of one part."""

Patterns = SeriesPattern | tuple[SeriesPattern, ...]


def as_patterns(patterns: Patterns) -> tuple[str, ...]:
    """Returns `patterns` as a tuple."""
    return (patterns,) if isinstance(patterns, str) else patterns


def selects_series(patterns: Patterns, location: str, variable: str) -> bool:
    """Whether the series of this location and variable matches one of `patterns`. Its source is not compared, because
    all series of an entry have one source."""
    names = map(SeriesName.parse, as_patterns(patterns))
    return any(matches_any(location, [name.location]) and matches_any(variable, [name.variable]) for name in names)


class SelectiveRule(StrictStruct, frozen=True, kw_only=True):
    """A rule about the series that match `series` and have `variable`; about all series without either."""

    series: Patterns = ()
    variable: PrintableText | None = None

    def selects(self, location: str, variable: str) -> bool:
        """Whether the rule is about the series of this location and variable."""
        is_named = self.variable is None or self.variable == variable
        return is_named and (not self.series or selects_series(self.series, location, variable))

    @property
    def name(self) -> str:
        """The kind and the series of the rule, as reports name it."""
        named = [*as_patterns(self.series), *([self.variable] if self.variable else [])]
        return f"{getattr(self, 'kind', '')} of {', '.join(named) or 'all series'}"

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns of series in it."""
        return as_patterns(self.series)


class UnitRule(SelectiveRule, frozen=True, kw_only=True):
    """Rows have this `unit`, or one of these."""

    kind: Literal["unit"]
    unit: PrintableText | tuple[PrintableText, ...]
    otherwise: Severity = "warn"

    @property
    def units(self) -> tuple[str, ...]:
        """The units that are allowed."""
        return (self.unit,) if isinstance(self.unit, str) else self.unit


class RangeRule(SelectiveRule, frozen=True, kw_only=True):
    """Values are at least `lowest` and at most `highest`; nulls are."""

    kind: Literal["range"]
    lowest: float = -math.inf
    highest: float = math.inf
    otherwise: Severity = "warn"

    def __post_init__(self) -> None:
        """Raises `ValueError` for a range without bounds, or one that is empty."""
        if (self.lowest, self.highest) == (-math.inf, math.inf):
            raise ValueError('a range needs "lowest", "highest" or both')
        if not self.lowest <= self.highest:
            raise ValueError('the range ends before it begins; "lowest" must not be above "highest"')


class AllowedRule(SelectiveRule, frozen=True, kw_only=True):
    """Values are among `values`; a null is always allowed."""

    kind: Literal["allowed"]
    values: Annotated[tuple[float, ...], Meta(min_length=1)]
    otherwise: Severity = "warn"


class MonotoneRule(SelectiveRule, frozen=True, kw_only=True):
    """The intervals of a series do not go back within a response."""

    kind: Literal["monotone"]
    otherwise: Severity = "warn"


class RequiredRule(SelectiveRule, frozen=True, kw_only=True):
    """Each pattern matches a series of the answer, and a series has the variable."""

    kind: Literal["required"]
    otherwise: AnswerSeverity = "warn"

    def __post_init__(self) -> None:
        """Raises `ValueError` if it names nothing."""
        if not self.series and self.variable is None:
            raise ValueError('a required series needs "series" or "variable"')


class RowsRule(SelectiveRule, frozen=True, kw_only=True):
    """The answer has at least `minimum` rows of its series."""

    kind: Literal["rows"]
    minimum: Annotated[int, Meta(ge=1)]
    otherwise: AnswerSeverity = "warn"


class AgeRule(SelectiveRule, frozen=True, kw_only=True):
    """The latest interval of each series ends at most `maximum` before the end of the period, or before now if that is
    earlier."""

    kind: Literal["age"]
    maximum: Duration
    otherwise: AnswerSeverity = "warn"


class SumRule(StrictStruct, frozen=True, kw_only=True):
    """In each interval, `total` is the sum of the series `plus` less those `minus`, up to `tolerance` and the `share`
    of the total.

    The series belong to the total of their location, or else to that of a location above it (`ISNE/4001`: `ISNE`).
    """

    kind: Literal["sum"]
    total: SeriesPattern
    plus: Patterns = ()
    minus: Patterns = ()
    tolerance: Amount = 0.0
    share: Annotated[float, Meta(ge=0, le=1)] = 0.0
    otherwise: Severity = "warn"

    def __post_init__(self) -> None:
        """Raises `ValueError` if nothing is summed."""
        if not self.plus and not self.minus:
            raise ValueError('a sum needs "plus", "minus" or both')

    @property
    def name(self) -> str:
        """The kind and the total of the rule, as reports name it."""
        return f"sum of {self.total}"

    @property
    def equation(self) -> str:
        """The rule as an equation, which tells two sums of one total apart."""
        sides = (" + ".join(as_patterns(self.plus)), *as_patterns(self.minus))
        return f"{self.total} = {' - '.join(sides)}"

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns of series in it."""
        return (self.total, *as_patterns(self.plus), *as_patterns(self.minus))


class OppositeRule(StrictStruct, frozen=True, kw_only=True):
    """In each interval, the value from A to B is that from B to A with the other sign, up to `tolerance` and the
    `share` of that from A to B; the locations are written `A>B`, with A before B in the alphabet."""

    kind: Literal["opposite"]
    series: SeriesPattern
    tolerance: Amount = 0.0
    share: Annotated[float, Meta(ge=0, le=1)] = 0.0
    otherwise: Severity = "warn"

    @property
    def name(self) -> str:
        """The kind and the series of the rule, as reports name it."""
        return f"opposite of {self.series}"

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns of series in it."""
        return (self.series,)


RowRule = UnitRule | RangeRule | AllowedRule | MonotoneRule
"""Rules about single rows."""

AnswerRule = RequiredRule | RowsRule | AgeRule
"""Rules about a whole answer."""

CrossRule = SumRule | OppositeRule
"""Rules across series."""

Expectation = RowRule | AnswerRule | CrossRule


class Expect(StrictStruct, frozen=True):
    """What a response must contain; otherwise the entry fails, or what its rules say happens."""

    minimum_rows: Annotated[int, Meta(ge=0)] = 0
    required: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    """Locations that must have values; the monitor reports those that never had any. No answer is refused for lack of
    them."""
    zeros: tuple[Text, ...] = ()
    """Locations, or series such as `eia/*/generation_solar`, whose zeros are values: the monitor does not report them
    as silent when they send nothing else."""
    ranges: Mapping[str, tuple[float, float]] = msgspec.field(default_factory=dict)
    otherwise: Severity = "fail"
    """The treatment of a value outside its range."""
    rules: tuple[Expectation, ...] = ()

    def __post_init__(self) -> None:
        """Raises `ValueError` for an invalid range."""
        for variable, (lowest, highest) in self.ranges.items():
            if not lowest <= highest:
                raise ValueError(f"the range of {variable} ends before it begins; give [lowest, highest]")

    @property
    def row_rules(self) -> tuple[RowRule, ...]:
        """The rules about single rows, including `ranges`."""
        ranges: list[RowRule] = [
            RangeRule(kind="range", variable=variable, lowest=lowest, highest=highest, otherwise=self.otherwise)
            for variable, (lowest, highest) in self.ranges.items()
        ]
        return (*ranges, *(rule for rule in self.rules if isinstance(rule, RowRule)))

    @property
    def answer_rules(self) -> tuple[AnswerRule, ...]:
        """The rules about a whole answer, without `minimum_rows` and `required`."""
        return tuple(rule for rule in self.rules if isinstance(rule, AnswerRule))

    @property
    def cross_rules(self) -> tuple[CrossRule, ...]:
        """The rules across series."""
        return tuple(rule for rule in self.rules if isinstance(rule, CrossRule))

    @property
    def is_about_answers(self) -> bool:
        """Whether any rule is about whole answers, so that an answer to a part of a request cannot be checked."""
        return bool(self.required or self.minimum_rows or any(rule.otherwise == "fail" for rule in self.answer_rules))


def expects_zeros(expect: Expect, series: SeriesName) -> bool:
    """Whether zeros of `series` are values: `zeros` names its location, or a pattern of series that it matches."""
    names = (str(series), series.location)
    return any(matches_any(name, expect.zeros) for name in names)


def find_foreign_patterns(expect: Expect, source: str) -> list[str]:
    """Returns a problem for each rule that names series of another source than the entry, which has none of them."""
    return [
        f"expect.rules[{number}]: {pattern} is of another source than the entry; its series are {source}/…"
        for number, rule in enumerate(expect.rules)
        for pattern in rule.patterns
        if not matches_any(source, [SeriesName.parse(pattern).source])
    ]
