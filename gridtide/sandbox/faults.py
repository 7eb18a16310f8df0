"""Faults on demand: which requests fail, and how.

A rule is `{"fault": …}` with any of `"path": "fuel-type"` (in the path or query), `"nth": [1, 3]` and `"every": 10`,
which count the requests that match the path. `fault` is an HTTP status, which is sent in the upstream's own format, or
one of `KINDS`; `"seconds"` is the duration of a hang or of a slow body.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

KINDS = {
    "cut": "half the body, then the connection closes",
    "reset": "the connection is reset without an answer",
    "hang": "no answer until the client gives up",
    "html": "a web page under HTTP 200",
    "badjson": "the body stops in the middle, correctly framed",
    "wrong_total": "EIA's total is one too many",
    "slow": "the body comes drop by drop",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """When a fault occurs; without `nth` and `every`, always."""

    fault: int | str
    path: str = ""
    nth: frozenset[int] = frozenset()
    every: int | None = None
    seconds: float | None = None

    def strikes(self, number: int) -> bool:
        """Whether the fault occurs on the `number`-th request, from 1, that matches the path."""
        if self.every is None and not self.nth:
            return True
        return number in self.nth or (self.every is not None and number % self.every == 0)


class Faults:
    """Rules, and the number of requests that each has matched."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self.rules = tuple(rules)
        self.request_counts = [0] * len(self.rules)

    def next(self, target: str) -> Rule | None:
        """Returns the first rule that applies to the request for `target` (path and query); all rules count it."""
        matching_rule = None
        for number, rule in enumerate(self.rules):
            if rule.path in target:
                self.request_counts[number] += 1
                if matching_rule is None and rule.strikes(self.request_counts[number]):
                    matching_rule = rule
        return matching_rule


def parse_rules(rules: Any) -> list[Rule]:
    """Parses the rules in `rules`, a list or a single rule; raises `ValueError` with the invalid rule and its
    problem."""
    return [_parse_rule(item) for item in (rules if isinstance(rules, list) else [rules])]


def _parse_rule(rule: Any) -> Rule:
    if not isinstance(rule, Mapping) or set(rule) - {"fault", "path", "nth", "every", "seconds"} or "fault" not in rule:
        raise ValueError(f'{rule!r} is not a rule; use such as {{"every": 10, "fault": 503}}')
    fault, nth, every = rule["fault"], rule.get("nth", []), rule.get("every")
    if not (fault in KINDS if isinstance(fault, str) else type(fault) is int and 300 <= fault < 600):
        raise ValueError(f"fault {fault!r} is neither an HTTP status of 300 or more nor one of {', '.join(KINDS)}")
    if not isinstance(nth, list) or not all(type(number) is int and number > 0 for number in nth):
        raise ValueError(f"nth {nth!r} is not a list of numbers from 1")
    if every is not None and (type(every) is not int or every < 1):
        raise ValueError(f"every {every!r} is not a number from 1")
    return Rule(fault, str(rule.get("path", "")), frozenset(nth), every, rule.get("seconds"))


def refuse_one_too_many(body: bytes) -> bytes:
    """Returns `body` with EIA's total raised by one; any other body is unchanged."""
    return re.sub(rb'"total":"(\d+)"', lambda match: b'"total":"%d"' % (int(match[1]) + 1), body, count=1)
