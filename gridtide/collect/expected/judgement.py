"""Applies the rules of `expect` to the pages of a collection, and gathers what breaks them.

page ─► judge_page ─► rows that stay ─► draft
             └──────► JudgedPage ─► Judgement.add ─► warnings, counts, rejected rows
draft ─► Judgement.judge_across ─► rows that stay
answer ─► Judgement.judge_answer
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from gridtide.entries.entry import Entry
from gridtide.entries.expect.rules import (
    AgeRule,
    AnswerRule,
    CrossRule,
    Expectation,
    RequiredRule,
    RowsRule,
    SelectiveRule,
    SumRule,
)
from gridtide.errors import FormatError, GridtideError, IncompleteError, list_first
from gridtide.periods import EPOCH, Period, microseconds
from gridtide.sources.contract import Skipped

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from gridtide.observations.rules.rows import NumberedRows, Verdict

EXPECT_FIX = 'Check the upstream, or "expect"'

RULES_NAMED = 5
"""The most rules that a warning names."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The `rows` that broke the rule called `rule`, and the `reason`."""

    rule: str
    reason: str
    rows: pa.Table


@dataclass(slots=True)
class SeriesCount:
    """The rows of a series, and the end of its latest interval, in µs since 1970."""

    rows: int = 0
    latest: int = -(1 << 63)


@dataclass(frozen=True, slots=True)
class JudgedPage:
    """What the rules found in a page: the rejected rows, the counts of rows that broke a rule with `warn`, and its
    series, by location and variable, before any row was rejected."""

    rejections: Sequence[Rejected] = ()
    warnings: Sequence[Skipped] = ()
    series: dict[tuple[str, str], SeriesCount] = field(default_factory=dict)


NOTHING_JUDGED = JudgedPage()


def judge_page(table: pa.Table, entry: Entry) -> tuple[pa.Table, JudgedPage]:
    """Returns the rows of `table` that stay, and what the rules of `entry` found.

    Raises `FormatError` if a row breaks a rule with `fail`.
    """
    expect = entry.expect
    if not (expect.ranges or expect.rules) or not table.num_rows:
        return table, NOTHING_JUDGED
    from gridtide.observations.rules.rows import NumberedRows, judge_rows

    rows = NumberedRows.of(table)
    verdicts = judge_rows(rows, expect.row_rules)
    _raise_failures(verdicts, entry)
    stays, rejected = _reject_rows(table, verdicts)
    series = _count_series(rows) if expect.rules else {}
    return stays, JudgedPage(rejected, _list_warned(verdicts), series)


