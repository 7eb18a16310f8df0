"""Finds which stored verdicts on series of several entries still count after a run with some of these entries; pure.

A run without the entry `generation` cannot judge whether generation and interchange add up to demand. What the last
run with all entries found still counts: the demand is not well because nobody looked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date

from gridtide.quality.daily import DayVerdict
from gridtide.quality.flags import Flag
from gridtide.quality.relations.sum_verdicts import CONSISTENCY, find_worst_relations
from gridtide.quality.table import VerdictKey, is_monthly, is_shared


def retain_shared(verdicts: Sequence[DayVerdict], stored_verdicts: Mapping[VerdictKey, DayVerdict]) -> list[DayVerdict]:
    """Returns `verdicts`, and those of `stored_verdicts` about what their series say together with others, of the
    same days or of their months, that were not judged again. `consistency` is the worst of both."""
    days: dict[str, set[date]] = defaultdict(set)
    for verdict in verdicts:
        days[verdict.series].add(verdict.day)
        days[verdict.series].add(verdict.day.replace(day=1))
    keys = {verdict[:3] for verdict in verdicts}
    retained_verdicts = [
        verdict
        for key, verdict in stored_verdicts.items()
        if key not in keys
        and is_shared(verdict.check)
        and verdict.flag != Flag.NOT_EVALUATED  # it was withdrawn
        and verdict.day in days.get(verdict.series, ())
    ]
    together = [verdict for verdict in (*verdicts, *retained_verdicts) if verdict.check != CONSISTENCY]
    sums = [verdict for verdict in together if is_shared(verdict.check) and not is_monthly(verdict.check)]
    return [*together, *find_worst_relations(sums)]
