"""Faults on demand: what goes wrong with which request.

A rule is `{"fault": …}` with any of `"path": "fuel-type"` (in the path or query), `"nth": [1, 3]`
and `"every": 10`, which count the requests that the path leaves. `fault` is an HTTP status, which
comes in the upstream's own shape, or one of `KINDS`; `"seconds"` is how long a hang or slow body lasts.
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
    """When a fault strikes; without `nth` and `every`, always."""

    fault: int | str
    path: str = ""
    nth: frozenset[int] = frozenset()
    every: int | None = None
    seconds: float | None = None

    def strikes(self, number: int) -> bool:
        """Whether it strikes the `number`-th request, from 1, that its path leaves."""
        if self.every is None and not self.nth:
            return True
        return number in self.nth or (self.every is not None and number % self.every == 0)


class Faults:
    """Rules and how many requests each has seen."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self.rules = tuple(rules)
        self.request_counts = [0] * len(self.rules)

    def next(self, target: str) -> Rule | None:
        """The first rule that strikes the request for `target` (path and query), counted by all."""
        struck = None
        for number, rule in enumerate(self.rules):
            if rule.path in target:
                self.request_counts[number] += 1
                if struck is None and rule.strikes(self.request_counts[number]):
                    struck = rule
        return struck


def parse_rules(data: Any) -> list[Rule]:
    """The rules in `data`, a list or one; raises `ValueError` that says which is wrong and how."""
    return [_parse_rule(item) for item in (data if isinstance(data, list) else [data])]


def _parse_rule(data: Any) -> Rule:
    if not isinstance(data, Mapping) or set(data) - {"fault", "path", "nth", "every", "seconds"} or "fault" not in data:
        raise ValueError(f'{data!r} is no rule; use such as {{"every": 10, "fault": 503}}')
    fault, nth, every = data["fault"], data.get("nth", []), data.get("every")
    if not (fault in KINDS if isinstance(fault, str) else type(fault) is int and 300 <= fault < 600):
        raise ValueError(f"fault {fault!r} is neither an HTTP status of 300 or more nor one of {', '.join(KINDS)}")
    if not isinstance(nth, list) or not all(type(n) is int and n > 0 for n in nth):
        raise ValueError(f"nth {nth!r} is no list of numbers from 1")
    if every is not None and (type(every) is not int or every < 1):
        raise ValueError(f"every {every!r} is no number from 1")
    return Rule(fault, str(data.get("path", "")), frozenset(nth), every, data.get("seconds"))


def refuse_one_too_many(body: bytes) -> bytes:
    """`body` with EIA's total raised by one; any other stays as it is."""
    return re.sub(rb'"total":"(\d+)"', lambda match: b'"total":"%d"' % (int(match[1]) + 1), body, count=1)