class Judgement:
    """What the rules of `entry` found in the pages of a collection."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.rejections: list[Rejected] = []
        self.warnings: list[Skipped] = []
        self.series: dict[tuple[str, str], SeriesCount] = {}
        self.not_judged: list[CrossRule] = list(entry.expect.cross_rules)

    def add(self, page: JudgedPage) -> None:
        """Adds what the rules found in a page."""
        self.rejections += page.rejections
        self.warnings += page.warnings
        for key, page_count in page.series.items():
            count = self.series.setdefault(key, SeriesCount())
            count.rows += page_count.rows
            count.latest = max(count.latest, page_count.latest)

    def judge_across(self, table: pa.Table) -> tuple[np.ndarray, list[Verdict]]:
        """Applies the rules across series to all rows of the answer; returns which rows of `table` stay, (rows,), and
        the verdicts with `fail`."""
        import numpy as np

        from gridtide.observations.rules.rows import NumberedRows
        from gridtide.observations.rules.sums import judge_equations

        rows = NumberedRows.of(table)
        judged = [judge_equations(rows, rule) for rule in self.entry.expect.cross_rules]
        verdicts = [verdict for verdict, _ in judged if verdict]
        pairs = zip(self.entry.expect.cross_rules, judged, strict=True)
        self.not_judged = [rule for rule, (_, intervals) in pairs if not intervals]
        stays = np.ones(table.num_rows, bool)
        for verdict in verdicts:
            if verdict.rule.otherwise == "reject":
                stays &= ~verdict.is_broken
        self.rejections += _reject_rows(table, verdicts)[1]
        self.warnings += _list_warned(verdicts)
        return stays, [verdict for verdict in verdicts if verdict.rule.otherwise == "fail"]

    def judge_answer(self, period: Period | None, now: datetime) -> list[str]:
        """Returns the warnings of rules about the whole answer for `period`, retrieved `now`, and of rules that name
        what it does not have. Raises `IncompleteError` or `FormatError` for a rule with `fail`."""
        warnings = []
        for rule in self.entry.expect.answer_rules:
            broken = self._find_lack(rule, period, now)
            if broken and rule.otherwise == "fail":
                kind: type[GridtideError] = FormatError if isinstance(rule, RequiredRule) else IncompleteError
                raise kind(self.entry.name, broken, EXPECT_FIX)
            warnings += [f"not as expected: {broken}"] if broken else []
        return [*warnings, *self._list_idle()] if self.series else warnings

    def _list_idle(self) -> list[str]:
        """Returns a warning of the rules that were not judged, and one of the sums that lacked a part."""
        absent = [rule for rule in self.entry.expect.rules if self._names_nothing(rule)]
        lacking = [rule for rule in absent if isinstance(rule, CrossRule) and rule not in self.not_judged]
        idle = [*(rule for rule in absent if rule not in lacking), *self.not_judged]
        sentences = (
            ("not judged, as the answer has no such series, or no interval with all of them", idle),
            ("judged without a part, as the answer has no such series", lacking),
        )
        return [f"{sentence}: {self._name_rules(rules)}" for sentence, rules in sentences if rules]

    def _name_rules(self, rules: Sequence[Expectation]) -> str:
        """Returns the names of `rules`, each once; sums with one name as equations."""
        names = Counter(rule.name for rule in self.entry.expect.rules)
        texts = dict.fromkeys(
            f"sum {rule.equation}" if isinstance(rule, SumRule) and names[rule.name] > 1 else rule.name
            for rule in rules
        )
        return list_first(texts, RULES_NAMED, more=", …")

    def list_warnings(self) -> list[str]:
        """Returns a warning for each rule with `warn` that rows broke."""
        from gridtide.collect.holes import count_skipped

        return [
            f"not as expected, but stored: {item.reason}: {item.count} rows, such as {item.example}"
            for item in count_skipped(self.warnings)
        ]

    def list_rejected(self) -> list[Skipped]:
        """Returns the number of rejected rows by rule, with an example."""
        from gridtide.collect.holes import count_skipped

        return count_skipped(
            Skipped(f"rejected by {item.rule}", item.rows.num_rows, item.reason, rule=item.rule)
            for item in self.rejections
        )

    def _find_lack(self, rule: AnswerRule, period: Period | None, now: datetime) -> str | None:
        """Returns what the answer lacks by `rule`, None if nothing."""
        series_counts = {key: count for key, count in self.series.items() if rule.selects(*key)}
        match rule:
            case RequiredRule():
                lacking = [pattern for pattern in rule.patterns if not self._has(_narrow_rule(rule, pattern))]
                return (
                    f"no values of {', '.join(lacking or [str(rule.variable)])}"
                    if lacking or not series_counts
                    else None
                )
            case RowsRule():
                count = sum(series.rows for series in series_counts.values())
                return (
                    f"{count} rows, at least {rule.minimum} are expected ({rule.name})"
                    if count < rule.minimum
                    else None
                )
            case AgeRule():
                return self._find_old(rule, series_counts, min(period.end, now) if period else now)
        return None

    def _find_old(
        self, rule: AgeRule, series_counts: dict[tuple[str, str], SeriesCount], until: datetime
    ) -> str | None:
        limit = microseconds(until - rule.maximum)
        old = {key: count.latest for key, count in series_counts.items() if count.latest < limit}
        if not old:
            return None
        (location, variable), latest = min(old.items(), key=lambda item: item[1])
        moment = EPOCH + timedelta(microseconds=latest)
        bounds = f"{until:%Y-%m-%dT%H:%MZ}: {location}/{variable} at {moment:%Y-%m-%dT%H:%MZ}"
        return f"{len(old)} series end more than {rule.maximum} before {bounds}"

    def _has(self, rule: SelectiveRule) -> bool:
        return any(rule.selects(*key) for key in self.series)

    def _names_nothing(self, rule: Expectation) -> bool:
        """Whether a pattern of `rule`, or its variable, has no series in the answer."""
        if isinstance(rule, RequiredRule):
            return False
        if isinstance(rule, SelectiveRule):
            return not self._has(rule)
        return not all(self._has(SelectiveRule(series=pattern)) for pattern in rule.patterns)


def _narrow_rule(rule: RequiredRule, pattern: str) -> SelectiveRule:
    """Returns a rule about the series of one `pattern` of `rule`."""
    return SelectiveRule(series=pattern, variable=rule.variable)


def _raise_failures(verdicts: Sequence[Verdict], entry: Entry) -> None:
    for verdict in verdicts:
        if verdict.rule.otherwise == "fail":
            raise FormatError(entry.name, verdict.reason, EXPECT_FIX)


def _list_warned(verdicts: Sequence[Verdict]) -> list[Skipped]:
    return [
        Skipped(verdict.rule.name, verdict.count, verdict.reason)
        for verdict in verdicts
        if verdict.rule.otherwise == "warn"
    ]


def _reject_rows(table: pa.Table, verdicts: Sequence[Verdict]) -> tuple[pa.Table, list[Rejected]]:
    """Returns the rows of `table` that no verdict rejects, and the others, each with the first rule that it broke."""
    import numpy as np
    import pyarrow as pa

    stays, rejected = np.ones(table.num_rows, bool), []
    for verdict in verdicts:
        if verdict.rule.otherwise == "reject" and (rejected_rows := verdict.is_broken & stays).any():
            rejected.append(Rejected(verdict.rule.name, verdict.reason, table.filter(pa.array(rejected_rows))))
            stays &= ~rejected_rows
    return table.filter(pa.array(stays)) if rejected else table, rejected


def _count_series(rows: NumberedRows) -> dict[tuple[str, str], SeriesCount]:
    """Returns the number of rows and the latest end of each series, by location and variable."""
    import numpy as np

    from gridtide.observations import times

    counts = np.bincount(rows.numbers, minlength=len(rows.keys))
    latest = np.full(len(rows.keys), -(1 << 63))
    np.maximum.at(latest, rows.numbers, times.read_times(rows.table, "interval_end"))
    series: dict[tuple[str, str], SeriesCount] = {}
    for (location, variable, _), count, end in zip(rows.keys, counts.tolist(), latest.tolist(), strict=True):
        series_count = series.setdefault((location, variable), SeriesCount())
        series_count.rows += count
        series_count.latest = max(series_count.latest, end)
    return series
